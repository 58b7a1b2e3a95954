"""Draws the Mermaid flowcharts that the library makes (`mermaid()`, `to_mermaid()`) as SVG, offline.

It reads what the library writes, which is a small part of Mermaid: nodes with their shapes, arrows with
labels, boxes round nodes, and the colours of states. ``python docs/pictures/flowchart.py < chart.mmd``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape, unescape

LETTER, LINE, PAD = 7.4, 17, 14
"""About the width of a letter of 13 pixels, the height of a line, and the space inside of a box."""

GAP_ALONG, GAP_ACROSS, MARGIN = 70, 28, 26

SHAPES = [("([", "])"), ("[[", "]]"), ("[/", "/]"), ("((", "))"), ("{{", "}}"), ("[", "]")]
SHAPES += [("{", "}"), ("(", ")")]
FILLS = {"[": "#e3f2fd", "(": "#e3f2fd", "([": "#fffde7", "((": "#eceff1", "{{": "#ede7f6"}
FILLS |= {"{": "#ede7f6", "[[": "#fff3e0", "[/": "#e8f5e9"}

_NODE = re.compile(r'(?P<id>\w+)(?P<shape>[\[({/]+)"(?P<label>.*?)"[\])}/]+(?::::(?P<class>\w+))?$')
_ARROW = re.compile(r'(?P<a>\w+) (?P<arrow>-->|-\.->)(?:\|"?(?P<label>.*?)"?\|)? (?P<b>\w+)$')


@dataclass
class Node:
    """A box: its lines, its shape, and where it stands."""

    id: str
    lines: list[str]
    shape: str
    style: str = ""
    rank: int = 0
    x: float = 0
    y: float = 0

    @property
    def width(self) -> float:
        return max(64.0, max(len(line) for line in self.lines) * LETTER + 2 * PAD)

    @property
    def height(self) -> float:
        return len(self.lines) * LINE + 2 * PAD - 4


@dataclass
class Arrow:
    """From one node to another, perhaps with a label."""

    start: str
    end: str
    label: str
    dotted: bool
    back: bool = False


@dataclass
class Chart:
    """A flowchart as it was read."""

    down: bool = False
    nodes: dict[str, Node] = field(default_factory=dict)
    arrows: list[Arrow] = field(default_factory=list)
    groups: list[tuple[str, list[str]]] = field(default_factory=list)
    styles: dict[str, str] = field(default_factory=dict)


def text_of(label: str) -> list[str]:
    """Return the lines of a label, as they are read."""
    numbers = re.sub(r"#(\d+);", lambda found: chr(int(found[1])), label)
    return [unescape(re.sub(r"#(\w+);", r"&\1;", line)) for line in numbers.split("<br/>")]


def read(text: str) -> Chart:
    """Return the flowchart that *text* describes; raises ValueError for a line that it does not know."""
    chart = Chart()
    inside: list[list[str]] = []
    for number, raw in enumerate(text.strip().splitlines(), 1):
        line = raw.strip()
        if line.startswith("flowchart"):
            chart.down = line.split()[1] in ("TD", "TB")
        elif line.startswith("subgraph"):
            label = line.split('"')[1]
            inside.append([])
            chart.groups.append((label, inside[-1]))
        elif line == "end":
            inside.pop()
        elif line.startswith("classDef "):
            _, name, style = line.split(" ", 2)
            chart.styles[name] = style
        elif line.startswith("class "):
            _, names, style = line.split(" ")
            for name in names.split(","):
                chart.nodes[name].style = style
        elif found := _ARROW.match(line):
            dotted = found["arrow"] != "-->"
            label = " ".join(text_of(found["label"] or ""))
            chart.arrows.append(Arrow(found["a"], found["b"], label, dotted))
        elif found := _NODE.match(line):
            shape = next(s for s, _ in SHAPES if found["shape"] == s)
            node = Node(found["id"], text_of(found["label"]), shape, found["class"] or "")
            chart.nodes[node.id] = node
            for group in inside:
                group.append(node.id)
        else:
            raise ValueError(f"line {number} of the flowchart is not one that is known: {line}")
    _shorten(chart)
    return chart


def _shorten(chart: Chart) -> None:
    """Leave out labels that only say where an arrow goes, as those of handoffs do."""
    roles = {node: label for label, inside in chart.groups for node in inside}
    for arrow in chart.arrows:
        role = roles.get(arrow.end, " ".join(chart.nodes[arrow.end].lines))
        if arrow.label == f"transfer_to_{role}":
            arrow.label = ""


def place(chart: Chart) -> tuple[float, float]:
    """Give each node its place, and return the width and the height of all."""
    order = list(chart.nodes)
    done: set[str] = set()
    way: list[str] = []
    ends = {arrow.end for arrow in chart.arrows if arrow.start != arrow.end}

    def visit(node: str) -> None:
        way.append(node)
        for arrow in chart.arrows:
            if arrow.start == node and arrow.end in way:
                arrow.back = True
            elif arrow.start == node and arrow.end not in done:
                visit(arrow.end)
        way.pop()
        done.add(node)

    for node in [n for n in order if n not in ends] + order:
        if node not in done:
            visit(node)
    for _ in order:
        for arrow in chart.arrows:
            if not arrow.back:
                a, b = chart.nodes[arrow.start], chart.nodes[arrow.end]
                b.rank = max(b.rank, a.rank + 1)
    ranks: list[list[Node]] = [[] for _ in range(1 + max(n.rank for n in chart.nodes.values()))]
    for node in chart.nodes.values():
        ranks[node.rank].append(node)
    return _coordinates(chart, ranks)


def _coordinates(chart: Chart, ranks: list[list[Node]]) -> tuple[float, float]:
    """Put the ranks one after the other along the chart's direction, each centred across it."""

    def along(node: Node) -> float:
        return node.height if chart.down else node.width

    def across(node: Node) -> float:
        return node.width if chart.down else node.height

    extra = 14 if chart.groups else 0
    spans = [sum(map(across, rank)) + (GAP_ACROSS + extra) * (len(rank) - 1) for rank in ranks]
    widest = max(spans)
    labels = [0.0] * len(ranks)
    for arrow in chart.arrows:
        rank = min(chart.nodes[arrow.start].rank, chart.nodes[arrow.end].rank)
        if not chart.down and arrow.start != arrow.end:
            labels[rank] = max(labels[rank], len(arrow.label) * 6.2 + 24 - GAP_ALONG)
    loops = any(arrow.back for arrow in chart.arrows)
    skips = any(chart.nodes[a.end].rank - chart.nodes[a.start].rank > 1 for a in chart.arrows)
    side = 34 if (loops and not chart.down) or (skips and chart.down) else 0
    position = float(MARGIN + extra)
    for rank, span, label in zip(ranks, spans, labels, strict=True):
        place_across = MARGIN + extra + side + (widest - span) / 2
        thick = max(map(along, rank))
        for node in rank:
            lay = position + (thick - along(node)) / 2
            node.x, node.y = (place_across, lay) if chart.down else (lay, place_across)
            place_across += across(node) + GAP_ACROSS + extra
        position += thick + GAP_ALONG + extra + max(0.0, label)
    length = position - GAP_ALONG - extra + MARGIN + extra
    breadth = widest + 2 * (MARGIN + extra + side)
    if chart.down:
        arrows = [a for a in chart.arrows if a.label]
        breadth += max((len(a.label) * 6.2 for a in arrows), default=0) * (1 if loops else 0.5)
        return breadth + (24 if loops else 0), length
    return length, breadth


