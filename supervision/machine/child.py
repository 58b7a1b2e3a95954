"""What a supervisor remembers of one child."""

from __future__ import annotations

from typing import Any, Protocol

from agenticaiframework.actors import ActorRef

from ..policy.child_spec import ChildSpec
from ..policy.intensity import RestartWindow


class Cancellable(Protocol):
    """What a child between two incarnations waits for: a timer, or a decision."""

    def cancel(self) -> Any: ...


class Child:
    """The record of one child. Owned by its supervisor.

    *ref* is its live process; None with *restarting* False means "not running". *ref* is also None
    while *restarting*: the child is between two incarnations, waiting for its next start.
    """

    __slots__ = (
        "actor_class",
        "args",
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

    def __init__(self, spec: ChildSpec, args: tuple[Any, ...] = ()) -> None:
        self.spec = spec
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
        self.restarts = 0
        """Restarts made so far, also those whose start failed."""
        self.row = 0
        """Restarts in a row, that is, since the child last ran for a whole period."""
        self.started_at = 0.0
        self.last_reason: Any = None
        self.last_ref: ActorRef[Any] | None = None
        self.timer: Cancellable | None = None
        budget = spec.budget
        self.window = (
            None if budget is None else RestartWindow(budget.max_restarts, budget.within_s)
        )

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
