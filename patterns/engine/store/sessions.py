"""What a store keeps of conversations: turns under an agent and a session, each written once.

The store knows nothing of messages: a turn is JSON, written by the agent that asks a model. A session is what one
agent (or what several share) has been told under one name, and said to it. It grows by whole turns, and
a turn is written only on top of the one that its writer has read: of two that were begun on the same
turn, the second is refused (`SessionChanged`), in whichever process it was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

__all__ = [
    "MAX_NAME_BYTES",
    "NewTurn",
    "Revision",
    "SessionRow",
    "SessionStore",
    "StoredSession",
    "Turn",
    "session_row",
]

MAX_NAME_BYTES: Final = 1_000
"""Of an agent's or a session's name: both stand in one index, whose entries end at 2,704 bytes."""


class Revision(NamedTuple):
    """What a session was when it was read. A session that was forgotten and begun again has another."""

    session: int
    """The store's own number for the session: never given twice."""
    last: int
    """The number of its latest turn."""


class Turn(NamedTuple):
    """One turn as it stands in the store."""

    number: int
    body: bytes | str
    """JSON, as it was given."""
    messages: int


class NewTurn(NamedTuple):
    """One turn to be written, and what it does to those before it."""

    body: bytes
    """JSON."""
    messages: int
    """How many messages are in it, for those who list sessions."""
    key: str | None = None
    """What it is known by: a turn whose key is there already is not written again."""
    lives_s: float | None = None
    """How long the session is kept from now on, unless another turn comes; None: for ever."""
    drop_below: int = 0
    """Turns with smaller numbers are forgotten."""
    rewrites: Sequence[Turn] = ()
    """Earlier turns that take the place of those with their numbers: a summary, a shorter form."""


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session with its turns, in order."""

    revision: Revision
    turns: tuple[Turn, ...]
    keyed: int | None = None
    """The number of the turn with the key that was asked for, if it is there."""


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session, without its turns. Times are seconds since the epoch."""

    agent: str
    session: str
    turns: int
    messages: int
    bytes: int
    """Of its turns, as JSON."""
    created_at: float
    updated_at: float
    expires_at: float | None


def session_row(columns: Sequence[Any]) -> SessionRow:
    """Return the row of a session from its columns, whose times are microseconds since the epoch."""
    agent, session, turns, messages, size, created_at, updated_at, expires_at = columns
    return SessionRow(
        agent,
        session,
        turns,
        messages,
        size,
        created_at / 1e6,
        updated_at / 1e6,
        None if expires_at is None else expires_at / 1e6,
    )


class SessionStore(Protocol):
    """Keeps sessions. Called on the loop that opened the store; every method raises StoreErrors."""

    async def load_session(
        self, agent: str, session: str, key: str | None = None
    ) -> StoredSession | None:
        """Return the session with its turns; None where there is none, or it has expired."""
        ...

    async def append_turn(
        self, agent: str, session: str, turn: NewTurn, after: Revision | None
    ) -> Revision:
        """Write *turn* behind what was read as *after* (None: nothing), as durably as can be.

        Raises SessionChanged, and writes nothing, where the session is not what was read. A turn whose
        key is there already is left as it is.
        """
        ...

    async def list_sessions(
        self,
        agent: str | None = None,
        *,
        session: str | None = None,
        limit: int = 100,
        before: float | None = None,
    ) -> list[SessionRow]:
        """Return sessions, those used last first; *before*: used before that time."""
        ...

    async def forget_sessions(self, agent: str, sessions: Iterable[str] | None = None) -> int:
        """Forget those sessions of *agent*, or all of its; return how many there were."""
        ...

    async def purge_sessions(
        self, unused_since: float | None = None, agent: str | None = None
    ) -> int:
        """Forget sessions that have expired, and those not used since then; return how many."""
        ...
