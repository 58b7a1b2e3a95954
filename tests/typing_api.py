"""The documented usage, for the type checkers: they read this file, nothing runs it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, assert_type

from agenticaiframework import Agent, RequestRejected, run_sync
from agenticaiframework.actors import (
    Actor,
    ActorRef,
    ActorSystem,
    AgentContext,
    GaveUp,
    Registry,
    Via,
    agent_context,
)
from agenticaiframework.faces import (
    FaceApp,
    FaceLimits,
    Served,
    a2a_app,
    agui_app,
    mcp_app,
    openai_app,
    serve,
    serve_mcp_stdio,
    serve_workflow,
)
from agenticaiframework.orchestration import (
    AgentRole,
    AgentSupervisor,
    AgentTeam,
    CodeWorkflow,
    Emit,
    EngineConfig,
    Handoff,
    OrchestrationEngine,
    ParallelOrchestration,
    RecoveryReport,
    RestartPolicy,
    RestartType,
    SequentialOrchestration,
    SupervisionStrategy,
    TeamConfig,
    WorkflowRun,
    WorkflowStatus,
    workflow,
)
from agenticaiframework.patterns.engine import AnswerReport, Question
from agenticaiframework.supervision import (
    Error,
    Exhausted,
    HealthStatus,
    Ok,
    Task,
    TaskSupervisor,
    health_of,
    yield_many,
)
from agenticaiframework.testing import scripted_model


async def extract(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"text": payload["document"]}


def blocking(payload: str) -> Emit | Handoff | str:
    return Emit("done", payload) if payload else Handoff("next", payload)


extractor = Agent("extractor", handler=extract, capabilities=["reading"])
writer = Agent(name="writer", model="gpt-4o-mini", instructions="Write")
helper = Agent("helper", handler=blocking, expected_errors=ConnectionError, concurrency=4)
lookup = Agent("lookup", handler=blocking, expected_errors=(ConnectionError, LookupError))


class BadInput(RequestRejected):
    """A refusal of the user's own."""


class Counter(Actor):
    """A raw actor."""

    def __init__(self, start: int) -> None:
        super().__init__()
        self.value = start

    async def on_receive(self, message: Any) -> Any:
        self.value += message
        return self.value


async def agents() -> None:
    answer = await extractor.ask({"document": "x"}, timeout=5)
    assert_type(answer, Any)
    extractor.tell({"document": "y"})
    await extractor.stop()
    assert_type(extractor.is_alive, bool)
    assert_type((helper.busy, helper.concurrency), tuple[int, int])
    with scripted_model(lambda agent, payload: {"agent": agent}):
        await writer.ask("x")


async def actors() -> None:
    async with ActorSystem(name="typed") as system:
        ref = system.start(Counter, 1)
        ref.tell(1)
        await ref.request(2, timeout=1.0)
        assert_type(ref.is_alive(), bool)
        other: ActorRef[Any] = ref
        other.exit("shutdown")


async def supervision() -> None:
    supervisor = AgentSupervisor(
        name="top",
        strategy=SupervisionStrategy.ONE_FOR_ONE,
        restart_policy=RestartPolicy(type=RestartType.PERMANENT, max_restarts=5, within_seconds=60),
    )
    supervisor.add_child("extractor", extractor)

    @supervisor.on_failure
    async def decide(name: str, error: Exception, restarts: int) -> bool:
        return restarts < 5

    @supervisor.on_max_restarts
    async def replace(name: str) -> None:
        await supervisor.remove_child(name)

    await supervisor.start()
    await supervisor.ask("extractor", {"document": "x"}, timeout=1.0)
    await supervisor.stop()


async def giving_up() -> int:
    async with ActorSystem("service") as system:
        supervisor = AgentSupervisor("top", exhausted="cool_down")
        AgentSupervisor("top", exhausted=Exhausted.STOP)
        child = supervisor.add_child("extractor", extractor)
        assert_type(child.back_in_s, float | None)
        assert_type(system.gave_up, GaveUp | None)
        assert_type(health_of(system).status, HealthStatus)
        report = await system.until_signal()
        assert_type(report.reason, str)
        return report.exit_code


async def patterns() -> None:
    pipeline = SequentialOrchestration(
        name="p", steps=[{"agent": "extractor", "input_key": "document"}, writer]
    )
    await pipeline.execute(input_data={"document": "x"})
    parallel = ParallelOrchestration(name="q", branches=["extractor", helper], join="collect")
    report = await parallel.run({"document": "x"})
    assert_type(report.ok, bool)


@dataclass
class Line:
    article: str


async def price(line: Line, factor: float = 1.0) -> float:
    return len(line.article) * factor


def drop(price: float) -> None: ...


@workflow(name="priced")
async def priced(run: WorkflowRun, lines: list[Line]) -> dict[str, float]:
    assert_type(await run.ask("anybody", lines), Any)
    assert_type(await run.ask("anybody", lines, returns=Line), Line)
    assert_type(await run.step(price, lines[0], factor=2.0), float)
    assert_type(await run.step(price, lines[0], undo=drop, retry=3), float)
    assert_type(await run.step(len, "x"), int)
    assert_type(await run.wait_for("go", default=None, timeout_seconds=1), Any)
    assert_type(await run.gather(*(run.step(price, x) for x in lines), limit=2), list[float])
    await run.sleep(1)
    assert_type((run.now(), run.random(), run.uuid()), tuple[float, float, str])
    assert_type(run.changed("prices"), bool)
    run.set_state({"at": "end"})
    return {}


