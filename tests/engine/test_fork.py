"""Forks, queries, and signals that start: a run is told from another, asked about, and begun once."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, agent_context
from agenticaiframework.patterns.engine import (
    EngineConfig,
    EventKind,
    OrchestrationEngine,
    UnknownWorkflow,
    WorkflowCancelled,
    WorkflowExists,
    WorkflowFailed,
    WorkflowState,
)
from agenticaiframework.patterns.engine.host.core import EngineCore
from agenticaiframework.patterns.engine.runner.notes import Notes

FLOW = {
    "name": "flow",
    "steps": [
        {"id": "a", "agent": "a", "input": "$input.v", "compensate": {"agent": "undo"}},
        {"id": "b", "agent": "b", "depends_on": ["a"], "compensate": {"agent": "undo"}},
        {"id": "c", "agent": "c", "depends_on": [], "input": "$input.c"},
        {"id": "d", "agent": "d", "depends_on": ["b", "c"], "compensate": {"agent": "undo"}},
        {"id": "e", "agent": "e", "input": "$d"},
    ],
}
INPUT = {"v": 1, "c": "x"}


class World:
    """Agents that remember what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.keys: list[str] = []
        self.broken: set[str] = set()

    def agent(self, name: str) -> Agent:
        async def handler(payload: Any) -> Any:
            self.asked.append((name, payload))
            self.keys.append(agent_context()["idempotency_key"])
            if name in self.broken:
                raise RuntimeError(f"{name} is broken")
            return f"{name}({payload})" if isinstance(payload, (int, str)) else name

        return Agent(name, handler=handler)

    def names(self) -> list[str]:
        found, self.asked = [name for name, _ in self.asked], []
        return found


@pytest.fixture
def world() -> World:
    gc.collect()
    return World()


