"""Which system code means that has inherited none, and that a supervised agent is one actor for all."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest

from agenticaiframework.actors import (
    Actor,
    ActorSystem,
    Agent,
    AgentStopped,
    AgentTimeout,
    SeveralSystems,
    gather,
)
from agenticaiframework.actors.agents.step_request import StepRequest
from agenticaiframework.orchestration import (
    AgentRole,
    AgentSupervisor,
    AgentTeam,
    OrchestrationEngine,
    SequentialOrchestration,
)


def where(_: Any = None) -> str:
    return ActorSystem.current().name


async def where_on_loop(_: Any = None) -> str:
    return ActorSystem.current().name


HANDLERS: dict[str, Callable[[Any], Any]] = {
    "event_loop": where_on_loop,
    "thread": where,
    "pinned": where,
}


class Service:
    """A system that one task has started, while others serve: an ASGI server's lifespan."""

    def __init__(self, *names: str, agent: Agent | None = None) -> None:
        self._names = names
        self._agent = agent
        self._started, self._over = asyncio.Event(), asyncio.Event()
        self.systems: list[ActorSystem] = []

    async def _live(self) -> None:
        async with AsyncExitStack() as stack:
            for name in self._names:
                self.systems.append(await stack.enter_async_context(ActorSystem(name)))
            if self._agent is not None:
                supervisor = AgentSupervisor("desk")
                supervisor.add_child("worker", self._agent)
                await stack.enter_async_context(supervisor)
            self._started.set()
            await self._over.wait()

    async def __aenter__(self) -> Service:
        self._task = asyncio.create_task(self._live())
        started = asyncio.create_task(self._started.wait())
        await asyncio.wait([self._task, started], return_when=asyncio.FIRST_COMPLETED)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._over.set()
        await self._task


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(main(), 60))


async def in_plain_thread(fn: Callable[[], Any]) -> Any:
    """Return what *fn* does in a thread that inherits nothing."""
    result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    def work() -> None:
        try:
            value = fn()
        except BaseException as error:
            loop.call_soon_threadsafe(result.set_exception, error)
        else:
            loop.call_soon_threadsafe(result.set_result, value)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        return await result
    finally:
        await asyncio.to_thread(thread.join)


class Where(Actor):
    def on_receive(self, message: Any) -> Any:
        return where()


# -- the one system of a loop --------------------------------------------------------------------


@pytest.mark.parametrize("dispatcher", HANDLERS)
def test_a_request_uses_the_system_that_the_lifespan_started(dispatcher: str) -> None:
    agent = Agent("worker", handler=HANDLERS[dispatcher], dispatcher=dispatcher)

    async def main() -> None:
        async with Service("service") as service:
            [system] = service.systems
            assert ActorSystem.current() is ActorSystem.current_or_none() is system
            assert await asyncio.create_task(agent.ask()) == "service"
            assert agent.is_alive
            assert await Where.start().request(1) == "service"
            pattern = SequentialOrchestration("p", [agent, where_on_loop])
            assert await pattern.execute(1) == "service"
            team = AgentTeam("t", roles=[AgentRole(name="r")])
            team.assign_agent(agent, "r")
            assert "service" in str(await team.execute_task(1))
            assert team.address().system is system
            engine = OrchestrationEngine()
            steps = [{"id": "a", "agent": agent}, {"id": "b", "agent": where}]
            assert (await engine.execute({"name": "w", "steps": steps}))["b"] == "service"
            supervisor = AgentSupervisor("late")
            supervisor.add_child("worker", agent)
            async with supervisor:
                assert await supervisor.ask("worker", 1) == "service"
        assert not system.running

    run(main)


def test_of_several_systems_an_error_says_what_to_pass() -> None:
    agent = Agent("worker", handler=where_on_loop)

    async def main() -> None:
        async with Service("one", "two") as service:
            for ask in (agent.ask, SequentialOrchestration("p", [agent]).execute):
                with pytest.raises(SeveralSystems, match="system.use") as caught:
                    await ask(1)
                assert caught.value.systems == ("one", "two")
            assert ActorSystem.current_or_none() is None
            assert not agent.is_alive
            for system in service.systems:
                assert await agent.request(1, system=system) == system.name
                with system.use() as here:
                    assert here is system
                    assert await agent.ask(1) == system.name
                    assert await asyncio.create_task(agent.ask(1)) == system.name
            # The second stops: there is one again.
            await service.systems[1].stop()
            assert await agent.ask(1) == "one"

    run(main)


