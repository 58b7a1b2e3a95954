"""Lists of runs: those in memory, and those in the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypedDict

from agenticaiframework.actors import near_names, shown

from ..store import RunFilter, RunPage, StoreUnavailable
from .status import WorkflowPage, WorkflowState, WorkflowSummary
from .suspended import summary_of, with_suspended

if TYPE_CHECKING:
    from ..store import RunRow, Store
    from .live import LiveRun

ALL_STATES: Final = frozenset(state.value for state in WorkflowState)

_MOST: Final = 1 << 31
"""Runs of one page: more than there are."""
_EARLIEST, _LATEST = -2.25e9, 2.25e9
"""In seconds from the epoch: the keys of runs count to May 2041."""

_ENDED_OTHERWISE: Final = frozenset({WorkflowState.COMPLETED, WorkflowState.FAILED})

Moment = float | datetime
"""Seconds since the epoch, or a date with its time zone (without one: local time)."""


class WorkflowFilter(TypedDict, total=False):
    """Which runs are meant: those for which every condition that is given holds."""

    state: str | Sequence[str] | None
    name: str | None
    labels: Mapping[str, str] | None
    parent: str | None
    """Parts of this run."""
    root: str | None
    """Parts of this run, and theirs."""
    queue: str | None
    """Runs that were started in this queue."""
    created_after: Moment | None
    created_before: Moment | None
    finished_after: Moment | None
    finished_before: Moment | None


def read_filter(where: WorkflowFilter) -> RunFilter:
    """Return *where* as the store takes it; raises ValueError for a state that there is not, and for
    what is not a moment.

    >>> read_filter({"state": "failed", "created_after": 7}).created_after
    7.0
    """
    known = WorkflowFilter.__annotations__
    for key in where:
        if key not in known:
            raise TypeError(f"runs are not told apart by {key!r}. {near_names(key, known)}")
    return RunFilter(
        states=read_states(where.get("state")),
        name=_text(where, "name"),
        labels=dict(where.get("labels") or {}),
        parent=_text(where, "parent"),
        root=_text(where, "root"),
        queue=_text(where, "queue"),
        created_after=_seconds(where, "created_after"),
        created_before=_seconds(where, "created_before"),
        finished_after=_seconds(where, "finished_after"),
        finished_before=_seconds(where, "finished_before"),
    )


def _text(where: WorkflowFilter, key: str) -> str | None:
    value: Any = where.get(key)
    if value is None or isinstance(value, str):
        return value
    named = getattr(value, "name", None)
    hint = f": {key}={named!r}" if isinstance(named, str) else ""
    raise TypeError(f"{key}={shown(value, 60)} is not a text{hint}")


def read_selection(what: str, where: WorkflowFilter) -> RunFilter:
    """Return *where*, which has to say something: *what* is done to all runs that are meant."""
    if all(condition is None for condition in where.values()):
        raise ValueError(
            f"{what}() is for the runs that you name, not for all that there are: {what}(state=...), "
            "name=..., labels=..., queue=..., parent=..., created_before=..., finished_before=..."
        )
    return read_filter(where)


async def list_runs(
    live: Iterable[LiveRun],
    store: Store | None,
    where: RunFilter,
    limit: int,
    page: str | None,
    persisted: bool | None,
) -> WorkflowPage:
    """Return the runs for which *where* holds, the newest first: of *store*, and of the memory.

    The memory is left out when only stored runs are wanted (*persisted*).
    """
    limit = _read_limit(limit)
    place = _Place.read(page)
    rows: list[WorkflowSummary] = []
    following: str | None = None
    if store is not None and place.in_store is not None:
        known = list(live)
        try:
            stored = await store.list_runs(where, place.in_store or None, limit)
        except StoreUnavailable:
            # What is here can be shown all the same, unless the store alone was asked for.
            if persisted is True or not any(one.outage is not None for one in known):
                raise
            stored = RunPage((), None)
            where = replace(where, states=where.states or ALL_STATES)
        rows = with_suspended([_row_summary(row) for row in stored.rows], known, where)
        following = stored.next
    here: list[WorkflowSummary] = []
    if persisted is not True:
        found = (_summary_if(run, where) for run in live if not run.run.persist)
        here = sorted(
            (one for one in found if one is not None and _place_of(one) < place.here),
            key=_newest_first,
        )
    # The store's own order stays, also where two of its runs were created at the same moment.
    merged = list(islice(merge(here, rows, key=_newest_first), limit))
    if len(merged) == len(here) + len(rows) and following is None:
        return WorkflowPage(tuple(merged))
    in_there = sum(1 for one in merged if one.persisted)
    if in_there == len(rows):
        in_store = following
    elif in_there == 0:
        in_store = place.in_store
    else:
        assert store is not None, "it has rows"
        in_store = (await store.list_runs(where, place.in_store or None, in_there)).next
    at_last = min([place.here, *(_place_of(one) for one in merged if not one.persisted)])
    return WorkflowPage(tuple(merged), _Place(in_store, at_last).write())


def _read_limit(limit: Any) -> int:
    if not isinstance(limit, int) or limit < 1:
        raise ValueError(f"limit={limit!r}: give the number of runs wanted, 1 or more")
    return min(limit, _MOST)


class _Place(NamedTuple):
    """Where a page begins."""

    in_store: str | None
    """The store's own page; an empty text for its first one, None behind its last."""
    here: tuple[float, str]
    """Behind which run of the memory: when it was created, and its id."""

    @classmethod
    def read(cls, page: Any) -> Self:
        if page is None:
            return cls("", _BEGINNING)
        if not isinstance(page, str):
            raise ValueError(f"page={page!r}: give the `next` of the page before, or None")
        in_store, slash, rest = page.partition("/")
        created_at, colon, run_id = rest.partition(":")
        try:
            if not slash:
                return cls(str(int(in_store)), _BEGINNING)
            here = (float(created_at), run_id) if colon else _BEGINNING
            if in_store not in ("", "-"):
                int(in_store)
            return cls(None if in_store == "-" else in_store, here)
        except ValueError:
            raise ValueError(
                f"page={page!r}: give the `next` of the page before, or None"
            ) from None

    def write(self) -> str:
        in_store = "-" if self.in_store is None else self.in_store
        if self.here == _BEGINNING:
            return in_store if self.in_store else f"{in_store}/"
        return f"{in_store}/{self.here[0]!r}:{self.here[1]}"


