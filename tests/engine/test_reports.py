"""Every report, status and result has a `to_dict` that JSON takes."""

from __future__ import annotations

import asyncio
import datetime
import json
import warnings
from typing import Any

from agenticaiframework.actors import ActorSystem, Agent, StopReport
from agenticaiframework.orchestration import (
    AgentRole,
    AgentTeam,
    EngineConfig,
    MapReduceOrchestration,
    OrchestrationEngine,
    ParallelOrchestration,
    PartialList,
    WorkflowFailed,
)
from agenticaiframework.patterns.engine import define_workflow
from agenticaiframework.supervision import health_of

from .conftest import run_in_virtual_time


def odd(item: Any) -> Any:
    if item % 2:
        raise ValueError(f"{item} is odd")
    return {"day": datetime.date(2026, 1, item)}


def text_of(report: Any) -> str:
    """Return a report as JSON; enums and times are plain values in it."""
    data = report.to_dict()
    assert json.loads(json.dumps(data)) == data, data
    return json.dumps(data)


def test_what_the_engine_tells_is_json() -> None:
    async def main() -> None:
        engine = OrchestrationEngine(EngineConfig(state_store="memory://"))
        flow = {
            "name": "flow",
            "steps": [
                {"id": "each", "agent": odd, "for_each": [2, 4], "on_error": "skip"},
                {"id": "go", "wait_for": "go"},
            ],
        }
        for stored in (False, True):
            run = await engine.start_workflow(flow, None, persist_state=stored)
            events = []

            async def follow(run: str = run, events: list[Any] = events) -> None:
                events.extend([event async for event in engine.stream(run)])

            task = asyncio.create_task(follow())
            await asyncio.sleep(1)
            assert '"waiting"' in text_of(await engine.get_workflow_status(run))
            page = await engine.list_workflows()
            assert run in text_of(page)
            assert run in text_of(page.workflows[0])
            await engine.signal_workflow(run, "go")
            result = await engine.wait(run)
            assert run in text_of(result)
            await task
            assert all(text_of(event) for event in events)
            again = await engine.start_workflow(flow, None, persist_state=stored)
            await asyncio.sleep(1)
            report = await engine.cancel_workflow(again, "enough")
            assert '"state": "cancelled"' in text_of(report)
        assert (
            text_of(await engine.recover())
            == '{"recovered": [], "changed": [], "failed": {}, "blocked": {}}'
        )
        await engine.stop()

    run_in_virtual_time(main)


def test_what_patterns_and_teams_return_is_json() -> None:
    async def main() -> None:
        wide = ParallelOrchestration("p", [odd, lambda x: x], join="collect")
        result = await wide.execute(3)
        assert "3 is odd" in text_of(result)
        assert "3 is odd" in text_of(await wide.run(3))
        over = ParallelOrchestration("m", [odd], for_each="n", join="collect")
        assert "3 is odd" in text_of(await over.execute({"n": [2, 3]}))
        team = AgentTeam(name="pair")
        team.add_role(AgentRole(name="writer", max_agents=1))
        team.assign_agent(Agent("member", handler=lambda task: {"draft": task}), role="writer")
        assert "member" in text_of(await team.execute_task("x"))

    run_in_virtual_time(main)


def test_what_a_system_and_its_supervisors_tell_is_json() -> None:
    async def main() -> None:
        assert '"ok"' in text_of(health_of(ActorSystem.current()))
        assert '"clean": true' in text_of(StopReport())

    run_in_virtual_time(main)


def test_a_skipped_item_keeps_its_place_and_its_reason() -> None:
    async def main() -> None:
        skipping: Any = {"agent": odd, "on_error": "skip"}
        for pattern in (
            ParallelOrchestration("p", [skipping], for_each="n"),
            ParallelOrchestration("c", [skipping], for_each="n", join="collect"),
            MapReduceOrchestration("m", skipping),
        ):
            payload = {"n": [1, 2, 3]} if isinstance(pattern, ParallelOrchestration) else [1, 2, 3]
            result = await pattern.execute(payload)
            assert isinstance(result, PartialList)
            assert result == [None, {"day": datetime.date(2026, 1, 2)}, None]
            assert list(result.missing) == [0, 2]
            assert "3 is odd" in str(result.missing[2].cause)
        engine = OrchestrationEngine(EngineConfig(state_store="memory://"))
        each = {"id": "each", "agent": odd, "for_each": [1, 2, 3], "on_error": "skip"}
        for stored in (False, True):
            run = await engine.start_workflow(
                {"name": "flow", "steps": [each]}, persist_state=stored
            )
            result = await engine.wait(run)
            assert [item is None for item in result["each"]] == [True, False, True]
            step = (await engine.get_workflow_status(run)).steps["each"]
            assert step.item_errors == {0: "ValueError: 1 is odd", 2: "ValueError: 3 is odd"}
            assert step.error == "item 0: ValueError: 1 is odd, and 1 more"
        await engine.stop()

    run_in_virtual_time(main)


def test_the_dump_of_a_definition_warns_of_nothing() -> None:
    retry = {"max_attempts": 3, "on": ["ValueError", 503]}
    definition = define_workflow(
        {
            "name": "flow",
            "steps": [
                {
                    "id": "a",
                    "agent": "x",
                    "retry": retry,
                    "on_error": {"fallback": "y"},
                    "compensate": {"agent": "z", "retry": retry},
                    "condition": "input.n == 1",
                },
                {"id": "b", "agent": "x", "retry": 2, "on_error": {"default": {"n": 1}}},
                {"id": "c", "agent": "x", "on_error": "skip", "output_model": {"n": "number"}},
            ],
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert definition.model_dump()["steps"][0]["retry"]["attempts"] == 3
        assert json.loads(definition.model_dump_json())["steps"][1]["on_error"] == {
            "default": {"n": 1}
        }
        assert definition.to_dict()["steps"][0]["on_error"] == {"fallback": "y"}


def test_a_failed_undo_keeps_the_error_that_it_follows() -> None:
    def fail(text: str) -> Any:
        def handler(_: Any) -> None:
            raise ValueError(text)

        return handler

    async def main() -> None:
        engine = OrchestrationEngine(EngineConfig(state_store="memory://"))
        steps = [
            {"id": "a", "agent": lambda _: 1, "compensate": fail("no refund")},
            {"id": "b", "agent": fail("no stock")},
        ]
        for stored in (False, True):
            run = await engine.start_workflow(
                {"name": "flow", "steps": steps}, persist_state=stored
            )
            try:
                await engine.wait(run)
            except WorkflowFailed as error:
                assert error.step == "b"
                assert "no stock" in str(error)
                assert error.undo_failed == {"a": "ValueError: no refund"}
                assert error.__notes__ == ["Undoing step 'a' failed: ValueError: no refund"]
            status = await engine.get_workflow_status(run)
            assert status.last_error is not None
            assert "no stock" in status.last_error
            assert status.steps["b"].error == "ValueError: no stock"
            assert status.steps["a"].error == "ValueError: no refund"
            assert "no refund" in status.last_error
        await engine.stop()

    run_in_virtual_time(main)
