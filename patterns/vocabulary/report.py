"""What an execution was: how it ended, and how each piece of its work ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .outcome import Completed, Outcome, outcome_to_dict


@dataclass(frozen=True, slots=True)
class Report:
    """The whole of one execution: its ``outcome``, and the ``outcomes`` of its work by name.

    ``report.result()`` is what `execute` gives; ``report["writer"]`` is one piece of work's outcome.
    """

    pattern: str
    outcome: Outcome
    outcomes: Mapping[str, Outcome] = field(default_factory=dict[str, Outcome])

    @property
    def ok(self) -> bool:
        """Whether there is a result."""
        return isinstance(self.outcome, Completed)

    def result(self) -> Any:
        """Return the result, or raise the error that carries all outcomes."""
        outcome = self.outcome
        if isinstance(outcome, Completed):
            return outcome.value
        error = outcome.cause
        assert error is not None, "an execution without a result always has its error"
        raise error

    def __getitem__(self, work: str) -> Outcome:
        return self.outcomes[work]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data; values are passed as they are."""
        return {
            "pattern": self.pattern,
            **outcome_to_dict(self.outcome),
            "outcomes": {work: outcome_to_dict(o) for work, o in self.outcomes.items()},
        }


class PartialResults(dict[str, Any]):
    """The results of the work that was completed, by name, where some of it may be missing.

    Missing work has no key here: it is in ``missing``, with the outcome that says why.
    ``outcomes`` has them all.
    """

    def __init__(self, outcomes: Mapping[str, Outcome]) -> None:
        super().__init__({k: o.value for k, o in outcomes.items() if isinstance(o, Completed)})
        self.outcomes = dict(outcomes)

    @property
    def missing(self) -> dict[str, Outcome]:
        """The outcomes of the work that has no result, by name."""
        return {k: o for k, o in self.outcomes.items() if not isinstance(o, Completed)}


class PartialList(list[Any]):
    """The results over the items of a list, in the items' order, where some may be missing.

    ``outcomes`` has one for every item; ``missing`` maps the index of each item without a result to
    the outcome that says why.
    """

    def __init__(self, outcomes: Iterable[Outcome]) -> None:
        self.outcomes = tuple(outcomes)
        super().__init__(o.value for o in self.outcomes if isinstance(o, Completed))

    @property
    def missing(self) -> dict[int, Outcome]:
        """The outcomes of the items that have no result, by index."""
        return {i: o for i, o in enumerate(self.outcomes) if not isinstance(o, Completed)}
