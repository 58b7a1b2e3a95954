"""Rules of runs that are easy to break without anything else going wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem
from agenticaiframework.patterns.engine import EventKind

from .conftest import Cast, run_in_virtual_time, steps
from .test_ends import Kept


@pytest.fixture(params=["in memory", "stored"])
def kept(request: pytest.FixtureRequest) -> Kept:
    return Kept(request.param)


def times_of(cast: Cast, name: str) -> tuple[Any, list[float]]:
    """Return an agent that fails at first, and the times at which it is asked."""
    asked: list[float] = []

    async def work(payload: Any) -> str:
        asked.append(asyncio.get_running_loop().time())
        if len(asked) == 1:
            raise ValueError(f"{name} is down")
        return name

    return cast.agent(name, work), asked


# --------------------------------------------------------------------------- times


@pytest.mark.parametrize("beside", ["works", "sleeps", "waits"])
def test_a_retry_has_its_time_whatever_else_is_under_way(
    beside: str, kept: Kept, cast: Cast
) -> None:
    _, asked = times_of(cast, "flaky")
    cast.slow("slow", 100)
    others = {
        "works": {"id": "other", "agent": "slow"},
        "sleeps": {"id": "other", "agent": "slow", "delay": 100, "input": 1},
        "waits": {
            "id": "other",
            "wait_for": {"signal": "go", "timeout_seconds": 100, "default": 1},
        },
    }
    flaky = {"id": "flaky", "agent": "flaky", "retry": {"attempts": 2, "initial_delay_s": 5}}
    flow = steps(others[beside], {**flaky, "depends_on": []})

    async def main() -> None:
        async with kept.engine() as e:
            began = asyncio.get_running_loop().time()
            await e.execute(workflow=flow)
            assert [at - began for at in asked] == pytest.approx([0, 5], abs=0.1)

    run_in_virtual_time(main)


# --------------------------------------------------------------------------- undoing


def test_a_run_in_which_nothing_is_to_be_undone_is_not_said_to_be_undone(
    kept: Kept, cast: Cast
) -> None:
    cast.agent("undo")
    cast.failing("a", 9)
    flow = steps({"id": "a", "agent": "a", "compensate": "undo"})

    async def main() -> None:
        async with kept.engine() as e:
            kinds = [event.kind async for event in e.stream(workflow=flow)]
            assert EventKind.WORKFLOW_COMPENSATING not in kinds
            assert kinds[-2:] == [EventKind.STEP_FAILED, EventKind.WORKFLOW_FAILED]

    run_in_virtual_time(main)
    assert "undo" not in cast.asked


# --------------------------------------------------------------------------- two engines


def test_who_waits_in_an_engine_that_lost_its_run_gets_the_result_of_the_next(
    cast: Cast,
) -> None:
    both = Kept("stored")
    flow = steps({"id": "w", "wait_for": "go"})

    async def main() -> None:
        system = ActorSystem.current()
        async with both.engine() as one, both.engine() as two:
            await one.start_workflow(workflow=flow, workflow_id="w")
            waiting = asyncio.ensure_future(one.wait("w", timeout=500))
            await asyncio.sleep(1)
            [keeper] = [r for r in system.actors() if r.actor_class.__name__ == "StoreKeeper"]
            system.suspend(keeper)  # it does not renew its lease
            await asyncio.sleep(30)
            assert (await two.recover()).recovered == ("w",)
            system.resume(keeper)
            await asyncio.sleep(30)
            await two.signal_workflow("w", "go", "went")
            assert (await two.wait("w"))["w"] == "went"
            assert (await waiting)["w"] == "went"
            assert (await one.get_workflow_status("w")).state == "completed"

    run_in_virtual_time(main)


def test_a_part_that_another_engine_has_taken_up_is_waited_for(cast: Cast) -> None:
    three = Kept("stored")
    inner = {"name": "inner", "steps": [{"id": "w", "wait_for": "go"}, {"id": "a", "agent": "a"}]}
    cast.agent("a", "done")

    async def main() -> None:
        async with three.engine() as first:
            await first.start_workflow(
                workflow=steps({"id": "part", "workflow": inner}), workflow_id="w"
            )
            await asyncio.sleep(1)
            [part] = [run for run in await first.list_workflows() if run.parent is not None]
        async with three.engine() as one, three.engine() as two:
            await one.resume_workflow(part.workflow_id)
            await asyncio.sleep(1)
            await two.resume_workflow("w")
            await asyncio.sleep(1)
            assert (await two.get_workflow_status("w")).state == "running"
            await one.signal_workflow(part.workflow_id, "go", 1)
            result = await two.wait("w", timeout=100)
            assert result["part"] == {"w": 1, "a": "done"}

    run_in_virtual_time(main)
    assert cast.asked == ["a"]
