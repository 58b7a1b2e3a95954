"""The machine stops at every single step of a run of code, and boots again: the same rules hold.

Simulated, as in the crash tests of declared workflows; the code is generated.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agenticaiframework.actors import agent_context
from agenticaiframework.actors.simulation import FaultPlan, Kill, Simulation, StopMachine
from agenticaiframework.orchestration import CallFailed, WorkflowRun, workflow
from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    WorkflowExists,
    WorkflowFailed,
)

from ..crash.test_every_step import World, clock, open_disk

# A machine that stops takes its loop with it, and on that coroutines which had not begun.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")

Program = list[Any]
"""Code as data: ``("step", name)``, ``("ask", name)``, ``("sleep", s)``, ``("wait", signal)``,
``("gather", limit, [programs])``, ``("group", [programs])``, ``("value",)``, ``("try", program)``, ``("fail", name)``."""

ALL: Program = [
    ("step", "a"),
    ("ask", "b"),
    ("value",),
    ("gather", 2, [[("step", "c")], [("sleep", 1), ("step", "d")], [("wait", "s1"), ("ask", "e")]]),
    ("sleep", 3),
    ("try", [("fail", "f")]),
    ("group", [[("step", "g"), ("sleep", 1)], [("ask", "h"), ("wait", "s2"), ("value",)]]),
    ("wait", "s3"),
    ("step", "i"),
]
FAILS: Program = [*ALL[:4], ("step", "j"), ("fail", "k")]


def signals_of(program: Program) -> list[str]:
    found: list[str] = []
    for op in program:
        if op[0] == "wait":
            found.append(op[1])
        for part in op[1:]:
            if isinstance(part, list):
                programs = [part] if part and isinstance(part[0], tuple) else part
                for inner in programs:
                    found += signals_of(inner)
    return found


async def perform(run: WorkflowRun, program: Program, trace: list[Any]) -> list[Any]:
    """Do what *program* says, and return what came of it."""
    results: list[Any] = []
    for op in program:
        match op:
            case ("step", name):
                results.append(
                    await run.step(EFFECTS["tool"], name, undo=EFFECTS["undo"], name=name)
                )
            case ("ask", name):
                results.append(await run.ask("agent", name, name=name, retry=2))
            case ("fail", name):
                results.append(await run.step(EFFECTS["broken"], name, name=name))
            case ("sleep", seconds):
                results.append(await run.sleep(seconds))
            case ("wait", signal):
                results.append(await run.wait_for(signal, question={"about": signal}))
            case ("value",):
                results.append([run.now(), run.random(), run.uuid()])
            case ("try", inner):
                try:
                    results.append(await perform(run, inner, trace))
                except CallFailed as error:
                    results.append([error.step, error.reason, error.kind])
            case ("gather", limit, programs):
                results.append(
                    await run.gather(*(perform(run, p, trace) for p in programs), limit=limit)
                )
            case ("group", programs):
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(perform(run, p, trace)) for p in programs]
                results.append([task.result() for task in tasks])
        trace.append(results[-1])
    return results


EFFECTS: dict[str, Any] = {}


def scenario_of(program: Program) -> Any:
    async def scenario(sim: Simulation) -> Any:
        world: World = sim.disk.setdefault("world", World())

        def effect(kind: str) -> dict[str, Any]:
            context = agent_context()
            entry = {
                "kind": kind,
                "key": context["idempotency_key"],
                "step": context["step"],
                "attempt": context["attempt"],
                "undo": bool(context.get("compensating")),
                "life": sim.boot,
                "at": clock(),
            }
            world.effects.append(entry)
            return entry

        async def tool(name: str) -> dict[str, str]:
            effect("begin")
            await asyncio.sleep(0.5)
            return {"did": name}

        async def undo(done: Any) -> None:
            effect("begin")
            await asyncio.sleep(0.1)

        async def agent(name: str) -> dict[str, str]:
            if effect("begin")["attempt"] == 1 and name == "b":
                raise ValueError("the first attempt fails")
            await asyncio.sleep(0.3)
            return {"answer": name}

        async def broken(name: str) -> None:
            effect("begin")
            raise KeyError(name)

        EFFECTS.update(tool=tool, undo=undo, broken=broken)

        @workflow(name="program")
        async def flow(run: WorkflowRun, given: Program) -> list[Any]:
            return await perform(run, program, [])

        engine = OrchestrationEngine(
            EngineConfig(
                state_store=open_disk(world),
                persist_state=True,
                recover_on_start=True,
                recover_every_seconds=1,
                lease_seconds=3,
                wall_clock=clock,
            )
        )
        engine.register_agent("agent", agent)
        engine.register_workflow(flow)
        async with engine:
            try:
                await engine.start_workflow(flow, program, workflow_id="w")
            except WorkflowExists:
                pass
            for signal in signals_of(program):
                if signal not in world.__dict__:
                    await asyncio.sleep(2)
                    with suppress(ValueError):  # it has ended meanwhile
                        await engine.signal_workflow("w", signal, signal.upper())
                    world.__dict__[signal] = True
            try:
                result = await engine.wait("w")
            except WorkflowFailed as error:
                result = ["failed", error.reason]
            store = engine.config.state_store
            return result, await store.read_journal("w")

    return scenario


def shape(value: Any) -> Any:
    """Return a result without what chance made of it."""
    if isinstance(value, list):
        drawn = len(value) == 3 and isinstance(value[0], float)
        return ["drawn"] if drawn else [shape(one) for one in value]
    return value


def check(program: Program, report: Any, world: World, cut_off: int = 0) -> Any:
    """Return what came of *program*; *cut_off* calls may have been made again within one life."""
    assert report.error is None, report.error
    assert report.violations == []
    result, entries = report.value
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    ends = Counter(e.step for e in entries if e.kind in ("step_completed", "step_failed"))
    assert set(ends.values()) <= {1}, ends
    ended = {}
    for e in entries:
        if e.kind in ("step_completed", "step_failed", "compensation_completed"):
            ended[e.step, e.kind == "compensation_completed"] = e.at
    begun = Counter[Any]()
    for effect in world.effects:
        step = effect["step"], effect["undo"]
        assert step in ended, f"{step} ran, and the journal does not know how it ended"
        assert effect["at"] <= ended[step] + 0.002, f"{step} ran again after it had ended"
        begun[effect["key"], effect["attempt"], effect["undo"], effect["life"]] += 1
    assert sum(begun.values()) - len(begun) <= cut_off
    ran = {(effect["step"], effect["undo"]) for effect in world.effects}
    for e in entries:
        if e.kind == "step_completed" and (e.data.get("output") or {}) != {}:
            output = e.data["output"]
            if isinstance(output, dict) and ("did" in output or "answer" in output):
                assert (e.step, False) in ran
    return shape(result), entries


def simulate(
    program: Program, plan: FaultPlan, seed: int | None, cut_off: int = 0
) -> tuple[Any, Any]:
    sim = Simulation(seed=seed, plan=plan)
    report = sim.run(scenario_of(program))
    result, entries = check(program, report, sim.disk["world"], cut_off)
    return report, (result, entries)


def test_programs_do_what_they_say() -> None:
    _, (result, entries) = simulate(ALL, FaultPlan(), 1)
    assert result[0] == {"did": "a"}
    assert result[3][2] == ["S1", {"answer": "e"}]
    assert result[5] == ["f", "KeyError: 'f'", "KeyError"]
    _, (result, entries) = simulate(FAILS, FaultPlan(), 1)
    assert result == ["failed", "KeyError: 'k'"]
    undone = [e.step for e in entries if e.kind == "compensation_completed"]
    assert undone[0] == "j"
    assert undone[-1] == "a"
    assert len(undone) == 4


@pytest.mark.parametrize("program", [ALL, FAILS], ids=["all", "fails"])
@pytest.mark.parametrize("seed", [None, 2])
def test_a_machine_that_stops_at_any_step_loses_and_repeats_nothing(
    program: Program, seed: int | None
) -> None:
    report, (whole, _) = simulate(program, FaultPlan(), seed)
    boots = set()
    stride = 1 if os.environ.get("AGENTICAI_CRASH_KILLS") else 5
    for at_step in range(1, report.steps, stride):
        plan = FaultPlan(faults=[StopMachine(at_step=at_step)])
        report, (result, _) = simulate(program, plan, seed)
        assert result == whole, at_step
        boots.add(report.boots)
    assert 2 in boots


names = st.sampled_from("abcde")
leaf = st.one_of(
    st.tuples(st.just("step"), names),
    st.tuples(st.just("ask"), names),
    st.tuples(st.just("sleep"), st.sampled_from([0.05, 1, 5])),
    st.tuples(st.just("value")),
    st.tuples(st.just("try"), st.just([("fail", "x")])),
)


def blocks(inner: Any) -> Any:
    programs = st.lists(st.lists(inner, min_size=1, max_size=3), min_size=1, max_size=3)
    return st.one_of(
        leaf,
        st.tuples(st.just("gather"), st.integers(1, 3), programs),
        st.tuples(st.just("group"), programs),
    )


programs = st.lists(blocks(blocks(leaf)), min_size=1, max_size=4)


@settings(max_examples=25, deadline=None)
@given(programs, st.booleans(), st.integers(0, 1000), st.lists(st.integers(1, 250), max_size=3))
def test_generated_code_comes_to_the_same_end_whenever_machines_stop(
    program: Program, fails: bool, seed: int, at_steps: list[int]
) -> None:
    program = [*program, ("wait", "s1"), *([("fail", "z")] if fails else [])]
    _, (whole, _) = simulate(program, FaultPlan(), seed)
    plan = FaultPlan(faults=[StopMachine(at_step=step) for step in at_steps])
    _, (result, _) = simulate(program, plan, seed)
    assert result == whole


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(["RunCoordinator", "CodeWorker", "StoreKeeper"]),
    st.integers(1, 6),
    st.integers(0, 1000),
)
def test_actors_that_are_killed_lose_nothing(victim: str, at_message: int, seed: int) -> None:
    plan = FaultPlan(faults=[Kill(actor=f"{victim}*", at_message=at_message)])
    simulate(ALL, plan, seed, cut_off=3)  # as many calls are under way at once
