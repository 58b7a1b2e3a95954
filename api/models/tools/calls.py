"""One call of a tool: an actor of its own, made for that call.

So a tool runs as a handler does: an ``async`` function on the loop, a plain one in the system's pool of
threads, and what does not obey its cancellation is left behind, and counted, by the rules of the
system. Its error is a value and no crash: that one call failed, and nothing is restarted for it.

A call of the function in the agent's own task lost: nothing could leave it behind, and it would hold
the agent's request, and a thread of asyncio's own pool, for as long as it likes.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeVar, cast

from agenticaiframework.actors import (
    SHUTDOWN,
    Actor,
    ActorRef,
    ActorSystem,
    FunctionExited,
    exit_of,
    with_context,
)

from .errors import ToolExited

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Raised:
    """What a call raised."""

    error: Exception


class ToolCall(Actor):
    """Calls an ``async`` function once."""

    exit_is_crash = True

    def __init__(self, tool: str) -> None:
        super().__init__()
        self._tool = tool

    def circle_name(self, ref: Any) -> str:
        """Return the name of the tool."""
        return self._tool

    async def on_receive(self, message: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await message()
        except Exception as error:
            return Raised(error)
        except BaseException as error:
            if exit_of(error) is None:
                raise
            return Raised(ToolExited.of(self._tool, error))


class BlockingToolCall(Actor):
    """Calls a plain function once, where it may block."""

    exit_is_crash = True
    dispatcher = "thread"

    def __init__(self, tool: str) -> None:
        super().__init__()
        self._tool = tool

    def circle_name(self, ref: Any) -> str:
        """Return the name of the tool."""
        return self._tool

    def on_receive(self, message: Callable[[], Any]) -> Any:
        try:
            return message()
        except Exception as error:
            return Raised(error)
        except BaseException as error:
            if exit_of(error) is None:
                raise
            return Raised(ToolExited.of(self._tool, error))


async def call_apart(
    kind: type[ToolCall] | type[BlockingToolCall], tool: str, call: Callable[[], Any]
) -> Any:
    """Return what *call* returns, called in an actor of its own; raises what it raises.

    It sees the context variables of this place. It is ended with the waiting.
    """
    system = ActorSystem.current()
    ref: ActorRef[Any] = system.start(cast("type[Actor]", kind), tool, _name=f"tool {tool}")
    try:
        result = await ref.request(with_context(call))
    finally:
        ref.exit(SHUTDOWN)
    if type(result) is Raised:
        raise result.error
    return result


def traceback_of_tool(error: BaseException) -> str:
    """Return *error* with its traceback, from where the tool itself begins: not the way to it."""
    frames = own = error.__traceback__
    while frames is not None:
        inside = frames.tb_frame.f_code.co_filename == __file__
        frames = frames.tb_next
        if inside:
            own = frames
    return "".join(traceback.format_exception(type(error), error, own)).rstrip()


class SystemThreads(Executor):
    """The current system's pool of threads, for what pydantic-ai calls in threads of its own choice.

    What is cancelled while it runs is left behind, as any handler that blocks. It has no state.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have *fn* called in the pool of the system that is the current one here."""
        future: _EndedWithIt[T] = _EndedWithIt()

        def call() -> tuple[T, BaseException | None] | None:
            if not future.set_running_or_notify_cancel():
                return None
            try:
                return fn(*args, **kwargs), None
            except BaseException as error:
                return cast("T", None), _to_be_awaited(error)

        ref: ActorRef[Any] = ActorSystem.current().start(BlockingToolCall, "a plain function")
        future.ref = ref
        # Its answer comes when it would: where time is simulated, that is later than now.
        ref.request(with_context(call)).add_done_callback(future.take)
        future.add_done_callback(lambda _: ref.exit(SHUTDOWN))
        return future


def _to_be_awaited(error: BaseException) -> BaseException:
    """Return what is raised for *error* of a function where that is awaited.

    A future cannot have a `StopIteration`, so nothing would ever come of it; and what ends a program on
    the loop does not in a thread.
    """
    if isinstance(error, asyncio.CancelledError):
        return error
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return FunctionExited.of(error)


class _EndedWithIt(Future[T]):
    ref: ActorRef[Any]

    def take(self, request: Any) -> None:
        """Take the outcome of the call that *request* asked for."""
        if self.done():
            return
        try:
            outcome = request.result()
        except BaseException as error:  # its actor was killed, or the system stops
            self.set_exception(error)
            return
        if outcome is None:
            return  # cancelled before it began
        value, raised = outcome
        if raised is None:
            self.set_result(value)
        else:
            self.set_exception(raised)

    def cancel(self) -> bool:
        self.ref.exit(SHUTDOWN)
        return super().cancel()


SYSTEM_THREADS: Final = SystemThreads()

__all__ = [
    "SYSTEM_THREADS",
    "BlockingToolCall",
    "SystemThreads",
    "ToolCall",
    "call_apart",
    "traceback_of_tool",
]
