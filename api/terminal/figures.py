"""Numbers and times as they stand in a terminal: short, and always as wide as they need to be."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

BARS: Final = "▁▂▃▄▅▆▇█"


def count(number: float | None) -> str:
    """Return a count in at most five characters.

    >>> count(999), count(12_345), count(515_432), count(0.25)
    ('999', '12.3k', '515k', '0.2')
    """
    if number is None:
        return "–"
    if number < 10 and number != int(number):
        return f"{number:.1f}"
    for unit in ("", "k", "M", "G"):
        if number < 999.5:
            return f"{number:.1f}{unit}" if unit and number < 99.95 else f"{number:.0f}{unit}"
        number /= 1000
    return f"{number:.0f}T"


def lasting(seconds: float | None) -> str:
    """Return a time that passes, to the two largest units.

    >>> lasting(0.0123), lasting(61), lasting(90_000), lasting(None)
    ('12 ms', '1m 01s', '1d 01h', '')
    """
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for size, unit, less, below in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m")):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // less:02d}{below}"
    return f"{whole // 60}m {whole % 60:02d}s"


def clock(at: float | None) -> str:
    """Return a moment as the time of the day here; with the date if that is another day."""
    if at is None:
        return ""
    here = time.localtime(at)
    today = time.localtime()
    same = (here.tm_year, here.tm_yday) == (today.tm_year, today.tm_yday)
    return time.strftime("%H:%M:%S" if same else "%m-%d %H:%M", here)


def since(at: float | None, now: float) -> str:
    """Return how long ago a moment was."""
    return "" if at is None else lasting(max(0.0, now - at))


def bars(values: Sequence[float], width: int, height: int = 1) -> list[str]:
    """Return the last *width* values as bars over *height* lines, from 0 to the largest of them.

    >>> bars([0, 1, 2, 7], 4), bars([1, 2], 2, 2)
    (['▁▂▃█'], [' █', '██'])
    """
    last = list(values)[-width:] if width > 0 else []
    most = max(last, default=0.0)
    eighths = [max(1, round(8 * height * one / most)) if most > 0 else 1 for one in last]
    lines: list[str] = []
    for line in reversed(range(height)):
        full = [max(0, min(8, one - 8 * line)) for one in eighths]
        lines.append("".join(BARS[one - 1] if one else " " for one in full))
    return lines


def share(done: float, width: int) -> str:
    """Return a bar that is filled to a part, 0 to 1, of *width*.

    >>> share(0.5, 4)
    '━━──'
    """
    filled = round(max(0.0, min(1.0, done)) * width)
    return "━" * filled + "─" * (width - filled)


def counted(row: Any) -> str:
    """Return a count of runs, which may be said to be more."""
    return f"{row.get('count', 0)}{'+' if row.get('more') else ''}"


__all__ = ["bars", "clock", "count", "counted", "lasting", "share", "since"]
