"""Stored runs: the journal, recovery, resumption, ownership, and stores that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, agent_context
from agenticaiframework.actors.simulation import run_sim
from agenticaiframework.patterns import (
    AgentRole,
    AgentTeam,
    DefinitionError,
    ParallelOrchestration,
    SequentialOrchestration,
)
from agenticaiframework.patterns.engine import (
    DefinitionChanged,
    EngineConfig,
    EventKind,
    OrchestrationEngine,
    Retention,
    UnknownName,
    WorkflowCancelled,
    WorkflowExists,
    WorkflowFailed,
    WorkflowLost,
    WorkflowTimedOut,
)
from agenticaiframework.patterns.engine.store import StoreUnavailable
from agenticaiframework.patterns.engine.store.grouped.jobs import Write
from agenticaiframework.patterns.engine.store.urls import open_store

from .conftest import Cast, busy_coordinator, run_in_virtual_time, steps
from .test_control import until

OpenEngine = Callable[..., OrchestrationEngine]


@pytest.fixture(params=["sqlite", "memory"])
def store_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Any]:
    """Return what gives a store over the same medium each time."""
    if request.param == "memory":
        kept = open_store("memory://", clock=virtual_clock)
        return lambda: kept
    url = f"sqlite:///{tmp_path}/engine.sqlite"
    return lambda: open_store(url, clock=virtual_clock, inline=True)


def virtual_clock() -> float:
    """The dates of a simulated world: the loop's own time."""
    try:
        return 1_000_000 + asyncio.get_running_loop().time()
    except RuntimeError:
        return 1_000_000.0


@pytest.fixture
def opened(store_of: Callable[[], Any]) -> OpenEngine:
    def open_engine(**config: Any) -> OrchestrationEngine:
        options = {"state_store": store_of(), "persist_state": True, "lease_seconds": 10}
        return OrchestrationEngine(
            EngineConfig(**{**options, "wall_clock": virtual_clock, **config})
        )

    return open_engine


async def journal(e: OrchestrationEngine, workflow_id: str) -> list[tuple[str, str, int]]:
    store = e.config.state_store
    return [(x.kind, x.step, x.attempt) for x in await store.read_journal(workflow_id)]


# --------------------------------------------------------------------------- writing


def test_what_happens_is_in_the_journal_before_and_after_each_step(
    opened: OpenEngine, cast: Cast
) -> None:
    cast.agent("a", {"x": 1})
    cast.failing("b", 1, "B")
    flow = steps("a", {"id": "b", "agent": "b", "retry": 2}, {"id": "c", "agent": "a",
                                                              "condition": "false"})  # fmt: skip

    async def main() -> None:
        async with opened() as e:
            result = await e.execute(workflow=flow, input_data={"q": 1}, workflow_id="w")
            assert result == {"a": {"x": 1}, "b": "B", "c": None}
            assert await journal(e, "w") == [
                ("workflow_started", "", 0),
                ("step_started", "a", 1),
                ("step_completed", "a", 1),
                ("step_started", "b", 1),
                ("step_retrying", "b", 1),
                ("step_started", "b", 2),
                ("step_completed", "b", 2),
                ("step_skipped", "c", 0),
                ("workflow_completed", "", 0),
            ]
            row = await e.config.state_store.load_run("w")
            assert (row.state, row.finished, row.input) == ("completed", True, {"q": 1})

    run_in_virtual_time(main)


def test_a_step_is_on_disk_before_its_agent_is_asked(opened: OpenEngine, cast: Cast) -> None:
    async def main() -> None:
        async with opened() as e:

            async def look(payload: Any) -> list[Any]:
                return [(k, s) for k, s, _ in await journal(e, agent_context()["workflow_id"])]

            e.register_agent("look", look)
            flow = steps({"id": "one", "agent": "look"}, {"id": "two", "agent": "look"})
            result = await e.execute(workflow=flow)
            assert result["one"] == [["workflow_started", ""], ["step_started", "one"]]
            assert result["two"][2:] == [["step_completed", "one"], ["step_started", "two"]]

    run_in_virtual_time(main)


def test_the_same_workflow_gives_the_same_with_and_without_a_store(
    opened: OpenEngine, cast: Cast
) -> None:
    cast.agent("a", {"n": [1, 2, 3]})
    cast.agent("b", lambda p: {"n": p.get("n", 0) + 1})
    cast.failing("c", 2)
    cast.agent("d", lambda p: p)
    flow = steps(
        "a",
        {"id": "each", "agent": "d", "for_each": "$a.n", "input": {"x": "$item"}},
        {"id": "b", "agent": "b", "until": "$output.n == 3", "input": {}},
        {"id": "c", "agent": "c", "on_error": {"default": 7}},
        {"id": "d", "agent": "d", "input": ["$each", "$b.n", "$c"]},
    )

    async def main() -> None:
        async with opened() as e:
            stored = await e.execute(workflow=flow, workflow_id="stored")
            kept = await e.execute(workflow=flow, workflow_id="kept", persist_state=False)
            assert {**stored, "c": kept["c"], "d": kept["d"]} == kept
            for wid, other in (("stored", "kept"),):
                one = await e.get_workflow_status(wid)
                two = await e.get_workflow_status(other)
                assert [(s.id, s.state, s.iterations) for s in one.steps.values()] == [
                    (s.id, s.state, s.iterations) for s in two.steps.values()
                ]

    run_in_virtual_time(main)