def draw(text: str, title: str) -> str:
    """Return the flowchart *text* as an SVG picture that needs nothing else."""
    chart = read(text)
    width, height = place(chart)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>",
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 L10 5 L0 10 z" fill="#555"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" rx="10" fill="#ffffff"/>',
    ]
    parts += [_group(label, [chart.nodes[n] for n in inside]) for label, inside in chart.groups]
    parts += [_arrow(chart, arrow) for arrow in chart.arrows]
    parts += [_box(node, chart.styles.get(node.style, "")) for node in chart.nodes.values()]
    return "\n".join([*parts, "</svg>", ""])


def _group(label: str, nodes: list[Node]) -> str:
    x1, y1 = min(n.x for n in nodes) - 12, min(n.y for n in nodes) - 22
    x2, y2 = max(n.x + n.width for n in nodes) + 12, max(n.y + n.height for n in nodes) + 10
    return (
        f'<rect x="{x1:.0f}" y="{y1:.0f}" width="{x2 - x1:.0f}" height="{y2 - y1:.0f}" rx="8" '
        'fill="#fafafa" stroke="#bbb" stroke-dasharray="4 3"/>'
        f'<text x="{x1 + 8:.0f}" y="{y1 + 15:.0f}" fill="#666" font-size="11">'
        f"{escape(' '.join(text_of(label)))}</text>"
    )


def _arrow(chart: Chart, arrow: Arrow) -> str:
    a, b = chart.nodes[arrow.start], chart.nodes[arrow.end]
    there_and_back = any(o.start == arrow.end and o.end == arrow.start for o in chart.arrows)
    if chart.down:
        path, x, y = _arrow_down(a, b, arrow.back, there_and_back)
    else:
        path, x, y = _arrow_right(a, b, arrow.back)
    dash = ' stroke-dasharray="5 4"' if arrow.dotted else ""
    line = f'<path d="{path}" fill="none" stroke="#555"{dash} marker-end="url(#tip)"/>'
    if not arrow.label:
        return line
    anchor = "start" if chart.down else "middle"
    return line + (
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="#444" font-size="11" '
        f'stroke="#fff" stroke-width="3" paint-order="stroke">{escape(arrow.label)}</text>'
    )


