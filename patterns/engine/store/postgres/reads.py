"""The reading half of the PostgreSQL backend, on a connection of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString, cast

from ..grouped.backend import JournalRow, Json, RawProgress, RawRun, RawSignal, RunKey
from ..grouped.keys import created_between
from ..grouped.queue_depths import depths
from ..queues import QueueDepth, QueuePlace
from ..records import Notice, Retention, RunFilter
from .address import PostgresAddress
from .connection import Connection
from .queues import PLACE, SERVING, TAKEN_RUNS, WAITING_RUNS, WAITS
from .session import Session
from .watches import Watches

__all__ = ["OUTERMOST", "PostgresReads"]

RUNS: LiteralString = """
SELECT r.run, r.run_id, r.name, r.definition_hash, r.input, r.input_blob, r.state, r.durability,
    r.created_at, r.updated_at, r.finished_at, r.wake_at, r.error, r.cancel_reason,
    r.cancel_requested_at, r.parent, r.labels::text, o.engine_id, r.fence, r.context,
    r.root, r.cancel_options, o.seen_at, r.queue, r.queue_key, r.priority
FROM runs AS r LEFT JOIN owners AS o ON o.number = r.owner
"""

OUTERMOST: LiteralString = (
    "r.finished_at IS NOT NULL AND (r.parent IS NULL OR NOT EXISTS "
    "(SELECT FROM runs AS p WHERE p.run_id = r.parent))"
)
"""The run *r* has finished, and is not a part of one that is there."""

PARTS_OVER: LiteralString = (
    "NOT EXISTS (SELECT FROM runs AS c WHERE c.parent = r.run_id AND c.finished_at IS NULL)"
)
"""All parts of the run *r* have finished: those that have not keep it from being forgotten."""

SETTINGS: LiteralString = "SET enable_seqscan TO off; SET jit TO off"
"""All that is looked for has an index. Statistics that are older than a table's growth must not lead past
it, and compiling a statement takes longer than any of them."""


def _prepare(connection: Connection) -> None:
    connection.execute(SETTINGS)


class PostgresReads:
    """The reading half of the PostgreSQL backend. Owned by the store's reader."""

    def __init__(self, address: PostgresAddress) -> None:
        self.label = address.label
        self._address = address
        self._reading = Session(address, _prepare)
        self.watches = Watches(self._reading)
        self._too_many: tuple[tuple[Retention, int], tuple[Any, ...] | None] | None = None
        """Where the runs end that the purge which is under way keeps."""

    def close_reader(self) -> None:
        """Close the reading connection."""
        self._reading.close()

    def _select(self, query: LiteralString, *parameters: Any) -> list[tuple[Any, ...]]:
        return self._reading.run(
            "reading",
            lambda connection, again: connection.execute(query, parameters, binary=True).fetchall(),
        )

    def _look_up(self, query: LiteralString, *parameters: Any) -> list[tuple[Any, ...]]:
        """Do the same with a plan for just these parameters: which index is best hangs on them."""
        return self._reading.run(
            "reading",
            lambda connection, again: connection.execute(
                query, parameters, binary=True, prepare=False
            ).fetchall(),
        )

    def runs(self, run_ids: Sequence[str]) -> list[RawRun]:
        """Return the rows of those runs that exist."""
        found = self._select(RUNS + " WHERE r.run_id = ANY(%s)", list(run_ids))
        return cast("list[RawRun]", found)

    def progress(self, run_ids: Sequence[str]) -> list[RawProgress]:
        """Return how far those of the runs that exist have got."""
        # Before the look: what happens after it is told.
        self.watches.note(run_ids)
        found = self._select(
            "SELECT r.run_id, (SELECT coalesce(max(seq), 0) FROM journal AS j WHERE j.run = r.run), "
            "r.state, r.finished_at IS NOT NULL, r.fence FROM runs AS r WHERE r.run_id = ANY(%s)",
            list(run_ids),
        )
        return cast("list[RawProgress]", found)

    def list_runs(self, where: RunFilter, before: RunKey | None, limit: int) -> list[RawRun]:
        """Return rows, the newest first, below *before*."""
        conditions, parameters = _conditions(where)
        if before is not None:
            conditions.append("r.run < %s")
            parameters.append(before)
        # A look for each state and each owner: an index gives the runs of one in order, of several not.
        looks: list[tuple[list[LiteralString], list[Any]]] = [(conditions, parameters)]
        if where.states is not None:
            looks = [
                ([*conditions, "r.state = %s"], [*parameters, state])
                for state in sorted(where.states)
            ]
        if where.owner is not None:
            looks = [
                ([*some, "r.owner = %s"], [*given, number])
                for some, given in looks
                for number in self._numbers(where.owner)
            ]
        if not looks:
            return []
        source: LiteralString = "runs AS r"
        for number in range(len(where.labels)):
            label = _label(number)
            source += f" JOIN labels AS {label} ON {label}.run = r.run"
        parts: list[LiteralString] = []
        given: list[Any] = []
        for some, values in looks:
            which = " WHERE " + " AND ".join(some) if some else ""
            parts.append(f"(SELECT r.run FROM {source}{which} ORDER BY r.run DESC LIMIT %s)")
            given += (*values, limit)
        query = f"{RUNS} WHERE r.run = ANY(ARRAY({' UNION ALL '.join(parts)})) ORDER BY r.run DESC"
        return cast("list[RawRun]", self._look_up(query + " LIMIT %s", *given, limit))

    def _numbers(self, engine_id: str) -> list[int]:
        """Return the numbers of the owners with this id: the engine and its earlier incarnations."""
        found = self._select("SELECT number FROM owners WHERE engine_id = %s", engine_id)
        return [number for (number,) in found]

    def journal(self, key: RunKey, after: int, limit: int | None) -> list[JournalRow]:
        """Return the rows whose last record is above *after*, in order."""
        found = self._select(
            "SELECT seq, fence, at, body FROM journal WHERE run = %s AND seq > %s "
            "ORDER BY seq LIMIT %s",
            *(key, after, limit),
        )
        return cast("list[JournalRow]", found)

    def journals(self, keys: Sequence[RunKey]) -> dict[RunKey, list[JournalRow]]:
        """Return whole journals by key."""
        found = self._select(
            "SELECT run, seq, fence, at, body FROM journal WHERE run = ANY(%s) ORDER BY run, seq",
            list(keys),
        )
        journals: dict[RunKey, list[JournalRow]] = {key: [] for key in keys}
        for key, *row in found:
            journals[key].append(cast("JournalRow", tuple(row)))
        return journals

    def blobs(self, key: RunKey, digests: Sequence[str]) -> dict[str, Json]:
        """Return the run's spilled values by digest."""
        found = self._select(
            "SELECT digest, body FROM blobs WHERE run = %s AND digest = ANY(%s)",
            *(key, list(digests)),
        )
        return dict(found)

    def definition(self, definition_hash: str) -> Json | None:
        """Return the definition with this hash."""
        found = self._select("SELECT body FROM definitions WHERE hash = %s", definition_hash)
        return found[0][0] if found else None

    def signals(self, key: RunKey, after: int) -> list[RawSignal]:
        """Return the run's signals above *after* that nothing has consumed, oldest first."""
        found = self._select(
            "SELECT number, name, payload, at FROM notices "
            "WHERE run = %s AND kind = 'signal' AND consumed_by IS NULL AND number > %s "
            "ORDER BY number",
            *(key, after),
        )
        return cast("list[RawSignal]", found)

    def signals_of(self, run_ids: Sequence[str]) -> list[tuple[str, RawSignal]]:
        """Return the signals of several runs that nothing has consumed, oldest first."""
        found = self._select(
            "SELECT r.run_id, n.number, n.name, n.payload, n.at "
            "FROM runs AS r JOIN notices AS n ON n.run = r.run "
            "WHERE r.run_id = ANY(%s) AND n.kind = 'signal' AND n.consumed_by IS NULL "
            "ORDER BY n.number",
            list(run_ids),
        )
        return [(run_id, cast("RawSignal", tuple(signal))) for run_id, *signal in found]

    def notices(self, owner: int, after: int) -> tuple[list[Notice], int]:
        """Return the new notices for the owner's runs, and the number to ask from next."""
        newest: int | None = self._select("SELECT max(number) FROM notices")[0][0]
        if newest is None or newest <= after:
            return [], after
        found = self._look_up(
            "SELECT n.number, r.run_id, n.kind, n.name FROM notices AS n "
            "JOIN runs AS r ON r.run = n.run "
            "WHERE n.number > %s AND n.number <= %s AND r.owner = %s ORDER BY n.number",
            *(after, newest, owner),
        )
        return [Notice(*row) for row in found], newest

    def queue_depths(self) -> list[QueueDepth]:
        """Return how many runs stand in each queue."""
        serving: dict[str, list[str]] = {}
        for engine_id, queues in self._select(SERVING):
            for queue in queues:
                serving.setdefault(queue, []).append(engine_id)
        return depths(self._select(WAITING_RUNS), self._select(TAKEN_RUNS), serving)

    def queue_place(self, run_id: str, rate_s: float) -> QueuePlace | None:
        """Return where a run stands in its queue."""
        found = self._select(
            f"SELECT queue, queue_key, priority, run FROM runs WHERE run_id = %s AND {WAITS}",
            run_id,
        )
        for queue, key, priority, run in found:
            (counts,) = self._select(
                PLACE, queue, priority, priority, run, queue, key, queue, int(rate_s * 1e6)
            )
            return QueuePlace(*counts)
        return None

    def purgeable(self, retention: Retention, now: int, limit: int) -> list[RunKey]:
        """Return finished runs that the policy gives up, at most *limit*."""
        states = None if retention.states is None else sorted(retention.states)
        wanted: LiteralString = OUTERMOST
        parameters: list[Any] = []
        if states is not None and len(states) == 1:
            wanted += " AND r.state = %s"
            parameters = states[:]
        elif states is not None:
            wanted += " AND r.state = ANY(%s)"
            parameters = [states]
        doomed: dict[RunKey, None] = {}
        if retention.max_age_s is not None:
            found = self._look_up(
                f"SELECT r.run FROM runs AS r WHERE {wanted} AND r.finished_at < %s "
                f"AND {PARTS_OVER} ORDER BY r.finished_at LIMIT %s",
                *(*parameters, now - int(retention.max_age_s * 1e6), limit),
            )
            doomed.update((run, None) for (run,) in found)
        if retention.max_finished is not None and len(doomed) < limit:
            newest = self._first_too_many(wanted, parameters, retention, now)
            if newest is not None:
                found = self._look_up(
                    f"SELECT r.run FROM runs AS r WHERE {wanted} "
                    f"AND (r.finished_at, r.run) <= (%s, %s) AND {PARTS_OVER} "
                    "ORDER BY r.finished_at, r.run LIMIT %s",
                    *(*parameters, *newest, limit),
                )
                doomed.update((run, None) for (run,) in found)
        return [*doomed][:limit]

    def _first_too_many(
        self, wanted: LiteralString, parameters: list[Any], retention: Retention, now: int
    ) -> tuple[Any, ...] | None:
        """Return when the newest run ended that is too many, and its key; once a purge.

        Counting up to it reads all entries of the index that are kept: 0.14 s for 900,000.
        """
        asked = (retention, now)
        if self._too_many is None or self._too_many[0] != asked:
            found = self._look_up(
                f"SELECT r.finished_at, r.run FROM runs AS r WHERE {wanted} "
                "ORDER BY r.finished_at DESC, r.run DESC OFFSET %s LIMIT 1",
                *(*parameters, retention.max_finished),
            )
            self._too_many = asked, found[0] if found else None
        return self._too_many[1]