def test_what_is_read_back_is_what_was(opened: OpenEngine, store_of: Any, cast: Cast) -> None:
    """A run rebuilt from its journal has the status that the live run had."""
    cast.agent("a", {"n": [1, 2]})
    cast.agent("e", lambda p: p)
    cast.failing("b", 1)
    flow = steps(
        "a",
        {"id": "each", "agent": "e", "for_each": "$a.n"},
        {"id": "b", "agent": "b", "retry": 2},
        {"id": "skipped", "agent": "a", "condition": "false"},
        {"id": "left", "agent": "nobody", "on_error": "skip", "depends_on": []},
    )

    async def nobody(payload: Any) -> None:
        raise RuntimeError("never works")

    async def main() -> None:
        async with opened() as e:
            e.register_agent("nobody", nobody)
            await e.execute(workflow=flow, workflow_id="w", labels={"k": "v"})
            live = await e.get_workflow_status("w")
        async with opened() as other:
            read = await other.get_workflow_status("w")
            assert read.state == live.state
            assert read.labels == live.labels
            for name, step in live.steps.items():
                again = read.steps[name]
                assert (again.state, again.attempts, again.iterations, again.error) == (
                    step.state,
                    step.attempts,
                    step.iterations,
                    step.error,
                )
            assert await other.wait("w") == {
                "a": {"n": [1, 2]}, "each": [1, 2], "b": "ok", "skipped": None, "left": None,
            }  # fmt: skip

    run_in_virtual_time(main)


def test_a_value_that_cannot_be_stored_fails_its_step_loudly(
    opened: OpenEngine, cast: Cast
) -> None:
    cast.agent("a", object())
    cast.agent("b")

    async def main() -> None:
        async with opened() as e:
            with pytest.raises(WorkflowFailed, match="cannot be stored"):
                await e.execute(workflow=steps("a", "b"), workflow_id="w")
            assert (await e.get_workflow_status("w")).state == "failed"

    run_in_virtual_time(main)
    assert cast.asked == ["a"]


def test_an_input_that_cannot_be_stored_is_refused(opened: OpenEngine, cast: Cast) -> None:
    cast.agent("a")

    async def main() -> None:
        async with opened() as e:
            for call in (e.execute, e.start_workflow):
                with pytest.raises(Exception, match="cannot be stored"):
                    await call(workflow=steps("a"), input_data=object())

    run_in_virtual_time(main)
    assert cast.asked == []


# --------------------------------------------------------------------------- after the end


def test_a_run_that_was_cut_off_goes_on_and_repeats_only_the_step_under_way(
    opened: OpenEngine, cast: Cast
) -> None:
    keys: list[str] = []
    cast.agent("a", lambda p: {"x": len(cast.log)})

    async def hang(payload: Any) -> str:
        keys.append(agent_context()["idempotency_key"])
        if len(keys) == 1:
            await asyncio.sleep(1000)
        return "B"

    cast.agent("b", hang)
    cast.agent("c", lambda p: p)
    flow = steps("a", "b", {"id": "c", "agent": "c", "input": ["$a.x", "$b"]})

    async def first() -> None:
        async with opened() as e:
            await e.start_workflow(workflow=flow, workflow_id="w")
            await asyncio.sleep(5)
            assert (await e.get_workflow_status("w")).current_step == "b"

    async def second() -> None:
        async with opened() as e:
            report = await e.recover()
            assert report.recovered == ("w",)
            assert (await e.wait("w"))["c"] == [1, "B"]
            assert (await e.recover()).recovered == ()
            status = await e.get_workflow_status("w")
            assert status.steps["b"].attempts == 1

    run_in_virtual_time(first)
    run_in_virtual_time(second)
    assert cast.asked == ["a", "b", "b", "c"]
    assert keys == ["w:b", "w:b"]


@pytest.mark.parametrize(
    "kind", ["agent", "items", "retried", "optional", "chain", "collected", "team", "undoing"]
)
def test_a_run_whose_system_ends_before_its_engine_is_interrupted_and_goes_on(
    opened: OpenEngine, cast: Cast, kind: str
) -> None:
    async def hang_once(payload: Any) -> str:
        if cast.asked.count("b") == 1:
            await asyncio.sleep(1000)
        return "B"

    b = cast.agent("b", hang_once)
    team = AgentTeam(name="crew")
    team.add_role(AgentRole(name="worker"))
    team.assign_agent(b, role="worker")
    parallel = ParallelOrchestration(
        name="both", branches=[{"agent": "b", "input_key": "x"}], join="collect"
    )
    step: dict[str, Any] = {
        "agent": {"agent": "b"},
        "items": {"agent": "b", "for_each": [1]},
        "retried": {"agent": "b", "retry": 3},
        "optional": {"agent": "b", "on_error": "skip"},
        "chain": {"pattern": SequentialOrchestration(name="chain", steps=["b"])},
        "collected": {"pattern": parallel},
        "team": {"team": team, "input": "do it"},
        "undoing": {"agent": "a", "compensate": "b"},
    }[kind]
    cast.agent("a")
    cast.failing("c", 1 if kind == "undoing" else 0)
    flow = steps({"id": "b", **step}, {"id": "c", "agent": "c"})
    waiting: list[asyncio.Task[Any]] = []

    async def first() -> None:
        e = opened()
        async with ActorSystem("first"):
            await e.start_workflow(workflow=flow, input_data={"x": 1}, workflow_id="w")
            waiting.append(asyncio.create_task(e.wait("w")))
            await asyncio.sleep(5)
        with pytest.raises(WorkflowLost):
            await waiting[0]

    async def second() -> None:
        async with ActorSystem("second"), opened() as e:
            e.register_team("crew", team)
            status = await e.get_workflow_status("w")
            assert status.state == ("compensating" if kind == "undoing" else "running")
            assert (await e.recover()).recovered == ("w",)
            if kind == "undoing":
                with pytest.raises(WorkflowFailed):
                    await e.wait("w")
                assert (await e.get_workflow_status("w")).steps["b"].state == "compensated"
                return
            assert "B" in repr((await e.wait("w"))["b"])
            status = await e.get_workflow_status("w")
            assert status.steps["b"].attempts == 1
            assert ("step_failed", "b", 1) not in await journal(e, "w")

    run_sim(first)
    run_sim(second)
    assert cast.asked.count("b") == 2


