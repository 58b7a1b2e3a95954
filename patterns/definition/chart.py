"""Flowcharts as SVG: boxes in layers, arrows between them, loops beside them.

The layers come from the arrows: a box stands in the first layer behind all that lead to it. An arrow
back to an earlier box, or to the same one, is a loop, and is drawn around what lies between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

LINE: Final = 18
PAD: Final = 12
GAP: Final = 40
BETWEEN: Final = 58
MARGIN: Final = 20
LONGEST: Final = 34
LONGEST_LABEL: Final = 60
CHARACTER: Final = 7.2
"""How wide a character is, about, at the size of the text."""

FILLS: Final = {
    "agent": "#e3f2fd",
    "choice": "#fffde7",
    "delay": "#eeeeee",
    "end": "#eeeeee",
    "event": "#fff3e0",
    "join": "#ede7f6",
    "pattern": "#ede7f6",
    "team": "#fff3e0",
    "wait_for": "#fffde7",
    "workflow": "#e8f5e9",
}


@dataclass(slots=True)
class Box:
    """One thing: lines of text, the first of them bold, and what *kind* it is."""

    id: str
    lines: list[str]
    kind: str = "agent"


@dataclass(slots=True)
class Arrow:
    """From one box to another; *dotted* for what only happens when something fails, or again."""

    source: str
    to: str
    label: str = ""
    dotted: bool = False


@dataclass(slots=True)
class Chart:
    """What is drawn: its *title* is for readers of the screen."""

    title: str
    boxes: list[Box] = field(default_factory=list[Box])
    arrows: list[Arrow] = field(default_factory=list[Arrow])

    def svg(self) -> str:
        """Return the chart as an SVG file that needs nothing else to be looked at."""
        return _Layout(self).drawn()


def layers_of(depends: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the things in layers: each in the first one behind all that it waits for.

    *depends* has for each thing those that it waits for, in any order but without a circle.

    >>> layers_of([(), (0,), (0,), (1, 2)])
    [[0], [1, 2], [3]]
    """
    level: dict[int, int] = {}
    for start in range(len(depends)):
        stack = [start]
        while stack:
            index = stack[-1]
            missing = [other for other in depends[index] if other not in level]
            if missing:
                stack += missing
                continue
            stack.pop()
            level[index] = 1 + max((level[other] for other in depends[index]), default=-1)
    layers: list[list[int]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for index in range(len(depends)):
        layers[level[index]].append(index)
    return layers


def _forward(count: int, arrows: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    """Return those of *arrows* that lead on: without those that close a circle, from the first box on."""
    leads: dict[int, list[int]] = {}
    for source, to in arrows:
        leads.setdefault(source, []).append(to)
    on: set[tuple[int, int]] = set()
    state = [0] * count  # 0: not seen, 1: on the way to here, 2: done
    for first in sorted(range(count), key=lambda n: any(n in to for to in leads.values())):
        if state[first]:
            continue
        state[first] = 1
        stack = [(first, iter(leads.get(first, ())))]
        while stack:
            here, rest = stack[-1]
            to = next(rest, -1)
            if to < 0:
                state[here] = 2
                stack.pop()
            elif state[to] != 1:
                on.add((here, to))
                if state[to] == 0:
                    state[to] = 1
                    stack.append((to, iter(leads.get(to, ()))))
    return on


class _Layout:
    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        number = {box.id: n for n, box in enumerate(chart.boxes)}
        pairs = [(number[a.source], number[a.to]) for a in chart.arrows]
        on = _forward(len(chart.boxes), pairs)
        depends: list[list[int]] = [[] for _ in chart.boxes]
        for source, to in on:
            depends[to].append(source)
        self.is_loop = [pair not in on for pair in pairs]
        self.sizes = [_size(box) for box in chart.boxes]
        layers = layers_of(depends)
        widths = [sum(self.sizes[n][0] for n in layer) + GAP * (len(layer) - 1) for layer in layers]
        self.width = max(widths, default=0.0)
        self.at: dict[str, tuple[float, float, float, float]] = {}
        """Where each box is: x, y, width, height."""
        y = float(MARGIN)
        for layer, used in zip(layers, widths, strict=True):
            x = MARGIN + (self.width - used) / 2
            height = max(self.sizes[n][1] for n in layer)
            for n in layer:
                w, h = self.sizes[n]
                self.at[chart.boxes[n].id] = (x, y + (height - h) / 2, w, h)
                x += w + GAP
            y += height + BETWEEN
        self.height = y - BETWEEN + MARGIN if layers else 2.0 * MARGIN
        self.right = MARGIN + self.width
        """How far anything reaches to the right."""

    def drawn(self) -> str:
        loops = 0
        arrows: list[str] = []
        for arrow, is_loop in zip(self.chart.arrows, self.is_loop, strict=True):
            if is_loop:
                loops += 1
                arrows.append(self._loop(arrow, loops))
            else:
                arrows.append(self._arrow(arrow))
        boxes = [self._box(box) for box in self.chart.boxes]
        width, height = round(self.right + MARGIN), round(self.height)
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13" '
                f'role="img" aria-label="{escape(self.chart.title)}">',
                f"<title>{escape(self.chart.title)}</title>",
                # Light also in a dark window, as the boxes are.
                f'<path fill="#ffffff" d="M0 0 H{width} V{height} H0 z"/>',
                '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
                'markerHeight="7" orient="auto"><path d="M0 0 L10 5 L0 10 z" fill="#555"/></marker>'
                "</defs>",
                *arrows,
                *boxes,
                "</svg>",
                "",
            ]
        )

    def _arrow(self, arrow: Arrow) -> str:
        x, y, w, h = self.at[arrow.source]
        x1, y1 = x + w / 2, y + h
        x, y, w, h = self.at[arrow.to]
        x2, y2 = x + w / 2, y
        bend = (y2 - y1) / 2
        path = f"M{x1:g} {y1:g} C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2:g}"
        return _path(path, arrow) + self._label(arrow, (x1 + x2) / 2 + 6, (y1 + y2) / 2 + 4)

    def _loop(self, arrow: Arrow, number: int) -> str:
        """Return an arrow that leads back: out of the right side of a box and into that of another."""
        x, y, w, h = self.at[arrow.source]
        x1, y1 = x + w, y + h * 0.7
        x, y, w, h = self.at[arrow.to]
        x2, y2 = x + w, y + h * 0.3
        if arrow.source == arrow.to:
            out = x1 + 36.0
        else:
            out = MARGIN + self.width + 18.0 * number
        self.right = max(self.right, out)
        path = f"M{x1:g} {y1:g} C{out:g} {y1:g} {out:g} {y2:g} {x2:g} {y2:g}"
        across = x1 + (out - x1) * 0.75 + 6
        return _path(path, arrow) + self._label(arrow, across, (y1 + y2) / 2 + 4)

    def _label(self, arrow: Arrow, x: float, y: float) -> str:
        if not arrow.label:
            return ""
        text = _short(arrow.label, LONGEST_LABEL)
        self.right = max(self.right, x + len(text) * CHARACTER * 0.85)
        return f'<text x="{x:g}" y="{y:g}" fill="#555" font-size="11">{escape(text)}</text>'

    def _box(self, box: Box) -> str:
        x, y, w, h = self.at[box.id]
        middle = x + w / 2
        fill = FILLS.get(box.kind, FILLS["agent"])
        round_by = h / 2 if box.kind in ("end", "wait_for", "event", "delay") else 8
        texts = "".join(
            f'<text x="{middle:g}" y="{y + PAD + LINE * n + 12:g}" text-anchor="middle" fill="#222"'
            + (' font-weight="bold"' if n == 0 else "")
            + f">{escape(_short(line))}</text>"
            for n, line in enumerate(box.lines)
        )
        return (
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="{round_by:g}" '
            f'fill="{fill}" stroke="#555"/>{texts}'
        )


def _path(path: str, arrow: Arrow) -> str:
    dashes = ' stroke-dasharray="5 4"' if arrow.dotted else ""
    return f'<path d="{path}" fill="none" stroke="#555"{dashes} marker-end="url(#tip)"/>'


def _size(box: Box) -> tuple[float, float]:
    longest = max((len(_short(line)) for line in box.lines), default=0)
    return max(120.0, round(longest * CHARACTER + 2 * PAD)), LINE * len(box.lines) + 2.0 * PAD


def _short(text: str, limit: int = LONGEST) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