_BEGINNING = (float("inf"), "")


def _place_of(summary: WorkflowSummary) -> tuple[float, str]:
    return (summary.created_at or 0.0, summary.workflow_id)


def _newest_first(summary: WorkflowSummary) -> tuple[float, list[int]]:
    created_at, run_id = _place_of(summary)
    return -created_at, [-ord(letter) for letter in run_id]


def _summary_if(live: LiveRun, where: RunFilter) -> WorkflowSummary | None:
    """Return what a list says of a run, if it is one of those that are wanted."""
    with live.run.looked_at():
        return summary_of(live) if _matches(live, where) else None


def _matches(live: LiveRun, where: RunFilter) -> bool:
    run = live.run
    return (
        (where.states is None or str(live.state) in where.states)
        and (where.name is None or run.plan.name == where.name)
        and (where.queue is None or run.queue == where.queue)
        and (where.parent is None or run.parent == where.parent)
        and (where.root is None or run.root == where.root)
        and (where.finished is None or live.state.finished == where.finished)
        and _within(run.created_at, where.created_after, where.created_before)
        and _within(run.finished_at, where.finished_after, where.finished_before)
        and all(run.labels.get(key) == value for key, value in where.labels.items())
    )


def _within(at: float | None, after: float | None, before: float | None) -> bool:
    if at is None:
        return after is None and before is None
    return (after is None or at > after) and (before is None or at < before)


def _seconds(where: Mapping[str, Any], key: str) -> float | None:
    moment: Any = where.get(key)
    if moment is None:
        return None
    try:
        seconds = moment.timestamp() if isinstance(moment, datetime) else float(moment)
        if seconds != seconds:
            raise ValueError(moment)
        # Within what every store can count to.
        return min(max(_EARLIEST, seconds), _LATEST)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"{key}={moment!r} is not a moment: give seconds since the epoch, or a datetime"
        ) from None


def read_states(state: str | Sequence[str] | None) -> frozenset[str] | None:
    """Return the names of states that are meant; raises ValueError for one that there is not.

    >>> sorted(read_states(["failed", "completed"]))
    ['completed', 'failed']
    """
    if state is None:
        return None
    given = (state,) if isinstance(state, str) else tuple(state)
    known = {str(member) for member in WorkflowState}
    for name in given:
        if str(name) not in known:
            raise ValueError(
                f"{name!r} is not a state of a workflow. {near_names(str(name), known)}"
            )
    return frozenset(str(name) for name in given)


def unfinished(where: RunFilter) -> RunFilter:
    """Return those of the runs that have not ended; of those in any state, if none is named."""
    states = frozenset(str(state) for state in WorkflowState if not state.finished)
    return replace(where, states=states if where.states is None else where.states & states)


def _row_summary(row: RunRow) -> WorkflowSummary:
    error = row.error
    try:
        state = WorkflowState(row.state)
    except ValueError:
        state = WorkflowState.BLOCKED
        error = error or f"its state is {row.state!r}, which this version does not know"
    error = error or row.damage
    # A run may have ended otherwise before it could be cancelled.
    reason = None if state in _ENDED_OTHERWISE else row.cancel_reason
    return WorkflowSummary(
        row.run_id, row.name, state, row.created_at, row.finished_at, error, reason, True,
        row.labels, row.parent, row.root, row.owner, row.owner_seen_at,
        row.queue, row.queue_key, row.priority,
    )  # fmt: skip
