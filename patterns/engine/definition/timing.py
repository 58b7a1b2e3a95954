"""When a schedule is due: by cron in a time zone, or every so many seconds.

The moments follow from the rule alone, not from when anything was started: every engine finds the same
ones, after a restart too. Those of an interval are the multiples of it since the epoch (as in Temporal's
schedules): every 3600 seconds is at whole hours of UTC.

Where clocks change, cron's rule is Debian's, as `cronsim` has it. A job at a time of day that is skipped in
spring comes at the moment of the change; one at a time that comes twice in autumn comes once, the first
time. A job with a ``*`` in its minutes or hours follows the time that passes: it comes in each of the two
hours, and not in the one that is skipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple
from zoneinfo import ZoneInfo

from agenticaiframework.actors import MissingExtra, near_names

if TYPE_CHECKING:
    from cronsim import CronSim

DEFAULT_ZONE: Final = "UTC"

MOST: Final = 1_000
"""Due moments that are looked at in one go, the latest: of a longer time without an engine, the earlier ones
are counted as this many."""

_FIELDS: Final = 5
"""Of cron, without seconds: for those there are intervals."""

_FIRST_WINDOW_S: Final = 3_600.0


class Timing(NamedTuple):
    """When something is due. One of *cron* and *every_s* is given."""

    cron: str | None = None
    every_s: float | None = None
    timezone: str = DEFAULT_ZONE
    """The zone that cron's times of day are meant in."""

    def check(self) -> str | None:
        """Return what is wrong with it; None if it is ever due. Raises `MissingExtra`."""
        if self.cron is None:
            return None
        try:
            zone(self.timezone)
        except ValueError as error:
            return str(error)
        try:
            ever = self.after(0.0)
        except ValueError as error:
            return str(error)
        return (
            None if ever is not None else f"cron={self.cron!r} is never due: there is no such day"
        )

    def after(self, at: float) -> float | None:
        """Return the first moment after *at*; None: never.

        >>> Timing(every_s=60.0).after(60.0)
        120.0
        """
        return next(self._moments(at), None)

    def between(self, first: float, until: float) -> list[float]:
        """Return the moments from *first*, which is one, to *until*: the latest `MOST`, in their order.

        >>> Timing(every_s=60.0).between(60.0, 190.0)
        [60.0, 120.0, 180.0]
        """
        if until < first:
            return []
        window = _FIRST_WINDOW_S if self.every_s is None else self.every_s * (MOST + 1)
        while until - window > first:
            # Backwards in windows: a cron that was not looked at for years is not played from there.
            found = self._until(until - window, until)
            if len(found) >= MOST:
                return found[-MOST:]
            window *= 4
        following = self._until(first, until)
        return [first, *following][-MOST:]

    def _until(self, after: float, until: float) -> list[float]:
        found: list[float] = []
        for at in self._moments(after):
            if at > until:
                break
            found.append(at)
        return found

    def _moments(self, after: float) -> Iterator[float]:
        if self.every_s is not None:
            count = math.floor(after / self.every_s)
            while True:
                count += 1
                at = round(count * self.every_s, 6)
                if at > after:
                    yield at
        begin = datetime.fromtimestamp(math.floor(after), zone(self.timezone))
        for local in _cronsim(self.cron or "", begin):
            at = local.timestamp()
            # A time of day that comes twice is counted once, also from a moment between the two.
            if at > after:
                after = at
                yield at

    def local(self, at: float) -> datetime:
        """Return a moment as a date in its zone."""
        return datetime.fromtimestamp(at, UTC if self.every_s is not None else zone(self.timezone))

    def __str__(self) -> str:
        if self.every_s is not None:
            return f"every {self.every_s:g} s"
        return f"{self.cron} {self.timezone}"


def zone(name: str) -> ZoneInfo:
    """Return the time zone of this name; raises ValueError with the nearest there are."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        from zoneinfo import available_timezones

        known = available_timezones()
        if not known:
            raise ValueError(
                f"timezone={name!r}: this machine has no time zones: pip install tzdata"
            ) from None
        raise ValueError(
            f"timezone={name!r} is not a time zone. {near_names(name, known)}"
        ) from None


def _cronsim(cron: str, begin: datetime) -> CronSim:
    try:
        from cronsim import CronSim, CronSimError
    except ImportError as error:
        raise MissingExtra(f"cron={cron!r} (every_s=... does not)", "schedules") from error
    fields = len(cron.split())
    try:
        if fields == _FIELDS:
            return CronSim(cron, begin)
        wrong = f"it has {fields} fields, and {_FIELDS} are needed"
    except CronSimError as error:
        wrong = str(error)
    raise ValueError(
        f"cron={cron!r} cannot be read ({wrong}). Minute, hour, day of the month, month, day of "
        "the week: cron='0 3 * * 1-5' is at 03:00 from Monday to Friday"
    )