@workflow()
async def nightly(run: WorkflowRun) -> None: ...


async def code() -> None:
    assert_type(priced, CodeWorkflow[list[Line], dict[str, float]])
    engine = OrchestrationEngine()
    assert_type(engine.register_workflow(priced), CodeWorkflow[list[Line], dict[str, float]])
    print(await engine.execute(priced, [Line("x")]))  # where any object does
    assert_type(await engine.execute(priced, [Line("x")]), dict[str, float])
    assert_type(await engine.execute(nightly), None)
    await engine.wait(await engine.start_workflow(priced, [Line("x")]))


async def teams() -> None:
    team = AgentTeam(name="desk", config=TeamConfig(max_members=3))
    team.add_role(AgentRole(name="writer", max_agents=1))
    team.assign_agent(writer, role="writer")
    result = await team.execute_workflow(
        workflow=[{"role": "writer", "action": "draft"}], input_data={"topic": "AI"}
    )
    result["draft"]


async def engine() -> None:
    orchestration = OrchestrationEngine(
        config=EngineConfig(max_concurrent_workflows=10, enable_tracing=True)
    )
    orchestration.register_agent("extractor", extractor)
    workflow = {
        "name": "w",
        "steps": [{"id": "one", "agent": "extractor", "input": {"document": "$input.document"}}],
    }
    await orchestration.execute(workflow=workflow, input_data={"document": "x"})
    workflow_id = await orchestration.start_workflow(workflow=workflow, persist_state=True)
    assert_type(workflow_id, str)
    status = await orchestration.get_workflow_status(workflow_id)
    assert_type(status, WorkflowStatus)
    async for event in orchestration.stream(workflow_id):
        assert_type(event.step, str)
    await orchestration.cancel_workflow(workflow_id, reason="enough")
    assert_type(await orchestration.fork(workflow_id, at="one", edit={"input": {}}), str)
    assert_type(
        await orchestration.signal_with_start(workflow, signal="go", workflow_id="w-1"), str
    )
    assert_type(await orchestration.query(workflow_id), Any)
    assert_type(status.steps["one"].inner, tuple[str, ...])
    assert_type(status.questions, tuple[Question, ...])
    assert_type(await orchestration.answer(workflow_id, "one/approve", {"ok": True}), AnswerReport)
    assert_type(
        await orchestration.approve(workflow_id, "call_7", True, arguments={"sum": 1}), AnswerReport
    )


async def inner_steps(payload: dict[str, str]) -> None:
    context = agent_context()
    assert_type(context, AgentContext)
    assert_type(await context.step("extract", extract, payload), Any)
    assert_type(await context.step("extract", extract, payload=payload), Any)
    assert_type(context.step_sync("size", len, payload), Any)
    assert_type(await context.question("approve", payload, group="all"), Any)
    assert_type(context.question_sync("approve", payload), Any)


async def tasks() -> None:
    async with TaskSupervisor("jobs", max_children=10, max_restarts=5) as jobs:
        task = await jobs.async_(extract, {"document": "x"})
        assert_type(task, Task[Any])
        assert_type(await task.outcome(timeout=1), Ok[Any] | Error[Any])
        assert_type(await task.shutdown("brutal_kill"), Ok[Any] | Error[Any] | None)
        for one, outcome in await yield_many([task], timeout=1, on_timeout="kill_task"):
            assert_type(one, Task[Any])
            assert_type(outcome, Ok[Any] | Error[Any])
        async with aclosing(jobs.stream(extract, [{}], ordered=False)) as outcomes:
            async for outcome in outcomes:
                assert_type(outcome, Ok[Any] | Error[Any])


def registries(ref: ActorRef[Any]) -> None:
    registry = Registry("sessions", keys="duplicate")
    assert_type(registry.register(("session", 1), value=2, ref=ref), ActorRef[Any])
    assert_type(registry.lookup(("session", 1)), list[tuple[ActorRef[Any], Any]])
    assert_type(registry.via(1), Via)


def plain_code(engine: OrchestrationEngine, pattern: SequentialOrchestration) -> None:
    assert_type(extractor.ask_sync({"document": "x"}, timeout=3), Any)
    assert_type(pattern.execute_sync("x"), Any)
    assert_type(engine.execute_sync("flow", "x"), Any)
    assert_type(run_sync(engine.recover()), RecoveryReport)


def options_that_checkers_refuse() -> None:
    Agent("x", blocking, instruction="hi")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    RestartPolicy(max_restart=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    RestartPolicy(type="transient", backoff_type="linear", initial_delay_ms=5)
    EngineConfig(max_concurent_workflows=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    TeamConfig(max_member=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    AgentSupervisor("desk", children=[])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    SequentialOrchestration("p", agents=[])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def faces(work: AgentTeam, engine_of_workflows: OrchestrationEngine) -> None:
    article = serve_workflow(engine_of_workflows, "article", input=str, durable=True)
    assert_type(article, Served)
    limits = FaceLimits(max_calls=10, timeout_s=60)
    app = mcp_app(serve(work, name="desk"), extractor, article, token="long enough", limits=limits)
    assert_type(app, FaceApp)
    assert_type(a2a_app(article, url="https://shop.example/article/"), FaceApp)
    assert_type(agui_app(extractor), FaceApp)
    assert_type(openai_app(extractor, article, auth=lambda request: "ann"), FaceApp)
    assert_type(await app.drain(5.0), None)
    await serve_mcp_stdio(article, name="articles")