def test_agents_and_functions_that_were_given_themselves_are_themselves_when_their_run_goes_on(
    opened: OpenEngine,
) -> None:
    broken = [ConnectionError("down")] * 2

    async def charge(payload: Any) -> str:
        if broken:
            raise broken.pop()
        return "charged"

    flow = steps({"id": "charge", "agent": charge})

    async def main() -> None:
        async with opened() as e:
            with pytest.raises(WorkflowFailed):
                await e.execute(workflow=flow, workflow_id="w")
            await e.resume_workflow("w")
            with pytest.raises(WorkflowFailed):
                await e.wait("w")
            await e.resume_workflow("w")
            assert await e.wait("w") == {"charge": "charged"}

    async def elsewhere() -> None:
        broken.append(ConnectionError("down"))
        async with opened() as e:
            with pytest.raises(WorkflowFailed):
                await e.execute(workflow=flow, workflow_id="w2")
        async with opened() as e:
            with pytest.raises(UnknownName, match="register_agent"):
                await e.resume_workflow("w2")
            await e.resume_workflow("w2", workflow=flow)
            assert await e.wait("w2") == {"charge": "charged"}

    run_in_virtual_time(main)
    run_in_virtual_time(elsewhere)


def test_a_definition_that_cannot_be_stored_is_refused_when_it_is_given(opened: OpenEngine) -> None:
    async def work(payload: Any) -> Any:
        return payload

    chain = SequentialOrchestration(name="chain", steps=[{"agent": work, "input_key": "x"}])
    flow = steps({"id": "a", "pattern": chain})

    async def main() -> None:
        async with opened() as e:
            for start in (e.execute, e.start_workflow):
                with pytest.raises(DefinitionError, match="cannot be written"):
                    await start(workflow=flow, input_data={"x": 1}, workflow_id="w")
            assert (await e.list_workflows()).workflows == ()
            done = await e.execute(workflow=flow, input_data={"x": 1}, persist_state=False)
            assert done == {"a": 1}

    run_in_virtual_time(main)


def test_recovery_can_be_left_to_the_first_use(opened: OpenEngine, cast: Cast) -> None:
    cast.agent("a")
    cast.slow("b", 3, "B")

    async def first() -> None:
        async with opened() as e:
            await e.start_workflow(workflow=steps("a", "b"), workflow_id="w")
            await asyncio.sleep(1)

    async def second() -> None:
        async with opened(recover_on_start=True) as e:
            assert (await e.wait("w"))["b"] == "B"

    run_in_virtual_time(first)
    run_in_virtual_time(second)


def test_what_waits_and_sleeps_goes_on_where_it_was(opened: OpenEngine, cast: Cast) -> None:
    cast.agent("a", lambda p: p)
    flow = steps(
        {"id": "w", "wait_for": {"signal": "s", "timeout_seconds": 100, "default": "none"}},
        {"id": "pause", "delay": 50, "depends_on": []},
        {"id": "a", "agent": "a", "input": "$w"},
    )

    async def first() -> None:
        async with opened() as e:
            for name in ("signalled", "timed"):
                await e.start_workflow(workflow=flow, workflow_id=name)
            await asyncio.sleep(20)
            assert (await e.get_workflow_status("timed")).state == "waiting"

    async def second() -> None:
        await asyncio.sleep(30)  # the dates of both worlds go on from the same second
        async with opened() as e:
            await e.signal_workflow("signalled", "s", "hello")
            assert len(await e.recover()) == 2
            assert (await e.wait("signalled"))["a"] == "hello"
            system = ActorSystem.current()
            begun = system.clock()
            assert (await e.wait("timed"))["a"] == "none"
            assert 40 < system.clock() - begun < 80

    run_in_virtual_time(first)
    run_in_virtual_time(second)


def test_the_time_limit_of_a_run_goes_on_while_no_engine_is_there(
    opened: OpenEngine, cast: Cast
) -> None:
    cast.agent("a")
    flow = steps("a", {"id": "w", "wait_for": "s"}, timeout_seconds=60)

    async def first() -> None:
        async with opened() as e:
            await e.start_workflow(workflow=flow, workflow_id="w")
            await asyncio.sleep(20)

    async def second() -> None:
        await asyncio.sleep(100)
        async with opened(recover_on_start=True) as e:
            with pytest.raises(WorkflowTimedOut):
                await e.wait("w")
            await e.resume_workflow("w")
            await e.signal_workflow("w", "s", "late")
            assert (await e.wait("w"))["w"] == "late"

    run_in_virtual_time(first)
    run_in_virtual_time(second)


def test_a_failed_run_is_resumed_by_another_engine(opened: OpenEngine, cast: Cast) -> None:
    cast.agent("a", "A")
    cast.failing("b", 1, "B")

    async def first() -> None:
        async with opened() as e:
            with pytest.raises(WorkflowFailed, match="resume_workflow"):
                await e.execute(workflow=steps("a", "b"), workflow_id="w")

    async def second() -> None:
        async with opened() as e:
            assert (await e.recover()).recovered == ()
            with pytest.raises(WorkflowFailed, match="b is down"):
                await e.wait("w")
            assert (await e.resume_workflow("w")).state in ("running", "completed")
            assert await e.wait("w") == {"a": "A", "b": "B"}
            assert (await e.resume_workflow("w")).state == "completed"

    run_in_virtual_time(first)
    run_in_virtual_time(second)
    assert cast.asked == ["a", "b", "b"]


