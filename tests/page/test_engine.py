"""The page's blocks on the engine, and its complete example, run as they stand."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from blocks import block, read_blocks, run_block

from agenticaiframework import Agent
from agenticaiframework.orchestration import (
    EngineConfig,
    OrchestrationEngine,
    ParallelOrchestration,
    SequentialOrchestration,
)
from agenticaiframework.testing import scripted_model


async def support_engine(cast: Any, category: str = "order") -> tuple[Any, Any]:
    """The engine of the first block, with the agents of the second block's workflow."""
    names = await run_block(
        block("Orchestration Engine / Basic Usage"),
        {
            "classifier_agent": cast.agent("classifier_agent", lambda p: {"category": category}),
            "processor_agent": cast.agent("processor_agent", lambda p: {"result": f"did {p}"}),
            "responder_agent": cast.agent("responder_agent", lambda p: {"reply": p}),
            "sequential_pattern": SequentialOrchestration(
                name="s", steps=[{"agent": "processor_agent", "input_key": "message"}]
            ),
            "parallel_pattern": ParallelOrchestration(
                name="p", branches=[{"agent": "processor_agent"}, {"agent": "responder_agent"}]
            ),
        },
    )
    return names["engine"], names


def test_the_basic_block_registers_agents_and_patterns(cast: Any, in_system: Any) -> None:
    async def main() -> None:
        engine, _ = await support_engine(cast)
        done = await engine.execute(pattern="sequential", input_data={"message": "hi"})
        assert done == {"result": "did hi"}
        both = await engine.execute(pattern="parallel", input_data={"x": 1})
        assert set(both) == {"processor_agent", "responder_agent"}

    in_system(main)


def test_the_workflow_block_passes_values_from_step_to_step(cast: Any, in_system: Any) -> None:
    async def main() -> None:
        engine, _ = await support_engine(cast)
        found = block("Orchestration Engine / Execute Workflows")
        names = await run_block(found, {"engine": engine})
        assert cast.log == [
            ("classifier_agent", {"message": "Help with my order"}),
            ("processor_agent", {"category": "order"}),
            (
                "responder_agent",
                {"category": "order", "processed": "did {'category': 'order'}"},
            ),
        ]
        assert set(names["result"]) == {"classify", "process", "respond"}
        assert names["result"]["respond"]["reply"]["category"] == "order"

    in_system(main)


def test_the_workflow_blocks_condition_skips_a_step(cast: Any, in_system: Any) -> None:
    async def main() -> None:
        engine, _ = await support_engine(cast, category="spam")
        found = block("Orchestration Engine / Execute Workflows")
        await run_block(found, {"engine": engine})
        assert cast.asked == ["classifier_agent", "responder_agent"]
        assert cast.payloads("responder_agent") == [{"category": "spam", "processed": None}]

    in_system(main)


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"priority": "high", "type": "complex"}, {"fast_processor", "backup_processor"}),
        ({"type": "complex"}, {"coordinator"}),
        ({"anything": 1}, {"standard_processor"}),
    ],
)
def test_the_routing_block_takes_the_first_rule_that_matches(
    given: dict[str, Any], asked: set[str], cast: Any, in_system: Any
) -> None:
    async def main() -> None:
        engine = OrchestrationEngine()
        for name in ("fast_processor", "backup_processor", "coordinator", "standard_processor"):
            engine.register_agent(name, cast.agent(name, lambda p, n=name: f"{n} done"))
        names = await run_block(block("Orchestration Engine / Dynamic Routing"), {"engine": engine})
        assert set(cast.asked) == {"fast_processor", "backup_processor"}
        assert names["result"] == {
            "fast_processor": "fast_processor done",
            "backup_processor": "backup_processor done",
        }
        cast.log.clear()
        await engine.execute(input_data=given)
        assert set(cast.asked) == asked

    in_system(main)


