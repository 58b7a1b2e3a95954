"""Supervised tasks: functions that run in actors of their own and give one result.

Source: Elixir's Task.Supervisor.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextvars import copy_context
from typing import Any, cast

from agenticaiframework.actors import CALL, ActorRef, FunctionActor, with_context

from ..machine.dynamic_supervisor import DynamicSupervisor
from ..machine.requests import StartChild
from ..machine.results import Error, Ok
from ..machine.supervisor import Supervisor
from ..policy.child_spec import ChildSpec, Shutdown
from ..vocabulary.checks import check_count, check_seconds
from ..vocabulary.errors import BadOption
from ..vocabulary.kinds import RestartType
from .blueprint import SupervisorBlueprint
from .task import Caller, Task, TaskActor


class TaskSupervisor(SupervisorBlueprint):
    """Runs functions as supervised tasks, at most *max_children* at a time.

        async with TaskSupervisor("jobs", max_children=100) as jobs:
            task = await jobs.async_nolink(fetch, url)
            page = await task
            async for outcome in jobs.stream(fetch, urls, max_concurrency=8):
                ...

    A task that fails is reported and not restarted. When the supervisor stops, running tasks get
    *shutdown_ms* to end. An ``async`` function runs on the loop, a plain one in a thread. It is a
    child like any other for `AgentSupervisor.add_supervisor`.
    """

    def __init__(
        self,
        name: str = "tasks",
        *,
        max_children: int | None = None,
        shutdown_ms: Shutdown = 5000,
    ) -> None:
        super().__init__(name)
        if max_children is not None:
            example = "TaskSupervisor('jobs', max_children=100)"
            check_count(f"TaskSupervisor {name!r}", "max_children", max_children, 1, example)
        self.max_children = max_children
        self.shutdown_ms: Shutdown = shutdown_ms

    def make_actor(self) -> tuple[type[Supervisor], tuple[Any, ...]]:
        return _Tasks, (self.max_children,)

    async def async_nolink(self, fn: Callable[..., Any], *args: Any) -> Task[Any]:
        """Start ``fn(*args)`` as a task, and return it. Its failure does not touch the caller.

        Raises `Refused` when *max_children* tasks run, and `SupervisorNotRunning`.
        """
        self._check_function(fn)
        caller = Caller()
        try:
            ref = await self._start(fn, (TaskActor, fn, args, caller), RestartType.TEMPORARY)
        except BaseException:
            caller.leave()
            raise
        return Task(ref, ref.request(with_context(CALL)))

    async def start_child(
        self, fn: Callable[..., Any], *args: Any, restart: RestartType = RestartType.TEMPORARY
    ) -> ActorRef[Any]:
        """Start ``fn(*args)`` for its effects, and return its ref; *restart* says if it comes back.

        Raises as `async_nolink` does.
        """
        self._check_function(fn)
        return await self._start(fn, (FunctionActor, fn, args, True, copy_context()), restart)

    async def _start(
        self, fn: Callable[..., Any], start: tuple[Any, ...], restart: RestartType
    ) -> ActorRef[Any]:
        name = getattr(fn, "__name__", type(fn).__name__)
        spec = ChildSpec(name, start, restart, self.shutdown_ms)
        result = await self.request(StartChild(spec))
        return cast("ActorRef[Any]", result.unwrap())

    def _check_function(self, fn: Any) -> None:
        if not callable(fn):
            raise BadOption(
                f"TaskSupervisor {self.name!r}",
                f"the task {fn!r} is not a function",
                "await jobs.async_nolink(fetch, url)",
            )

    def stream(
        self,
        fn: Callable[..., Any],
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        max_concurrency: int = 8,
        ordered: bool = True,
        timeout_s: float | None = None,
    ) -> AsyncIterator[Ok[Any] | Error[Any]]:
        """Yield the outcome of ``fn(item)`` for each of *items*, with bounded concurrency.

        An outcome is ``Ok(result)`` or ``Error(exit reason)``; after *timeout_s* seconds a task is
        killed, and its outcome is ``Error("timeout")``. At most *max_concurrency* tasks run, and at
        most as many results wait to be taken: a slow consumer slows the items down, it does not
        fill the memory. *ordered* yields in the order of the items, else as they finish.

        Leaving the loop early kills the tasks that run; `contextlib.aclosing` does so at once.
        """
        self._check_function(fn)
        where, example = (
            f"TaskSupervisor {self.name!r}",
            "jobs.stream(fetch, urls, max_concurrency=8)",
        )
        check_count(where, "max_concurrency", max_concurrency, 1, example)
        check_seconds(where, "timeout_s", timeout_s)
        return self._outcomes(
            _Flow(self, fn, timeout_s), _as_async(items), max_concurrency, ordered
        )

    async def _outcomes(
        self, flow: _Flow, source: AsyncIterator[Any], max_concurrency: int, ordered: bool
    ) -> AsyncIterator[Ok[Any] | Error[Any]]:
        exhausted = False
        try:
            while True:
                while not exhausted and flow.has_room(max_concurrency):
                    try:
                        await flow.start(await anext(source))
                    except StopAsyncIteration:
                        exhausted = True
                outcome = flow.take(ordered)
                if outcome is not None:
                    yield outcome
                elif flow.pending:
                    await flow.wait()
                else:
                    return
        finally:
            flow.kill()


class _Flow:
    """The tasks of one `stream`, in the order of their items."""

    def __init__(
        self, tasks: TaskSupervisor, fn: Callable[..., Any], timeout_s: float | None
    ) -> None:
        self._tasks = tasks
        self._fn = fn
        self._timeout_s = timeout_s
        self.pending: deque[tuple[Task[Any], asyncio.Task[Ok[Any] | Error[Any]]]] = deque()

    def has_room(self, max_concurrency: int) -> bool:
        running = sum(not outcome.done() for _, outcome in self.pending)
        return running < max_concurrency and len(self.pending) < 2 * max_concurrency

    async def start(self, item: Any) -> None:
        task = await self._tasks.async_nolink(self._fn, item)
        self.pending.append((task, asyncio.ensure_future(self._outcome(task))))

    async def _outcome(self, task: Task[Any]) -> Ok[Any] | Error[Any]:
        outcome = await task.outcome(self._timeout_s)
        if not task.done:
            task.ref.kill()
        return outcome

    def take(self, ordered: bool) -> Ok[Any] | Error[Any] | None:
        """Take the outcome that is to be yielded next, if it is there."""
        for entry in self.pending:
            if entry[1].done():
                self.pending.remove(entry)
                return entry[1].result()
            if ordered:
                return None
        return None

    async def wait(self) -> None:
        """Wait until one more task is done."""
        running = {outcome for _, outcome in self.pending if not outcome.done()}
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)

    def kill(self) -> None:
        for task, outcome in self.pending:
            task.ref.kill()
            outcome.cancel()


async def _as_async(items: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


class _Tasks(DynamicSupervisor):
    """The actor behind a `TaskSupervisor`."""

    def __init__(self, max_children: int | None) -> None:
        super().__init__(max_children=max_children)
