"""Queues in a store: in which order runs are taken, how many, and what a dead engine's count for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest

from agenticaiframework.patterns.engine.store import (
    Lease,
    Owner,
    QueueLimits,
    QueuePlace,
    Record,
    RunFilter,
    RunHeld,
    RunUpdate,
    Store,
)

from .media import Medium, new_run, opened

GPU = QueueLimits("gpu")


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Return *test* as a function that runs it on a loop of its own."""

    @wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run


async def enqueue(store: Store, owner: Owner, run_id: str, **changes: Any) -> None:
    run = new_run(run_id, **{"queue": "gpu", "state": "pending", **changes})
    await store.create_run(owner, run)


async def finish(store: Store, lease: Lease) -> None:
    await store.append(lease, [Record("end")], RunUpdate(state="completed", finished=True))


def ids(leases: list[Lease]) -> list[str]:
    return sorted(lease.run_id for lease in leases)


async def one_by_one(store: Store, owner: Owner, limits: QueueLimits = GPU) -> list[str]:
    """Return the runs in the order in which they are taken."""
    order: list[str] = []
    while taken := await store.take(owner, limits, 1):
        order += ids(taken)
    return order


@on_a_loop
async def test_a_run_of_a_queue_has_no_owner_and_is_recovered_by_none(medium: Medium) -> None:
    async with opened(medium) as (store, owner):
        await enqueue(store, owner, "a", queue_key="k", priority=3)
        row = await store.load_run("a")
        assert (row.queue, row.queue_key, row.priority, row.owner) == ("gpu", "k", 3, None)
        assert await store.claim_abandoned(owner) == []
        (lease,) = await store.take(owner, GPU, 5)
        assert (await store.load_run("a")).owner == "engine-1"
        await store.append(lease, [Record("begin")], RunUpdate(state="running"))


@on_a_loop
async def test_the_largest_priority_comes_first_and_of_one_priority_the_oldest(
    medium: Medium,
) -> None:
    async with opened(medium) as (store, owner):
        for run_id, priority in [("a", 0), ("b", 5), ("c", -1), ("d", 5), ("e", 0)]:
            await enqueue(store, owner, run_id, priority=priority)
        assert await store.queue_place("c") == QueuePlace(4)
        assert await store.queue_place("b") == QueuePlace(0)
        assert await one_by_one(store, owner) == ["b", "d", "a", "e", "c"]
        assert await store.queue_place("b") is None


@on_a_loop
async def test_a_place_counts_what_is_taken_of_the_key_and_what_has_begun_lately(
    medium: Medium,
) -> None:
    limits = GPU._replace(rate=2, rate_s=3_600)
    async with opened(medium) as (store, owner):
        for run_id, key in [("a", "ada"), ("b", "bob"), ("c", "ada"), ("d", None), ("e", "ada")]:
            await enqueue(store, owner, run_id, queue_key=key)
        await enqueue(store, owner, "m", queue="mail", queue_key="ada")
        await store.take(owner, limits, 9)
        assert await store.queue_place("c", 3_600) == QueuePlace(0, key_taken=1, begun=2)
        assert await store.queue_place("d", 3_600) == QueuePlace(1, key_taken=0, begun=2)
        assert await store.queue_place("e") == QueuePlace(2, key_taken=1, begun=0)
        assert await store.queue_place("m", 3_600) == QueuePlace(0)
        assert await store.queue_place("a", 3_600) is None


@on_a_loop
async def test_only_runs_of_the_queue_that_is_asked_for_are_taken(medium: Medium) -> None:
    async with opened(medium) as (store, owner):
        await enqueue(store, owner, "a", queue="mail")
        await store.create_run(owner, new_run("b"))
        assert await store.take(owner, GPU, 9) == []
        assert ids(await store.take(owner, QueueLimits("mail"), 9)) == ["a"]


@on_a_loop
async def test_the_limit_over_all_engines_holds_until_a_run_has_ended(medium: Medium) -> None:
    async with opened(medium) as (store, owner):
        other = await store.register("engine-2", 60)
        for number in range(5):
            await enqueue(store, owner, f"r{number}")
        limits = QueueLimits("gpu", concurrency=2)
        (first,) = await store.take(owner, limits, 1)
        assert ids(await store.take(other, limits, 9)) == ["r1"]
        assert await store.take(owner, limits, 9) == []
        await finish(store, first)
        assert ids(await store.take(other, limits, 9)) == ["r2"]


@on_a_loop
async def test_the_limit_of_one_engine_counts_its_own_runs(medium: Medium) -> None:
    async with opened(medium) as (store, owner):
        other = await store.register("engine-2", 60)
        for number in range(5):
            await enqueue(store, owner, f"r{number}")
        limits = QueueLimits("gpu", worker_concurrency=2)
        assert len(await store.take(owner, limits, 9)) == 2
        assert len(await store.take(owner, limits, 9)) == 0
        assert len(await store.take(other, limits, 9)) == 2


