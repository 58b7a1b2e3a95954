"""Drawings as SVG without a style of their own: what each thing is stands in its class."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, Final

from markupsafe import Markup

WIDTH, HEIGHT = 170, 54
GAP_X, GAP_Y = 40, 16
MARGIN = 8
LONGEST = 21

MOST_BOXES: Final = 150


def spark(values: Sequence[float], width: int = 132, height: int = 32) -> Markup:
    """Return a line of *values*, the newest at the right, with the area below it.

    >>> "polyline" in spark([1, 2, 3])
    True
    """
    numbers = [float(value) for value in values][-60:]
    if len(numbers) < 2:
        numbers = [*numbers, *([numbers[-1] if numbers else 0.0] * (2 - len(numbers)))]
    top = max(*numbers, 1e-9)
    step = width / 59
    left = width - step * (len(numbers) - 1)
    points = [
        (left + index * step, height - 2 - value / top * (height - 5))
        for index, value in enumerate(numbers)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    area = f"{points[0][0]:.1f},{height} {line} {width},{height}"
    return Markup(
        f'<svg class="spark" viewBox="0 0 {width} {height}" preserveAspectRatio="none" '
        f'aria-hidden="true" focusable="false"><polygon points="{area}"/>'
        f'<polyline points="{line}"/></svg>'
    )


def run_graph(steps: Sequence[dict[str, Any]], targets: dict[str, str]) -> Markup:
    """Return the steps of a run as boxes, from left to right, with an arrow for each wait."""
    shown = list(steps[:MOST_BOXES])
    columns = _columns(shown)
    if not columns:
        return Markup("")
    tallest = max(len(column) for column in columns)
    width = 2 * MARGIN + len(columns) * WIDTH + (len(columns) - 1) * GAP_X
    height = 2 * MARGIN + tallest * HEIGHT + (tallest - 1) * GAP_Y
    places: dict[str, tuple[float, float]] = {}
    for number, column in enumerate(columns):
        used = len(column) * HEIGHT + (len(column) - 1) * GAP_Y
        for row, step in enumerate(column):
            y = (height - used) / 2 + row * (HEIGHT + GAP_Y)
            places[step["id"]] = (MARGIN + number * (WIDTH + GAP_X), y)
    by_id = {step["id"]: step for step in shown}
    arrows = "".join(
        _arrow(places[other], places[step["id"]], by_id[other]["state"])
        for step in shown
        for other in step["depends"]
        if other in places
    )
    boxes = "".join(_box(places[step["id"]], step, targets) for step in shown)
    return Markup(
        f'<svg class="graph" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="The steps of the run and what each waits for">{arrows}{boxes}</svg>'
    )


def _columns(steps: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    level: dict[str, int] = {}
    for step in steps:
        level[step["id"]] = 1 + max((level.get(other, -1) for other in step["depends"]), default=-1)
    columns: list[list[dict[str, Any]]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for step in steps:
        columns[level[step["id"]]].append(step)
    return columns


def _arrow(start: tuple[float, float], end: tuple[float, float], state: str) -> str:
    x1, y1 = start[0] + WIDTH, start[1] + HEIGHT / 2
    x2, y2 = end[0], end[1] + HEIGHT / 2
    bend = max(18.0, (x2 - x1) / 2)
    went = "went" if state in ("completed", "compensated", "skipped") else "waits"
    tip = f"M{x2 - 6:g} {y2 - 4:g} L{x2:g} {y2:g} L{x2 - 6:g} {y2 + 4:g}"
    return (
        f'<path class="edge {went}" d="M{x1:g} {y1:g} C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} '
        f'{x2:g} {y2:g}"/><path class="edge {went}" d="{tip}"/>'
    )


def _box(place: tuple[float, float], step: dict[str, Any], targets: dict[str, str]) -> str:
    x, y = place
    below = [step["state"]]
    if step["attempts"] > 1:
        below.append(f"attempt {step['attempts']}")
    if step["duration_s"] is not None:
        below.append(duration(step["duration_s"]))
    elif step["waiting_for"]:
        below = [f"waits for {step['waiting_for']}"]
    target = targets.get(step["id"], "")
    title = escape(f"{step['id']}: {step['state']}" + (f", {target}" if target else ""))
    return (
        f'<g class="box s-{slug(step["state"])}"><title>{title}</title>'
        f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="9"/>'
        f'<circle cx="{x + 16:g}" cy="{y + 20:g}" r="4.5"/>'
        f'<text class="name" x="{x + 28:g}" y="{y + 24:g}">{escape(_short(step["id"]))}</text>'
        f'<text class="said" x="{x + 28:g}" y="{y + 41:g}">{escape(_short(" · ".join(below)))}</text>'
        "</g>"
    )


def _short(said: str) -> str:
    return said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"


def waterfall(spans: Sequence[dict[str, Any]], now: float) -> Markup:
    """Return spans as bars below one another, each where it began and as long as it took."""
    if not spans:
        return Markup("")
    begin = min(span["start"] for span in spans)
    total = max(max(span["end"] or now for span in spans) - begin, 1e-6)
    names, bars, row = 260, 660, 24
    lines: list[str] = []
    for index, span in enumerate(spans):
        y = index * row
        x = names + (span["start"] - begin) / total * bars
        width = max(2.0, ((span["end"] or now) - span["start"]) / total * bars)
        took = duration((span["end"] or now) - span["start"])
        state = {"ok": "completed", "error": "failed"}.get(str(span["status"]), str(span["status"]))
        said = span["name"] if len(span["name"]) <= 30 else span["name"][:29] + "…"
        lines.append(
            f'<g class="span s-{slug(state)}"><title>{escape(span["error"] or span["status"])}</title>'
            f'<text x="{8 + 14 * min(span["depth"], 6)}" y="{y + 16}">{escape(said)}</text>'
            f'<rect x="{x:.1f}" y="{y + 6}" width="{width:.1f}" height="13" rx="4"/>'
            f'<text class="said" x="{min(x + width + 6, names + bars + 6):.1f}" y="{y + 16}">{took}</text></g>'
        )
    width, height = names + bars + 80, len(spans) * row + 4
    return Markup(
        f'<svg class="graph trace" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="What took how long">{"".join(lines)}</svg>'
    )


def slug(state: str) -> str:
    """Return a state as a part of a class: ``cooling-down``."""
    return "".join(c if c.isalnum() else "-" for c in str(state).lower())


def duration(seconds: float | None) -> str:
    """Return seconds as people say them.

    >>> duration(0.0042), duration(0.25), duration(3.14), duration(75), duration(7322)
    ('4.2 ms', '250 ms', '3.1 s', '1 m 15 s', '2 h 2 m')
    """
    if seconds is None:
        return ""
    if seconds < 0.01:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60} m {int(seconds) % 60} s"
    if seconds < 86_400:
        return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60} m"
    return f"{int(seconds) // 86_400} d {int(seconds) % 86_400 // 3600} h"
