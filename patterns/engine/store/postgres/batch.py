"""A batch of appends as one statement: one round trip, one transaction, nothing made in the database.

Each kind of row has a part of its own in the statement, a `WITH` query over arrays, and a batch that
has no row of a kind leaves its part out. The arrays are written here as the server reads them: the
driver would adapt them value by value.

Locking the runs' rows (FOR KEY SHARE) holds off a claim (FOR UPDATE) until the batch is committed:
without it, a claimer could read the journal between the look at the fencing token and the commit.

Lost: a function in PL/pgSQL, which plans and starts eight statements where most batches need three
(390 to 510 us for one append, 250 to 280 now, of which the commit alone takes 240), and has to be
created by each connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from struct import Struct
from typing import Any, Final

from pydantic_core import from_json

from ..grouped.jobs import COLUMNS, Op
from ..queues import word_of

__all__ = ["Batch"]

_DEFINE: Final = 1
_CREATE: Final = 2
_HOLD: Final = 4
_JOURNAL: Final = 8
_UPDATE: Final = 16
_BLOB: Final = 32
_CONSUME: Final = 64
_LABEL: Final = 128
_QUEUE: Final = 256

_INT8: Final = 20
_BYTEA: Final = 17
_TEXT: Final = 25

QUEUE: Final = 11
"""The place of the queue among the fields of a new run."""

_HEAD: Final = Struct(">iiIii").pack
_LENGTH: Final = Struct(">i").pack
_NULL: Final = _LENGTH(-1)

_COUNTED: Final = (_HOLD, _UPDATE, _CONSUME)
"""Parts that must find each of their rows."""


class Batch:
    """The rows of appends, sorted by what they do, and the statement that writes them."""

    __slots__ = ("_kinds", "_parts", "created", "expected", "journal")

    def __init__(self) -> None:
        self._parts: dict[int, list[list[Any]]] = {}
        self._kinds = 0
        self.created: dict[int, int] = {}
        """The runs that it creates, with their fencing tokens."""
        self.journal = 0
        """How many rows it adds to the journal."""
        self.expected: dict[int, int] = {}
        """How many rows the parts must find that look for rows."""

    @staticmethod
    def of(some: Iterable[Sequence[Any]]) -> Batch | None:
        """Return the batch of the rows of several jobs.

        None if one statement, whose parts all see the tables as they were before it, cannot say it:
        a run's row that changes twice, or with two fencing tokens.
        """
        batch = Batch()
        defined: dict[str, bytes] = {}
        created = batch.created
        held: dict[int, int] = {}
        updated: dict[int, int] = {}
        create: list[Any] = []
        labels: list[Any] = []
        journal: list[Any] = []
        update: list[Any] = []
        blobs: list[Any] = []
        consumed: list[Any] = []
        queues: dict[str, None] = {}
        for rows in some:
            for start in range(0, len(rows), COLUMNS):
                op, key, fence, at, seq, body, extra = rows[start : start + COLUMNS]
                if op == Op.DEFINE:
                    defined[extra] = body
                    continue
                if op == Op.CREATE:
                    created[key] = fence
                    create += (key, at, fence, body, extra)
                    if "{" in extra:
                        for name, value in _labels(extra).items():
                            labels += (name, value, key)
                    if extra[-2].isdigit():  # a priority; others end with a text or null
                        queues[from_json(extra)[QUEUE]] = None
                    continue
                if op == Op.APPEND_UPDATE:
                    if key in created or updated.setdefault(key, fence) != fence:
                        return None
                    update += (key, fence, at, extra)
                elif key not in created and held.setdefault(key, fence) != fence:
                    return None
                if op == Op.BLOB:
                    blobs += (key, extra, body)
                elif op == Op.CONSUME:
                    if key in created:
                        return None  # It may be one of the run around this one.
                    consumed += (key, seq, int(extra))
                elif body is not None:
                    journal += (key, seq, fence, at, body)
        if len(update) > 4 * len(updated) or any(held.get(k, f) != f for k, f in updated.items()):
            return None
        # An update locks the row that it changes.
        held = {key: held[key] for key in sorted(held) if key not in updated}
        batch.journal = len(journal) // 5
        batch._add(_DEFINE, [[*defined], [*defined.values()]])
        batch._add(_CREATE, [create[n::5] for n in range(5)])
        batch._add(_LABEL, [labels[n::3] for n in range(3)])
        batch._add(_HOLD, [[*held], [*held.values()]])
        batch._add(_JOURNAL, [journal[n::5] for n in range(5)])
        batch._add(_UPDATE, [update[n::4] for n in range(4)])
        batch._add(_BLOB, [blobs[n::3] for n in range(3)])
        batch._add(_CONSUME, [consumed[n::3] for n in range(3)])
        batch._add(_QUEUE, [[word_of(queue) for queue in queues]])
        batch.expected = {
            kind: len(batch._parts[kind][0]) for kind in _COUNTED if kind in batch._parts
        }
        return batch

    def _add(self, kind: int, columns: list[list[Any]]) -> None:
        if columns[0]:
            self._kinds |= kind
            self._parts[kind] = columns

    def name(self, *, relaxed: bool, again: bool = False) -> str:
        """Return what its statement is called among the prepared ones of a connection."""
        return f"batch_{self._kinds}{'_relaxed' if relaxed else ''}{'_again' if again else ''}"

    def statement(self, *, relaxed: bool, again: bool = False) -> bytes:
        """Return the statement.

        It fails unless everything in it can be done. *again*: it takes what is there already, and
        tells how many rows it has found and written. *relaxed*: its commit need not wait for the disk.
        """
        return _statement(self._kinds, relaxed, again)

    def parameters(self) -> list[bytes]:
        """Return the statement's parameters, in the binary format."""
        found: list[bytes] = []
        for kind, columns in self._parts.items():
            found += [
                _PACK[type_](column)
                for (type_, _), column in zip(_COLUMNS[kind], columns, strict=True)
            ]
        return found

    @property
    def journal_keys(self) -> tuple[list[int], list[int], list[int], list[bytes]]:
        """Return runs, numbers, fencing tokens and bodies of the rows that go into the journal."""
        key, seq, fence, _, body = self._parts[_JOURNAL]
        return key, seq, fence, body

    def short(self, found: Sequence[int]) -> str | None:
        """Return which part found less than it looked for, `again` having told how much it *found*."""
        for kind, rows in zip(self.expected, found, strict=False):
            if rows < self.expected[kind]:
                return "signal" if kind == _CONSUME else "fenced"
        return None