def test_retry_from_rewinds_a_stored_run(opened: OpenEngine, cast: Cast) -> None:
    count = iter(range(9))
    for name in ("a", "b", "c"):
        cast.agent(name, lambda p: next(count))

    async def first() -> None:
        async with opened() as e:
            assert await e.execute(workflow=steps("a", "b", "c"), workflow_id="w") == {
                "a": 0, "b": 1, "c": 2,
            }  # fmt: skip

    async def second() -> None:
        async with opened() as e:
            await e.retry_from("w", "b")
            assert await e.wait("w") == {"a": 0, "b": 3, "c": 4}

    async def third() -> None:
        async with opened() as e:
            assert await e.wait("w") == {"a": 0, "b": 3, "c": 4}

    for part in (first, second, third):
        run_in_virtual_time(part)


def test_an_iterating_step_goes_on_with_its_iteration(opened: OpenEngine, cast: Cast) -> None:
    async def work(p: Any) -> Any:
        n = p.get("n", 0) + 1
        if n == 3 and cast.asked.count("a") == 3:
            await asyncio.sleep(1000)
        return {"n": n, "done": n == 4}

    cast.agent("a", work)
    flow = steps({"id": "a", "agent": "a", "max_iterations": 10, "input": {"q": 1}})

    async def first() -> None:
        async with opened() as e:
            await e.start_workflow(workflow=flow, workflow_id="w")
            await asyncio.sleep(1)

    async def second() -> None:
        async with opened() as e:
            await e.recover()
            assert (await e.wait("w"))["a"]["n"] == 4

    run_in_virtual_time(first)
    run_in_virtual_time(second)
    assert [p.get("n") for p in cast.payloads("a")] == [None, 1, 2, 2, 3]


def test_finished_items_are_not_repeated(opened: OpenEngine, cast: Cast) -> None:
    async def work(p: int) -> int:
        if p == 2 and cast.payloads("a").count(2) == 1:
            await asyncio.sleep(1000)
        return p * 10

    cast.agent("a", work)
    flow = steps({"id": "a", "agent": "a", "for_each": "$input", "max_concurrency": 1})

    async def first() -> None:
        async with opened() as e:
            await e.start_workflow(workflow=flow, input_data=[0, 1, 2, 3], workflow_id="w")
            await asyncio.sleep(1)

    async def second() -> None:
        async with opened() as e:
            await e.recover()
            assert (await e.wait("w"))["a"] == [0, 10, 20, 30]

    run_in_virtual_time(first)
    run_in_virtual_time(second)
    assert cast.payloads("a") == [0, 1, 2, 2, 3]


def test_a_nested_workflow_goes_on_inside(opened: OpenEngine, cast: Cast) -> None:
    cast.agent("a", "A")
    cast.agent("c", "C")

    async def hang(p: Any) -> str:
        if cast.asked.count("b") == 1:
            await asyncio.sleep(1000)
        return "B"

    cast.agent("b", hang)
    flow = steps({"id": "n", "workflow": steps("a", "b")}, "c")

    async def first() -> None:
        async with opened() as e:
            await e.start_workflow(workflow=flow, workflow_id="w")
            await asyncio.sleep(1)

    async def second() -> None:
        async with opened() as e:
            assert len(await e.recover()) == 2
            assert await e.wait("w") == {"n": {"a": "A", "b": "B"}, "c": "C"}

    run_in_virtual_time(first)
    run_in_virtual_time(second)
    assert cast.asked == ["a", "b", "b", "c"]


@pytest.mark.parametrize("items", [False, True])
def test_what_a_fallback_stands_in_for_survives_a_crash(
    opened: OpenEngine, cast: Cast, items: bool
) -> None:
    cast.failing("a", 99, error=ValueError("the first reason"))

    async def rescue(payload: Any) -> None:
        if len(cast.payloads("b")) == 1:
            await asyncio.sleep(1000)
        raise KeyError("the second reason")

    cast.agent("b", rescue)
    step = {"id": "s", "agent": "a", "on_error": {"fallback": "b"}}
    if items:
        step |= {"for_each": "$input.items", "input": "$item"}

    async def first() -> None:
        async with opened() as e:
            await e.start_workflow(workflow=steps(step), workflow_id="w", input_data={"items": [1]})
            await asyncio.sleep(1)

    async def second() -> None:
        async with opened() as e:
            await e.recover()
            with pytest.raises(WorkflowFailed, match="second reason.* the first reason") as caught:
                await e.wait("w")
            assert caught.value.instead_of == "ValueError: the first reason"

    run_in_virtual_time(first)
    run_in_virtual_time(second)
    assert cast.asked == ["a", "b", "b"]


def test_compensations_survive_a_crash(opened: OpenEngine, cast: Cast) -> None:
    cast.agent("a", lambda p: p)
    cast.failing("pay", 99)

    async def undo(p: Any) -> None:
        if p == "one" and cast.payloads("undo").count("one") == 1:
            await asyncio.sleep(1000)

    cast.agent("undo", undo)
    flow = steps(
        *(
            {"id": n, "agent": "a", "input": n, "compensate": "undo"}
            for n in ("zero", "one", "two")
        ),
        "pay",
    )

    async def first() -> None:
        async with opened() as e:
            await e.start_workflow(workflow=flow, workflow_id="w")
            await asyncio.sleep(1)
            assert (await e.get_workflow_status("w")).state == "compensating"

    async def second() -> None:
        async with opened() as e:
            await e.recover()
            with pytest.raises(WorkflowFailed, match="pay is down"):
                await e.wait("w")

    run_in_virtual_time(first)
    run_in_virtual_time(second)
    assert cast.payloads("undo") == ["two", "one", "one", "zero"]


# --------------------------------------------------------------------------- cancel


