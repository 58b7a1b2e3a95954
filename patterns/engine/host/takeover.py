"""How often a run is taken over from engines that died, and when that is too often.

A run that ends its process would be recovered by each new process, and end that, too. So each takeover
of a run that was at work is counted in its journal, and what it finishes, or an engine that is stopped
in good order meanwhile, makes the count begin anew. One that was only waiting counts nothing up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..state.events import EventKind
from ..state.status import WorkflowState
from ..state.views import at_work

if TYPE_CHECKING:
    from ..runner.opening import Opening
    from ..state.run import Run

_UNDOING: Final = frozenset({WorkflowState.CANCELLING, WorkflowState.COMPENSATING})

SPACING_S: Final = 0.1
"""Time between the starts of two runs of which one may be what ends processes."""
MAX_SPREAD_S: Final = 30.0
"""Time within which all of them are started."""


def is_active(run: Run) -> bool:
    """Tell whether *run* was at work when its engine ended: only such a run can have ended it."""
    return run.state in _UNDOING or (run.state is WorkflowState.RUNNING and at_work(run))


def busy_steps(run: Run) -> int:
    """Return how many steps of *run* were at work."""
    return sum(
        found is not None and found.at_work and not run.held(index)
        for index, found in enumerate(run.steps)
    )


def opening_of(run: Run, *, counted: bool) -> Opening:
    """Return the event with which a run goes on that is taken over."""
    active = is_active(run)
    if not active and run.blocked is None:
        return ()
    count = run.takeovers + (active and counted)
    return ((EventKind.WORKFLOW_RECOVERED, {"count": count}),)


def too_often(run: Run, limit: int | None) -> str | None:
    """Return why *run*, which was at work, is not to be taken over once more, if it is not."""
    if limit is None or run.takeovers < limit or not is_active(run):
        return None
    times = "once" if run.takeovers == 1 else f"{run.takeovers} times"
    return (
        f"RecoveredTooOften: it was recovered {times} without getting on, and may be what ends its "
        "processes (max_recoveries); nothing was undone, and resume_workflow lets it run once more"
    )


def spacing_s(count: int) -> float:
    """Return the seconds between two starts of *count* runs that are started one after another."""
    return min(SPACING_S, MAX_SPREAD_S / max(1, count))
