"""Workflows as flowcharts: as Mermaid, and as SVG."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from agenticaiframework.supervision import mermaid_text

from ...definition.chart import Arrow, Box, Chart
from ...vocabulary.target import target_name
from .model import StepDefinition
from .plan import Plan, StepPlan

_SHAPES: Final[Mapping[str, tuple[str, str]]] = {
    "agent": ("[", "]"),
    "team": ("[[", "]]"),
    "pattern": ("{{", "}}"),
    "workflow": ("[/", "/]"),
    "wait_for": ("([", "])"),
    "delay": ("((", "))"),
}

_DIRECTIONS: Final = ("TD", "TB", "LR", "RL", "BT")

_COLOURS: Final[Mapping[str, str]] = {
    "completed": "fill:#c8e6c9,stroke:#388e3c",
    "running": "fill:#bbdefb,stroke:#1976d2",
    "waiting": "fill:#fff9c4,stroke:#fbc02d",
    "failed": "fill:#ffcdd2,stroke:#d32f2f",
    "skipped": "fill:#eeeeee,stroke:#9e9e9e",
    "cancelled": "fill:#e1bee7,stroke:#7b1fa2",
}


def draw(plan: Plan, direction: str = "TD", states: Mapping[str, str] | None = None) -> str:
    """Return *plan* as a flowchart: a node a step, an arrow where one waits for another.

    *states* (step id to state) colours the steps of a run. Raises ValueError for a direction that
    Mermaid does not have.
    """
    if direction not in _DIRECTIONS:
        raise ValueError(f"direction is one of {', '.join(_DIRECTIONS)}, not {direction!r}")
    lines = [f"flowchart {direction}"]
    # Mermaid's own words ("end", "graph") break a chart as node ids, so nodes are numbered.
    lines += [f"    s{step.index}{_node(step.definition)}" for step in plan.steps]
    for step in plan.steps:
        condition = step.definition.condition
        arrow = f'-->|"{_label(condition)}"|' if condition else "-->"
        lines += [f"    s{index} {arrow} s{step.index}" for index in step.depends]
        if condition and not step.depends:
            lines.append(f'    start{step.index}(("?")) {arrow} s{step.index}')
        if step.iterates:
            loop = _label(_repeats(step))
            lines.append(f'    s{step.index} -.->|"{loop}"| s{step.index}')
        if step.definition.compensate is not None:
            agent = target_name(step.definition.compensate.agent)
            lines.append(f'    s{step.index} -.->|undo| c{step.index}["{_label(agent)}"]')
    found = states or {}
    for state, style in _COLOURS.items():
        nodes = [f"s{step.index}" for step in plan.steps if found.get(step.id) == state]
        if nodes:
            lines.append(f"    classDef {state} {style}")
            lines.append(f"    class {','.join(nodes)} {state}")
    return "\n".join(lines) + "\n"


def draw_svg(plan: Plan) -> str:
    """Return *plan* as an SVG file: what `draw` shows."""
    chart = Chart(plan.name)
    for step in plan.steps:
        chart.boxes.append(Box(f"s{step.index}", _lines(step.definition), step.definition.kind))
    for step in plan.steps:
        here, condition = f"s{step.index}", step.definition.condition or ""
        chart.arrows += [Arrow(f"s{index}", here, condition) for index in step.depends]
        if condition and not step.depends:
            chart.boxes.append(Box(f"start{step.index}", ["?"], "end"))
            chart.arrows.append(Arrow(f"start{step.index}", here, condition))
        if step.iterates:
            chart.arrows.append(Arrow(here, here, _repeats(step), dotted=True))
        if step.definition.compensate is not None:
            undo = target_name(step.definition.compensate.agent)
            chart.boxes.append(Box(f"c{step.index}", [undo], "agent"))
            chart.arrows.append(Arrow(here, f"c{step.index}", "undo", dotted=True))
    return chart.svg()


def _repeats(step: StepPlan) -> str:
    until = step.definition.until or "approved"
    return f"until {until}, {step.max_iterations} times at most"


def _lines(step: StepDefinition) -> list[str]:
    what = _what(step)
    kind = "" if step.kind in ("wait_for", "delay") else f"{step.kind} "
    lines = [step.id] if not what else [step.id, f"{kind}{what}"]
    return lines if step.for_each is None else [*lines, f"for each {step.for_each}"]


def _node(step: StepDefinition) -> str:
    opening, closing = _SHAPES[step.kind]
    label = _label(step.id)
    what = _what(step)
    if what and what != step.id:
        label += f"<br/>{_label(what)}"
    if step.for_each is not None:
        label += "<br/>for each " + _label(str(step.for_each))
    return f'{opening}"{label}"{closing}'


def _what(step: StepDefinition) -> str:
    target = step.target
    if target is not None:
        return target_name(target)
    if step.wait_for is not None:
        return f"wait for {step.wait_for.signal}"
    if step.delay is not None:
        return f"{step.delay:g} s"
    return step.workflow if isinstance(step.workflow, str) else getattr(step.workflow, "name", "")


def _label(text: str) -> str:
    return mermaid_text(text[:120])
