"""Questions: a handler asks, and its run waits for the answer without it, for days if need be."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, AgentFailed, QuestionOpen, agent_context
from agenticaiframework.patterns import ParallelOrchestration, SequentialOrchestration
from agenticaiframework.patterns.engine import (
    AlreadyAnswered,
    EngineConfig,
    EventKind,
    OrchestrationEngine,
    UnknownQuestion,
    WorkflowEnded,
    WorkflowFailed,
    WorkflowRun,
    WorkflowState,
    WorkflowStatus,
    WorkflowTimedOut,
    workflow,
)

POSTGRES = os.environ.get("AGENTICAI_TEST_POSTGRES", "")


def make_engine(
    folder: Path, *, stored: bool = True, url: str | None = None, **config: Any
) -> OrchestrationEngine:
    return OrchestrationEngine(
        EngineConfig(
            persist_state=stored,
            state_store=url or f"sqlite:///{folder}/questions.sqlite",
            durability="normal",
            **config,
        )
    )


def postgres() -> str:
    """Return the URL of a schema of one's own on the server for tests."""
    if not POSTGRES:
        pytest.skip("AGENTICAI_TEST_POSTGRES names no server")
    joint = "&" if "?" in POSTGRES else "?"
    return f"{POSTGRES}{joint}schema=questions_{os.getpid()}_{uuid4().hex[:8]}"


