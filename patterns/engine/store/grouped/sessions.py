"""The half of a store that keeps sessions, over any backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, TypeVar

from ..errors import ValueNotStorable, ValueTooLarge
from ..sessions import MAX_NAME_BYTES, NewTurn, Revision, SessionRow, StoredSession
from .backend import SessionBackend
from .encoding import ValueLimits
from .keys import in_microseconds
from .rows import check_text, may_be_kept

__all__ = ["SessionQueries"]

T = TypeVar("T")

MOST_SESSIONS: Final = 1 << 31
"""Of one list: more than there are, and what every medium can count to."""
PURGE_CHUNK: Final = 200
"""Sessions forgotten in one transaction, so that purging delays appends by milliseconds only."""


class SessionQueries:
    """What a store does with sessions. Has no state of its own."""

    def __init__(self, sessions: SessionBackend, limits: ValueLimits) -> None:
        self._sessions = sessions
        self._turn_bytes = limits.max_value_bytes

    async def _read(self, function: Callable[[], T]) -> T:
        """Run *function* where reads are run."""
        raise NotImplementedError

    async def _call(self, function: Callable[[], T]) -> T:
        """Run *function* in the writer, in a transaction."""
        raise NotImplementedError

    async def load_session(
        self, agent: str, session: str, key: str | None = None
    ) -> StoredSession | None:
        """Return the session with its turns; None where there is none, or it has expired."""
        _check_names(agent, session)
        return await self._read(partial(self._sessions.load, agent, session, key))

    async def append_turn(
        self, agent: str, session: str, turn: NewTurn, after: Revision | None
    ) -> Revision:
        """Write *turn* behind what was read as *after*."""
        _check_names(agent, session)
        size = max(len(turn.body), *(len(each.body) for each in turn.rewrites), 0)
        if size > self._turn_bytes:
            raise ValueTooLarge(f"a turn of session {session!r}", size, self._turn_bytes)
        return await self._call(partial(self._sessions.append_turn, agent, session, turn, after))

    async def list_sessions(
        self,
        agent: str | None = None,
        *,
        session: str | None = None,
        limit: int = 100,
        before: float | None = None,
    ) -> list[SessionRow]:
        """Return sessions, those used last first."""
        if limit < 1:
            raise ValueError(f"limit={limit}: give the number of sessions wanted, 1 or more")
        at = None if before is None else in_microseconds(before)
        if not all(name is None or may_be_kept(name) for name in (agent, session)):
            return []
        limit = min(limit, MOST_SESSIONS)
        return await self._read(partial(self._sessions.rows, agent, session, limit, at))

    async def forget_sessions(self, agent: str, sessions: Iterable[str] | None = None) -> int:
        """Forget those sessions of *agent*, or all of its; return how many there were."""
        names = None if sessions is None else tuple(filter(may_be_kept, dict.fromkeys(sessions)))
        if not may_be_kept(agent) or names == ():
            return 0
        return await self._call(partial(self._sessions.forget, agent, names))

    async def purge_sessions(
        self, unused_since: float | None = None, agent: str | None = None
    ) -> int:
        """Forget sessions that have expired, and those not used since then; return how many."""
        since = None if unused_since is None else in_microseconds(unused_since)
        if agent is not None and not may_be_kept(agent):
            return 0
        purged = 0
        while True:
            some = await self._call(partial(self._sessions.purge, since, agent, PURGE_CHUNK))
            purged += some
            if some < PURGE_CHUNK:
                return purged


def _check_names(agent: str, session: str) -> None:
    for what, name in (("the agent's name", agent), ("the session's name", session)):
        check_text(what, name)
        size = len(name.encode())
        if size > MAX_NAME_BYTES:
            raise ValueNotStorable(what, f"it has {size:,} bytes, and may have {MAX_NAME_BYTES:,}")
