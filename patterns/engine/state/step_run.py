"""The state of one step, and of one item of a step, in one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import NO_USAGE, Usage

from .status import StepState

if TYPE_CHECKING:
    from .inner import InnerOutcomes, OpenQuestion

PENDING: Final = StepState.PENDING
RUNNING: Final = StepState.RUNNING
COMPLETED: Final = StepState.COMPLETED
SKIPPED: Final = StepState.SKIPPED

ENDED: Final = frozenset({COMPLETED, SKIPPED})
"""The states after which the steps behind may run."""

BUSY: Final = frozenset(
    {StepState.RUNNING, StepState.RETRYING, StepState.WAITING, StepState.SLEEPING}
)


MAX_ITEM_ERRORS: Final = 100
"""Errors of items that are kept once their step has ended."""


class StepRun:
    """What has become of one step in one run. Changed by the run's transitions."""

    # Class attributes as defaults: one is made for each step of each run, and few change much.
    state = PENDING
    attempts = 0
    """The number of the latest attempt, over all resumptions."""
    tries = 0
    """Failed attempts that count against the retry policy."""
    iteration = 1
    round = 1
    """How often it has been begun anew after it had been completed: each time its work is another."""
    started_at: float | None = None
    ended_at: float | None = None
    due_at: float | None = None
    """When a waiting, sleeping or retrying step goes on, in seconds since the epoch."""
    error: str | None = None
    undo_error: str | None = None
    """Why it could not be undone."""
    item_errors: Mapping[int, str] | None = None
    """Why items have failed that something stands in for, by index."""
    error_kind = ""
    """The name of the class of its last error, in a run that is code."""
    timed_out = False
    """Whether it failed because its time was over, in a run that is code."""
    behind = 0
    """How many calls code had made when this one failed."""
    after_end = False
    """Whether code made this call after it had been cancelled."""
    stale = False
    """Whether code made this call because of what happens no more: it may make another in its place."""
    previous: Any = None
    """The output of the iteration before."""
    items: dict[int, Item] | None = None
    via = "agent"
    """Who works on it: the ``agent``, or its ``fallback``."""
    part = False
    """Whether a workflow of its own works on it: a part of the run, with a run of its own."""
    generation = 0
    """How often what its parts had come to was thrown away, so that they begin anew."""
    own_undone = False
    """Whether its own compensation has run, while more of it is to be undone."""
    inner: InnerOutcomes | None = None
    """What its handler's inner steps have returned, until the step ends."""
    inner_count = 0
    """How many inner steps have been recorded."""
    usage: Usage = NO_USAGE
    """What it has spent on models: in all attempts and items, and what its parts have."""
    asks = False
    """Whether it waits for answers to questions of its handler, and no attempt is under way."""

    def let_go(self, keep_items: bool) -> None:
        """Let go of what was needed on the way to the end; of its items only unless they may be undone."""
        self.due_at = self.previous = self.inner = None
        if not keep_items:
            self.items = None

    def item(self, index: int) -> Item:
        """Return what has become of one item, made when first asked for."""
        if self.items is None:
            self.items = {}
        found = self.items.get(index)
        if found is None:
            found = self.items[index] = Item()
        return found

    @property
    def waits(self) -> bool:
        """Whether it waits for a signal."""
        return self.state is StepState.WAITING and not self.asks

    def open_questions(self) -> Iterator[tuple[int | None, OpenQuestion]]:
        """Yield the questions of its handlers that have no answer, each with the item."""
        if self.inner is not None:
            for question in list(self.inner.questions.values()):
                yield None, question
        for index, item in list((self.items or {}).items()):
            if item.inner is not None:
                for question in list(item.inner.questions.values()):
                    yield index, question

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
    failed = False
    """Whether something stands in for its output."""
    output: Any = None
    error: str | None = None
    """What its last attempt that another follows has failed with."""
    due_at: float | None = None
    via = "agent"
    part = False
    generation = 0
    own_undone = False
    stood_in = False
    """Whether something was put in the place of its output, because it had failed for good."""
    ended_at: float | None = None
    inner: InnerOutcomes | None = None
    asks = False
    """Whether it waits for answers to questions of its handler, and no attempt is under way."""
