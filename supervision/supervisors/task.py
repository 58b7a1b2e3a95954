"""A task: one supervised call of a function, and its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast

from agenticaiframework.actors import (
    KILL,
    KILLED,
    SHUTDOWN,
    ActorDied,
    ActorRef,
    ActorSystem,
    FunctionActor,
    Request,
)

from ..machine.results import Error, Ok
from ..policy.child_spec import BRUTAL_KILL
from ..vocabulary.checks import check_count, check_seconds
from ..vocabulary.errors import BadOption, WaitTimeout

T = TypeVar("T")

TIMEOUT = "timeout"

Grace: TypeAlias = float | Literal["brutal_kill"] | None
"""How long a task may take to end in `Task.shutdown`; None waits for ever."""


@dataclass(frozen=True, slots=True)
class StillRunning(Error[str]):
    """The outcome of a task that goes on: there is none within the time that was given.

    A task that has ended with the reason ``"timeout"`` is an `Error`, and not this; one that failed by
    a timeout of its own is an `Error` with that exception.
    """

    error: str = TIMEOUT
    detail: str | None = field(default="the task goes on", compare=False, repr=False)


class Start:
    """The start of a task, which its caller waits for, as the task knows it."""

    __slots__ = ("left", "owner", "task")

    def __init__(self, owner: ActorRef[Any] | None = None) -> None:
        self.task: TaskActor | None = None
        self.left = False
        self.owner = owner
        """The actor that the task is linked with."""

    def leave(self) -> None:
        """Note that the caller is gone: the task would wait for its message without end."""
        self.left = True
        if self.task is not None:
            self.task.actor_ref.exit(SHUTDOWN)

    def meet(self, task: TaskActor) -> None:
        """Note the task, which ends at once if the caller is gone."""
        self.task = task
        if self.left:
            task.stop()

    def forget(self, _future: object) -> None:
        """Let go of the task, which has ended."""
        self.task = None

    def unlink(self) -> None:
        """Let the end of the task be none of its owner's business any more."""
        if self.owner is not None and self.task is not None:
            self.task.unlink(self.owner)


class TaskActor(FunctionActor):
    """Runs a function once, unless the caller has left before it could start."""

    def __init__(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], start: Start
    ) -> None:
        super().__init__(fn, args, kwargs=kwargs)
        self._owner = start.owner
        start.meet(self)

    def on_start(self) -> None:
        if self._owner is not None:
            self.link(self._owner)


