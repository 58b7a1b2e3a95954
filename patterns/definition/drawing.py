"""Flowcharts of patterns and teams: nodes, edges, and groups of nodes; as Mermaid, and as SVG."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Literal

from agenticaiframework.supervision import mermaid_text

from ..vocabulary.target import Target, target_name
from .chart import Arrow, Box, Chart

Shape = Literal["agent", "choice", "event", "end", "join"]

_BRACKETS: dict[Shape, tuple[str, str]] = {
    "agent": ("[", "]"),
    "choice": ("{", "}"),
    "event": ("([", "])"),
    "end": ("((", "))"),
    "join": ("{{", "}}"),
}


class Drawing:
    """Collects a flowchart. A node that has been drawn is named by what `node` returned."""

    def __init__(self, direction: Literal["LR", "TB"] = "LR") -> None:
        self.direction: Literal["LR", "TB"] = direction
        self._lines: list[str] = []
        self._count = 0
        self._depth = 1
        self._chart = Chart("")
        self._group: Box | None = None
        self._boxes: dict[str, str] = {}
        """The box in the chart that each node is: that of its group, if it is in one."""

    def node(self, label: str, shape: Shape = "agent") -> str:
        """Draw a node and return its id."""
        self._count += 1
        node = f"n{self._count}"
        opening, closing = _BRACKETS[shape]
        self._line(f'{node}{opening}"{mermaid_text(label)}"{closing}')
        lines = label.split("\n")
        if self._group is None:
            self._boxes[node] = node
            self._chart.boxes.append(Box(node, lines, shape))
        else:
            self._boxes[node] = self._group.id
            self._group.lines.append(lines[0])
        return node

    def target(self, target: Target, note: str = "") -> str:
        """Draw a target; a pattern says its kind."""
        name = target_name(target)
        kind = getattr(target, "kind", "")
        label = f"{name}\n({kind})" if isinstance(kind, str) and kind else name
        return self.node(f"{label}\n{note}" if note else label)

    def edge(self, source: str, to: str, label: str = "", *, dotted: bool = False) -> None:
        """Draw an arrow, dotted for what only happens when something fails."""
        arrow = "-.->" if dotted else "-->"
        self._line(
            f'{source} {arrow}|"{mermaid_text(label)}"| {to}' if label else f"{source} {arrow} {to}"
        )
        between = self._boxes.get(source, source), self._boxes.get(to, to)
        self._chart.arrows.append(Arrow(*between, label, dotted))

    @contextmanager
    def group(self, label: str) -> Generator[None]:
        """Draw what is drawn inside into a box."""
        self._count += 1
        self._line(f'subgraph g{self._count}["{mermaid_text(label)}"]')
        self._depth += 1
        self._group = Box(f"g{self._count}", [label], "team")
        self._chart.boxes.append(self._group)
        try:
            yield
        finally:
            self._group = None
            self._depth -= 1
            self._line("end")

    def text(self) -> str:
        """Return the flowchart in Mermaid's language."""
        return "\n".join([f"flowchart {self.direction}", *self._lines]) + "\n"

    def svg(self, title: str) -> str:
        """Return the flowchart as an SVG file, with *title*."""
        self._chart.title = title
        return self._chart.svg()

    def _line(self, text: str) -> None:
        self._lines.append("    " * self._depth + text)
