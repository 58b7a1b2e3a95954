"""The sessions of a PostgreSQL store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, LiteralString

from ..errors import SessionChanged
from ..sessions import NewTurn, Revision, SessionRow, StoredSession, Turn, session_row
from .leases import NOW

__all__ = ["PostgresSessions"]

Rows = Callable[..., list[tuple[Any, ...]]]
LIVING: LiteralString = f"(expires_at IS NULL OR expires_at > {NOW})"


class PostgresSessions:
    """A SessionBackend over the tables ``sessions`` and ``session_turns``. Times are the server's.

    Its writing half belongs to the store's writer, its reading half to the reader.
    """

    def __init__(self, execute: Rows, select: Rows, again: Callable[[], bool]) -> None:
        self._execute = execute
        self._select = select
        self._again = again
        """Whether an attempt before may have been committed without our hearing of it."""

    # Calls

    def append_turn(
        self, agent: str, session: str, turn: NewTurn, after: Revision | None
    ) -> Revision:
        """Write *turn* behind what was read as *after*."""
        found = self._locked(agent, session)
        if found is not None and self._is_there(found, turn, after):
            return Revision(*found)
        if after != found:
            raise SessionChanged(agent, session)
        number, last = found or self._begun(agent, session)
        revision = Revision(number, last + 1)
        self._write(revision, turn)
        return revision

    def _begun(self, agent: str, session: str) -> tuple[int, int]:
        """Return the number of a new session, and of its last turn: none."""
        made = self._execute(
            "INSERT INTO sessions (agent, name, last, created_at, updated_at) "
            f"VALUES (%s, %s, 0, {NOW}, {NOW}) ON CONFLICT DO NOTHING RETURNING session",
            *(agent, session),
        )
        if not made:  # another process was quicker, and has committed it by now
            raise SessionChanged(agent, session)
        return made[0][0], 0

    def _locked(self, agent: str, session: str) -> tuple[int, int] | None:
        """Return the session's number and its last turn's, locked; one that has expired is forgotten."""
        rows = self._execute(
            f"SELECT session, last, {LIVING} FROM sessions WHERE agent = %s AND name = %s "
            "FOR NO KEY UPDATE",
            *(agent, session),
        )
        if not rows:
            return None
        number, last, living = rows[0]
        if not living:
            self._delete([number])
            return None
        return number, last

    def _is_there(self, found: tuple[int, int], turn: NewTurn, after: Revision | None) -> bool:
        if turn.key is not None:
            return bool(
                self._execute(
                    "SELECT 1 FROM session_turns WHERE session = %s AND key = %s",
                    *(found[0], turn.key),
                )
            )
        if not self._again():
            return False
        # What a broken connection swallowed the acknowledgement of.
        return found[1] == (1 if after is None else after.last + 1) and bool(
            self._execute(
                "SELECT 1 FROM session_turns WHERE session = %s AND turn = %s AND body = %s",
                *(*found, turn.body),
            )
        )

    def _write(self, revision: Revision, turn: NewTurn) -> None:
        session, last = revision
        self._execute(
            f"UPDATE sessions SET last = %s, updated_at = {NOW}, expires_at = {NOW} + %s::bigint "
            "WHERE session = %s",
            *(last, None if turn.lives_s is None else round(turn.lives_s * 1e6), session),
        )
        if turn.drop_below:
            self._execute(
                "DELETE FROM session_turns WHERE session = %s AND turn < %s",
                *(session, turn.drop_below),
            )
        for each in turn.rewrites:
            self._execute(
                "INSERT INTO session_turns (session, turn, messages, body) "
                "VALUES (%s, %s, %s, %s) ON CONFLICT (session, turn) "
                "DO UPDATE SET messages = excluded.messages, body = excluded.body",
                *(session, each.number, each.messages, _bytes(each.body)),
            )
        self._execute(
            "INSERT INTO session_turns (session, turn, messages, body, key) "
            "VALUES (%s, %s, %s, %s, %s)",
            *(session, last, turn.messages, turn.body, turn.key),
        )

    def forget(self, agent: str, sessions: Sequence[str] | None) -> int:
        """Forget those sessions of *agent*, or all of its."""
        if sessions is None:
            found = self._execute("SELECT session FROM sessions WHERE agent = %s", agent)
        else:
            found = self._execute(
                "SELECT session FROM sessions WHERE agent = %s AND name = ANY(%s)",
                *(agent, list(sessions)),
            )
        return self._delete([key for (key,) in found])

    def purge(self, unused_since: int | None, agent: str | None, limit: int) -> int:
        """Forget sessions that have expired, and those not used since then."""
        found = self._execute(
            f"(SELECT session FROM sessions WHERE expires_at <= {NOW} "
            "AND (%s::text IS NULL OR agent = %s) LIMIT %s) UNION "
            "(SELECT session FROM sessions WHERE updated_at < %s::bigint "
            "AND (%s::text IS NULL OR agent = %s) LIMIT %s)",
            *(agent, agent, limit, unused_since, agent, agent, limit),
        )
        return self._delete([key for (key,) in found][:limit])

    def _delete(self, keys: list[int]) -> int:
        # The session first: a turn that is being written has its row locked.
        gone = self._execute(
            "DELETE FROM sessions WHERE session = ANY(%s) RETURNING session", sorted(keys)
        )
        self._execute("DELETE FROM session_turns WHERE session = ANY(%s)", sorted(keys))
        return len(gone)

    # Reads

    def load(self, agent: str, session: str, key: str | None) -> StoredSession | None:
        """Return the session with its turns."""
        found = self._select(
            "SELECT s.session, s.last, t.turn, t.messages, t.body, t.key = %s "
            "FROM sessions AS s LEFT JOIN session_turns AS t ON t.session = s.session "
            f"WHERE s.agent = %s AND s.name = %s AND {LIVING} ORDER BY t.turn",
            *(key, agent, session),
        )
        if not found:
            return None
        turns = tuple(Turn(row[2], row[4], row[3]) for row in found if row[2] is not None)
        keyed = next((row[2] for row in found if row[5]), None)
        return StoredSession(Revision(found[0][0], found[0][1]), turns, keyed)

    def rows(
        self, agent: str | None, session: str | None, limit: int, before: int | None
    ) -> list[SessionRow]:
        """Return sessions, those used last first."""
        wanted = LIVING
        parameters: list[Any] = []
        if agent is not None:
            wanted += " AND agent = %s"
            parameters.append(agent)
        if session is not None:
            wanted += " AND name = %s"
            parameters.append(session)
        if before is not None:
            wanted += " AND updated_at < %s"
            parameters.append(before)
        found = self._select(
            "SELECT s.agent, s.name, t.turns, t.messages, t.bytes, "
            "s.created_at, s.updated_at, s.expires_at "
            f"FROM (SELECT * FROM sessions WHERE {wanted} "
            "ORDER BY updated_at DESC, session DESC LIMIT %s) AS s, "
            "LATERAL (SELECT count(*) AS turns, coalesce(sum(messages), 0)::bigint AS messages, "
            "coalesce(sum(length(body)), 0)::bigint AS bytes "
            "FROM session_turns AS t WHERE t.session = s.session) AS t "
            "ORDER BY s.updated_at DESC, s.session DESC",
            *(*parameters, limit),
        )
        return [session_row(row) for row in found]


def _bytes(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else body
