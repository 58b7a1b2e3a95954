"""Storms of log records: the first of one kind about one subject are whole, the others summed up.

A child that crashes a thousand times writes a handful of lines with counts. The same holds for all
subjects of one kind together, so that a thousand agents which fail of one cause do not write a
thousand. Times are the system's, and virtual in simulation, so that a seed writes the same records.

Source: the rate limits of journald and of Kubernetes' events. Lost: dropping what is too much (nobody
knew how much that was), and a thread or a timer that always runs (a quiet system pays nothing).
"""

from __future__ import annotations

from asyncio import TimerHandle
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

FIRST: Final = 3
"""Records of one kind about one subject that are written whole, in `INTERVAL_S`."""

FIRST_OF_KIND: Final = 20
"""Records of one kind about whatever subject that are written whole, in `INTERVAL_S`."""

INTERVAL_S: Final = 10.0
"""Between two sums; doubled after each, up to `LONGEST_INTERVAL_S`. A storm is over when nothing more
came for one interval."""

LONGEST_INTERVAL_S: Final = 60.0

MOST: Final = 1_000
"""Subjects that are known at once."""

REASONS: Final = 3
"""Different reasons that a sum names, the most frequent first."""

MOST_REASONS: Final = 1_000
"""Different reasons, and subjects, that are counted; what comes then is counted as others."""

LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
"""From the least to the most severe: a sum has the level of the worst of what it counts."""

OTHERS: Final = "others"

Record = Callable[[str], None]
"""Writes a record; is given what is to stand at the end of its first line."""

Fields = dict[str, Any]


class Place(Protocol):
    """Where records are written from, and by whose time."""

    def clock(self) -> float:
        """Return the time in seconds."""
        ...

    def call_aside(self, delay_s: float, fn: Callable[..., object], *args: Any) -> TimerHandle:
        """Call ``fn(*args)`` in *delay_s* seconds; a simulated run does not wait for it."""
        ...


class _Storm:
    """How often something was told since when. Owned by the `Storms`."""

    __slots__ = (
        "counted",
        "fields",
        "interval_s",
        "level",
        "reasons",
        "since",
        "subjects",
        "timer",
        "whole",
    )

    def __init__(self, now: float) -> None:
        self.since = now
        self.whole = 0
        self.counted = 0
        self.reasons: dict[str, int] = {}
        self.subjects: dict[str, int] = {}
        self.interval_s = INTERVAL_S
        self.timer: TimerHandle | None = None
        self.level = ""
        self.fields: Fields = {}

    def count(self, subject: str, reason: str, level: str, fields: Callable[[], Fields]) -> None:
        if not self.counted:
            self.fields = fields()  # those of the first are enough, and a storm has a million
        self.counted += 1
        _count(self.reasons, reason)
        _count(self.subjects, subject)
        if not self.level or LEVELS.index(level) > LEVELS.index(self.level):
            self.level = level

    def begin_anew(self, now: float) -> None:
        self.since = now
        self.counted, self.level = 0, ""
        self.reasons, self.subjects = {}, {}


