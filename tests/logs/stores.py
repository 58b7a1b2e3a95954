"""A store that does not answer when the test says so."""

from __future__ import annotations

import asyncio
from typing import Any

from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.patterns.engine.store import StoreUnavailable
from agenticaiframework.patterns.engine.store.grouped.store import GroupedStore
from agenticaiframework.patterns.engine.store.memory import MemoryBackend, MemoryDisk


def dates() -> float:
    """The dates of a simulated world: the loop's own time."""
    try:
        return 1_000_000.0 + asyncio.get_running_loop().time()
    except RuntimeError:
        return 1_000_000.0


class MoodyDisk(MemoryDisk):
    """A disk that several stores share, and that may not answer."""

    down = False


class MoodyBackend(MemoryBackend):
    def __init__(self, disk: MoodyDisk) -> None:
        super().__init__(clock=dates, disk=disk)
        self._moody = disk

    def commit(self, jobs: list[Any]) -> None:
        if self._moody.down:
            raise StoreUnavailable("the store", "committing", "the line is dead")
        super().commit(jobs)


def moody_store(disk: MoodyDisk) -> GroupedStore:
    """Return a store that keeps its runs on *disk*."""
    return GroupedStore(MoodyBackend(disk), clock=dates, inline=True)


def moody_engine(disk: MoodyDisk, name: str, **more: Any) -> OrchestrationEngine:
    """Return an engine that stores its runs on *disk*."""
    config: dict[str, Any] = {"persist_state": True, "wall_clock": dates, **more}
    return OrchestrationEngine(EngineConfig(state_store=moody_store(disk), **config), name=name)
