"""Who may write to a run: owners, claims, fencing tokens."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agenticaiframework.patterns.engine.store import (
    FencedOut,
    Lease,
    Owner,
    Record,
    RunHeld,
    RunUpdate,
    Store,
)

from .media import FINISHED, STARTED, Medium, held, new_run, opened


async def two_engines(store: Store) -> tuple[Owner, Owner]:
    return await store.register("engine-a", 60), await store.register("engine-b", 60)


def test_a_run_of_a_living_owner_cannot_be_claimed_by_another(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, _):
            a, b = await two_engines(store)
            lease = await store.create_run(a, new_run(), [STARTED])
            with pytest.raises(RunHeld, match="belongs to engine 'engine-a'") as caught:
                await store.claim(b, "run-1")
            assert (caught.value.run_id, caught.value.engine_id) == ("run-1", "engine-a")
            assert await store.claim_abandoned(b) == []
            assert await store.append(lease, [FINISHED]) == 2

    asyncio.run(main())


@pytest.mark.parametrize("end", ["expired", "retired", "released", "replaced"])
def test_a_run_whose_owner_gave_it_up_or_is_gone_can_be_claimed(medium: Medium, end: str) -> None:
    async def main() -> None:
        async with opened(medium) as (store, _):
            a = await store.register("engine-a", 60)
            old = await store.create_run(a, new_run(), [STARTED])
            if end == "expired":
                medium.expire(a)
            elif end == "retired":
                await store.retire(a)
            elif end == "released":
                await store.release(old)
            b = await store.register("engine-a", 60, replace=end == "replaced")
            lease = await store.claim(b, "run-1")
            assert (lease.run_id, lease.fence, lease.next_seq) == ("run-1", 2, 2)
            assert lease.durability is old.durability
            assert await held(store, b) == {"run-1"}
            assert await store.append(lease, [FINISHED]) == 2
            assert [e.fence for e in await store.read_journal("run-1")] == [1, 2]

    asyncio.run(main())


def test_an_append_with_a_stale_token_is_refused_and_writes_nothing_at_all(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, _):
            a, b = await two_engines(store)
            old = await store.create_run(a, new_run(), [STARTED])
            number = await store.put_signal("run-1", "go")
            medium.expire(a)
            b = await store.register("engine-b", 60)
            new = await store.claim(b, "run-1")
            attempts: list[tuple[Any, ...]] = [
                ([FINISHED], RunUpdate("done", finished=True), [number]),
                ([], RunUpdate("done")),
                ([], None, [number]),
                ([Record("big", data="x" * 70_000)],),
            ]
            for attempt in attempts:
                # The second is queued before the first has failed.
                both = [store.append(old, *attempt), store.append(old, [STARTED])]
                with pytest.raises(FencedOut, match="held fencing token 1") as caught:
                    await both[0]
                with pytest.raises(FencedOut):
                    await both[1]
                assert old.next_seq == 2
                assert (caught.value.run_id, caught.value.fence) == ("run-1", 1)
            row = await store.load_run("run-1")
            assert (row.state, row.finished, row.owner, row.fence) == (
                *("running", False, "engine-b", 2),
            )
            assert len(await store.read_journal("run-1")) == 1
            assert len(await store.pending_signals("run-1")) == 1
            # Releasing what it lost does not harm the new owner.
            await store.release(old)
            assert await held(store, b) == {"run-1"}
            assert await store.append(new, [FINISHED]) == 2

    asyncio.run(main())


def test_a_refused_append_does_not_harm_the_others_in_its_batch(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, _):
            a, b = await two_engines(store)
            lost = await store.create_run(a, new_run("lost"))
            await store.release(lost)
            await store.claim(b, "lost")
            others = [await store.create_run(a, new_run(f"r{n}")) for n in range(10)]
            leases = [*others[:5], lost, *others[5:]]
            outcomes = await asyncio.gather(
                *(
                    store.append(lease, [STARTED], RunUpdate(state=f"{lease.run_id}!"))
                    for lease in leases
                ),
                return_exceptions=True,
            )
            assert isinstance(outcomes.pop(5), FencedOut)
            assert outcomes == [1] * 10
            for lease in others:
                assert len(await store.read_journal(lease.run_id)) == 1
                assert (await store.load_run(lease.run_id)).state == f"{lease.run_id}!"
            assert await store.read_journal("lost") == []
            assert store.stats().failed_appends == 1

    asyncio.run(main())


def test_an_owner_that_claims_its_own_run_again_invalidates_its_earlier_lease(
    medium: Medium,
) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            first = await store.create_run(owner, new_run())
            second = await store.claim(owner, "run-1")
            with pytest.raises(FencedOut):
                await store.append(first, [STARTED])
            assert await store.append(second, [STARTED]) == 1

    asyncio.run(main())


def test_only_unfinished_runs_of_the_dead_are_abandoned(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, _):
            dead, alive = await two_engines(store)
            for number in range(6):
                lease = await store.create_run(dead, new_run(f"dead-{number}"), [STARTED])
                if number in (1, 4):
                    await store.append(lease, [], RunUpdate("done", finished=True))
            await store.create_run(alive, new_run("alive"))
            free = await store.create_run(alive, new_run("free"))
            await store.release(free)
            await store.retire(dead)
            heir = await store.register("engine-c", 60)
            some = await store.claim_abandoned(heir, limit=2)
            rest = await store.claim_abandoned(heir)
            assert [lease.run_id for lease in some] == ["dead-0", "dead-2"]
            assert [lease.run_id for lease in rest] == ["dead-3", "dead-5", "free"]
            assert [lease.next_seq for lease in rest] == [2, 2, 1]
            assert {lease.fence for lease in some + rest} == {2}
            assert await store.claim_abandoned(heir) == []
            assert len(await held(store, heir)) == 5
            for lease in some:
                assert await store.append(lease, [FINISHED]) == 2

    asyncio.run(main())


def test_abandoned_runs_are_claimed_oldest_first_whichever_was_written_last(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, _):
            dead = await store.register("engine-a", 60)
            names = [f"run-{number}" for number in range(5)]
            leases = [await store.create_run(dead, new_run(name), [STARTED]) for name in names]
            for lease in (leases[0], leases[2]):
                await store.append(lease, [FINISHED], RunUpdate("waiting"))
            await store.retire(dead)
            heir = await store.register("engine-b", 60)
            claimed = await store.claim_abandoned(heir)
            assert [lease.run_id for lease in claimed] == names
            assert [lease.next_seq for lease in claimed] == [3, 2, 3, 2, 2]

    asyncio.run(main())


def test_engines_that_recover_at_the_same_time_share_the_runs(shared_medium: Medium) -> None:
    async def main() -> None:
        async with opened(shared_medium) as (first, dead):
            second = shared_medium.store()
            await second.open()
            for number in range(40):
                await first.create_run(dead, new_run(f"r{number}"))
            await first.retire(dead)
            heirs = [await s.register("heir", 60) for s in (first, second)]

            async def recover(store: Store, owner: Owner) -> list[Lease]:
                found: list[Lease] = []
                while some := await store.claim_abandoned(owner, limit=3):
                    found += some
                    for lease in some:
                        await store.append(lease, [STARTED])
                return found

            shares = await asyncio.gather(recover(first, heirs[0]), recover(second, heirs[1]))
            taken = [lease.run_id for share in shares for lease in share]
            # A run that the other was claiming at that moment may have been skipped.
            taken += [lease.run_id for lease in await first.claim_abandoned(heirs[0])]
            assert sorted(taken) == sorted(f"r{number}" for number in range(40))
            await second.close()

    asyncio.run(main())


def test_a_lease_renewed_in_time_goes_on(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, _):
            a, b = await two_engines(store)
            await store.create_run(a, new_run())
            for _ in range(5):
                if medium.kind != "postgres":
                    medium.clock.now += 50
                assert await store.renew(a)
                await store.renew(b)
            with pytest.raises(RunHeld):
                await store.claim(b, "run-1")

    asyncio.run(main())


def test_an_engine_that_slept_through_its_lease_learns_what_it_lost(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, _):
            a = await store.register("engine-a", 60)
            lost = await store.create_run(a, new_run("lost"))
            kept = await store.create_run(a, new_run("kept"))
            medium.expire(a)
            b = await store.register("engine-b", 60)
            await store.claim(b, "lost")
            assert not await store.renew(a)
            assert await held(store, a) == {"kept"}
            assert await store.renew(a)
            with pytest.raises(FencedOut):
                await store.append(lost, [STARTED])
            assert await store.append(kept, [STARTED]) == 1
            with pytest.raises(RunHeld):
                await store.claim(b, "kept")

    asyncio.run(main())


def test_a_dead_owner_is_forgotten_once_nothing_unfinished_is_its_own(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, _):
            idle, busy = await two_engines(store)
            for owner, run_id in ((idle, "finished"), (busy, "unfinished")):
                lease = await store.create_run(owner, new_run(run_id), [STARTED])
                if owner is idle:
                    await store.append(lease, [FINISHED], RunUpdate("done", finished=True))
                    await store.claim(owner, run_id)  # A finished run shows its owner, too.
            await store.retire(idle)
            await store.retire(busy)
            rows = await store.load_runs(["finished", "unfinished"])
            assert [row.owner for row in rows.values()] == ["engine-a", "engine-b"]
            heir = await store.register("engine-c", 60)
            assert (await store.load_run("finished")).owner is None
            assert (await store.load_run("unfinished")).owner == "engine-b"
            [lease] = await store.claim_abandoned(heir)
            assert lease.run_id == "unfinished"

    asyncio.run(main())


def test_an_owner_that_others_have_forgotten_can_come_back(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, _):
            a = await store.register("engine-a", 60)
            medium.expire(a)
            # Registering clears away dead owners without runs.
            await store.register("engine-b", 60)
            assert not await store.renew(a)
            await store.create_run(a, new_run())
            assert (await store.load_run("run-1")).owner == "engine-a"
            c = await store.register("engine-c", 60)
            assert c.number > a.number
            with pytest.raises(RunHeld):
                await store.claim(c, "run-1")

    asyncio.run(main())


def test_appends_of_one_run_keep_their_order_when_nobody_waits_for_each(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            lease = await store.create_run(owner, new_run())
            numbers = await asyncio.gather(
                *(store.append(lease, [Record("r", data=n)] * (1 + n % 3)) for n in range(200))
            )
            journal = await store.read_journal("run-1")
            assert [entry.seq for entry in journal] == list(range(1, numbers[-1] + 1))
            assert [entry.data for entry in journal] == [
                n for n in range(200) for _ in range(1 + n % 3)
            ]

    asyncio.run(main())