def test_the_state_block_reads_and_ends_a_stored_run(
    cast: Any, in_system: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        engine = OrchestrationEngine(
            config=EngineConfig(state_store=f"sqlite:///{tmp_path}/page.db")
        )
        started, never = asyncio.Event(), asyncio.Event()

        async def hang(payload: Any) -> None:
            started.set()
            await never.wait()

        engine.register_agent("first", cast.agent("first", lambda p: {"seen": p}))
        engine.register_agent("second", cast.agent("second", hang))
        engine.register_agent("third", cast.agent("third"))
        workflow = {
            "name": "long",
            "steps": [
                {"id": "one", "agent": "first", "input": {"n": "$input.n"}},
                {"id": "two", "agent": "second", "input": {"seen": "$one.seen"}},
                {"id": "three", "agent": "third"},
            ],
        }
        names = await run_block(
            block("Orchestration Engine / Workflow State Management"),
            {"engine": engine, "workflow": workflow, "data": {"n": 1}},
        )
        status = await engine.get_workflow_status(names["workflow_id"])
        assert status.state == "cancelled"
        assert "User requested" in str(status.reason)
        assert "third" not in cast.asked
        # Both are harmless once the run has ended.
        await engine.resume_workflow(names["workflow_id"])
        await engine.cancel_workflow(names["workflow_id"], reason="again")
        again = await engine.get_workflow_status(names["workflow_id"])
        assert "User requested" in str(again.reason)
        await engine.stop()

    in_system(main)
    said = capsys.readouterr().out
    assert "Status: " in said
    assert "Current step: " in said
    assert "Progress: " in said


def answer_as_the_example_expects(agent: str, payload: Any) -> Any:
    """A model per agent: a category, facts, insights, a draft and a final report."""
    return {
        "Classifier": '```json\n{"category": "health"}\n```',
        "Researcher": "facts",
        "Analyst": "insights",
        "Writer": '{"draft": "a draft"}',
        "Reviewer": {"final_report": f"The end of {payload}"},
    }[agent]


def test_the_complete_example_runs_from_question_to_report(
    in_system: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[str, Any]] = []

    def answer(agent: str, payload: Any) -> Any:
        seen.append((agent, payload))
        return answer_as_the_example_expects(agent, payload)

    async def main() -> dict[str, Any]:
        with scripted_model(answer):
            return await run_block(block("Complete Example"))

    names = in_system(main)
    assert [agent for agent, _ in seen[:4]] == ["Classifier", "Researcher", "Analyst", "Writer"]
    assert {agent for agent, _ in seen[4:]} == {"Reviewer"}
    assert 1 <= len(seen[4:]) <= 2
    assert seen[0][1] == {"request": "Analyze the impact of AI on healthcare in 2024"}
    assert "health" in str(seen[1][1])
    assert "facts" in str(seen[2][1])
    assert "insights" in str(seen[3][1])
    assert seen[4][1] == {"draft": "a draft"}
    assert names["result"]["classify"] == {"category": "health"}
    assert capsys.readouterr().out.startswith("Final Report:\nThe end of")


def test_the_complete_example_needs_no_system_of_its_own() -> None:
    async def main() -> dict[str, Any]:
        with scripted_model(answer_as_the_example_expects):
            return await run_block(block("Complete Example"))

    assert "final_report" in asyncio.run(main())["result"]["review"]


def test_a_crashing_model_of_the_complete_example_is_restarted_and_the_error_says_where(
    in_system: Any,
) -> None:
    async def main() -> None:
        def answer(agent: str, payload: Any) -> Any:
            if agent == "Analyst":
                raise RuntimeError("the model is down")
            return answer_as_the_example_expects(agent, payload)

        with scripted_model(answer), pytest.raises(Exception, match="the model is down") as caught:
            await run_block(block("Complete Example"))
        said = str(caught.value)
        assert "comprehensive_research" in said
        assert "research" in said

    in_system(main)


def test_the_page_has_nineteen_blocks_and_each_is_run_here() -> None:
    titles = [found.title for found in read_blocks()]
    assert len(titles) == 19
    folder = Path(__file__).parent
    tests = "".join(path.read_text("utf-8") for path in folder.glob("test_*.py"))
    assert [t for t in titles if f'block("{t}")' not in tests] == []


def test_every_name_on_the_page_is_offered() -> None:
    import ast

    wanted: set[str] = set()
    for found in read_blocks():
        for node in ast.walk(ast.parse(found.source)):
            if (
                isinstance(node, ast.ImportFrom)
                and node.module == "agenticaiframework.orchestration"
            ):
                wanted |= {alias.name for alias in node.names}
    import agenticaiframework.orchestration as offered

    assert len(wanted) > 12
    assert wanted <= set(offered.__all__)
    assert {"Emit", "Handoff"} <= set(offered.__all__)
    assert Agent.__module__.startswith("agenticaiframework.actors")
