"""Looking at runs and steering them: status, cancel, signals, resume, queues, limits."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, Agent
from agenticaiframework.patterns.engine import (
    EngineStopped,
    OrchestrationEngine,
    TooManyWorkflows,
    UnknownWorkflow,
    WorkflowCancelled,
    WorkflowDefinition,
    WorkflowExists,
    WorkflowFailed,
    WorkflowTimedOut,
)

from .conftest import Cast, engine, steps


async def until(e: OrchestrationEngine, workflow_id: str, state: str) -> Any:
    """Wait, for a virtual hour at most, until a run is in *state*, and return its status."""
    for _ in range(3600):
        status = await e.get_workflow_status(workflow_id)
        if status.state == state:
            return status
        await asyncio.sleep(1)
    raise AssertionError(f"{workflow_id} is {status.state}, not {state}: {status}")


# --------------------------------------------------------------------------- status


def test_the_status_tells_where_a_run_stands(sim: Any, cast: Cast) -> None:
    cast.agent("a", 1)
    cast.slow("b", 10)
    cast.agent("c")
    cast.agent("d")

    async def main() -> None:
        e = engine()
        wid = await e.start_workflow(workflow=steps("a", "b", "c", "d"), labels={"for": "me"})
        await asyncio.sleep(5)
        status = await e.get_workflow_status(wid)
        assert status.state == "running"
        assert f"{status.state}" == "running"
        assert status.current_step == "b"
        assert status.current_steps == ("b",)
        assert status.progress == 25
        assert status.steps["a"].duration_s is not None
        assert status.steps["b"].attempts == 1
        assert status.steps["c"].state == "pending"
        assert status.labels == {"for": "me"}
        assert not status.finished
        await e.wait(wid)
        status = await e.get_workflow_status(wid)
        assert status.state == "completed"
        assert status.progress == 100
        assert status.current_step is None
        assert status.duration_s == pytest.approx(10, abs=0.1)

    sim(main)


def test_a_failed_run_keeps_its_error(sim: Any, cast: Cast) -> None:
    cast.failing("a", 9)

    async def main() -> None:
        e = engine()
        wid = await e.start_workflow(workflow=steps("a"))
        with pytest.raises(WorkflowFailed):
            await e.wait(wid)
        with pytest.raises(WorkflowFailed):
            await e.wait(wid)
        status = await e.get_workflow_status(wid)
        assert status.state == "failed"
        assert status.current_step == "a"
        assert "a is down" in str(status.last_error)
        assert "a is down" in str(status.steps["a"].error)

    sim(main)


def test_an_unknown_id_is_an_error_everywhere(cast: Cast, tmp_path: Any) -> None:
    async def main() -> None:
        async with engine(state_store=f"sqlite:///{tmp_path}/x.sqlite") as e:
            with pytest.raises(UnknownWorkflow, match="None"):
                await e.get_workflow_status(None)  # type: ignore[arg-type]
            for call in (
                e.get_workflow_status("nope"),
                e.resume_workflow("nope"),
                e.cancel_workflow("nope"),
                e.wait("nope"),
                e.signal_workflow("nope", "s"),
                e.retry_from("nope", "a"),
                anext(e.stream("nope")),
            ):
                with pytest.raises(UnknownWorkflow, match="nope"):
                    await call

    asyncio.run(main())


def test_runs_are_listed_newest_first_and_by_state_name_and_label(sim: Any, cast: Cast) -> None:
    cast.agent("a", 1)
    cast.failing("b", 99)

    async def main() -> None:
        e = engine()
        ids = []
        for n, flow in enumerate((steps("a"), {**steps("a"), "name": "other"}, steps("b"))):
            ids.append(await e.start_workflow(workflow=flow, labels={"n": str(n)}))
            await asyncio.sleep(1)
        listed = await e.list_workflows()
        assert [w.workflow_id for w in listed] == ids[::-1]
        assert [w.workflow_id for w in await e.list_workflows(state="failed")] == [ids[2]]
        assert [w.workflow_id for w in await e.list_workflows(name="other")] == [ids[1]]
        assert [w.workflow_id for w in await e.list_workflows(labels={"n": "0"})] == [ids[0]]
        with pytest.raises(ValueError, match="'failed'"):
            await e.list_workflows(state="faild")

    sim(main)


def test_finished_runs_are_forgotten_after_a_while(sim: Any, cast: Cast) -> None:
    cast.agent("a", 1)

    async def main() -> None:
        e = engine(keep_finished=5)
        for n in range(20):
            await e.execute(workflow=steps("a"), workflow_id=f"w{n}")
        await asyncio.sleep(1)
        assert len(await e.list_workflows()) == 5
        assert (await e.get_workflow_status("w19")).state == "completed"

    sim(main)


@pytest.mark.parametrize("given", [{"workflow_id": ""}, {"workflow_id": 3}, {"labels": {"a": 1}}])
def test_ids_and_labels_are_texts(sim: Any, cast: Cast, given: dict[str, Any]) -> None:
    cast.agent("a")

    async def main() -> None:
        with pytest.raises(ValueError, match="text"):
            await engine().start_workflow(workflow=steps("a"), **given)

    sim(main)
    assert cast.asked == []


def test_an_id_can_be_used_once(sim: Any, cast: Cast) -> None:
    cast.slow("a", 1)

    async def main() -> None:
        e = engine()
        await e.start_workflow(workflow=steps("a"), workflow_id="mine")
        with pytest.raises(WorkflowExists, match="mine"):
            await e.start_workflow(workflow=steps("a"), workflow_id="mine")
        await e.wait("mine")

    sim(main)


def test_waiting_may_have_an_end_and_the_run_goes_on(sim: Any, cast: Cast) -> None:
    cast.slow("a", 10, "done")

    async def main() -> None:
        e = engine()
        wid = await e.start_workflow(workflow=steps("a"))
        with pytest.raises(TimeoutError):
            await e.wait(wid, timeout=1)
        assert (await e.wait(wid))["a"] == "done"

    sim(main)


# --------------------------------------------------------------------------- cancel


def test_cancel_stops_the_running_step_and_later_ones_never_run(sim: Any, cast: Cast) -> None:
    cast.agent("a")
    cast.slow("b", 100)
    cast.agent("c")

    async def main() -> None:
        e = engine()
        wid = await e.start_workflow(workflow=steps("a", "b", "c"))
        await asyncio.sleep(1)
        report = await e.cancel_workflow(wid, reason="User requested")
        assert report.state == "cancelled"
        assert report.stopped_steps == ("b",)
        assert not report.already_finished
        status = await e.get_workflow_status(wid)
        assert (status.state, status.reason) == ("cancelled", "User requested")
        assert status.steps["b"].state == "cancelled"
        with pytest.raises(WorkflowCancelled, match="User requested"):
            await e.wait(wid)
        again = await e.cancel_workflow(wid, reason="again")
        assert again.already_finished
        assert (await e.get_workflow_status(wid)).reason == "User requested"
        await e.resume_workflow(wid)
        assert (await e.get_workflow_status(wid)).state == "cancelled"
        await asyncio.sleep(1)

    sim(main)
    assert cast.asked == ["a", "b"]
    assert cast.stopped == ["b"]


def test_a_graceful_cancel_lets_running_steps_finish(sim: Any, cast: Cast) -> None:
    cast.slow("a", 10, "done")
    cast.agent("b")

    async def main() -> None:
        e = engine()
        wid = await e.start_workflow(workflow=steps("a", "b"))
        await asyncio.sleep(1)
        report = await e.cancel_workflow(wid, graceful=True)
        assert report.state == "cancelled"
        assert report.stopped_steps == ()
        assert (await e.get_workflow_status(wid)).steps["a"].state == "completed"

    sim(main)
    assert cast.done == ["a"]
    assert cast.asked == ["a"]


@pytest.mark.parametrize(
    "step",
    [
        {"id": "s", "delay": 1000},
        {"id": "s", "wait_for": "approval"},
        {"id": "s", "agent": "a", "retry": {"attempts": 2, "initial_delay_s": 1000,
                                            "max_delay_s": 1000}},
    ],
    ids=["sleeping", "waiting", "between attempts"],
)  # fmt: skip
def test_cancel_wakes_what_sleeps_or_waits(step: dict[str, Any], sim: Any, cast: Cast) -> None:
    cast.failing("a", 99)
    cast.agent("b")

    async def main() -> None:
        e = engine()
        wid = await e.start_workflow(workflow=steps(step, "b"))
        await asyncio.sleep(5)
        system = ActorSystem.current()
        begun = system.clock()
        report = await e.cancel_workflow(wid)
        assert report.stopped_steps == ("s",)
        assert system.clock() - begun < 1
        await asyncio.sleep(2000)

    sim(main)
    assert "b" not in cast.asked


def test_cancel_reaches_a_run_that_waits_for_its_turn(sim: Any, cast: Cast) -> None:
    cast.slow("a", 10)

    async def main() -> None:
        e = engine(max_concurrent_workflows=1)
        first = await e.start_workflow(workflow=steps("a"))
        second = await e.start_workflow(workflow=steps("a"))
        assert (await e.get_workflow_status(second)).state == "pending"
        assert (await e.cancel_workflow(second)).state == "cancelled"
        await e.wait(first)
        third = await e.start_workflow(workflow=steps("a"))
        await e.wait(third)

    sim(main)
    assert cast.asked == ["a", "a"]


def test_several_may_cancel_at_once(sim: Any, cast: Cast) -> None:
    cast.slow("a", 100)

    async def main() -> None:
        e = engine()
        wid = await e.start_workflow(workflow=steps("a"))
        await asyncio.sleep(1)
        reports = await asyncio.gather(*(e.cancel_workflow(wid, f"r{n}") for n in range(3)))
        assert {str(report.state) for report in reports} == {"cancelled"}

    sim(main)


def test_cancelling_the_caller_of_execute_cancels_the_run(sim: Any, cast: Cast) -> None:
    cast.slow("a", 100)

    async def main() -> None:
        e = engine()
        task = asyncio.create_task(e.execute(workflow=steps("a"), workflow_id="w"))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await e.get_workflow_status("w")).state == "cancelled"

    sim(main)
    assert cast.stopped == ["a"]


def test_compensations_run_in_reverse_when_a_run_fails(sim: Any, cast: Cast) -> None:
    cast.agent("book", lambda p: {"booked": p})
    cast.failing("pay", 99)
    cast.agent("undo")
    flow = steps(
        {"id": "hotel", "agent": "book", "input": "hotel", "compensate": "undo"},
        {
            "id": "flight",
            "agent": "book",
            "input": "flight",
            "compensate": {"agent": "undo", "input": {"id": "$output.booked", "q": "$input"}},
        },
        {"id": "car", "agent": "book", "input": "car"},
        "pay",
    )

    async def main() -> None:
        e = engine()
        with pytest.raises(WorkflowFailed, match="pay is down"):
            await e.execute(workflow=flow, input_data="x", workflow_id="w")
        status = await e.get_workflow_status("w")
        assert status.state == "failed"
        assert [s.id for s in status.steps.values() if s.state == "compensated"] == [
            "hotel",
            "flight",
        ]

    sim(main)
    assert cast.payloads("undo") == [{"id": "flight", "q": "x"}, {"booked": "hotel"}]


def test_compensations_run_when_a_run_is_cancelled_unless_told_not_to(sim: Any, cast: Cast) -> None:
    cast.agent("a", "did a")
    cast.slow("b", 100)
    cast.agent("undo")
    flow = steps({"id": "a", "agent": "a", "compensate": "undo"}, "b")

    async def main() -> None:
        e = engine()
        for compensate, undone in ((True, ("a",)), (False, ())):
            wid = await e.start_workflow(workflow=flow)
            await asyncio.sleep(1)
            report = await e.cancel_workflow(wid, compensate=compensate)
            assert report.compensated_steps == undone

    sim(main)
    assert cast.payloads("undo") == ["did a"]


def test_a_compensation_that_fails_is_retried_and_then_told(sim: Any, cast: Cast) -> None:
    cast.agent("a")
    cast.failing("pay", 99)
    cast.failing("sometimes", 1)
    cast.failing("never", 99)
    flow = steps(
        {"id": "one", "agent": "a", "compensate": {"agent": "never", "retry": 2}},
        {"id": "two", "agent": "a", "compensate": {"agent": "sometimes", "retry": 2}},
        "pay",
    )

    async def main() -> None:
        e = engine()
        with pytest.raises(WorkflowFailed, match="pay is down"):
            await e.execute(workflow=flow, workflow_id="w")
        status = await e.get_workflow_status("w")
        assert status.steps["two"].state == "compensated"
        assert "never is down" in str(status.steps["one"].error)

    sim(main)
    assert cast.asked.count("sometimes") == 2
    assert cast.asked.count("never") == 2


# --------------------------------------------------------------------------- signals and times


APPROVAL = steps(
    "ask",
    {"id": "approval", "wait_for": {"signal": "approved", "timeout_seconds": 100, "default": "no"}},
    {"id": "act", "agent": "act", "input": {"answer": "$approval"}},
)


def test_a_signal_is_what_a_waiting_step_returns(sim: Any, cast: Cast) -> None:
    cast.agent("ask")
    cast.agent("act", lambda p: p)

    async def main() -> None:
        e = engine()
        wid = await e.start_workflow(workflow=APPROVAL)
        await asyncio.sleep(1)
        status = await e.get_workflow_status(wid)
        assert status.state == "waiting"
        assert status.steps["approval"].waiting_for == "approved"
        await e.signal_workflow(wid, "something else", 1)
        await e.signal_workflow(wid, "approved", {"by": "me"})
        assert (await e.wait(wid))["act"] == {"answer": {"by": "me"}}
        with pytest.raises(ValueError, match="has ended"):
            await e.signal_workflow(wid, "approved")

    sim(main)


def test_a_signal_that_comes_before_the_step_is_kept(sim: Any, cast: Cast) -> None:
    cast.slow("ask", 10)
    cast.agent("act", lambda p: p)

    async def main() -> None:
        e = engine()
        wid = await e.start_workflow(workflow=APPROVAL)
        await e.signal_workflow(wid, "approved", "early")
        assert (await e.wait(wid))["act"] == {"answer": "early"}

    sim(main)


def test_a_signal_that_does_not_come_gives_the_default(sim: Any, cast: Cast) -> None:
    cast.agent("ask")
    cast.agent("act", lambda p: p)

    async def main() -> float:
        e = engine()
        system = ActorSystem.current()
        begun = system.clock()
        assert (await e.execute(workflow=APPROVAL))["act"] == {"answer": "no"}
        return system.clock() - begun

    assert sim(main) == pytest.approx(100, abs=0.1)


def test_a_signal_that_does_not_come_fails_the_step_without_a_default(sim: Any) -> None:
    flow = steps({"id": "w", "wait_for": {"signal": "s", "timeout_seconds": 5}})

    async def main() -> None:
        with pytest.raises(WorkflowTimedOut, match="'s' did not come within 5 s"):
            await engine().execute(workflow=flow)

    sim(main)


def test_only_a_signal_counts_for_which_the_expression_holds(sim: Any) -> None:
    flow = steps({"id": "w", "wait_for": {"signal": "s", "when": "$output.ok"}})

    async def main() -> None:
        e = engine()
        wid = await e.start_workflow(workflow=flow)
        for payload in ({"ok": False}, "text", {"ok": True, "n": 1}, {"ok": True, "n": 2}):
            await e.signal_workflow(wid, "s", payload)
        assert (await e.wait(wid))["w"]["n"] == 1

    sim(main)


def test_several_steps_may_wait_for_signals_at_once(sim: Any) -> None:
    flow = steps(
        *({"id": f"w{n}", "wait_for": f"s{n}", "depends_on": []} for n in range(3)),
        {"id": "both", "wait_for": "s0", "depends_on": []},
    )

    async def main() -> None:
        e = engine()
        wid = await e.start_workflow(workflow=flow)
        for n in (2, 0, 0, 1):
            await asyncio.sleep(1)
            await e.signal_workflow(wid, f"s{n}", n)
        assert await e.wait(wid) == {"w0": 0, "w1": 1, "w2": 2, "both": 0}

    sim(main)


def test_a_step_may_sleep_before_its_work_or_only_sleep(sim: Any, cast: Cast) -> None:
    cast.agent("a", "A")
    cast.agent("b", lambda p: p)
    flow = steps({"id": "a", "agent": "a", "delay": 5}, {"id": "pause", "delay": 60}, "b")

    async def main() -> float:
        e = engine()
        system = ActorSystem.current()
        begun = system.clock()
        wid = await e.start_workflow(workflow=flow)
        await asyncio.sleep(1)
        status = await e.get_workflow_status(wid)
        assert status.state == "waiting"
        assert status.steps["a"].state == "sleeping"
        assert (await e.wait(wid))["b"] == "A"
        return system.clock() - begun

    assert sim(main) == pytest.approx(65, abs=0.1)


def test_what_waits_takes_no_place_among_the_running(sim: Any, cast: Cast) -> None:
    now, most = [0], [0]

    async def work(payload: Any) -> int:
        now[0] += 1
        most[0] = max(most[0], now[0])
        await asyncio.sleep(1)
        now[0] -= 1
        return 1

    flow = steps({"id": "w", "wait_for": "go"}, {"id": "a", "agent": work})

    async def main() -> None:
        e = engine(max_concurrent_workflows=2)
        waiting = [await e.start_workflow(workflow=flow) for _ in range(50)]
        await asyncio.sleep(1)
        assert (await e.execute(workflow=steps({"id": "a", "agent": work})))["a"] == 1
        for wid in waiting:
            await e.signal_workflow(wid, "go")
        for wid in waiting:
            assert (await e.wait(wid))["a"] == 1

    sim(main)
    assert most[0] == 2


# --------------------------------------------------------------------------- resume, retry_from


def test_resume_goes_on_at_the_step_that_failed(sim: Any, cast: Cast) -> None:
    cast.agent("a", {"x": 1})
    cast.failing("b", 1, {"y": 2})
    cast.agent("c", lambda p: p)
    flow = steps("a", "b", {"id": "c", "agent": "c", "input": ["$a.x", "$b.y"]})

    async def main() -> None:
        e = engine()
        wid = await e.start_workflow(workflow=flow)
        with pytest.raises(WorkflowFailed):
            await e.wait(wid)
        status = await e.resume_workflow(wid)
        assert status.state in ("running", "completed")
        assert (await e.wait(wid))["c"] == [1, 2]
        status = await e.get_workflow_status(wid)
        assert status.state == "completed"
        assert status.last_error is None
        assert status.steps["b"].attempts == 2
        await e.resume_workflow(wid)
        assert (await e.get_workflow_status(wid)).state == "completed"

    sim(main)
    assert cast.asked == ["a", "b", "b", "c"]


def test_resuming_a_run_that_runs_changes_nothing(sim: Any, cast: Cast) -> None:
    cast.slow("a", 10)

    async def main() -> None:
        e = engine()
        wid = await e.start_workflow(workflow=steps("a"))
        await asyncio.sleep(1)
        assert (await e.resume_workflow(wid)).state == "running"
        await e.wait(wid)

    sim(main)
    assert cast.asked == ["a"]


def test_who_resumes_or_retries_at_the_same_time_lets_a_run_go_on_once(
    sim: Any, cast: Cast
) -> None:
    cast.failing("a", 1)
    cast.slow("b", 1)

    async def main() -> None:
        e = engine()
        with pytest.raises(WorkflowFailed):
            await e.execute(workflow=steps("a", "b"), workflow_id="w")
        found = await asyncio.gather(*(e.resume_workflow("w") for _ in range(4)))
        assert [status.state for status in found] == ["running"] * 4
        await e.wait("w")
        assert cast.asked == ["a", "a", "b"]
        again = await asyncio.gather(
            *(e.retry_from("w", "b") for _ in range(3)), return_exceptions=True
        )
        [status] = [x for x in again if not isinstance(x, BaseException)]
        assert status.steps["b"].state != "completed"
        assert [type(x) for x in again].count(ValueError) == 2
        await e.wait("w")
        assert cast.asked == ["a", "a", "b", "b"]

    sim(main)


def test_resume_repeats_only_the_items_that_failed(sim: Any) -> None:
    seen: list[int] = []

    async def work(p: int) -> int:
        seen.append(p)
        if p == 1 and seen.count(1) == 1:
            raise ValueError("once")
        return p

    flow = steps({"id": "a", "agent": work, "for_each": "$input", "max_concurrency": 1})

    async def main() -> None:
        e = engine()
        wid = await e.start_workflow(workflow=flow, input_data=[0, 1, 2])
        with pytest.raises(WorkflowFailed):
            await e.wait(wid)
        await e.resume_workflow(wid)
        assert (await e.wait(wid))["a"] == [0, 1, 2]

    sim(main)
    assert seen == [0, 1, 1, 2]


def test_resume_runs_what_was_undone_again(sim: Any, cast: Cast) -> None:
    cast.agent("a", "A")
    cast.failing("b", 1)
    cast.agent("undo")
    flow = steps({"id": "a", "agent": "a", "compensate": "undo"}, "b")

    async def main() -> None:
        e = engine()
        wid = await e.start_workflow(workflow=flow)
        with pytest.raises(WorkflowFailed):
            await e.wait(wid)
        await e.resume_workflow(wid)
        await e.wait(wid)

    sim(main)
    assert cast.asked == ["a", "b", "undo", "a", "b"]


def test_retry_from_runs_a_step_and_what_depends_on_it_again(sim: Any, cast: Cast) -> None:
    count = iter(range(100))
    for name in ("a", "b", "c", "d"):
        cast.agent(name, lambda p, n=name: f"{n}{next(count)}")
    flow = steps(
        {"id": "a", "agent": "a", "depends_on": []},
        {"id": "b", "agent": "b", "depends_on": ["a"]},
        {"id": "c", "agent": "c", "depends_on": ["b"]},
        {"id": "d", "agent": "d", "depends_on": ["a"]},
    )

    async def main() -> None:
        e = engine()
        wid = await e.start_workflow(workflow=flow)
        before = await e.wait(wid)
        await e.retry_from(wid, "b")
        after = await e.wait(wid)
        assert after["a"] == before["a"]
        assert after["d"] == before["d"]
        assert after["b"] != before["b"]
        assert after["c"] != before["c"]
        with pytest.raises(ValueError, match="no step 'x'"):
            await e.retry_from(wid, "x")

    sim(main)
    assert sorted(cast.asked) == ["a", "b", "b", "c", "c", "d"]


# --------------------------------------------------------------------------- turns and limits


def test_no_more_run_at_once_than_allowed_and_names_take_turns(sim: Any) -> None:
    now = [0]
    most = [0]
    order: list[str] = []

    async def work(p: str) -> None:
        order.append(p)
        now[0] += 1
        most[0] = max(most[0], now[0])
        await asyncio.sleep(1)
        now[0] -= 1

    async def main() -> None:
        e = engine(max_concurrent_workflows=2)
        flood = {"name": "flood", "steps": [{"id": "a", "agent": work}]}
        rare = {"name": "rare", "steps": [{"id": "a", "agent": work}]}
        ids = [await e.start_workflow(workflow=flood, input_data="flood") for _ in range(10)]
        ids += [await e.start_workflow(workflow=rare, input_data="rare") for _ in range(2)]
        for wid in ids:
            await e.wait(wid)

    sim(main)
    assert most[0] == 2
    assert "rare" in order[:5]


def test_a_workflow_that_a_handler_runs_has_its_turn_with_the_one_around_it(
    sim: Any, cast: Cast
) -> None:
    cast.slow("inner", 1, "done")
    e = engine(max_concurrent_workflows=2)

    async def run_another(payload: Any) -> Any:
        return await e.execute(workflow=steps("inner"))

    cast.agent("outer", run_another)

    async def main() -> None:
        found = await asyncio.gather(*(e.execute(workflow=steps("outer")) for _ in range(4)))
        assert found == [{"outer": {"inner": "done"}}] * 4
        assert await e.execute(workflow=steps("inner")) == {"inner": "done"}

    sim(main)


def test_the_queue_is_bounded(sim: Any, cast: Cast) -> None:
    cast.slow("a", 10)

    async def main() -> None:
        e = engine(max_concurrent_workflows=1, max_queued_workflows=2)
        ids = [await e.start_workflow(workflow=steps("a")) for _ in range(3)]
        with pytest.raises(TooManyWorkflows, match="1 workflows run and 2 wait"):
            await e.start_workflow(workflow=steps("a"))
        with pytest.raises(TooManyWorkflows):
            await e.execute(workflow=steps("a"))
        for wid in ids:
            await e.wait(wid)
        await e.execute(workflow=steps("a"))

    sim(main)


def test_a_flood_of_one_workflow_takes_no_place_of_another(sim: Any, cast: Cast) -> None:
    cast.slow("a", 10)
    cast.slow("b", 10)
    flood = {**steps("a"), "name": "flood"}
    quiet = {**steps("b"), "name": "quiet"}
    whole = {"name": "whole", "steps": [{"id": "in", "workflow": quiet, "input": "$input"}]}

    async def main() -> None:
        e = engine(max_concurrent_workflows=1, max_queued_workflows=4)
        flooding = [await e.start_workflow(workflow=flood) for _ in range(5)]
        with pytest.raises(TooManyWorkflows):
            await e.start_workflow(workflow=flood)
        other = await e.start_workflow(workflow=quiet)
        with pytest.raises(TooManyWorkflows):
            await e.start_workflow(workflow=quiet)
        third = await e.start_workflow(workflow=whole)  # its part takes no place
        with pytest.raises(TooManyWorkflows, match="1 workflows run and 6 wait"):
            await e.start_workflow(workflow={**steps("b"), "name": "one too many"})
        await e.cancel_workflow(other)
        other = await e.start_workflow(workflow=quiet)
        for wid in (third, other, *flooding):
            await e.wait(wid)

    sim(main)


def test_a_queue_without_a_reserve_is_one_for_all(sim: Any, cast: Cast) -> None:
    cast.slow("a", 10)

    async def main() -> None:
        e = engine(max_concurrent_workflows=1, max_queued_workflows=2, queue_reserve=0)
        ids = [await e.start_workflow(workflow=steps("a")) for _ in range(3)]
        with pytest.raises(TooManyWorkflows):
            await e.start_workflow(workflow={**steps("a"), "name": "another"})
        for wid in ids:
            await e.wait(wid)

    sim(main)


@pytest.mark.parametrize("end", ["all", "cancel"])
def test_an_agent_may_be_asked_by_a_limited_number_of_steps(end: str, sim: Any) -> None:
    now = [0]
    most = [0]

    async def work(p: Any) -> Any:
        now[0] += 1
        most[0] = max(most[0], now[0])
        try:
            await asyncio.sleep(1)
        finally:
            now[0] -= 1
        return p

    async def main() -> None:
        e = engine(max_concurrent_workflows=50)
        e.register_agent("w", work, max_concurrent=3)
        flow = steps({"id": "a", "agent": "w", "for_each": "$input"}, {"id": "b", "agent": "w"})
        ids = [await e.start_workflow(workflow=flow, input_data=list(range(5))) for _ in range(4)]
        if end == "cancel":
            await asyncio.sleep(1.5)
            for wid in ids[:2]:
                assert (await e.cancel_workflow(wid)).state == "cancelled"
        for wid in ids[2:]:
            await e.wait(wid)
        assert (await e.execute(workflow=steps({"id": "x", "agent": "w"}), input_data=1))["x"] == 1

    sim(main)
    if end == "all":
        assert most[0] == 3
    assert now[0] == 0


# --------------------------------------------------------------------------- the engine's end


def test_stopping_the_engine_interrupts_its_runs_and_tells_who_waits(sim: Any, cast: Cast) -> None:
    cast.slow("a", 100)

    async def main() -> None:
        e = engine()
        wid = await e.start_workflow(workflow=steps("a"))
        waiting = asyncio.create_task(e.wait(wid))
        await asyncio.sleep(1)
        await e.stop()
        with pytest.raises(Exception, match="stopped"):
            await waiting
        with pytest.raises(EngineStopped):
            await e.execute(workflow=steps("a"))
        await e.stop()
        await asyncio.sleep(1)

    sim(main)
    assert cast.stopped == ["a"]


def test_an_engine_that_nobody_holds_ends_with_its_last_run(sim: Any, cast: Cast) -> None:
    cast.slow("a", 10)

    async def main() -> None:
        system = ActorSystem.current()
        await engine().start_workflow(workflow=steps("a"))
        gc.collect()
        names = [ref.label for ref in system.actors()]
        assert any("engine" in name for name in names)
        await asyncio.sleep(20)
        gc.collect()
        await asyncio.sleep(1)
        assert not any("engine" in ref.label for ref in system.actors())

    sim(main)
    assert cast.done == ["a"]


def test_an_engine_that_was_dropped_keeps_no_agent() -> None:
    async def echo(payload: Any) -> Any:
        return payload

    async def request() -> weakref.ref[Agent]:
        agent = Agent("of_one_request", handler=echo)
        workflow = WorkflowDefinition(**steps("of_one_request"))
        await OrchestrationEngine().execute(workflow=workflow)
        return weakref.ref(agent)

    async def main() -> None:
        async with ActorSystem() as system:
            agents = [await asyncio.create_task(request()) for _ in range(3)]
            while system.actors():
                gc.collect()
                await asyncio.sleep(0)
            gc.collect()
            assert [agent() for agent in agents] == [None] * 3

    asyncio.run(asyncio.wait_for(main(), 120))


def test_an_engine_whose_agent_refers_to_it_goes_with_its_system() -> None:
    async def main() -> weakref.ref[OrchestrationEngine]:
        async with ActorSystem():
            e = OrchestrationEngine()

            async def name_the_engine(_: Any) -> str:
                return e.name

            e.register_agent("a", Agent("a", handler=name_the_engine))
            assert (await e.execute(workflow=steps("a")))["a"] == "engine"
            return weakref.ref(e)

    left = asyncio.run(main())
    gc.collect()
    assert left() is None


def test_a_coordinator_that_is_killed_fails_its_run_and_nothing_else(sim: Any, cast: Cast) -> None:
    cast.slow("a", 10, "A")

    async def main() -> None:
        e = engine()
        system = ActorSystem.current()
        first = await e.start_workflow(workflow=steps("a"))
        second = await e.start_workflow(
            workflow=steps({"id": "b", "agent": Agent("b", handler=asyncio.sleep)}), input_data=20
        )
        await asyncio.sleep(1)
        [victim] = [
            ref
            for ref in system.actors()
            if ref.actor_class.__name__ == "RunCoordinator" and ref._actor.run_id == first
        ]
        victim.kill()
        with pytest.raises(WorkflowFailed, match="killed"):
            await e.wait(first)
        await e.wait(second)
        assert (await e.get_workflow_status(first)).state == "failed"

    sim(main)


def test_signals_that_come_at_the_moment_of_parking_are_not_missed(sim: Any, cast: Cast) -> None:
    """The step before the wait ends at the very moment at which signals are sent."""
    cast.slow("a", 1)
    flow = steps(
        "a",
        {"id": "w", "wait_for": {"signal": "s", "when": "$output.n == 3"}},
        {"id": "v", "wait_for": "s"},
    )

    async def main() -> None:
        e = engine()
        ids = [await e.start_workflow(workflow=flow) for _ in range(20)]
        await asyncio.sleep(1)
        for n in range(4):
            for wid in ids:
                await e.signal_workflow(wid, "s", {"n": n})
            await asyncio.sleep(0)
        for wid in ids:
            result = await e.wait(wid, timeout=60)
            assert (result["w"], result["v"]) == ({"n": 3}, {"n": 0})

    sim(main)


def test_runs_that_wake_up_are_never_refused(sim: Any, cast: Cast) -> None:
    cast.slow("a", 5)

    async def main() -> None:
        e = engine(max_concurrent_workflows=1, max_queued_workflows=1)
        flow = steps({"id": "pause", "delay": 10}, "a")
        ids = []
        for _ in range(10):
            ids.append(await e.start_workflow(workflow=flow))
            await asyncio.sleep(0.5)
        for wid in ids:
            await e.wait(wid)

    sim(main)
    assert len(cast.done) == 10


def test_runs_that_only_wait_leave_room_for_those_that_are_started_without_a_pause() -> None:
    async def main() -> None:
        async with engine(max_concurrent_workflows=3, max_queued_workflows=2) as e:
            hold = e.register_workflow(
                "hold", {"name": "hold", "steps": [{"id": "hold", "wait_for": "go"}]}
            )
            ids = [await e.start_workflow(hold, {}) for _ in range(50)]
            for one in ids:
                await e.signal_workflow(one, "go", True)
            for one in ids:
                assert (await e.wait(one, timeout=120))["hold"] is True

    asyncio.run(main())
