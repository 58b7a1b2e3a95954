"""What an event caused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..vocabulary.outcome import Completed, Outcome, Skipped
from ..vocabulary.values import Emit


@dataclass(frozen=True, slots=True)
class Happening:
    """One agent's reaction to one event; ``emitted`` are the names of the events it caused.

    ``hop`` counts from 1: how many events, the first included, led here.
    """

    event: str
    work: str
    outcome: Outcome
    emitted: tuple[str, ...]
    hop: int


@dataclass(frozen=True, slots=True)
class Reaction:
    """What followed from an event, once everything had settled.

    ``happenings`` are in the order in which the agents finished. ``unhandled`` are the events that
    no agent is there for. ``waiting`` tells, for each handler of several events of which some came,
    which did not come.
    """

    events: tuple[str, ...]
    correlation_id: str
    happenings: tuple[Happening, ...] = ()
    unhandled: tuple[Emit, ...] = ()
    waiting: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    @property
    def ok(self) -> bool:
        """Whether no agent failed."""
        return not self.failed

    @property
    def results(self) -> dict[str, Any]:
        """What the agents returned, by the name of the work."""
        return {
            h.work: h.outcome.value for h in self.happenings if isinstance(h.outcome, Completed)
        }

    @property
    def failed(self) -> dict[str, Outcome]:
        """The outcomes of those that failed: each ended its own chain, and nothing else."""
        return {
            h.work: h.outcome
            for h in self.happenings
            if not isinstance(h.outcome, (Completed, Skipped))
        }