def _arrow_down(a: Node, b: Node, back: bool, pair: bool) -> tuple[str, float, float]:
    """Return the path of an arrow in a chart that goes down, and where its label begins."""
    if back:
        x1, y1 = a.x + a.width, a.y + a.height / 2
        x2, y2 = b.x + b.width, b.y + b.height / 2
        out = max(x1, x2) + 40
        path = f"M{x1:.0f} {y1:.0f} C{out:.0f} {y1:.0f} {out:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
        return path, max(x1, x2) + 34, (y1 + y2) / 2 + 4
    if b.rank - a.rank > 1:
        x1, y1, x2, y2 = a.x, a.y + a.height / 2, b.x, b.y + b.height / 2
        out = min(x1, x2) - 50
        path = f"M{x1:.0f} {y1:.0f} C{out:.0f} {y1:.0f} {out:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
        return path, min(x1, x2) - 34, (y1 + y2) / 2 + 4
    shift = -14 if pair else 0
    x1, y1 = a.x + a.width / 2 + shift, a.y + a.height
    x2, y2 = b.x + b.width / 2 + shift, b.y
    bend = (y2 - y1) / 2
    path = (
        f"M{x1:.0f} {y1:.0f} C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} {x2:.0f} {y2:.0f}"
    )
    return path, (x1 + x2) / 2 + 6, (y1 + y2) / 2 + 4


def _arrow_right(a: Node, b: Node, back: bool) -> tuple[str, float, float]:
    """Return the path of an arrow in a chart that goes right, and the middle of its label."""
    if back:
        x1, y1 = a.x + a.width / 2, a.y + a.height
        x2, y2 = b.x + b.width / 2, b.y + b.height
        down = max(y1, y2) + 38
        path = f"M{x1:.0f} {y1:.0f} C{x1:.0f} {down:.0f} {x2:.0f} {down:.0f} {x2:.0f} {y2:.0f}"
        return path, (x1 + x2) / 2, down + 4
    x1, y1 = a.x + a.width, a.y + a.height / 2
    x2, y2 = b.x, b.y + b.height / 2
    bend = (x2 - x1) / 2
    path = (
        f"M{x1:.0f} {y1:.0f} C{x1 + bend:.0f} {y1:.0f} {x2 - bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
    )
    return path, (x1 + x2) / 2, (y1 + y2) / 2 - 6


def _box(node: Node, style: str) -> str:
    colours = dict(part.split(":", 1) for part in style.split(",")) if style else {}
    fill = colours.get("fill", FILLS[node.shape])
    stroke = colours.get("stroke", "#555")
    round_by = node.height / 2 if node.shape in ("((", "([") else 8
    parts = [
        f'<rect x="{node.x:.0f}" y="{node.y:.0f}" width="{node.width:.0f}" '
        f'height="{node.height:.0f}" rx="{round_by:.0f}" fill="{fill}" stroke="{stroke}"/>'
    ]
    for index, line in enumerate(node.lines):
        weight = ' font-weight="bold"' if index == 0 else ' fill="#555"'
        parts.append(
            f'<text x="{node.x + node.width / 2:.0f}" y="{node.y + PAD + 10 + index * LINE:.0f}" '
            f'text-anchor="middle"{weight}>{escape(line)}</text>'
        )
    return "".join(parts)


def chart_of(edges: Iterable[tuple[str, str, str]], direction: str = "LR") -> str:
    """Return a flowchart of labelled edges between named boxes.

    A name that ends in ``()`` is a function, and drawn as one; one in brackets, ``(user)``, is outside.
    """
    ids: dict[str, str] = {}
    lines: list[str] = []

    def node(name: str) -> str:
        if name not in ids:
            ids[name] = f"n{len(ids)}"
            outside = name.startswith("(")
            shape = ("((", "))") if outside else ("([", "])") if name.endswith("()") else ("[", "]")
            label = name.strip("()") if outside else name
            lines.append(f'{ids[name]}{shape[0]}"{label}"{shape[1]}')
        return ids[name]

    for start, end, label in edges:
        a, b = node(start), node(end)
        lines.append(f'{a} -->|"{label}"| {b}' if label else f"{a} --> {b}")
    return "\n".join([f"flowchart {direction}", *lines])


if __name__ == "__main__":
    print(draw(sys.stdin.read(), "flowchart"))
