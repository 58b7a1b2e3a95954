"""Nothing stays behind: after any operation there is no object more than before it.

Each operation is made a few times, so that caches are as full as they get, and then many times, with
new names each time. What is left is counted by type over the whole process.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, Agent
from agenticaiframework.orchestration import (
    AgentRole,
    AgentSupervisor,
    AgentTeam,
    EngineConfig,
    MapReduceOrchestration,
    OrchestrationEngine,
    ParallelOrchestration,
    SequentialOrchestration,
    WorkflowFailed,
)

WARM = 10
TIMES = 20

PATIENCE_S = 30.0
"""How long what was ended may take to be gone: its threads and timers get their turns late on a busy machine."""

Operation = Callable[[str, Path], Awaitable[Any]]


async def echo(payload: Any) -> Any:
    return payload


def plain(payload: Any) -> Any:
    return payload


def fail(_: Any) -> None:
    raise ValueError("no")


def engine(name: str, store: str = "memory://", **more: Any) -> OrchestrationEngine:
    made = OrchestrationEngine(EngineConfig(state_store=store, **more), name=name)
    made.register_agent("echo", Agent(f"agent of {name}", handler=echo))
    return made


def flow(name: str, *steps: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "steps": [{"id": f"s{n}", **s} for n, s in enumerate(steps)], **more}


async def runs(of: OrchestrationEngine, name: str) -> None:
    """Make runs of each kind, in memory and stored."""
    inner = flow(f"inner of {name}", {"agent": echo})
    kinds = (
        flow(name, {"agent": "echo"}, {"agent": plain}, {"agent": echo}),
        flow(name, {"for_each": [1, 2], "agent": "echo"}, output="$s0"),
        flow(name, {"agent": lambda _: {"done": True}, "max_iterations": 3}),
        flow(name, {"workflow": inner}),
        flow(name, {"delay": 0.001}, {"agent": echo, "condition": "input.n == 2"}),
        flow(name, {"agent": fail, "retry": {"attempts": 2, "initial_delay_s": 0.001}, "on_error": "skip"}),
        flow(name, {"pattern": "parallel", "agents": [echo, plain]}),
    )  # fmt: skip
    for kind in kinds:
        for stored in (False, True):
            await of.execute(kind, {"n": 1}, persist_state=stored, labels={"of": name})


async def runs_of_each_kind(name: str, folder: Path) -> None:
    made = engine(name)
    await runs(made, name)
    await made.stop()


async def runs_on_sqlite(name: str, folder: Path) -> None:
    made = engine(name, f"sqlite:///{folder}/state.db")
    await runs(made, name)
    await made.stop()


async def runs_of_an_engine_that_is_dropped(name: str, folder: Path) -> None:
    await engine(name).execute(flow(name, {"agent": "echo"}))


async def an_engine_that_is_not_used(name: str, folder: Path) -> None:
    await engine(name).stop()


async def failures_and_undos(name: str, folder: Path) -> None:
    made = engine(name)
    steps = {"agent": echo, "compensate": plain}, {"agent": fail}
    for stored in (False, True):
        with pytest.raises(WorkflowFailed):
            await made.execute(flow(name, *steps), persist_state=stored)
    await made.stop()


async def signals_streams_and_cancellations(name: str, folder: Path) -> None:
    made = engine(name)
    waiting = flow(name, {"wait_for": {"signal": "go", "timeout_seconds": 900}})
    for stored in (False, True):
        run = await made.start_workflow(waiting, persist_state=stored)
        await made.signal_workflow(run, "go", {"n": 1})
        await made.wait(run)
        run = await made.start_workflow(waiting, persist_state=stored)
        await made.cancel_workflow(run, f"reason {name}")
        work = flow(name, {"agent": echo})
        assert [e async for e in made.stream(workflow=work, persist_state=stored)]
        await made.list_workflows(labels={"of": name})
    await made.stop()


async def a_restart(name: str, folder: Path) -> None:
    url = f"sqlite:///{folder}/restart.db"
    made = engine(name, url)
    run = await made.start_workflow(flow(name, {"wait_for": "go"}), persist_state=True)
    await made.stop()
    made = engine(name, url)
    await made.recover()
    await made.signal_workflow(run, "go")
    await made.wait(run)
    await made.stop()


async def traces_and_limits(name: str, folder: Path) -> None:
    made = engine(name, enable_tracing=True)
    made.register_agent("few", Agent(f"few of {name}", handler=echo), max_concurrent=1)
    await made.execute(flow(name, {"agent": "few"}, {"agent": "few", "depends_on": []}))
    assert made.trace()
    await made.stop()


async def patterns_and_teams(name: str, folder: Path) -> None:
    for pattern in (
        SequentialOrchestration(name, [echo, plain]),
        ParallelOrchestration(name, [echo, plain]),
        MapReduceOrchestration(name, echo),
    ):
        await pattern.execute([1, 2])
    team = AgentTeam(name=name)
    team.add_role(AgentRole(name="writer", max_agents=1))
    team.assign_agent(Agent(f"member of {name}", handler=echo), role="writer")
    await team.execute_task("x")


async def agents(name: str, folder: Path) -> None:
    kept = Agent(name, handler=echo)
    await kept.ask(1)
    await kept.stop()
    await Agent(f"dropped {name}", handler=plain).ask(1)


async def supervisors(name: str, folder: Path) -> None:
    supervisor = AgentSupervisor(name)
    supervisor.add_child(f"child of {name}", Agent(f"agent of {name}", handler=echo))
    await supervisor.start()
    await supervisor.ask(f"child of {name}", 1)
    await supervisor.stop()


OPERATIONS: tuple[Operation, ...] = (
    runs_of_each_kind,
    runs_on_sqlite,
    runs_of_an_engine_that_is_dropped,
    an_engine_that_is_not_used,
    failures_and_undos,
    signals_streams_and_cancellations,
    a_restart,
    traces_and_limits,
    patterns_and_teams,
    agents,
    supervisors,
)


async def census() -> Counter[str]:
    """Return how many objects of each type there are, once what was ended is gone."""
    for _ in range(5):
        await asyncio.sleep(0.005)
        gc.collect()
    found: Counter[str] = Counter()
    for one in gc.get_objects():
        found[f"{type(one).__module__}.{type(one).__qualname__}"] += 1
    # asyncio keeps timers that were cancelled until it clears them away, a hundred at a time.
    del found["asyncio.events.TimerHandle"]
    # A log knows the subjects of its latest records, up to a thousand, so that it can sum up storms.
    del found["agenticaiframework.actors.storms._Storm"]
    return found


async def round_of(operation: Operation, names: Iterator[str], folder: Path) -> dict[str, int]:
    """Return of which types there is an object more for each time that *operation* was made."""
    before = await census()
    for _ in range(TIMES):
        await operation(next(names), folder)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        after = await census()
        more = {kind: after[kind] - before[kind] for kind in after}
        stayed = {kind: number for kind, number in more.items() if number >= TIMES}
        if not stayed or time.monotonic() > deadline:
            return stayed


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_object_is_there_that_was_not_there_before(operation: Operation, tmp_path: Path) -> None:
    names = (f"name{number}" for number in count())

    async def main() -> None:
        async with ActorSystem():
            for _ in range(WARM):
                await operation(next(names), tmp_path)
            # What a thread or a timer lets go of later is less after one round and more after another:
            # what stays is more after each.
            stayed = await round_of(operation, names, tmp_path)
            if stayed:
                again = await round_of(operation, names, tmp_path)
                stayed = {kind: number for kind, number in stayed.items() if kind in again}
            assert not stayed

    asyncio.run(main())
