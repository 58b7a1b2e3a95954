"""What an execution was: how it ended, and how each piece of its work ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agenticaiframework.actors import NO_USAGE, HtmlState, Usage, as_data, html_table, shown

from .outcome import Completed, Outcome, Skipped, describe_outcome, outcome_to_dict


@dataclass(frozen=True, slots=True)
class Report:
    """The whole of one execution: its ``outcome``, and the ``outcomes`` of its work by name.

    ``report.result()`` is what `execute` gives; ``report["writer"]`` is one piece of work's outcome.
    """

    pattern: str
    outcome: Outcome
    outcomes: Mapping[str, Outcome] = field(default_factory=dict[str, Outcome])
    usage: Usage = NO_USAGE
    """What it has spent on models, with all beneath it: failed attempts and unused answers included."""

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

    def __str__(self) -> str:
        """Return what became of it in one line: ``'book' completed: 295 (2 requests, 300 tokens)``."""
        outcome = self.outcome
        value = f": {shown(outcome.value)}" if isinstance(outcome, Completed) else ""
        spent = "" if self.usage == NO_USAGE else f" ({self.usage})"
        return f"{self.pattern!r} {describe_outcome(outcome)}{value}{spent}"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a line for each piece of work."""
        rows = [_row(work, outcome) for work, outcome in self.outcomes.items()]
        head = ("work", "agent", "outcome", "seconds", "attempts", "value")
        return html_table(f"Pattern {self.pattern}", head, rows, str(self))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, for JSON."""
        data: dict[str, Any] = as_data(
            {
                "pattern": self.pattern,
                **outcome_to_dict(self.outcome),
                "outcomes": {work: outcome_to_dict(o) for work, o in self.outcomes.items()},
                "usage": self.usage,
            }
        )
        return data


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

    def to_dict(self) -> dict[str, Any]:
        """Return the results, and the outcomes of all work, as plain data, for JSON."""
        outcomes = {work: outcome_to_dict(o) for work, o in self.outcomes.items()}
        data: dict[str, Any] = as_data({"results": dict(self), "outcomes": outcomes})
        return data


class PartialList(list[Any]):
    """The results over the items of a list, in the items' order, where some may be missing.

    ``outcomes`` has one for every item; ``missing`` maps the index of each item without a result to
    the outcome that says why. An item that was skipped (``on_error="skip"``) keeps its place, with
    None; one that failed, or was not needed, has none.
    """

    def __init__(self, outcomes: Iterable[Outcome]) -> None:
        self.outcomes = tuple(outcomes)
        super().__init__(
            o.value if isinstance(o, Completed) else None
            for o in self.outcomes
            if isinstance(o, (Completed, Skipped))
        )

    @property
    def missing(self) -> dict[int, Outcome]:
        """The outcomes of the items that have no result, by index."""
        return {i: o for i, o in enumerate(self.outcomes) if not isinstance(o, Completed)}

    def to_dict(self) -> dict[str, Any]:
        """Return the results, and the outcome of each item, as plain data, for JSON."""
        outcomes = [outcome_to_dict(outcome) for outcome in self.outcomes]
        data: dict[str, Any] = as_data({"results": list(self), "outcomes": outcomes})
        return data


def _row(work: str, outcome: Outcome) -> tuple[Any, ...]:
    value = shown(outcome.value, 300) if isinstance(outcome, Completed) else outcome.cause
    took = round(max(0.0, outcome.ended_at - outcome.started_at), 3)
    said = describe_outcome(outcome).partition(" (")[0].partition(" after ")[0]
    return work, outcome.agent, HtmlState(said), took, outcome.attempts, value
