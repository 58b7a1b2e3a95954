"""The state of one step, and of one item of a step, in one run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .status import StepState, StepStatus

if TYPE_CHECKING:
    from ..definition.plan import StepPlan

PENDING: Final = StepState.PENDING
RUNNING: Final = StepState.RUNNING
COMPLETED: Final = StepState.COMPLETED

ENDED: Final = frozenset({StepState.COMPLETED, StepState.SKIPPED})
"""The states after which the steps behind may run."""

BUSY: Final = frozenset(
    {StepState.RUNNING, StepState.RETRYING, StepState.WAITING, StepState.SLEEPING}
)


class StepRun:
    """What has become of one step in one run."""

    # Class attributes as defaults: one is made for each step of each run, and few change much.
    state = PENDING
    attempts = 0
    """The number of the latest attempt, over all resumptions."""
    tries = 0
    """Failed attempts that count against the retry policy."""
    iteration = 1
    started_at: float | None = None
    ended_at: float | None = None
    due_at: float | None = None
    """When a waiting, sleeping or retrying step goes on, in seconds since the epoch."""
    error: str | None = None
    previous: Any = None
    """The output of the iteration before."""
    items: dict[int, Item] | None = None
    via = "agent"
    """Who works on it: the ``agent``, or its ``fallback``."""

    @property
    def at_work(self) -> bool:
        """Whether an attempt is under way, as far as is known."""
        if self.state is not RUNNING:
            return False
        return not self.items or any(item.running for item in self.items.values())


class Item:
    """One item of a step with ``for_each``."""

    attempts = 0
    tries = 0
    done = False
    running = False
    output: Any = None
    due_at: float | None = None
    via = "agent"


def step_status(plan: StepPlan, found: StepRun | None) -> StepStatus:
    """Return what is to be seen of one step."""
    if found is None:
        return StepStatus(plan.id, PENDING)
    wait = plan.definition.wait_for
    return StepStatus(
        id=plan.id,
        state=found.state,
        attempts=found.attempts,
        iterations=found.iteration if found.attempts else 0,
        started_at=found.started_at,
        ended_at=found.ended_at,
        error=found.error,
        waiting_for=wait.signal if wait is not None and found.state is StepState.WAITING else None,
        due_at=found.due_at,
    )
