"""What the command line says about simulated tests, and what they have done so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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

    def counts(self) -> dict[str, Any]:
        """Return the totals as plain values, for another process."""
        total = self.total
        return {
            "tests": self.tests,
            "incomplete": self.incomplete,
            "runs": total.runs,
            "messages": total.messages,
            "landed": dict(total.landed),
            "missed": dict(total.missed),
        }

    def count_all(self, counts: dict[str, Any]) -> None:
        """Add the totals of another process, as `counts` gave them there."""
        own = dict(counts)
        self.tests += own.pop("tests")
        self.incomplete += own.pop("incomplete")
        self.total.add(SearchResult(**own))


settings = SimulationSettings()
"""The settings of this process."""
