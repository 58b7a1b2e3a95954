"""Properties of every pattern and of teams, under simulated faults and in any order.

Agents crash, are killed, hang, are slow, answer late, ignore their cancellation; coordinators and the
team's actor are killed. Whatever happens when: every execution ends, in time; what it says is right;
no execution sees another's data; nothing is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from agenticaiframework.actors import Agent
from agenticaiframework.actors.simulation import (
    Crash,
    FaultPlan,
    Faults,
    Hang,
    Kill,
    LateAnswer,
    Profile,
    Simulation,
    Slow,
    SwallowCancel,
)
from agenticaiframework.patterns import (
    AgentHandoff,
    AgentRole,
    AgentTeam,
    Bulkhead,
    ChoreographyOrchestration,
    CircuitBreaker,
    Completed,
    DebateOrchestration,
    Emit,
    Handoff,
    HedgedRequest,
    HierarchicalOrchestration,
    LoopOrchestration,
    MapReduceOrchestration,
    OrchestrationPattern,
    Outcome,
    ParallelOrchestration,
    PatternFailed,
    RateLimiter,
    ReflectionOrchestration,
    RouterOrchestration,
    SagaOrchestration,
    ScatterGatherOrchestration,
    SequentialOrchestration,
    TeamConfig,
    TeamError,
    quorum,
)
from agenticaiframework.supervision import AgentSupervisor, RestartPolicy
from agenticaiframework.testing import simulate

from .conftest import left_over

LIMIT_S = 500.0
"""The whole time limit of every execution; a fault may delay an agent by much more."""
GRACE_S = 60.0
EXECUTIONS = 3

AGENT_FAULTS = Faults(
    kinds=(Crash, Kill, Hang, Slow, LateAnswer, SwallowCancel), most=3, actor="agent-*"
)
COORDINATOR_FAULTS = Faults(kinds=(Kill,), most=1, actor="*Coordinator#*")
TEAM_FAULTS = Faults(kinds=(Kill,), most=1, actor="team*")


def some_faults(seed: int, profile: Profile) -> FaultPlan:
    """Mostly faults of agents; every fourth run one of a coordinator or a team as well."""
    faults = AGENT_FAULTS.plan(seed, profile).faults
    for other in (COORDINATOR_FAULTS, TEAM_FAULTS):
        if seed % 4 == 0 and any(
            label.startswith(("Coord", "Team", "team")) for label in profile.handled
        ):
            faults += other.plan(seed, profile).faults
    return FaultPlan(faults=faults)


@dataclass
class Case:
    """A pattern of the agents ``agent-0`` to ``agent-3``, and what its result for an id looks like."""

    make: Callable[[list[Agent]], OrchestrationPattern]
    right: Callable[[Any, int], bool]
    data: Callable[[int], Any] = lambda number: {"id": number}


def own(value: Any, number: int) -> bool:
    """Whether everything in *value* belongs to execution *number*."""
    if isinstance(value, dict):
        return all(own(v, number) if k != "id" else v == number for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return all(own(v, number) for v in value)
    return True


def ids(value: Any) -> bool:
    """Whether *value* holds an id anywhere."""
    return "'id'" in repr(value)


def one(value: Any, number: int) -> bool:
    return isinstance(value, dict) and value.get("id") == number


POLICY: dict[str, Any] = {"timeout": 20, "retry": {"attempts": 3, "initial_delay_s": 1}}


def with_policy(agent: Agent) -> dict[str, Any]:
    return {"agent": agent, **POLICY}


CASES: dict[str, Case] = {
    "sequential": Case(lambda a: SequentialOrchestration("p", a), one),
    "sequential with policy": Case(
        lambda a: SequentialOrchestration("p", [with_policy(agent) for agent in a]), one
    ),
    "parallel": Case(
        lambda a: ParallelOrchestration("p", a), lambda v, n: len(v) == 4 and own(v, n) and ids(v)
    ),
    "parallel collecting": Case(
        lambda a: ParallelOrchestration(
            "p", [with_policy(agent) for agent in a], join="collect", max_concurrency=2
        ),
        lambda v, n: own(v, n) and len(v) + len(v.missing) == 4,
    ),
    "race": Case(
        lambda a: ParallelOrchestration("p", a, join="first"),
        lambda v, n: len(v) == 1 and own(v, n) and ids(v),
    ),
    "quorum": Case(
        lambda a: ParallelOrchestration("p", a, join=quorum(2)),
        lambda v, n: len(v) >= 2 and own(v, n) and ids(v),
    ),
    "hierarchical": Case(
        lambda a: HierarchicalOrchestration(
            "p",
            a[0],
            [{"parent": a[0], "children": a[1:3]}, {"parent": a[1], "children": [a[3]]}],
        ),
        lambda v, n: len(v) == 4 and own(v, n),
    ),
    "loop": Case(lambda a: LoopOrchestration("p", a[0], "iteration == 4"), one),
    "router": Case(lambda a: RouterOrchestration("p", [{"agent": a[1]}], classifier=a[0]), one),
    "reflection": Case(
        lambda a: ReflectionOrchestration("p", a[0], a[1], max_rounds=2),
        lambda v, n: own(v, n) and ids(v),
    ),
    "scatter gather": Case(
        lambda a: ScatterGatherOrchestration("p", a, deadline_s=30, at_least=0),
        lambda v, n: own(v, n) and len(v) + len(v.missing) == 4,
    ),
    "debate": Case(
        lambda a: DebateOrchestration("p", a, rounds=2, quorum=1),
        lambda v, n: own(v.answers, n) and ids(v.answers),
    ),
    "map reduce": Case(
        lambda a: MapReduceOrchestration("p", a[0], a[1], max_concurrency=3),
        lambda v, n: own(v, n) and len(v) == 5,
        lambda number: [{"id": number} for _ in range(5)],
    ),
    "hedge": Case(lambda a: HedgedRequest("p", a, after_s=5), one),
    "circuit breaker": Case(
        lambda a: CircuitBreaker("p", with_policy(a[0]), failure_threshold=2, reset_after_s=5), one
    ),
    "rate limiter": Case(lambda a: RateLimiter("p", with_policy(a[0]), rate=1, per_s=3), one),
    "bulkhead": Case(lambda a: Bulkhead("p", with_policy(a[0]), 1), one),
    "nested": Case(
        lambda a: SequentialOrchestration(
            "p",
            [
                ParallelOrchestration("q", [a[0], SequentialOrchestration("r", a[1:3])]),
                a[3],
            ],
        ),
        lambda v, n: own(v, n) and ids(v),
    ),
}


async def echo(payload: Any) -> Any:
    await asyncio.sleep(1)
    return payload


async def execute_many(
    sim: Simulation, run: Callable[[int], Any], right: Callable[[Any, int], bool]
) -> list[Any]:
    """Run several executions side by side, the last of which is cancelled, and check each."""
    tasks = [asyncio.ensure_future(sim.attempt(run(n))) for n in range(EXECUTIONS)]
    victim = asyncio.ensure_future(run(EXECUTIONS))
    began = sim.time()
    await asyncio.sleep(2.5)
    victim.cancel()
    await asyncio.gather(victim, return_exceptions=True)
    attempts = await asyncio.gather(*tasks)
    took = sim.time() - began
    sim.expect(took <= LIMIT_S + GRACE_S, "every execution ends in time", f"{took} s")
    for number, attempt in enumerate(attempts):
        if attempt.ok:
            sim.expect(right(attempt.value, number), "the result is right", repr(attempt.value))
        else:
            sim.expect(
                isinstance(attempt.error, PatternFailed | TeamError),
                "an error says what failed",
                repr(attempt.error),
            )
            if isinstance(attempt.error, PatternFailed):
                check_outcomes(sim, attempt.error.outcomes, number)
        if not sim.landed:
            sim.expect(attempt.ok, "without faults all is well", repr(attempt.error))
    await asyncio.sleep(GRACE_S)
    left = await left_over(sim.system)
    sim.expect(not left, "nothing is left", repr(left))
    return attempts


def check_outcomes(sim: Simulation, outcomes: dict[str, Outcome], number: int) -> None:
    for work, outcome in outcomes.items():
        if isinstance(outcome, Completed):
            sim.expect(
                own(outcome.value, number), "no execution sees another's data", repr(outcome)
            )
        sim.expect(
            outcome.ended_at >= outcome.started_at, "time goes forward", f"{work}: {outcome}"
        )


@pytest.mark.parametrize("name", CASES)
@simulate(runs=60, faults=some_faults, limit_s=20_000)
async def test_every_execution_ends_as_it_should(sim: Simulation, name: str) -> None:
    case = CASES[name]
    agents = [Agent(f"agent-{n}", handler=echo) for n in range(4)]
    pattern = case.make(agents)

    async def run(number: int) -> Any:
        return await pattern.execute(case.data(number), timeout=LIMIT_S)

    await execute_many(sim, run, case.right)


@simulate(runs=100, faults=some_faults, limit_s=20_000)
async def test_a_choreography_settles(sim: Simulation) -> None:
    def emitting(*events: str) -> Any:
        async def handle(payload: Any) -> Any:
            await asyncio.sleep(1)
            return [Emit(event, payload) for event in events]

        return handle

    agents = [
        Agent("agent-0", handler=emitting("left", "right")),
        Agent("agent-1", handler=emitting("left.done")),
        Agent("agent-2", handler=emitting("right.done")),
        Agent("agent-3", handler=echo),
    ]
    choreography = ChoreographyOrchestration(
        "p",
        agents,
        {
            "start": {"agent": agents[0], "timeout": 30},
            "left": {"agent": agents[1], "timeout": 30},
            "right": {"agent": agents[2], "timeout": 30},
            "left.done & right.done": {"agent": agents[3], "timeout": 30},
        },
    )

    def right(reaction: Any, number: int) -> bool:
        settled = len(reaction.happenings) == 4 or reaction.failed
        return bool(settled) and own(reaction.results, number)

    async def run(number: int) -> Any:
        return await choreography.emit_event("start", {"id": number}, timeout=LIMIT_S)

    await execute_many(sim, run, right)


@simulate(runs=100, faults=some_faults, limit_s=20_000)
async def test_a_saga_is_either_done_or_undone(sim: Simulation) -> None:
    booked: dict[tuple[str, int], int] = {}

    def booking(what: str, change: int) -> Any:
        async def book(payload: Any) -> Any:
            number = payload["id"] if "id" in payload else payload["output"]["id"]
            await asyncio.sleep(1)
            booked[what, number] = booked.get((what, number), 0) + change
            return {"id": number}

        return book

    # Faults hit the bookings only, and before they are made, so that the books can be balanced.
    steps = [
        {
            "agent": Agent(f"agent-{what}", handler=booking(what, 1)),
            "timeout": 20,
            "compensate": Agent(f"undo {what}", handler=booking(what, -1)),
        }
        for what in ("flight", "hotel", "car")
    ]
    saga = SagaOrchestration("p", steps)

    async def run(number: int) -> Any:
        return await saga.execute({"id": number}, timeout=LIMIT_S)

    attempts = await execute_many(sim, run, lambda value, number: value == {"id": number})
    late = any(
        isinstance(landed.fault, LateAnswer | SwallowCancel)
        or getattr(landed.fault, "after", False)
        for landed in sim.injector.landed
    )
    for number, attempt in enumerate(attempts):
        made = [booked.get((what, number), 0) for what in ("flight", "hotel", "car")]
        if attempt.ok:
            sim.expect(made == [1, 1, 1], "what is done is done once", f"{made}")
        elif not late:
            # A step that booked and then failed or answered too late cannot be told from one that
            # did not; a saga's steps undo what they do halfway themselves.
            sim.expect(made == [0, 0, 0], "what is not done is undone", f"{made} {attempt.error}")


@pytest.mark.parametrize("supervised", [False, True])
@simulate(runs=100, faults=some_faults, limit_s=20_000)
async def test_a_team_does_its_work(sim: Simulation, supervised: bool) -> None:
    async def hand_over(payload: Any) -> Any:
        await asyncio.sleep(1)
        return Handoff("ready", {"id": payload["id"]})

    team = AgentTeam("team", TeamConfig(**POLICY))
    agents = [Agent(f"agent-{n}", handler=hand_over if n < 2 else echo) for n in range(4)]
    for role, members in {"first": agents[:2], "second": agents[2:3], "third": agents[3:]}.items():
        team.add_role(AgentRole(name=role))
        for agent in members:
            team.assign_agent(agent, role)
    team.configure_handoffs([AgentHandoff(from_role="first", to_role="second", trigger="ready")])
    supervisor = AgentSupervisor(
        name="s", restart_policy=RestartPolicy(max_restarts=1_000, within_seconds=60)
    )
    if supervised:
        for agent in agents:
            supervisor.add_child(agent.name, agent)
        supervisor.add_child("team", team)
        await supervisor.start()
    steps = [{"role": r, "action": r} for r in ("first", "second", "third")]

    async def run(number: int) -> Any:
        if number % 2:
            return await team.execute_task({"id": number}, timeout=LIMIT_S)
        return await team.execute_workflow(steps, {"id": number}, timeout=LIMIT_S)

    await execute_many(sim, run, lambda value, number: own(dict(value), number) and ids(value))
    busy = await team.busy()
    sim.expect(not any(busy.values()), "nobody is busy for ever", repr(busy))
    if supervised:
        await supervisor.stop()


@simulate(runs=100, faults=some_faults, limit_s=20_000)
async def test_a_discussion_comes_to_an_end(sim: Simulation) -> None:
    async def speak(payload: Any) -> Any:
        await asyncio.sleep(1)
        return {
            "position": payload["round"] > 1 or payload["speaker"],
            "id": payload["topic"]["id"],
        }

    team = AgentTeam("team", TeamConfig(timeout=20), roles=[AgentRole(name="speaker")])
    agents = [Agent(f"agent-{n}", handler=speak) for n in range(3)]
    for agent in agents:
        team.assign_agent(agent, "speaker")

    async def run(number: int) -> Any:
        return await team.discuss({"id": number}, max_rounds=3, timeout=LIMIT_S)

    def right(discussion: Any, number: int) -> bool:
        said = [c.content for c in discussion.contributions]
        silent = len(discussion.missing) == 2
        return own(said, number) and (discussion.ended == "consensus" or silent)

    await execute_many(sim, run, right)
