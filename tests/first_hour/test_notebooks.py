"""What objects show in a notebook: HTML and SVG, with everything in them escaped."""

from __future__ import annotations

import asyncio
from typing import Any
from xml.etree import ElementTree

import pytest

from agenticaiframework import (
    Agent,
    AgentHandoff,
    AgentRole,
    AgentSupervisor,
    AgentTeam,
    HierarchicalOrchestration,
    LoopOrchestration,
    OrchestrationEngine,
    ParallelOrchestration,
    SequentialOrchestration,
    define_workflow,
)
from agenticaiframework.actors import html_table
from agenticaiframework.patterns.definition.chart import Arrow, Box, Chart

EVIL = "<script>alert(1)</script>"
SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str | None]:
    return [text.text for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def arrows(svg: str) -> list[str | None]:
    paths = ElementTree.fromstring(svg).iter(f"{SVG}path")
    return [path.get("stroke-dasharray") for path in paths if path.get("marker-end")]


def safe(html: str) -> bool:
    return "<script" not in html and "&lt;script&gt;" in html


def test_trees_runs_and_results_show_as_tables() -> None:
    async def main() -> None:
        supervisor = AgentSupervisor(f"desk {EVIL}")
        supervisor.add_child("echo", Agent("echo", lambda text: text))
        inner = AgentSupervisor("inner")
        inner.add_child("leaf", Agent("leaf", lambda text: text))
        supervisor.add_supervisor("inner", inner)
        shown: list[Any] = [supervisor]
        async with supervisor:
            shown.append(supervisor.tree())
            report = await ParallelOrchestration("both", ["echo", lambda _: 1 // 0]).run(EVIL)
            shown.append(report)
            engine = OrchestrationEngine()
            flow = {"name": "w", "steps": [{"id": "one", "agent": "echo", "input": "$input"}]}
            result = await engine.execute(flow, EVIL)
            shown += [result, await engine.get_workflow_status(result.workflow_id)]
            tables = [each._repr_html_() for each in shown[1:]]
            await engine.stop()
        tables.append(supervisor._repr_html_())
        assert all("<table>" in table for table in tables)
        tree, of_report, of_result, of_status, stopped = tables
        assert safe(tree)
        assert safe(of_report)
        assert safe(of_result)
        assert safe(stopped)
        assert "\u2003\u2003leaf" in tree
        assert "ZeroDivisionError" in of_report
        assert "completed, 100 %" in of_status

    asyncio.run(main())


def test_patterns_teams_and_workflows_show_as_drawings() -> None:
    lead = HierarchicalOrchestration("h", "lead", [{"parent": "lead", "children": ["b", EVIL]}])
    assert texts(lead._repr_svg_()) == ["lead", "b", EVIL]
    team = AgentTeam("t", roles=[AgentRole(name="writer"), AgentRole(name="critic")])
    team.assign_agent(Agent("ann", lambda text: text), "writer")
    team.configure_handoffs([AgentHandoff(from_role="writer", to_role="critic", trigger="done")])
    drawn = texts(team._repr_svg_())
    assert drawn[0] == "done"
    assert drawn[1:3] == ["writer", "ann"]


def test_loops_are_drawn_in_both_forms() -> None:
    loop = LoopOrchestration("l", "maker", "output == 'good'")
    assert "no, at most 10 times" in texts(loop.svg())
    flow = define_workflow(
        {
            "name": "w",
            "steps": [
                {"id": "draft", "agent": "writer"},
                {
                    "id": "review",
                    "agent": "reviewer",
                    "input": "$draft",
                    "max_iterations": 3,
                    "compensate": {"agent": "undoer"},
                },
            ],
        }
    )
    svg = flow.to_svg()
    assert arrows(svg) == [None, "5 4", "5 4"]  # an arrow, the loop, the undoing
    assert "until approved, 3 times at most" in texts(svg)
    assert "until approved, 3 times at most" in flow.to_mermaid()


def test_what_lies_in_a_circle_is_drawn_too() -> None:
    boxes = [Box(name, [name]) for name in "abc"]
    chart = Chart("circle", boxes, [Arrow("a", "b"), Arrow("b", "c"), Arrow("c", "a", "again")])
    svg = chart.svg()
    assert len(arrows(svg)) == 3
    heights = [float(r.get("y", "")) for r in ElementTree.fromstring(svg).iter(f"{SVG}rect")]
    assert heights == sorted(heights)
    assert ElementTree.fromstring(Chart("nothing").svg()).tag == f"{SVG}svg"


def test_a_long_chain_is_drawn_without_recursion() -> None:
    boxes = [Box(str(n), [str(n)]) for n in range(3000)]
    pairs = [Arrow(str(n), str(n + 1)) for n in range(2999)]
    assert len(arrows(Chart("long", boxes, pairs).svg())) == 2999


@pytest.mark.parametrize("cell", [EVIL, "x" * 5000, None, 3])
def test_a_cell_is_escaped_and_cut(cell: object) -> None:
    table = html_table("title", ["head"], [[cell]])
    assert "<script" not in table
    assert len(table) < 1500


def test_the_repr_says_what_a_thing_is() -> None:
    assert repr(Agent("b", model="scripted")) == "<Agent 'b', model 'scripted'>"
    assert "handler" in repr(Agent("a", lambda text: text))
    assert repr(AgentSupervisor("desk")) == "<AgentSupervisor 'desk' (not running, 0 children)>"
    assert repr(SequentialOrchestration("p", ["a"])) == "SequentialOrchestration('p')"
    engine = OrchestrationEngine()
    engine.register_workflow(define_workflow({"name": "w", "steps": [{"id": "one", "agent": "a"}]}))
    assert repr(engine) == "<OrchestrationEngine 'engine': 'w'>"
