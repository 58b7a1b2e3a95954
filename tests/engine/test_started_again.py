"""An engine that was stopped starts again with the next ``async with``, as a service's tests need it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, Agent
from agenticaiframework.patterns.engine import (
    EngineConfig,
    EngineDraining,
    EngineStopped,
    OrchestrationEngine,
    UnknownWorkflow,
    WorkflowState,
)
from agenticaiframework.patterns.engine.store import open_store
from agenticaiframework.supervision import AgentSupervisor

from .conftest import steps

WORK = steps("a")


def echo(payload: Any) -> Any:
    return payload


def engine(**config: Any) -> OrchestrationEngine:
    e = OrchestrationEngine(EngineConfig(**config))
    e.register_agent("a", echo)
    return e


async def served(e: OrchestrationEngine, value: int) -> Any:
    """Enter *e* as a server's lifespan does, and return what a workflow gives there."""
    async with ActorSystem("service"), e:
        return list((await e.execute(WORK, value)).values())


@pytest.mark.parametrize("times", [2, 5])
def test_an_engine_is_entered_again_on_one_loop_and_on_others(times: int) -> None:
    e = engine()

    async def main() -> None:
        for value in range(times):
            async with e:
                assert list((await e.execute(WORK, value)).values()) == [value]

    for value in range(times):
        asyncio.run(main())
        assert asyncio.run(served(e, value)) == [value]


def test_between_two_lives_nothing_starts_it_and_the_error_says_what_does() -> None:
    e = engine()

    async def main() -> None:
        async with e:
            pass
        with pytest.raises(EngineStopped, match="`async with engine:` starts it again"):
            await e.execute(WORK, 1)
        async with e:
            await e.execute(WORK, 1)
        with pytest.raises(EngineStopped):
            await e.start_workflow(WORK, 1)

    asyncio.run(main())


def test_runs_in_memory_are_not_there_any_more_and_stored_ones_go_on(tmp_path: Path) -> None:
    waits = {"name": "w", "steps": [{"id": "ok", "wait_for": "ok"}]}
    e = engine(state_store=f"sqlite:///{tmp_path}/runs.sqlite", recover_on_start=True)
    e.register_workflow("w", waits)

    async def main() -> None:
        async with e:
            volatile = await e.start_workflow("w")
            kept = await e.start_workflow("w", persist_state=True)
        async with e:
            with pytest.raises(UnknownWorkflow):
                await e.get_workflow_status(volatile)
            await e.signal_workflow(kept, "ok", 7)
            assert await e.wait(kept, timeout=120) == {"ok": 7}

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["url", "store", "memory"])
def test_its_store_is_opened_again_and_has_what_was_stored(tmp_path: Path, kind: str) -> None:
    url = f"sqlite:///{tmp_path}/runs.sqlite"
    given: Any = {"url": url, "memory": "memory://"}.get(kind)

    async def main() -> None:
        store = open_store(url) if given is None else given
        e = engine(state_store=store, persist_state=True, recover_on_start=True)
        for value in (1, 2):
            async with e:
                await e.execute(WORK, value)
                assert len((await e.list_workflows(persisted=True)).workflows) == value

    asyncio.run(main())


def test_a_drained_engine_takes_work_again_once_it_has_been_stopped_and_entered() -> None:
    e = engine()

    async def main() -> None:
        async with e:
            await e.drain(0)
            with pytest.raises(EngineDraining):
                await e.execute(WORK, 1)
        assert e.draining
        async with e:
            assert not e.draining
            await e.execute(WORK, 1)

    asyncio.run(main())


def test_entering_does_not_end_a_drain_that_is_under_way() -> None:
    e = engine()

    async def main() -> None:
        await e.execute(WORK, 1)
        await e.drain(0)
        async with e:
            with pytest.raises(EngineDraining):
                await e.execute(WORK, 1)

    asyncio.run(main())


def test_who_enters_while_it_ends_waits_for_the_end() -> None:
    """A start on top of the actor that ends would give its runs to that, which interrupts them."""
    e = engine()
    entered = asyncio.Event()

    async def slow(_: Any) -> Any:
        entered.set()
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.05)

    async def main() -> None:
        async with ActorSystem("service"):
            await e.__aenter__()
            run_id = await e.start_workflow({"name": "s", "steps": [{"id": "s", "agent": slow}]})
            await entered.wait()
            stopping = asyncio.create_task(e.stop())
            await asyncio.sleep(0)
            async with e:
                assert list((await e.execute(WORK, 5)).values()) == [5]
                with pytest.raises(UnknownWorkflow):
                    await e.get_workflow_status(run_id)
            await stopping

    asyncio.run(main())


def test_agents_supervisors_and_the_engine_of_a_module_serve_one_lifespan_after_another() -> None:
    e = OrchestrationEngine()
    desk = AgentSupervisor("desk")
    agent = Agent("clerk", handler=echo)
    desk.add_child("clerk", agent)
    e.register_agent("clerk", agent)
    work = {"name": "w", "steps": [{"id": "a", "agent": "clerk"}]}

    async def lifespan(value: int) -> None:
        async with ActorSystem("service"), desk, e:
            run_id = await e.start_workflow(work, value)
            assert await e.wait(run_id) == {"a": value}
            assert (await e.get_workflow_status(run_id)).state is WorkflowState.COMPLETED

    for value in (1, 2, 3):
        asyncio.run(lifespan(value))
