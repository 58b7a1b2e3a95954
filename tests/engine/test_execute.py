"""Running workflows: order, inputs, conditions, loops, failures, time limits."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from agenticaiframework.actors import ActorSystem, Agent, HandlerCancelled, agent_context
from agenticaiframework.patterns import Emit, Handoff
from agenticaiframework.patterns.definition.errors import DefinitionError
from agenticaiframework.patterns.engine import (
    EngineConfig,
    InputMismatch,
    MissingValue,
    OrchestrationEngine,
    OutputMismatch,
    UnknownName,
    WorkflowDefinition,
    WorkflowFailed,
    WorkflowTimedOut,
)

from .conftest import Cast, engine, steps

SUPPORT = {
    "name": "customer_support",
    "steps": [
        {"id": "classify", "agent": "classifier", "input": {"message": "$input.message"}},
        {
            "id": "process",
            "agent": "processor",
            "input": {"category": "$classify.category"},
            "condition": "$classify.category != 'spam'",
        },
        {
            "id": "respond",
            "agent": "responder",
            "input": {"category": "$classify.category", "processed": "$process.result"},
        },
    ],
}


# --------------------------------------------------------------------------- values


def test_values_go_from_step_to_step_as_they_are(sim: Any, cast: Cast) -> None:
    category = ["a", "list"]
    cast.agent("classifier", {"category": category})
    cast.agent("processor", {"result": {"deep": 1}})
    cast.agent("responder", lambda p: p)

    async def main() -> Any:
        return await engine().execute(workflow=SUPPORT, input_data={"message": "hi"})

    result = sim(main)
    assert cast.asked == ["classifier", "processor", "responder"]
    assert cast.payloads("classifier") == [{"message": "hi"}]
    assert cast.payloads("processor")[0]["category"] is category
    assert result["respond"] == {"category": category, "processed": {"deep": 1}}
    assert list(result) == ["classify", "process", "respond"]
    assert result.output == result["respond"]


def test_a_skipped_step_reads_as_none(sim: Any, cast: Cast) -> None:
    cast.agent("classifier", {"category": "spam"})
    cast.agent("processor", {"result": 1})
    cast.agent("responder", lambda p: p)

    async def main() -> Any:
        return await engine().execute(workflow=SUPPORT, input_data={"message": "hi"})

    result = sim(main)
    assert cast.asked == ["classifier", "responder"]
    assert result["process"] is None
    assert result["respond"] == {"category": "spam", "processed": None}


def test_a_missing_key_of_a_step_that_ran_is_an_error_naming_both(sim: Any, cast: Cast) -> None:
    cast.agent("classifier", {"kategory": "x"})

    async def main() -> Any:
        e = engine()
        for name in ("processor", "responder"):
            cast.agent(name)
        with pytest.raises(WorkflowFailed) as caught:
            await e.execute(
                workflow=steps(
                    {"id": "classify", "agent": "classifier"},
                    {"id": "process", "agent": "processor", "input": "$classify.category"},
                )
            )
        return caught.value

    error = sim(main)
    assert isinstance(error.__cause__, MissingValue)
    assert "'category'" in str(error)
    assert "'classify'" in str(error)
    assert "kategory" in str(error)
    assert cast.asked == ["classifier"]


def test_plain_text_stands_for_a_mapping_with_a_result(sim: Any, cast: Cast) -> None:
    cast.agent("a", "plain")
    cast.agent("b", lambda p: p)
    flow = steps("a", {"id": "b", "agent": "b", "input": ["$a.result", "$a", "$$a", "$a.more?"]})

    async def main() -> Any:
        return await engine().execute(workflow=flow)

    assert sim(main)["b"] == ["plain", "plain", "$a", None]


def test_without_an_input_a_step_gets_what_came_before(sim: Any, cast: Cast) -> None:
    cast.echoes("a", "b", "c")

    async def main() -> Any:
        return await engine().execute(workflow=steps("a", "b", "c"), input_data="x")

    assert sim(main)["c"] == "c(b(a(x)))"


def test_without_an_input_a_step_after_several_gets_them_by_name(sim: Any, cast: Cast) -> None:
    cast.echoes("a", "b", "c")
    flow = steps({"id": "a", "agent": "a"}, {"id": "b", "agent": "b", "depends_on": []}, "c")

    async def main() -> Any:
        return await engine().execute(workflow=flow, input_data="x")

    assert sim(main)["c"] == "c({'a': 'a(x)', 'b': 'b(x)'})"


def test_a_skipped_step_hands_on_what_it_would_have_got(sim: Any, cast: Cast) -> None:
    cast.echoes("a", "b", "c")
    flow = steps("a", {"id": "b", "agent": "b", "condition": "false"}, "c")

    async def main() -> Any:
        return await engine().execute(workflow=flow, input_data="x")

    result = sim(main)
    assert result["c"] == "c(a(x))"
    assert result.output == "c(a(x))"


def test_an_output_template_makes_the_result(sim: Any, cast: Cast) -> None:
    cast.echoes("a")
    flow = steps("a", output={"said": "$a", "asked": "$input"})

    async def main() -> Any:
        return await engine().execute(workflow=flow, input_data="x")

    assert sim(main) == {"said": "a(x)", "asked": "x"}


def test_an_output_template_that_finds_nothing_fails_the_run(sim: Any, cast: Cast) -> None:
    cast.agent("a", {"x": 1})
    flow = steps("a", output="$a.y")

    async def main() -> None:
        with pytest.raises(WorkflowFailed, match="'y'"):
            await engine().execute(workflow=flow)

    sim(main)


def test_output_key_names_an_output_that_is_no_mapping(sim: Any, cast: Cast) -> None:
    cast.agent("a", "text")
    cast.agent("b", {"x": 1})
    flow = steps(
        {"id": "a", "agent": "a", "output_key": "draft"},
        {"id": "b", "agent": "b", "output_key": "draft"},
    )

    async def main() -> Any:
        return await engine().execute(workflow=flow)

    assert sim(main) == {"a": {"draft": "text"}, "b": {"x": 1}}


def test_models_and_dataclasses_become_mappings(sim: Any, cast: Cast) -> None:
    class Draft(BaseModel):
        text: str

    @dataclass
    class Note:
        by: str

    cast.agent("a", Draft(text="x"))
    cast.agent("b", Note("me"))
    cast.agent("c", lambda p: p)
    flow = steps("a", "b", {"id": "c", "agent": "c", "input": ["$a.text", "$b.by"]})

    async def main() -> Any:
        return await engine().execute(workflow=flow)

    assert sim(main) == {"a": {"text": "x"}, "b": {"by": "me"}, "c": ["x", "me"]}


def test_handoffs_and_events_are_read_as_their_data(sim: Any, cast: Cast) -> None:
    cast.agent("a", Handoff("done", {"x": 1}))
    cast.agent("b", Emit("done", {"y": 2}))

    async def main() -> Any:
        return await engine().execute(workflow=steps("a", "b"))

    assert sim(main) == {"a": {"x": 1}, "b": {"y": 2}}


def test_inputs_are_made_anew_so_that_an_agent_may_change_what_it_gets(
    sim: Any, cast: Cast
) -> None:
    def grow(payload: Any) -> Any:
        payload["list"].append(1)
        payload["new"] = True
        return payload

    cast.agent("a", grow)
    flow = steps({"id": "a", "agent": "a", "input": {"list": [0]}})

    async def main() -> Any:
        e = engine()
        await e.execute(workflow=flow)
        return await e.execute(workflow=flow)

    assert sim(main)["a"] == {"list": [0, 1], "new": True}


# --------------------------------------------------------------------------- order


def test_what_does_not_depend_does_not_wait(sim: Any, cast: Cast) -> None:
    cast.slow("slow", 10, "s")
    cast.slow("fast", 1, "f")
    cast.slow("after", 1, "a")
    flow = steps(
        {"id": "slow", "agent": "slow", "depends_on": []},
        {"id": "fast", "agent": "fast", "depends_on": []},
        {"id": "after", "agent": "after", "depends_on": ["fast"]},
        {"id": "last", "agent": "after", "depends_on": ["slow", "after"]},
    )

    async def main() -> float:
        system = ActorSystem.current()
        begun = system.clock()
        await engine().execute(workflow=flow)
        return system.clock() - begun

    assert sim(main) == pytest.approx(11)
    assert cast.done == ["fast", "after", "slow", "after"]


def test_a_step_without_depends_on_waits_for_all_above_it(sim: Any, cast: Cast) -> None:
    cast.slow("a", 5)
    cast.slow("b", 1)
    cast.agent("c")
    flow = steps({"id": "a", "agent": "a"}, {"id": "b", "agent": "b", "depends_on": []}, "c")

    async def main() -> None:
        await engine().execute(workflow=flow)

    sim(main)
    assert cast.done == ["b", "a", "c"]


def test_a_reference_is_a_dependency(sim: Any, cast: Cast) -> None:
    cast.slow("a", 5, {"x": 1})
    cast.agent("b", lambda p: p)
    flow = steps("a", {"id": "b", "agent": "b", "depends_on": [], "input": "$a.x"})

    async def main() -> Any:
        return await engine().execute(workflow=flow)

    assert sim(main)["b"] == 1


def test_wide_and_deep_workflows_run(cast: Cast) -> None:
    async def main() -> None:
        e = engine()

        async def one(p: Any) -> int:
            return 1

        agents = [Agent(f"w{n}", handler=one) for n in range(300)]
        wide = {
            "name": "wide",
            "steps": [{"id": a.name, "agent": a, "depends_on": []} for a in agents],
        }
        assert sum((await e.execute(workflow=wide)).values()) == 300
        deep = {"name": "deep", "steps": [{"id": a.name, "agent": a} for a in agents]}
        assert sum((await e.execute(workflow=deep)).values()) == 300

    asyncio.run(main())


def test_conditions_skip_whole_branches_without_calling_themselves(cast: Cast) -> None:
    cast.agent("a", {"go": False})
    flow = steps("a", *({"id": f"s{n}", "agent": "a", "condition": "$a.go"} for n in range(1500)))

    async def main() -> None:
        result = await engine().execute(workflow=flow)
        assert result["s1499"] is None
        assert cast.asked == ["a"]

    asyncio.run(main())


# --------------------------------------------------------------------------- who is asked


def test_registered_names_win_over_the_directory(sim: Any, cast: Cast) -> None:
    cast.agent("classifier", "from the directory")
    other = cast.agent("Classifier", "registered")

    async def main() -> Any:
        e = engine()
        e.register_agent("classifier", other)
        return await e.execute(workflow=steps("classifier"))

    assert sim(main)["classifier"] == "registered"


def test_a_name_registered_again_means_the_new_one(sim: Any, cast: Cast) -> None:
    async def main() -> None:
        e = engine()
        e.register_agent("x", cast.agent("one", 1))
        assert (await e.execute(workflow=steps("x")))["x"] == 1
        e.register_agent("x", cast.agent("two", 2))
        assert (await e.execute(workflow=steps("x")))["x"] == 2

    sim(main)


def test_an_unknown_name_is_an_error_with_the_near_ones_before_anything_runs(
    sim: Any, cast: Cast
) -> None:
    cast.agent("classifier")

    async def main() -> None:
        e = engine()
        for flow in (
            steps("classifier", "clasifier"),
            steps({"id": "a", "agent": "classifier", "on_error": {"fallback": "clasifier"}}),
            steps({"id": "a", "agent": "classifier", "compensate": "clasifier"}),
        ):
            with pytest.raises(UnknownName, match="'classifier'"):
                await e.execute(workflow=flow)
        with pytest.raises(UnknownName, match="register_team"):
            await e.execute(workflow=steps({"id": "a", "team": "reds"}))
        with pytest.raises(UnknownName, match="register_workflow"):
            await e.execute(workflow="nothing")

    sim(main)
    assert cast.asked == []


def test_what_can_do_no_work_is_refused_when_it_is_registered() -> None:
    e = engine()
    for register in (e.register_agent, e.register_team, e.register_pattern, e.register_supervisor):
        for value in (None, "a name", 3, Agent):
            with pytest.raises(TypeError, match="itself, not"):
                register("x", value)
        with pytest.raises(ValueError, match="non-empty text"):
            register("", Agent("a", handler=str))


def test_agents_and_functions_may_stand_for_themselves(sim: Any, cast: Cast) -> None:
    async def double(payload: int) -> int:
        return 2 * payload

    def blocking(payload: int) -> int:
        return payload + 1

    flow = {
        "name": "direct",
        "steps": [
            {"id": "a", "agent": cast.agent("a", lambda p: p + 1)},
            {"id": "b", "agent": double},
            {"id": "c", "agent": blocking},
        ],
    }

    async def main() -> Any:
        return await engine().execute(workflow=flow, input_data=1)

    assert sim(main) == {"a": 2, "b": 4, "c": 5}


def test_a_plain_function_that_blocks_does_not_hold_up_other_workflows() -> None:
    inside, gate = threading.Event(), threading.Event()

    def block(payload: Any) -> str:
        inside.set()
        assert gate.wait(120)
        return "blocked"

    async def quick(payload: Any) -> str:
        return "quick"

    async def main() -> None:
        e = engine()
        slow = asyncio.create_task(
            e.execute(workflow={"name": "slow", "steps": [{"id": "a", "agent": block}]})
        )
        assert await asyncio.to_thread(inside.wait, 120)
        for _ in range(10):
            await e.execute(workflow={"name": "quick", "steps": [{"id": "a", "agent": quick}]})
        gate.set()
        assert (await slow)["a"] == "blocked"

    asyncio.run(main())


def test_the_handlers_find_out_what_they_work_for(sim: Any, cast: Cast) -> None:
    found: list[dict[str, Any]] = []
    cast.agent("a", lambda p: found.append(dict(agent_context())))

    async def main() -> None:
        e = engine()
        await e.execute(workflow=steps("a"), workflow_id="run-1")
        await e.execute(
            workflow=steps({"id": "s", "agent": "a", "for_each": ["x"]}), workflow_id="run-2"
        )

    sim(main)
    assert found[0] == {
        "workflow_id": "run-1",
        "workflow": "test",
        "step": "a",
        "attempt": 1,
        "idempotency_key": "run-1:a",
    }
    assert found[1]["idempotency_key"] == "run-2:s:0"
    assert found[1]["item"] == 0


# --------------------------------------------------------------------------- failures


def test_a_failed_step_stops_the_workflow_with_an_error_that_says_where(
    sim: Any, cast: Cast
) -> None:
    cast.agent("a", 1)
    cast.failing("b", 99)
    cast.agent("c")

    async def main() -> Any:
        with pytest.raises(WorkflowFailed) as caught:
            await engine().execute(
                workflow=steps("a", {"id": "second", "agent": "b"}, "c"), workflow_id="w1"
            )
        return caught.value

    error = sim(main)
    assert cast.asked == ["a", "b"]
    assert isinstance(error.__cause__, ValueError)
    assert (error.workflow, error.workflow_id, error.step, error.agent) == (
        "test",
        "w1",
        "second",
        "b",
    )
    assert error.completed == ("a",)
    for word in ("'test'", "'second'", "'b'", "ValueError: b is down"):
        assert word in str(error)


def test_a_failed_branch_does_not_throw_its_siblings_results_away(sim: Any, cast: Cast) -> None:
    cast.slow("good", 5, "kept")
    cast.failing("bad", 99)
    cast.agent("after")
    flow = steps(
        {"id": "good", "agent": "good", "depends_on": []},
        {"id": "bad", "agent": "bad", "depends_on": []},
        {"id": "after", "agent": "after", "depends_on": ["good"]},
    )

    async def main() -> None:
        e = engine()
        with pytest.raises(WorkflowFailed) as caught:
            await e.execute(workflow=flow, workflow_id="w")
        assert caught.value.step == "bad"
        status = await e.get_workflow_status("w")
        assert status.steps["good"].state == "completed"
        assert status.steps["after"].state == "pending"

    sim(main)
    assert cast.done == ["good"]


def test_on_failure_cancel_stops_the_siblings(sim: Any, cast: Cast) -> None:
    cast.slow("good", 50)
    cast.failing("bad", 99)
    flow = steps(
        {"id": "good", "agent": "good", "depends_on": []},
        {"id": "bad", "agent": "bad", "depends_on": []},
        on_failure="cancel",
    )

    async def main() -> None:
        e = engine()
        system = ActorSystem.current()
        begun = system.clock()
        with pytest.raises(WorkflowFailed):
            await e.execute(workflow=flow, workflow_id="w")
        assert system.clock() - begun < 10
        assert (await e.get_workflow_status("w")).steps["good"].state == "cancelled"
        await asyncio.sleep(10)

    sim(main)
    assert cast.stopped == ["good"]


def test_retries_follow_their_policy(sim: Any, cast: Cast) -> None:
    cast.failing("a", 2, "third time")
    flow = steps(
        {
            "id": "a",
            "agent": "a",
            "retry": {"attempts": 3, "initial_delay_s": 1, "backoff": "exponential"},
        }
    )

    async def main() -> float:
        e = engine()
        system = ActorSystem.current()
        begun = system.clock()
        assert (await e.execute(workflow=flow, workflow_id="w"))["a"] == "third time"
        status = await e.get_workflow_status("w")
        assert status.steps["a"].attempts == 3
        assert status.attempts == 3
        return system.clock() - begun

    assert sim(main) == pytest.approx(3, abs=0.01)
    assert cast.asked == ["a", "a", "a"]


def test_attempts_that_are_used_up_fail_the_step(sim: Any, cast: Cast) -> None:
    cast.failing("a", 99)

    async def main() -> None:
        with pytest.raises(WorkflowFailed, match="2 attempts"):
            await engine().execute(workflow=steps({"id": "a", "agent": "a", "retry": 2}))

    sim(main)
    assert cast.asked == ["a", "a"]


def test_errors_that_a_policy_does_not_name_are_not_retried(sim: Any, cast: Cast) -> None:
    cast.failing("a", 99, error=KeyError("k"))
    flow = steps({"id": "a", "agent": "a", "retry": {"attempts": 5, "on": ["ValueError"]}})

    async def main() -> None:
        with pytest.raises(WorkflowFailed, match="KeyError"):
            await engine().execute(workflow=flow)

    sim(main)
    assert cast.asked == ["a"]


@pytest.mark.parametrize(
    ("on_error", "expected"),
    [
        ("skip", None),
        ({"default": {"x": 1}}, {"x": 1}),
        ({"fallback": "other"}, "other(in)"),
    ],
)
def test_what_stands_in_for_a_step_that_failed(
    on_error: Any, expected: Any, sim: Any, cast: Cast
) -> None:
    cast.failing("a", 99)
    cast.echoes("other")
    cast.agent("b", lambda p: p)
    flow = steps(
        {"id": "a", "agent": "a", "retry": 2, "on_error": on_error, "input": "in"},
        {"id": "b", "agent": "b", "input": ["$a"]},
    )

    async def main() -> Any:
        e = engine()
        result = await e.execute(workflow=flow, workflow_id="w")
        status = await e.get_workflow_status("w")
        assert "a is down" in str(status.steps["a"].error)
        return result

    result = sim(main)
    assert result["a"] == expected
    assert result["b"] == [expected]
    assert cast.asked[:2] == ["a", "a"]


def test_a_fallback_that_fails_fails_the_step(sim: Any, cast: Cast) -> None:
    cast.failing("a", 99)
    cast.failing("other", 99)
    flow = steps({"id": "a", "agent": "a", "on_error": {"fallback": "other"}})

    async def main() -> None:
        with pytest.raises(WorkflowFailed, match="other is down"):
            await engine().execute(workflow=flow)

    sim(main)
    assert cast.asked == ["a", "other"]


def test_a_step_left_out_reads_as_none_however_deep(sim: Any, cast: Cast) -> None:
    cast.failing("a", 99)
    cast.agent("b", lambda p: p)
    flow = steps(
        {"id": "a", "agent": "a", "on_error": "skip"},
        {"id": "b", "agent": "b", "input": {"x": "$a.deep.er"}},
    )

    async def main() -> Any:
        return await engine().execute(workflow=flow)

    assert sim(main)["b"] == {"x": None}


# --------------------------------------------------------------------------- time limits


def test_a_step_that_takes_too_long_times_out_and_its_work_is_stopped(sim: Any, cast: Cast) -> None:
    cast.slow("a", 100)
    flow = steps({"id": "a", "agent": "a", "timeout_seconds": 2})

    async def main() -> None:
        e = engine()
        system = ActorSystem.current()
        begun = system.clock()
        with pytest.raises(WorkflowTimedOut) as caught:
            await e.execute(workflow=flow)
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.step == "a"
        assert system.clock() - begun == pytest.approx(2, abs=0.1)
        await asyncio.sleep(1)

    sim(main)
    assert cast.stopped == ["a"]


@pytest.mark.parametrize("default", [3, 60])
def test_the_default_time_limit_bites(default: float, sim: Any, cast: Cast) -> None:
    cast.slow("a", 1000)

    async def main() -> None:
        e = engine(default_timeout_seconds=default)
        system = ActorSystem.current()
        begun = system.clock()
        with pytest.raises(WorkflowTimedOut):
            await e.execute(workflow=steps("a"))
        assert default <= system.clock() - begun + 1e-9 <= default + 2
        with pytest.raises(WorkflowTimedOut):
            await e.execute(workflow=steps({"id": "f", "agent": asyncio.sleep}), input_data=1000)

    sim(main)


def test_other_work_goes_on_while_the_default_time_limit_is_looked_after(
    sim: Any, cast: Cast
) -> None:
    cast.slow("hangs", 1000)
    cast.slow("works", 20, "done")

    async def main() -> None:
        e = engine(default_timeout_seconds=30)
        hanging = asyncio.create_task(e.execute(workflow=steps("hangs")))
        await asyncio.sleep(15)
        assert (await e.execute(workflow=steps("works")))["works"] == "done"
        with pytest.raises(WorkflowTimedOut):
            await hanging

    sim(main)


def test_a_late_answer_is_ignored_and_the_agent_is_replaced(sim: Any, cast: Cast) -> None:
    release = asyncio.Event()
    calls: list[int] = []

    async def stubborn(payload: Any) -> str:
        calls.append(1)
        if len(calls) > 1:
            return "fresh"
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    cast.agent("a", stubborn)
    retry = {"attempts": 2, "initial_delay_s": 6}
    flow = steps({"id": "a", "agent": "a", "timeout_seconds": 1, "retry": retry})

    async def main() -> None:
        result = await engine().execute(workflow=flow)
        assert result["a"] == "fresh"
        release.set()
        await asyncio.sleep(1)

    sim(main)


def test_the_whole_workflow_may_have_a_time_limit(sim: Any, cast: Cast) -> None:
    cast.slow("a", 4)
    cast.slow("b", 4)
    flow = steps("a", "b", timeout_seconds=6)

    async def main() -> None:
        e = engine()
        system = ActorSystem.current()
        begun = system.clock()
        with pytest.raises(WorkflowTimedOut, match="timeout_seconds"):
            await e.execute(workflow=flow)
        assert system.clock() - begun == pytest.approx(6, abs=0.1)

    sim(main)
    assert cast.done == ["a"]


@pytest.mark.parametrize("wait", [{"wait_for": "nothing"}, {"delay": 100}])
def test_the_time_limit_of_the_whole_workflow_counts_waiting_too(
    sim: Any, cast: Cast, wait: dict[str, Any]
) -> None:
    cast.agent("a")
    flow = steps("a", {"id": "wait", **wait}, timeout_seconds=6)

    async def main() -> None:
        e = engine()
        system = ActorSystem.current()
        begun = system.clock()
        with pytest.raises(WorkflowTimedOut, match="timeout_seconds"):
            await e.execute(workflow=flow, workflow_id="w")
        assert system.clock() - begun == pytest.approx(6, abs=0.1)
        status = await e.get_workflow_status("w")
        assert (status.state, status.steps["wait"].state) == ("failed", "cancelled")

    sim(main)


def test_the_time_limit_of_a_resumed_workflow_counts_from_its_resumption(
    sim: Any, cast: Cast
) -> None:
    waits = [10, 4]

    async def take(payload: Any) -> str:
        await asyncio.sleep(waits.pop(0))
        return "done"

    cast.agent("a", take)

    async def main() -> None:
        e = engine()
        with pytest.raises(WorkflowTimedOut):
            await e.execute(workflow=steps("a", timeout_seconds=6), workflow_id="w")
        await asyncio.sleep(60)
        await e.resume_workflow("w")
        assert (await e.wait("w"))["a"] == "done"

    sim(main)


def test_a_blocking_function_that_takes_too_long_is_named() -> None:
    go_on = threading.Event()

    def block(payload: Any) -> None:
        assert go_on.wait(120)

    async def main() -> None:
        flow = steps({"id": "a", "agent": block, "timeout_seconds": 0.05})
        async with engine() as e:
            try:
                with pytest.raises(WorkflowTimedOut, match="'block' did not return within 0.05 s"):
                    await e.execute(workflow=flow)
            finally:
                go_on.set()

    asyncio.run(main())


def test_a_function_that_lets_a_cancellation_escape_is_named(sim: Any) -> None:
    async def give_up(payload: Any) -> None:
        raise asyncio.CancelledError

    async def main() -> None:
        with pytest.raises(WorkflowFailed, match="A handler of give_up let") as caught:
            await engine().execute(workflow=steps({"id": "a", "agent": give_up}))
        assert isinstance(caught.value.__cause__, HandlerCancelled)

    sim(main)


def test_execute_may_have_a_time_limit(sim: Any, cast: Cast) -> None:
    cast.slow("a", 100)

    async def main() -> None:
        e = engine()
        with pytest.raises(WorkflowTimedOut, match="timeout=2"):
            await e.execute(workflow=steps("a"), timeout=2, workflow_id="w")
        assert (await e.get_workflow_status("w")).state == "cancelled"

    sim(main)
    assert cast.stopped == ["a"]


# --------------------------------------------------------------------------- loops


def test_a_step_repeats_until_its_expression_holds(sim: Any, cast: Cast) -> None:
    cast.agent("a", lambda p: {"n": p.get("n", 0) + 1, "seen": p})
    flow = steps(
        {
            "id": "a",
            "agent": "a",
            "input": {"draft": "$input.draft"},
            "until": "$output.n >= 3",
            "max_iterations": 5,
        }
    )

    async def main() -> Any:
        e = engine()
        result = await e.execute(workflow=flow, input_data={"draft": "d"}, workflow_id="w")
        assert (await e.get_workflow_status("w")).steps["a"].iterations == 3
        return result

    assert sim(main)["a"]["n"] == 3
    assert [p["draft"] for p in cast.payloads("a")] == ["d", "d", "d"]


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ([{"approved": False}, {"approved": True}], 2),
        ([{"done": 0}, {"done": 0}, {"done": 1}], 3),
        ([{"approved": False}] * 5, 3),
        ([{"report": "x"}], 1),
        (["plain text"], 1),
    ],
)
def test_without_until_the_output_says_when_it_is_done(
    answers: list[Any], asked: int, sim: Any, cast: Cast
) -> None:
    left = iter(answers)
    cast.agent("a", lambda p: next(left))
    flow = steps({"id": "a", "agent": "a", "max_iterations": 3, "input": {"draft": 1}})

    async def main() -> Any:
        return await engine().execute(workflow=flow)

    assert sim(main)["a"] == answers[asked - 1]
    assert len(cast.asked) == asked


def test_an_iteration_that_fails_is_retried_and_goes_on_from_the_last_output(
    sim: Any, cast: Cast
) -> None:
    calls: list[Any] = []

    def work(payload: Any) -> Any:
        calls.append(payload)
        if len(calls) == 2:
            raise ValueError("once")
        return {"n": len(calls), "done": len(calls) == 3}

    cast.agent("a", work)
    flow = steps({"id": "a", "agent": "a", "max_iterations": 5, "retry": 2, "input": {"q": 1}})

    async def main() -> Any:
        return await engine().execute(workflow=flow)

    assert sim(main)["a"]["n"] == 3
    assert calls[1] == calls[2] == {"q": 1, "n": 1, "done": False}


# --------------------------------------------------------------------------- for each


def test_for_each_runs_over_a_list_in_order(sim: Any, cast: Cast) -> None:
    async def work(p: Any) -> str:
        return f"{p['item']}@{p['index']}/{p['all']}"

    flow = steps(
        {
            "id": "a",
            "agent": work,
            "for_each": "$input.items",
            "input": {"item": "$item", "index": "$index", "all": "$input.n"},
        }
    )

    async def main() -> Any:
        return await engine().execute(workflow=flow, input_data={"items": ["x", "y"], "n": 2})

    assert sim(main)["a"] == ["x@0/2", "y@1/2"]


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_for_each_keeps_to_its_concurrency(limit: int, sim: Any) -> None:
    now = [0]
    most = [0]

    async def work(p: Any) -> Any:
        now[0] += 1
        most[0] = max(most[0], now[0])
        await asyncio.sleep(1)
        now[0] -= 1
        return p

    flow = steps({"id": "a", "agent": work, "for_each": "$input", "max_concurrency": limit})

    async def main() -> Any:
        return await engine().execute(workflow=flow, input_data=list(range(10)))

    assert sim(main)["a"] == list(range(10))
    assert most[0] == limit


def test_for_each_over_nothing_returns_nothing(sim: Any, cast: Cast) -> None:
    flow = steps({"id": "a", "agent": cast.agent("a"), "for_each": "$input"})

    async def main() -> Any:
        return await engine().execute(workflow=flow, input_data=[])

    assert sim(main)["a"] == []


def test_for_each_over_no_list_says_so(sim: Any, cast: Cast) -> None:
    flow = steps({"id": "a", "agent": cast.agent("a"), "for_each": "$input.x"})

    async def main() -> None:
        with pytest.raises(WorkflowFailed, match=r"needs a list, and \$input.x is text"):
            await engine().execute(workflow=flow, input_data={"x": "abc"})

    sim(main)


def test_an_item_that_fails_is_retried_alone(sim: Any, cast: Cast) -> None:
    failed: set[int] = set()

    async def work(p: int) -> int:
        cast.log.append(("a", p))
        if p == 1 and p not in failed:
            failed.add(p)
            raise ValueError("once")
        return p * 10

    flow = steps({"id": "a", "agent": work, "for_each": "$input", "retry": 2})

    async def main() -> Any:
        return await engine().execute(workflow=flow, input_data=[0, 1, 2])

    assert sim(main)["a"] == [0, 10, 20]
    assert sorted(p for _, p in cast.log) == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("on_error", "expected"), [("skip", [0, None, 2]), ({"default": -1}, [0, -1, 2])]
)
def test_what_stands_in_for_an_item_that_failed(on_error: Any, expected: Any, sim: Any) -> None:
    async def work(p: int) -> int:
        if p == 1:
            raise ValueError("bad item")
        return p

    flow = steps({"id": "a", "agent": work, "for_each": "$input", "on_error": on_error})

    async def main() -> Any:
        return await engine().execute(workflow=flow, input_data=[0, 1, 2])

    assert sim(main)["a"] == expected


def test_an_item_that_fails_for_good_fails_the_step(sim: Any) -> None:
    async def work(p: int) -> int:
        await asyncio.sleep(p)
        if p == 1:
            raise ValueError("bad item")
        return p

    flow = steps({"id": "a", "agent": work, "for_each": "$input"})

    async def main() -> None:
        with pytest.raises(WorkflowFailed, match="bad item"):
            await engine().execute(workflow=flow, input_data=[0, 1, 2])

    sim(main)


# --------------------------------------------------------------------------- checks at the start


def test_an_input_that_lacks_what_is_read_is_refused_before_anything_runs(
    sim: Any, cast: Cast
) -> None:
    cast.agent("a")

    async def main() -> None:
        e = engine()
        flow = steps({"id": "a", "agent": "a", "input": {"m": "$input.message"}})
        for given in ({"mesage": "x"}, {}, None, "text"):
            with pytest.raises(InputMismatch, match="message"):
                await e.execute(workflow=flow, input_data=given)
        conditional = steps(
            {"id": "a", "agent": "a", "condition": "input.message", "input": "$input.message"}
        )
        assert (await e.execute(workflow=conditional, input_data={}))["a"] is None

    sim(main)
    assert cast.asked == []


def test_declared_shapes_are_kept_to(sim: Any, cast: Cast) -> None:
    cast.agent("a", {"score": "high"})

    async def main() -> None:
        e = engine()
        flow = steps({"id": "a", "agent": "a", "output_model": {"score": "number"}})
        with pytest.raises(WorkflowFailed) as caught:
            await e.execute(workflow=flow)
        assert isinstance(caught.value.__cause__, OutputMismatch)
        flow = steps("a", input_model={"query": "text"})
        with pytest.raises(InputMismatch, match="'query' is integer"):
            await e.execute(workflow=flow, input_data={"query": 1})

    sim(main)


def test_a_definition_given_as_a_mapping_is_checked_and_kept(sim: Any, cast: Cast) -> None:
    cast.agent("a", "A")

    async def main() -> None:
        e = engine()
        with pytest.raises(DefinitionError, match="unknown field 'agnt'"):
            await e.execute(workflow={"name": "x", "steps": [{"id": "a", "agnt": "b"}]})
        flow = steps("a")
        assert await e.execute(workflow=flow) == {"a": "A"}
        flow["steps"][0]["id"] = "changed"
        assert await e.execute(workflow=flow) == {"changed": "A"}
        assert await e.execute(workflow=WorkflowDefinition(**steps("a"))) == {"a": "A"}
        e.register_workflow("named", steps("a"))
        assert await e.execute(workflow="named") == {"a": "A"}

    sim(main)


def test_true_and_one_are_not_the_same_definition(sim: Any, cast: Cast) -> None:
    cast.agent("a", lambda p: repr(p))

    async def main() -> None:
        e = engine()
        said = [
            (await e.execute(workflow=steps({"id": "a", "agent": "a", "input": value})))["a"]
            for value in (1, True, 1.0, "1")
        ]
        assert said == ["1", "True", "1.0", "'1'"]

    sim(main)


def test_executions_share_nothing(sim: Any) -> None:
    async def work(p: Any) -> Any:
        await asyncio.sleep(1)
        return p

    flow = {
        "name": "many",
        "steps": [{"id": n, "agent": work, "input": "$input.x"} for n in ("a", "b", "c")],
    }

    async def main() -> None:
        e = engine(max_concurrent_workflows=50)
        results = await asyncio.gather(
            *(e.execute(workflow=flow, input_data={"x": n}) for n in range(120))
        )
        for n, result in enumerate(results):
            assert result == {"a": n, "b": n, "c": n}

    sim(main)


def test_making_an_engine_needs_no_loop_and_it_serves_one_loop_after_another() -> None:
    e = OrchestrationEngine(EngineConfig())

    async def one(p: Any) -> int:
        return 1

    e.register_agent("a", one)
    for _ in range(2):
        assert asyncio.run(e.execute(workflow=steps("a"))) == {"a": 1}
