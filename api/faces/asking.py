"""How agents, teams and patterns are asked: a stream of items whose last is the answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

from agenticaiframework.actors import (
    MODEL_TURN,
    Agent,
    AgentStream,
    Answer,
    ModelTurn,
    Spoken,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolResult,
    TurnShape,
    Usage,
)
from agenticaiframework.patterns import (
    Askable,
    Ended,
    EventStream,
    Failed,
    HandedOff,
    PatternEvent,
    Retried,
    Started,
    TimedOut,
)

from .items import Asked, Item, Progress, Said

_PARTS: Final = (TextDelta, ThinkingDelta, ToolCall, ToolResult, Answer)
_SHAPE: Final = TurnShape()
_LONGEST: Final = 500


class Earlier:
    """A conversation that the caller keeps: shown to the model, and not added to."""

    def __init__(self, said: Sequence[Said]) -> None:
        self._said = [Spoken(each.text, each.by_user) for each in said]

    def messages(self) -> Sequence[Any]:
        """Return what was said so far."""
        return self._said

    def add(self, messages: Sequence[Any]) -> None:
        """Drop what has been said: the caller has it."""


async def ask_agent(agent: Agent, asked: Asked) -> AsyncGenerator[Item]:
    """Yield the parts of the agent's answer."""
    context = dict(asked.context())
    if asked.earlier and agent.model_spec is not None:
        context[MODEL_TURN] = ModelTurn(_SHAPE, Earlier(asked.earlier))
    session = asked.session if agent.model_spec is not None else None
    stream: AgentStream = agent.stream(
        asked.payload, asked.timeout_s, session=session, context=context
    )
    told = 0
    async with aclosing(stream):
        async for part in stream:
            if isinstance(part, _PARTS):
                yield part
            else:
                told += 1
                yield Progress(_message(part), told)


async def ask_events(stream: EventStream) -> AsyncGenerator[Item]:
    """Yield what happens in a team or a pattern, and its result."""
    done = 0
    async with aclosing(stream):
        async for event in stream:
            done += isinstance(event, Ended)
            happened = _happened(event, done)
            if happened is not None:
                yield happened
    result = stream.result()
    usage = getattr(result, "usage", None)
    yield Answer(result, usage) if isinstance(usage, Usage) else Answer(result)


async def ask_plainly(target: Askable, asked: Asked) -> AsyncGenerator[Item]:
    """Yield the answer of what can be asked and tells nothing meanwhile."""
    yield Answer(await target.ask(asked.payload, asked.timeout_s, context=asked.context()))


def _message(part: Any) -> str:
    """Return a part that a handler has sent, which its caller may read, as one line."""
    text = part if isinstance(part, str) else repr(part)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _happened(event: PatternEvent, done: int) -> Progress | None:
    where = "/".join((*event.path[1:], event.work)) if event.work else "/".join(event.path)
    if isinstance(event, Started):
        said = "started" if event.attempt == 1 else f"attempt {event.attempt}"
        return Progress(f"{where}: {said}", done, None, where, "started")
    if isinstance(event, HandedOff):
        return Progress(f"{event.source} handed over to {event.to}", done)
    if isinstance(event, Retried):
        said = f"failed, next attempt in {event.delay_s:g} s"
        return Progress(f"{where}: {said}", done, None, where)
    if isinstance(event, Ended):
        said = "failed" if isinstance(event.outcome, Failed) else "done"
        said = "timed out" if isinstance(event.outcome, TimedOut) else said
        return Progress(f"{where}: {said}", done, None, where, "ended")
    return None