_COLUMNS: Final = {
    _DEFINE: ((_TEXT, "text"), (_BYTEA, "bytea")),
    _CREATE: (
        *((_INT8, "int8"), (_INT8, "int8"), (_INT8, "int8"), (_BYTEA, "bytea")),
        (_TEXT, "text"),
    ),
    _LABEL: ((_TEXT, "text"), (_TEXT, "text"), (_INT8, "int8")),
    _HOLD: ((_INT8, "int8"), (_INT8, "int8")),
    _JOURNAL: ((_INT8, "int8"),) * 4 + ((_BYTEA, "bytea"),),
    _UPDATE: ((_INT8, "int8"),) * 3 + ((_TEXT, "text"),),
    _BLOB: ((_INT8, "int8"), (_TEXT, "text"), (_BYTEA, "bytea")),
    _CONSUME: ((_INT8, "int8"),) * 3,
    _QUEUE: ((_TEXT, "text"),),
}

_REOPENED: Final = "e ->> 1 = '0' AND finished_at IS NOT NULL"
"""What was asked of a run that has ended since is over."""
_PARTS: Final = {
    _DEFINE: "d AS (INSERT INTO definitions SELECT * FROM unnest({}) ON CONFLICT DO NOTHING)",
    _CREATE: "c AS (INSERT INTO runs (run, run_id, name, definition_hash, input, input_blob, state, "
    "durability, created_at, updated_at, parent, labels, owner, fence, context, root, "
    "queue, queue_key, priority) "
    "SELECT b.run, e ->> 0, e ->> 1, e ->> 2, body, e ->> 8, e ->> 3, e ->> 4, at, at, e ->> 5, "
    "(e ->> 6)::jsonb, (e ->> 7)::bigint, fence, e ->> 9, e ->> 10, "
    "e ->> 11, e ->> 12, (e ->> 13)::int "
    "FROM unnest({}) AS b (run, at, fence, body, e){})",
    _LABEL: "l AS (INSERT INTO labels SELECT * FROM unnest({}) ON CONFLICT DO NOTHING)",
    _HOLD: "h AS (SELECT r.run FROM unnest({}) AS b (run, fence) "
    "JOIN runs AS r ON r.run = b.run AND r.fence = b.fence FOR KEY SHARE OF r)",
    _JOURNAL: "j AS (INSERT INTO journal SELECT * FROM unnest({}){} RETURNING 1)",
    _UPDATE: "u AS (UPDATE runs SET updated_at = b.at, state = coalesce(e ->> 0, state), "
    "finished_at = CASE e ->> 1 WHEN '1' THEN b.at WHEN '0' THEN NULL ELSE finished_at END, "
    "owner = CASE e ->> 1 WHEN '1' THEN NULL ELSE owner END, "
    f"cancel_reason = CASE WHEN {_REOPENED} THEN NULL ELSE cancel_reason END, "
    f"cancel_requested_at = CASE WHEN {_REOPENED} THEN NULL ELSE cancel_requested_at END, "
    f"cancel_options = CASE WHEN {_REOPENED} THEN NULL ELSE cancel_options END, "
    "error = CASE WHEN e ->> 2 IS NULL THEN error ELSE nullif(e ->> 2, '') END, "
    "wake_at = CASE WHEN e ->> 3 IS NULL THEN wake_at ELSE nullif((e ->> 3)::bigint, 0) END "
    "FROM unnest({}) AS b (run, fence, at, e) "
    "WHERE runs.run = b.run AND runs.fence = b.fence RETURNING 1)",
    _BLOB: "b AS (INSERT INTO blobs SELECT * FROM unnest({}) ON CONFLICT DO NOTHING)",
    _CONSUME: "k AS (UPDATE notices SET consumed_by = b.seq FROM unnest({}) AS b (run, seq, number) "
    "WHERE notices.number = b.number AND (notices.run = b.run OR EXISTS (SELECT FROM runs AS part, "
    "runs AS around WHERE part.run = b.run AND around.run = notices.run "
    "AND part.root = coalesce(around.root, around.run_id))) AND kind = 'signal' "
    "AND (consumed_by IS NULL OR consumed_by = b.seq) RETURNING 1)",
    _QUEUE: "q AS (SELECT pg_notify(current_schema(), json_build_array(word)::text) AS told "
    "FROM unnest({}) AS b (word))",
}
_CHANGING: Final = (_HOLD, _UPDATE)
_TELL: Final = (
    "(SELECT count(pg_notify(current_schema(), json_build_array(run_id)::text)) FROM ({}) AS w)"
)
"""Tells of the runs that something waits for elsewhere. Others cost one look into a small index."""
_UNLESS_THERE: Final = {
    _CREATE: " ON CONFLICT (run) DO NOTHING",
    _JOURNAL: " ON CONFLICT DO NOTHING",
}
_NAMES: Final = {_HOLD: "h", _JOURNAL: "j", _UPDATE: "u", _CONSUME: "k"}


