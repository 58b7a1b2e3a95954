"""Rules of runs that are easy to break without anything else going wrong."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from agenticaiframework.actors import ActorRef, ActorSystem, Agent
from agenticaiframework.patterns.engine import (
    EngineConfig,
    EventKind,
    OrchestrationEngine,
    UnknownWorkflow,
    WorkflowFailed,
)
from agenticaiframework.patterns.engine.store import StoreUnavailable
from agenticaiframework.patterns.engine.store.urls import open_store

from .conftest import Cast, run_in_virtual_time, steps
from .test_durable import virtual_clock
from .test_ends import Kept
from .test_store_life import failing_commits


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


@pytest.mark.parametrize(
    "beside", [("works",), ("sleeps",), ("waits",), ("sleeps", "works"), ("waits", "works")]
)
def test_a_retry_has_its_time_whatever_else_is_under_way(
    beside: tuple[str, ...], kept: Kept, cast: Cast
) -> None:
    _, asked = times_of(cast, "flaky")
    cast.slow("slow", 100)
    others = {
        "works": {"id": "work", "agent": "slow", "depends_on": []},
        "sleeps": {"id": "other", "agent": "slow", "delay": 100, "input": 1},
        "waits": {
            "id": "other",
            "wait_for": {"signal": "go", "timeout_seconds": 100, "default": 1},
        },
    }
    flaky = {"id": "flaky", "agent": "flaky", "retry": {"attempts": 2, "initial_delay_s": 5}}
    flow = steps(*(others[what] for what in beside), {**flaky, "depends_on": []})

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
            [keeper] = [r for r in system.actors() if r.actor_class.__name__ == "LeaseKeeper"]
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


# --------------------------------------------------------------------------- stored runs


def actor_of(system: ActorSystem, kind: str) -> ActorRef[Any]:
    [found] = [
        ref
        for ref in system.actors()
        if ref.actor_class.__name__ == kind and not getattr(ref._actor, "idle", False)
    ]
    return found


def test_a_run_whose_coordinator_has_crashed_goes_on_with_its_own_agents(cast: Cast) -> None:
    cast.slow("a", 5, "A")
    cast.agent("b", "B")

    async def make_others() -> list[Agent]:
        return [Agent(name, handler=lambda _: "another") for name in ("a", "b", "a", "b")]

    async def main() -> None:
        system = ActorSystem.current()
        async with Kept("stored").engine() as e:
            await e.start_workflow(workflow=steps("a", "b"), workflow_id="w")
            await asyncio.sleep(1)
            others = await asyncio.create_task(make_others())
            actor_of(system, "RunCoordinator").kill()
            assert await e.wait("w", timeout=100) == {"a": "A", "b": "B"}
            assert len(others) == 4

    run_in_virtual_time(main)


def test_a_run_goes_on_although_its_coordinator_and_the_keeper_of_the_store_crash_together(
    cast: Cast,
) -> None:
    cast.slow("a", 5, "A")
    cast.agent("b", "B")

    async def main() -> None:
        system = ActorSystem.current()
        async with Kept("stored").engine() as e:
            await e.start_workflow(workflow=steps("a", "b"), workflow_id="w")
            await asyncio.sleep(1)
            keeper = actor_of(system, "StoreKeeper")
            system.suspend(keeper)
            actor_of(system, "RunCoordinator").kill()
            await asyncio.sleep(1)  # the keeper has been asked to start another
            keeper.kill()
            await asyncio.sleep(1)
            await e.execute(workflow=steps("b"))  # which needs a keeper
            assert await e.wait("w", timeout=100) == {"a": "A", "b": "B"}

    run_in_virtual_time(main)


def test_a_signal_that_is_stored_when_its_run_has_ended_changes_nothing(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast.slow("a", 1, "A")

    async def main() -> None:
        kept = Kept("stored")
        async with kept.engine() as e:
            store: Any = e.config.state_store
            put_signal = store.put_signal

            async def slowly(*args: Any) -> int:
                number: int = await put_signal(*args)
                await asyncio.sleep(5)
                return number

            monkeypatch.setattr(store, "put_signal", slowly)
            await e.start_workflow(workflow=steps("a"), workflow_id="w")
            await e.signal_workflow("w", "late")
            await asyncio.sleep(5)
            assert (await e.get_workflow_status("w")).state == "completed"
            kinds = [entry.kind for entry in await store.read_journal("w")]
            assert kinds == [
                "workflow_started", "step_started", "step_completed", "workflow_completed",
            ]  # fmt: skip

    run_in_virtual_time(main)


def test_a_cancellation_is_stored_before_it_is_carried_out(cast: Cast) -> None:
    cast.slow("a", 100)

    async def main() -> None:
        async with Kept("stored").engine() as e:
            store: Any = e.config.state_store
            await e.start_workflow(workflow=steps("a"), workflow_id="w")
            await asyncio.sleep(1)
            assert (await store.load_run("w")).cancel_reason is None
            await e.cancel_workflow("w", "not needed")
            assert (await store.load_run("w")).cancel_reason == "not needed"

    run_in_virtual_time(main)


def test_who_follows_a_run_is_told_that_the_store_never_takes_what_happens_in_it(
    tmp_path: Path, cast: Cast
) -> None:
    cast.agent("a", "A")

    async def main() -> None:
        url = f"sqlite:///{tmp_path}/runs.sqlite"
        store = open_store(url, clock=virtual_clock, inline=True)
        config = EngineConfig(state_store=store, persist_state=True, wall_clock=virtual_clock)
        async with OrchestrationEngine(config) as e:
            with failing_commits(True, EventKind.STEP_COMPLETED):
                async with asyncio.timeout(1000):
                    events = [event async for event in e.stream(workflow=steps("a"))]
        assert EventKind.WORKFLOW_INTERRUPTED in [event.kind for event in events]
        assert events[-1].kind == EventKind.WORKFLOW_FAILED
        assert "line is dead" in str(events[-1].data)

    run_in_virtual_time(main)


def test_each_time_that_the_store_is_out_of_reach_is_told_once(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    sink = logger.add(lambda line: told.append(str(line)), level="WARNING", format="{message}")

    async def main() -> None:
        async with Kept("stored").engine() as e:
            store: Any = e.config.state_store
            await e.start_workflow(workflow=steps({"id": "w", "wait_for": "go"}), workflow_id="w")

            async def fail(*args: Any) -> Any:
                raise StoreUnavailable("the store", "renewing", "the line is dead")

            for _ in range(2):
                with monkeypatch.context() as patch:
                    patch.setattr(store, "renew", fail)
                    patch.setattr(store, "poll", fail)
                    await asyncio.sleep(20)
                await asyncio.sleep(20)
            await e.cancel_workflow("w")

    run_in_virtual_time(main)
    logger.remove(sink)
    assert sum("line is dead" in line for line in told) == 2


# --------------------------------------------------------------------------- going on, and undoing


def test_a_run_in_memory_that_is_resumed_asks_the_agents_of_now(cast: Cast) -> None:
    async def main() -> None:
        async with Kept("in memory").engine() as e:
            e.register_agent("a", cast.failing("old", 99))
            with pytest.raises(WorkflowFailed, match="old is down"):
                await e.execute(workflow=steps("a"), workflow_id="w")
            e.register_agent("a", cast.agent("new", "N"))
            await e.resume_workflow("w")
            assert await e.wait("w") == {"a": "N"}

    run_in_virtual_time(main)


def test_attempts_to_undo_a_step_go_on_counting_its_attempts(kept: Kept, cast: Cast) -> None:
    cast.failing("a", 1)
    cast.failing("undo", 1)
    cast.failing("b", 9)
    flow = steps(
        {"id": "a", "agent": "a", "retry": 2, "compensate": {"agent": "undo", "retry": 2}}, "b"
    )

    async def main() -> None:
        async with kept.engine() as e:
            stream = e.stream(workflow=flow)
            events = [event async for event in stream if event.step == "a"]
            assert [(str(event.kind), event.attempt) for event in events] == [
                ("step_started", 1),
                ("step_retrying", 1),
                ("step_started", 2),
                ("step_completed", 2),
                ("compensation_started", 3),
                ("compensation_started", 4),
                ("compensation_completed", 4),
            ]
            assert stream.workflow_id is not None
            assert (await e.get_workflow_status(stream.workflow_id)).steps["a"].attempts == 4

    run_in_virtual_time(main)


# --------------------------------------------------------------------------- signals and states


def test_a_signal_that_comes_while_no_step_waits_is_taken_once(kept: Kept, cast: Cast) -> None:
    cast.slow("a", 60)
    again = {"signal": "go", "timeout_seconds": 60, "default": "none"}
    flow = steps("a", {"id": "one", "wait_for": "go"}, {"id": "two", "wait_for": again})

    async def main() -> None:
        async with kept.engine() as e:
            await e.start_workflow(workflow=flow, workflow_id="w")
            await asyncio.sleep(1)
            await e.signal_workflow("w", "go", "went")
            assert await e.wait("w", timeout=500) == {"a": None, "one": "went", "two": "none"}

    run_in_virtual_time(main)


def test_a_run_that_is_being_cancelled_says_why(kept: Kept, cast: Cast) -> None:
    cast.slow("a", 10)
    cast.agent("b")

    async def main() -> None:
        async with kept.engine() as e:
            await e.start_workflow(workflow=steps("a", "b"), workflow_id="w")
            await asyncio.sleep(1)
            cancelling = asyncio.ensure_future(e.cancel_workflow("w", "enough", graceful=True))
            await asyncio.sleep(1)
            status = await e.get_workflow_status("w")
            assert (status.state, status.reason) == ("cancelling", "enough")
            report = await cancelling
            assert (report.state, report.reason) == ("cancelled", "enough")

    run_in_virtual_time(main)
    assert "b" not in cast.asked


def test_a_step_that_was_not_tried_has_no_rounds(kept: Kept, cast: Cast) -> None:
    cast.slow("a", 10)
    cast.agent("b")
    flow = steps(
        "a", {"id": "w", "wait_for": "go"}, {"id": "b", "agent": "b", "condition": "false"}
    )

    async def main() -> None:
        async with kept.engine() as e:
            await e.start_workflow(workflow=flow, workflow_id="w")
            for seconds in (1, 10):
                await asyncio.sleep(seconds)
                found = (await e.get_workflow_status("w")).steps
                assert [(s.attempts, s.iterations) for s in found.values()] == [
                    (1, 1),
                    (0, 0),
                    (0, 0),
                ]
            await e.signal_workflow("w", "go")
            await e.wait("w")
            found = (await e.get_workflow_status("w")).steps
            assert [(s.attempts, s.iterations) for s in found.values()] == [(1, 1), (0, 0), (0, 0)]

    run_in_virtual_time(main)


# --------------------------------------------------------------------------- bounds of what is told


def test_a_long_reason_cancels_the_run_and_is_kept_cut(url: str) -> None:
    async def main() -> None:
        async with OrchestrationEngine(EngineConfig(state_store=url, persist_state=True)) as e:
            flow = {"name": "parked", "steps": [{"id": "wait", "wait_for": "go"}]}
            run = await e.start_workflow(workflow=flow)
            report = await e.cancel_workflow(run, "because " + "x" * 17_000_000)
            assert report.state == "cancelled"
            status = await e.get_workflow_status(run)
            assert (status.state, len(status.reason or "") < 5_000) == ("cancelled", True)
            assert "characters left out" in (status.reason or "")
            [listed] = await e.list_workflows(persisted=True)
            assert listed.state == "cancelled"

    asyncio.run(main())


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "y" * 3_000], ids=("nul", "surrogate", "long"))
def test_an_id_that_no_run_can_have_is_unknown_and_no_outage(url: str, name: str) -> None:
    async def main() -> None:
        async with OrchestrationEngine(EngineConfig(state_store=url, persist_state=True)) as e:
            flow = {"name": "parked", "steps": [{"id": "wait", "wait_for": "go"}]}
            run = await e.start_workflow(workflow=flow)
            for asked in (
                e.get_workflow_status(name),
                e.cancel_workflow(name),
                e.resume_workflow(name),
                e.signal_workflow(name, "go"),
                e.wait(name, timeout=120),
                e.query(name),
                e.fork(name, at="wait"),
                anext(aiter(e.stream(name))),
            ):
                with pytest.raises(UnknownWorkflow):
                    await asked
            assert not await e.list_workflows(name=name, labels={name: name}, parent=name)
            await e.signal_workflow(run, "go", 1)
            assert (await e.wait(run, timeout=120)).output == 1

    asyncio.run(main())


@pytest.mark.parametrize("persist", [False, True], ids=("memory", "stored"))
def test_ids_and_labels_have_a_longest_length(url: str, persist: bool) -> None:
    async def main() -> None:
        async with OrchestrationEngine(EngineConfig(state_store=url, persist_state=persist)) as e:
            flow = {"name": "quick", "steps": [{"id": "step", "agent": lambda _: 1}]}
            with pytest.raises(ValueError, match="workflow_id has 3,000 characters; at most 2,500"):
                await e.start_workflow(workflow=flow, workflow_id="y" * 3_000)
            with pytest.raises(ValueError, match="the label 't' has 3,000 characters"):
                await e.start_workflow(workflow=flow, labels={"t": "y" * 3_000})
            assert (await e.execute(flow)).output == 1

    asyncio.run(main())


def test_lists_take_any_moment_and_any_limit(url: str) -> None:
    async def main() -> None:
        async with OrchestrationEngine(EngineConfig(state_store=url, persist_state=True)) as e:
            await e.execute({"name": "quick", "steps": [{"id": "step", "agent": lambda _: 1}]})
            far = datetime(9999, 1, 1, tzinfo=UTC)
            assert len(await e.list_workflows(created_before=far, limit=2**70)) == 1
            assert not await e.list_workflows(created_after=far)
            assert not await e.list_workflows(finished_after=far.replace(month=12))
            assert len(await e.list_workflows(finished_before=1e300, created_after=-1e300)) == 1
            assert not await e.list_workflows(created_after=float("inf"))
            for wrong in (float("nan"), 10**400, "yesterday"):
                with pytest.raises(ValueError, match="created_after=.* is not a moment"):
                    await e.list_workflows(created_after=wrong)  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="give the number of runs wanted"):
                await e.list_workflows(limit="5")  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="give the `next` of the page before"):
                await e.list_workflows(page=5)  # type: ignore[arg-type]

    asyncio.run(main())
