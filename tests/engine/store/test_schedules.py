"""Schedules in a store: each written on top of what was read, and found when it is due."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from agenticaiframework.actors.simulation import FailStore
from agenticaiframework.patterns.engine.store import (
    MAX_SCHEDULE_NAME_BYTES,
    ScheduleChanged,
    ScheduleStore,
    StoreUnavailable,
    ValueNotStorable,
    ValueTooLarge,
)
from agenticaiframework.patterns.engine.store.simulated import simulated_store
from agenticaiframework.testing import simulate

from .media import Medium, small_limits


@asynccontextmanager
async def open_schedules(medium: Medium, **options: Any) -> AsyncIterator[ScheduleStore]:
    store = medium.store(**options)
    await store.open()
    try:
        yield cast("ScheduleStore", store)
    finally:
        await store.close()


async def names(store: ScheduleStore, **which: Any) -> list[str]:
    return [row.name for row in await store.load_schedules(**which)]


def test_a_schedule_comes_back_as_it_was_written(medium: Medium) -> None:
    async def main() -> None:
        async with open_schedules(medium) as store:
            assert await store.load_schedules() == []
            name = "ü'; --\n🙂"
            first = await store.put_schedule(name, b'{"n": 1}', 12.25, None)
            (row,) = await store.load_schedules([name])
            body = row.body if isinstance(row.body, str) else row.body.decode()
            assert (row.name, row.revision, row.due_at, body) == (name, first, 12.25, '{"n": 1}')
            second = await store.put_schedule(name, b'{"n": 2}', None, first)
            (row,) = await store.load_schedules()
            assert (row.revision, row.due_at) == (second, None)
            assert second != first

    asyncio.run(main())


def test_it_is_written_on_top_of_what_was_read_alone(medium: Medium) -> None:
    async def main() -> None:
        async with open_schedules(medium) as store:
            first = await store.put_schedule("s", b"1", 1.0, None)
            with pytest.raises(ScheduleChanged, match="'s' has changed"):
                await store.put_schedule("s", b"other", 1.0, None)
            second = await store.put_schedule("s", b"2", 1.0, first)
            with pytest.raises(ScheduleChanged):
                await store.put_schedule("s", b"other", 1.0, first)
            assert await store.drop_schedule("s")
            assert not await store.drop_schedule("s")
            with pytest.raises(ScheduleChanged):
                await store.put_schedule("s", b"3", 1.0, second)
            again = await store.put_schedule("s", b"4", 1.0, None)
            with pytest.raises(ScheduleChanged):
                await store.put_schedule("s", b"5", 1.0, second)
            assert again not in (first, second)

    asyncio.run(main())


def test_of_two_writers_at_once_one_wins(shared_medium: Medium) -> None:
    async def main() -> None:
        async with open_schedules(shared_medium) as one, open_schedules(shared_medium) as other:
            revision = await one.put_schedule("s", b"0", 1.0, None)
            for number in range(5):
                outcomes = await asyncio.gather(
                    *(
                        store.put_schedule("s", f"{number}{place}".encode(), 1.0, revision)
                        for place, store in enumerate((one, other, one, other))
                    ),
                    return_exceptions=True,
                )
                won = [each for each in outcomes if isinstance(each, int)]
                assert len(won) == 1, outcomes
                assert all(isinstance(each, int | ScheduleChanged) for each in outcomes), outcomes
                revision = won[0]

    asyncio.run(main())


def test_those_that_are_due_are_found_and_no_others(medium: Medium) -> None:
    async def main() -> None:
        async with open_schedules(medium) as store:
            for name, due_at in (("a", 10.0), ("b", 20.0), ("c", None), ("d", 30.000001)):
                await store.put_schedule(name, b"{}", due_at, None)
            assert await names(store) == ["a", "b", "c", "d"]
            assert await names(store, due_by=20.0) == ["a", "b"]
            assert await names(store, due_by=30.0) == ["a", "b"]
            assert await names(store, due_by=30.000001) == ["a", "b", "d"]
            assert await names(store, names=["c", "b", "none"]) == ["b", "c"]
            assert await names(store, names=["c", "b"], due_by=25.0) == ["b"]

    asyncio.run(main())


def test_it_survives_the_process(durable_medium: Medium) -> None:
    async def write() -> int:
        async with open_schedules(durable_medium) as store:
            return await store.put_schedule("s", b'{"n": 1}', 7.0, None)

    async def read(revision: int) -> None:
        async with open_schedules(durable_medium) as store:
            (row,) = await store.load_schedules()
            assert (row.name, row.revision, row.due_at) == ("s", revision, 7.0)

    asyncio.run(read(asyncio.run(write())))


def test_what_cannot_be_kept_is_refused(medium: Medium) -> None:
    async def main() -> None:
        async with open_schedules(medium, limits=small_limits()) as store:
            with pytest.raises(ValueTooLarge, match="the schedule 's'"):
                await store.put_schedule("s", b"x" * 10_001, None, None)
            with pytest.raises(ValueNotStorable, match="the schedule's name"):
                await store.put_schedule("n" * (MAX_SCHEDULE_NAME_BYTES + 1), b"{}", None, None)
            await store.put_schedule("n" * MAX_SCHEDULE_NAME_BYTES, b"{}", None, None)

    asyncio.run(main())


@simulate(runs=1, faults=[FailStore("put_schedule", at_operation=2)])
async def test_a_simulated_store_fails_as_its_plan_says(sim: Any) -> None:
    store = simulated_store(sim)
    await store.open()
    first = await store.put_schedule("s", b"1", 1.0, None)
    with pytest.raises(StoreUnavailable):
        await store.put_schedule("s", b"2", 1.0, first)
    await store.put_schedule("s", b"2", 1.0, first)
    assert await store.drop_schedule("s")
    await store.close()


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "y" * 3_000], ids=("nul", "surrogate", "long"))
def test_no_schedule_has_a_name_that_cannot_be_kept(medium: Medium, name: str) -> None:
    async def main() -> None:
        async with open_schedules(medium) as store:
            await store.put_schedule("nightly", b"{}", 1e300, None)
            assert await names(store, names=[name, "nightly"], due_by=1e301) == ["nightly"]
            assert await names(store, names=[name]) == []
            assert await store.drop_schedule(name) is False

    asyncio.run(main())
