"""Which index a list of runs is read by.

SQLite keeps no statistics unless it is told to gather them, so it cannot know that one of two conditions
holds for three runs and the other for three million. So the conditions that have an index are counted
first, up to `MANY`, which an index does in a fraction of a millisecond; the rarest leads, and the others
are looked up for each run that it finds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from ..grouped.backend import RunKey
from ..grouped.keys import created_between
from ..records import RunFilter

__all__ = ["Chooser"]

MANY: Final = 1_000
"""So many runs are counted, and sorted if they come in another order, in less than a millisecond."""

CLOCKS_APART_S: Final = 60.0
"""A run ends after it was created, unless the clocks of two engines differ by more than this."""

_RUNS: Final = "runs AS r"
_OF_OWNER: Final = "r.owner IN (SELECT number FROM owners WHERE engine_id = ?)"


class _Way(NamedTuple):
    """A condition, and the index that leads to the runs for which it holds."""

    source: str
    condition: str
    parameters: tuple[Any, ...]
    ordered: bool = True
    """Whether it leads to them in the order of their keys."""
    key: str = "r.run"


_ALL: Final = _Way(f"{_RUNS} NOT INDEXED", "", ())


class Chooser:
    """Builds the query for the keys of a page. *look* returns the one value of a query."""

    def __init__(
        self,
        look: Callable[[str, Sequence[Any]], Any],
        where: RunFilter,
        before: RunKey | None,
        limit: int,
    ) -> None:
        self._look = look
        self._where = where
        self._limit = limit
        self._bounds, self._bound_values = _bounds(where, before)
        self._conditions, self._values = _conditions(where)

    def query(self) -> tuple[str, list[Any]]:
        """Return the query for the keys, the newest first, with its parameters."""
        ways = self._ways()
        if not ways:
            return self._by(_ALL)
        if len(ways) == 1 and all(way.ordered for way in ways[0]):
            return self._by(*ways[0])
        counts = [self._how_many(way) for way in ways]
        fewest = min(range(len(ways)), key=counts.__getitem__)
        if counts[fewest] < MANY:
            return self._by(*ways[fewest])
        inner = [way for way in ways if all(each.ordered for each in way)]
        if inner:
            return self._by(*inner[0])
        return self._by(_ALL)

    def _how_many(self, ways: Sequence[_Way]) -> int:
        total = 0
        for way in ways:
            bounds = self._bounds.format(key=way.key)
            query = f"SELECT 1 FROM {way.source} WHERE {way.condition} AND {bounds}"
            values = (*way.parameters, *self._bound_values, MANY)
            total += self._look(f"SELECT count(*) FROM ({query} LIMIT ?)", values)
        return total

    def _by(self, *ways: _Way) -> tuple[str, list[Any]]:
        """Return the query that is led by *ways*, which have no run in common."""
        queries: list[str] = []
        parameters: list[Any] = []
        for way in ways:
            conditions = [
                *([way.condition] if way.condition else []),
                self._bounds.format(key=way.key),
                *self._conditions,
            ]
            queries.append(
                f"SELECT {way.key} AS run FROM {way.source} WHERE {' AND '.join(conditions)} "
                f"ORDER BY {way.key} DESC LIMIT ?"
            )
            parameters += (*way.parameters, *self._bound_values, *self._values, self._limit)
        if len(queries) == 1:
            return queries[0], parameters
        return " UNION ALL ".join(f"SELECT run FROM ({query})" for query in queries), parameters

    def _ways(self) -> list[list[_Way]]:
        """Return the ways that there are, each in parts, those that lead to the fewest runs mostly first."""
        where = self._where
        ways: list[list[_Way]] = []

        def add(index: str, condition: str, *values: Any, ordered: bool = True) -> None:
            source = f"{_RUNS} INDEXED BY {index}"
            ways.append([_Way(source, condition, values, ordered)])

        if where.parent is not None:
            add("runs_by_parent", "r.parent = ?", where.parent)
        if where.root is not None:
            add("runs_by_root", "r.root = ?", where.root)
        for name, value in where.labels.items():
            # CROSS JOIN: the label leads.
            source = "run_labels AS l CROSS JOIN runs AS r ON r.run = l.run"
            condition = "l.name = ? AND l.value = ?"
            ways.append([_Way(source, condition, (name, value), key="l.run")])
        if where.name is not None:
            source = f"{_RUNS} INDEXED BY runs_by_name"
            states = self._states() if where.states is None else sorted(where.states)
            condition = "r.name = ? AND r.state = ?"
            ways.append([_Way(source, condition, (where.name, state)) for state in states])
        elif where.states is not None:
            source = f"{_RUNS} INDEXED BY runs_by_state"
            states = sorted(where.states)
            ways.append([_Way(source, "r.state = ?", (state,)) for state in states])
        if where.queue is not None:
            add("runs_by_queue", "r.queue = ?", where.queue)
        if where.finished is False:
            if where.owner is not None:
                condition = f"r.finished_at IS NULL AND {_OF_OWNER}"
                add("runs_open", condition, where.owner, ordered=False)
            else:
                add("runs_open", "r.finished_at IS NULL", ordered=False)
        if where.finished_after is not None or where.finished_before is not None:
            conditions, values = _finished(where)
            add("runs_finished", " AND ".join(conditions), *values, ordered=False)
        return ways

    def _states(self) -> list[str]:
        """Return the states that there are: a step for each in the index, however many runs have it."""
        states: list[str] = json.loads(self._look(_STATES, ()))
        return states


_STATES: Final = """
WITH RECURSIVE s (state) AS (
    SELECT min(state) FROM runs
    UNION ALL
    SELECT (SELECT min(state) FROM runs WHERE state > s.state) FROM s WHERE s.state IS NOT NULL
)
SELECT json_group_array(state) FROM s WHERE state IS NOT NULL
"""


def _bounds(where: RunFilter, before: RunKey | None) -> tuple[str, list[Any]]:
    """Return the condition on the keys: a page begins below one, and they say when a run was created."""
    low, high = created_between(where.created_after, where.created_before)
    ended = where.finished_before
    _, ended_high = created_between(None, None if ended is None else ended + CLOCKS_APART_S)
    highest = min(bound for bound in (before, high, ended_high, 2**63 - 1) if bound is not None)
    if low is None:
        return "{key} < ?", [highest]
    return "{key} < ? AND {key} > ?", [highest, low]


def _finished(where: RunFilter) -> tuple[list[str], list[Any]]:
    conditions = ["r.finished_at IS NOT NULL"]
    parameters: list[Any] = []
    if where.finished_after is not None:
        conditions.append("r.finished_at > ?")
        parameters.append(round(where.finished_after * 1e6))
    if where.finished_before is not None:
        conditions.append("r.finished_at < ?")
        parameters.append(round(where.finished_before * 1e6))
    return conditions, parameters


def _conditions(where: RunFilter) -> tuple[list[str], list[Any]]:
    """Return all conditions: whichever leads, every run that it leads to is looked at."""
    conditions: list[str] = []
    parameters: list[Any] = []

    def add(condition: str, *values: Any) -> None:
        conditions.append(condition)
        parameters.extend(values)

    if where.states is not None:
        add("r.state IN (SELECT value FROM json_each(?))", json.dumps(sorted(where.states)))
    if where.name is not None:
        add("r.name = ?", where.name)
    if where.parent is not None:
        add("r.parent = ?", where.parent)
    if where.root is not None:
        add("r.root = ?", where.root)
    if where.queue is not None:
        add("r.queue = ?", where.queue)
    if where.finished is not None:
        add("r.finished_at IS NOT NULL" if where.finished else "r.finished_at IS NULL")
    if where.owner is not None:
        add(_OF_OWNER, where.owner)
    if where.finished_after is not None or where.finished_before is not None:
        found, values = _finished(where)
        add(" AND ".join(found), *values)
    for name, value in where.labels.items():
        add(
            "EXISTS (SELECT 1 FROM run_labels AS m WHERE m.name = ? AND m.value = ? AND m.run = r.run)",
            *(name, value),
        )
    return conditions, parameters