class Task(Generic[T]):
    """A running task. ``await`` it for its result; it lives on if the awaiting code is cancelled.

    Awaiting raises what the function raised, or `ActorDied` if the task was ended from outside. It
    may be awaited several times.
    """

    def __init__(self, ref: ActorRef[Any], request: Request, start: Start) -> None:
        self.ref = ref
        self._start = start
        self._future: asyncio.Future[T] = asyncio.ensure_future(_outcome(request))
        # Without it, a result that is never asked for would be logged as an error never retrieved.
        self._future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._future.add_done_callback(start.forget)

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
        """Return ``Ok(result)``, ``Error(exception)`` or ``Error(exit reason)``.

        `StillRunning`, an `Error` too, is the answer if there is none after *timeout* seconds.
        """
        await asyncio.wait({self._future}, timeout=timeout)
        return self.outcome_now()

    def outcome_now(self, item: Any = None) -> Ok[T] | Error[Any]:
        """Return the outcome as `outcome` does, without waiting. *item* is what the task is for."""
        if not self._future.done():
            return StillRunning(item=item)
        try:
            return Ok(self._future.result(), item=item)
        except ActorDied as died:
            return Error(died.reason if died.ref is self.ref else died, item=item)
        except (Exception, asyncio.CancelledError) as error:
            # The latter if the loop shuts down before the task has ended.
            return Error(error, item=item)

    @staticmethod
    async def one_done(tasks: Iterable[Task[Any]], timeout: float | None) -> bool:
        """Wait until one of *tasks* is done; return False if none is after *timeout* seconds."""
        futures = {task._future for task in tasks}
        done, _ = await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)

    def when_done(self, fn: Callable[[], object]) -> None:
        """Call *fn* once the outcome is known."""
        self._future.add_done_callback(lambda _future: fn())

    def cancel(self, reason: Any = SHUTDOWN) -> None:
        """End the task with *reason*, whichever that is; awaiting it then raises `ActorDied`.

        ``"kill"`` does not wait for what the function does when it is cancelled; the reason is then
        ``"killed"``. An actor that the task is linked with gets the exit signal.
        """
        if reason.__class__ is str and reason == KILL:
            self.ref.kill()
        elif self.ref.is_alive():
            cast("ActorSystem", self.ref.system).end_actor(self.ref, reason)

    async def shutdown(self, timeout: Grace = 5.0) -> Ok[T] | Error[Any] | None:
        """End the task, and return what came of it: ``Ok(result)`` if it was done in time, None if not.

        It is told to end (``shutdown``) and killed after *timeout* seconds; with ``"brutal_kill"`` it
        is killed at once. ``Error(reason)`` says that it failed or ended in another way meanwhile, or
        (``"killed"``) took longer than *timeout*. The actor that it is linked with is unlinked before.

        Source: Elixir's Task.shutdown.
        """
        if timeout != BRUTAL_KILL and timeout != 0:
            check_seconds("Task.shutdown", "timeout", timeout)
        self._start.unlink()
        asked = SHUTDOWN
        if timeout == BRUTAL_KILL:
            asked = KILLED
            self.cancel(KILL)
        else:
            self.cancel(SHUTDOWN)
            await asyncio.wait({self._future}, timeout=timeout)
            if not self.done:
                self.cancel(KILL)
        await asyncio.wait({self._future})
        outcome = self.outcome_now()
        return None if isinstance(outcome, Error) and _is_word(outcome.error, asked) else outcome


async def yield_many(
    tasks: Iterable[Task[Any]],
    timeout: float | None = 5.0,
    *,
    limit: int | None = None,
    on_timeout: Literal["nothing", "kill_task"] = "nothing",
) -> list[tuple[Task[Any], Ok[Any] | Error[Any]]]:
    """Wait *timeout* seconds for *tasks*, and return each with its outcome, in their order.

    Those that go on are `StillRunning`. With *limit*, it returns as soon as so many are done, and does
    nothing to the others. ``on_timeout="kill_task"`` kills those that are late: ``Error("timeout")``.

    Source: Elixir's Task.yield_many.
    """
    check_seconds("yield_many", "timeout", timeout if timeout != 0 else None)
    if limit is not None:
        check_count("yield_many", "limit", limit, 1, "yield_many(tasks, limit=3)")
    if on_timeout not in ("nothing", "kill_task"):
        problem = f"on_timeout={on_timeout!r} is neither 'nothing' nor 'kill_task'"
        raise BadOption("yield_many", problem, "yield_many(tasks, on_timeout='kill_task')")
    given = list(tasks)
    loop = asyncio.get_running_loop()
    deadline = None if timeout is None else loop.time() + timeout
    wanted = len(given) if limit is None else min(limit, len(given))
    while sum(task.done for task in given) < wanted:
        left = None if deadline is None else max(deadline - loop.time(), 0.0)
        if not await Task.one_done([task for task in given if not task.done], left):
            if on_timeout == "kill_task":
                return [(task, await _killed(task, timeout or 0.0)) for task in given]
            break
    return [(task, task.outcome_now()) for task in given]


async def _killed(task: Task[Any], after_s: float) -> Ok[Any] | Error[Any]:
    ended = await task.shutdown(BRUTAL_KILL)
    return Error(TIMEOUT, took_too_long(after_s)) if ended is None else ended


def took_too_long(limit_s: float) -> str:
    """Return in words why a task was killed."""
    return f"it took longer than {limit_s:g} s and was killed"


def _is_word(reason: Any, word: str) -> bool:
    return reason.__class__ is str and reason == word


async def _outcome(request: Request) -> Any:
    return await request