class Storms:
    """Decides which records are written, and sums the others up. Owned by the loop's thread.

    *write* writes a sum: its level, text and fields.
    """

    def __init__(self, place: Place, write: Callable[[str, str, Fields], None]) -> None:
        self._place = place
        self._write = write
        self._storms: dict[tuple[str, str | None], _Storm] = {}

    def tell(
        self,
        kind: str,
        subject: str,
        level: str,
        reason: str,
        fields: Callable[[], Fields],
        write: Record,
    ) -> None:
        """Have *write* write the record, or count it, if there were many of *kind* about *subject*."""
        try:
            now = self._place.clock()
        except Exception:
            write("")  # the system has not begun, or is over: nothing can come of it later
            return
        every = self._of((kind, None), now)
        if every.timer is not None:
            # So many subjects that each one's own sums would be a storm, too.
            every.count(subject, reason, level, lambda: {"reason": reason})
            return
        own = self._of((kind, subject), now)
        rest = self._enter(own, kind, subject, now, FIRST)
        if rest is None:
            own.count(subject, reason, level, fields)
            return
        write(self._enter(every, kind, None, now, FIRST_OF_KIND) or rest)

    def flush(self) -> None:
        """Write what has been counted, and forget it all: the system stops."""
        for (kind, subject), storm in list(self._storms.items()):
            if storm.timer is not None:
                storm.timer.cancel()
            self._sum_up(kind, subject, storm)
        self._storms.clear()

    def _of(self, key: tuple[str, str | None], now: float) -> _Storm:
        storm = self._storms.get(key)
        if storm is not None and storm.timer is None and now - storm.since > INTERVAL_S:
            del self._storms[key]  # it was no storm
            storm = None
        if storm is None:
            if len(self._storms) >= MOST:
                self._forget_some(now)
            storm = self._storms[key] = _Storm(now)
        return storm

    def _forget_some(self, now: float) -> None:
        """Make room: what was no storm first, then the oldest ones, with their sums."""
        idle = [
            key
            for key, storm in self._storms.items()
            if storm.timer is None and now - storm.since > INTERVAL_S
        ]
        for key in idle or list(self._storms)[: MOST // 10]:
            storm = self._storms.pop(key)
            if storm.timer is not None:
                storm.timer.cancel()
            self._sum_up(*key, storm)

    def _enter(
        self, storm: _Storm, kind: str, subject: str | None, now: float, first: int
    ) -> str | None:
        """Return what is to stand at the end of the record; None if it is only counted."""
        if storm.timer is not None:
            return None
        storm.whole += 1
        if storm.whole < first:
            return ""
        storm.since = now
        try:
            storm.timer = self._place.call_aside(
                storm.interval_s, self._interval_over, (kind, subject), storm
            )
        except Exception:
            return ""  # the system is over
        return f" (more like it are counted, and summed up every {storm.interval_s:g} s)"

    def _interval_over(self, key: tuple[str, str | None], storm: _Storm) -> None:
        if self._storms.get(key) is not storm:
            return
        if not storm.counted:
            del self._storms[key]
            return
        self._sum_up(*key, storm)
        storm.interval_s = min(2 * storm.interval_s, LONGEST_INTERVAL_S)
        storm.timer = self._place.call_aside(storm.interval_s, self._interval_over, key, storm)

    def _sum_up(self, kind: str, subject: str | None, storm: _Storm) -> None:
        """Write how many were counted, and count anew."""
        if not storm.counted:
            return
        now = self._place.clock()
        took_s = round(now - storm.since, 3)
        what, about = kind.replace("_", " "), subject
        if about is None:
            about = f"{len(storm.subjects):,} together ({_most(storm.subjects)})"
        text = f"{about}: {what}: {storm.counted:,} more in {took_s:g} s: {_most(storm.reasons)}"
        fields = {**storm.fields, "kind": kind, "count": storm.counted, "in_s": took_s}
        level = storm.level
        storm.begin_anew(now)
        self._write(level, text, fields)


def _count(counts: dict[str, int], name: str) -> None:
    if name not in counts and len(counts) >= MOST_REASONS:
        name = OTHERS
    counts[name] = counts.get(name, 0) + 1


def _most(reasons: dict[str, int]) -> str:
    """Return the most frequent reasons with their counts.

    >>> _most({"KeyError": 1, "ValueError: boom": 40})
    '40 of ValueError: boom; 1 of KeyError'
    """
    ranked: Iterable[tuple[str, int]] = sorted(reasons.items(), key=lambda one: -one[1])
    said = [f"{count:,} of {reason}" for reason, count in [*ranked][:REASONS]]
    more = len(reasons) - len(said)
    return "; ".join(said) + (f"; and {more} more" if more > 0 else "")


__all__ = ["Storms"]
