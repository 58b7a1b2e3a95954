"""The context of the caller reaches the handler, and nobody else's does: on every way in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, Agent, enter_agent_context
from agenticaiframework.patterns import (
    AgentRole,
    AgentTeam,
    ChoreographyOrchestration,
    DebateOrchestration,
    Emit,
    HierarchicalOrchestration,
    LoopOrchestration,
    MapReduceOrchestration,
    ParallelOrchestration,
    ReflectionOrchestration,
    RouterOrchestration,
    SagaOrchestration,
    ScatterGatherOrchestration,
    SequentialOrchestration,
    VoteOrchestration,
)
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.supervision import AgentSupervisor, TaskSupervisor

from .conftest import Witness, user

USERS = ("alice", "bob", "carol")
DEADLINE_S = 300.0


class Service:
    """Agents of one kind, and an engine; each way in is a method that asks for one user."""

    def __init__(self, witness: Witness, agent: Callable[[str], Agent], store: Path) -> None:
        self.witness = witness
        self.one = agent("one")
        self.two = agent("two")
        self.engine = OrchestrationEngine(EngineConfig(store_url=f"sqlite:///{store}/runs.db"))
        self.supervisor: AgentSupervisor | None = None

    # -- agents --------------------------------------------------------------------------------

    async def ask(self, context: Any) -> None:
        assert await self.one.ask("x", context=context) == user.get()

    async def tell(self, context: Any) -> None:
        before = len(self.witness.seen)
        self.one.tell("x", context=context)
        while len(self.witness.seen) == before:
            await asyncio.sleep(0.001)

    async def in_a_task(self, context: Any) -> None:
        assert await asyncio.create_task(self.one.ask("x", context=context)) == user.get()

    async def many_at_once(self, context: Any) -> None:
        answers = await asyncio.gather(*(self.one.request(n, context=context) for n in range(5)))
        assert answers == [user.get()] * 5

    async def nested(self, context: Any) -> None:
        async def hand_on(payload: Any) -> Any:
            return [await self.one.ask(payload), await self.two.ask(payload)]

        agent = Agent("hands on", handler=hand_on)
        assert await agent.ask("x", context=context) == [user.get()] * 2

    async def nested_in_a_thread(self, context: Any) -> None:
        def hand_on(payload: Any) -> Any:
            return asyncio.run(self._both(payload))

        agent = Agent("hands on", handler=hand_on)
        assert await agent.ask("x", context=context) == [user.get()] * 2

    async def _both(self, payload: Any) -> Any:
        return [await self.one.ask(payload), await self.two.ask(payload)]

    async def through_the_supervisor(self, context: Any) -> None:
        if self.supervisor is None:
            return
        # Its `ask` has no context=: what the handler finds then is handed on from here.
        enter_agent_context(context)
        assert await self.supervisor.ask("one", "x") == user.get()
        self.engine.register_supervisor("supervisor", self.supervisor)
        steps = [{"id": "a", "agent": "one"}, {"id": "b", "agent": "two"}]
        result = await self.engine.execute({"name": "w", "steps": steps}, "x")
        assert dict(result) == dict.fromkeys("ab", user.get())

    async def supervised_tasks(self, context: Any) -> None:
        enter_agent_context(context)
        started: list[str] = []

        async def start() -> None:
            started.append(self.witness.note())

        async with TaskSupervisor("jobs") as jobs:
            task = await jobs.async_nolink(self.witness.handle, "x")
            plain = await jobs.async_nolink(self.witness.handle_plain, "x")
            await jobs.start_child(start)
            assert (await task, await plain) == (user.get(), user.get())
            found = [outcome async for outcome in jobs.stream(self.witness.handle, ["x", "y"])]
            assert [outcome.unwrap() for outcome in found] == [user.get()] * 2
            while not started:
                await asyncio.sleep(0.001)

    # -- patterns ------------------------------------------------------------------------------

    async def sequential(self, context: Any) -> None:
        pattern = SequentialOrchestration(name="p", steps=[self.one, self.two, self.one])
        await pattern.execute("x", context=context)

    async def streamed(self, context: Any) -> None:
        stream = SequentialOrchestration(name="p", steps=[self.one, self.two]).stream(
            "x", context=context
        )
        user.set("who reads the stream")
        async for _ in stream:
            pass

    async def parallel(self, context: Any) -> None:
        pattern = ParallelOrchestration(name="p", branches=[self.one, self.two])
        await pattern.execute({"text": "x"}, context=context)

    async def map_reduce(self, context: Any) -> None:
        pattern = MapReduceOrchestration(name="p", mapper=self.one, reducer=self.two)
        await pattern.execute([1, 2, 3], context=context)

    async def hierarchical(self, context: Any) -> None:
        pattern = HierarchicalOrchestration(
            name="p",
            root_agent=self.one,
            delegation_rules=[{"parent": self.one, "children": [self.two]}],
        )
        await pattern.execute({"task": "x"}, context=context)

    async def choreography(self, context: Any) -> None:
        async def begin(data: Any) -> Emit:
            self.witness.note()
            return Emit("next", data)

        pattern = ChoreographyOrchestration(
            name="p", event_handlers={"begin": begin, "next": [self.one, self.two]}
        )
        reaction = await pattern.emit_event("begin", "x", context=context)
        assert reaction.ok

    async def debate(self, context: Any) -> None:
        pattern = DebateOrchestration(name="p", agents=[self.one, self.two], judge=self.one)
        await pattern.execute("x", context=context)

    async def voting(self, context: Any) -> None:
        await VoteOrchestration(name="p", agents=[self.one, self.two]).execute("x", context=context)

    async def scatter_gather(self, context: Any) -> None:
        pattern = ScatterGatherOrchestration(
            name="p", agents=[self.one, self.two], deadline_s=30, at_least=2
        )
        await pattern.execute("x", context=context)

    async def looping(self, context: Any) -> None:
        async def stop(scope: Any) -> Any:
            return self.witness.note()

        pattern = LoopOrchestration(
            name="p",
            body=SequentialOrchestration(name="body", steps=[self.one, stop]),
            until=lambda scope: scope["iteration"] == 2,
        )
        await pattern.execute("x", context=context)

    async def routing(self, context: Any) -> None:
        pattern = RouterOrchestration(
            name="p", routes=[{"condition": "default", "agent": self.one}]
        )
        await pattern.execute("x", context=context)

    async def reflection(self, context: Any) -> None:
        pattern = ReflectionOrchestration(
            name="p", maker=self.one, reviewer=self.two, max_rounds=2, accept=lambda _: False
        )
        await pattern.execute("x", context=context)

    async def saga_undone(self, context: Any) -> None:
        async def fail(payload: Any) -> None:
            self.witness.note()
            raise ValueError("no")

        pattern = SagaOrchestration(
            name="p", steps=[{"agent": self.one, "compensate": self.two}, fail]
        )
        before = len(self.witness.seen)
        await pattern.run("x", context=context)
        assert len(self.witness.seen) >= before + 3

    async def functions(self, context: Any) -> None:
        pattern = SequentialOrchestration(
            name="p",
            steps=[
                self.witness.handle,
                self.witness.handle_plain,
                {"agent": self.witness.handle_in_parts, "retry": 2},
            ],
        )
        assert await pattern.execute("x", context=context) == user.get()

    async def nested_pattern(self, context: Any) -> None:
        inner = ParallelOrchestration(name="inner", branches=[self.one, self.witness.handle])
        outer = SequentialOrchestration(name="outer", steps=[self.two, inner])

        async def run(payload: Any) -> Any:
            return await outer.execute(payload)

        await Agent("runs a pattern", handler=run).ask("x", context=context)

    # -- teams ---------------------------------------------------------------------------------

    def team(self) -> AgentTeam:
        team = AgentTeam("team", roles=[AgentRole(name="lead"), AgentRole(name="rest")])
        team.assign_agent(self.one, "lead")
        team.assign_agent(self.two, "rest")
        return team

    async def team_task(self, context: Any) -> None:
        await self.team().execute_task("x", context=context)

    async def team_workflow(self, context: Any) -> None:
        work = [{"role": "lead", "action": "a"}, {"role": "rest", "action": "b"}]
        await self.team().execute_workflow(work, {"x": 1}, context=context)

    async def team_discussion(self, context: Any) -> None:
        await self.team().discuss("x", max_rounds=2, context=context)

    async def team_message(self, context: Any) -> None:
        heard: list[str] = []
        member = Agent("member", handler=self.witness.handle)

        @member.on_message
        async def listen(message: Any) -> None:
            heard.append(user.get())

        @member.on_message
        def listen_plain(message: Any) -> None:
            heard.append(user.get())

        team = AgentTeam("mail", roles=[AgentRole(name="role")])
        team.assign_agent(member, "role")
        await team.send("member", "hello")
        await team.broadcast(None, "hello")
        while len(heard) < 4:
            await asyncio.sleep(0.001)
        assert heard == [user.get()] * 4
        await team.stop()

    # -- workflows -----------------------------------------------------------------------------

    async def workflow(self, context: Any) -> None:
        steps = [{"id": "a", "agent": self.one}, {"id": "b", "agent": self.witness.handle}]
        steps.append({"id": "c", "agent": self.witness.handle_plain, "depends_on": ["a"]})
        result = await self.engine.execute({"name": "w", "steps": steps}, "x", context=context)
        assert dict(result) == dict.fromkeys("abc", user.get())

    async def started_workflow(self, context: Any) -> None:
        steps = [{"id": "a", "agent": self.one}, {"id": "b", "agent": self.two}]
        run_id = await self.engine.start_workflow(
            {"name": "w", "steps": steps}, "x", context=context
        )
        expected = user.get()
        user.set("who waits for it")
        assert dict(await self.engine.wait(run_id)) == dict.fromkeys("ab", expected)

    async def stored_workflow(self, context: Any) -> None:
        self.engine.register_agent("one", self.one)
        self.engine.register_agent("fn", self.witness.handle)
        steps = [{"id": "a", "agent": "one"}, {"id": "b", "agent": "fn"}]
        result = await self.engine.execute(
            {"name": "w", "steps": steps}, "x", persist_state=True, context=context
        )
        assert dict(result) == dict.fromkeys("ab", user.get())

    async def nested_workflow(self, context: Any) -> None:
        self.engine.register_workflow(
            "inner", {"name": "inner", "steps": [{"id": "a", "agent": self.one}]}
        )
        steps = [
            {"id": "flow", "workflow": "inner"},
            {"id": "pattern", "agent": SequentialOrchestration(name="p", steps=[self.two])},
        ]
        await self.engine.execute({"name": "outer", "steps": steps}, "x", context=context)

    async def workflow_of_a_handler(self, context: Any) -> None:
        async def run(payload: Any) -> Any:
            return await self.engine.execute(
                {"name": "w", "steps": [{"id": "a", "agent": self.one}]}, payload
            )

        await Agent("runs a workflow", handler=run).ask("x", context=context)

    async def team_in_a_workflow(self, context: Any) -> None:
        steps = [{"id": "t", "agent": self.team()}]
        await self.engine.execute({"name": "w", "steps": steps}, "x", context=context)

    async def retried_step(self, context: Any) -> None:
        tries: list[str] = []

        async def fail_once(payload: Any) -> str:
            tries.append(self.witness.note())
            if len(tries) == 1:
                raise ConnectionError("once")
            return tries[-1]

        step = {"id": "a", "agent": fail_once, "retry": {"attempts": 2, "initial_delay_s": 0.001}}
        await self.engine.execute({"name": "w", "steps": [step]}, "x", context=context)
        assert tries == [user.get()] * 2

    async def after_a_delay(self, context: Any) -> None:
        steps = [{"id": "t", "delay": 0.01}, {"id": "a", "agent": self.one}]
        run_id = await self.engine.start_workflow(
            {"name": "w", "steps": steps}, "x", context=context
        )
        expected = user.get()
        user.set("later")
        assert (await self.engine.wait(run_id))["a"] == expected

    async def after_a_signal(self, context: Any) -> None:
        steps = [{"id": "w", "wait_for": "go"}, {"id": "a", "agent": self.one}]
        steps.append({"id": "b", "agent": self.witness.handle})
        run_id = await self.engine.start_workflow(
            {"name": "w", "steps": steps}, "x", context=context
        )
        expected = user.get()
        user.set("who signals")
        await asyncio.sleep(0.01)
        await self.engine.signal_workflow(run_id, "go", 1)
        result = await self.engine.wait(run_id)
        assert (result["a"], result["b"]) == (expected, expected)

    async def compensated(self, context: Any) -> None:
        async def fail(payload: Any) -> None:
            raise ValueError("no")

        steps = [
            {"id": "a", "agent": self.one, "compensate": self.two},
            {"id": "b", "agent": fail},
        ]
        run_id = await self.engine.start_workflow(
            {"name": "w", "steps": steps}, "x", context=context
        )
        with pytest.raises(Exception, match="no"):
            await self.engine.wait(run_id)

    async def streamed_workflow(self, context: Any) -> None:
        steps = [{"id": "a", "agent": self.one}, {"id": "b", "agent": self.witness.handle}]
        stream = self.engine.stream(
            workflow={"name": "w", "steps": steps}, input_data="x", context=context
        )
        user.set("who reads the stream")
        async for _ in stream:
            pass


WAYS = sorted(
    name
    for name, way in vars(Service).items()
    if not name.startswith("_") and name != "team" and asyncio.iscoroutinefunction(way)
)

KINDS: dict[str, Callable[[Witness], tuple[Callable[[Any], Any], str | None]]] = {
    "async": lambda witness: (witness.handle, None),
    "async in parts": lambda witness: (witness.handle_in_parts, None),
    "plain": lambda witness: (witness.handle_plain, None),
    "plain on the loop": lambda witness: (witness.handle_plain, "event_loop"),
    "async in a thread": lambda witness: (witness.handle, "thread"),
    "pinned": lambda witness: (witness.handle_by_run, "pinned"),
}


@asynccontextmanager
async def service_of(
    witness: Witness, kind: str, store: Path, supervised: bool
) -> AsyncIterator[Service]:
    handler, dispatcher = KINDS[kind](witness)

    def agent(name: str) -> Agent:
        return Agent(name, handler=handler, dispatcher=dispatcher)

    user.set("who started the system")
    async with asyncio.timeout(DEADLINE_S), ActorSystem("service"):
        user.set("who started the agents")
        service = Service(witness, agent, store)
        if supervised:
            async with AgentSupervisor("supervisor") as supervisor:
                service.supervisor = supervisor
                await supervisor.add_child("one", service.one)
                await supervisor.add_child("two", service.two)
                yield service
        else:
            yield service
        await service.engine.stop()


@pytest.mark.parametrize("supervised", [False, True], ids=["alone", "supervised"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_each_user_is_seen_by_the_handlers_that_work_for_them(
    witness: Witness, way: str, kind: str, supervised: bool, tmp_path: Path
) -> None:
    async def request(service: Service, name: str) -> None:
        user.set(name)
        call: Callable[[Any], Awaitable[None]] = getattr(service, way)
        await call({"user": name})

    async def main() -> None:
        async with service_of(witness, kind, tmp_path, supervised) as service:
            # One after another, where the first would freeze its context into all, then at once.
            for name in USERS:
                await asyncio.create_task(request(service, name))
            await asyncio.gather(*(request(service, name) for name in USERS))
        assert witness.wrong() == []
        if way != "team_message" and (supervised or way != "through_the_supervisor"):
            assert witness.users == set(USERS)

    asyncio.run(main())
