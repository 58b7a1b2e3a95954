"""The sessions of a store for simulated runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from .sessions import NewTurn, Revision, SessionRow, SessionStore, StoredSession

__all__ = ["SimulatedSessions"]

T = TypeVar("T")


class SimulatedSessions:
    """Keeps sessions in the store behind it, with the faults of a plan. Has no state of its own."""

    _sessions: SessionStore

    async def _operate(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        """Do *call*, as the plan lets it."""
        raise NotImplementedError

    async def load_session(
        self, agent: str, session: str, key: str | None = None
    ) -> StoredSession | None:
        """Return the session with its turns."""
        return await self._operate(
            "load_session", lambda: self._sessions.load_session(agent, session, key)
        )

    async def append_turn(
        self, agent: str, session: str, turn: NewTurn, after: Revision | None
    ) -> Revision:
        """Write *turn* behind what was read as *after*."""
        return await self._operate(
            "append_turn", lambda: self._sessions.append_turn(agent, session, turn, after)
        )

    async def list_sessions(
        self,
        agent: str | None = None,
        *,
        session: str | None = None,
        limit: int = 100,
        before: float | None = None,
    ) -> list[SessionRow]:
        """Return sessions, those used last first."""
        return await self._operate(
            "list_sessions",
            lambda: self._sessions.list_sessions(
                agent, session=session, limit=limit, before=before
            ),
        )

    async def forget_sessions(self, agent: str, sessions: Iterable[str] | None = None) -> int:
        """Forget those sessions of *agent*, or all of its; return how many there were."""
        return await self._operate(
            "forget_sessions", lambda: self._sessions.forget_sessions(agent, sessions)
        )

    async def purge_sessions(
        self, unused_since: float | None = None, agent: str | None = None
    ) -> int:
        """Forget sessions that have expired, and those not used since then; return how many."""
        return await self._operate(
            "purge_sessions", lambda: self._sessions.purge_sessions(unused_since, agent)
        )