@on_a_loop
async def test_a_key_that_is_full_is_passed_over(medium: Medium) -> None:
    async with opened(medium) as (store, owner):
        for run_id, key in [("a1", "a"), ("a2", "a"), ("b1", "b"), ("free", None), ("a3", "a")]:
            await enqueue(store, owner, run_id, queue_key=key)
        limits = QueueLimits("gpu", key_concurrency=1)
        taken = await store.take(owner, limits, 9)
        assert ids(taken) == ["a1", "b1", "free"]
        assert await store.take(owner, limits, 9) == []
        await finish(store, next(lease for lease in taken if lease.run_id == "a1"))
        assert ids(await store.take(owner, limits, 9)) == ["a2"]


@on_a_loop
async def test_a_key_with_very_many_runs_keeps_none_of_another_waiting(medium: Medium) -> None:
    async with opened(medium) as (store, owner):
        await asyncio.gather(
            *(enqueue(store, owner, f"flood-{n:04}", queue_key="flood") for n in range(1200))
        )
        await enqueue(store, owner, "late", queue_key="small", priority=-1)
        await enqueue(store, owner, "free", priority=-2)
        await enqueue(store, owner, "last", queue_key="small", priority=-3)
        limits = QueueLimits("gpu", key_concurrency=1)
        assert ids(await store.take(owner, limits, 9)) == ["flood-0000", "free", "late"]


@on_a_loop
async def test_no_more_begin_within_a_time_than_its_rate_allows(medium: Medium) -> None:
    async with opened(medium) as (store, owner):
        for number in range(5):
            await enqueue(store, owner, f"r{number}")
        limits = QueueLimits("gpu", rate=2, rate_s=1000)
        taken = await store.take(owner, limits, 9)
        assert len(taken) == 2
        for lease in taken:
            await finish(store, lease)
        await store.forget([lease.run_id for lease in taken])
        assert await store.take(owner, limits, 9) == []
        if medium.kind == "postgres":
            medium.run_sql("UPDATE queue_starts SET at = at - 2000000000")
        else:
            medium.clock.now += 2000
            await store.renew(owner)
        assert len(await store.take(owner, limits, 9)) == 2


@on_a_loop
async def test_a_dead_engines_runs_keep_their_places_until_they_are_taken_over_first(
    medium: Medium,
) -> None:
    async with opened(medium) as (store, owner):
        dead = await store.register("engine-2", 60)
        await enqueue(store, owner, "old", queue_key="k", priority=-9)
        await enqueue(store, owner, "urgent", queue_key="k", priority=9)
        limits = QueueLimits("gpu", concurrency=1, key_concurrency=1, rate=2, rate_s=1000)
        (lease,) = await store.take(dead, limits, 1, "old")
        await store.append(lease, [Record("begin")], RunUpdate(state="running"))
        assert await store.take(owner, limits, 9) == []
        await store.retire(dead)
        assert await store.claim_abandoned(owner) == []
        taken = await store.take(owner, limits, 9)
        assert ids(taken) == ["old"]
        assert taken[0].fence > lease.fence
        await finish(store, taken[0])
        assert ids(await store.take(owner, limits, 9)) == ["urgent"]


@on_a_loop
async def test_an_engine_whose_lease_has_ended_is_dead(medium: Medium) -> None:
    async with opened(medium) as (store, owner):
        dead = await store.register("engine-2", 5)
        await enqueue(store, owner, "a")
        await store.take(dead, GPU, 1)
        medium.expire(dead)
        await store.renew(owner)
        assert ids(await store.take(owner, GPU, 1)) == ["a"]


@on_a_loop
async def test_a_run_that_is_given_back_waits_again_in_its_place(medium: Medium) -> None:
    async with opened(medium) as (store, owner):
        await enqueue(store, owner, "a")
        await enqueue(store, owner, "b")
        (lease,) = await store.take(owner, GPU, 1)
        await store.append(lease, [Record("begin")], RunUpdate(state="running"))
        await store.release(lease)
        assert await store.claim_abandoned(owner) == []
        assert await one_by_one(store, owner) == ["a", "b"]


@on_a_loop
async def test_a_blocked_run_is_taken_only_by_its_id_and_only_where_there_is_a_place(
    medium: Medium,
) -> None:
    async with opened(medium) as (store, owner):
        await enqueue(store, owner, "a")
        await enqueue(store, owner, "b")
        limits = QueueLimits("gpu", concurrency=1)
        (lease,) = await store.take(owner, limits, 1)
        await store.append(lease, [Record("blocked")], RunUpdate(state="blocked"))
        await store.release(lease)
        (other,) = await store.take(owner, limits, 9)
        assert other.run_id == "b"
        assert await store.take(owner, limits, 1, "a") == []
        await finish(store, other)
        assert await store.take(owner, limits, 9) == []
        assert ids(await store.take(owner, limits, 1, "a")) == ["a"]


