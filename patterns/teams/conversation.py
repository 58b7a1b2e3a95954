"""What the members of a team and its user have said to each other, while one has it at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

from agenticaiframework.actors import (
    Converse,
    HandedOver,
    Spoken,
    Talk,
    TalkItem,
    attribute_of,
    fields_of,
)

from .handoff import USER
from .state import SharedState

_FINAL: Final = "final_result"
"""How the tools are called with which a model gives an answer that has a form."""

Kind: TypeAlias = Literal["message", "tool", "handoff"]


@dataclass(frozen=True, slots=True)
class Utterance:
    """One entry of a conversation: who, in which role, and what.

    *kind* is ``message`` (*content* is what was said), ``tool`` (``{"tool", "arguments", "result"}``) or
    ``handoff`` (``{"to", "trigger", "data"}``).
    """

    speaker: str
    role: str
    kind: Kind
    content: Any

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as plain data, for JSON."""
        return fields_of(self)


class TeamConversation:
    """A conversation while a task goes on. Owned by that task's coordinator.

    *holder* is the role that has it, *speaker* the member that spoke last, *state* what the members and
    their tools share.
    """

    def __init__(
        self,
        items: Sequence[TalkItem] = (),
        holder: str | None = None,
        speaker: str | None = None,
        state: SharedState | None = None,
    ) -> None:
        self.items = list(items)
        self.holder = holder
        self.speaker = speaker
        self.state = state

    def messages(self) -> list[Any]:
        """Return what was said so far, for a model to read."""
        return [item.said for item in self.items]

    def talk(self) -> Talk:
        """Return what the conversation has become, as it is kept."""
        state = None if self.state is None else self.state.data()
        return Talk(tuple(self.items), self.holder, self.speaker, state)

    def turn(self, role: str) -> MemberTurn:
        """Return the conversation as a member of *role* takes part in it."""
        return MemberTurn(self, role)

    def say(self, speaker: str, role: str, said: Any) -> None:
        """Add one thing."""
        self.items.append(TalkItem(speaker, role, said))

    def say_instead(self, answer: Any) -> None:
        """Put *answer* in the place of the last words."""
        last = self.items.pop()
        self.say(last.speaker, last.role, Spoken(answer))


class MemberTurn:
    """A conversation as one member takes part in it, for one turn: an actors' `Conversation`."""

    def __init__(self, conversation: TeamConversation, role: str) -> None:
        self._conversation = conversation
        self._role = role
        self._added: Sequence[Any] = ()

    def messages(self) -> Sequence[Any]:
        """Return what was said so far."""
        return self._conversation.messages()

    def add(self, messages: Sequence[Any]) -> None:
        """Add the messages of the member's request; they count once the turn has ended."""
        self._added = messages

    def end(self, speaker: str) -> bool:
        """Put what was said into the conversation, and tell whether a model has said it."""
        for message in self._added:
            self._conversation.say(speaker, self._role, message)
        self._conversation.holder, self._conversation.speaker = self._role, speaker
        return bool(self._added)


class SessionTalk:
    """The conversation of one session, where nothing but the team's actor keeps it. Owned by that."""

    __slots__ = ("_talk", "_turn")

    def __init__(self) -> None:
        self._talk = Talk()
        self._turn = asyncio.Lock()
        """One task at a time in a session: the next message answers what was said before."""

    async def turn(self, converse: Converse) -> None:
        """Have *converse* take a turn, alone; nothing is kept of one that raises."""
        async with self._turn:
            self._talk = await converse(self._talk)


def utterances(items: Sequence[TalkItem]) -> tuple[Utterance, ...]:
    """Return *items* as the entries of the conversation, for people and programs to read."""
    return tuple(_utterances(items))


def _utterances(items: Sequence[TalkItem]) -> Iterator[Utterance]:
    results = dict(_results(items))
    handoffs = {item.said.trigger for item in items if isinstance(item.said, HandedOver)}
    for item in items:
        said = item.said
        if isinstance(said, Spoken):
            speaker, role = (USER, USER) if said.by_user else (item.speaker, item.role)
            yield Utterance(speaker, role, "message", said.content)
        elif isinstance(said, HandedOver):
            content = {"to": said.to, "trigger": said.trigger, "data": said.data}
            yield Utterance(item.speaker, item.role, "handoff", content)
        else:
            yield from _of_message(item, results, handoffs)


def _of_message(
    item: TalkItem, results: Mapping[str, Any], handoffs: Collection[str]
) -> Iterator[Utterance]:
    """Yield what stands in a message of the model library, which this layer does not import."""
    for part in _parts(item):
        kind = attribute_of(part, "part_kind")
        if kind == "user-prompt":
            yield Utterance(USER, USER, "message", part.content)
        elif kind == "text" and part.content:
            yield Utterance(item.speaker, item.role, "message", part.content)
        elif kind == "tool-call" and part.tool_name.startswith(_FINAL):
            yield Utterance(item.speaker, item.role, "message", part.args)
        elif kind == "tool-call" and part.tool_name not in handoffs:
            result = results.get(part.tool_call_id)
            called = {"tool": part.tool_name, "arguments": part.args, "result": result}
            yield Utterance(item.speaker, item.role, "tool", called)


def _results(items: Sequence[TalkItem]) -> Iterator[tuple[str, Any]]:
    """Yield the results of the tools that were called, by the ids of their calls."""
    for item in items:
        for part in _parts(item):
            if attribute_of(part, "part_kind") == "tool-return":
                yield part.tool_call_id, part.content


def _parts(item: TalkItem) -> Sequence[Any]:
    return cast("Sequence[Any]", attribute_of(item.said, "parts", ()))