def test_a_system_that_stops_is_not_the_one_that_runs() -> None:
    agent = Agent("worker", handler=where_on_loop)

    async def main() -> None:
        async with Service("service") as service:
            assert await agent.ask(1) == "service"
            stopping = asyncio.create_task(service.systems[0].stop())
            await asyncio.sleep(0)
            assert await agent.ask(1) == "default"
            await stopping
            assert await agent.ask(1) == "default"
            async with Service("next"):
                assert await agent.ask(1) == "next"
            assert await agent.ask(1) == "default"

    run(main)


def test_systems_that_are_gone_are_forgotten() -> None:
    async def main() -> list[weakref.ref[Any]]:
        async with Service("one", "two") as service:
            refs = [weakref.ref(system) for system in service.systems]
            assert ActorSystem.current_or_none() is None
            service.systems.clear()
        return refs

    refs = run(main)
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


# -- threads -----------------------------------------------------------------------------------------


def test_a_plain_thread_uses_the_only_system_of_the_process() -> None:
    agent = Agent("worker", handler=where_on_loop)
    told = threading.Event()
    listener = Agent("listener", handler=lambda _: told.set())

    def in_thread() -> str:
        listener.tell(1)
        assert told.wait(120)
        return str(Where.start().ask(1))

    async def main() -> None:
        async with Service("service"):
            assert await in_plain_thread(in_thread) == "service"
            assert await in_plain_thread(where) == "service"
            assert await asyncio.to_thread(where) == "service"
            assert await in_plain_thread(lambda: asyncio.run(agent.ask(1))) == "default"
        told.clear()
        # The default system of a loop counts, too, where a program has started none.
        assert await agent.ask(1) == "default"
        assert await in_plain_thread(in_thread) == "default"

    run(main)


def test_a_thread_has_the_background_system_where_several_or_none_run() -> None:
    async def main() -> None:
        async with Service("one", "two"):
            system = await in_plain_thread(ActorSystem.current)
            assert system.name == "background"

    run(main)
    background = ActorSystem.current()
    assert background.name == "background"
    with ActorSystem.in_background("chosen") as chosen:
        assert ActorSystem.current() is chosen
    assert ActorSystem.current() is background
    background.stop_blocking(5)


# -- an agent that a supervisor owns -----------------------------------------------------------------


def test_what_a_supervised_agent_does_is_seen_from_wherever_it_is_looked_at() -> None:
    go_on, begun = asyncio.Event(), asyncio.Semaphore(0)

    async def wait(_: Any) -> None:
        begun.release()
        await go_on.wait()

    agent = Agent("worker", handler=wait, concurrency=3)

    async def main() -> None:
        async with Service("service", "second", agent=agent):
            assert (agent.is_alive, agent.busy) == (True, 0)
            async with ActorSystem("other"):
                asks = [asyncio.create_task(agent.ask()) for _ in range(2)]
                for _ in asks:
                    await begun.acquire()
                assert (agent.is_alive, agent.busy) == (True, 2)
                go_on.set()
                await asyncio.gather(*asks)

    run(main)


@pytest.mark.parametrize("dispatcher", HANDLERS)
def test_a_supervised_agent_is_one_actor_from_wherever_it_is_asked(dispatcher: str) -> None:
    starts: list[str] = []
    agent = Agent(
        "worker",
        handler=HANDLERS[dispatcher],
        dispatcher=dispatcher,
        on_start=lambda: starts.append(where()),
    )
    pattern = SequentialOrchestration("p", [agent])

    async def from_another_system() -> list[Any]:
        async with ActorSystem("other") as other:
            return [
                await agent.ask(1),
                await agent.request(1, system=other),
                await asyncio.create_task(agent.ask(1)),
                (await gather(agent.request(1), agent.request(2)))[1],
                await pattern.execute(1),
                (await OrchestrationEngine().execute({"name": "w", "steps": STEPS}))["a"],
            ]

    STEPS = [{"id": "a", "agent": agent}]

    async def main() -> None:
        async with Service("service", "second", agent=agent) as service:
            # It was started in the system that was entered last.
            home = service.systems[1].name
            assert agent.address().system.name == home
            assert agent.is_alive
            assert await agent.ask(1) == home
            assert await from_another_system() == [home] * 6
            other_loop = await in_plain_thread(lambda: asyncio.run(from_another_system()))
            assert other_loop == [home] * 6
            assert await in_plain_thread(lambda: asyncio.run(agent.ask(1))) == home
            before = agent.address().ref
            await in_plain_thread(lambda: asyncio.run(agent.stop("again")))
            while agent.address().live in (None, before):
                await asyncio.sleep(0.001)
            assert await agent.ask(1) == home
            assert starts == [home, home]
        assert await agent.ask(1) == "default"

    run(main)


