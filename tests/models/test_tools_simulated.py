"""Tools in virtual time: with seeds, in any order, and with faults."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

from pydantic_ai.toolsets import FunctionToolset

from agenticaiframework.actors import Agent
from agenticaiframework.models import tool
from agenticaiframework.testing import Simulation, simulate, simulate_once

sys.path.insert(0, str(Path(__file__).parent))
from tool_models import calling


@pytest.fixture(autouse=True)
def quiet() -> Any:
    from loguru import logger

    logger.disable("agenticaiframework")
    yield
    logger.enable("agenticaiframework")


async def settled() -> None:
    """Let tasks end that pydantic-ai has cancelled by the end of a run and does not wait for."""
    await asyncio.sleep(1)


async def wait(minutes: int) -> str:
    """Wait for minutes."""
    await asyncio.sleep(60 * minutes)
    return f"{minutes} min"


def block(minutes: int) -> str:
    """Block for minutes."""
    time.sleep(60 * minutes)
    return f"{minutes} min"


def given(minutes: int) -> str:
    """Block in a toolset."""
    time.sleep(60 * minutes)
    return f"{minutes} min"


@simulate(runs=20)
async def test_functions_of_all_kinds_and_agents_take_virtual_time(sim: Simulation) -> None:
    helper = Agent("helper", handler=lambda payload: wait(3))
    calls = [("wait", 5), ("block", 4), ("given", 2)]
    model = calling(
        *((name, {"minutes": minutes}) for name, minutes in calls), ("helper", {"request": "x"})
    )
    agent = Agent("user", model=model, tools=[wait, block, FunctionToolset([given]), helper])
    begun = sim.time()
    rows = json.loads(await agent.ask("go"))
    assert [row[2] for row in rows] == ["5 min", "4 min", "2 min", "3 min"]
    assert sim.time() - begun == pytest.approx(300, abs=1), "the calls overlap"
    await settled()


@simulate(runs=20)
async def test_time_limits_are_virtual_too(sim: Simulation) -> None:
    model = calling(("wait", {"minutes": 5}))
    rows = json.loads(await Agent("user", model=model, tools=[tool(wait, timeout=60)]).ask("go"))
    assert rows == [["wait", "failed", "The tool 'wait' took longer than its 60 s"]]
    assert sim.time() == pytest.approx(60, abs=1)
    await settled()


KINDS: dict[str, Any] = {
    "function": lambda: tool(block, timeout=60),
    "toolset": lambda: tool(FunctionToolset([block]), timeout=60),
}


@pytest.mark.parametrize("kind", KINDS)
def test_time_limits_of_functions_that_block_are_virtual_too(kind: str) -> None:
    async def scenario(sim: Simulation) -> None:
        agent = Agent("user", model=calling(("block", {"minutes": 5})), tools=[KINDS[kind]()])
        rows = json.loads(await agent.ask("go"))
        assert rows == [["block", "failed", "The tool 'block' took longer than its 60 s"]]
        assert sim.time() == pytest.approx(60, abs=1)
        await settled()

    for seed in range(5):
        report = simulate_once(scenario, seed=seed)
        assert not report.failed, report.narrative()


# Also in orders that prefer the callback by which anyio cancels a task again, in each turn of the loop
# until it has ended, to the task itself.
@simulate(runs=30, faults=True)
async def test_faults_in_tools_never_leave_an_ask_unanswered(sim: Simulation) -> None:
    helper = Agent("helper", handler=lambda payload: wait(1))
    model = calling(("wait", {"minutes": 1}), ("helper", {"request": "x"}))
    agent = Agent("user", model=model, tools=[wait, helper])
    outcome = await sim.attempt(agent.ask("go", timeout=600))
    if not sim.landed:
        assert len(json.loads(outcome.value)) == 2
    await settled()