@pytest.fixture(params=["memory", "stored", "one at a time"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> EngineConfig:
    return EngineConfig(
        persist_state=request.param != "memory",
        state_store=f"sqlite:///{tmp_path}/fork.sqlite",
        durability="normal",
        max_concurrent_workflows=1 if request.param == "one at a time" else 100,
    )


def engine_of(world: World, config: EngineConfig) -> OrchestrationEngine:
    engine = OrchestrationEngine(config)
    for name in ("a", "b", "c", "d", "e", "undo"):
        engine.register_agent(name, world.agent(name))
    engine.register_workflow("flow", FLOW)
    engine.register_workflow(
        "talk",
        {
            "name": "talk",
            "steps": [{"id": "one", "wait_for": "said"}, {"id": "two", "wait_for": "said"}],
        },
    )
    return engine


@pytest.fixture
def engine(world: World, config: EngineConfig) -> OrchestrationEngine:
    return engine_of(world, config)


def run(main: Callable[[], Awaitable[Any]], engine: OrchestrationEngine) -> Any:
    async def inside() -> Any:
        async with ActorSystem("test"), engine:
            return await main()

    return asyncio.run(inside())


# -- forks ---------------------------------------------------------------------------------------------


def test_a_fork_runs_the_step_and_what_depends_on_it(
    world: World, engine: OrchestrationEngine
) -> None:
    async def main() -> None:
        source = await engine.execute("flow", INPUT)
        world.names()
        forked = await engine.fork(source.workflow_id, at="b", edit={"a": "other"})
        result = await engine.wait(forked)
        assert dict(result) == {"a": "other", "b": "b(other)", "c": "c(x)", "d": "d", "e": "e(d)"}
        assert world.names() == ["b", "d", "e"]
        status = await engine.get_workflow_status(forked)
        assert (status.forked_from, status.progress) == (source.workflow_id, 100)
        assert status.state is WorkflowState.COMPLETED
        # The other one is as it was.
        assert (await engine.wait(source.workflow_id))["a"] == "a(1)"
        assert (await engine.get_workflow_status(source.workflow_id)).forked_from is None

    run(main, engine)


def test_keys_of_a_fork_are_its_own(world: World, engine: OrchestrationEngine) -> None:
    async def main() -> None:
        source = await engine.execute("flow", INPUT, context={"idempotency_key": "order-7", "t": 1})
        world.keys.clear()
        forked = await engine.fork(source.workflow_id, at="d", new_id="second")
        await engine.wait(forked)
        assert forked == "second"
        assert [key.split(":")[0] for key in world.keys] == ["second", "second"]

    run(main, engine)


def test_a_fork_with_another_input(world: World, engine: OrchestrationEngine) -> None:
    async def main() -> None:
        source = await engine.execute("flow", INPUT)
        forked = await engine.fork(source.workflow_id, at="c", edit={"input": {"v": 2, "c": "y"}})
        result = await engine.wait(forked)
        assert (result["a"], result["c"]) == ("a(1)", "c(y)")

    run(main, engine)


def test_a_failed_run_is_forked_at_the_step_that_failed(
    world: World, engine: OrchestrationEngine
) -> None:
    async def main() -> None:
        world.broken.add("e")
        with pytest.raises(WorkflowFailed):
            await engine.execute("flow", INPUT, workflow_id="bad")
        world.broken.clear()
        # What it had done has been undone, so nothing but the step without an undo is left.
        world.names()
        result = await engine.wait(await engine.fork("bad", at="e"))
        assert result["e"] == "e(d)"
        assert world.names() == ["a", "b", "d", "e"]

    run(main, engine)


def test_a_fork_undoes_only_what_it_did_itself(world: World, engine: OrchestrationEngine) -> None:
    async def main() -> None:
        source = await engine.execute("flow", INPUT)
        world.broken.add("e")
        world.names()
        forked = await engine.fork(source.workflow_id, at="d")
        with pytest.raises(WorkflowFailed):
            await engine.wait(forked)
        assert world.names() == ["d", "e", "undo"]
        status = await engine.get_workflow_status(forked)
        assert status.steps["d"].state == "compensated"
        assert status.steps["a"].state == status.steps["b"].state == "completed"

    run(main, engine)


def test_a_step_that_a_fork_does_again_is_its_own(
    world: World, engine: OrchestrationEngine
) -> None:
    async def main() -> None:
        source = await engine.execute("flow", INPUT)
        forked = await engine.fork(source.workflow_id, at="e")
        await engine.wait(forked)
        world.broken.add("e")
        world.names()
        await engine.retry_from(forked, "b")
        with pytest.raises(WorkflowFailed):
            await engine.wait(forked)
        assert world.names() == ["b", "d", "e", "undo", "undo"]

    run(main, engine)


def test_a_waiting_and_a_cancelled_run_can_be_forked(
    world: World, engine: OrchestrationEngine
) -> None:
    async def main() -> None:
        await engine.start_workflow("talk", workflow_id="w")
        await engine.signal_workflow("w", "said", "first")
        while (await engine.get_workflow_status("w")).progress < 50:
            await asyncio.sleep(0)
        forked = await engine.fork("w", at="two", edit={"one": "edited"})
        await engine.cancel_workflow("w")
        with pytest.raises(WorkflowCancelled):
            await engine.wait("w")
        again = await engine.fork("w", at="two")
        for run_id, one in ((forked, "edited"), (again, "first")):
            await engine.signal_workflow(run_id, "said", "second")
            assert dict(await engine.wait(run_id)) == {"one": one, "two": "second"}

    run(main, engine)


@pytest.mark.parametrize(
    ("at", "edit", "said"),
    [
        ("x", {}, "no step 'x'"),
        ("b", {"d": 1}, "it runs again, because the fork begins at 'b'"),
        ("b", {"b": 1}, "it runs again, because the fork begins at 'b'"),
        ("b", {"aa": 1}, "no such step. Did you mean 'a'|no such step"),
    ],
)
def test_what_cannot_be_forked_is_told(
    engine: OrchestrationEngine, at: str, edit: dict[str, Any], said: str
) -> None:
    async def main() -> None:
        source = await engine.execute("flow", INPUT)
        with pytest.raises(ValueError, match=said):
            await engine.fork(source.workflow_id, at=at, edit=edit)
        with pytest.raises(WorkflowExists):
            await engine.fork(source.workflow_id, at="b", new_id=source.workflow_id)
        with pytest.raises(UnknownWorkflow):
            await engine.fork("never", at="b")

    run(main, engine)


def test_another_process_goes_on_with_a_fork_that_waited_for_its_turn(
    world: World, tmp_path: Path
) -> None:
    config = EngineConfig(
        persist_state=True,
        state_store=f"sqlite:///{tmp_path}/fork.sqlite",
        max_concurrent_workflows=1,
    )

    async def first() -> str:
        engine = engine_of(world, config)
        blocked = asyncio.Event()

        async def hang(_: Any) -> None:
            blocked.set()
            await asyncio.sleep(3600)

        async with ActorSystem("one"), engine:
            source = await engine.execute("flow", INPUT)
            await engine.start_workflow({"name": "h", "steps": [{"id": "h", "agent": hang}]})
            await blocked.wait()
            forked = await engine.fork(source.workflow_id, at="d")
            assert (await engine.get_workflow_status(forked)).state is WorkflowState.PENDING
            return forked

    async def second(forked: str) -> None:
        engine = engine_of(world, config)
        async with ActorSystem("two"), engine:
            await engine.recover()
            assert (await engine.wait(forked, timeout=120))["e"] == "e(d)"
            assert (await engine.get_workflow_status(forked)).forked_from is not None
            kinds = [event.kind async for event in engine.stream(forked)]
            assert kinds[0] == EventKind.WORKFLOW_FORKED

    forked = asyncio.run(first())
    world.names()
    asyncio.run(second(forked))
    assert world.names() == ["d", "e"]


# -- signals that start --------------------------------------------------------------------------------


def test_callers_at_once_make_one_run_and_all_their_signals_reach_it(
    engine: OrchestrationEngine,
) -> None:
    async def main() -> None:
        ids = await asyncio.gather(
            *(
                engine.signal_with_start("talk", signal="said", payload=n, workflow_id="one")
                for n in range(2)
            )
        )
        assert ids == ["one", "one"]
        assert sorted((await engine.wait("one", timeout=120)).values()) == [0, 1]
        with pytest.raises(ValueError, match="ended"):
            await engine.signal_with_start("talk", signal="said", workflow_id="one")

    run(main, engine)


def test_two_engines_on_one_store_make_one_run(world: World, tmp_path: Path) -> None:
    config = EngineConfig(
        persist_state=True, state_store=f"sqlite:///{tmp_path}/two.sqlite", poll_seconds=0.2
    )

    async def main() -> None:
        one, two = engine_of(world, config), engine_of(world, config)
        async with ActorSystem("test"), one, two:
            await asyncio.gather(
                *(
                    engine.signal_with_start("talk", signal="said", payload=n, workflow_id="r")
                    for n, engine in enumerate((one, two))
                )
            )
            assert sorted((await one.wait("r", timeout=120)).values()) == [0, 1]

    asyncio.run(main())


def test_a_run_that_ends_before_its_signal_is_no_error(engine: OrchestrationEngine) -> None:
    async def main() -> None:
        await engine.signal_with_start("flow", INPUT, signal="said", workflow_id="quick")
        assert (await engine.wait("quick"))["e"] == "e(d)"

    run(main, engine)


# -- queries -------------------------------------------------------------------------------------------


def test_a_query_returns_what_the_run_has_set(world: World, config: EngineConfig) -> None:
    engine = engine_of(world, config)

    async def main() -> None:
        await engine.start_workflow("talk", workflow_id="q")
        assert await engine.query("q") is None
        with pytest.raises(UnknownWorkflow):
            await engine.query("never")
        core = engine._cores.here()
        assert isinstance(core, EngineCore)
        live = core.roster.get("q")
        assert live is not None
        notes = Notes(live.run)
        notes.happened(EventKind.STATE_SET, {"state": {"at": "one"}})
        assert await engine.query("q") == {"at": "one"}

    run(main, engine)