def test_a_step_has_its_limit_though_an_agent_on_another_loop_takes_it_up_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = threading.Event()
    set_limit = StepRequest.limit

    def limit_late(
        request: StepRequest, limit_s: float | None, queue_limit_s: float | None
    ) -> None:
        assert begun.wait(120)
        set_limit(request, limit_s, queue_limit_s)

    async def wait_for_ever(_: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    agent = Agent("worker", handler=wait_for_ever)
    monkeypatch.setattr(StepRequest, "limit", limit_late)

    async def from_another_loop() -> None:
        async with ActorSystem("other"):
            with pytest.raises(AgentTimeout, match=r"within 0\.01 s"):
                await agent.request_step(1, 0.01)

    async def main() -> None:
        async with Service("service", agent=agent):
            await in_plain_thread(lambda: asyncio.run(from_another_loop()))

    run(main)


def test_what_is_told_from_anywhere_reaches_the_supervised_actor() -> None:
    got: list[tuple[str, Any]] = []

    async def handle(payload: Any) -> None:
        got.append((where(), payload))

    agent = Agent("worker", handler=handle)
    letters: list[Any] = []

    @agent.on_message
    async def receive(message: Any) -> None:
        letters.append((where(), message.content))

    async def from_another_system() -> None:
        async with ActorSystem("other"):
            agent.tell("other")
            team = AgentTeam("t", roles=[AgentRole(name="r")])
            team.assign_agent(agent, "r")
            await team.send("r", "letter")

    async def main() -> None:
        async with Service("service", agent=agent):
            agent.tell("request")
            await from_another_system()
            await in_plain_thread(lambda: agent.tell("thread"))
            await in_plain_thread(lambda: asyncio.run(from_another_system()))
            while len(got) + len(letters) < 6:
                await asyncio.sleep(0.001)

    run(main)
    assert {system for system, _ in got} == {"service"}
    assert sorted(payload for _, payload in got) == ["other", "other", "request", "thread"]
    assert letters == [("service", "letter")] * 2


def test_while_its_supervisor_restarts_it_or_has_stopped_it_there_is_no_second_one() -> None:
    starts: list[str] = []

    async def handle(payload: Any) -> str:
        if payload == "crash":
            raise ValueError("no")
        return where()

    agent = Agent("worker", handler=handle, on_start=lambda: starts.append(where()))

    async def main() -> None:
        supervisor = AgentSupervisor("desk")
        async with ActorSystem("service"):
            supervisor.add_child("worker", agent)
            await supervisor.start()

            async def elsewhere() -> None:
                async with ActorSystem("other"):
                    with pytest.raises(Exception, match="no"):
                        await agent.ask("crash")
                    assert await agent.ask(1) == "service"
                    await supervisor.stop_child("worker")
                    with pytest.raises(AgentStopped):
                        await agent.ask(1)
                    await supervisor.restart_child("worker")
                    assert await agent.ask(1) == "service"

            await asyncio.create_task(elsewhere())
            assert starts == ["service"] * 3
            await supervisor.remove_child("worker")
            assert not agent.is_alive
            await supervisor.stop()

    run(main)


def test_one_with_a_supervisor_in_each_of_two_systems_is_asked_in_the_current_one() -> None:
    agent = Agent("worker", handler=where_on_loop)

    async def under(name: str, started: asyncio.Event, over: asyncio.Event) -> None:
        supervisor = AgentSupervisor(f"desk of {name}")
        supervisor.add_child("worker", agent)
        async with ActorSystem(name), supervisor:
            assert await agent.ask(1) == name
            started.set()
            await over.wait()
            assert await agent.ask(1) == name

    async def main() -> None:
        over = asyncio.Event()
        tasks = []
        for name in ("one", "two"):
            started = asyncio.Event()
            tasks.append(asyncio.create_task(under(name, started, over)))
            await started.wait()
        with pytest.raises(SeveralSystems, match="which has a supervisor in each"):
            await agent.ask(1)
        over.set()
        await asyncio.gather(*tasks)

    run(main)
