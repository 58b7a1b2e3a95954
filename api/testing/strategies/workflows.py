"""Strategies for workflow definitions: graphs of steps that the engine accepts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st


@st.composite
def _workflows(draw: st.DrawFn, agents: tuple[str, ...], most_steps: int) -> dict[str, Any]:
    count = draw(st.integers(1, most_steps))
    steps: list[dict[str, Any]] = []
    for number in range(count):
        before = [f"s{n}" for n in range(number)]
        needs = draw(st.lists(st.sampled_from(before), unique=True, max_size=2)) if before else []
        step: dict[str, Any] = {
            "id": f"s{number}",
            "agent": draw(st.sampled_from(agents)),
            "input": {"value": "$input.value", **{name: f"${name}" for name in needs}},
            "depends_on": needs,
        }
        if draw(st.booleans()):
            step["retry"] = {"attempts": draw(st.integers(2, 3))}
        if draw(st.booleans()):
            step["timeout_seconds"] = draw(st.sampled_from([60.0, 5.0]))
        if number and draw(st.booleans()):
            step["condition"] = draw(st.sampled_from(["input.value >= 0", "input.value < 0"]))
        steps.append(step)
    return {"name": "generated", "steps": steps}


def workflow_graphs(
    agents: Sequence[str], *, most_steps: int = 5
) -> st.SearchStrategy[dict[str, Any]]:
    """Definitions of up to *most_steps* steps, each by one of *agents*, that depend on earlier ones.

    The workflow's input is ``{"value": number}``; a step gets it and the outputs of those it
    depends on. Some steps have conditions, retries and timeouts. Shrinks to one plain step.
    """
    return _workflows(tuple(agents), most_steps)