def _labels(extra: str) -> dict[str, str]:
    """Return the labels of a new run."""
    labels = from_json(extra)[6]
    return from_json(labels) if labels else {}


@cache
def _statement(kinds: int, relaxed: bool, again: bool) -> bytes:
    parts: list[str] = []
    number = 0
    arrays: dict[int, list[str]] = {}
    for kind, columns in _COLUMNS.items():
        if not kinds & kind:
            continue
        arrays[kind] = []
        for _, type_ in columns:
            number += 1
            arrays[kind].append(f"${number}::{type_}[]")
        given = list(arrays[kind])
        if kind in (_CREATE, _UPDATE):
            given[-1] += "::jsonb[]"
        unless = _UNLESS_THERE.get(kind, "") if again else ""
        parts.append(_PARTS[kind].format(", ".join(given), unless))
    counted = [kind for kind in _COUNTED if kinds & kind]
    if again:
        asked = [f"(SELECT count(*) FROM {_NAMES[kind]})" for kind in counted]
        asked.append("(SELECT count(*) FROM j)" if kinds & _JOURNAL else "0")
    else:
        # Dividing by zero undoes all of it: what is wrong is found out one job at a time.
        all_there = " AND ".join(
            f"(SELECT count(*) FROM {_NAMES[kind]}) = cardinality({arrays[kind][0]})"
            for kind in counted
        )
        asked = [f"1 / CASE WHEN {all_there} THEN 1 ELSE 0 END"] if counted else ["1"]
    changed = [
        f"SELECT run_id FROM watches WHERE run = ANY({arrays[kind][0]})"
        for kind in _CHANGING
        if kinds & kind
    ]
    if changed:
        asked.append(_TELL.format(" UNION ALL ".join(changed)))
    if kinds & _QUEUE:
        asked.append("(SELECT count(told) FROM q)")
    if relaxed:
        asked.append("set_config('synchronous_commit', 'off', true)")
    return f"WITH {', '.join(parts)} SELECT {', '.join(asked)}".encode()


@lru_cache(maxsize=256)
def _numbers(count: int) -> Struct:
    return Struct(">" + "iq" * count)


def _pack_int8(values: list[int]) -> bytes:
    count = len(values)
    cells = [8] * (2 * count)
    cells[1::2] = values
    return _HEAD(1, 0, _INT8, count, 1) + _numbers(count).pack(*cells)


def _pack_bytea(values: list[bytes | None]) -> bytes:
    cells = [_HEAD(1, 1, _BYTEA, len(values), 1)]
    for value in values:
        if value is None:
            cells.append(_NULL)
        else:
            cells += (_LENGTH(len(value)), value)
    return b"".join(cells)


def _pack_text(values: list[str]) -> bytes:
    cells = [_HEAD(1, 0, _TEXT, len(values), 1)]
    for value in values:
        data = value.encode()
        cells += (_LENGTH(len(data)), data)
    return b"".join(cells)


_PACK: Final[dict[int, Any]] = {_INT8: _pack_int8, _BYTEA: _pack_bytea, _TEXT: _pack_text}