def test_a_cancellation_survives_a_crash(opened: OpenEngine, cast: Cast) -> None:
    cast.agent("a")
    cast.slow("b", 1000)
    cast.agent("undo")
    flow = steps({"id": "a", "agent": "a", "compensate": "undo"}, "b")

    async def first() -> None:
        async with opened() as e:
            await e.start_workflow(workflow=flow, workflow_id="w")
            await asyncio.sleep(1)

    async def asked() -> None:
        # Nobody runs it now; the wish is noted, and carried out by whoever takes the run.
        async with opened() as e:
            report = await e.cancel_workflow("w", reason="not needed")
            assert report.state == "cancelled"
            assert report.compensated_steps == ("a",)

    async def later() -> None:
        async with opened() as e:
            assert (await e.recover()).recovered == ()
            status = await e.get_workflow_status("w")
            assert (status.state, status.reason) == ("cancelled", "not needed")
            with pytest.raises(WorkflowCancelled, match="not needed"):
                await e.wait("w")
            assert (await e.cancel_workflow("w")).already_finished
            await e.resume_workflow("w")

    for part in (first, asked, later):
        run_in_virtual_time(part)
    assert cast.asked == ["a", "b", "undo"]


def test_a_noted_cancellation_is_carried_out_by_recovery(
    opened: OpenEngine, store_of: Any, cast: Cast
) -> None:
    cast.agent("a")
    cast.slow("b", 1000)

    async def first() -> None:
        async with opened() as e:
            await e.start_workflow(workflow=steps("a", "b"), workflow_id="w")
            await asyncio.sleep(1)

    async def second() -> None:
        store = store_of()
        await store.open()
        await store.request_cancel("w", "by hand")
        await store.close()
        async with opened() as e:
            await e.recover()
            with pytest.raises(WorkflowCancelled, match="by hand"):
                await e.wait("w")

    run_in_virtual_time(first)
    run_in_virtual_time(second)
    assert cast.asked == ["a", "b"]


# --------------------------------------------------------------------------- two engines


def test_two_engines_on_one_store_signal_cancel_and_wait_for_each_others_runs(
    opened: OpenEngine, cast: Cast
) -> None:
    cast.agent("a", lambda p: p)
    flow = steps({"id": "w", "wait_for": "go"}, "a")

    async def main() -> None:
        one, two = opened(), opened()
        await one.start_workflow(workflow=flow, workflow_id="w1")
        await one.start_workflow(workflow=flow, workflow_id="w2")
        assert (await two.recover()).recovered == ()
        assert (await two.get_workflow_status("w1")).state == "waiting"
        assert {w.workflow_id for w in await two.list_workflows()} == {"w1", "w2"}
        waiting = asyncio.create_task(two.wait("w1"))
        await two.signal_workflow("w1", "go", "hello")
        assert (await waiting)["a"] == "hello"
        report = await two.cancel_workflow("w2", reason="from afar")
        assert report.state == "cancelled"
        assert (await one.get_workflow_status("w2")).reason == "from afar"
        assert (await two.resume_workflow("w1")).state == "completed"
        with pytest.raises(WorkflowExists):
            await two.start_workflow(workflow=flow, workflow_id="w1")
        await one.stop()
        await two.stop()

    run_in_virtual_time(main)
    assert cast.asked == ["a"]


def test_an_engine_sees_that_another_has_taken_a_run_that_had_ended_here(
    opened: OpenEngine, cast: Cast
) -> None:
    cast.failing("a", 2, "A")
    cast.slow("b", 5, "B")

    async def main() -> None:
        async with opened() as one, opened() as two:
            with pytest.raises(WorkflowFailed):
                await one.execute(workflow=steps("a", "b"), workflow_id="w")
            await two.resume_workflow("w")
            with pytest.raises(WorkflowFailed):
                await two.wait("w")
            await two.resume_workflow("w")
            assert (await one.get_workflow_status("w")).state == "running"
            assert await one.wait("w") == {"a": "A", "b": "B"}
            assert (await one.get_workflow_status("w")).steps["a"].attempts == 3
            await two.retry_from("w", "b")
            await asyncio.sleep(1)
            report = await one.cancel_workflow("w", "enough")
            assert (report.state, report.already_finished) == ("cancelled", False)
            with pytest.raises(WorkflowCancelled, match="enough"):
                await two.wait("w")
            assert (await one.resume_workflow("w")).state == "cancelled"

    run_in_virtual_time(main)


def test_an_engine_whose_lease_ended_cannot_write_and_its_run_goes_on_elsewhere(
    opened: OpenEngine, cast: Cast
) -> None:
    cast.slow("a", 60, "A")
    cast.agent("b", "B")

    async def main() -> None:
        system = ActorSystem.current()
        paused, other = opened(), opened()
        await paused.start_workflow(workflow=steps("a", "b"), workflow_id="w")
        await asyncio.sleep(1)
        [keeper] = [r for r in system.actors() if r.actor_class.__name__ == "LeaseKeeper"]
        system.suspend(keeper)  # a process that is paused renews nothing
        await asyncio.sleep(30)
        assert (await other.recover()).recovered == ("w",)
        assert await other.wait("w") == {"a": "A", "b": "B"}
        lost = await paused.get_workflow_status("w")
        assert lost.state in ("completed", "interrupted")
        system.resume(keeper)
        await asyncio.sleep(30)
        entries = await other.config.state_store.read_journal("w")
        assert sum(1 for x in entries if x.kind == EventKind.STEP_COMPLETED) == 2
        assert [x.seq for x in entries] == list(range(1, len(entries) + 1))
        assert (await paused.wait("w")) == {"a": "A", "b": "B"}
        await paused.stop()
        await other.stop()

    run_in_virtual_time(main)


# --------------------------------------------------------------------------- definitions


