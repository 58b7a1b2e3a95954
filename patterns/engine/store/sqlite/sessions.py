"""The sessions of a SQLite store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final

from ..errors import SessionChanged
from ..sessions import NewTurn, Revision, SessionRow, StoredSession, Turn, session_row
from .connection import translated

__all__ = ["SQLiteSessions"]

LIVING: Final = "(expires_at IS NULL OR expires_at > ?)"
Select = Callable[..., list[list[Any]]]


class SQLiteSessions:
    """A SessionBackend over the tables ``sessions`` and ``session_turns``.

    Its writing half belongs to the store's writer, its reading half to the reader.
    """

    def __init__(
        self,
        label: str,
        writing: Callable[[], sqlite3.Connection],
        select: Select,
        now: Callable[[], int],
    ) -> None:
        self._label = label
        self._writing = writing
        self._select = select
        self._now = now

    # Calls

    def append_turn(
        self, agent: str, session: str, turn: NewTurn, after: Revision | None
    ) -> Revision:
        """Write *turn* behind what was read as *after*."""
        connection = self._writing()
        now = self._now()
        with translated(self._label, "writing a turn"):
            found = connection.execute(
                "SELECT session, last, coalesce(expires_at <= ?, 0) FROM sessions "
                "WHERE agent = ? AND name = ?",
                (now, agent, session),
            ).fetchone()
            if found is not None and found[2]:
                self._delete(connection, [found[0]])
                found = None
            if found is not None and turn.key is not None:
                there = connection.execute(
                    "SELECT 1 FROM session_turns WHERE session = ? AND key = ?",
                    (found[0], turn.key),
                ).fetchone()
                if there is not None:
                    return Revision(found[0], found[1])
            if after != (None if found is None else found[:2]):
                raise SessionChanged(agent, session)
            revision = self._entered(connection, agent, session, turn, found, now)
            self._write(connection, revision, turn)
        return revision

    def _entered(
        self,
        connection: sqlite3.Connection,
        agent: str,
        session: str,
        turn: NewTurn,
        found: tuple[int, int, int] | None,
        now: int,
    ) -> Revision:
        expires_at = None if turn.lives_s is None else now + round(turn.lives_s * 1e6)
        if found is None:
            number = connection.execute(
                "INSERT INTO sessions (agent, name, last, created_at, updated_at, expires_at) "
                "VALUES (?, ?, 1, ?, ?, ?)",
                (agent, session, now, now, expires_at),
            ).lastrowid
            assert number is not None
            return Revision(number, 1)
        connection.execute(
            "UPDATE sessions SET last = last + 1, updated_at = ?, expires_at = ? WHERE session = ?",
            (now, expires_at, found[0]),
        )
        return Revision(found[0], found[1] + 1)

    def _write(self, connection: sqlite3.Connection, revision: Revision, turn: NewTurn) -> None:
        session, last = revision
        if turn.drop_below:
            connection.execute(
                "DELETE FROM session_turns WHERE session = ? AND turn < ?",
                (session, turn.drop_below),
            )
        for each in turn.rewrites:
            connection.execute(
                "INSERT OR REPLACE INTO session_turns (session, turn, messages, body, key) "
                "VALUES (?1, ?2, ?3, ?4, "
                "(SELECT key FROM session_turns WHERE session = ?1 AND turn = ?2))",
                (session, each.number, each.messages, each.body),
            )
        connection.execute(
            "INSERT INTO session_turns (session, turn, messages, body, key) VALUES (?, ?, ?, ?, ?)",
            (session, last, turn.messages, turn.body, turn.key),
        )

    def forget(self, agent: str, sessions: Sequence[str] | None) -> int:
        """Forget those sessions of *agent*, or all of its."""
        connection = self._writing()
        with translated(self._label, "forgetting sessions"):
            if sessions is None:
                found = connection.execute(
                    "SELECT json_group_array(session) FROM sessions WHERE agent = ?", (agent,)
                )
            else:
                found = connection.execute(
                    "SELECT json_group_array(session) FROM sessions WHERE agent = ? "
                    "AND name IN (SELECT value FROM json_each(?))",
                    (agent, json.dumps(sessions)),
                )
            return self._delete(connection, json.loads(found.fetchone()[0]))

    def purge(self, unused_since: int | None, agent: str | None, limit: int) -> int:
        """Forget sessions that have expired, and those not used since then."""
        connection = self._writing()
        with translated(self._label, "forgetting sessions"):
            (keys,) = connection.execute(
                "SELECT json_group_array(session) FROM ("
                "SELECT session FROM sessions WHERE expires_at <= ?1 AND (?3 IS NULL OR agent = ?3) "
                "UNION SELECT session FROM sessions WHERE updated_at < ?2 "
                "AND (?3 IS NULL OR agent = ?3) LIMIT ?4)",
                (self._now(), unused_since, agent, limit),
            ).fetchone()
            return self._delete(connection, json.loads(keys))

    def _delete(self, connection: sqlite3.Connection, keys: list[int]) -> int:
        which = json.dumps(keys)
        for table in ("session_turns", "sessions"):
            connection.execute(
                f"DELETE FROM {table} WHERE session IN (SELECT value FROM json_each(?))", (which,)
            )
        return len(keys)

    # Reads

    def load(self, agent: str, session: str, key: str | None) -> StoredSession | None:
        """Return the session with its turns."""
        # One statement: what it finds is of one moment, though the writer is at work beside it.
        found = self._select(
            ("s.session", "s.last", "t.turn", "t.messages", "CAST(t.body AS TEXT)", "t.key = ?"),
            "FROM sessions AS s LEFT JOIN session_turns AS t ON t.session = s.session "
            f"WHERE s.agent = ? AND s.name = ? AND {LIVING} ORDER BY t.turn LIMIT -1",
            *(key, agent, session, self._now()),
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
        conditions, parameters = [LIVING], list[Any]([self._now()])
        for condition, value in (("agent = ?", agent), ("name = ?", session)):
            if value is not None:
                conditions.append(condition)
                parameters.append(value)
        if before is not None:
            conditions.append("updated_at < ?")
            parameters.append(before)
        found = self._select(
            (
                *("agent", "name", "count(t.turn)", "coalesce(sum(t.messages), 0)"),
                "coalesce(sum(length(t.body)), 0)",
                *("created_at", "updated_at", "expires_at"),
            ),
            f"FROM (SELECT * FROM sessions WHERE {' AND '.join(conditions)} "
            "ORDER BY updated_at DESC, session DESC LIMIT ?) AS s "
            "LEFT JOIN session_turns AS t ON t.session = s.session GROUP BY s.session "
            "ORDER BY updated_at DESC, s.session DESC LIMIT -1",
            *(*parameters, limit),
        )
        return [session_row(row) for row in found]
