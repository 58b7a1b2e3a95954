"""One property of the suite: a scenario, what may go wrong in it, and how it is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agenticaiframework.actors.simulation import FaultPlan, Faults, Profile, Scenario, Search


@dataclass(frozen=True, slots=True)
class Entry:
    """A scenario under random orders and faults. `weight` is its share of a soak."""

    scenario: Scenario
    faults: Faults | Callable[[int, Profile], FaultPlan] | None = field(
        default_factory=lambda: Faults(library=True)
    )
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    checks: tuple[Any, ...] = ()
    weight: int = 1

    @property
    def name(self) -> str:
        """The name of the scenario."""
        return self.scenario.__name__

    def search(self) -> Search:
        """Return the search over this entry."""
        return Search(
            self.scenario, faults=self.faults, checks=self.checks, options=dict(self.options)
        )
