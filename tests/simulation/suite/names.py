"""Names and systems: no request ever gets another's agent, and told work outlives its agent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from typing import Any

from agenticaiframework.actors import ActorSystem, Agent, agent_or_none, find_agent
from agenticaiframework.actors.simulation import Simulation
from agenticaiframework.patterns import (
    AgentRole,
    AgentTeam,
    ParallelOrchestration,
    SequentialOrchestration,
)
from agenticaiframework.patterns.engine import OrchestrationEngine
from agenticaiframework.supervision import AgentSupervisor

NAME = "agent-helper"
BINDING = 3
"""How many of the ways to ask an agent bind its name."""
LOADED = SequentialOrchestration.from_dict({"name": "loaded", "steps": [NAME]})
AROUND = SequentialOrchestration.from_dict(
    {"name": "around", "steps": [{"pattern": "parallel", "name": "in", "branches": [NAME]}]}
)
BESIDE = {
    "name": "w",
    "steps": [{"id": "a", "pattern": "parallel", "agents": [NAME], "input": "$input"}],
    "output": "$a",
}
WORKFLOW = {"name": "w", "steps": [{"id": "a", "agent": NAME}], "output": "$a"}

Ask = Callable[[], Awaitable[Any]]


def _helper(sim: Simulation, user: int) -> Agent:
    pause_s = sim.random.choice([0.0, 0.01])

    async def answer(_: Any) -> str:
        await asyncio.sleep(pause_s)
        return f"of {user}."

    return Agent(NAME, handler=answer)


def _nested() -> Any:
    return SequentialOrchestration("outer", [ParallelOrchestration("inner", [NAME])])


def _team() -> Any:
    team = AgentTeam("team", roles=[AgentRole(name="helping")])
    team.assign_agent(NAME, "helping")
    return team


async def _found() -> Any:
    return await find_agent(NAME).ask("hello")


def _ways(engine: OrchestrationEngine) -> list[Callable[[], Ask]]:
    """Return what a request makes at once, each with how it is asked later.

    The first three bind their names, and keep the agents.
    """

    def pattern(make: Callable[[], Any]) -> Callable[[], Ask]:
        def made() -> Ask:
            it = make()
            return lambda: it.ask("hello")

        return made

    return [
        pattern(lambda: SequentialOrchestration("p", [NAME])),
        pattern(_nested),
        pattern(_team),
        pattern(lambda: LOADED),
        pattern(lambda: AROUND),
        lambda: lambda: engine.execute(WORKFLOW, "hello"),
        lambda: lambda: engine.execute(BESIDE, "hello"),
        lambda: _found,
    ]


async def _told(sim: Simulation, user: int) -> None:
    """An agent that nothing keeps does what it was told, in order."""
    done: list[int] = []
    mails = sim.random.randint(1, 4)

    async def send(mail: int) -> None:
        await asyncio.sleep(0.01)
        done.append(mail)

    def notify() -> None:
        mailer = Agent(f"agent-mailer-{user}", handler=send)
        for mail in range(mails):
            mailer.tell(mail)

    notify()
    await asyncio.sleep(50)
    sim.expect(
        done == list(range(mails)) or sim.landed,
        "what an agent was told is done, though nothing keeps it",
        f"{done} of {mails}",
    )


async def _supervised(sim: Simulation) -> None:
    """A supervised agent is one actor, also for code of another system on the loop."""
    served: list[Any] = []
    system = ActorSystem.current()

    async def serve(_: Any) -> None:
        served.append(ActorSystem.current())

    worker = Agent("agent-worker", handler=serve)
    supervisor = AgentSupervisor("desk")
    supervisor.add_child("worker", worker)
    async with supervisor:
        async with ActorSystem("other"):
            for _ in range(3):
                await sim.attempt(worker.ask(1, timeout=10))
        sim.expect(
            all(it is system for it in served),
            "a supervised agent is asked where its supervisor is",
            f"{served}",
        )


async def names(sim: Simulation) -> None:
    """Requests at the same time each make an agent of the same name, or none, and ask it in some way."""
    engine = OrchestrationEngine()
    ways = _ways(engine)
    shared = _helper(sim, 0)
    stranger = Context()

    async def request(user: int) -> None:
        await asyncio.sleep(sim.random.choice([0.0, 0.01]))
        own = _helper(sim, user) if sim.random.random() < 0.7 else None
        wanted = 0 if own is None else user
        number = sim.random.randrange(len(ways))
        if sim.random.random() < 0.5:
            # Of another name, so that nothing but its place in this context matters.
            beside = Agent(f"agent-{user}", handler=str)
            sim.expect(find_agent(f"agent-{user}") is beside, "an agent is found at once")
        ask = ways[number]()
        if number < BINDING and sim.random.random() < 0.5:
            own = None
        other = copy_context().run(_helper, sim, -user) if sim.random.random() < 0.3 else None
        if sim.random.random() < 0.5:
            copy_context().run(_helper, sim, -user)  # and dropped at once: it hides none
        await asyncio.sleep(sim.random.choice([0.0, 0.01, 0.02]))
        in_child = sim.random.random() < 0.5
        asked = asyncio.ensure_future(ask()) if in_child else ask()
        outcome = await sim.attempt(asked)
        text = str(outcome.value) if outcome.ok else ""
        sim.expect(
            f"of {wanted}." in text and text.count("of ") == 1 if outcome.ok else sim.landed,
            "a request gets the agent that it, or what it came from, has made",
            f"user {user}, wanted {wanted}, beside {other}: {text or outcome.error!r}",
        )
        found = stranger.copy().run(agent_or_none, NAME)
        sim.expect(
            found in (None, shared) if own is None else found is None,
            "of several agents that others have made none is chosen",
            f"{found} with {own}",
        )

    users = range(1, sim.random.randint(3, 6))
    async with asyncio.timeout(20_000):
        await asyncio.gather(*(request(user) for user in users), _told(sim, 0), _supervised(sim))
