"""The actor that is one incarnation of an agent."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import CoroutineType, TracebackType
from typing import Any

from ..actor import Actor, _takes_an_argument
from ..agent_context import CONTEXT, NOTHING
from ..kernel import lifecycle
from ..kernel.mailbox import Mailbox
from ..kernel.phase import DEAD, PARKED, STOPPING
from ..kernel.request import PENDING
from .agent_request import Work
from .errors import AgentTimeout


@dataclass(slots=True)
class AgentSpec:
    """What the incarnations of an agent have in common."""

    name: str
    handler: Callable[..., Any]
    dispatcher: str
    mailbox: Mailbox
    on_start: Callable[..., Any] | None
    on_stop: Callable[..., Any] | None
    on_message: tuple[Callable[[Any], Any], ...] = ()


@dataclass(frozen=True, slots=True)
class InboxMessage:
    """A message to an agent's inbox, apart from its work (see `Agent.on_message`)."""

    type: str
    content: Any
    sender: str | None = None
    channel: str | None = None


class AgentActor(Actor):
    """Runs an agent's handler on each payload. An exception ends it; the asker gets it too."""

    crash_on_ask_error = True

    def __init__(self, spec: AgentSpec) -> None:
        super().__init__()
        self._agent_spec = spec
        self._handler = spec.handler
        self.dispatcher = spec.dispatcher  # type: ignore[misc]
        self.mailbox = spec.mailbox
        if spec.on_start is not None:
            self._has_on_start = True  # type: ignore[misc]
        if spec.on_stop is not None:
            self._has_on_stop = self._has_on_failure = True  # type: ignore[misc]

    def on_start(self) -> Any:
        on_start = self._agent_spec.on_start
        return None if on_start is None else _await_if_needed(on_start())

    def on_stop(self, reason: Any = None) -> Any:
        on_stop = self._agent_spec.on_stop
        if on_stop is None:
            return None
        result = on_stop(reason) if _wants_reason(on_stop) else on_stop()
        return _await_if_needed(result)

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Any:
        return self.on_stop(exception_value)

    def on_receive(self, message: Any) -> Any:
        request = self._ref._current
        if request is not None and request._state != PENDING:
            # Withdrawn while it waited in the mailbox: nobody wants this work done any more.
            self.system.dead_letter(message, self.actor_ref.label, "withdrawn")
            return None
        if message.__class__ is Work:
            CONTEXT.set(message.context if message.context is not None else NOTHING)
            result = self._handler(message.payload)
        elif isinstance(message, InboxMessage):
            return self._receive_inbox(message)
        else:
            CONTEXT.set(NOTHING)
            result = self._handler(message)
        return result if result.__class__ is CoroutineType else _await_if_needed(result)

    def _work_for_child(self, message: Any) -> bytes | None:
        from ..dispatch.processes import agent_work

        request = self._current
        if isinstance(message, InboxMessage) or (request is not None and not request.asker_waiting):
            return None
        work = message if message.__class__ is Work else Work(message, None)
        return agent_work(self._agent_spec.name, self._handler, work.payload, work.context)

    def _receive_inbox(self, message: InboxMessage) -> Any:
        receivers = self._agent_spec.on_message
        if not receivers:
            self.system.dead_letter(message, self.actor_ref.label, "no on_message handler")
            return None
        if self.dispatcher != "event_loop":
            return [_finish(fn(message)) for fn in receivers][-1]
        return self._receive_inbox_on_loop(receivers, message)

    async def _receive_inbox_on_loop(
        self, receivers: tuple[Callable[[Any], Any], ...], message: InboxMessage
    ) -> Any:
        result: Any = None
        for fn in receivers:
            if inspect.iscoroutinefunction(fn):
                result = await fn(message)
            else:
                # A plain function may block, and this is the event loop's thread.
                result = await asyncio.to_thread(fn, message)
        return result

    def _cancel_work(self, request: Any, timeout: AgentTimeout | None) -> None:
        """The asker has withdrawn *request*, which is being handled: cancel it, or leave it behind."""
        job = self._ext.job if self._ext is not None else None
        if job is not None:
            # A thread cannot be cancelled. It may be done with the work just now.
            if not job.fence(request):
                return
            if timeout is not None:
                lifecycle.doom(self, timeout, kill=True)
            else:
                lifecycle.abandon_work(self)
            return
        task = self._task
        if self._coro is None or task is None:
            return
        task.work_cancelled = True
        task.cancel("the asker does not wait any more")
        self.system.call_later(self.system.cancel_grace_s, self._check_cancelled, task, timeout)

    def _check_cancelled(self, task: Any, timeout: AgentTimeout | None) -> None:
        if self._task is not task or task._done or self._phase & (DEAD | STOPPING):
            return
        if timeout is not None:
            lifecycle.doom(self, timeout, kill=True)
        elif self._state == PARKED:
            lifecycle.abandon_work(self)


# Most agents have no hooks, and for a handler that blocks each would cost a trip to a thread.
AgentActor._has_on_start = AgentActor._has_on_stop = AgentActor._has_on_failure = False


def _wants_reason(hook: Callable[..., Any]) -> bool:
    bound = getattr(hook, "__func__", None)
    if bound is not None:
        return _takes_an_argument(bound)
    try:
        parameters = inspect.signature(hook).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(
        p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL) for p in parameters
    )


def _await_if_needed(result: Any) -> Any:
    """Return *result*, or a coroutine that awaits it if it is some other awaitable."""
    if result.__class__ is not CoroutineType and inspect.isawaitable(result):
        return _awaited(result)
    return result


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def _finish(result: Any) -> Any:
    return asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result
