"""The sessions of a memory store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .errors import SessionChanged
from .sessions import NewTurn, Revision, SessionRow, StoredSession, Turn, session_row

__all__ = ["MemorySessions", "SessionTable"]


@dataclass(slots=True)
class _Session:
    number: int
    agent: str
    name: str
    created_at: int
    updated_at: int
    last: int
    turns: tuple[Turn, ...]
    """Grown by making a longer one, because a reader may have it."""
    keys: dict[str, int] | None
    expires_at: int | None

    def row(self) -> SessionRow:
        turns = self.turns
        counts = len(turns), sum(turn.messages for turn in turns)
        size = sum(len(turn.body) for turn in turns)
        times = self.created_at, self.updated_at, self.expires_at
        return session_row((self.agent, self.name, *counts, size, *times))


class SessionTable:
    """The sessions on a memory store's disk."""

    def __init__(self) -> None:
        self.sessions: dict[tuple[str, str], _Session] = {}
        self.last = 0


class MemorySessions:
    """A SessionBackend over a SessionTable. Owned by the loop of its store."""

    def __init__(self, table: SessionTable, now: Callable[[], int]) -> None:
        self._table = table
        self._now = now

    def _living(self, agent: str, name: str) -> _Session | None:
        found = self._table.sessions.get((agent, name))
        if found is not None and found.expires_at is not None and found.expires_at <= self._now():
            return None
        return found

    # Calls

    def append_turn(
        self, agent: str, session: str, turn: NewTurn, after: Revision | None
    ) -> Revision:
        """Write *turn* behind what was read as *after*."""
        found = self._living(agent, session)
        if found is not None and turn.key is not None and turn.key in (found.keys or ()):
            return Revision(found.number, found.last)
        if after != (None if found is None else (found.number, found.last)):
            raise SessionChanged(agent, session)
        now = self._now()
        if found is None:
            self._table.last += 1
            number = self._table.last
            found = _Session(number, agent, session, now, now, 0, (), None, None)
            self._table.sessions[agent, session] = found
        found.last += 1
        found.updated_at = now
        found.expires_at = None if turn.lives_s is None else now + round(turn.lives_s * 1e6)
        turns = found.turns
        if turn.drop_below or turn.rewrites:
            left = {each.number: each for each in turns if each.number >= turn.drop_below}
            left.update((each.number, each) for each in turn.rewrites)
            turns = tuple(left[number] for number in sorted(left))
            keys = {key: at for key, at in (found.keys or {}).items() if at in left}
            found.keys = keys or None
        found.turns = (*turns, Turn(found.last, turn.body, turn.messages))
        if turn.key is not None:
            found.keys = {**(found.keys or {}), turn.key: found.last}
        return Revision(found.number, found.last)

    def forget(self, agent: str, sessions: Sequence[str] | None) -> int:
        """Forget those sessions of *agent*, or all of its."""
        table = self._table.sessions
        if sessions is None:
            sessions = [name for owner, name in table if owner == agent]
        return sum(table.pop((agent, name), None) is not None for name in sessions)

    def purge(self, unused_since: int | None, agent: str | None, limit: int) -> int:
        """Forget sessions that have expired, and those not used since then."""
        now = self._now()
        doomed = [
            key
            for key, each in self._table.sessions.items()
            if (agent is None or each.agent == agent)
            and (
                (each.expires_at is not None and each.expires_at <= now)
                or (unused_since is not None and each.updated_at < unused_since)
            )
        ][:limit]
        for key in doomed:
            del self._table.sessions[key]
        return len(doomed)

    # Reads

    def load(self, agent: str, session: str, key: str | None) -> StoredSession | None:
        """Return the session with its turns."""
        found = self._living(agent, session)
        if found is None:
            return None
        keyed = None if key is None or found.keys is None else found.keys.get(key)
        return StoredSession(Revision(found.number, found.last), found.turns, keyed)

    def rows(
        self, agent: str | None, session: str | None, limit: int, before: int | None
    ) -> list[SessionRow]:
        """Return sessions, those used last first."""
        now = self._now()
        found = [
            each
            for each in self._table.sessions.values()
            if (agent is None or each.agent == agent)
            and (session is None or each.name == session)
            and (before is None or each.updated_at < before)
            and (each.expires_at is None or each.expires_at > now)
        ]
        found.sort(key=lambda each: (each.updated_at, each.number), reverse=True)
        return [each.row() for each in found[:limit]]
