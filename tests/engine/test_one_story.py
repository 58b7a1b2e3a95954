"""A run has one story: however it is run, followed, replayed or recovered, it tells the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from agenticaiframework import Agent
from agenticaiframework.actors import agent_context
from agenticaiframework.orchestration import (
    AgentRole,
    AgentTeam,
    EngineConfig,
    OrchestrationEngine,
    WorkflowCancelled,
    WorkflowFailed,
    WorkflowStatus,
)
from agenticaiframework.patterns.engine import define_workflow
from agenticaiframework.patterns.engine.state.replay import replay
from agenticaiframework.patterns.engine.state.run import Run
from agenticaiframework.patterns.engine.state.status import WorkflowState
from agenticaiframework.patterns.engine.state.transitions import apply
from agenticaiframework.patterns.engine.state.views import state_of, status_of
from agenticaiframework.patterns.engine.store import NewRun, Record, open_store

from .conftest import run_in_virtual_time


def clock() -> float:
    return 1_000_000 + asyncio.get_running_loop().time()


# Agents without a memory of their own: what they do follows from their input and the attempt.


async def echo(payload: Any) -> Any:
    await asyncio.sleep(1)
    return {"got": payload}


async def fails_once(payload: Any) -> Any:
    await asyncio.sleep(1)
    if agent_context()["attempt"] == 1:
        raise ValueError("once")
    return {"got": payload}


async def fails(payload: Any) -> Any:
    await asyncio.sleep(1)
    raise ValueError("always")


async def refine(payload: Any) -> Any:
    await asyncio.sleep(1)
    round_ = agent_context().get("iteration", 1)
    return {"round": round_, "done": round_ >= 3}


def step(name: str, agent: str = "echo", **fields: Any) -> dict[str, Any]:
    return {"id": name, "agent": agent, "input": {"of": name}, **fields}


LAST = step("last", input={"all": "$input.n"})
RETRY = {"attempts": 3, "initial_delay_s": 2}

FLOWS: dict[str, list[dict[str, Any]]] = {
    "plain": [step("a"), LAST],
    "retry": [step("a", "fails_once", retry=RETRY), LAST],
    "fallback": [step("a", "fails", on_error={"fallback": "echo"}), LAST],
    "default": [step("a", "fails", retry=2, on_error={"default": {"x": 1}}), LAST],
    "skip": [step("a", "fails", on_error="skip"), LAST],
    "condition": [step("a", condition="input.n == 99"), LAST],
    "for_each": [step("a", for_each=[1, 2, 3], max_concurrency=2, input={"i": "$item"}), LAST],
    "for_each with a retry": [
        step("a", "fails_once", for_each=[1, 2, 3], max_concurrency=2, retry=RETRY),
        LAST,
    ],
    "for_each with a default": [
        step("a", "fails", for_each=[1, 2], on_error={"default": 0}),
        LAST,
    ],
    "for_each of nothing": [step("a", for_each=[]), LAST],
    "for_each after a pause": [step("a", delay=2, for_each=[1, 2]), LAST],
    "loop": [step("a", "refine", max_iterations=5), LAST],
    "wait": [{"id": "a", "wait_for": {"signal": "go"}}, LAST],
    "wait in vain": [
        {"id": "a", "wait_for": {"signal": "no", "timeout_seconds": 3, "default": "none"}},
        LAST,
    ],
    "delay": [{"id": "a", "delay": 5}, LAST],
    "delay before work": [step("a", delay=3), LAST],
    "nested": [{"id": "a", "workflow": {"name": "inner", "steps": [step("b"), step("c")]}}, LAST],
    "team": [
        {"id": "a", "team": "pair", "workflow": [{"role": "writer", "action": "write"}]},
        LAST,
    ],
    "side by side": [step("a", depends_on=[]), step("b", "fails_once", depends_on=[], retry=3)],
    "failure": [step("a"), step("b", "fails"), LAST],
    "failure that cancels": [
        step("a", depends_on=[]),
        step("b", "fails", depends_on=[], retry=1),
        step("c", depends_on=[], delay=9),
    ],
    "compensation": [
        step("a", compensate="echo"),
        step("b", compensate={"agent": "fails_once", "retry": RETRY}),
        step("c", compensate="fails"),
        step("d", "fails"),
    ],
    "cancel": [step("a"), {"id": "b", "wait_for": "never"}, LAST],
    "cancel with compensation": [
        step("a", compensate="echo"),
        step("b", depends_on=["a"]),
        step("c", depends_on=["a"]),
    ],
}


def flow_of(name: str) -> dict[str, Any]:
    more = {"on_failure": "cancel"} if name == "failure that cancels" else {}
    return {"name": name, "steps": FLOWS[name], **more}


def make_engine(store: Any = "memory://") -> OrchestrationEngine:
    engine = OrchestrationEngine(
        EngineConfig(state_store=store, wall_clock=clock, poll_seconds=0.5)
    )
    for name, handler in HANDLERS.items():
        engine.register_agent(name, Agent(name, handler=handler))
    team = AgentTeam(name="pair")
    team.add_role(AgentRole(name="writer", max_agents=1))
    team.assign_agent(Agent("member", handler=echo), role="writer")
    engine.register_team("pair", team)
    return engine


HANDLERS: dict[str, Callable[[Any], Any]] = {
    "echo": echo,
    "fails_once": fails_once,
    "fails": fails,
    "refine": refine,
}


async def to_the_end(engine: OrchestrationEngine, name: str, run_id: str) -> Any:
    """Let a run come to its end, and return its result, or its error as a text."""
    if name == "wait":
        try:
            await engine.signal_workflow(run_id, "go", {"said": "go"})
        except ValueError:
            pass  # it has ended
    if name.startswith("cancel") and (await engine.get_workflow_status(run_id)).reason is None:
        await asyncio.sleep(1.5)
        await engine.cancel_workflow(run_id, "enough")
    try:
        return dict(await engine.wait(run_id))
    except (WorkflowFailed, WorkflowCancelled) as error:
        return type(error).__name__


def told(status: WorkflowStatus, times: bool = True) -> dict[str, Any]:
    """Return what a status tells, with times counted from the beginning of the run."""

    def at(moment: float | None) -> Any:
        if moment is None or not times:
            return moment is None
        return round(moment - (status.created_at or 0.0), 6)

    return {
        "state": str(status.state),
        "progress": status.progress,
        "current": status.current_steps,
        "last_error": status.last_error,
        "reason": status.reason,
        "started": at(status.started_at),
        "finished": at(status.finished_at),
        "steps": {
            name: (
                str(one.state), one.attempts, one.iterations, one.error, one.waiting_for,
                at(one.started_at), at(one.ended_at), at(one.due_at),
            )
            for name, one in status.steps.items()
        },
    }  # fmt: skip


def seen(run: Run) -> dict[str, Any]:
    """Return what a run tells that is known from its events alone."""
    outputs = {key: value for key, value in run.scope.items() if key}
    return told(status_of(run, state_of(run))) | {"outputs": json.loads(json.dumps(outputs))}


def without_attempts(status: dict[str, Any]) -> dict[str, Any]:
    """Leave out what depends on where a run was cut: how often it was tried, and where it stands.

    An undo that was cut off is another attempt, and so is a round of a loop.
    """
    steps = {name: (one[0], *one[2:]) for name, one in status["steps"].items()}
    return status | {"state": "", "steps": steps}


async def run_once(name: str, stored: bool, followed: bool) -> tuple[Any, dict[str, Any], Any]:
    """Run a flow, and return its result, its status and the events that were told."""
    engine = make_engine()
    async with engine:
        run_id = await engine.start_workflow(
            workflow=flow_of(name), input_data={"n": 1}, persist_state=stored
        )
        events: list[Any] = []

        async def follow() -> None:
            events.extend([event async for event in engine.stream(run_id)])

        following = asyncio.create_task(follow()) if followed else None
        result = await to_the_end(engine, name, run_id)
        if following is not None:
            await following
        return result, told(await engine.get_workflow_status(run_id)), events


@pytest.mark.parametrize("name", FLOWS)
def test_a_run_tells_the_same_in_memory_and_stored_followed_and_not(name: str) -> None:
    async def main() -> None:
        result, status, _ = await run_once(name, stored=False, followed=False)
        for stored, followed in ((False, True), (True, False), (True, True)):
            again, told_again, _ = await run_once(name, stored, followed)
            assert again == result, (stored, followed)
            assert told_again == status, (stored, followed)

    run_in_virtual_time(main)


async def journal_of(name: str) -> tuple[Any, list[Any], Any, dict[str, Any], list[Any]]:
    """Run a stored flow, followed; return its row, journal, result, status and events."""
    store = open_store("memory://", clock=clock)
    engine = make_engine(store)
    async with engine:
        run_id = await engine.start_workflow(
            workflow=flow_of(name), input_data={"n": 1}, workflow_id="w", persist_state=True
        )
        events: list[Any] = []

        async def follow() -> None:
            events.extend([event async for event in engine.stream(run_id)])

        following = asyncio.create_task(follow())
        result = await to_the_end(engine, name, run_id)
        await following
        status = told(await engine.get_workflow_status(run_id))
        row = await store.load_run(run_id)
        return row, await store.read_journal(run_id), result, status, events


@pytest.mark.parametrize("name", FLOWS)
def test_a_journal_tells_at_every_prefix_what_those_who_followed_were_told(name: str) -> None:
    async def main() -> None:
        row, entries, _, status, events = await journal_of(name)
        plan = define_workflow(flow_of(name)).plan
        happened = [event for event in events if event.kind != "work"]
        assert [event.seq for event in happened] == [entry.seq for entry in entries]
        live = Run("w", plan, row.input, row.created_at)
        live.persist = True
        for count, (event, entry) in enumerate(zip(happened, entries, strict=True), 1):
            apply(live, event.kind, event.step, event.attempt, event.data, entry.at)
            assert seen(replay(row, plan, entries[:count])) == seen(live), event
        assert told(status_of(live, state_of(live))) == status

    run_in_virtual_time(main)


@pytest.mark.parametrize("name", FLOWS)
def test_another_engine_ends_a_run_the_same_way_from_every_prefix_of_its_journal(
    name: str,
) -> None:
    async def main() -> None:
        _, entries, result, _, _ = await journal_of(name)
        plan = define_workflow(flow_of(name)).plan
        row, _, _, _, _ = await journal_of(name)
        whole = told(status_of(replay(row, plan, entries), WorkflowState.RUNNING), times=False)
        for count in range(1, len(entries)):
            store = open_store("memory://", clock=clock)
            await store.open()
            owner = await store.register("gone", 30)
            new = NewRun("w", plan.name, plan.hash, plan.text, {"n": 1})
            records = [Record(e.kind, e.step, e.attempt, e.data) for e in entries[:count]]
            await store.create_run(owner, new, records)
            await store.retire(owner)
            engine = make_engine(store)
            async with engine:
                report = await engine.recover()
                assert report.recovered == ("w",)
                assert await to_the_end(engine, name, "w") == result, entries[count - 1]
                status = told(await engine.get_workflow_status("w"), times=False)
                assert status["state"] == str(row.state)
                if not name.startswith("cancel"):
                    assert without_attempts(status) == without_attempts(whole), entries[count - 1]

    run_in_virtual_time(main)
