"""Parallel orchestration: overlap, join policies, races, and what a failed branch does."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, Agent
from agenticaiframework.patterns import (
    Cancelled,
    Completed,
    DefinitionError,
    Failed,
    MissingInput,
    ParallelOrchestration,
    PartialList,
    PartialResults,
    PatternFailed,
    TimedOut,
    UnexpectedAnswer,
    quorum,
)

from .conftest import left_over


def boom(payload: Any) -> None:
    raise ValueError("no good")


async def hang(payload: Any) -> None:
    await asyncio.Event().wait()


def after(seconds: float, value: Any = None) -> Any:
    async def answer(payload: Any) -> Any:
        await asyncio.sleep(seconds)
        return payload if value is None else value

    return answer


def test_all_branches_run_at_once_and_the_result_is_keyed_by_agent(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        for name in "abc":
            cast.agent(name, after(10, name.upper()))
        began = system.clock()
        result = await ParallelOrchestration(name="p", branches=["a", "b", "c"]).execute("x")
        assert result == {"a": "A", "b": "B", "c": "C"}
        assert system.clock() - began == pytest.approx(10)
        assert await left_over(system) == []

    sim(main)


def test_plain_blocking_handlers_overlap_too() -> None:
    meeting = threading.Barrier(3, timeout=120)

    def block(payload: Any) -> str:
        meeting.wait()
        return "met"

    async def main() -> None:
        async with ActorSystem():
            agents = [Agent(f"blocking {n}", handler=block) for n in range(3)]
            result = await ParallelOrchestration("p", agents).execute(None)
            assert set(result.values()) == {"met"}

    asyncio.run(main())


def test_each_branch_gets_its_part_of_the_input(cast: Any, sim_once: Any) -> None:
    async def main(system: Any) -> None:
        cast.echoes("a", "b")
        branches = [{"agent": "a", "input_key": "text"}, {"agent": "b"}]
        parallel = ParallelOrchestration(name="p", branches=branches)
        assert await parallel.execute({"text": "t"}) == {"a": "a(t)", "b": "b({'text': 't'})"}
        with pytest.raises(MissingInput, match="'text'"):
            await parallel.execute({"other": 1})

    sim_once(main)


@pytest.mark.parametrize("as_function", [True, False])
def test_an_aggregator_makes_the_result_of_the_mapping(
    cast: Any, sim_once: Any, as_function: bool
) -> None:
    async def main(system: Any) -> None:
        cast.echoes("a", "b")
        merger = cast.agent("merger", lambda results: sorted(results.values()))
        parallel = ParallelOrchestration(
            name="p",
            branches=["a", "b"],
            aggregator=(lambda results: sorted(results.values())) if as_function else merger,
        )
        assert await parallel.execute(1) == ["a(1)", "b(1)"]

    sim_once(main)


def test_one_failed_branch_throws_no_good_result_away(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("quick", after(1, "quick"))
        cast.agent("slow", after(5, "slow"))
        cast.agent("bad", boom)
        parallel = ParallelOrchestration(name="p", branches=["quick", "bad", "slow"])
        with pytest.raises(PatternFailed, match=r"'bad' \(one of 3 branches\).*no good") as caught:
            await parallel.execute("x")
        error = caught.value
        assert error.completed == {"quick": "quick", "slow": "slow"}
        assert isinstance(error.outcomes["bad"], Failed)
        assert isinstance(error.outcomes["bad"].cause.__cause__, ValueError)
        # Each branch has its own times, not those of the slowest.
        assert error.outcomes["quick"].duration_s == pytest.approx(1)
        assert error.outcomes["slow"].duration_s == pytest.approx(5)
        assert await left_over(system) == []

    sim(main)


def test_a_race_is_won_by_the_first_and_the_losers_work_is_stopped(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        stopped: list[str] = []

        async def loser(payload: Any) -> None:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                stopped.append("loser")
                raise

        cast.agent("loser", loser)
        cast.agent("winner", after(1, "won"))
        cast.agent("bad", boom)
        race = ParallelOrchestration(name="race", branches=["loser", "bad", "winner"], join="first")
        began = system.clock()
        report = await race.run("x")
        assert report.result() == {"winner": "won"}
        assert system.clock() - began == pytest.approx(1)
        loser_outcome = report["loser"]
        assert isinstance(loser_outcome, Cancelled)
        assert loser_outcome.reason == "another was first"
        assert isinstance(report["bad"], Failed)
        await asyncio.sleep(0.1)
        assert stopped == ["loser"]
        assert await left_over(system) == []

    sim(main)


def test_a_race_has_one_winner_even_when_two_finish_in_the_same_instant(
    cast: Any, sim: Any
) -> None:
    async def main(system: Any) -> None:
        cast.echoes("a", "b", "c")
        race = ParallelOrchestration(name="race", branches=["a", "b", "c"], join="first")
        report = await race.run("x")
        assert len(report.result()) == 1
        assert len(report.outcomes) == 3

    sim(main)


def test_a_quorum_is_enough(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        for seconds, name in enumerate("abcd", 1):
            cast.agent(name, after(seconds, name))
        cast.agent("bad", boom)
        branches = ["a", "b", "c", "d", "bad"]
        parallel = ParallelOrchestration(name="q", branches=branches, join=quorum(2))
        result = await parallel.execute("x")
        assert result == {"a": "a", "b": "b"}
        assert isinstance(result, PartialResults)
        assert isinstance(result.missing["bad"], Failed)
        assert isinstance(result.missing["d"], Cancelled)

    sim(main)


def test_a_quorum_that_cannot_be_reached_any_more_fails_at_once(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("bad", boom)
        cast.agent("worse", boom)
        cast.agent("never", hang)
        branches = ["bad", "worse", "never"]
        parallel = ParallelOrchestration(name="q", branches=branches, join={"quorum": 2})
        with pytest.raises(PatternFailed, match="0 of the 2 branches that it needs") as caught:
            await parallel.execute("x")
        assert isinstance(caught.value.outcomes["never"], Cancelled)
        assert caught.value.__cause__ is not None

    sim(main)


def test_collect_takes_what_completes_and_says_what_is_missing(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        cast.echoes("good")
        cast.agent("bad", boom)
        cast.agent("late", hang)
        seen: list[Any] = []
        parallel = ParallelOrchestration(
            name="c",
            branches=["good", "bad", {"agent": "late", "timeout": 3}],
            join="collect",
        )
        result = await parallel.execute("x")
        # Nothing that failed is in the result, not even as a text.
        assert result == {"good": "good(x)"}
        assert {k: type(o) for k, o in result.missing.items()} == {"bad": Failed, "late": TimedOut}
        merged = ParallelOrchestration(
            name="c",
            branches=["good", "bad"],
            join="collect",
            aggregator=lambda results: seen.append(dict(results)) or "merged",
        )
        assert await merged.execute("x") == "merged"
        assert seen == [{"good": "good(x)"}]

    sim(main)


def test_a_hanging_branch_holds_nobody_longer_than_the_whole_time_limit(
    cast: Any, sim: Any
) -> None:
    async def main(system: Any) -> None:
        cast.echoes("good")
        cast.agent("never", hang)
        parallel = ParallelOrchestration(name="t", branches=["good", "never"], timeout=5)
        report = await parallel.run("x")
        assert isinstance(report.outcome, TimedOut)
        assert isinstance(report["good"], Completed)
        assert isinstance(report["never"], TimedOut)
        with pytest.raises(TimeoutError, match="'t' took longer than its 5 s"):
            report.result()
        assert await left_over(system) == []

    sim(main)


def test_at_most_max_concurrency_branches_run_at_once(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        running: list[int] = []
        most: list[int] = []

        async def work(payload: Any) -> str:
            running.append(1)
            most.append(len(running))
            await asyncio.sleep(1)
            running.pop()
            return "done"

        for n in range(7):
            cast.agent(f"w{n}", work)
        parallel = ParallelOrchestration(
            name="limited", branches=[f"w{n}" for n in range(7)], max_concurrency=3
        )
        began = system.clock()
        assert set((await parallel.execute(None)).values()) == {"done"}
        assert max(most) == 3
        assert system.clock() - began == pytest.approx(3)

    sim(main)


def test_for_each_maps_one_branch_over_a_list_in_order(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        async def answer(item: int) -> int:
            await asyncio.sleep(10 - item)
            return item * item

        mapped = ParallelOrchestration(name="m", branches=[answer], for_each="numbers")
        assert await mapped.execute({"numbers": [3, 1, 2]}) == [9, 1, 4]
        assert await mapped.execute([4]) == [16]
        assert await mapped.execute({"numbers": []}) == []
        with pytest.raises(UnexpectedAnswer, match="a list under 'numbers'"):
            await mapped.execute({"numbers": 5})

    sim(main)


def test_for_each_with_collect_keeps_the_good_items_and_their_places(
    cast: Any, sim_once: Any
) -> None:
    async def main(system: Any) -> None:
        async def halve(item: int) -> int:
            if item % 2:
                raise ValueError(f"{item} is odd")
            return item // 2

        mapped = ParallelOrchestration(
            name="m", branches=[halve], for_each="n", join="collect", max_concurrency=2
        )
        result = await mapped.execute({"n": [2, 3, 4]})
        assert isinstance(result, PartialList)
        assert result == [1, 2]
        assert list(result.missing) == [1]
        assert "3 is odd" in str(result.missing[1].cause)

    sim_once(main)


def test_a_branch_may_be_skipped_defaulted_or_replaced(cast: Any, sim: Any) -> None:
    async def main(system: Any) -> None:
        cast.agent("bad", boom)
        cast.echoes("spare")
        parallel = ParallelOrchestration(
            name="p",
            branches=[
                {"agent": "bad", "name": "skipped", "on_error": "skip"},
                {"agent": "bad", "name": "default", "on_error": {"default": 0}},
                {"agent": "bad", "name": "fallback", "on_error": {"fallback": "spare"}},
                {"agent": "bad", "name": "unneeded", "condition": "input.urgent"},
            ],
        )
        report = await parallel.run({"urgent": False})
        assert report.result() == {"default": 0, "fallback": "spare({'urgent': False})"}
        fallback = report["fallback"]
        assert isinstance(fallback, Completed)
        assert (fallback.agent, fallback.via) == ("spare", "fallback")
        # What was papered over is still told.
        assert isinstance(fallback.cause, Exception)
        assert report["skipped"].cause is not None

    sim(main)


def test_an_agent_that_returns_an_exception_as_a_value_has_completed(
    cast: Any, sim_once: Any
) -> None:
    async def main(system: Any) -> None:
        cast.agent("odd", lambda p: ValueError("just a value"))
        cast.echoes("a")
        result = await ParallelOrchestration("p", ["odd", "a"]).execute(1)
        assert isinstance(result["odd"], ValueError)
        assert result["a"] == "a(1)"

    sim_once(main)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"branches": ["a", "a"]}, '\'a\' stands in several branches.*"name": "second"'),
        ({"branches": ["a", "b"], "for_each": "x"}, "for_each runs one branch over a list"),
        ({"branches": ["a"], "join": quorum(2)}, r"join=quorum\(2\) can never be met"),
        ({"branches": ["a"], "join": "any"}, "'any' is not a join policy"),
        ({"branches": ["a"], "join": "quorum(0)"}, "A quorum is a number of branches"),
        ({"branches": ["a"], "max_concurrency": 0}, "max_concurrency: input should be greater"),
    ],
)
def test_a_wrong_definition_is_refused_when_it_is_made(options: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        ParallelOrchestration(name="wrong", **options)


def test_a_definition_of_many_branches_compares_each_name_a_few_times_only() -> None:
    compared = 0

    class Name(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)  # type: ignore[arg-type]

        __hash__ = str.__hash__

    async def echo(payload: Any) -> Any:
        return payload

    agents = [Agent(Name(f"agent {n}"), handler=echo) for n in range(1_000)]
    compared = 0
    ParallelOrchestration("many", agents)
    assert compared < 20 * len(agents)
