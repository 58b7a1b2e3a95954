"""A task: one supervised call of a function, and its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

from agenticaiframework.actors import SHUTDOWN, Actor, ActorDied, ActorRef, FunctionActor, Request

from ..machine.results import Error, Ok
from ..vocabulary.errors import WaitTimeout

T = TypeVar("T")

TIMEOUT = "timeout"


class Caller:
    """The caller that waits for a task to be started, as the task knows it."""

    __slots__ = ("left", "task")

    def __init__(self) -> None:
        self.task: ActorRef[Any] | None = None
        self.left = False

    def leave(self) -> None:
        """Note that the caller is gone: the task would wait for its message without end."""
        self.left = True
        if self.task is not None:
            self.task.exit(SHUTDOWN)

    def meet(self, task: Actor) -> None:
        """Note the task, which ends at once if the caller is gone."""
        self.task = task.actor_ref
        if self.left:
            task.stop()


class TaskActor(FunctionActor):
    """Runs a function once, unless the caller has left before it could start."""

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], caller: Caller) -> None:
        super().__init__(fn, args)
        caller.meet(self)


class Task(Generic[T]):
    """A running task. ``await`` it for its result; it lives on if the awaiting code is cancelled.

    Awaiting raises what the function raised, or `ActorDied` if the task was ended from outside. It
    may be awaited several times.
    """

    def __init__(self, ref: ActorRef[Any], request: Request) -> None:
        self.ref = ref
        self._future: asyncio.Future[T] = asyncio.ensure_future(_outcome(request))
        # Without it, a result that is never asked for would be logged as an error never retrieved.
        self._future.add_done_callback(lambda done: done.cancelled() or done.exception())

    def __repr__(self) -> str:
        return f"<Task {self.ref.label} ({'done' if self.done else 'running'})>"

    @property
    def done(self) -> bool:
        """Whether the outcome is known."""
        return self._future.done()

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.shield(self._future).__await__()

    async def result(self, timeout: float | None = None) -> T:
        """Return the result; raises `WaitTimeout` after *timeout* seconds, and the task goes on."""
        await asyncio.wait({self._future}, timeout=timeout)
        if not self._future.done():
            raise WaitTimeout(f"Task {self.ref.label} did not finish", timeout or 0.0, "running")
        return self._future.result()

    async def outcome(self, timeout: float | None = None) -> Ok[T] | Error[Any]:
        """Return ``Ok(result)``, or ``Error(exit reason)``: ``"timeout"`` if time is over."""
        await asyncio.wait({self._future}, timeout=timeout)
        if not self._future.done():
            return Error(TIMEOUT)
        try:
            return Ok(self._future.result())
        except ActorDied as died:
            return Error(died.reason if died.ref is self.ref else died)
        except Exception as error:
            return Error(error)

    def cancel(self, reason: Any = SHUTDOWN) -> None:
        """End the task with *reason*; awaiting it then raises `ActorDied`."""
        self.ref.exit(reason)


async def _outcome(request: Request) -> Any:
    return await request
