"""Messages between the members of a team."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from agenticaiframework.actors import InboxMessage

from .errors import TeamError

TeamMessage: TypeAlias = InboxMessage
"""What a member's `Agent.on_message` gets: ``type``, ``content``, ``sender``, ``channel``."""

Protocol: TypeAlias = Literal["structured", "text"]

DEFAULT_CHANNEL = "team"
HISTORY = 1_000
"""How many messages of a channel are remembered; a long-lived team must not remember all."""


class WrongMessage(TeamError, TypeError):
    """A message does not fit its channel."""


def check_message(team: str, message: TeamMessage, protocol: Protocol) -> None:
    """Raise `WrongMessage` unless *message* may go over a channel of that *protocol*.

    ``structured`` messages have a type that is a word; ``text`` channels carry nothing but text.
    """
    if not isinstance(message.type, str) or not message.type.strip():  # pyright: ignore[reportUnnecessaryIsInstance]
        raise WrongMessage(
            team, f"a message's type is a word such as 'question', not {message.type!r}"
        )
    if protocol == "text" and not isinstance(message.content, str):
        raise WrongMessage(
            team,
            f"the channel {message.channel!r} carries text only, not {type(message.content).__name__}."
            ' Enable it with protocol="structured".',
        )


def as_message(content: Any, type_: str, sender: str | None, channel: str) -> TeamMessage:
    """Return *content* as a message; one that is a message already keeps its type."""
    if isinstance(content, InboxMessage):
        return InboxMessage(content.type, content.content, sender or content.sender, channel)
    return InboxMessage(type_, content, sender, channel)
