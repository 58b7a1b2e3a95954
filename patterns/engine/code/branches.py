"""The tasks in which the code of a run runs, each with places of its own for the calls that it makes.

The code itself is one, and every task that it starts (`gather` of coroutines, `asyncio.TaskGroup`,
`asyncio.create_task`) another, numbered in the order in which its parent starts them. So a call has the
same place whenever the code runs again, in whatever order the tasks go on.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .host import CodeHost

here: Final[ContextVar[Branch | None]] = ContextVar("agenticaiframework.code_branch", default=None)
"""The branch that runs."""


class Branch:
    """One task of the code. Owned by that task, and by its host while it waits."""

    __slots__ = ("_calls", "_children", "_names", "host", "parent", "prefix", "task", "waiting")

    def __init__(self, host: CodeHost, prefix: str = "", parent: Branch | None = None) -> None:
        self.host = host
        self.prefix = prefix
        self.parent = parent
        self._calls = 0
        self._children = 0
        self._names: dict[str, int] = {}
        self.task: Any = None
        """The task that it is, once that has begun."""
        self.waiting: Any = None
        """The call, or the calls, that it waits for."""

    def __repr__(self) -> str:
        return f"<Branch {self.prefix!r}>"

    def next_place(self) -> str:
        """Return the place of the next call, which it is not given to yet."""
        return f"{self.prefix}{self._calls + 1}"

    def take_place(self) -> str:
        """Return the place of a call that is being made."""
        self._calls += 1
        return f"{self.prefix}{self._calls}"

    def take_id(self, name: str) -> str:
        """Return what a call is known by: its branch, and its name, numbered where it comes again."""
        count = self._names[name] = self._names.get(name, 0) + 1
        return f"{self.prefix}{name}" if count == 1 else f"{self.prefix}{name}#{count}"

    def fork(self) -> Branch:
        """Return the branch of a task that is started here."""
        child = Branch(self.host, f"{self.prefix}{self._children}.", self)
        self._children += 1
        return child

    def begin(self, task: Any) -> None:
        """Take note that *task* is this branch."""
        self.task = task
        self.host.branches[self] = None

    def ended(self, task: asyncio.Task[Any]) -> None:
        """Take note that the task has ended."""
        host = self.host
        host.branches.pop(self, None)
        if host.closed and not task.cancelled():
            task.exception()  # nobody else asks for it, and asyncio would complain
        host.dirty()


def branch_of(host: CodeHost) -> Branch:
    """Return the branch that makes a call; raises RuntimeError outside the code of *host*."""
    branch = here.get()
    if branch is None or branch.host is not host:
        raise RuntimeError(
            f"A call on the run {host.id!r} of workflow {host.workflow!r} was made outside its code. "
            "Calls belong to the workflow's function and to what it awaits."
        )
    task = asyncio.current_task()
    if task is not branch.task and task is not None:
        # It was started past the loop's factory: its place is that of its first call.
        branch = branch.fork()
        here.set(branch)
        branch.begin(task)
        task.add_done_callback(branch.ended)
    return branch


class _Factory:
    """Makes the tasks of a loop, and gives those that code of a run starts a branch of their own."""

    def __init__(self, before: Any, plain: bool) -> None:
        self._before = before
        self._plain = plain
        """Whether the loop makes `asyncio.Task`."""

    def __call__(self, loop: Any, coro: Any, **options: Any) -> Any:
        branch = here.get()
        context = options.get("context")
        if context is not None:
            branch = context.get(here)
        if branch is None or branch.host.closed:
            return self._make(loop, coro, options)
        if branch.task is None:  # made for this task, by what takes note of its end
            task = self._make(loop, coro, options)
            branch.begin(task)
            return task
        if context is None:
            context = options["context"] = copy_context()
        branch = branch.fork()
        context.run(here.set, branch)
        task = self._make(loop, coro, options)
        branch.begin(task)
        task.add_done_callback(branch.ended)
        return task

    def _make(self, loop: Any, coro: Any, options: Any) -> Any:
        if self._before is not None:
            return self._before(loop, coro, **options)
        if self._plain:
            return asyncio.Task(coro, loop=loop, **options)
        # A loop with tasks of its own makes those only when it has no factory.
        loop.set_task_factory(None)
        try:
            return loop.create_task(coro, **options)
        finally:
            loop.set_task_factory(self)


def follow_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Have the tasks that code starts on *loop* numbered as they are started; again: harmless."""
    before = loop.get_task_factory()
    if not isinstance(before, _Factory):
        loop.set_task_factory(_Factory(before, isinstance(loop, asyncio.BaseEventLoop)))


# -- what branches wait for ------------------------------------------------------------------------

_JOINING: Final = frozenset(
    {asyncio.TaskGroup.__aexit__.__code__, vars(asyncio.tasks)["_wait"].__code__}
)
"""The code of what waits for other tasks, and for nothing else."""


def waits_outside(branch: Branch) -> bool | None:
    """Tell what a branch waits for that awaits no call: None if it goes on, False if it waits for tasks of
    the code alone, True if for something that the run knows nothing of.
    """
    task = branch.task
    waiter = getattr(task, "_fut_waiter", None)
    if waiter is None or waiter.done():
        return None
    tasks = {known.task for known in branch.host.branches}
    if waiter in tasks:
        return False
    children = getattr(waiter, "_children", None)
    if children is not None:  # asyncio.gather
        left = [child for child in children if not child.done()]
        return None if not left else not all(child in tasks for child in left)
    coro = task.get_coro()
    while (inner := getattr(coro, "cr_await", None)) is not None and hasattr(inner, "cr_code"):
        coro = inner
    if getattr(coro, "cr_code", None) not in _JOINING:
        return True
    return not any(known.parent is branch for known in branch.host.branches)