def test_a_changed_definition_is_noticed_and_the_choice_is_explicit(
    opened: OpenEngine, cast: Cast
) -> None:
    cast.agent("a", "A")
    cast.failing("b", 3, "B")
    cast.agent("c", "C")
    cast.agent("d", "D")
    old = steps("a", "b", "c")
    new = steps("a", "b", {"id": "d", "agent": "d"})

    async def first() -> None:
        async with opened() as e:
            e.register_workflow("test", old)
            for name in ("as_old", "as_new"):
                with pytest.raises(WorkflowFailed):
                    await e.execute(workflow="test", workflow_id=name)

    async def second() -> None:
        async with opened() as e:
            e.register_workflow("test", new)
            with pytest.raises(DefinitionChanged) as caught:
                await e.resume_workflow("as_old")
            assert "'d' is new" in str(caught.value)
            assert "'c' is gone" in str(caught.value)
            await e.resume_workflow("as_old", definition="old")
            with pytest.raises(WorkflowFailed):
                await e.wait("as_old")
            await e.resume_workflow("as_old", definition="old")
            assert await e.wait("as_old") == {"a": "A", "b": "B", "c": "C"}
            await e.resume_workflow("as_new", definition="new")
            assert await e.wait("as_new") == {"a": "A", "b": "B", "d": "D"}

    async def third() -> None:
        async with opened() as e:
            assert await e.wait("as_new") == {"a": "A", "b": "B", "d": "D"}

    for part in (first, second, third):
        run_in_virtual_time(part)
    assert cast.asked.count("a") == 2


def test_recovery_leaves_runs_whose_definition_has_changed(opened: OpenEngine, cast: Cast) -> None:
    cast.agent("a")
    cast.slow("b", 100)

    async def first() -> None:
        async with opened() as e:
            await e.start_workflow(workflow=steps("a", "b"), workflow_id="w")
            await asyncio.sleep(1)

    async def second() -> None:
        async with opened() as e:
            e.register_workflow("test", steps("a", "b", "a" and {"id": "z", "agent": "a"}))
            report = await e.recover()
            assert (report.recovered, report.changed) == ((), ("w",))
            await e.resume_workflow("w", definition="old")
            await e.wait("w")

    run_in_virtual_time(first)
    run_in_virtual_time(second)


def test_an_engine_serves_several_threads_on_one_store_at_once(tmp_path: Path) -> None:
    async def work(payload: Any) -> Any:
        await asyncio.sleep(0.05)
        return payload

    e = OrchestrationEngine(
        EngineConfig(state_store=f"sqlite:///{tmp_path}/runs.sqlite", persist_state=True)
    )
    e.register_agent("a", work)

    def run(n: int) -> list[Any]:
        async def several() -> list[Any]:
            return [await e.execute(workflow=steps("a"), input_data=n) for _ in range(3)]

        return asyncio.run(several())

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, range(4)))
    assert found == [[{"a": n}] * 3 for n in range(4)]


def test_a_stored_definition_that_cannot_be_read_is_told_and_reported(
    opened: OpenEngine, cast: Cast
) -> None:
    cast.slow("a", 100)

    async def first() -> None:
        async with opened() as e:
            await e.start_workflow(workflow=steps("a"), workflow_id="w")
            await asyncio.sleep(1)

    async def second() -> None:
        async with opened() as e:
            await e.list_workflows(persisted=True)
            store = e.config.state_store
            real = store.load_definition

            async def load_definition(key: str) -> str:
                return '{"name": "test", "steps": [{"id": "a", "agnet": "a"}]}'

            store.load_definition = load_definition
            try:
                with pytest.raises(DefinitionError, match="agnet"):
                    await e.get_workflow_status("w")
            finally:
                store.load_definition = real

    run_in_virtual_time(first)
    run_in_virtual_time(second)


def test_a_run_whose_agents_are_gone_is_reported_and_left(opened: OpenEngine, cast: Cast) -> None:
    async def first() -> None:
        async with opened() as e:
            e.register_agent("here", cast.slow("here", 100))
            await e.start_workflow(workflow=steps("here"), workflow_id="w")
            await asyncio.sleep(1)
            del cast.agents["here"]

    async def second() -> None:
        import gc

        gc.collect()
        async with opened() as e:
            report = await e.recover()
            assert report.recovered == ()
            assert "here" in report.failed["w"]
            e.register_agent("here", cast.agent("other", "now"))
            assert (await e.recover()).recovered == ("w",)
            assert await e.wait("w") == {"here": "now"}

    run_in_virtual_time(first)
    run_in_virtual_time(second)


# --------------------------------------------------------------------------- stores that fail


