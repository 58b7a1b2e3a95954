"""What is to be done for a run, as its machine says after each thing that happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..state.events import WorkflowEvent
    from ..store import Record, RunUpdate
    from .attempt import StepAttempt
    from .inner import InnerNote


class Orders:
    """What the machine of a run wants done. Filled by the machine, emptied by the coordinator.

    What is to be stopped comes alone: once the machine is told that it has been (or will be), it says
    the rest, in the order write, tell, start; then rest, or wait.
    """

    __slots__ = (
        "abandon",
        "blocked",
        "give_up",
        "outcome",
        "rest",
        "start",
        "stop",
        "tell",
        "wake_at",
        "write",
    )

    def __init__(self) -> None:
        self.stop: list[StepAttempt] = []
        """Attempts to be stopped. The machine is told at once which of them have ended by that."""
        self.write: Group | None = None
        """What is to be stored; the machine is told when it is."""
        self.tell: list[WorkflowEvent] = []
        """What the listeners may know now."""
        self.start: list[StepAttempt] = []
        """Attempts that begin now."""
        self.give_up: BaseException | None = None
        """The store has failed, and the run stops here for this reason."""
        self.rest = False
        """Whether there is nothing to do until something comes from outside, if the run goes on."""
        self.wake_at: float | None = None
        """When the machine wants to be told of the time, in seconds since the epoch."""
        self.outcome: int | None = None
        """The call whose outcome the code of the run is told now, or that it is cancelled. Comes alone."""
        self.blocked: str | None = None
        """Why the run cannot go on as things are."""
        self.abandon = False
        """Whether the code is not waited for any longer."""


class Group:
    """Events that are written together, and what follows once they are."""

    __slots__ = ("answers", "at", "events", "inner", "records", "start", "update", "used")

    def __init__(
        self,
        records: list[Record],
        update: RunUpdate | None,
        used: tuple[int, ...],
        start: list[StepAttempt],
        events: list[WorkflowEvent],
        at: float | None = None,
    ) -> None:
        self.records = records
        self.update = update
        """What changes in the run's row."""
        self.used = used
        """The numbers of the signals that have been taken."""
        self.start = start
        """Attempts that begin then."""
        self.events = events
        """What the listeners may know then."""
        self.at = at
        """When that happened, in seconds since the epoch."""
        self.inner: InnerNote | None = None
        """An inner step whose handler is told then."""
        self.answers: list[tuple[InnerNote, Any]] = []
        """Questions whose handlers are told the answers then."""
