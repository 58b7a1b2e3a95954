"""One call on a run, and several at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from pydantic import PydanticUserError

from .branches import Branch, branch_of, here
from .errors import PutAway
from .plan import CallPolicy

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from .host import Answer, CodeHost

T = TypeVar("T")

_NOTHING: Final[Any] = object()


class Call(Coroutine[Any, Any, T], Generic[T]):
    """A call, whose place is taken when it is made, and which begins when it is awaited.

    It is a coroutine too, so that ``asyncio.create_task`` and ``TaskGroup.create_task`` take it as it is.
    """

    __slots__ = (
        "_error",
        "_host",
        "_under_way",
        "_value",
        "annotated",
        "at",
        "by",
        "call",
        "fallback",
        "id",
        "index",
        "left",
        "payload",
        "policy",
        "returns",
        "target",
        "undo",
        "waiter",
    )

    def __init__(
        self,
        host: CodeHost,
        branch: Branch,
        name: str,
        call: dict[str, Any],
        policy: CallPolicy,
        target: Any = None,
        payload: Any = None,
        undo: Any = None,
        fallback: Any = None,
        returns: TypeAdapter[Any] | None = None,
    ) -> None:
        self._host = host
        self.at = call["at"] = branch.take_place()
        self.id = branch.take_id(name)
        """What it is known by in the run."""
        self.call = call
        """What the journal says of it."""
        self.policy = policy
        self.target = target
        self.payload = payload
        self.undo = undo
        self.fallback = fallback
        self.returns = returns
        """What makes a value of the type that the caller has asked for."""
        self.annotated: TypeAdapter[Any] | None = None
        """What makes a value of the type that the function or the agent which it calls declares."""
        self.index = -1
        """Its step, once it has begun."""
        self.left = False
        """Whether nothing waits for it any more."""
        self.by: Branch | None = None
        """The branch that waits for it."""
        self.waiter: Answer | Gathering | None = None
        """What is told what came of it."""
        self._value: Any = _NOTHING
        self._error: BaseException | None = None
        self._under_way: Generator[Any, Any, T] | None = None
        """What a task that it is the coroutine of goes on with."""
        host.idle[self] = None

    def __repr__(self) -> str:
        return f"<Call {self.id!r}>"

    def __await__(self) -> Generator[Any, Any, T]:
        if self._error is not None:
            raise self._error
        if self._value is not _NOTHING:
            return cast("T", self._value)
        if self.waiter is not None:
            raise RuntimeError(f"The call {self.id!r} is awaited already.")
        host = self._host
        branch = branch_of(host)
        if host.closed:
            raise PutAway
        self.waiter = answer = host.answer()
        branch.waiting = self
        self.by = branch
        try:
            host.begin(self)
            yield from answer.__await__()
        except asyncio.CancelledError:
            host.leave(self)
            raise
        finally:
            branch.waiting = None
        if self._error is not None:
            raise self._error
        return cast("T", self._value)

    def send(self, value: Any) -> Any:
        """Go on, for the task that it is the coroutine of."""
        return self._steps().send(value)

    def throw(self, *error: Any) -> Any:
        """Raise *error* where it waits, for the task that it is the coroutine of."""
        self._host.idle.pop(self, None)
        return self._steps().throw(*error)

    def close(self) -> None:
        """End the wait for it, if a task waits; one that has not begun is given up."""
        self._host.idle.pop(self, None)
        if self._under_way is not None:
            self._under_way.close()

    def _steps(self) -> Generator[Any, Any, T]:
        if self._under_way is None:
            self._under_way = self.__await__()
        return self._under_way

    def take(self, value: Any, error: BaseException | None) -> bool:
        """Take what came of it; return whether its code goes on by that."""
        if error is None:
            try:
                value = self.made(value)
            except ValueError as problem:
                error = problem
        self._value, self._error = value, error
        waiter = self.waiter
        if isinstance(waiter, Gathering):
            return waiter.took(self)
        assert waiter is not None, "it was begun by what waits for it"
        assert self.by is not None, "it was begun by what waits for it"
        self.by.waiting = None
        waiter.reply()
        return True

    def made(self, value: Any) -> Any:
        """Return *value*, in its stored form, as what the call says that it returns."""
        if self.returns is not None:
            return self.returns.validate_python(value)
        if self.annotated is not None:
            try:
                return self.annotated.validate_python(value)
            except (ValueError, PydanticUserError):
                return value  # the function does not keep to its annotation
        return value

    @property
    def verb(self) -> str:
        """The method of the run that made it."""
        return next((verb for verb in ("ask", "step", "sleep") if verb in self.call), "wait_for")

    @property
    def told(self) -> bool:
        """Whether it is known what came of it."""
        return self._error is not None or self._value is not _NOTHING

    @property
    def outcome(self) -> tuple[Any, BaseException | None]:
        """What came of it."""
        return self._value, self._error


class Gathering:
    """Calls, and coroutines that make calls, beside each other. Owned by the branch that waits for it."""

    __slots__ = (
        "_answer",
        "_branches",
        "_context",
        "_error",
        "_host",
        "_keep_errors",
        "_limit",
        "_next",
        "_results",
        "_running",
        "_work",
        "branch",
    )

    def __init__(
        self, host: CodeHost, work: Sequence[Any], limit: int | None, keep_errors: bool
    ) -> None:
        self._host = host
        self.branch = branch_of(host)
        self._work = work
        self._limit = len(work) if limit is None else limit
        self._keep_errors = keep_errors
        self._results: list[Any] = [None] * len(work)
        self._next = 0
        self._running: dict[Any, int] = {}
        """What is under way, with its place among the work."""
        self._error: BaseException | None = None
        self._context = copy_context()
        # All at once, so that their places do not depend on when they begin.
        self._branches = {
            n: self.branch.fork() for n, one in enumerate(work) if not isinstance(one, Call)
        }
        self._answer = host.answer()

    async def results(self) -> list[Any]:
        """Return what came of them, in their order; raises the first error, once the others have ended."""
        if self._host.closed:
            self._drop_rest()
            raise PutAway
        if not self._work:
            return []
        self._begin_more()
        branch = self.branch
        branch.waiting = self
        try:
            await self._answer
        except asyncio.CancelledError:
            branch.waiting = None
            await self._stop()
            raise
        finally:
            branch.waiting = None
            self._drop_rest()
        if self._error is not None:
            raise self._error
        return self._results

    def put_away(self) -> None:
        """End the wait: the code is put away."""
        self._answer.fail(PutAway())

    def took(self, one: Any) -> bool:
        """Take what came of a call; return whether the code goes on by that."""
        value, error = one.outcome
        return self._took(one, value, error)

    def _took(self, one: Any, value: Any, error: BaseException | None) -> bool:
        place = self._running.pop(one, None)
        if place is None:
            return False
        if error is None:
            self._results[place] = value
        elif self._keep_errors and isinstance(error, Exception):
            self._results[place] = error
        elif self._error is None:
            self._error = error
            self._stop_others()
        self._begin_more()
        if self._running:
            return False
        self.branch.waiting = None
        self._answer.reply()
        return True

    def _begin_more(self) -> None:
        while (
            self._error is None
            and self._next < len(self._work)
            and len(self._running) < self._limit
            and not self._host.closed
        ):
            place = self._next
            self._next += 1
            one = self._work[place]
            if isinstance(one, Call):
                self._running[one] = place
                one.waiter = self
                self._host.begin(one)
            else:
                context = self._context.copy()
                context.run(here.set, self._branches[place])
                loop = asyncio.get_running_loop()
                task = loop.create_task(_awaiting(one), context=context)
                self._running[task] = place
                task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        branch = self._branches[self._running[task]]
        if task.cancelled():
            self._took(task, None, asyncio.CancelledError())
        else:
            error = task.exception()
            self._took(task, None if error is not None else task.result(), error)
        # Only now: this wait, too, must have heard of it when it is looked whether all wait.
        branch.ended(task)

    def _stop_others(self) -> None:
        for one in list(self._running):
            if isinstance(one, Call):
                del self._running[one]
                self._host.leave(one)
            else:
                one.cancel()

    async def _stop(self) -> None:
        """Stop what is under way, and wait until it has ended."""
        self._error = self._error or asyncio.CancelledError()
        self._stop_others()
        if self._running:
            self._answer = self._host.answer()
            self.branch.waiting = self
            await self._answer

    def _drop_rest(self) -> None:
        for one in self._work[self._next :]:
            close: Callable[[], None] | None = getattr(one, "close", None)
            if close is not None:
                close()


async def _awaiting(one: Any) -> Any:
    return await one
