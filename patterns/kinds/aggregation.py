"""Making one result of several: an aggregator's turn, the same in every pattern that has one."""

from __future__ import annotations

from typing import Any

from ..definition.step import Ask, unique_names
from ..execution.execution import Execution
from ..vocabulary.errors import work_failed
from ..vocabulary.outcome import Completed, Skipped


async def aggregate(run: Execution, aggregator: Ask | None, results: Any) -> Any:
    """Return what *aggregator* makes of *results*; without one, or if it may be skipped, these.

    Raises `PatternFailed` when the aggregator fails.
    """
    if aggregator is None:
        return results
    work = unique_names([*run.outcomes, aggregator.label])[-1]
    outcome = await run.perform(work, aggregator.agent, results, aggregator.policy)
    if isinstance(outcome, Completed):
        return outcome.value
    if isinstance(outcome, Skipped):
        return results
    raise work_failed(run.name, work, outcome, run.outcomes, "the aggregator")