@on_a_loop
async def test_a_run_by_its_id_is_not_taken_from_an_engine_that_lives(medium: Medium) -> None:
    async with opened(medium) as (store, owner):
        other = await store.register("engine-2", 60)
        await enqueue(store, owner, "a")
        await store.take(other, GPU, 1)
        assert await store.take(owner, GPU, 1, "a") == []
        with pytest.raises(RunHeld):
            await store.claim(owner, "a")


@on_a_loop
async def test_depths_count_what_waits_and_what_is_taken_and_name_the_engines_that_serve(
    medium: Medium,
) -> None:
    async with opened(medium) as (store, owner):
        other = await store.register("engine-2", 60)
        await store.serve(owner, ["gpu", "idle"])
        await store.serve(other, ["gpu"])
        for run_id in "abc":
            await enqueue(store, owner, run_id)
        await enqueue(store, owner, "m", queue="mail")
        await store.take(owner, GPU, 1)
        gpu, idle, mail = await store.queue_depths()
        assert (gpu.queue, gpu.waiting, gpu.taken) == ("gpu", 2, 1)
        assert gpu.engines == ("engine-1", "engine-2")
        assert gpu.oldest_at == (await store.load_run("b")).created_at
        assert (idle.queue, idle.waiting, idle.oldest_at) == ("idle", 0, None)
        assert (mail.queue, mail.waiting, mail.engines) == ("mail", 1, ())
        await store.retire(other)
        assert (await store.queue_depths())[0].engines == ("engine-1",)


@on_a_loop
async def test_runs_are_listed_by_their_queue(medium: Medium) -> None:
    async with opened(medium) as (store, owner):
        await enqueue(store, owner, "a")
        await enqueue(store, owner, "b", queue="mail")
        await store.create_run(owner, new_run("c"))
        found = await store.list_runs(RunFilter(queue="mail"))
        assert [row.run_id for row in found.rows] == ["b"]
        found = await store.list_runs(
            RunFilter(queue="gpu", finished=False, states=frozenset({"pending"}))
        )
        assert [row.run_id for row in found.rows] == ["a"]


@pytest.mark.parametrize(
    "limits",
    [
        QueueLimits("gpu", concurrency=4),
        QueueLimits("gpu", key_concurrency=1),
        QueueLimits("gpu", concurrency=6, worker_concurrency=2, key_concurrency=2),
        QueueLimits("gpu"),
    ],
    ids=["concurrency", "key", "all", "none"],
)
@on_a_loop
async def test_stores_that_take_at_the_same_time_take_no_run_twice_and_none_too_many(
    shared_medium: Medium, limits: QueueLimits
) -> None:
    async with opened(shared_medium) as (store, owner):
        keys = {f"r{n:02}": f"k{n % 3}" for n in range(40)}
        for run_id, key in keys.items():
            await enqueue(store, owner, run_id, queue_key=key)
        stores = [shared_medium.store() for _ in range(3)]
        for each in stores:
            await each.open()
        try:
            owners = [await each.register(f"racer-{n}", 60) for n, each in enumerate(stores)]
            held: dict[str, tuple[int, Lease]] = {}
            done: list[str] = []
            for _ in range(60):
                rounds = await asyncio.gather(
                    *(each.take(one, limits, 3) for each, one in zip(stores, owners, strict=True))
                )
                for number, leases in enumerate(rounds):
                    for lease in leases:
                        assert lease.run_id not in {*held, *done}
                        held[lease.run_id] = number, lease
                if limits.concurrency is not None:
                    assert len(held) <= limits.concurrency
                if limits.worker_concurrency is not None:
                    most = max(Counter(number for number, _ in held.values()).values(), default=0)
                    assert most <= limits.worker_concurrency
                if limits.key_concurrency is not None:
                    most = max(Counter(keys[run_id] for run_id in held).values(), default=0)
                    assert most <= limits.key_concurrency
                for run_id, (number, lease) in list(held.items())[:3]:
                    await finish(stores[number], lease)
                    del held[run_id]
                    done.append(run_id)
            assert len(done) == 40
        finally:
            for each in stores:
                await each.close()


@on_a_loop
async def test_a_listener_hears_of_a_queue_that_has_a_new_run(postgres: Medium) -> None:
    async with opened(postgres) as (store, owner):
        other = postgres.store()
        await other.open()
        try:
            heard: asyncio.Queue[str] = asyncio.Queue()
            other.listen(heard.put_nowait)
            async with asyncio.timeout(120):
                while heard.empty():
                    await enqueue(store, owner, f"r{asyncio.get_running_loop().time()}")
                    await asyncio.sleep(0.01)
            assert heard.get_nowait() == "queue:gpu"
        finally:
            await other.close()
