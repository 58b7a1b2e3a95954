"""Calls under way: how many there may be, how they are followed, left and cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, fields, replace
from types import TracebackType
from typing import Any, Final, Self

from agenticaiframework.actors import Answer, TextDelta, ThinkingDelta, WrongUse

from .failures import CallFailed, Failure, FailureKind, failure_of
from .forms import sendable
from .items import Asked, Begun, Item, Said
from .served import Served

_LAST_S: Final = 1.0
"""How long what has been cancelled at the end may take to end."""


@dataclass(frozen=True, slots=True)
class FaceLimits:
    """What an app takes at most. Each has a number, so that no caller can use all there is."""

    max_calls: int = 100
    """Calls under way at the same time; more are refused as busy."""
    timeout_s: float = 300.0
    """For one call, in seconds. A durable run goes on."""
    max_body_bytes: int = 4 * 1024 * 1024
    """Of one request; 4 MiB."""
    body_timeout_s: float = 30.0
    """How long a request's body may take to arrive, in seconds."""
    max_sessions: int = 1_000
    """Open sessions of MCP at the same time."""
    session_idle_s: float = 1_800.0
    """After which a session of MCP ends that nothing is asked in, in seconds."""
    max_tasks: int = 1_000
    """Tasks of A2A that have ended and can still be looked at, the latest."""
    ping_s: float = 15.0
    """After which a stream that has nothing to tell says that it is there, in seconds."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            whole = field.type == "int"
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                kind = "a whole number" if whole else "a number"
                raise WrongUse(f"FaceLimits({field.name}={value!r}): {kind} above 0")
            if not 0 < value < float("inf"):
                raise WrongUse(f"FaceLimits({field.name}={value!r}): above 0, and not infinite")


class Call:
    """One call: its items as they come, and how it ended. Owned by the loop that began it.

    The work is a task of its own, so that several may follow it, and it can be left. `async with` leaves it
    at the end of the block.
    """

    def __init__(self, served: Served, asked: Asked) -> None:
        self.served = served
        self.asked = asked
        self.answer: Any = None
        """The answer as data, once `done`; its `usage` beside it."""
        self.usage: Any = None
        self.failure: Failure | None = None
        self.run_id: str | None = None
        self.done = asyncio.Event()
        self._items: list[Item] = []
        self._more = asyncio.Event()
        self._why: str | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> asyncio.Task[None]:
        """Begin the work, in a task that always ends well."""
        task = asyncio.create_task(self._work(), name=f"faces: {self.served.name}")
        # Not in the task itself, which may be cancelled before its first step.
        task.add_done_callback(self._over)
        self._task = task
        return task

    async def _work(self) -> None:
        try:
            async with aclosing(self.served.stream(self.asked)) as items:
                async for item in items:
                    if isinstance(item, Begun):
                        self.run_id = item.run_id
                    elif isinstance(item, Answer):
                        self.answer, self.usage = self.served.read_answer(item.output), item.usage
                    elif isinstance(item, (TextDelta, ThinkingDelta)):
                        item = replace(item, text=sendable(item.text))
                    self._tell(item)
        except Exception as error:
            self.failure = failure_of(error, self.run_id)

    def _over(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            why = self._why or "the server stops"
            kind = FailureKind.UNAVAILABLE if self._why is None else FailureKind.CANCELLED
            said = f"{self.served.name!r} was cancelled: {why}."
            self.failure = Failure(kind, said, run_id=self.run_id)
        self.done.set()
        self._wake()

    def _tell(self, item: Item) -> None:
        self._items.append(item)
        self._wake()

    def _wake(self) -> None:
        more, self._more = self._more, asyncio.Event()
        more.set()

    def follow(self) -> Following:
        """Return all items, from the first on; the loop raises `CallFailed` if there is no answer."""
        return Following(self)

    async def after(self, number: int) -> Item | None:
        """Return the item with that number, once it is there; None if the last was before it."""
        while number >= len(self._items):
            if self.done.is_set():
                self.check()
                return None
            await self._more.wait()
        return self._items[number]

    async def wait(self) -> Any:
        """Return the answer as data; raises `CallFailed`."""
        await self.done.wait()
        self.check()
        return self.answer

    def check(self) -> None:
        """Raise `CallFailed` if the call has ended without an answer."""
        failure = self.failure
        if failure is not None:
            raised = CallFailed(failure.kind, failure.message, retry_after_s=failure.retry_after_s)
            raised.failure = failure
            raise raised

    def leave(self, why: str = "the caller has left") -> None:
        """Stop the work; a durable run goes on."""
        if self._task is not None and not self._task.done():
            self._why = self._why or why
            self._task.cancel()

    def cancel(self, why: str) -> None:
        """Stop the work, and a durable run as well."""
        runs = self.served.runs
        if runs is not None and runs.durable and self.run_id is not None:
            self.asked.keeps.aside(runs.engine.cancel_workflow(self.run_id, why))
        self.leave(why)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.leave()


class Following(AsyncIterator[Item]):
    """The items of one call, read by one task; a wait for one that is cancelled loses none."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._number = 0

    async def __anext__(self) -> Item:
        item = await self._call.after(self._number)
        if item is None:
            raise StopAsyncIteration
        self._number += 1
        return item

    async def within(self, seconds: float) -> Item | None:
        """Return the next item; None if it has not come by then. Raises StopAsyncIteration, `CallFailed`."""
        try:
            async with asyncio.timeout(seconds):
                return await anext(self)
        except TimeoutError:
            return None