class Breaking:
    """A store that fails when it is told to; all else goes to the real one."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.broken = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def submit(
        self, lease: Any, records: Any, done: Any, update: Any = None, used: Any = ()
    ) -> None:
        if self.broken:
            done(StoreUnavailable("the store", "appending", "no space"))
        else:
            self._store.submit(lease, records, done, update, used)

    def submit_run(self, owner: Any, run: Any, done: Any, records: Any = ()) -> Any:
        if self.broken:
            done(StoreUnavailable("the store", "creating a run", "no space"))
            return None
        return self._store.submit_run(owner, run, done, records)


def test_a_store_that_fails_is_loud_and_the_step_is_not_acknowledged(
    opened: OpenEngine, store_of: Any, cast: Cast
) -> None:
    store = Breaking(store_of())
    cast.agent("c", "C")
    cast.slow("a", 1, "A")

    def break_it(payload: Any) -> str:
        store.broken = cast.asked.count("b") == 1
        return "B"

    cast.agent("b", break_it)

    async def main() -> None:
        async with opened(state_store=store) as e:
            with pytest.raises(WorkflowFailed, match="no space"):
                await e.execute(workflow=steps("a", "b", "c"), workflow_id="w")
            status = await e.get_workflow_status("w")
            assert status.state == "failed"
            assert "no space" in str(status.last_error)
            for call in (e.execute, e.start_workflow):
                with pytest.raises((WorkflowFailed, StoreUnavailable), match="no space"):
                    await call(workflow=steps("c"))
            store.broken = False
            assert [k for k, s, _ in await journal(e, "w") if s == "b"] == ["step_started"]
            await e.resume_workflow("w")
            assert await e.wait("w") == {"a": "A", "b": "B", "c": "C"}

    run_in_virtual_time(main)
    assert cast.asked == ["a", "b", "b", "c"]


def test_a_nested_workflow_that_could_not_be_stored_is_begun_again(
    opened: OpenEngine, store_of: Any, cast: Cast
) -> None:
    store = Breaking(store_of())
    cast.agent("b", "B")
    flow = steps({"id": "n", "workflow": steps("b")})
    real, refused = store.submit_run, []

    def submit_run(owner: Any, run: Any, done: Any, records: Any = ()) -> Any:
        if "~" in run.run_id and not refused:
            refused.append(run.run_id)
            store.broken = True
        return real(owner, run, done, records)

    async def main() -> None:
        async with opened(state_store=store) as e:
            store.submit_run = submit_run  # type: ignore[method-assign]
            await e.start_workflow(workflow=flow, workflow_id="w")
            await asyncio.sleep(5)
            store.broken = False
            assert await e.wait("w", 100) == {"n": {"b": "B"}}

    run_in_virtual_time(main)
    assert refused
    assert cast.asked == ["b"]


def test_a_coordinator_that_is_killed_goes_on_from_the_journal(
    opened: OpenEngine, cast: Cast
) -> None:
    cast.agent("a", "A")
    cast.slow("b", 10, "B")

    async def main() -> None:
        async with opened() as e:
            system = ActorSystem.current()
            await e.start_workflow(workflow=steps("a", "b"), workflow_id="w")
            waiting = asyncio.create_task(e.wait("w"))
            await asyncio.sleep(1)
            victim = busy_coordinator(system)
            victim.kill()
            assert await waiting == {"a": "A", "b": "B"}

    run_in_virtual_time(main)
    assert cast.asked == ["a", "b", "b"]


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("victim", ["RunCoordinator", "EngineCore", None])
def test_agents_do_not_work_on_for_a_run_that_was_cut_short(
    victim: str | None, stored: bool, opened: OpenEngine, cast: Cast
) -> None:
    cast.slow("b", 10)

    async def main() -> None:
        e = opened()
        await e.start_workflow(workflow=steps("b"), workflow_id="w", persist_state=stored)
        await asyncio.sleep(1)
        if victim is None:
            await e.stop()
        else:
            refs = ActorSystem.current().actors()
            [ref] = [r for r in refs if r.actor_class.__name__ == victim]
            ref.kill()
        await asyncio.sleep(0.1)
        assert cast.stopped == ["b"]
        await e.stop()

    run_in_virtual_time(main)
    assert cast.done == []


# --------------------------------------------------------------------------- more


def test_a_stored_run_is_streamed_live_and_from_the_journal(opened: OpenEngine, cast: Cast) -> None:
    cast.slow("a", 1, "A")
    cast.slow("b", 1, "B")

    async def main() -> None:
        async with opened() as e:
            live = [x async for x in e.stream(workflow=steps("a", "b"))]
            wid = live[0].workflow_id
        async with opened() as e:
            stream = e.stream(wid)
            replayed = [x async for x in stream]
            assert stream.workflow_id == wid
            assert [(x.kind, x.step, x.attempt) for x in replayed] == [
                (x.kind, x.step, x.attempt) for x in live
            ]
            assert [x.seq for x in replayed] == list(range(1, len(live) + 1))
            wid = await e.start_workflow(workflow=steps("a", "b"))
            await asyncio.sleep(1.5)
            joined = [x async for x in e.stream(wid)]
            assert [(x.kind, x.step) for x in joined] == [(x.kind, x.step) for x in live]

    run_in_virtual_time(main)


def test_an_item_that_ends_while_the_journal_is_read_is_streamed(
    opened: OpenEngine, cast: Cast
) -> None:
    async def take(payload: int) -> int:
        await asyncio.sleep(payload)
        return payload

    cast.agent("a", take)
    flow = steps({"id": "a", "agent": "a", "for_each": [1, 3], "input": "$item"})

    async def main() -> None:
        async with opened() as e:
            wid = await e.start_workflow(workflow=flow)
            await asyncio.sleep(2)
            store = e.config.state_store
            real = store.read_journal

            async def read_slowly(run_id: str, *range: Any) -> Any:
                found = await real(run_id, *range)
                await asyncio.sleep(2)
                return found

            store.read_journal = read_slowly
            try:
                kinds = [(str(x.kind), (x.data or {}).get("item")) async for x in e.stream(wid)]
            finally:
                store.read_journal = real
            assert ("item_completed", 0) in kinds
            assert ("item_completed", 1) in kinds
            assert len(kinds) == len(set(kinds))

    run_in_virtual_time(main)


def test_finished_runs_are_purged_by_policy(opened: OpenEngine, cast: Cast) -> None:
    cast.agent("a")

    async def main() -> None:
        async with opened(retention=Retention(max_finished=2)) as e:
            for n in range(5):
                await e.execute(workflow=steps("a"), workflow_id=f"w{n}")
                await asyncio.sleep(1)
            await asyncio.sleep(120)
            listed = await e.list_workflows(persisted=True)
            assert {w.workflow_id for w in listed} == {"w3", "w4"}

    run_in_virtual_time(main)


def test_listing_pages_through_the_store(opened: OpenEngine, cast: Cast) -> None:
    cast.agent("a")

    async def main() -> None:
        async with opened() as e:
            for n in range(25):
                await e.execute(workflow=steps("a"), workflow_id=f"w{n:02}")
            seen: list[str] = []
            page = None
            while True:
                got = await e.list_workflows(limit=10, page=page)
                seen += [w.workflow_id for w in got]
                page = got.next
                if page is None:
                    break
            assert seen == [f"w{n:02}" for n in reversed(range(25))]

    run_in_virtual_time(main)


def test_thousand_runs_at_once_are_written_in_groups(tmp_path: Path) -> None:
    async def work(p: Any) -> Any:
        return p

    async def main() -> None:
        config = EngineConfig(
            state_store=f"sqlite:///{tmp_path}/x.sqlite", max_concurrent_workflows=1000
        )
        async with OrchestrationEngine(config) as e:
            e.register_agent("w", work)
            flow = {"name": "t", "steps": [{"id": n, "agent": "w"} for n in ("a", "b", "c")]}
            results = await asyncio.gather(
                *(e.execute(workflow=flow, input_data=n, persist_state=True) for n in range(300))
            )
            assert [r["c"] for r in results] == list(range(300))
            listed = await e.list_workflows(state="completed", limit=1000)
            assert len(listed) == 300

    asyncio.run(main())


def test_pending_runs_are_stored_and_recovered(opened: OpenEngine, cast: Cast) -> None:
    cast.slow("a", 10, "A")

    async def first() -> None:
        async with opened(max_concurrent_workflows=1) as e:
            for n in range(3):
                await e.start_workflow(workflow=steps("a"), workflow_id=f"w{n}")
            listed = await e.list_workflows(state="pending")
            assert {w.workflow_id for w in listed} == {"w1", "w2"}

    async def second() -> None:
        async with opened() as e:
            assert set((await e.recover()).recovered) == {"w0", "w1", "w2"}
            for n in range(3):
                assert await e.wait(f"w{n}") == {"a": "A"}

    run_in_virtual_time(first)
    run_in_virtual_time(second)


def test_until_helper_reports_what_it_saw(opened: OpenEngine, cast: Cast) -> None:
    cast.agent("a")

    async def main() -> None:
        async with opened() as e:
            await e.start_workflow(workflow=steps("a"), workflow_id="w")
            assert (await until(e, "w", "completed")).progress == 100

    run_in_virtual_time(main)


def test_a_killed_coordinator_finds_its_nested_workflow_again(
    opened: OpenEngine, cast: Cast
) -> None:
    cast.agent("a", "A")
    cast.slow("b", 10, "B")

    async def main() -> None:
        async with opened() as e:
            system = ActorSystem.current()
            flow = steps({"id": "n", "workflow": steps("a", "b")})
            await e.start_workflow(workflow=flow, workflow_id="w")
            waiting = asyncio.create_task(e.wait("w"))
            await asyncio.sleep(1)
            victims = [r for r in system.actors() if r.actor_class.__name__ == "RunCoordinator"]
            assert len(victims) == 2
            [outer] = [r for r in victims if r._actor.run_id == "w"]
            outer.kill()
            assert await waiting == {"n": {"a": "A", "b": "B"}}

    run_in_virtual_time(main)
    assert cast.asked == ["a", "b"]


def test_cancelling_a_stored_run_cancels_the_workflow_in_it(opened: OpenEngine, cast: Cast) -> None:
    cast.slow("b", 100)

    async def main() -> None:
        async with opened() as e:
            flow = steps({"id": "n", "workflow": steps("b")})
            await e.start_workflow(workflow=flow, workflow_id="w")
            await asyncio.sleep(1)
            await e.cancel_workflow("w")
            await asyncio.sleep(1)
            listed = await e.list_workflows(state="cancelled")
            assert {w.workflow_id for w in listed} == {"w", "w~n"}

    run_in_virtual_time(main)
    assert cast.stopped == ["b"]


def test_an_engine_whose_actor_is_killed_starts_another_and_recovers(
    opened: OpenEngine, cast: Cast
) -> None:
    cast.agent("a", "A")
    cast.slow("b", 10, "B")

    async def main() -> None:
        e = opened()
        system = ActorSystem.current()
        await e.start_workflow(workflow=steps("a", "b"), workflow_id="stored")
        await e.start_workflow(workflow=steps("b"), workflow_id="kept", persist_state=False)
        waiting = [asyncio.create_task(e.wait(wid)) for wid in ("stored", "kept")]
        await asyncio.sleep(1)
        [core] = [r for r in system.actors() if r.actor_class.__name__ == "EngineCore"]
        core.kill()
        with pytest.raises(WorkflowLost):
            await waiting[1]
        await asyncio.sleep(20)
        await e.recover()
        assert await waiting[0] == {"a": "A", "b": "B"}
        await e.stop()

    run_in_virtual_time(main)
    assert cast.asked.count("a") == 1


def test_a_run_that_cannot_be_stored_while_it_waits_for_its_turn_is_refused_alone(
    opened: OpenEngine, cast: Cast
) -> None:
    cast.slow("a", 10, "A")

    async def main() -> None:
        async with opened(max_concurrent_workflows=1) as e:
            first = await e.start_workflow(workflow=steps("a"))
            with pytest.raises(Exception, match="cannot be stored"):
                await e.start_workflow(workflow=steps("a"), input_data=object())
            assert await e.wait(first) == {"a": "A"}
            assert await e.execute(workflow=steps("a")) == {"a": "A"}

    run_in_virtual_time(main)


def test_a_lease_that_has_ended_does_not_lose_a_run_whose_first_write_is_under_way(
    sim: Any, cast: Cast, opened: OpenEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast.agent("a")

    async def main() -> None:
        e = opened(lease_seconds=1)
        await e.execute(workflow=steps("a"))
        store = e.config.state_store
        put, late = store._writer.put, []

        def put_creations_later(job: Any) -> None:
            is_creation = isinstance(job, Write) and job.first_seq == 1
            (late.append if is_creation else put)(job)

        async def has_ended(owner: Any) -> bool:
            return False

        monkeypatch.setattr(store._writer, "put", put_creations_later)
        monkeypatch.setattr(store, "renew", has_ended)
        starting = asyncio.create_task(e.execute(workflow=steps("a"), workflow_id="r"))
        await asyncio.sleep(2)
        assert len(late) == 1
        put(late[0])
        assert "a" in await starting
        await e.stop()

    sim(main)
