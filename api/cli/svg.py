"""A workflow as a picture: an SVG file that needs nothing else to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from agenticaiframework.patterns import target_name
from agenticaiframework.patterns.engine import StepDefinition, WorkflowDefinition

_BOX_WIDTH, _BOX_HEIGHT = 200, 56
_GAP_X, _GAP_Y = 36, 54
_MARGIN = 24
_LONGEST = 26

_FILLS = {
    "agent": "#e3f2fd",
    "team": "#fff3e0",
    "pattern": "#ede7f6",
    "workflow": "#e8f5e9",
    "wait_for": "#fffde7",
    "delay": "#eeeeee",
}


def layers_of(depends: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the steps in layers: each in the first one below all that it waits for.

    *depends* has for each step the steps that it waits for, all of them earlier in the list.

    >>> layers_of([(), (0,), (0,), (1, 2)])
    [[0], [1, 2], [3]]
    """
    level: list[int] = []
    for waits_for in depends:
        level.append(1 + max((level[other] for other in waits_for), default=-1))
    layers: list[list[int]] = [[] for _ in range(max(level, default=-1) + 1)]
    for index, at in enumerate(level):
        layers[at].append(index)
    return layers


def draw_svg(workflow: WorkflowDefinition) -> str:
    """Return *workflow* as SVG: a box a step, an arrow where one waits for another."""
    steps = sorted(workflow.plan.steps, key=lambda step: step.index)
    layers = layers_of([step.depends for step in steps])
    widest = max(len(layer) for layer in layers)
    width = 2 * _MARGIN + widest * _BOX_WIDTH + (widest - 1) * _GAP_X
    height = 2 * _MARGIN + len(layers) * _BOX_HEIGHT + (len(layers) - 1) * _GAP_Y
    places: dict[int, tuple[float, float]] = {}
    for row, layer in enumerate(layers):
        used = len(layer) * _BOX_WIDTH + (len(layer) - 1) * _GAP_X
        for column, index in enumerate(layer):
            x = (width - used) / 2 + column * (_BOX_WIDTH + _GAP_X)
            places[index] = (x, _MARGIN + row * (_BOX_HEIGHT + _GAP_Y))
    arrows = [
        _arrow(places[other], places[step.index], step.definition.condition)
        for step in steps
        for other in step.depends
    ]
    boxes = [_box(places[step.index], step.definition) for step in steps]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
            f"<title>{escape(workflow.name)}</title>",
            '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M0 0 L10 5 L0 10 z" fill="#555"/></marker>'
            "</defs>",
            *arrows,
            *boxes,
            "</svg>",
            "",
        ]
    )


def _arrow(start: tuple[float, float], end: tuple[float, float], condition: str | None) -> str:
    x1, y1 = start[0] + _BOX_WIDTH / 2, start[1] + _BOX_HEIGHT
    x2, y2 = end[0] + _BOX_WIDTH / 2, end[1]
    bend = (y2 - y1) / 2
    line = (
        f'<path d="M{x1:g} {y1:g} C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2:g}" '
        'fill="none" stroke="#555" marker-end="url(#tip)"/>'
    )
    if condition is None:
        return line
    return line + (
        f'<text x="{(x1 + x2) / 2 + 6:g}" y="{(y1 + y2) / 2:g}" fill="#555" font-size="11">'
        f"{escape(_short(condition))}</text>"
    )


def _box(place: tuple[float, float], step: StepDefinition) -> str:
    x, y = place
    middle = x + _BOX_WIDTH / 2
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="8" '
        f'fill="{_FILLS[step.kind]}" stroke="#555"/>'
        f'<text x="{middle:g}" y="{y + 23:g}" text-anchor="middle" font-weight="bold">'
        f"{escape(_short(step.id))}</text>"
        f'<text x="{middle:g}" y="{y + 42:g}" text-anchor="middle">{escape(_what(step))}</text>'
    )


def _what(step: StepDefinition) -> str:
    target = step.target
    if target is not None:
        return _short(f"{step.kind} {target_name(target)}")
    if step.wait_for is not None:
        return _short(f"waits for {step.wait_for.signal}")
    return f"{step.delay:g} s" if step.delay is not None else step.kind


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
