"""The conversations of teams, from one message of a session to the next: what keeps them is installed
by the layer above.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from ..system.system import ActorSystem


@dataclass(frozen=True, slots=True)
class TalkItem:
    """Something that was said: a message of the model library, `Spoken`, or `HandedOver`."""

    speaker: str
    role: str
    said: Any


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation between two turns.

    *holder* is the role that has it, *speaker* the member that spoke last, *state* what the members
    share, as plain data.
    """

    items: tuple[TalkItem, ...] = ()
    holder: str | None = None
    speaker: str | None = None
    state: Any = None


Converse: TypeAlias = Callable[[Talk], Awaitable[Talk]]
"""Takes one turn in a conversation, and returns what it has become: with more items at its end."""


class TalkKeeper(Protocol):
    """Keeps the conversations of teams in a store."""

    async def turn(
        self, system: ActorSystem, team: str, history: Any, session: str, converse: Converse
    ) -> None:
        """Have *converse* take a turn in the conversation of *session*, alone; keep what comes of it.

        Nothing is kept of one that raises.
        """
        ...


TalkKeeperFactory: TypeAlias = Callable[[], Awaitable[TalkKeeper | None]]

_factory: TalkKeeperFactory | None = None


def set_talk_keeper(factory: TalkKeeperFactory | None) -> TalkKeeperFactory | None:
    """Let *factory* give what keeps conversations, None for nothing; return the one that it replaces."""
    global _factory
    previous, _factory = _factory, factory
    return previous


async def talk_keeper() -> TalkKeeper | None:
    """Return what keeps conversations; None: nothing beyond the memory of their team does."""
    return None if _factory is None else await _factory()


__all__ = [
    "Converse",
    "Talk",
    "TalkItem",
    "TalkKeeper",
    "TalkKeeperFactory",
    "set_talk_keeper",
    "talk_keeper",
]
