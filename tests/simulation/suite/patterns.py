"""Patterns and teams: what they return is right, or they fail and say so, in time, leaving nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from agenticaiframework.actors import Agent
from agenticaiframework.actors.simulation import Simulation
from agenticaiframework.patterns import (
    AgentRole,
    AgentTeam,
    ChoreographyOrchestration,
    Emit,
    HierarchicalOrchestration,
    ParallelOrchestration,
    SequentialOrchestration,
)

LIMIT_S = 100.0
NAMES = ("agent-a", "agent-b", "agent-c")


Agents = dict[str, Agent]


def _agents(sim: Simulation) -> Agents:
    pause_s = sim.random.choice([0.0, 0.01, 1.0])

    def handler(name: str) -> Any:
        async def handle(payload: Any) -> Any:
            await asyncio.sleep(pause_s)
            text = payload if isinstance(payload, str) else payload.get("text", "?")
            return f"{name[-1]}({text})"

        return handle

    return {name: Agent(name, handler=handler(name)) for name in NAMES}


async def _sequential(sim: Simulation, agents: Agents, number: int) -> None:
    pattern = SequentialOrchestration(
        name="line",
        steps=[
            {"agent": "agent-a", "input_key": "text"},
            {"agent": "agent-b"},
            {"agent": "agent-c"},
        ],
    )
    result = await pattern.execute(input_data={"text": f"{number}"})
    wanted = f"c(b(a({number})))"
    sim.expect(result == wanted, "a line passes each output on", f"{result!r}, not {wanted!r}")


async def _parallel(sim: Simulation, agents: Agents, number: int) -> None:
    # Branches that all get the whole input go another way.
    part = {"input_key": "text"} if number % 2 else {}
    pattern = ParallelOrchestration(name="fan", branches=[{"agent": n, **part} for n in NAMES])
    results = await pattern.execute(input_data={"text": f"{number}"})
    wanted = {name: f"{name[-1]}({number})" for name in NAMES}
    sim.expect(results == wanted, "a fan gathers each branch", f"{results!r}")


async def _hierarchical(sim: Simulation, agents: Agents, number: int) -> None:
    pattern = HierarchicalOrchestration(
        name="boss",
        root_agent="agent-a",
        delegation_rules=[{"parent": "agent-a", "children": ["agent-b", "agent-c"]}],
    )
    await pattern.execute(input_data={"task": f"{number}"})


async def _choreography(sim: Simulation, agents: Agents, number: int) -> None:
    seen: list[str] = []

    def step(name: str, then: str | None) -> Any:
        async def handle(payload: Any) -> Any:
            seen.append(name)
            await asyncio.sleep(0.01)
            return Emit(then, payload) if then is not None else payload

        return handle

    events = ["one", "two", "three"]
    dancers = [
        Agent(name, handler=step(name, then))
        for name, then in zip(NAMES, [*events[1:], None], strict=True)
    ]
    pattern = ChoreographyOrchestration(
        name="dance", agents=dancers, event_handlers=dict(zip(events, dancers, strict=True))
    )
    await pattern.emit_event("one", {"number": number})
    sim.expect(
        [name for name in NAMES if name in seen] == list(dict.fromkeys(seen)),
        "a chain of events goes in order",
        f"{seen}",
    )


async def _team(sim: Simulation, agents: Agents, number: int) -> None:
    team = AgentTeam(name=f"team{number}")
    for name, agent in agents.items():
        team.add_role(AgentRole(name=name, max_agents=1))
        team.assign_agent(agent, role=name)
    await team.execute_workflow(workflow=[{"role": name, "action": "do"} for name in NAMES])


KINDS = (_sequential, _parallel, _hierarchical, _choreography, _team)


async def patterns(sim: Simulation) -> None:
    """A pattern, executed once or twice at the same time, by agents that fail."""
    kind = sim.random.choice(KINDS)
    agents = _agents(sim)

    async def one(number: int) -> None:
        async with asyncio.timeout(LIMIT_S):
            await kind(sim, agents, number)

    attempts = [sim.attempt(one(number)) for number in range(sim.random.choice([1, 1, 2]))]
    outcomes = await asyncio.gather(*attempts)
    for outcome in outcomes:
        sim.expect(
            outcome.ok or sim.landed,
            "a pattern without faults succeeds",
            f"{kind.__name__}: {outcome.error!r}",
        )
