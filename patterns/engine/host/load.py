"""How loaded an engine is, for metrics: a look at what it has in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..store import StoreStats

if TYPE_CHECKING:
    from .core import EngineCore


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """How loaded an engine is in one system: a look at what it has in memory."""

    runs: Mapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    """How many runs have not ended, by workflow and state."""
    running: int = 0
    """Runs that have their turn, each with its parts."""
    most: int = 0
    """How many may have theirs at the same time."""
    queued: int = 0
    """Runs that wait for their turn."""
    outage_s: float = 0.0
    """How long the store has not answered; 0 while it does."""
    queues: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    """How many runs wait in each queue, and how many are taken: in the whole store, as an engine that serves
    queues has looked it up in the last seconds."""
    queue_ages: Mapping[str, float] = field(default_factory=dict[str, float])
    """For how many seconds the run has waited that has waited longest in each of them; 0 where none waits."""
    store: StoreStats | None = None
    """The counters of its store, once that is open."""


def load_of(core: EngineCore, most: int) -> EngineLoad:
    """Return how loaded *core* is, where *most* runs may have their turn; on its loop."""
    outage, keeper = core.gate.outage, core.gate.keeper
    runs = Counter((live.run.plan.name, str(live.state)) for live in core.roster if not live.over)
    depths = () if keeper is None else tuple(keeper.queues.depths.values())
    now = core.now()
    return EngineLoad(
        runs,
        core.turns,
        most,
        core.waiting_for_turn,
        0.0 if outage is None else max(0.0, now - outage.began_at),
        {depth.queue: (depth.waiting, depth.taken) for depth in depths},
        {
            depth.queue: 0.0 if depth.oldest_at is None else max(0.0, now - depth.oldest_at)
            for depth in depths
        },
        None if keeper is None else keeper.store.stats(),
    )


__all__ = ["EngineLoad", "load_of"]
