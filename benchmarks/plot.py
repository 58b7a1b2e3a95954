"""The result as a picture: an SVG written by hand, because a dot, a line and a word need no library.

One panel a workload: a dot at the median, a line from lowest to highest, on a logarithmic axis, since the
systems lie up to four powers of ten apart and a bar would need a zero. Latency histograms follow as panels
of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.catalog import Kind
from benchmarks.measure import bucket_edges_us
from benchmarks.protocol import Histogram
from benchmarks.report import quantity, times
from benchmarks.summary import Comparison, Row

WIDTH = 1000
LABEL = 180
VALUE = 250
ROW = 22
HEAD = 58
FOOT = 28
GAP = 10
LEFT = LABEL + 16
RIGHT = WIDTH - VALUE
HISTOGRAM_HEIGHT = 70
TOP = 70.0

COLOURS: dict[Kind, str] = {"ours": "#c2410c", "floor": "#64748b", "peer": "#1d4ed8"}
INK = "#1e293b"
QUIET = "#64748b"
LINE = "#e2e8f0"


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis over whole powers of ten, from *low* to *high*."""

    low: int
    high: int

    def x(self, value: float) -> float:
        """Return where *value* stands; what is below the axis stands at its start."""
        share = (math.log10(max(value, 10.0**self.low)) - self.low) / (self.high - self.low)
        return LEFT + share * (RIGHT - LEFT)

    def ticks(self) -> list[float]:
        """Return the powers of ten on the axis."""
        return [10.0**power for power in range(self.low, self.high + 1)]


def axis_for(values: Sequence[float]) -> Axis:
    """Return the shortest axis of whole powers of ten that holds all positive *values*."""
    positive = [value for value in values if value > 0]
    if not positive:
        return Axis(0, 1)
    low = math.floor(math.log10(min(positive)))
    high = math.ceil(math.log10(max(positive)))
    return Axis(low, max(high, low + 1))


def _text(
    x: float, y: float, words: str, *, size: int = 12, colour: str = INK, anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" '
        f'text-anchor="{anchor}">{escape(words)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{colour}" stroke-width="{width:g}"/>'
    )


def _panel(comparison: Comparison, top: float, goals: bool) -> tuple[list[str], float]:
    """Return the drawing of one workload and where the next may start."""
    rows = [row for row in comparison.rows if row.figures]
    metric = comparison.workload.metrics[0]
    values = [value for row in rows for value in (row.figures[0].low, row.figures[0].high)]
    goal = comparison.workload.goal
    if goal is not None and (goal.times_floor or not goals):
        goal = None
    if goal is not None:
        values.append(goal.value)
    axis = axis_for(values)
    bottom = top + HEAD + ROW * len(rows)
    arrow = "higher is better" if metric.better == "higher" else "lower is better"
    drawn = [
        _text(16, top + 20, comparison.workload.name, size=15),
        _text(16, top + 38, f"{comparison.workload.title}; {arrow}", colour=QUIET),
        _text(WIDTH - 16, top + HEAD - 4, "cost, floor = 1", size=11, colour=QUIET, anchor="end"),
    ]
    for tick in axis.ticks():
        x = axis.x(tick)
        drawn.append(_line(x, top + HEAD - 4, x, bottom, LINE))
        drawn.append(
            _text(
                x, bottom + 16, quantity(tick, metric.unit), size=11, colour=QUIET, anchor="middle"
            )
        )
    if goal is not None:
        x = axis.x(goal.value)
        drawn.append(_line(x, top + HEAD - 4, x, bottom, COLOURS["ours"]))
        drawn.append(
            _text(x, top + HEAD - 7, "goal", size=11, colour=COLOURS["ours"], anchor="middle")
        )
    for place, row in enumerate(rows):
        drawn += _dot(row, axis, top + HEAD + ROW * (place + 0.5))
    return drawn, bottom + FOOT + GAP


def _dot(row: Row, axis: Axis, y: float) -> list[str]:
    first = row.figures[0]
    colour = COLOURS[row.system.kind]
    x = axis.x(first.median)
    return [
        _text(LABEL, y + 4, row.system.name, colour=colour, anchor="end"),
        _line(axis.x(first.low), y, axis.x(first.high), y, colour, 2),
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>',
        _text(RIGHT + 24, y + 4, quantity(first.median, first.metric.unit)),
        _text(WIDTH - 16, y + 4, times(row.cost), colour=QUIET, anchor="end"),
    ]


