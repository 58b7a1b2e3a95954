"""Mermaid flowcharts: nodes, edges, and groups of nodes."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Literal

from agenticaiframework.supervision import mermaid_text

from ..vocabulary.target import Target, target_name

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

    def node(self, label: str, shape: Shape = "agent") -> str:
        """Draw a node and return its id."""
        self._count += 1
        node = f"n{self._count}"
        opening, closing = _BRACKETS[shape]
        self._line(f'{node}{opening}"{mermaid_text(label)}"{closing}')
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

    @contextmanager
    def group(self, label: str) -> Generator[None]:
        """Draw what is drawn inside into a box."""
        self._count += 1
        self._line(f'subgraph g{self._count}["{mermaid_text(label)}"]')
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            self._line("end")

    def text(self) -> str:
        """Return the flowchart."""
        return "\n".join([f"flowchart {self.direction}", *self._lines]) + "\n"

    def _line(self, text: str) -> None:
        self._lines.append("    " * self._depth + text)
