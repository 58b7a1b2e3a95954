"""Executions within one another: who waits for itself, what contains itself, what is no Exception."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, Agent, AgentFailed
from agenticaiframework.patterns import (
    CallingSelf,
    Failed,
    NestedTooDeep,
    OrchestrationPattern,
    ParallelOrchestration,
    PatternFailed,
    RouterOrchestration,
    SequentialOrchestration,
)
from agenticaiframework.patterns.teams import AgentRole, AgentTeam
from agenticaiframework.patterns.vocabulary.causes import causes_of

from .conftest import left_over


class Abort(BaseException):
    """What a handler may raise that is no `Exception`."""


def cause(error: BaseException, kind: type[BaseException]) -> BaseException:
    """Return the first error of *kind* in what caused *error*."""
    return next(link for link in causes_of(error) if isinstance(link, kind))


def patterns_with(target: Any) -> list[OrchestrationPattern]:
    """Patterns that ask *target*, on each of the ways in which one may be asked."""
    return [
        SequentialOrchestration("seq", [target]),
        SequentialOrchestration("named", ["selfish"]),
        SequentialOrchestration("policy", [{"agent": target, "retry": 3, "timeout": 60}]),
        ParallelOrchestration("par", [target, "other"]),
        SequentialOrchestration("deep", [ParallelOrchestration("inner", ["other", target])]),
        RouterOrchestration("router", [{"agent": target}]),
    ]


def test_an_agent_that_waits_for_a_pattern_that_asks_it_gets_an_error_at_once(
    cast: Any, sim: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        cast.echoes("other")
        chosen: list[Any] = []
        selfish = cast.agent("selfish", lambda payload: chosen[0].execute(payload))
        for pattern in patterns_with(selfish):
            chosen[:] = [pattern]
            began = system.clock()
            with pytest.raises(AgentFailed) as caught:
                await selfish.ask("x")
            assert system.clock() - began < 0.001
            assert "wait for its own answer for ever" in str(cause(caught.value, CallingSelf))
            assert await left_over(system) == []

    sim(main)


def test_an_agent_may_wait_for_a_pattern_that_only_might_ask_it(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.echoes("other")
        router = RouterOrchestration(
            "router", [{"condition": "input == 'x'", "agent": "other"}, {"agent": "asking"}]
        )
        asking = cast.agent("asking", router.execute)
        assert await asking.ask("x") == "other(x)"

    sim(main)


def test_a_pattern_that_an_agent_starts_and_does_not_wait_for_may_ask_it(
    cast: Any, sim: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        begun: list[asyncio.Task[Any]] = []

        def answer(payload: str) -> str:
            if payload == "begin":
                begun.append(asyncio.ensure_future(pattern.execute("go on")))
            return f"did {payload}"

        agent = cast.agent("agent", answer)
        pattern = SequentialOrchestration("later", [agent])
        assert await agent.ask("begin") == "did begin"
        assert await begun[0] == "did go on"

    sim(main)


def test_a_member_that_waits_for_its_own_team_gets_an_error_at_once(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        team = AgentTeam("team", roles=[AgentRole(name="worker")])
        member = cast.agent("member", team.execute_task)
        team.assign_agent(member, role="worker")
        with pytest.raises(AgentFailed) as caught:
            await member.ask("x")
        error = cause(caught.value, CallingSelf)
        assert isinstance(error, CallingSelf)
        assert error.chain == ("member", "team")

    sim(main)


def test_a_pattern_that_contains_itself_is_told_in_one_line(sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        snake = SequentialOrchestration("snake", ["snake"])
        with pytest.raises(PatternFailed) as caught:
            await snake.execute("x", resolver=lambda name: snake)
        assert str(caught.value).startswith("'snake' failed: 'snake' (step 1 of 1) failed (33 exec")
        assert len(str(caught.value)) < 300

    sim_once(main)


def test_a_pattern_that_contains_itself_twice_is_stopped_before_it_fills_the_memory(
    sim_once: Any,
) -> None:
    async def main(system: ActorSystem) -> None:
        tree: Any = ParallelOrchestration("tree", ["left", "right"])
        began = time.perf_counter()
        with pytest.raises(PatternFailed, match="more than 1000 times within itself") as caught:
            await tree.execute("x", resolver=lambda name: tree)
        assert time.perf_counter() - began < 300
        assert isinstance(cause(caught.value, NestedTooDeep), NestedTooDeep)
        assert await left_over(system) == []

    sim_once(main)


def test_a_pattern_may_contain_itself_where_it_comes_to_an_end(sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        async def less(number: int) -> int:
            return number - 1

        async def same(number: int) -> int:
            return number

        down: Any = RouterOrchestration(
            "down",
            [
                {"condition": "input <= 0", "agent": same},
                {"agent": SequentialOrchestration("step", [less, "down"])},
            ],
        )
        assert await down.execute(7, resolver=lambda name: down) == 0

    sim_once(main)


def test_two_teams_that_are_members_of_each_other_end_with_an_error(
    cast: Any, sim_once: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        agent = cast.agent("agent", "done")
        teams = [AgentTeam(name, roles=[AgentRole(name="worker")]) for name in ("one", "two")]
        for team, other in (teams, reversed(teams)):
            team.assign_agent(agent, role="worker")
            team.assign_agent(other, role="worker")
        with pytest.raises(PatternFailed, match="stand in one another"):
            await teams[0].execute_task("x")

    sim_once(main)


@pytest.mark.parametrize("error", [Abort("stop"), BaseExceptionGroup("all", [Abort()])])
def test_what_is_no_exception_is_an_outcome_too_and_ends_nobody_else(
    cast: Any, sim_once: Any, error: BaseException
) -> None:
    async def main(system: ActorSystem) -> None:
        async def raises(payload: Any) -> None:
            raise error

        [bystander] = cast.echoes("bystander")
        await bystander.ask("x")
        ref = bystander.address().ref
        for target in (raises, Agent("raises", handler=raises)):
            for pattern in (
                SequentialOrchestration("seq", [target]),
                ParallelOrchestration("par", [target]),
                ParallelOrchestration("par", [{"agent": target, "retry": 2}]),
            ):
                report = await pattern.run("x")
                outcome = report["raises"]
                assert isinstance(outcome, Failed)
                assert error in causes_of(outcome.cause or Abort())
        assert bystander.address().ref is ref
        assert ref.is_alive()

    sim_once(main)


def test_what_is_no_exception_out_of_a_pattern_of_ones_own_ends_nobody_else(
    cast: Any, sim_once: Any
) -> None:
    class Broken(OrchestrationPattern):
        def __init__(self) -> None:
            super().__init__(self._define({"name": "broken"}))

        def targets(self) -> tuple[()]:
            return ()

        async def coordinate(self, run: Any) -> None:
            raise Abort("in the middle")

        def draw(self, drawing: Any) -> None:
            drawing.node("broken")

    async def main(system: ActorSystem) -> None:
        [bystander] = cast.echoes("bystander")
        await bystander.ask("x")
        with pytest.raises(PatternFailed, match="Abort: in the middle"):
            await Broken().execute()
        assert bystander.is_alive

    sim_once(main)


def test_a_long_error_is_repeated_by_its_beginning_and_its_end(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        async def fails(payload: Any) -> None:
            raise ValueError("begin " + "x" * 100_000 + " end")

        with pytest.raises(PatternFailed, match="begin x.* end") as caught:
            await SequentialOrchestration(
                "outer", [SequentialOrchestration("inner", [fails])]
            ).execute()
        assert len(str(caught.value)) < 1_000

    sim_once(main)
