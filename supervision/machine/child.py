"""The record of a child: the one place that says in which state it is."""

from __future__ import annotations

from typing import Any, Protocol

from agenticaiframework.actors import ActorRef

from ..policy.child_spec import ChildSpec
from ..policy.intensity import RestartWindow
from ..vocabulary.kinds import ChildState


class Cancellable(Protocol):
    """What a child between two incarnations waits for: a timer, a decision, a cool-down."""

    def cancel(self) -> Any: ...


class ChildHandle(Protocol):
    """What the users of a named child hold; it is told of each change of the record."""

    def moved(self) -> None:
        """The record's state has changed."""
        ...

    def ended(self) -> None:
        """The process has ended; whether another one follows is not decided yet."""
        ...

    def over(self, state: ChildState) -> None:
        """No process follows until the child, or its supervisor, is started again: it is in *state*."""
        ...

    def cools_down(self, back_at: float) -> None:
        """No process follows before *back_at*; then one does."""
        ...

    def may_come(self) -> None:
        """The cool-down is over: a process is about to follow."""
        ...


class Child:
    """The record of one child. Its one writer is its supervisor; all others read.

    *ref* is its live process; None with *restarting* False means "not running". *ref* is also None
    while *restarting*: the child is between two incarnations, waiting for its next start. *down* is
    the state in which it stays until a request, or its supervisor's start, changes that.
    """

    __slots__ = (
        "actor_class",
        "args",
        "chance",
        "down",
        "handle",
        "info",
        "last_reason",
        "last_ref",
        "ref",
        "restarting",
        "restarts",
        "row",
        "spec",
        "started_at",
        "stopping",
        "timer",
        "window",
    )

    def __init__(
        self, spec: ChildSpec, args: tuple[Any, ...] = (), handle: ChildHandle | None = None
    ) -> None:
        self.spec = spec
        self.handle = handle
        start = spec.start
        if start.__class__ is tuple:
            start, *first = start
            args = (*first, *args)
        self.actor_class: Any = start if isinstance(start, type) else None
        """The class to start linked; None when the specification's start function does it."""
        self.args: tuple[Any, ...] = args
        self.ref: ActorRef[Any] | None = None
        self.info: Any = None
        """What its start function gave beside the ref."""
        self.restarting = False
        self.stopping = False
        self.down: ChildState | None = None
        self.restarts = 0
        """Restarts made so far, also those whose start failed; since it was last started afresh."""
        self.row = 0
        """Restarts in a row, on which the backoff depends; see `Supervisor.process_ended`."""
        self.chance: float | None = None
        """What was drawn for the backoff of the restart that follows; None: nothing yet."""
        self.started_at: float | None = None
        self.last_reason: Any = None
        self.last_ref: ActorRef[Any] | None = None
        self.timer: Cancellable | None = None
        budget = spec.budget
        self.window = (
            None if budget is None else RestartWindow(budget.max_restarts, budget.within_s)
        )

    @property
    def whole(self) -> Child:
        """The child itself, also where this is the record of one of its incarnations."""
        return self

    @property
    def is_void(self) -> bool:
        """Whether it does not matter any more."""
        return False

    @property
    def state(self) -> ChildState:
        """The child's state, derived from what the record says."""
        if self.down is not None:
            return self.down
        if self.ref is not None:
            return ChildState.RUNNING
        if isinstance(self.timer, Decision):
            return ChildState.DECIDING
        if isinstance(self.timer, CoolDown):
            return ChildState.COOLING_DOWN
        # One that was stopped to be restarted with another is not *restarting* by itself.
        is_first = self.started_at is None and not self.restarting
        return ChildState.STARTING if is_first else ChildState.RESTARTING

    @property
    def cool_down(self) -> CoolDown | None:
        """The cool-down that it waits for the end of, if it does."""
        timer = self.timer
        return timer if isinstance(timer, CoolDown) and self.down is None else None

    @property
    def is_to_be_tried(self) -> bool:
        """Whether it waits for its next start, and for nothing else (a backoff, a decision)."""
        return self.restarting and self.timer is None

    def stopped(self) -> None:
        """Note that the child is not running, and is not about to be."""
        self.ref = None
        self.restarting = self.stopping = False
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def counts_anew(self) -> None:
        """Forget the restarts made so far."""
        self.restarts = self.row = 0

    def renewed(self) -> Child:
        """Return the record for the next incarnation of the supervisor: no restarts, the same past."""
        fresh = Child(self.spec, handle=self.handle)
        fresh.last_ref = self.ref or self.last_ref
        fresh.last_reason = self.last_reason
        return fresh


class CoolDown:
    """What a child waits for that failed too often, and each that is restarted with it.

    *lead* is the one that failed; its *timer* brings all of them back at *back_at*. It counts only as
    long as it is the child's *timer*: whatever stops the child puts it away.
    """

    __slots__ = ("back_at", "lead", "timer")

    def __init__(self, lead: Child, back_at: float, timer: Cancellable | None = None) -> None:
        self.lead = lead
        self.back_at = back_at
        self.timer = timer

    def cancel(self) -> None:
        """End the lead's timer, if this is the lead's own."""
        if self.timer is not None:
            self.timer.cancel()


class Decision:
    """What a failed child waits for while its failure handler runs.

    It counts only as long as it is the child's *timer*: whatever stops the child puts it away.
    """

    __slots__ = ("child",)

    def __init__(self, child: Child) -> None:
        self.child = child

    def cancel(self) -> None:
        """There is nothing to be taken back: the handler goes on, and its answer is ignored."""
