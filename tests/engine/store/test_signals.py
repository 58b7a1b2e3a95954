"""What reaches a run from outside: signals, cancellations, and word of them."""

from __future__ import annotations

import asyncio

import pytest

from agenticaiframework.patterns.engine.store import (
    Notice,
    Record,
    RunUpdate,
    StoreError,
)

from .media import Medium, new_run, opened, small_limits


def test_a_signal_is_pending_until_a_record_consumes_it(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium, limits=small_limits()) as (store, owner):
            lease = await store.create_run(owner, new_run())
            await store.create_run(owner, new_run("other"))
            first = await store.put_signal("run-1", "approve", {"by": "ann"})
            second = await store.put_signal("run-1", "approve", "x" * 500)
            await store.put_signal("other", "approve")
            assert second > first
            pending = await store.pending_signals("run-1")
            assert [(s.number, s.run_id, s.name, s.payload) for s in pending] == [
                (first, "run-1", "approve", {"by": "ann"}),
                (second, "run-1", "approve", "x" * 500),
            ]
            assert pending[0].at <= pending[1].at <= medium.clock.now
            await store.append(lease, [Record("approved", data=first)], None, [first])
            assert [s.number for s in await store.pending_signals("run-1")] == [second]
            await store.append(lease, [Record("approved")], RunUpdate("on"), (second,))
            assert await store.pending_signals("run-1") == []
            (others,) = await store.pending_signals("other")
            assert others.payload is None

    asyncio.run(main())


def test_a_signal_is_consumed_once_and_only_by_its_own_run(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            lease = await store.create_run(owner, new_run())
            other = await store.create_run(owner, new_run("other"))
            number = await store.put_signal("run-1", "go")
            await store.append(lease, [Record("went")], None, [number])
            for by, signal in ((lease, number), (other, number), (lease, number + 1000)):
                with pytest.raises(StoreError, match="is not pending"):
                    await store.append(by, [Record("again")], None, [signal])
            assert [e.kind for e in await store.read_journal("run-1")] == ["went"]
            assert await store.read_journal("other") == []
            assert await store.append(lease, [Record("on")]) == 2

    asyncio.run(main())


def test_a_part_may_consume_a_signal_of_the_runs_around_it(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            await store.create_run(owner, new_run("w"))
            await store.create_run(owner, new_run("w~a", parent="w", root="w"))
            deep = await store.create_run(owner, new_run("w~a~b", parent="w~a", root="w"))
            other = await store.create_run(owner, new_run("v~a", parent="v", root="v"))
            for run_id in ("w", "w~a"):
                number = await store.put_signal(run_id, "go")
                with pytest.raises(StoreError, match="is not pending"):
                    await store.append(other, [Record("went")], None, [number])
                await store.append(deep, [Record("went")], None, [number])
                assert await store.pending_signals(run_id) == []

    asyncio.run(main())


def test_the_first_reason_to_cancel_stays(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            lease = await store.create_run(owner, new_run())
            assert await store.request_cancel("run-1", "user asked")
            asked = (await store.load_run("run-1")).cancel_requested_at
            assert asked is not None
            assert await store.request_cancel("run-1", "")
            row = await store.load_run("run-1")
            assert (row.cancel_reason, row.cancel_requested_at) == ("user asked", asked)
            assert row.state == "running"
            # It does not take the run from its owner.
            await store.append(lease, [Record("cancelled")], RunUpdate("cancelled", finished=True))
            assert not await store.request_cancel("run-1", "once more")

    asyncio.run(main())


def test_an_owner_hears_what_concerns_its_runs_and_each_thing_once(shared_medium: Medium) -> None:
    async def main() -> None:
        async with opened(shared_medium) as (store, mine):
            outside = shared_medium.store()
            await outside.open()
            other = await store.register("engine-2", 60)
            await store.create_run(mine, new_run("a"))
            await store.create_run(mine, new_run("b"))
            await store.create_run(other, new_run("c"))
            inbox = await store.poll(mine)
            assert inbox.notices == ()
            first = await outside.put_signal("a", "go", 1)
            await outside.put_signal("c", "go")
            await outside.request_cancel("b", "enough")
            await outside.request_cancel("b", "really")
            inbox = await store.poll(mine, inbox.cursor)
            assert inbox.notices[0] == Notice(first, "a", "signal", "go")
            assert [n[1:] for n in inbox.notices] == [
                ("a", "signal", "go"),
                ("b", "cancel", "enough"),
            ]
            assert await store.poll(mine, inbox.cursor) == ((), inbox.cursor)
            assert [n.run_id for n in (await store.poll(other)).notices] == ["c"]
            # Cancellations are no signals.
            assert await store.pending_signals("b") == []
            await outside.close()

    asyncio.run(main())


def test_no_notice_is_missed_while_many_are_written(shared_medium: Medium) -> None:
    async def main() -> None:
        async with opened(shared_medium) as (store, owner):
            outside = [shared_medium.store() for _ in range(2)]
            for each in outside:
                await each.open()
            await store.create_run(owner, new_run())

            async def send(name: str, number: int) -> list[int]:
                return [await outside[number].put_signal("run-1", name) for _ in range(60)]

            sending = asyncio.gather(send("x", 0), send("y", 1))
            heard: list[int] = []
            cursor = 0
            async with asyncio.timeout(120):
                while len(heard) < 120:
                    inbox = await store.poll(owner, cursor)
                    heard += [notice.number for notice in inbox.notices]
                    cursor = inbox.cursor
                    await asyncio.sleep(0)
            sent = await sending
            assert heard == sorted(number for some in sent for number in some)
            for each in outside:
                await each.close()

    asyncio.run(main())
