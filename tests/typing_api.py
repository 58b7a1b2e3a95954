"""The documented usage, for the type checkers: they read this file, nothing runs it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, assert_type

from agenticaiframework import Agent, RequestRejected
from agenticaiframework.actors import Actor, ActorRef, ActorSystem, GaveUp, Registry, Via
from agenticaiframework.orchestration import (
    AgentRole,
    AgentSupervisor,
    AgentTeam,
    Emit,
    EngineConfig,
    Handoff,
    OrchestrationEngine,
    ParallelOrchestration,
    RestartPolicy,
    RestartType,
    SequentialOrchestration,
    SupervisionStrategy,
    TeamConfig,
    WorkflowStatus,
)
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