def _histograms(comparison: Comparison, top: float) -> tuple[list[str], float]:
    drawn: list[str] = []
    edges = bucket_edges_us()
    for row in comparison.rows:
        for name, counts in (row.histograms or {}).items():
            title = f"{comparison.workload.name}: {row.system.name}, {name}"
            drawn += _histogram(title, counts, edges, COLOURS[row.system.kind], top)
            drawn += _axis_below(top + 24 + HISTOGRAM_HEIGHT)
            top += 24 + HISTOGRAM_HEIGHT + FOOT
    return drawn, top


def _histogram(
    title: str, counts: Histogram, edges: Sequence[float], colour: str, top: float
) -> list[str]:
    most = max(counts) or 1
    base = top + 24 + HISTOGRAM_HEIGHT
    drawn = [
        _text(
            16,
            top + 16,
            f"{title}: {sum(counts):,} latencies; height is the square root of the count",
        )
    ]
    width = (WIDTH - 32) / len(edges)
    for index, count in enumerate(counts):
        if count:
            height = max((count / most) ** 0.5 * HISTOGRAM_HEIGHT, 1.5)
            drawn.append(
                f'<rect x="{16 + index * width:.1f}" y="{base - height:.1f}" width="{width - 1:.1f}" '
                f'height="{height:.1f}" fill="{colour}"/>'
            )
    return drawn


def _axis_below(base: float) -> list[str]:
    drawn = [_line(16, base, WIDTH - 16, base, QUIET)]
    octaves = (WIDTH - 32) / len(bucket_edges_us()) * 2
    for words, us in (
        ("1 us", 1),
        ("10 us", 10),
        ("100 us", 100),
        ("1 ms", 1e3),
        ("10 ms", 1e4),
        ("100 ms", 1e5),
        ("1 s", 1e6),
    ):
        # The first bucket ends at 1 us, and half an octave is one bucket.
        x = 16 + octaves / 2 + math.log2(us) * octaves
        drawn.append(_line(x, base, x, base + 4, QUIET))
        drawn.append(_text(x, base + 16, words, size=11, colour=QUIET, anchor="middle"))
    return drawn


MOST_HEIGHT = 1_400
"""What a picture is tall at most: about a page, at which its words can be read."""


def svgs(
    machine: Mapping[str, str], comparisons: Sequence[Comparison], *, goals: bool = True
) -> list[str]:
    """Return pictures of all workloads that have a figure, each about a page; *goals* are for full size."""
    panels: list[tuple[list[Comparison], list[Comparison]]] = [([], [])]

    def too_tall(shown: list[Comparison], timed: list[Comparison]) -> bool:
        return _height(shown, timed, goals) > MOST_HEIGHT and len(shown) + len(timed) > 1

    for kind in (0, 1):
        for comparison in comparisons:
            if kind == 0 and not any(row.figures for row in comparison.rows):
                continue
            if kind == 1 and not any(row.histograms for row in comparison.rows):
                continue
            panels[-1][kind].append(comparison)
            if too_tall(*panels[-1]):
                panels[-1][kind].pop()
                panels.append(([], []))
                panels[-1][kind].append(comparison)
    return [_svg(machine, shown, timed, goals) for shown, timed in panels]


def _height(shown: Sequence[Comparison], timed: Sequence[Comparison], goals: bool) -> float:
    top = TOP
    for comparison in shown:
        top = _panel(comparison, top, goals)[1]
    for comparison in timed:
        top = _histograms(comparison, top)[1]
    return top


def _svg(
    machine: Mapping[str, str],
    shown: Sequence[Comparison],
    timed: Sequence[Comparison],
    goals: bool,
) -> str:
    """Return one picture: the figures of *shown*, and the histograms of *timed*."""
    drawn = [
        _text(16, 28, "agenticaiframework beside its floors and peers", size=18),
        _text(
            16,
            48,
            f"{machine['python']}; {machine['processor']}, {machine['cores']} cores; {machine['time']}",
            colour=QUIET,
        ),
    ]
    legend: tuple[tuple[Kind, str], ...] = (
        ("ours", "this project"),
        ("floor", "floors"),
        ("peer", "peers"),
    )
    for place, (kind, words) in enumerate(legend):
        x = WIDTH - 300 + place * 110
        drawn.append(f'<circle cx="{x}" cy="24" r="5" fill="{COLOURS[kind]}"/>')
        drawn.append(_text(x + 10, 28, words))
    top = TOP
    for comparison in shown:
        panel, top = _panel(comparison, top, goals)
        drawn += panel
    for comparison in timed:
        panel, top = _histograms(comparison, top)
        drawn += panel
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top:.0f}" '
        f'viewBox="0 0 {WIDTH} {top:.0f}" font-family="system-ui, sans-serif">\n'
        f'<rect width="{WIDTH}" height="{top:.0f}" fill="white"/>\n'
        + "\n".join(drawn)
        + "\n</svg>\n"
    )