def _conditions(where: RunFilter) -> tuple[list[LiteralString], list[Any]]:
    conditions: list[LiteralString] = []
    parameters: list[Any] = []

    def add(condition: LiteralString, *values: Any) -> None:
        conditions.append(condition)
        parameters.extend(values)

    if where.name is not None:
        add("r.name = %s", where.name)
    if where.parent is not None:
        add("r.parent = %s", where.parent)
    if where.root is not None:
        add("r.root = %s", where.root)
    if where.queue is not None:
        add("r.queue = %s", where.queue)
    if where.finished is not None:
        add("r.finished_at IS NOT NULL" if where.finished else "r.finished_at IS NULL")
    # A key says when its run was created, and the list is in their order.
    low, high = created_between(where.created_after, where.created_before)
    if low is not None:
        add("r.run > %s", low)
    if high is not None:
        add("r.run < %s", high)
    if where.finished_after is not None:
        add("r.finished_at > %s", round(where.finished_after * 1e6))
    if where.finished_before is not None:
        add("r.finished_at < %s", round(where.finished_before * 1e6))
    for number, label in enumerate(where.labels.items()):
        add(f"{_label(number)}.name = %s AND {_label(number)}.value = %s", *label)
    return conditions, parameters


def _label(number: int) -> LiteralString:
    """Return what the row of a label is called in a query."""
    return cast("LiteralString", f"l{number}")
