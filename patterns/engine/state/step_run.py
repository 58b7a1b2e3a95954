"""The state of one step, and of one item of a step, in one run."""

from __future__ import annotations

from typing import Any, Final

from .status import StepState

PENDING: Final = StepState.PENDING
RUNNING: Final = StepState.RUNNING
COMPLETED: Final = StepState.COMPLETED
SKIPPED: Final = StepState.SKIPPED

ENDED: Final = frozenset({COMPLETED, SKIPPED})
"""The states after which the steps behind may run."""

BUSY: Final = frozenset(
    {StepState.RUNNING, StepState.RETRYING, StepState.WAITING, StepState.SLEEPING}
)


class StepRun:
    """What has become of one step in one run. Changed by the run's transitions."""

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

    def let_go(self) -> None:
        """Let go of what was needed on the way to the end."""
        self.due_at = self.previous = self.items = None

    def item(self, index: int) -> Item:
        """Return what has become of one item, made when first asked for."""
        if self.items is None:
            self.items = {}
        found = self.items.get(index)
        if found is None:
            found = self.items[index] = Item()
        return found

    @property
    def at_work(self) -> bool:
        """Whether an attempt is under way, as far as is known."""
        if self.state is not RUNNING:
            return False
        return not self.items or any(item.running for item in self.items.values())


class Item:
    """One item of a step with ``for_each``. Changed by the run's transitions."""

    attempts = 0
    tries = 0
    done = False
    running = False
    output: Any = None
    error: str | None = None
    """What its last attempt that another follows has failed with."""
    due_at: float | None = None
    via = "agent"
