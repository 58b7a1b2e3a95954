"""A store that a test can have fail: for a time, before a commit happens or after."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.patterns.engine.store import StoreFull, StoreRefused, StoreUnavailable
from agenticaiframework.patterns.engine.store.grouped.jobs import Job
from agenticaiframework.patterns.engine.store.grouped.store import GroupedStore
from agenticaiframework.patterns.engine.store.memory import MemoryBackend, MemoryDisk

EPOCH_S = 1_000_000.0


def dates() -> float:
    """The dates of a simulated world: the loop's own time."""
    try:
        return EPOCH_S + asyncio.get_running_loop().time()
    except RuntimeError:
        return EPOCH_S


class MoodyDisk(MemoryDisk):
    """A disk that several stores share, and that may not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.full = False
        self.refuses = False
        """Whether it refuses what only people can change, while it is down."""
        self.swallows = False
        """Whether a commit that fails has happened all the same."""
        self.asked = 0
        """How many commits were refused."""


class MoodyBackend(MemoryBackend):
    """Fails as its disk says."""

    def __init__(self, disk: MoodyDisk, clock: Callable[[], float] = dates) -> None:
        super().__init__(clock=clock, disk=disk)
        self._moody = disk

    def commit(self, jobs: list[Job]) -> None:
        """Carry out the jobs, or not, or without saying so."""
        disk = self._moody
        if not disk.down:
            super().commit(jobs)
            return
        disk.asked += 1
        if disk.swallows:
            super().commit(jobs)
        if disk.refuses:
            raise StoreRefused("the store", "committing", "permission denied")
        kind = StoreFull if disk.full else StoreUnavailable
        raise kind("the store", "committing", "the line is dead")


def moody_store(disk: MoodyDisk) -> GroupedStore:
    """Return a store over *disk*."""
    return GroupedStore(MoodyBackend(disk), clock=dates, inline=True)


def moody_engine(disk: MoodyDisk, name: str = "engine", **more: Any) -> OrchestrationEngine:
    """Return an engine that stores its runs on *disk*."""
    config: dict[str, Any] = {"persist_state": True, "wall_clock": dates, **more}
    return OrchestrationEngine(EngineConfig(state_store=moody_store(disk), **config), name=name)


async def journal(disk: MoodyDisk, run_id: str) -> list[str]:
    """Return what happened in a run, as the disk tells it."""
    reader = GroupedStore(MemoryBackend(clock=dates, disk=disk), clock=dates, inline=True)
    await reader.open()
    try:
        return [entry.kind for entry in await reader.read_journal(run_id)]
    finally:
        await reader.close()


async def row(disk: MoodyDisk, run_id: str) -> Any:
    """Return what the disk knows of a run."""
    reader = GroupedStore(MemoryBackend(clock=dates, disk=disk), clock=dates, inline=True)
    await reader.open()
    try:
        return await reader.load_run(run_id)
    finally:
        await reader.close()
