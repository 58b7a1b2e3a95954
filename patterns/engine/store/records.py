"""The plain, immutable records that go into a store and come out.

They are named tuples where the engine makes one for every step (half the price of a frozen
dataclass), and say nothing about the meaning of a step or a state: the engine owns those words, but
for `BLOCKED`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

__all__ = [
    "BLOCKED",
    "LONGEST_NAME",
    "MAX_SIGNALS",
    "Durability",
    "Inbox",
    "JournalEntry",
    "NewRun",
    "Notice",
    "Owner",
    "Progress",
    "Record",
    "Retention",
    "RunFilter",
    "RunPage",
    "RunRow",
    "RunUpdate",
    "Signal",
    "StoreStats",
]


BLOCKED: Final = "blocked"
"""The one state that stores know: a run in it is not claimed with all that is abandoned."""


LONGEST_NAME: Final = 2_500
"""Bytes of an id or a name: the indexes of PostgreSQL hold entries of up to 2,704."""

MAX_SIGNALS: Final = 10_000
"""Signals that may wait in one run for a step that takes them."""


class Durability(StrEnum):
    """What an acknowledgement promises."""

    FULL = "full"
    """On disk (fsync): survives a power cut."""
    NORMAL = "normal"
    """Handed to the operating system: survives a crash of the process."""
    NONE = "none"
    """Accepted: written soon, survives nothing until then."""


class Record(NamedTuple):
    """One thing that happened in a run; the store numbers and dates it."""

    kind: str
    step: str = ""
    attempt: int = 0
    data: Any = None
    """Anything with a JSON form; encoded when it is handed over, so later changes do not matter."""


class JournalEntry(NamedTuple):
    """A record as it stands in the journal."""

    seq: int
    """1, 2, 3 ... without a gap in a run."""
    kind: str
    step: str
    attempt: int
    data: Any
    at: float
    """Seconds since the epoch, by the clock of the store that wrote it."""
    fence: int
    """The fencing token of the owner that wrote it."""


class NewRun(NamedTuple):
    """A run to be created."""

    run_id: str
    """Unique in the store. Ids that grow with time keep SQLite's index compact."""
    name: str
    definition_hash: str
    definition: str
    """The definition as JSON; stored once for each hash."""
    input: Any = None
    state: str = "running"
    durability: Durability = Durability.FULL
    parent: str | None = None
    labels: Mapping[str, str] | None = None
    context: Mapping[str, Any] | None = None
    """What the handlers of its steps find in `agent_context`; anything with a JSON form."""
    root: str | None = None
    """The id of the outermost run around it; None for a run that is not a part of another."""
    created_at: float | None = None
    """When it was made, in seconds since the epoch; None: now, by the store's clock."""
    at: float | None = None
    """When its first records happened; None: now."""
    queue: str | None = None
    """The queue that it waits in: it has no owner until an engine takes it."""
    queue_key: str | None = None
    """What of the queue it counts with, where a queue has a limit for each key."""
    priority: int = 0
    """The larger, the sooner it is taken."""


class RunUpdate(NamedTuple):
    """What changes in a run's row together with an append; None leaves a field as it is."""

    state: str | None = None
    finished: bool | None = None
    """True ends the run: it is never recovered, and retention counts from now. False reopens it, and
    what was asked of it before its end (to be cancelled) is over."""
    error: str | None = None
    """The last error, short; `""` clears it."""
    wake_at: float | None = None
    """When a sleeping run is due, seconds since the epoch; `0.0` clears it."""


class Progress(NamedTuple):
    """How far a run has got, without its values: cheap to ask for, and of many runs at once."""

    seq: int
    """The number of the last entry of its journal."""
    state: str
    finished: bool
    fence: int


class Owner(NamedTuple):
    """One engine incarnation, as the store knows it."""

    engine_id: str
    number: int
    """Unique in the store for ever."""
    lease_s: float


class Signal(NamedTuple):
    """Something said to a run from outside, kept until a record consumes it."""

    number: int
    """Grows; unique in the store."""
    run_id: str
    name: str
    payload: Any
    at: float


class Notice(NamedTuple):
    """Word that a run has something new to look at."""

    number: int
    run_id: str
    kind: str
    """`"signal"` or `"cancel"`."""
    name: str
    """The signal's name, or the reason of the cancellation."""


class Inbox(NamedTuple):
    """The notices for one owner's runs since a cursor, and the cursor to ask with next."""

    notices: tuple[Notice, ...]
    cursor: int


@dataclass(frozen=True, slots=True)
class RunRow:
    """What the store knows of a run without reading its journal."""

    run_id: str
    name: str
    definition_hash: str
    input: Any
    state: str
    durability: Durability
    created_at: float
    updated_at: float
    """The last change of this row; appends without a RunUpdate do not touch it."""
    finished_at: float | None
    wake_at: float | None
    error: str | None
    cancel_reason: str | None
    """The first reason given to `request_cancel`; None without a request."""
    cancel_requested_at: float | None
    parent: str | None
    labels: Mapping[str, str]
    owner: str | None
    """The engine id that holds the run; it may be dead."""
    fence: int
    context: Mapping[str, Any] | None = None
    root: str | None = None
    """The id of the outermost run around it."""
    cancel_options: Mapping[str, Any] | None = None
    """How the first `request_cancel` wants it cancelled."""
    owner_seen_at: float | None = None
    """When the engine that holds the run last renewed its lease, by the clock of the store."""
    queue: str | None = None
    """The queue that it was created in."""
    queue_key: str | None = None
    priority: int = 0
    damage: str | None = None
    """What of the row cannot be read, and is left out: lists show such a run all the same."""

    @property
    def finished(self) -> bool:
        """Whether the run has ended, well or not."""
        return self.finished_at is not None


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list; every condition given must hold."""

    states: frozenset[str] | None = None
    name: str | None = None
    parent: str | None = None
    root: str | None = None
    finished: bool | None = None
    owner: str | None = None
    queue: str | None = None
    created_after: float | None = None
    created_before: float | None = None
    finished_after: float | None = None
    finished_before: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class RunPage:
    """Some of the runs listed, newest first."""

    rows: tuple[RunRow, ...]
    next: str | None
    """What to pass as `page` for the following rows; None at the end."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Which finished runs to forget; a run that has not finished is never purged."""

    max_age_s: float | None = None
    """Forget runs that finished longer ago than this."""
    max_finished: int | None = None
    """Keep at most this many finished runs, the latest to finish."""
    states: frozenset[str] | None = None
    """Only runs in these states; None: all finished ones."""

    def __post_init__(self) -> None:
        age: Any = self.max_age_s
        if age is not None and not (isinstance(age, int | float) and age >= 0):
            raise ValueError(f"max_age_s={age!r}: give seconds, 0 or more, for example 86_400")
        most: Any = self.max_finished
        if most is not None and not (isinstance(most, int) and most >= 0):
            raise ValueError(f"max_finished={most!r}: give the number of runs to keep, 0 or more")


@dataclass(frozen=True, slots=True)
class StoreStats:
    """Counters since the store was made."""

    commits: int = 0
    """Batches carried out, well or not."""
    appends: int = 0
    """Appends and calls in those batches."""
    records: int = 0
    """Records handed over."""
    largest_batch: int = 0
    """The most appends that one commit carried."""
    failed_appends: int = 0
