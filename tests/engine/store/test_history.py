"""Any sequence of calls has the same outcome on SQLite as on the memory store, which is simple
enough to be read as the specification."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agenticaiframework.patterns.engine.store import (
    Lease,
    Owner,
    Record,
    Retention,
    RunUpdate,
    Store,
    StoreError,
)

from .media import Medium, held, new_run, told

RUNS = st.sampled_from(["a", "b", "c"])
ENGINES = st.integers(0, 1)
UPDATES = st.none() | st.builds(
    RunUpdate,
    state=st.sampled_from([None, "running", "done"]),
    finished=st.sampled_from([None, True, False]),
    error=st.sampled_from([None, "", "broke"]),
    wake_at=st.sampled_from([None, 0.0, 1_800_000_000.0]),
)
CALLS = st.one_of(
    st.tuples(st.just("create"), ENGINES, RUNS, st.integers(0, 2)),
    st.tuples(st.just("append"), RUNS, st.integers(0, 1), st.integers(0, 2), UPDATES),
    st.tuples(st.just("consume"), RUNS, st.integers(1, 4)),
    st.tuples(st.just("claim"), ENGINES, RUNS),
    st.tuples(st.just("recover"), ENGINES),
    st.tuples(st.just("release"), RUNS),
    st.tuples(st.just("renew"), ENGINES),
    st.tuples(st.just("pass"), st.sampled_from([10.0, 100.0])),
    st.tuples(st.just("cancel"), RUNS),
    st.tuples(st.just("signal"), RUNS),
    st.tuples(st.just("poll"), ENGINES),
    st.tuples(st.just("purge"), st.sampled_from([0.0, 50.0])),
    st.tuples(st.just("together"), st.integers(2, 4)),
)


class Player:
    """Plays calls on a store and tells what each came to."""

    def __init__(self, medium: Medium) -> None:
        self.medium = medium
        self.leases: dict[str, list[Lease]] = {}
        self.owners: list[Owner] = []
        self.cursors = [0, 0]

    async def play(self, store: Store, calls: list[tuple[Any, ...]]) -> list[Any]:
        self.owners = [await store.register(f"engine-{n}", 60) for n in range(2)]
        said: list[Any] = []
        rest = iter(calls)
        for call in rest:
            if call[0] != "together":
                said.append(await self.outcome(store, call))
                continue
            some = [c for _, c in zip(range(call[1]), rest) if c[0] != "together"]  # noqa: B905
            said += await asyncio.gather(*(self.outcome(store, each) for each in some))
        for run_id in "abc":
            said.append(await self.whole(store, run_id))
        return said

    async def outcome(self, store: Store, call: tuple[Any, ...]) -> Any:
        try:
            return await getattr(self, call[0])(store, *call[1:])
        except StoreError as error:
            return type(error).__name__

    async def create(self, store: Store, engine: int, run_id: str, count: int) -> Any:
        lease = await store.create_run(
            self.owners[engine], new_run(run_id), [Record("r", data=n) for n in range(count)]
        )
        self.leases.setdefault(run_id, []).append(lease)
        return lease.next_seq

    def lease(self, run_id: str, age: int = 0) -> Lease | None:
        leases = self.leases.get(run_id, [])
        return leases[-1 - min(age, len(leases) - 1)] if leases else None

    async def append(
        self, store: Store, run_id: str, age: int, count: int, update: RunUpdate | None
    ) -> Any:
        lease = self.lease(run_id, age)
        if lease is None or (not count and update is None):
            return None
        return await store.append(lease, [Record("a", data=n) for n in range(count)], update)

    async def consume(self, store: Store, run_id: str, number: int) -> Any:
        lease = self.lease(run_id)
        return None if lease is None else await store.append(lease, [Record("c")], None, [number])

    async def claim(self, store: Store, engine: int, run_id: str) -> Any:
        lease = await store.claim(self.owners[engine], run_id)
        self.leases.setdefault(run_id, []).append(lease)
        return lease.fence, lease.next_seq

    async def recover(self, store: Store, engine: int) -> Any:
        found = await store.claim_abandoned(self.owners[engine])
        for lease in found:
            self.leases.setdefault(lease.run_id, []).append(lease)
        return [(lease.run_id, lease.fence, lease.next_seq) for lease in found]

    async def release(self, store: Store, run_id: str) -> None:
        lease = self.lease(run_id)
        if lease is not None:
            await store.release(lease)

    async def renew(self, store: Store, engine: int) -> Any:
        owner = self.owners[engine]
        return await store.renew(owner), await held(store, owner)

    async def cancel(self, store: Store, run_id: str) -> Any:
        return await store.request_cancel(run_id, "why")

    async def signal(self, store: Store, run_id: str) -> Any:
        return await store.put_signal(run_id, "go", [run_id])

    async def poll(self, store: Store, engine: int) -> Any:
        inbox = await store.poll(self.owners[engine], self.cursors[engine])
        self.cursors[engine] = inbox.cursor
        return inbox

    async def purge(self, store: Store, age_s: float) -> Any:
        return await store.purge(Retention(max_age_s=age_s))

    async def whole(self, store: Store, run_id: str) -> Any:
        try:
            row = await store.load_run(run_id)
        except StoreError as error:
            return type(error).__name__
        pending = await store.pending_signals(run_id)
        return (
            *(row.state, row.finished, row.error, row.wake_at, row.cancel_reason, row.fence),
            *(row.owner, told(await store.read_journal(run_id))),
            [(s.number, s.name, s.payload) for s in pending],
        )

    # Not a call on the store.
    async def pass_(self, store: Store, seconds: float) -> None:
        self.medium.clock.now += seconds


setattr(Player, "pass", Player.pass_)


def play(kind: str, folder: Path, calls: list[tuple[Any, ...]]) -> list[Any]:
    async def main() -> list[Any]:
        medium = Medium(kind, folder)
        store = medium.store()
        await store.open()
        try:
            return await Player(medium).play(store, calls)
        finally:
            await store.close()

    return asyncio.run(main())


@settings(max_examples=80)
@given(st.lists(CALLS, max_size=25))
def test_sqlite_and_memory_agree_on_every_history(calls: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        in_memory = play("memory", Path(folder), calls)
        assert play("sqlite-inline", Path(folder), calls) == in_memory


@settings(max_examples=15)
@given(st.lists(CALLS, max_size=25))
def test_the_writers_thread_changes_no_outcome(calls: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        in_memory = play("memory", Path(folder), calls)
        assert play("sqlite", Path(folder), calls) == in_memory