class Calls:
    """The calls of one app in one system. Owned by that system's loop."""

    def __init__(self, limits: FaceLimits, face: str) -> None:
        self.limits = limits
        self.face = face
        self.draining = False
        self._calls: dict[asyncio.Task[None], Call] = {}
        self._aside: set[asyncio.Task[Any]] = set()

    @property
    def under_way(self) -> int:
        """How many calls there are."""
        return len(self._calls)

    def begin(
        self,
        served: Served,
        payload: Any,
        who: str,
        *,
        key: str | None = None,
        run_id: str | None = None,
        session: str | None = None,
        earlier: tuple[Said, ...] = (),
        timeout_s: float | None = None,
    ) -> Call:
        """Return a call that has begun; raises `CallFailed` if there is no room for it."""
        if self.draining:
            raise CallFailed(
                FailureKind.UNAVAILABLE, "The server is about to stop.", retry_after_s=1.0
            )
        if len(self._calls) >= self.limits.max_calls:
            raise CallFailed(
                FailureKind.BUSY,
                f"{len(self._calls)} calls are under way, as many as are taken.",
                retry_after_s=1.0,
            )
        limit_s = self.limits.timeout_s
        asked = Asked(
            payload,
            who,
            limit_s if timeout_s is None else min(timeout_s, limit_s),
            self,
            self.face,
            key,
            run_id,
            # Two callers who name their conversations alike do not share one.
            None if session is None else f"{who}/{session}",
            earlier,
        )
        call = Call(served, asked)
        task = call.begin()
        self._calls[task] = call
        task.add_done_callback(self._ended)
        return call

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._calls.pop(task, None)

    def aside(self, work: Coroutine[Any, Any, object]) -> None:
        """Have *work* done, and waited for when the app is closed."""
        task = asyncio.create_task(_quietly(work), name="faces: aside")
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    async def drain(self, deadline_s: float) -> None:
        """Take no more calls, and return when those under way have ended, or the time is over."""
        self.draining = True
        if self._calls:
            await asyncio.wait(list(self._calls), timeout=deadline_s)
        await self.close()

    async def close(self) -> None:
        """Take no more calls, leave those under way, and wait for what is left of them."""
        self.draining = True
        for task in list(self._calls):
            task.cancel()
        left = [*self._calls, *self._aside]
        if left:
            await asyncio.wait(left, timeout=_LAST_S)
        for task in list(self._aside):
            task.cancel()
        if self._aside:
            await asyncio.wait(list(self._aside), timeout=_LAST_S)


async def _quietly(work: Coroutine[Any, Any, object]) -> None:
    try:
        await work
    except Exception:
        pass  # the run, or its engine, is gone: there is nothing left to cancel