@pytest.fixture(params=["memory", "stored", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> OrchestrationEngine:
    url = postgres() if request.param == "postgres" else None
    return make_engine(tmp_path, stored=request.param != "memory", url=url)


def run(main: Callable[[], Awaitable[Any]], engine: OrchestrationEngine) -> Any:
    async def inside() -> Any:
        async with ActorSystem("test"), engine:
            return await main()

    return asyncio.run(inside())


async def waiting(
    engine: OrchestrationEngine,
    run_id: str,
    questions: int = 1,
    state: str = "waiting",
    but: str = "",
) -> WorkflowStatus:
    """Return the status of a run once that many questions are open, *but* not that one."""
    async with asyncio.timeout(120):
        while True:
            status = await engine.get_workflow_status(run_id)
            there = [one.id for one in status.questions]
            if len(there) == questions and status.state == state and but not in there:
                return status
            assert not status.finished, status
            await asyncio.sleep(0.01)


def flow(*steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"name": "flow", "steps": list(steps), **fields}


class Effects:
    def __init__(self) -> None:
        self.log: list[str] = []

    async def act(self, what: str) -> str:
        self.log.append(what)
        return what

    def __call__(self, what: str) -> Any:
        return agent_context().step(what, self.act, what)


def test_nothing_can_wait_outside_an_engine() -> None:
    async def handler(_: Any) -> Any:
        return await agent_context().question("approve", {"sum": 5})

    def plain(_: Any) -> Any:
        return agent_context().question_sync("approve", {"sum": 5})

    async def main() -> None:
        async with ActorSystem("test"):
            for agent in (Agent("clerk", handler=handler), Agent("plain", handler=plain)):
                with pytest.raises(AgentFailed, match="approve") as failed:
                    await agent.ask(1)
                cause = failed.value.__cause__
                assert isinstance(cause, QuestionOpen)
                assert (cause.name, cause.data) == ("approve", {"sum": 5})
                assert failed.value.expected

    asyncio.run(main())


@pytest.mark.parametrize("name", ["", "a/b", "a#b", 7])
def test_a_name_that_cannot_be(name: Any) -> None:
    with pytest.raises(ValueError, match="name of a question"):
        agent_context().question(name)


def test_a_run_waits_and_goes_on_where_it_asked(engine: OrchestrationEngine) -> None:
    effects = Effects()

    async def handler(order: dict[str, int]) -> dict[str, Any]:
        await effects("reserve")
        answer = await agent_context().question("approve", {"sum": order["sum"]})
        await effects("charge")
        return {"answer": answer, "attempt": agent_context()["attempt"]}

    async def main() -> None:
        clerk = Agent("clerk", handler=handler)
        engine.register_agent("clerk", clerk)
        run_id = await engine.start_workflow(
            workflow=flow({"id": "pay", "agent": "clerk"}), input_data={"sum": 5}
        )
        status = await waiting(engine, run_id)
        [question] = status.questions
        assert (question.id, question.name, question.data) == ("pay/approve", "approve", {"sum": 5})
        assert (question.step, question.item) == ("pay", None)
        step = status.steps["pay"]
        assert (step.state, step.waiting_for, step.question) == (
            "waiting",
            "pay/approve",
            {"sum": 5},
        )
        assert step.inner == ("reserve",)
        assert status.to_dict()["questions"][0]["id"] == "pay/approve"

        report = await engine.answer(run_id, "approve", {"ok": True})
        assert (report.workflow_id, report.question) == (run_id, "pay/approve")
        result = await engine.wait(run_id, 120)
        assert result["pay"] == {"answer": {"ok": True}, "attempt": 1}
        assert effects.log == ["reserve", "charge"]
        assert (await engine.get_workflow_status(run_id)).questions == ()

    run(main, engine)


def test_what_is_answered_must_be_asked(engine: OrchestrationEngine) -> None:
    async def handler(_: Any) -> Any:
        first = await agent_context().question("approve")
        return [first, await agent_context().question("approve")]

    async def main() -> None:
        engine.register_agent("clerk", Agent("clerk", handler=handler))
        run_id = await engine.start_workflow(workflow=flow({"id": "pay", "agent": "clerk"}))
        await waiting(engine, run_id)
        with pytest.raises(UnknownQuestion, match="Did you mean 'pay/approve'"):
            await engine.answer(run_id, "aprove", 1)
        with pytest.raises(UnknownQuestion):
            await engine.answer(run_id, "pay/approve#2", 1)
        with pytest.raises(ValueError, match="not about a tool"):
            await engine.approve(run_id, "approve", True)
        await engine.answer(run_id, "pay/approve", 1)
        with pytest.raises(AlreadyAnswered):
            await engine.answer(run_id, "pay/approve", 2)
        status = await waiting(engine, run_id, but="pay/approve")
        assert [one.id for one in status.questions] == ["pay/approve#2"]
        with pytest.raises(AlreadyAnswered):
            await engine.answer(run_id, "pay/approve", 2)
        await engine.answer(run_id, "pay/approve#2", 3)
        assert (await engine.wait(run_id, 120))["pay"] == [1, 3]
        with pytest.raises(AlreadyAnswered):
            await engine.answer(run_id, "pay/approve", 2)
        with pytest.raises(WorkflowEnded):
            await engine.answer(run_id, "pay/other", 2)

    run(main, engine)


def test_answers_at_the_same_time_are_one(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)

    async def handler(_: Any) -> Any:
        return await agent_context().question("who")

    async def main() -> None:
        engine.register_agent("clerk", Agent("clerk", handler=handler))
        run_id = await engine.start_workflow(workflow=flow({"id": "pay", "agent": "clerk"}))
        await waiting(engine, run_id)
        said = await asyncio.gather(
            *(engine.answer(run_id, "who", n) for n in range(5)), return_exceptions=True
        )
        kept = [n for n, one in enumerate(said) if not isinstance(one, BaseException)]
        assert all(isinstance(one, AlreadyAnswered) for n, one in enumerate(said) if n not in kept)
        assert (await engine.wait(run_id, 120))["pay"] in kept
        assert len(kept) == 1

    run(main, engine)


def test_several_questions_at_once(engine: OrchestrationEngine) -> None:
    async def handler(_: Any) -> Any:
        context = agent_context()
        return await asyncio.gather(
            *(context.question(name, group="all") for name in ("a", "b", "c"))
        )

    async def main() -> None:
        engine.register_agent("clerk", Agent("clerk", handler=handler))
        run_id = await engine.start_workflow(workflow=flow({"id": "pay", "agent": "clerk"}))
        await waiting(engine, run_id, 3)
        await engine.answer(run_id, "b", 2)
        await engine.answer(run_id, "a", 1)
        status = await waiting(engine, run_id, 1)
        assert status.questions[0].name == "c"
        await engine.answer(run_id, "c", 3)
        assert (await engine.wait(run_id, 120))["pay"] == [1, 2, 3]

    run(main, engine)


def test_a_plain_handler_asks(engine: OrchestrationEngine) -> None:
    effects: list[str] = []

    def handler(_: Any) -> Any:
        agent_context().step_sync("look", effects.append, "look")
        return agent_context().question_sync("approve", 7)

    async def main() -> None:
        engine.register_agent("clerk", Agent("clerk", handler=handler))
        run_id = await engine.start_workflow(workflow=flow({"id": "pay", "agent": "clerk"}))
        await waiting(engine, run_id)
        await engine.answer(run_id, "approve", "yes")
        assert (await engine.wait(run_id, 120))["pay"] == "yes"
        assert effects == ["look"]

    run(main, engine)


def test_a_function_asks(engine: OrchestrationEngine) -> None:
    async def pay(_: Any) -> Any:
        return await agent_context().question("approve")

    async def main() -> None:
        engine.register_agent("pay", pay)
        run_id = await engine.start_workflow(workflow=flow({"id": "pay", "agent": "pay"}))
        await waiting(engine, run_id)
        await engine.answer(run_id, "approve", "yes")
        assert (await engine.wait(run_id, 120))["pay"] == "yes"

    run(main, engine)


def test_the_place_at_the_agent_is_given_back(engine: OrchestrationEngine) -> None:
    async def handler(payload: Any) -> Any:
        return await agent_context().question("q") if payload == "ask" else payload

    async def main() -> None:
        clerk = Agent("clerk", handler=handler)
        engine.register_agent("clerk", clerk, max_concurrent=1)
        run_id = await engine.start_workflow(
            workflow=flow({"id": "pay", "agent": "clerk"}), input_data="ask"
        )
        await waiting(engine, run_id)
        result = await engine.execute(
            workflow=flow({"id": "other", "agent": "clerk"}), input_data="at once"
        )
        assert result["other"] == "at once"
        assert await clerk.ask("direct", timeout=120) == "direct"
        await engine.answer(run_id, "q", "yes")
        assert (await engine.wait(run_id, 120))["pay"] == "yes"

    run(main, engine)


def test_other_steps_go_on_meanwhile(engine: OrchestrationEngine) -> None:
    async def handler(payload: Any) -> Any:
        return await agent_context().question("q")

    async def main() -> None:
        engine.register_agent("asks", Agent("asks", handler=handler))
        engine.register_agent("works", Agent("works", handler=lambda payload: "done"))
        run_id = await engine.start_workflow(
            workflow=flow(
                {"id": "a", "agent": "asks"},
                {"id": "b", "agent": "works", "depends_on": []},
                {"id": "c", "agent": "works", "depends_on": ["a", "b"]},
            )
        )
        status = await waiting(engine, run_id)
        assert status.steps["b"].state == "completed"
        await engine.answer(run_id, "q", "yes")
        assert dict(await engine.wait(run_id, 120)) == {"a": "yes", "b": "done", "c": "done"}

    run(main, engine)


def test_what_is_under_way_beside_it_ends_first(engine: OrchestrationEngine) -> None:
    log: list[str] = []
    release = asyncio.Event()

    async def slow() -> str:
        log.append("begun")
        await release.wait()
        return "slow"

    async def beside(_: Any) -> str:
        got = await agent_context().step("slow", slow)
        return f"{got} {await agent_context().question('second')}"

    async def asks(_: Any) -> str:
        answer: str = await agent_context().question("first")
        return answer

    async def main() -> None:
        engine.register_agent("beside", Agent("beside", handler=beside))
        engine.register_agent("asks", Agent("asks", handler=asks))
        engine.register_pattern(
            "both", ParallelOrchestration(name="both", branches=["beside", "asks"])
        )
        run_id = await engine.start_workflow(workflow=flow({"id": "s", "pattern": "both"}))
        status = await waiting(engine, run_id, 1, "running")
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert (await engine.get_workflow_status(run_id)).state == "running"
        release.set()
        status = await waiting(engine, run_id, 2)
        assert [one.id for one in status.questions] == ["s/both/asks/first", "s/both/beside/second"]
        await engine.answer(run_id, "first", 1)
        await engine.answer(run_id, "second", 2)
        result = await engine.wait(run_id, 120)
        assert "slow 2" in str(result["s"])
        assert log == ["begun"]

    run(main, engine)


def test_an_answer_while_the_attempt_is_under_way_is_told_it(engine: OrchestrationEngine) -> None:
    calls: list[int] = []
    release = asyncio.Event()

    async def handler(_: Any) -> Any:
        calls.append(1)
        context = agent_context()
        held = asyncio.create_task(context.step("held", release.wait))
        answer = await context.question("q")
        release.set()
        await held
        return answer

    async def main() -> None:
        engine.register_agent("asks", Agent("asks", handler=handler))
        run_id = await engine.start_workflow(workflow=flow({"id": "s", "agent": "asks"}))
        await waiting(engine, run_id, 1, "running")
        await engine.answer(run_id, "q", "live")
        assert (await engine.wait(run_id, 120))["s"] == "live"
        assert calls == [1]

    run(main, engine)


def test_items_ask_each_and_need_no_place(engine: OrchestrationEngine) -> None:
    effects = Effects()

    async def handler(item: int) -> Any:
        await effects(f"begin-{item}")
        return await agent_context().question("ok", item)

    async def main() -> None:
        engine.register_agent("asks", Agent("asks", handler=handler))
        step = {"id": "s", "agent": "asks", "for_each": [0, 1, 2, 3], "input": "$item"}
        run_id = await engine.start_workflow(workflow=flow({**step, "max_concurrency": 2}))
        status = await waiting(engine, run_id, 4)
        assert [one.id for one in status.questions] == [f"s[{n}]/ok" for n in range(4)]
        assert [one.item for one in status.questions] == [0, 1, 2, 3]
        with pytest.raises(UnknownQuestion, match="several"):
            await engine.answer(run_id, "ok", "x")
        for n in (2, 0, 3, 1):
            await engine.answer(run_id, f"s[{n}]/ok", n * 10)
        assert (await engine.wait(run_id, 120))["s"] == [0, 10, 20, 30]
        assert sorted(effects.log) == [f"begin-{n}" for n in range(4)]

    run(main, engine)


def test_each_iteration_asks_anew(engine: OrchestrationEngine) -> None:
    async def handler(_: Any) -> Any:
        return {"done": await agent_context().question("done")}

    async def main() -> None:
        engine.register_agent("asks", Agent("asks", handler=handler))
        step = {"id": "s", "agent": "asks", "until": "output.done == true", "max_iterations": 5}
        run_id = await engine.start_workflow(workflow=flow(step))
        await waiting(engine, run_id)
        await engine.answer(run_id, "s/done", False)
        status = await waiting(engine, run_id, but="s/done")
        assert status.questions[0].id == "s#2/done"
        with pytest.raises(AlreadyAnswered):
            await engine.answer(run_id, "s/done", True)
        await engine.answer(run_id, "done", True)
        assert (await engine.wait(run_id, 120))["s"] == {"done": True}

    run(main, engine)


def test_patterns_and_teams_ask(engine: OrchestrationEngine) -> None:
    effects = Effects()

    async def first(payload: Any) -> Any:
        return await effects("first")

    async def asks(payload: Any) -> Any:
        return await agent_context().question("ok", payload)

    async def main() -> None:
        first_agent = Agent("first", handler=first)
        asking = Agent("asks", handler=asks)
        engine.register_pattern(
            "line",
            SequentialOrchestration(
                name="line", steps=[first_agent, asking, Agent("last", handler=lambda p: f"{p}!")]
            ),
        )
        run_id = await engine.start_workflow(workflow=flow({"id": "s", "pattern": "line"}))
        status = await waiting(engine, run_id)
        assert status.questions[0].id == "s/line/asks/ok"
        await engine.answer(run_id, "ok", "yes")
        assert "yes!" in str((await engine.wait(run_id, 120))["s"])
        assert effects.log == ["first"]

    run(main, engine)


def test_nested_runs_ask_and_are_answered_by_the_root(engine: OrchestrationEngine) -> None:
    async def asks(payload: Any) -> Any:
        return await agent_context().question("ok", payload)

    async def main() -> None:
        engine.register_agent("asks", Agent("asks", handler=asks))
        engine.register_workflow(
            "inner", {"name": "inner", "steps": [{"id": "x", "agent": "asks"}]}
        )
        run_id = await engine.start_workflow(
            workflow=flow(
                {"id": "book", "workflow": "inner"},
                {"id": "own", "agent": "asks", "depends_on": []},
            ),
            input_data=5,
        )
        status = await waiting(engine, run_id, 2)
        assert {one.id for one in status.questions} == {"book/x/ok", "own/ok"}
        assert status.steps["book"].waiting_for == "x/ok"
        await engine.answer(run_id, "book/x/ok", "inner")
        with pytest.raises(AlreadyAnswered):
            await engine.answer(run_id, "book/x/ok", "inner")
        await engine.answer(run_id, "own/ok", "outer")
        result = await engine.wait(run_id, 120)
        assert result["own"] == "outer"
        assert "inner" in str(result["book"])

    run(main, engine)


def test_code_asks_through_its_calls(engine: OrchestrationEngine) -> None:
    effects = Effects()

    async def asks(payload: Any) -> Any:
        await effects("look")
        return await agent_context().question("ok", payload)

    async def main() -> None:
        clerk = Agent("clerk", handler=asks)
        engine.register_agent("clerk", clerk)

        @workflow(name="code")
        async def code(wf: WorkflowRun, given: Any) -> Any:
            one = await wf.ask("clerk", 1)
            two = await asyncio.gather(wf.ask("clerk", 2), wf.ask("clerk", 3))
            return [one, *two]

        run_id = await engine.start_workflow(workflow=code)
        status = await waiting(engine, run_id)
        await engine.answer(run_id, status.questions[0].id, "a")
        status = await waiting(engine, run_id, 2)
        for question in status.questions:
            await engine.answer(run_id, question.id, question.data)
        assert await engine.wait(run_id, 120) == ["a", 2, 3]
        assert effects.log == ["look"] * 3

    run(main, engine)


def test_the_time_of_the_run_goes_on(engine: OrchestrationEngine) -> None:
    async def asks(payload: Any) -> Any:
        return await agent_context().question("ok")

    async def main() -> None:
        engine.register_agent("asks", Agent("asks", handler=asks))
        run_id = await engine.start_workflow(
            workflow=flow({"id": "s", "agent": "asks"}, timeout_seconds=0.5)
        )
        with pytest.raises(WorkflowTimedOut):
            await engine.wait(run_id, 120)
        status = await engine.get_workflow_status(run_id)
        assert (status.state, status.questions) == ("failed", ())
        with pytest.raises(WorkflowEnded):
            await engine.answer(run_id, "ok", 1)

    run(main, engine)


@pytest.mark.parametrize("graceful", [False, True])
def test_a_run_that_waits_is_cancelled(engine: OrchestrationEngine, graceful: bool) -> None:
    async def asks(payload: Any) -> Any:
        return await agent_context().question("ok")

    async def main() -> None:
        engine.register_agent("asks", Agent("asks", handler=asks))
        run_id = await engine.start_workflow(workflow=flow({"id": "s", "agent": "asks"}))
        await waiting(engine, run_id)
        report = await engine.cancel_workflow(run_id, "enough", graceful=graceful)
        assert report.state is WorkflowState.CANCELLED

    run(main, engine)


def test_a_question_while_the_run_is_cancelled_waits_for_nothing(
    engine: OrchestrationEngine,
) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def asks(payload: Any) -> Any:
        begun.set()
        await go.wait()
        return await agent_context().question("ok")

    async def main() -> None:
        engine.register_agent("asks", Agent("asks", handler=asks))
        run_id = await engine.start_workflow(workflow=flow({"id": "s", "agent": "asks"}))
        await begun.wait()
        cancelling = asyncio.create_task(engine.cancel_workflow(run_id, "enough", graceful=True))
        while (await engine.get_workflow_status(run_id)).state != "cancelling":
            await asyncio.sleep(0.01)
        go.set()
        report = await asyncio.wait_for(cancelling, 120)
        assert report.state is WorkflowState.CANCELLED

    run(main, engine)


def test_a_failure_after_the_answer_keeps_it(engine: OrchestrationEngine) -> None:
    tries: list[Any] = []

    async def asks(payload: Any) -> Any:
        tries.append(await agent_context().question("ok"))
        if len(tries) < 3:
            raise RuntimeError("again")
        return tries

    async def main() -> None:
        engine.register_agent("asks", Agent("asks", handler=asks, expected_errors=RuntimeError))
        step = {"id": "s", "agent": "asks", "retry": {"attempts": 3, "initial_delay_s": 0.001}}
        run_id = await engine.start_workflow(workflow=flow(step))
        await waiting(engine, run_id)
        await engine.answer(run_id, "ok", 1)
        assert (await engine.wait(run_id, 120))["s"] == [1, 1, 1]
        assert (await engine.get_workflow_status(run_id)).attempts == 3

    run(main, engine)


def test_a_compensation_cannot_ask(engine: OrchestrationEngine) -> None:
    async def undo(payload: Any) -> Any:
        return await agent_context().question("ok")

    async def fails(payload: Any) -> Any:
        raise ValueError("no")

    async def main() -> None:
        engine.register_agent("work", lambda payload: 1)
        engine.register_agent("undo", undo)
        engine.register_agent("fails", fails)
        with pytest.raises(WorkflowFailed) as failed:
            await engine.execute(
                workflow=flow(
                    {"id": "a", "agent": "work", "compensate": {"agent": "undo"}},
                    {"id": "b", "agent": "fails", "depends_on": ["a"]},
                )
            )
        assert "does not wait for answers" in failed.value.undo_failed["a"]

    run(main, engine)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_run_of_an_engine_that_is_gone_is_answered_and_goes_on(tmp_path: Path, kind: str) -> None:
    url = postgres() if kind == "postgres" else None
    effects = Effects()

    async def handler(_: Any) -> Any:
        await effects("once")
        return await agent_context().question("ok", {"n": 1})

    first, second, third = (make_engine(tmp_path, url=url) for _ in range(3))

    async def asking() -> str:
        first.register_agent("clerk", Agent("clerk", handler=handler))
        run_id = await first.start_workflow(workflow=flow({"id": "s", "agent": "clerk"}))
        await waiting(first, run_id)
        return run_id

    run_id = run(asking, first)

    async def answering() -> None:
        status = await second.get_workflow_status(run_id)
        assert [one.id for one in status.questions] == ["s/ok"]
        assert status.steps["s"].waiting_for == "s/ok"
        await second.answer(run_id, "ok", "days later")
        with pytest.raises(AlreadyAnswered):
            await second.answer(run_id, "ok", "even later")

    run(answering, second)

    async def going_on() -> None:
        third.register_agent("clerk", Agent("clerk", handler=handler))
        await third.recover()
        assert (await third.wait(run_id, 120))["s"] == "days later"

    run(going_on, third)
    assert effects.log == ["once"]


def test_the_events_tell_of_it(engine: OrchestrationEngine) -> None:
    async def handler(_: Any) -> Any:
        return await agent_context().question("ok", {"n": 1})

    async def main() -> None:
        engine.register_agent("clerk", Agent("clerk", handler=handler))
        kinds: list[str] = []
        async with engine.stream(workflow=flow({"id": "s", "agent": "clerk"})) as stream:
            async for event in stream:
                kinds.append(event.kind)
                if event.kind is EventKind.QUESTION_ASKED:
                    assert event.data["question"] == "s/ok"
                    assert event.data["data"] == {"n": 1}
                if event.kind is EventKind.STEP_PARKED:
                    await engine.answer(event.workflow_id, "s/ok", 2)
        assert kinds == [
            "workflow_started",
            "step_started",
            "question_asked",
            "step_parked",
            "question_answered",
            "step_started",
            "step_completed",
            "workflow_completed",
        ]

    run(main, engine)
