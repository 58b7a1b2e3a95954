"""Handlers that wait for a run which gets no turn while theirs has it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, Agent, CallingSelf
from agenticaiframework.patterns import Bulkhead, PatternFailed
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine, WorkflowFailed
from agenticaiframework.patterns.vocabulary.causes import causes_of


def workflow(name: str, agent: Any) -> dict[str, Any]:
    return {"name": name, "steps": [{"id": "step", "agent": agent}]}


def circle_in(error: BaseException) -> CallingSelf:
    return next(link for link in causes_of(error) if isinstance(link, CallingSelf))


async def full(runs: int, how: str) -> list[Any]:
    """Return what becomes of *runs* runs that fill their engine, and each wait for another one."""
    async with ActorSystem(deadlock_s=0.2, stop_timeout_s=2):
        engine = OrchestrationEngine(EngineConfig(max_concurrent_workflows=runs))
        inner = Agent("inner", handler=lambda payload: "done")
        begun = asyncio.Semaphore(0)

        async def outer(payload: Any) -> Any:
            begun.release()
            while begun._value < runs:
                await asyncio.sleep(0)
            if how == "execute":
                return await engine.execute(workflow("nested", inner), {})
            run_id = await engine.start_workflow(workflow("nested", inner), {})
            if how == "task":
                return await asyncio.create_task(engine.wait(run_id))
            return await engine.wait(run_id)

        outers = [Agent(f"outer{number}", handler=outer) for number in range(runs)]
        async with asyncio.timeout(120):
            return await asyncio.gather(
                *(engine.execute(workflow(f"run{n}", one), {}) for n, one in enumerate(outers)),
                return_exceptions=True,
            )


@pytest.mark.parametrize("how", ["wait", "task"])
@pytest.mark.parametrize("runs", [1, 3])
def test_runs_that_wait_for_one_without_a_turn_are_told(runs: int, how: str) -> None:
    results = asyncio.run(full(runs, how))
    failed = [result for result in results if isinstance(result, WorkflowFailed)]
    assert len(failed) == 1  # its turn is free then, and the others get theirs
    assert "engine.execute" in str(circle_in(failed[0]))


def test_one_that_is_executed_needs_no_turn() -> None:
    assert all(
        isinstance(result["step"]["step"], str) for result in asyncio.run(full(2, "execute"))
    )


def test_an_agent_whose_only_place_is_held_by_who_waits_for_it_is_told() -> None:
    async def main() -> None:
        async with ActorSystem(stop_timeout_s=2):
            engine = OrchestrationEngine(EngineConfig())

            async def again(payload: Any) -> Any:
                return await engine.execute(workflow("nested", "limited"), {})

            engine.register_agent("limited", Agent("limited", handler=again), max_concurrent=1)
            with pytest.raises(WorkflowFailed) as caught:
                await engine.execute(workflow("outer", "limited"), {}, timeout=120)
            assert "limited" in circle_in(caught.value).chain

    asyncio.run(main())


def test_a_bulkhead_whose_places_are_held_by_who_waits_for_one_is_told() -> None:
    async def main() -> None:
        async with ActorSystem(stop_timeout_s=2):
            leaf = Agent("leaf", handler=lambda payload: payload)
            within = Bulkhead("within", leaf, max_in_flight=1, bulkhead="shared")
            agent = Agent("agent", handler=within.execute)
            around = Bulkhead("around", agent, max_in_flight=1, bulkhead="shared")
            with pytest.raises(PatternFailed) as caught:
                await around.execute("x", timeout=120)
            assert circle_in(caught.value).chain == ("around", "agent", "within")

    asyncio.run(main())
