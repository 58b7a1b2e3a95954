"""Expected errors inside patterns and teams: failures as any other, and no crash of who lets them pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, Agent, AgentFailed, RequestRejected
from agenticaiframework.patterns import (
    AgentRole,
    AgentTeam,
    Bulkhead,
    ChoreographyOrchestration,
    CircuitBreaker,
    Completed,
    DebateOrchestration,
    Failed,
    HedgedRequest,
    HierarchicalOrchestration,
    LoopOrchestration,
    MapReduceOrchestration,
    ParallelOrchestration,
    PatternFailed,
    PatternTimedOut,
    RateLimiter,
    ReflectionOrchestration,
    RouterOrchestration,
    SagaOrchestration,
    ScatterGatherOrchestration,
    SequentialOrchestration,
    Skipped,
    VoteOrchestration,
)

Run = Callable[..., Any]


def clerk(name: str = "clerk") -> Agent:
    """Return an agent that refuses texts, and crashes on None."""

    async def handle(payload: Any) -> Any:
        if isinstance(payload, str):
            raise RequestRejected(f"{name} takes no text")
        return payload + 1

    return Agent(name, handler=handle)


def within(pattern: Any) -> Agent:
    """Return an agent whose handler lets what *pattern* raises pass."""

    async def handle(payload: Any) -> Any:
        return await pattern.ask(payload)

    return Agent("outer", handler=handle)


async def failure(agent: Agent, payload: Any) -> AgentFailed:
    with pytest.raises(AgentFailed) as caught:
        await agent.ask(payload)
    return caught.value


def team_of(agent: Agent) -> AgentTeam:
    team = AgentTeam("team", roles=[AgentRole(name="lead")])
    team.assign_agent(agent, role="lead")
    return team


EVERY_KIND: dict[str, Callable[[Agent, Agent], Any]] = {
    "sequential": lambda a, b: SequentialOrchestration("p", [a, b]),
    "nested": lambda a, b: SequentialOrchestration("p", [SequentialOrchestration("q", [a])]),
    "fallback": lambda a, b: SequentialOrchestration(
        "p", [{"agent": a, "on_error": {"fallback": b}}]
    ),
    "parallel": lambda a, b: ParallelOrchestration("p", [a, b]),
    "first": lambda a, b: ParallelOrchestration("p", [a, b], join="first"),
    "quorum": lambda a, b: ParallelOrchestration("p", [a, b], join="quorum(2)"),
    "saga": lambda a, b: SagaOrchestration("p", [a, b]),
    "team": lambda a, b: team_of(a),
    "choreography": lambda a, b: ChoreographyOrchestration(
        "p", agents=[a], event_handlers={"go": a}, start_event="go"
    ),
    "debate": lambda a, b: DebateOrchestration("p", agents=[a, b]),
    "vote": lambda a, b: VoteOrchestration("p", agents=[a, b]),
    "hierarchical": lambda a, b: HierarchicalOrchestration("p", root_agent=a, delegation_rules=[]),
    "loop": lambda a, b: LoopOrchestration("p", body=a, until="output > 0"),
    "map_reduce": lambda a, b: MapReduceOrchestration("p", mapper=a, reducer=b),
    "reflection": lambda a, b: ReflectionOrchestration("p", maker=a, reviewer=b),
    "router": lambda a, b: RouterOrchestration("p", routes=[{"agent": a}]),
    "scatter_gather": lambda a, b: ScatterGatherOrchestration("p", agents=[a, b], deadline_s=5),
    "circuit_breaker": lambda a, b: CircuitBreaker("p", agent=a, failure_threshold=9),
    "bulkhead": lambda a, b: Bulkhead("p", agent=a, max_in_flight=1),
    "hedge": lambda a, b: HedgedRequest("p", agents=[a, b], after_s=1),
    "rate_limiter": lambda a, b: RateLimiter("p", agent=a, rate=100),
}


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_who_lets_the_failure_of_a_pattern_pass_is_well(sim_once: Run, kind: str) -> None:
    async def main(system: ActorSystem) -> None:
        bad: Any = ["text"] if kind == "map_reduce" else "text"
        wrong: Any = [None] if kind == "map_reduce" else None
        inner, other = clerk(), clerk("other")
        outer = within(EVERY_KIND[kind](inner, other))
        for _ in range(3):
            error = await failure(outer, bad)
            assert error.expected
            assert isinstance(error.__cause__, PatternFailed)
        assert outer.address().incarnation == inner.address().incarnation == 1
        assert (await failure(outer, wrong)).expected is False
        assert outer.address().live is None

    sim_once(main)


def test_a_pattern_that_failed_for_more_than_that_is_no_excuse(sim_once: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async def breaks(payload: Any) -> None:
            raise TypeError("a bug")

        both = ParallelOrchestration("both", [clerk(), Agent("broken", handler=breaks)])
        outer = within(both)
        assert not (await failure(outer, "text")).expected
        assert outer.address().live is None
        rescued = SequentialOrchestration(
            "rescued", [{"agent": Agent("bad", handler=breaks), "on_error": {"fallback": clerk()}}]
        )
        assert not (await failure(within(rescued), "text")).expected

    sim_once(main)


def test_a_pattern_that_was_too_slow_is_no_excuse(sim_once: Run) -> None:
    async def main(system: ActorSystem) -> None:
        retry = {"attempts": 3, "initial_delay_s": 10, "max_delay_s": 10}
        slow = SequentialOrchestration("slow", [{"agent": clerk(), "retry": retry}], timeout=5)
        error = await failure(within(slow), "text")
        assert isinstance(error.__cause__, PatternTimedOut)
        assert not error.expected

    sim_once(main)


def test_what_a_saga_could_not_undo_is_no_excuse(sim_once: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async def books(payload: Any) -> str:
            return "booked"

        async def keeps(payload: Any) -> None:
            raise RequestRejected("it cannot be given back")

        steps = [
            {"agent": Agent("books", handler=books), "compensate": Agent("keeps", handler=keeps)},
            {"agent": clerk()},
        ]
        assert not (await failure(within(SagaOrchestration("trip", steps)), 1)).expected

    sim_once(main)


# -- policies see a failure as any other -----------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "kind", "attempts"),
    [
        ({}, Failed, 1),
        ({"retry": 3}, Failed, 3),
        ({"retry": {"attempts": 3, "on": ["RequestRejected"]}}, Failed, 3),
        ({"retry": {"attempts": 3, "never": ["RequestRejected"]}}, Failed, 1),
        ({"retry": 3, "on_error": "skip"}, Skipped, 3),
        ({"on_error": {"default": 5}}, Completed, 1),
        ({"on_error": {"fallback": "rescue"}}, Completed, 2),
    ],
)
def test_policies_see_it_as_any_failure(
    cast: Any, sim: Run, policy: Any, kind: type[Any], attempts: int
) -> None:
    def refuses(payload: Any) -> None:
        raise RequestRejected("no")

    async def main(system: ActorSystem) -> None:
        agent = cast.agent("a", refuses)
        cast.agent("rescue", "saved")
        report = await SequentialOrchestration("s", [{"agent": agent, **policy}]).run("text")
        outcome = report["a"]
        assert isinstance(outcome, kind)
        assert outcome.attempts == attempts
        assert isinstance(outcome.cause, AgentFailed)
        assert isinstance(outcome.cause.__cause__, RequestRejected)
        assert agent.address().incarnation == 1

    sim(main)


def test_a_function_rejects_as_well(sim_once: Run) -> None:
    async def main(system: ActorSystem) -> None:
        def refuses(payload: Any) -> None:
            raise RequestRejected("no")

        outer = within(SequentialOrchestration("s", [refuses]))
        assert (await failure(outer, 1)).expected
        assert outer.address().incarnation == 1

    sim_once(main)


def test_a_saga_undoes_after_it(cast: Any, sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        cast.agent("book", "booked")
        cast.agent("cancel", "cancelled")
        steps = [{"agent": "book", "compensate": "cancel"}, {"agent": clerk()}]
        saga = SagaOrchestration("trip", steps)
        with pytest.raises(PatternFailed) as caught:
            await saga.execute(1)
        assert cast.asked == ["book", "cancel"]
        assert caught.value.expected

    sim(main)
