"""Supervised tasks: functions that run in actors of their own and give one result.

Source: Elixir's Task.Supervisor.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping
from contextvars import Context, copy_context
from functools import partial
from typing import Any, cast

from agenticaiframework.actors import (
    CALL,
    ActorRef,
    FunctionActor,
    attribute_of,
    is_coroutine_function,
    with_context,
)

from ..machine.requests import StartChild, TerminateChild, WhichChildren
from ..machine.results import ChildInfo, Error, Ok, StartChildResult
from ..machine.supervisor import Supervisor
from ..policy.child_spec import ChildSpec, Shutdown
from ..policy.flags import SupervisorFlags
from ..vocabulary.checks import check_count, check_seconds
from ..vocabulary.errors import BadOption
from ..vocabulary.kinds import RestartType
from .blueprint import SupervisorBlueprint
from .caller import Caller, caller_here
from .task import Start, Task, TaskActor
from .task_stream import OnTimeout, StreamOptions, TaskStream
from .tasks_actor import StartWhenRoom, TasksActor


class TaskSupervisor(SupervisorBlueprint):
    """Runs functions as supervised tasks, at most *max_children* at a time.

        async with TaskSupervisor("jobs", max_children=100) as jobs:
            task = await jobs.async_nolink(fetch, url)
            page = await task
            async for outcome in jobs.stream(fetch, urls, max_concurrency=8):
                ...

    A task that fails is reported and not restarted, and no other task is touched by it. Only what
    `start_child` starts with a restart type is restarted: *max_restarts* times within *max_seconds* for
    all of them together; one more, and the supervisor ends, and all tasks with it. When it stops,
    running tasks get *shutdown_ms* to end. An ``async`` function runs on the loop, a plain one in a
    thread; both see the context variables of their caller. It is a child like any other for
    `AgentSupervisor.add_supervisor`.
    """

    def __init__(
        self,
        name: str = "tasks",
        *,
        max_children: int | None = None,
        shutdown_ms: Shutdown = 5000,
        max_restarts: int = 3,
        max_seconds: float = 5,
    ) -> None:
        super().__init__(name)
        where, example = f"TaskSupervisor {name!r}", "TaskSupervisor('jobs', max_children=100)"
        if max_children is not None:
            check_count(where, "max_children", max_children, 1, example)
        check_count(
            where, "max_restarts", max_restarts, 0, "TaskSupervisor('jobs', max_restarts=3)"
        )
        if max_seconds is None:  # pyright: ignore[reportUnnecessaryComparison]
            raise BadOption(where, "max_seconds is None", "TaskSupervisor('jobs', max_seconds=5)")
        check_seconds(where, "max_seconds", max_seconds)
        self.max_children = max_children
        self.shutdown_ms: Shutdown = shutdown_ms
        self.flags = SupervisorFlags(intensity=max_restarts, period_s=max_seconds)

    def make_actor(self) -> tuple[type[Supervisor], tuple[Any, ...]]:
        return TasksActor, (self.flags, self.max_children)

    # -- single tasks --------------------------------------------------------------------------

    async def async_nolink(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Task[Any]:
        """Start ``fn(*args, **kwargs)`` as a task, and return it. Its failure does not touch the caller.

        Raises `Refused` when *max_children* tasks run, and `SupervisorNotRunning`.
        """
        self._check_function(fn)
        return await self._task(StartChild, fn, args, kwargs, copy_context(), Start())

    def async_(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Awaitable[Task[Any]]:
        """Start ``fn(*args, **kwargs)`` as a task that ends with its caller; await this for the task.

        The caller is the actor whose handler calls this: it is linked with the task, so that it also
        fails if the task does, unless it traps exits. Outside of actors it is the asyncio task that
        calls this; the failure shows there where the task is awaited. A caller that ends, for whatever
        reason, takes its task with it; so does the asker of the handler who withdraws what is handled.
        Raises as `async_nolink` does.
        """
        self._check_function(fn)
        return self._linked(fn, args, kwargs, copy_context(), caller_here())

    async def _linked(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        context: Context,
        caller: Caller,
    ) -> Task[Any]:
        start = Start(caller.actor)
        task = await self._task(StartChild, fn, args, kwargs, context, start)
        task.when_done(caller.when_gone(self.system, task.cancel))
        return task

    async def _task(
        self,
        how: Callable[[ChildSpec], Any],
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        context: Context,
        start: Start,
    ) -> Task[Any]:
        try:
            ref = await self._start(
                how, fn, (TaskActor, fn, args, kwargs, start), RestartType.TEMPORARY
            )
        except BaseException:
            start.leave()
            raise
        return Task(ref, ref.request(with_context(CALL, context)), start)

    async def start_child(
        self,
        fn: Callable[..., Any],
        *args: Any,
        restart: RestartType | str = RestartType.TEMPORARY,
        **kwargs: Any,
    ) -> ActorRef[Any]:
        """Start ``fn(*args, **kwargs)`` for its effects, and return its ref.

        *restart* says if it comes back. Raises as `async_nolink` does.
        """
        self._check_function(fn)
        start = (FunctionActor, fn, args, True, copy_context(), kwargs)
        return await self._start(StartChild, fn, start, RestartType(restart))

    async def _start(
        self,
        how: Callable[[ChildSpec], Any],
        fn: Callable[..., Any],
        start: tuple[Any, ...],
        restart: RestartType,
    ) -> ActorRef[Any]:
        name = attribute_of(fn, "__name__", type(fn).__name__)
        spec = ChildSpec(name, start, restart, self.shutdown_ms)
        result = cast("StartChildResult", await self.request(how(spec)))
        return cast("ActorRef[Any]", result.unwrap())

    async def children(self) -> list[ActorRef[Any]]:
        """Return the refs of what runs now. Raises `SupervisorNotRunning`."""
        infos = cast("list[ChildInfo]", await self.request(WhichChildren()))
        # Those between two incarnations have none, and the end of others may not be read yet.
        refs = [cast("ActorRef[Any]", info.child) for info in infos if info.child != "restarting"]
        return [ref for ref in refs if ref.is_alive()]

    async def terminate_child(self, ref: ActorRef[Any]) -> None:
        """End what runs under *ref* (`Task.ref`), which is not restarted; return when it has ended.

        Raises `Refused` if it is not a child (any more), and `SupervisorNotRunning`.
        """
        (await self.request(TerminateChild(ref))).unwrap()

    def _check_function(self, fn: Any) -> None:
        if not callable(fn):
            raise BadOption(
                f"TaskSupervisor {self.name!r}",
                f"the task {fn!r} is not a function",
                "await jobs.async_nolink(fetch, url)",
            )

    # -- streams -------------------------------------------------------------------------------

    def stream(
        self,
        fn: Callable[..., Any],
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        max_concurrency: int = 8,
        ordered: bool = True,
        timeout_s: float | None = None,
        on_timeout: OnTimeout = "kill_task",
    ) -> AsyncGenerator[Ok[Any] | Error[Any], None]:
        """Yield the outcome of ``fn(item, *args, **kwargs)`` for each of *items*, so many at a time.

        An outcome is ``Ok(result)`` or ``Error(exit reason)``, whose `item` says what it is for. It is
        given as soon as it is there: *items* may be a queue that the loop fills. *ordered* yields in
        the order of the items, else as they finish. At most *max_concurrency* tasks run, and at most
        as many outcomes wait to be taken: a slow consumer slows the items down, it does not fill the
        memory. While *max_children* tasks run, it waits.

        After *timeout_s* seconds a task is killed, and its outcome is ``Error("timeout")``; with
        ``on_timeout="exit"`` the loop gets `WaitTimeout` instead, and all tasks are killed.

        Leaving the loop early ends the tasks that run and closes an asynchronous *items*:
        `contextlib.aclosing` returns when that is done. The end of the actor that called this, and a
        failure or cancellation of the asyncio task that did, have the same effect.
        """
        self._check_function(fn)
        where, example = (
            f"TaskSupervisor {self.name!r}",
            "jobs.stream(fetch, urls, max_concurrency=8)",
        )
        check_count(where, "max_concurrency", max_concurrency, 1, example)
        check_seconds(where, "timeout_s", timeout_s)
        if on_timeout not in ("kill_task", "exit"):
            problem = f"on_timeout={on_timeout!r} is neither 'kill_task' nor 'exit'"
            raise BadOption(
                where, problem, "jobs.stream(fetch, urls, timeout_s=5, on_timeout='exit')"
            )
        if not isinstance(items, AsyncIterable | Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise BadOption(where, f"the items {items!r} cannot be iterated", example)
        given = partial(fn, **kwargs) if kwargs else fn
        context = copy_context()

        async def launch(item: Any) -> Task[Any]:
            return await self._task(StartWhenRoom, given, (item, *args), {}, context, Start())

        in_threads = not is_coroutine_function(fn)
        options = StreamOptions(max_concurrency, ordered, timeout_s, on_timeout, in_threads)
        caller = caller_here()
        return TaskStream(launch, items, options, caller, context.copy()).outcomes(self)
