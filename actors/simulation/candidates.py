"""What a simulated loop chooses among, and the runner behind each candidate.

A candidate is one step that could run now. The steps of one runner (a task, an actor) are never
candidates at the same time, so a runner's own order is kept whatever is chosen; plain callbacks of
`call_soon` stand in one lane, because asyncio promises their order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any, Protocol

from ..kernel.request import Callback
from .tasks import SimTask


class Candidate(Protocol):
    """One step that could run now: an asyncio handle, an actor's turn, the lane of callbacks."""

    _cancelled: bool

    def _run(self) -> object: ...


class CallbackLane:
    """The callbacks of `call_soon`: together one candidate, first in first out."""

    __slots__ = ("lanes", "queue")

    _cancelled = False

    def __init__(self, lanes: list[Candidate]) -> None:
        self.lanes = lanes
        self.queue: deque[asyncio.Handle] = deque()

    def add(self, handle: asyncio.Handle) -> None:
        """Put *handle* last."""
        if not self.queue:
            self.lanes.append(self)
        self.queue.append(handle)

    def _run(self) -> None:
        """Run the first callback; what is left of the lane goes to the end of the candidates."""
        handle = self.queue.popleft()
        if self.queue:
            self.lanes.append(self)
        if not handle._cancelled:
            handle._run()

    def __repr__(self) -> str:
        return "callbacks"


class _Loop(Protocol):
    """The part of a simulated loop that is needed here."""

    def add_candidate(self, candidate: Candidate, /) -> None: ...
    def call_soon(
        self, callback: Callable[..., object], /, *args: Any, context: Context | None = None
    ) -> object: ...


class _Driver(Protocol):
    """The part of a system's scheduler that is needed here."""

    awake: bool

    def run(self) -> None: ...


class ActorLanes:
    """A ready queue for `ActorSystem(ready_queue=...)` that makes each actor's turn a candidate.

    The system's scheduler drains its ready queue; this one seems empty to it, except while the loop
    lets the chosen actor have its turn of one message. So actors, tasks and callbacks are chosen
    among each other, and not actors only among actors.
    """

    __slots__ = ("_driver", "_granted", "_loop", "callbacks")

    #: Messages a turn: one, so that any other runner may come between two messages.
    batch = 1

    def __init__(self, loop: _Loop) -> None:
        self._loop = loop
        self.callbacks = TaskLane(loop)
        self._driver: _Driver | None = None
        self._granted: Any = None

    def attach(self, driver: _Driver) -> None:
        """Take the scheduler that drains this queue."""
        self._driver = driver
        # Awake, it does not ask the loop for a run of its own at every message.
        driver.awake = True

    def append(self, cell: Any, /) -> None:
        """Make the turn of the actor whose ref is *cell* a candidate."""
        self._loop.add_candidate(ActorTurn(cell, self))

    def popleft(self) -> Any:
        """Return the ref of the actor whose turn it is."""
        cell, self._granted = self._granted, None
        return cell

    def clear(self) -> None:
        """Forget the turn under way."""
        self._granted = None

    def __len__(self) -> int:
        return self._granted is not None

    def grant(self, cell: Any) -> None:
        """Let the actor whose ref is *cell* have its turn now."""
        driver = self._driver
        if driver is None:
            raise RuntimeError("ActorLanes.attach(scheduler) comes before the first actor")
        self._granted = cell
        driver.run()
        driver.awake = True


class TaskLane:
    """Takes what a system's scheduler would call for tasks, and makes it steps that the loop chooses."""

    __slots__ = ("_loop",)

    def __init__(self, loop: _Loop) -> None:
        self._loop = loop

    def append(self, callback: Callback, /) -> None:
        """Make the next step of the task behind *callback* a candidate."""
        request = callback.take()
        if request is not None:
            self._loop.call_soon(callback.fn, request, context=callback.context)

    def __len__(self) -> int:
        return 0


class ActorTurn:
    """The next turn of one actor."""

    __slots__ = ("cell", "lanes")

    _cancelled = False

    def __init__(self, cell: Any, lanes: ActorLanes) -> None:
        self.cell = cell
        self.lanes = lanes

    def _run(self) -> None:
        self.lanes.grant(self.cell)

    def __repr__(self) -> str:
        return f"turn of {label_of(self.cell)}"


def owner_of(candidate: object) -> object:
    """Return the runner behind *candidate*: an actor's ref, a task, or for the rest the step itself."""
    if isinstance(candidate, ActorTurn):
        cell: object = candidate.cell
        return cell
    if isinstance(candidate, asyncio.Handle):
        callback: Any = getattr(candidate, "_callback", None)
        task: asyncio.Task[Any] | None = getattr(callback, "__self__", None)
        if isinstance(task, asyncio.Task):
            return task
    return candidate


def key_of(owner: object) -> tuple[str, int]:
    """Return what tells a runner from the others, without keeping it alive.

    A chooser must not hold on to tasks and actors: what they refer to would live longer than
    in a run with another chooser, and code that notices (a weak reference) would do other things.
    The key of a single step (a timer, a callback) means it only until that step has run.
    """
    pid = getattr(owner, "pid", None)
    if pid is not None:
        return "actor", pid
    if isinstance(owner, SimTask):
        return "task", owner.serial
    return "step", id(owner)


def label_of(owner: object) -> str:
    """Return a short text for a runner, the same in every run."""
    label = getattr(owner, "label", None)
    if label is not None:
        return str(label)
    if isinstance(owner, asyncio.Task):
        return owner.get_name()
    if isinstance(owner, asyncio.TimerHandle):
        return f"timer t={owner.when():g}"
    if isinstance(owner, CallbackLane):
        return "callbacks"
    return "blocking work"
