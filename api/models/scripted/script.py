"""What a script sees of a request to a model, and what it may answer."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from agenticaiframework.actors import (
    SHUTDOWN,
    Actor,
    ActorRef,
    ActorSystem,
    ToolCall,
    ToolResult,
    Usage,
    contained,
    with_context,
)


@dataclass(frozen=True, slots=True)
class Scripted:
    """An answer with what belongs to it: *output* in any form that a script may return, and its usage.

    *finish_reason* is ``stop``, ``length``, ``content_filter``, ``tool_call`` or ``error``.
    """

    output: Any
    usage: Usage | None = None
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedRequest:
    """One request to a model, as the function of `scripted_model` gets it.

    *tools* are what the model may call, those that hand the conversation over last, with ``name``, ``description`` and ``parameters_json_schema``
    (pydantic-ai's ``ToolDefinition``). *schema* is the JSON schema that the answer has to fit; None if it
    may be any text. *history* has the session's messages from before this request, *messages* those and
    the ones of this request, in pydantic-ai's form. *results* are what the tools returned that were
    called since the payload came. *number* counts the requests for one payload, from 1.
    """

    agent: str
    payload: Any
    model: object = None
    session: str | None = None
    instructions: str | None = None
    tools: Sequence[Any] = ()
    schema: Mapping[str, Any] | None = None
    history: Sequence[Any] = ()
    messages: Sequence[Any] = ()
    results: Sequence[ToolResult] = ()
    settings: Mapping[str, Any] | None = None
    number: int = 1
    streamed: bool = False
    prompt: str = ""
    """The text of the payload, as the model reads it."""

    @property
    def tool_names(self) -> tuple[str, ...]:
        """The names of *tools*."""
        return tuple(tool.name for tool in self.tools)

    def call(self, tool: str, /, **arguments: Any) -> ToolCall:
        """Return an answer that calls *tool*: ``return request.call("search", query="rivers")``."""
        return ToolCall(tool, arguments, "")


Script: TypeAlias = Callable[[ScriptedRequest], Any]
"""Answers a request: with a text, a mapping or another object that fits the schema, tool calls, a list
of these, a `Scripted`, a generator of parts, or an awaitable of one of them."""

Parts: TypeAlias = "Iterator[Any] | AsyncIterator[Any]"


class PlainScript:
    """A script that sees of a request what an agent says without a model library: its name, its
    instructions and its payload."""

    __slots__ = ("_answer",)

    def __init__(self, answer: Script) -> None:
        self._answer = answer

    def __call__(self, request: ScriptedRequest) -> Any:
        """Return the answer to *request*."""
        return self._answer(request)


def as_script(function: Any) -> Script:
    """Return *function* of ``(agent_name, payload)``, or of one request, as a function of the request."""
    try:
        signature = inspect.signature(function)
        signature.bind(None, None)
    except ValueError:  # a function of C's that does not say
        pass
    except TypeError:
        return cast("Script", function)
    pair = cast("Callable[[str, Any], Any]", function)
    return PlainScript(lambda request: pair(request.agent, request.payload))


async def awaited(answer: Any) -> Any:
    """Return *answer*, or what it gives when it is awaited: in an actor of its own.

    pydantic-ai cancels what it waits for again and again, without letting time pass, until that ends; a
    script that ignores its cancellation would hold the loop. So it is left behind as a handler is.
    """
    if not inspect.isawaitable(answer):
        return answer
    system = ActorSystem.current_or_none()
    if system is None or not system.running or system.loop is not asyncio.get_running_loop():
        return await answer
    ref: ActorRef[Any] = system.start(_ScriptCall, _name="script")
    try:
        result = await ref.request(with_context(lambda: answer))
    finally:
        ref.exit(SHUTDOWN)
        if inspect.iscoroutine(answer) and inspect.getcoroutinestate(answer) == _NOT_BEGUN:
            answer.close()
    if type(result) is _Raised:
        raise result.error
    return result


_NOT_BEGUN: Final = inspect.CORO_CREATED


@dataclass(frozen=True, slots=True)
class _Raised:
    error: Exception


class _ScriptCall(Actor):
    """Waits for one answer of a script."""

    exit_is_crash = True

    async def on_receive(self, message: Callable[[], Awaitable[Any]]) -> Any:
        try:
            with contained:
                return await message()
        except Exception as error:
            return _Raised(error)


@dataclass(slots=True)
class Asked:
    """What one payload is about while a script answers for the model. Written by the script's model."""

    agent: str
    payload: Any
    answered: Any = None
    """The last answer that was an object, as it was given."""
    text: str | None = None
    """The text that stood for it."""
    texted: bool = False
    """Whether a part of the answer that is being made was text."""
    first: Callable[[], Any] | None = None
    """Gives the script's first answer, or raises its error, if the script was asked already."""


async def asked_script(script: Script, request: ScriptedRequest, asked: Asked) -> Any:
    """Return the answer of *script* to *request*, with what *asked* has of it already."""
    first, asked.first = asked.first, None
    return await awaited(called(script, request)) if first is None else first()


def called(script: Script, request: ScriptedRequest) -> Any:
    """Return what *script* returns for *request*."""
    with contained:
        return script(request)


ASKED: Final[ContextVar[Asked | None]] = ContextVar("agenticaiframework_scripted", default=None)
"""What the request is about that is under way here."""
