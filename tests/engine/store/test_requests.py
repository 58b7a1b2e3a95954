"""What is asked of a run from outside: until when it counts, and how much of it is kept."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util

import pytest

from agenticaiframework.patterns.engine.store import RunOver, RunUpdate, TooManyPending

from .media import Medium, new_run, opened

BACKENDS = ("memory", "sqlite.backend", "postgres.backend")


def limit_signals(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    for name in BACKENDS:
        if name.startswith("postgres") and importlib.util.find_spec("psycopg") is None:
            continue
        module = importlib.import_module(f"agenticaiframework.patterns.engine.store.{name}")
        monkeypatch.setattr(module, "MAX_SIGNALS", limit)


def test_a_run_that_has_ended_takes_no_signal(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            lease = await store.create_run(owner, new_run())
            await store.put_signal("run-1", "early")
            await store.append(lease, [], RunUpdate(state="completed", finished=True))
            with pytest.raises(RunOver, match="has ended \\(completed\\)"):
                await store.put_signal("run-1", "late")
            with pytest.raises(RunOver):
                await store.put_signal("run-1", "late", None, late=True)
            assert [signal.name for signal in await store.pending_signals("run-1")] == ["early"]
            lease = await store.claim(owner, "run-1")
            await store.append(lease, [], RunUpdate(state="running", finished=False))
            await store.put_signal("run-1", "again")
            assert len(await store.pending_signals("run-1")) == 2

    asyncio.run(main())


def test_more_signals_than_a_run_holds_are_refused_until_some_are_taken(
    medium: Medium, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_signals(monkeypatch, 3)

    async def main() -> None:
        async with opened(medium) as (store, owner):
            lease = await store.create_run(owner, new_run())
            await store.create_run(owner, new_run("run-2"))
            numbers = [await store.put_signal("run-1", f"s{n}") for n in range(3)]
            with pytest.raises(TooManyPending, match="3 signals"):
                await store.put_signal("run-1", "one too many")
            await store.put_signal("run-2", "another run's")
            await store.append(lease, [], RunUpdate(state="waiting"), numbers[:1])
            await store.put_signal("run-1", "s3")
            names = [signal.name for signal in await store.pending_signals("run-1")]
            assert names == ["s1", "s2", "s3"]

    asyncio.run(main())


def test_pending_signals_above_a_number(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            await store.create_run(owner, new_run())
            first, second, third = [await store.put_signal("run-1", f"s{n}") for n in range(3)]
            assert first < second < third
            assert [s.number for s in await store.pending_signals("run-1", first)] == [
                second,
                third,
            ]
            assert await store.pending_signals("run-1", third) == []

    asyncio.run(main())


def test_signals_that_come_at_once_are_refused_one_by_one(
    medium: Medium, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_signals(monkeypatch, 5)

    async def main() -> None:
        async with opened(medium) as (store, owner):
            await store.create_run(owner, new_run())
            outcomes = await asyncio.gather(
                *(store.put_signal("run-1", f"s{n}") for n in range(8)), return_exceptions=True
            )
            assert [isinstance(outcome, TooManyPending) for outcome in outcomes] == [False] * 5 + [
                True
            ] * 3
            assert len(await store.pending_signals("run-1")) == 5

    asyncio.run(main())


def test_a_request_to_cancel_is_over_when_the_run_is_reopened(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            lease = await store.create_run(owner, new_run())
            assert await store.request_cancel("run-1", "stop", {"compensate": False})
            # What says that it has not ended changes nothing of one that has not.
            await store.append(lease, [], RunUpdate(state="waiting", finished=False))
            row = await store.load_run("run-1")
            assert (row.cancel_reason, row.cancel_options) == ("stop", {"compensate": False})
            await store.append(lease, [], RunUpdate(state="cancelled", finished=True))
            assert (await store.load_run("run-1")).cancel_reason == "stop"
            lease = await store.claim(owner, "run-1")
            await store.append(lease, [], RunUpdate(state="running", finished=False))
            row = await store.load_run("run-1")
            assert row.cancel_reason is row.cancel_options is row.cancel_requested_at is None
            assert await store.request_cancel("run-1", "again")
            assert (await store.load_run("run-1")).cancel_reason == "again"

    asyncio.run(main())


def test_a_run_that_has_failed_may_be_given_a_signal_for_when_it_is_reopened(
    medium: Medium,
) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            lease = await store.create_run(owner, new_run())
            await store.append(lease, [], RunUpdate(state="failed", finished=True))
            with pytest.raises(RunOver):
                await store.put_signal("run-1", "late")
            await store.put_signal("run-1", "late", None, late=True)
            assert [signal.name for signal in await store.pending_signals("run-1")] == ["late"]

    asyncio.run(main())
