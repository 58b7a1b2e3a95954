"""What the engine uses again, and what it lets go of: its costs depend on both."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem
from agenticaiframework.orchestration import WorkflowFailed
from agenticaiframework.patterns.engine.host.pool import MAX_IDLE
from agenticaiframework.patterns.engine.runner.attempt import StepAttempt, WorkContext
from agenticaiframework.patterns.engine.runner.coordinator import RunCoordinator
from agenticaiframework.patterns.engine.runner.machine import RunMachine
from agenticaiframework.patterns.engine.runner.steps import Steps
from agenticaiframework.patterns.engine.state.live import LiveRun
from agenticaiframework.patterns.engine.state.run import Run

from .conftest import Cast, engine, steps


def coordinators(system: ActorSystem) -> list[Any]:
    return [ref for ref in system.actors() if ref.actor_class is RunCoordinator]


def test_one_coordinator_serves_run_after_run(sim: Any, cast: Cast) -> None:
    cast.echoes("a", "b")

    async def main() -> None:
        e = engine()
        seen = set[Any]()
        for n in range(3):
            assert (await e.execute(steps("a", "b"), n)).output == f"b(a({n}))"
            await asyncio.sleep(1)
            seen |= set(coordinators(ActorSystem.current()))
        assert len(seen) == 1

    sim(main)


def test_no_more_than_a_few_coordinators_wait_for_a_run(sim: Any, cast: Cast) -> None:
    cast.echoes("a")

    async def main() -> None:
        e = engine(max_concurrent_workflows=2 * MAX_IDLE)
        await asyncio.gather(*(e.execute(steps("a"), n) for n in range(2 * MAX_IDLE)))
        await asyncio.sleep(1)
        assert len(coordinators(ActorSystem.current())) <= MAX_IDLE

    sim(main)


def test_a_coordinator_that_was_killed_while_it_waited_gets_no_run(sim: Any, cast: Cast) -> None:
    cast.echoes("a")

    async def main() -> None:
        e = engine()
        await e.execute(steps("a"), 1)
        [idle] = coordinators(ActorSystem.current())
        idle.kill()
        assert (await e.execute(steps("a"), 2)).output == "a(2)"
        await asyncio.sleep(1)
        assert coordinators(ActorSystem.current()) != [idle]

    sim(main)


def test_a_parked_run_goes_on_though_its_coordinator_has_another(sim: Any, cast: Cast) -> None:
    cast.echoes("a", "b")

    async def main() -> None:
        e = engine()
        parked = await e.start_workflow(steps({"id": "w", "wait_for": "go"}, "a"))
        await asyncio.sleep(1)
        waits = steps({"id": "w", "wait_for": "on"}, "b")
        other = await e.start_workflow(waits)
        await asyncio.sleep(1)
        await e.signal_workflow(parked, "go", "x")
        assert (await e.wait(parked)).output == "a(x)"
        await e.signal_workflow(other, "on", "y")
        assert (await e.wait(other)).output == "b(y)"

    sim(main)


def test_a_defect_in_a_coordinator_fails_its_run_and_no_other(
    sim: Any, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast.echoes("a")
    succeeded = Steps.succeeded

    def broken(self: Steps, attempt: StepAttempt, value: Any) -> None:
        if value == "a(bad)":
            raise RuntimeError("a defect")
        succeeded(self, attempt, value)

    monkeypatch.setattr(Steps, "succeeded", broken)

    async def main() -> None:
        e = engine()
        bad = asyncio.create_task(e.execute(steps("a"), "bad"))
        good = asyncio.create_task(e.execute(steps("a"), "good"))
        with pytest.raises(WorkflowFailed, match="a defect"):
            await bad
        assert (await good).output == "a(good)"
        assert (await e.execute(steps("a"), "more")).output == "a(more)"

    sim(main)


@pytest.mark.parametrize("stored", [False, True])
def test_a_run_leaves_nothing_for_the_garbage_collector(stored: bool) -> None:
    async def at_once(payload: Any) -> Any:
        return {"n": payload}

    def alive() -> int:
        return sum(
            type(found) in (Run, LiveRun, RunMachine, StepAttempt, WorkContext)
            for found in gc.get_objects()
        )

    async def main() -> None:
        async with ActorSystem("test"):
            e = engine(persist_state=stored, state_store="memory://", keep_finished=0)
            e.register_agent("function", at_once)
            e.register_agent("agent", Agent("agent", handler=at_once))
            flow = e.register_workflow("flow", steps("function", "agent"))
            await e.execute(flow, 0)
            gc.disable()
            try:
                before = alive()
                for n in range(20):
                    await e.execute(flow, n)
                # What an idle worker or coordinator did last may still be known.
                assert alive() <= before + 4
            finally:
                gc.enable()

    asyncio.run(main())
