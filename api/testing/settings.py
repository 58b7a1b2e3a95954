"""What the command line says about simulated tests, and what they have done so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from agenticaiframework.actors.simulation import Failure, SearchResult


@dataclass(slots=True)
class SimulationSettings:
    """Overrides for every `@simulate` of the process, and their totals. Set by the pytest plugin.

    directory: where failures are saved; None: nowhere.
    """

    seed: int | None = None
    runs: int | None = None
    replay: Failure | None = None
    directory: Path | None = None
    tests: int = 0
    incomplete: int = 0
    total: SearchResult = field(default_factory=SearchResult)

    def count(self, result: SearchResult, *, complete: bool = True) -> None:
        """Add what one test did to the totals."""
        self.tests += 1
        self.incomplete += not complete
        self.total.add(result)


settings = SimulationSettings()
"""The settings of this process."""
