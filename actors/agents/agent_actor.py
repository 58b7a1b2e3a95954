"""The actor that is one incarnation of an agent."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import AsyncGeneratorType, CoroutineType, GeneratorType, TracebackType
from typing import Any, cast

from ..actor import Actor
from ..function_exits import call_for_future
from ..kernel.base import takes_an_argument
from ..kernel.carried import unwrap_carried
from ..kernel.cell import current_request
from ..kernel.mailbox import Mailbox
from ..looks import is_a
from .agent_context import CONTEXT, Handling, enter_agent_context, nested_context
from .agent_process import agent_work
from .agent_request import Work
from .expected_errors import NOTHING_EXPECTED, ExpectedErrors
from .generators import drain
from .step_request import StepRequest


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
    expected_errors: ExpectedErrors = NOTHING_EXPECTED
    concurrency: int = 1
    in_sessions: bool = False
    """Whether messages of one session are handled one at a time."""
    place: Any = None
    """What its one incarnation tells when it is free (`pooled_actor.Place`): a pool on another node."""
    recipe: Any = None
    """What it is made of on another node (`agent_host.Recipe`); None: it runs in each system that asks."""


@dataclass(frozen=True, slots=True)
class InboxMessage:
    """A message to an agent's inbox, apart from its work (see `Agent.on_message`)."""

    type: str
    content: Any
    sender: str | None = None
    channel: str | None = None


class AgentActor(Actor):
    """Runs an agent's handler on each payload. An unexpected exception ends it; the asker gets each."""

    crash_on_ask_error = True
    exit_is_crash = True

    def __init__(self, spec: AgentSpec) -> None:
        super().__init__()
        self._agent_spec = spec
        self._handler = spec.handler
        self.dispatcher = spec.dispatcher  # type: ignore[misc]
        self.mailbox = spec.mailbox
        # Most agents have no hooks, and for a handler that blocks each would cost a trip to a thread:
        # so the class has none, and an actor gets those that its agent has.
        if spec.on_start is not None:
            self.on_start = self._run_on_start  # type: ignore[method-assign]
            self._has_on_start = True
        if spec.on_stop is not None:
            self.on_stop = self._run_on_stop  # type: ignore[method-assign]
            self.on_failure = self._run_on_failure  # type: ignore[method-assign]
            self._has_on_stop = self._has_on_failure = self._stop_takes_reason = True

    def _run_on_start(self) -> Any:
        on_start = self._agent_spec.on_start
        return None if on_start is None else _await_if_needed(on_start())

    def _run_on_stop(self, reason: Any = None) -> Any:
        on_stop = self._agent_spec.on_stop
        if on_stop is None:
            return None
        result = on_stop(reason) if _wants_reason(on_stop) else on_stop()
        return _await_if_needed(result)

    def _run_on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Any:
        return self._run_on_stop(exception_value)

    def on_receive(self, message: Any) -> Any:
        request = current_request(self._ref)
        if request is not None:
            if not request.asker_waiting:
                # Withdrawn while it waited in the mailbox: its asker does not want this work done any
                # more.
                self.system.dead_letter(message, self.actor_ref.label, "withdrawn")
                return None
            if type(request) is StepRequest:
                request.taken_up()
        if type(message) is Work:
            # Where nothing is handed on, the caller's context has nothing of the kind in it.
            if message.context is not None:
                handling = Handling()
                handling.mapping = message.context
                CONTEXT.set(handling)
            result = self._handler(message.payload)
        elif is_a(message, InboxMessage):
            enter_agent_context(nested_context(self._agent_spec.name))
            return self._receive_inbox(message)
        else:
            enter_agent_context(None)
            result = self._handler(message)
        if type(result) is CoroutineType:  # pyright: ignore
            return result  # pyright: ignore
        return _await_if_needed(result)

    def _expects(self, error: Exception) -> bool:
        return self._agent_spec.expected_errors.include(error)

    def _work_for_child(self, message: Any) -> bytes | None:
        request = self.current_request
        if request is not None and not request.asker_waiting:
            return None
        if isinstance(request, StepRequest):
            request.taken_up()
        name = self._agent_spec.name
        if type(message) is Work:
            return agent_work(name, self._handler, message.payload, message.context)
        message = unwrap_carried(message)
        if is_a(message, InboxMessage):
            return None
        return agent_work(name, self._handler, message, None)

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
                result = await asyncio.to_thread(call_for_future, fn, message)
        return result


def _wants_reason(hook: Callable[..., Any]) -> bool:
    bound = getattr(hook, "__func__", None)
    if bound is not None:
        return takes_an_argument(bound)
    try:
        parameters = inspect.signature(hook).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(
        p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL) for p in parameters
    )


def _await_if_needed(result: Any) -> Any:
    """Return *result*, or a coroutine for what it stands for: some other awaitable, a generator's answer."""
    kind = cast(Any, type(result))
    if kind is AsyncGeneratorType:
        return drain(result)
    if kind is not CoroutineType and (
        hasattr(kind, "__await__") or (kind is GeneratorType and inspect.isawaitable(result))
    ):
        return _awaited(result)
    return result


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def _finish(result: Any) -> Any:
    return asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result
