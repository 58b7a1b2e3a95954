"""A process that works on a store until it is killed, and tells each acknowledgement.

    python worker.py URL NAME RUNS DURABILITY [APPENDS]

Prints `ready`, then `RUN SEQ` for each acknowledged append, in one write each. With APPENDS it
ends after that many for each run; without, it goes on for ever.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys

from agenticaiframework.patterns.engine.store import (
    Durability,
    FencedOut,
    Lease,
    NewRun,
    Record,
    RunUpdate,
    Store,
    open_store,
)


def tell(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def work(store: Store, lease: Lease, appends: int) -> None:
    """Append records that hold their own number."""
    for _ in range(appends) if appends else itertools.count():
        first = lease.next_seq
        # One to three records, so that the journal's rows differ in size.
        records = [Record("n", data=first + n) for n in range(1 + first % 3)]
        try:
            last = await store.append(lease, records, RunUpdate(state=f"at {first}"))
        except FencedOut:
            tell("fenced", lease.run_id)
            return
        tell(lease.run_id, last)


async def main(url: str, name: str, runs: str, durability: str, appends: str = "0") -> None:
    store = open_store(url)
    await store.open()
    # A lease that no test outlives: the dead must be known by something else.
    owner = await store.register(name, 3600, replace=True)
    leases = await store.claim_abandoned(owner)
    tell("ready", len(leases))
    for number in range(int(runs)):
        run = NewRun(
            f"{name}-{owner.number}-{number}", "w", "h", "{}", durability=Durability(durability)
        )
        lease = await store.create_run(owner, run)
        tell(lease.run_id, 0)
        leases.append(lease)
    await asyncio.gather(*(work(store, lease, int(appends)) for lease in leases))
    tell("done", store.stats().commits)
    await store.retire(owner)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
