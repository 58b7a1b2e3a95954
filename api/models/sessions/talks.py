"""The conversations of teams as sessions: messages of pydantic-ai, which say whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, cast

from pydantic_ai.messages import (
    ModelMessage,
    TextPart,
    ToolReturnPart,
    UserPromptPart,
)

from agenticaiframework.actors import (
    ActorSystem,
    Converse,
    HandedOver,
    Spoken,
    Talk,
    TalkItem,
    as_data,
)

from ..content.turns import handed_over, spoken
from .history import as_history
from .home import session_home
from .turns import one_turn

__all__ = ["Talks"]

TEAM: Final = "team"
"""Where the metadata of a message has whose it is; no model is told that."""


class Talks:
    """A TalkKeeper over the stores of sessions. Has no state of its own."""

    async def turn(
        self, system: ActorSystem, team: str, history: Any, session: str, converse: Converse
    ) -> None:
        """Have *converse* take a turn in the conversation of *session*; keep what comes of it."""
        kept = as_history(team, history)
        if kept is None:
            await converse(Talk())
            return

        async def ask(messages: Sequence[ModelMessage]) -> _Added:
            before = read_talk(messages)
            return _Added(written(await converse(before), len(before.items)))

        # Its members have called tools, and its user may have read of it already.
        await one_turn(session_home(system), kept, f"{TEAM} {team}", session, ask, repeatable=False)


class _Added:
    """What a turn has added to a conversation."""

    def __init__(self, messages: list[ModelMessage]) -> None:
        self._messages = messages

    def new_messages(self) -> list[ModelMessage]:
        """Return it."""
        return self._messages


def read_talk(messages: Sequence[ModelMessage]) -> Talk:
    """Return the conversation that *messages* are of."""
    items: list[TalkItem] = []
    last: dict[str, Any] = {}
    for message in messages:
        about = (message.metadata or {}).get(TEAM)
        if not isinstance(about, dict):
            # A summary in the place of what was dropped, or a conversation that was had elsewhere.
            items.append(TalkItem("", "", message))
            continue
        last = cast("dict[str, Any]", about)
        speaker, role = last["speaker"], last["role"]
        if "spoken" in last:
            items.append(TalkItem(speaker, role, Spoken(_text(message), last["spoken"] == "user")))
        elif not last.get("only"):
            items.append(TalkItem(speaker, role, message))
        if "handed_over" in last:
            items.append(TalkItem(speaker, role, HandedOver(**last["handed_over"])))
    return Talk(tuple(items), last.get("holder"), last.get("last"), last.get("state"))


def written(talk: Talk, known: int) -> list[ModelMessage]:
    """Return what *talk* has beyond its first *known* items as messages that can be kept."""
    messages: list[ModelMessage] = []
    for item in talk.items[known:]:
        about: dict[str, Any] = {"speaker": item.speaker, "role": item.role}
        said = item.said
        if isinstance(said, HandedOver):
            data = as_data(said.data)
            note = {"by": said.by, "to": said.to, "trigger": said.trigger, "data": data}
            if messages and _returns(messages[-1], said.trigger):
                messages[-1] = _noted(messages[-1], handed_over=note)
                continue
            messages.append(handed_over(said))
            about |= {"handed_over": note, "only": True}
        elif isinstance(said, Spoken):
            messages.append(spoken(said))
            about["spoken"] = "user" if said.by_user else "agent"
        else:
            messages.append(said)
        messages[-1] = _noted(messages[-1], **about)
    if messages:
        end = {"holder": talk.holder, "last": talk.speaker, "state": as_data(talk.state)}
        messages[-1] = _noted(messages[-1], **end)
    return messages


def _noted(message: ModelMessage, **about: Any) -> ModelMessage:
    metadata = dict(message.metadata or {})
    metadata[TEAM] = {**metadata.get(TEAM, {}), **about}
    return replace(message, metadata=metadata)


def _returns(message: ModelMessage, tool: str) -> bool:
    return any(
        isinstance(part, ToolReturnPart) and part.tool_name == tool for part in message.parts
    )


def _text(message: ModelMessage) -> Any:
    for part in message.parts:
        if isinstance(part, (TextPart, UserPromptPart)):
            return part.content
    return ""
