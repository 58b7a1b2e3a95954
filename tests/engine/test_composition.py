"""Patterns, teams, supervisors and workflows in workflows; routing; streams and traces."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, agent_context
from agenticaiframework.patterns import (
    AgentRole,
    AgentTeam,
    ParallelOrchestration,
    PatternFailed,
    SequentialOrchestration,
    send_chunk,
)
from agenticaiframework.patterns.definition.errors import DefinitionError
from agenticaiframework.patterns.engine import (
    EventKind,
    NoRouteMatches,
    TooManyWorkflows,
    UnknownName,
    WorkflowCancelled,
    WorkflowFailed,
    WorkflowTimedOut,
)
from agenticaiframework.supervision import AgentSupervisor, RestartPolicy

from .conftest import Cast, engine, steps

# --------------------------------------------------------------------------- patterns


def test_a_registered_pattern_runs_as_a_step_and_by_itself(sim: Any, cast: Cast) -> None:
    cast.echoes("a", "b")

    async def main() -> None:
        e = engine()
        e.register_pattern("chain", SequentialOrchestration(name="chain", steps=["a", "b"]))
        assert await e.execute(pattern="chain", input_data="x") == "b(a(x))"
        flow = steps({"id": "s", "pattern": "chain", "input": "$input"})
        assert (await e.execute(workflow=flow, input_data="y"))["s"] == "b(a(y))"
        with pytest.raises(UnknownName, match="'chain'"):
            await e.execute(pattern="chian")

    sim(main)


def test_a_pattern_looks_its_agents_up_in_the_engine_first(sim: Any, cast: Cast) -> None:
    cast.agent("a", "directory")

    async def main() -> None:
        e = engine()
        e.register_agent("a", cast.agent("other", "registered"))
        pattern = SequentialOrchestration(name="p", steps=["a"])
        e.register_pattern("p", pattern)
        assert await e.execute(pattern="p") == "registered"
        assert await e.execute(pattern=SequentialOrchestration(name="q", steps=["a"])) == (
            "registered"
        )
        assert await pattern.execute("x") == "registered"

    sim(main)


def test_a_kind_of_pattern_over_agents_is_a_step(sim: Any, cast: Cast) -> None:
    cast.echoes("a", "b")

    async def main() -> None:
        e = engine()
        flow = steps({"id": "s", "pattern": "parallel", "agents": ["a", "b"]})
        assert (await e.execute(workflow=flow, input_data="x"))["s"] == {"a": "a(x)", "b": "b(x)"}
        nested = steps(
            {"id": "s", "pattern": {"pattern": "sequential", "name": "n", "steps": ["a", "b"]}}
        )
        assert (await e.execute(workflow=nested, input_data="x"))["s"] == "b(a(x))"

    sim(main)


def test_a_failing_pattern_fails_its_step_with_its_error_as_the_cause(sim: Any, cast: Cast) -> None:
    cast.agent("a", 1)
    cast.failing("b", 9)

    async def main() -> None:
        e = engine()
        flow = steps({"id": "s", "pattern": "parallel", "agents": ["a", "b"]})
        with pytest.raises(WorkflowFailed, match="b is down") as caught:
            await e.execute(workflow=flow)
        assert isinstance(caught.value.__cause__, PatternFailed)
        assert caught.value.step == "s"

    sim(main)


def test_a_pattern_that_hangs_times_out_and_leaves_nothing(sim: Any, cast: Cast) -> None:
    cast.slow("a", 100)

    async def main() -> None:
        e = engine()
        flow = steps({"id": "s", "pattern": "parallel", "agents": ["a"], "timeout_seconds": 2})
        with pytest.raises(WorkflowTimedOut):
            await e.execute(workflow=flow)
        await asyncio.sleep(1)

    sim(main)
    assert cast.stopped == ["a"]


def test_cancelling_a_run_stops_the_pattern_in_it(sim: Any, cast: Cast) -> None:
    cast.slow("a", 100)
    cast.slow("b", 100)

    async def main() -> None:
        e = engine()
        wid = await e.start_workflow(
            workflow=steps({"id": "s", "pattern": "parallel", "agents": ["a", "b"]})
        )
        await asyncio.sleep(1)
        await e.cancel_workflow(wid)
        await asyncio.sleep(1)

    sim(main)
    assert sorted(cast.stopped) == ["a", "b"]


# --------------------------------------------------------------------------- teams


def team_of(cast: Cast) -> AgentTeam:
    team = AgentTeam(name="research_team")
    for role, agent in (("researcher", "rita"), ("writer", "will")):
        team.add_role(AgentRole(name=role, max_agents=1))
        team.assign_agent(cast.agents[agent], role=role)
    return team


@pytest.mark.parametrize("draft", [{"draft": "the draft"}, "the draft"])
def test_a_team_runs_its_workflow_as_a_step(draft: Any, sim: Any, cast: Cast) -> None:
    cast.agent("rita", "facts")
    cast.agent("will", draft)
    cast.agent("reviewer", lambda p: p)

    async def main() -> Any:
        e = engine()
        e.register_team("research_team", team_of(cast))
        flow = steps(
            {
                "id": "research",
                "team": "research_team",
                "input": {"topic": "$input.query"},
                "workflow": [
                    {"role": "researcher", "action": "gather"},
                    {"role": "writer", "action": "draft"},
                ],
            },
            {"id": "review", "agent": "reviewer", "input": {"draft": "$research.draft"}},
        )
        return await e.execute(workflow=flow, input_data={"query": "AI"})

    result = sim(main)
    assert result["review"] == {"draft": "the draft"}
    assert "AI" in str(cast.payloads("rita")[0])


def test_a_team_does_a_task_as_a_step(sim: Any, cast: Cast) -> None:
    cast.agent("rita", "facts")
    cast.agent("will", "text")

    async def main() -> None:
        e = engine()
        e.register_team("research_team", team_of(cast))
        result = await e.execute(workflow=steps({"id": "r", "team": "research_team"}))
        assert set(result["r"]) >= {"rita", "will"}

    sim(main)


# --------------------------------------------------------------------------- supervisors


def test_an_agent_under_a_supervisor_is_restarted_and_the_step_retried(
    sim: Any, cast: Cast
) -> None:
    worker = cast.failing("some agent", 1, "worked")
    other = cast.agent("other", "o")

    async def main() -> None:
        e = engine()
        supervisor = AgentSupervisor(
            name="boss", restart_policy=RestartPolicy(max_restarts=3, within_seconds=60)
        )
        supervisor.add_child("worker", worker)
        supervisor.add_child("other", other)
        await supervisor.start()
        e.register_supervisor("boss", supervisor)
        flow = steps({"id": "w", "agent": "worker", "retry": 2}, {"id": "o", "agent": "other"})
        assert await e.execute(workflow=flow) == {"w": "worked", "o": "o"}
        assert supervisor.child("worker").restarts == 1
        assert supervisor.child("other").restarts == 0
        await supervisor.stop()

    sim(main)


def test_an_agent_that_its_supervisor_has_given_up_fails_the_step(sim: Any, cast: Cast) -> None:
    worker = cast.failing("worker", 99)

    async def main() -> None:
        e = engine()
        supervisor = AgentSupervisor(
            name="boss", restart_policy=RestartPolicy(max_restarts=1, within_seconds=60)
        )
        supervisor.add_child("worker", worker)
        supervisor.on_max_restarts(lambda name: None)
        await supervisor.start()
        e.register_supervisor("boss", supervisor)
        flow = steps({"id": "w", "agent": "worker", "retry": 5})
        with pytest.raises(WorkflowFailed, match="'worker'"):
            await e.execute(workflow=flow)
        await supervisor.stop()

    sim(main)


# --------------------------------------------------------------------------- nested workflows


def test_a_workflow_is_a_step_of_another(sim: Any, cast: Cast) -> None:
    cast.echoes("a", "b", "c")

    async def main() -> None:
        e = engine(max_concurrent_workflows=1)
        e.register_workflow("inner", steps("a", "b", output="$b"))
        outer = steps(
            {"id": "named", "workflow": "inner", "input": "$input"},
            {"id": "given", "workflow": steps("c", output="$c"), "input": "$named"},
            {"id": "as_agent", "agent": "inner", "input": "$given"},
        )
        result = await e.execute(workflow=outer, input_data="x")
        assert result["given"] == "c(b(a(x)))"
        assert result["as_agent"] == "b(a(c(b(a(x)))))"
        assert await e.workflow("inner").ask("y") == "b(a(y))"

    sim(main)


def test_a_nested_workflow_fails_and_is_cancelled_with_its_parent(sim: Any, cast: Cast) -> None:
    cast.failing("a", 9)
    cast.slow("b", 100)

    async def main() -> None:
        e = engine()
        with pytest.raises(WorkflowFailed, match="a is down") as caught:
            await e.execute(workflow=steps({"id": "n", "workflow": steps("a")}))
        assert isinstance(caught.value.__cause__, WorkflowFailed)
        wid = await e.start_workflow(workflow=steps({"id": "n", "workflow": steps("b")}))
        await asyncio.sleep(1)
        await e.cancel_workflow(wid)
        await asyncio.sleep(1)
        with pytest.raises(WorkflowCancelled):
            await e.wait(wid)
        listed = await e.list_workflows(state="cancelled")
        assert len(listed) == 2

    sim(main)
    assert cast.stopped == ["b"]


def test_a_workflow_stands_in_a_pattern_and_for_each(sim: Any, cast: Cast) -> None:
    cast.echoes("a", "b")

    async def main() -> None:
        e = engine()
        e.register_workflow("inner", steps("a", output="$a"))
        e.register_pattern("p", ParallelOrchestration(name="p", branches=["inner", "b"]))
        assert await e.execute(pattern="p", input_data="x") == {"inner": "a(x)", "b": "b(x)"}
        flow = steps({"id": "n", "workflow": "inner", "for_each": "$input"})
        assert (await e.execute(workflow=flow, input_data=["x", "y"]))["n"] == ["a(x)", "a(y)"]

    sim(main)


def test_an_agent_may_itself_run_a_workflow(sim: Any, cast: Cast) -> None:
    cast.agent("a", "A")

    async def main() -> None:
        e = engine()

        async def runs(p: Any) -> Any:
            return await e.execute(workflow=steps("a"))

        e.register_agent("runs", runs)
        assert await e.execute(workflow=steps("runs")) == {"runs": {"a": "A"}}

    sim(main)


# --------------------------------------------------------------------------- routing

RULES = [
    {
        "condition": "input.priority == 'high'",
        "pattern": "parallel",
        "agents": ["fast", "backup"],
    },
    {"condition": "input.type == 'complex'", "pattern": "hierarchical", "root": "coordinator"},
    {"condition": "input.flow", "workflow": "registered"},
    {"condition": "input.n in [1, 2]", "agent": "counter", "input": "$input.n"},
]


def test_the_first_rule_that_holds_wins(sim: Any, cast: Cast) -> None:
    cast.echoes("fast", "backup", "coordinator", "counter", "flows")

    async def main() -> None:
        e = engine()
        e.configure_routing(RULES)
        e.register_workflow("registered", steps("flows"))
        both = await e.execute(input_data={"priority": "high", "type": "complex"})
        assert set(both) == {"fast", "backup"}
        await e.execute(input_data={"type": "complex"})
        assert cast.asked[-1] == "coordinator"
        assert await e.execute(input_data={"n": 2}) == "counter(2)"
        assert set(await e.execute(input_data={"flow": True})) == {"flows"}
        with pytest.raises(NoRouteMatches) as caught:
            await e.execute(input_data={"x": 1})
        for rule in RULES:
            assert rule["condition"] in str(caught.value)
        e.configure_routing([*RULES, {"condition": "default", "agent": "counter"}])
        assert await e.execute(input_data="a text") == "counter(a text)"

    sim(main)


def test_without_rules_or_a_workflow_the_error_says_what_to_give(sim: Any) -> None:
    async def main() -> None:
        with pytest.raises(NoRouteMatches, match="no routing rules"):
            await engine().execute(input_data=1)

    sim(main)


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"agent": "a"}, "has no condition"),
        ({"condition": "input.a = 1", "agent": "a"}, "Write '=='"),
        ({"condition": "priority == 1", "agent": "a"}, "input.priority"),
        ({"condition": "default"}, "nothing to do"),
        ({"condition": "default", "pattern": "paralel", "agents": ["a"]}, "'parallel'"),
        ({"condition": "default", "agnet": "a"}, "'agent'"),
        ("default", "is a mapping"),
    ],
)
def test_a_bad_rule_is_refused_with_its_place(rule: Any, problem: str) -> None:
    with pytest.raises(DefinitionError, match=r"rules\[1\]") as caught:
        engine().configure_routing([{"condition": "default", "agent": "a"}, rule])
    assert problem in str(caught.value)
    with pytest.raises(DefinitionError, match="is a list of rules"):
        engine().configure_routing(rule)


# --------------------------------------------------------------------------- streams


def test_a_stream_tells_what_happens_from_the_beginning_to_the_end(sim: Any, cast: Cast) -> None:
    cast.slow("a", 1, "A")
    cast.failing("b", 1, "B")
    cast.agent("c")
    flow = steps(
        "a",
        {"id": "b", "agent": "b", "retry": {"attempts": 2, "initial_delay_s": 1}},
        {"id": "c", "agent": "c", "condition": "false"},
    )

    async def main() -> None:
        e = engine()
        seen = [event async for event in e.stream(workflow=flow, input_data="x")]
        assert [(str(event.kind), event.step) for event in seen] == [
            ("workflow_started", ""),
            ("step_started", "a"),
            ("step_completed", "a"),
            ("step_started", "b"),
            ("step_retrying", "b"),
            ("step_started", "b"),
            ("step_completed", "b"),
            ("step_skipped", "c"),
            ("workflow_completed", ""),
        ]
        assert seen[2].data == {"output": "A"}
        assert "b is down" in seen[4].data["error"]
        assert [event.at for event in seen] == sorted(event.at for event in seen)
        wid = seen[0].workflow_id
        later = [event async for event in e.stream(wid)]
        assert (later[0].kind, later[-1].kind) == (seen[0].kind, seen[-1].kind)
        assert {e.step for e in later if e.kind == EventKind.STEP_COMPLETED} == {"a", "b"}

    sim(main)


def test_a_stream_that_comes_late_hears_what_was_before(sim: Any, cast: Cast) -> None:
    cast.slow("a", 1)
    cast.slow("b", 10)

    async def main() -> None:
        e = engine()
        wid = await e.start_workflow(workflow=steps("a", "b"))
        await asyncio.sleep(5)
        kinds = [(event.kind, event.step) async for event in e.stream(wid)]
        assert kinds == [
            (EventKind.WORKFLOW_STARTED, ""),
            (EventKind.STEP_STARTED, "a"),
            (EventKind.STEP_COMPLETED, "a"),
            (EventKind.STEP_STARTED, "b"),
            (EventKind.STEP_COMPLETED, "b"),
            (EventKind.WORKFLOW_COMPLETED, ""),
        ]

    sim(main)


def test_a_stream_that_comes_late_hears_what_is_waited_for(sim: Any) -> None:
    """So that it can answer: a run may wait before anything has begun to listen."""
    flow = {"name": "ask", "steps": [{"id": "ok", "wait_for": "approved"}]}

    async def main() -> None:
        e = engine()
        wid = await e.start_workflow(workflow=flow)
        await asyncio.sleep(5)
        kinds: list[str] = []
        async for event in e.stream(wid):
            kinds.append(event.kind)
            if event.kind == EventKind.STEP_WAITING:
                assert event.data["signal"] == "approved"
                await e.signal_workflow(wid, "approved", True)
        assert kinds == [
            "workflow_started",
            "step_waiting",
            "step_completed",
            "workflow_completed",
        ]
        again = [event.kind async for event in e.stream(wid)]
        assert again == kinds

    sim(main)


def test_a_stream_that_comes_late_hears_what_was_asked(sim: Any) -> None:
    async def pay(order: Any) -> Any:
        return await agent_context().question("approve", {"sum": order})

    async def main() -> None:
        e = engine()
        wid = await e.start_workflow({"name": "pay", "steps": [{"id": "pay", "agent": pay}]}, 120)
        await asyncio.sleep(5)
        async for event in e.stream(wid):
            if event.kind == EventKind.QUESTION_ASKED:
                assert (event.data["name"], event.data["data"]) == ("approve", {"sum": 120})
                await e.answer(wid, "approve", "yes")
        assert (await e.wait(wid)).output == "yes"

    sim(main)


def test_leaving_a_stream_does_not_stop_the_run(sim: Any, cast: Cast) -> None:
    cast.slow("a", 5)

    async def main() -> None:
        e = engine()
        async with e.stream(workflow=steps("a")) as stream:
            async for event in stream:
                wid = event.workflow_id
                break
        await e.wait(wid)

    sim(main)
    assert cast.done == ["a"]


def test_parts_of_answers_and_events_of_patterns_are_streamed(sim: Any, cast: Cast) -> None:
    async def talk(p: Any) -> str:
        send_chunk("hel")
        send_chunk("lo")
        return "hello"

    cast.agent("a", talk)
    cast.agent("b", talk)
    flow = steps("a", {"id": "p", "pattern": "parallel", "agents": ["b"]})

    async def main() -> None:
        e = engine()
        work = [event async for event in e.stream(workflow=flow) if event.kind == EventKind.WORK]
        assert [w.data.data for w in work if w.step == "a"] == ["hel", "lo"]
        kinds = {type(w.data).__name__ for w in work if w.step == "p"}
        assert {"Started", "Chunk", "Ended", "Finished"} <= kinds

    sim(main)


def test_a_stream_of_a_run_that_is_not_taken_in_says_so_and_ends(sim: Any, cast: Cast) -> None:
    cast.slow("a", 10)

    async def main() -> None:
        e = engine(max_concurrent_workflows=1, max_queued_workflows=0)
        running = await e.start_workflow(workflow=steps("a"))
        stream = e.stream(workflow=steps("a"))
        with pytest.raises(TooManyWorkflows):
            await anext(stream)
        assert [event async for event in stream] == []
        await e.wait(running)

    sim(main)


def test_the_end_of_the_engine_ends_its_streams(sim: Any, cast: Cast) -> None:
    cast.slow("a", 100)

    async def main() -> None:
        e = engine()
        wid = await e.start_workflow(workflow=steps("a"))

        async def read() -> list[Any]:
            return [event async for event in e.stream(wid)]

        reading = asyncio.create_task(read())
        await asyncio.sleep(1)
        await e.stop()
        events = await reading
        assert events[-1].kind == EventKind.WORKFLOW_FAILED

    sim(main)


# --------------------------------------------------------------------------- traces


def test_a_trace_has_one_root_and_a_span_for_each_attempt(sim: Any, cast: Cast) -> None:
    contexts: list[Any] = []

    def look(payload: Any) -> str:
        contexts.append(dict(agent_context()))
        return "x"

    cast.agent("a", look)
    cast.failing("b", 1)
    inner = steps("a", output="$a")

    async def main() -> None:
        e = engine(enable_tracing=True)
        flow = steps("a", {"id": "b", "agent": "b", "retry": 2}, {"id": "n", "workflow": inner})
        await e.execute(workflow=flow, workflow_id="w")
        spans = e.trace("w")
        assert [span.kind for span in spans] == ["workflow"] + ["attempt"] * 4
        [root] = [span for span in spans if span.parent_id is None]
        assert root.name == "invoke_workflow test"
        assert all(span.parent_id == root.span_id for span in spans[1:])
        assert [span.status for span in spans] == ["ok", "ok", "error", "ok", "ok"]
        assert "b is down" in str(spans[2].error)
        assert spans[1].attributes["gen_ai.agent.name"] == "a"
        everything = e.trace()
        assert len({span.trace_id for span in everything}) == 1
        assert len([span for span in everything if span.parent_id is None]) == 1
        assert all(span.end is not None for span in everything)
        assert contexts[0]["traceparent"] == spans[1].traceparent

    sim(main)


def test_spans_are_bounded_and_absent_unless_asked_for(sim: Any, cast: Cast) -> None:
    cast.agent("a")

    async def main() -> None:
        quiet = engine()
        await quiet.execute(workflow=steps("a"))
        assert quiet.trace() == []
        e = engine(enable_tracing=True, max_spans=10)
        for _ in range(20):
            await e.execute(workflow=steps("a"))
        assert len(e.trace()) == 10

    sim(main)


def test_spans_of_cancelled_and_failed_runs_say_so(sim: Any, cast: Cast) -> None:
    cast.slow("a", 100)
    cast.failing("b", 9)

    async def main() -> None:
        e = engine(enable_tracing=True)
        wid = await e.start_workflow(workflow=steps("a"))
        await asyncio.sleep(1)
        await e.cancel_workflow(wid)
        assert [span.status for span in e.trace(wid)] == ["cancelled", "cancelled"]
        with pytest.raises(WorkflowFailed):
            await e.execute(workflow=steps("b"), workflow_id="f")
        assert [span.status for span in e.trace("f")] == ["error", "error"]

    sim(main)


def test_spans_stay_readable_after_the_loop_has_ended() -> None:
    e = engine(enable_tracing=True)

    async def main() -> None:
        async def a(p: Any) -> int:
            return 1

        await e.execute(workflow=steps({"id": "a", "agent": a}))

    asyncio.run(main())
    assert len(e.trace()) == 2


def test_the_system_is_left_as_it_was(sim: Any, cast: Cast) -> None:
    cast.agent("a")

    async def main() -> None:
        system = ActorSystem.current()
        e = engine()
        await e.execute(workflow=steps("a"))
        before = system.actor_count
        for _ in range(50):
            await e.execute(workflow=steps("a"))
        await asyncio.sleep(0.01)
        assert system.actor_count == before

    sim(main)


def test_a_worker_that_is_killed_takes_the_pattern_with_it(sim: Any, cast: Cast) -> None:
    cast.slow("a", 100)

    async def main() -> None:
        e = engine()
        system = ActorSystem.current()
        wid = await e.start_workflow(
            workflow=steps({"id": "s", "pattern": "sequential", "agents": ["a"]})
        )
        await asyncio.sleep(1)
        [worker] = [r for r in system.actors() if r.actor_class.__name__ == "StepWorker"]
        worker.kill()
        with pytest.raises(WorkflowFailed, match="killed"):
            await e.wait(wid)
        await asyncio.sleep(1)

    sim(main)
    assert cast.stopped == ["a"]


def test_what_happens_in_a_nested_workflow_is_streamed_with_the_outer_one(
    sim: Any, cast: Cast
) -> None:
    cast.agent("a")

    async def main() -> None:
        e = engine()
        flow = steps({"id": "n", "workflow": steps("a")})
        work = [x async for x in e.stream(workflow=flow) if x.kind == EventKind.WORK]
        assert [x.data.kind for x in work if x.step == "n"] == [
            EventKind.WORKFLOW_STARTED,
            EventKind.STEP_STARTED,
            EventKind.STEP_COMPLETED,
            EventKind.WORKFLOW_COMPLETED,
        ]

    sim(main)


def test_a_run_that_is_gone_takes_its_parts_with_it(sim: Any, cast: Cast) -> None:
    cast.slow("slow", 100)

    async def main() -> None:
        e = engine()
        system = ActorSystem.current()
        flow = steps({"id": "n", "workflow": steps("slow")})
        wid = await e.start_workflow(workflow=flow)
        await asyncio.sleep(1)
        [victim] = [ref for ref in system.actors() if getattr(ref._actor, "run_id", None) == wid]
        victim.kill()
        with pytest.raises(WorkflowFailed):
            await e.wait(wid)
        await asyncio.sleep(1)
        assert len(await e.list_workflows(state="cancelled")) == 1

    sim(main)
