"""Steps that repeat: when they have done enough, and what they get the next time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from ..definition.plan import StepPlan


def is_done(plan: StepPlan, output: Any, iteration: int, scope: Mapping[str, Any]) -> bool:
    """Tell whether a step that repeats has done enough.

    It has when its ``until`` is true; without one, when its output's ``done`` or ``approved`` is, or
    it has neither, because then there is nothing to wait for. True is the boolean: a text such as
    ``"false"``, as models and forms have it, approves nothing.
    """
    if iteration >= plan.max_iterations:
        return True
    if plan.until is not None:
        around = {**scope, "output": output, plan.id: output, "iteration": iteration}
        return plan.until.evaluate(around) is True
    if not isinstance(output, Mapping):
        return True
    fields = cast("Mapping[str, Any]", output)
    verdicts = [fields[name] for name in ("done", "approved") if name in fields]
    return not verdicts or any(verdict is True for verdict in verdicts)


def next_input(payload: Any, previous: Any) -> Any:
    """Return the input of the next iteration: the step's own, overlaid with its last output.

    >>> next_input({"draft": "a", "query": "q"}, {"draft": "b", "approved": False})
    {'draft': 'b', 'query': 'q', 'approved': False}
    """
    if not isinstance(payload, Mapping):
        return previous
    fields = cast("Mapping[str, Any]", payload)
    if isinstance(previous, Mapping):
        return {**fields, **cast("Mapping[str, Any]", previous)}
    return {**fields, "result": previous}
