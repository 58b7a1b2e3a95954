"""The templates, and how numbers and times are written in them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .drawing import duration, run_graph, slug, spark, waterfall

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"


def environment() -> Environment:
    """Return what renders the templates; everything that is put into them is escaped."""
    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    env.filters.update(
        count=count, rate=rate, duration=duration, ago=ago, clock=clock, size=size, slug=slug,
        seg=segment, money=money,
    )  # fmt: skip
    known: Any = env.globals
    known.update(
        spark=spark, run_graph=run_graph, waterfall=waterfall, now=time.time, query=query, icon=icon
    )
    return env


def count(value: Any) -> str:
    """Return a number with its thousands apart."""
    return f"{int(value or 0):,}"


def rate(value: float) -> str:
    """Return a number for each second, with no more digits than it deserves.

    >>> rate(0), rate(0.25), rate(12.3), rate(45_678.9)
    ('0', '0.2', '12', '45,679')
    """
    value = value or 0.0
    if value == 0:
        return "0"
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def ago(at: float | None) -> Markup:
    """Return a time as how long ago it was, with the exact one beside it for machines and on hover."""
    if at is None:
        return Markup("")
    exact = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    passed = time.time() - at
    if passed < 0:
        said = f"in {_roughly(-passed)}"
    else:
        said = "just now" if passed < 2 else f"{_roughly(passed)} ago"
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(exact, said)


def _roughly(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"


def clock(at: float | None) -> Markup:
    """Return a time of day, with milliseconds, in UTC; the day on hover."""
    if at is None:
        return Markup("")
    moment = datetime.fromtimestamp(at, UTC)
    said = moment.strftime("%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"
    exact = moment.isoformat(timespec="milliseconds")
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(exact, said)


def size(value: float) -> str:
    """Return bytes as people say them.

    >>> size(12), size(20_480), size(3_500_000)
    ('12 B', '20 KB', '3.5 MB')
    """
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if value >= length:
            return (
                f"{value / length:.1f} {unit}"
                if value < 10 * length
                else f"{value / length:.0f} {unit}"
            )
    return f"{value:.0f} B"


def money(value: str | None) -> str:
    """Return a price that is known."""
    if value is None:
        return "-"
    number = float(value)
    return f"${number:,.2f}" if number >= 1 or number == 0 else f"${number:.4f}"


def segment(value: Any) -> str:
    """Return *value* as one part of a path."""
    return quote(str(value), safe="")


def query(**params: Any) -> str:
    """Return the parameters that have a value, as the end of an address."""
    given = {name: value for name, value in params.items() if value not in (None, "", 0)}
    return f"?{urlencode(given)}" if given else ""


_ICONS = {
    "overview": "M3 12h4l3-8 4 16 3-8h4",
    "tree": "M12 4v5M12 9H6v4M12 9h6v4M4 13h4v5H4zM16 13h4v5h-4zM10 2h4v4h-4z",
    "actors": "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 21c1-5 4-7 8-7s7 2 8 7",
    "runs": "M5 6h5v5H5zM14 13h5v5h-5zM10 8h4a3 3 0 0 1 3 3v2",
    "queues": "M4 6h10M4 12h10M4 18h10M18 8l3 4-3 4",
    "models": "M12 3l2.5 6.5L21 12l-6.500 2.500L12 21l-2.500-6.500L3 12l6.500-2.500z",
    "events": "M5 6h14M5 12h14M5 18h9",
    "letters": "M3 6h18v12H3zM3 7l9 7 9-7",
    "system": "M4 5h16v5H4zM4 14h16v5H4zM7 7.500h.010M7 16.500h.010",
    "search": "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM16.500 16.500L21 21",
    "theme": "M12 3a9 9 0 1 0 9 9 7 7 0 0 1-9-9z",
}


def icon(name: str) -> Markup:
    """Return a small drawing that stands beside a word, and is not read out."""
    return Markup(
        '<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">'
        f'<path d="{_ICONS[name]}"/></svg>'
    )
