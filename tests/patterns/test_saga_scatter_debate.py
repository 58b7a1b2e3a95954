"""Saga, scatter-gather, debate and vote."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, AgentFailed
from agenticaiframework.patterns import (
    Cancelled,
    CompensationFailed,
    Completed,
    CoordinatorLost,
    DebateOrchestration,
    DefinitionError,
    ParallelOrchestration,
    PartialResults,
    PatternFailed,
    PatternTimedOut,
    SagaOrchestration,
    ScatterGatherOrchestration,
    SequentialOrchestration,
    VoteOrchestration,
)
from agenticaiframework.patterns.kinds.voting import tally

from .conftest import left_over


def boom(payload: Any) -> None:
    raise ValueError("no rooms")


async def hang(payload: Any) -> None:
    await asyncio.Event().wait()


TRIP = [
    {"agent": "flight", "compensate": "cancel_flight"},
    {"agent": "hotel", "compensate": "cancel_hotel"},
    {"agent": "car"},
]


def trip(cast: Any, car: Any) -> SagaOrchestration:
    cast.agent("flight", "F1")
    cast.agent("hotel", "H1")
    cast.agent("car", car)
    cast.agent("cancel_flight")
    cast.agent("cancel_hotel", lambda p: asyncio.sleep(1))
    return SagaOrchestration("trip", TRIP)


def test_a_saga_chains_its_steps_and_undoes_nothing_when_all_is_well(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        assert await trip(cast, lambda p: f"car for {p}").execute("me") == "car for H1"
        assert cast.asked == ["flight", "hotel", "car"]

    sim(main)


def test_a_failed_step_undoes_those_before_it_in_reverse(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        saga = trip(cast, boom)
        with pytest.raises(PatternFailed, match=r"'car' \(step 3 of 3\).*no rooms") as caught:
            await saga.execute("me")
        assert cast.asked == ["flight", "hotel", "car", "cancel_hotel", "cancel_flight"]
        undone = cast.payloads("cancel_flight")[0]
        assert (undone["input"], undone["output"]) == ("me", "F1")
        assert "no rooms" in undone["error"]
        assert isinstance(caught.value.outcomes["undo hotel"], Completed)
        assert await left_over(system) == []

    sim(main)


@pytest.mark.parametrize("who", ["saga", "outer"])
def test_a_killed_coordinator_is_undone_however_deep_it_was(who: str, cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        started = asyncio.Event()

        async def car(payload: Any) -> None:
            started.set()
            await asyncio.Event().wait()

        trip(cast, car)
        # The step that is under way is a pattern itself: its end takes some turns more.
        deep = SequentialOrchestration("deep", [SequentialOrchestration("deeper", [car])])
        saga = SagaOrchestration("trip", [*TRIP[:2], {"agent": deep}])
        outer = ParallelOrchestration("outer", [SequentialOrchestration("middle", [saga])])
        task = asyncio.ensure_future(outer.execute("me"))
        await started.wait()
        kept = [r for r in system.actors() if "Coordinator" in r.actor_class.__name__]
        by_name = {r._actor.execution.name: r for r in kept}  # pyright: ignore
        by_name["trip" if who == "saga" else "outer"].kill()
        with pytest.raises(PatternFailed):
            await task
        assert cast.done[-2:] == ["cancel_hotel", "cancel_flight"]
        assert await left_over(system) == []

    sim(main)


def test_a_saga_that_is_being_undone_when_its_system_stops_keeps_nobody_waiting(
    cast: Any, sim: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        saga = trip(cast, boom)
        undoing = asyncio.Event()

        async def forever(payload: Any) -> None:
            undoing.set()
            await asyncio.Event().wait()

        cast.agent("cancel_hotel", forever)
        task = asyncio.ensure_future(saga.execute("me"))
        await undoing.wait()
        await system.stop(timeout=1)
        with pytest.raises(PatternFailed):
            await asyncio.wait_for(task, 60)

    sim(main)


def test_a_compensation_that_fails_keeps_no_other_from_running(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        saga = trip(cast, boom)
        cast.agent("cancel_hotel", boom)
        with pytest.raises(CompensationFailed, match="not all undone: 'hotel' failed") as caught:
            await saga.execute("me")
        assert list(caught.value.not_undone) == ["hotel"]
        assert "cancel_flight" in cast.asked

    sim(main)


@pytest.mark.parametrize("how", ["cancel", "kill", "timeout", "nested"])
def test_a_saga_stopped_from_outside_is_undone_before_the_caller_goes_on(
    how: str, cast: Any, sim: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        started = asyncio.Event()

        async def car(payload: Any) -> None:
            started.set()
            await asyncio.Event().wait()

        saga: Any = trip(cast, car)
        pattern = SequentialOrchestration("outer", [saga]) if how == "nested" else saga
        task = asyncio.ensure_future(pattern.execute("me", timeout=5 if how == "timeout" else None))
        await started.wait()
        if how in ("cancel", "nested"):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        elif how == "kill":
            (ref,) = [r for r in system.actors() if r.actor_class.__name__ == "Coordinator"]
            ref.kill()
            with pytest.raises(CoordinatorLost):
                await task
        else:
            with pytest.raises(PatternTimedOut) as caught:
                await task
            assert "undo flight" in caught.value.outcomes
        assert cast.done[-2:] == ["cancel_hotel", "cancel_flight"]
        assert await left_over(system) == []

    sim(main)


def test_a_hanging_compensation_is_given_up(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        trip(cast, boom)
        cast.agent("cancel_hotel", hang)
        saga = SagaOrchestration("trip", TRIP, compensation_timeout=10)
        with pytest.raises(CompensationFailed, match="'hotel' timed out.*'flight' timed out"):
            await saga.execute("me")
        assert system.clock() == pytest.approx(10)
        assert await left_over(system) == []

    sim(main)


def test_scatter_gather_takes_what_has_come_by_the_deadline(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.agent("quick", lambda p: asyncio.sleep(1, 10))
        cast.agent("slow", lambda p: asyncio.sleep(4, 5))
        cast.agent("never", hang)
        cast.agent("bad", boom)
        names = ["quick", "slow", "never", "bad"]
        result = await ScatterGatherOrchestration("quotes", names, deadline_s=3).execute("x")
        assert system.clock() == pytest.approx(3)
        assert result == {"quick": 10}
        assert isinstance(result, PartialResults)
        late = result.missing["slow"]
        assert isinstance(late, Cancelled)
        assert late.reason == "the deadline has passed"
        best = ScatterGatherOrchestration(
            "quotes", names, deadline_s=5, at_least=2, aggregator=lambda r: min(r.values())
        )
        assert await best.execute("x") == 5
        with pytest.raises(PatternFailed, match="1 of the 2 answers that it needs"):
            await ScatterGatherOrchestration("q", names, deadline_s=2, at_least=2).execute("x")
        assert await left_over(system) == []

    sim(main)


def test_scatter_gather_is_done_when_all_have_answered(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.echoes("a", "b")
        result = await ScatterGatherOrchestration("q", ["a", "b"], deadline_s=60).execute(1)
        assert set(result) == {"a", "b"}
        assert system.clock() < 1
        with pytest.raises(DefinitionError, match="at_least=3"):
            ScatterGatherOrchestration("q", ["a", "b"], deadline_s=60, at_least=3)

    sim_once(main)


def test_a_vote_is_won_by_the_majority(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.agent("ann", {"position": "Yes", "because": "cheap"})
        cast.agent("bob", " yes ")
        cast.agent("cid", "no")
        verdict = await VoteOrchestration("v", ["ann", "bob", "cid"]).execute("buy?")
        assert (verdict.decision, verdict.ended, verdict.rounds) == ("Yes", "vote", 1)
        assert verdict.tally.votes == {"yes": ("ann", "bob"), "no": ("cid",)}
        with pytest.raises(PatternFailed, match="3 votes for one position are needed"):
            await VoteOrchestration("v", ["ann", "bob", "cid"], quorum=3).execute("buy?")
        with pytest.raises(PatternFailed, match="no decision"):
            await VoteOrchestration("v", ["ann", "cid"]).execute("buy?")
        judged = VoteOrchestration(
            "v", ["ann", "cid"], judge=lambda p: f"judged {sorted(p['votes'])}"
        )
        assert (await judged.execute("buy?")).decision == "judged ['no', 'yes']"

    sim(main)


def test_debaters_see_each_other_and_end_early_when_they_agree(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.agent("ann", "yes")
        cast.agent("bob", lambda p: "no" if p == "buy?" else next(iter(p["others"].values())))
        verdict = await DebateOrchestration("d", ["ann", "bob"], rounds=5).execute("buy?")
        assert (verdict.decision, verdict.ended, verdict.rounds) == ("yes", "unanimous", 2)
        assert cast.payloads("bob")[1] == {
            "input": "buy?",
            "round": 2,
            "own": "no",
            "others": {"ann": "yes"},
        }

    sim(main)


def test_debaters_that_fail_or_hang_have_no_vote(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.agent("ann", "yes")
        cast.agent("bob", boom)
        cast.agent("cid", hang)
        agents: Any = ["ann", "bob", {"agent": "cid", "timeout": 1}]
        verdict = await VoteOrchestration("v", agents).execute("buy?")
        assert verdict.decision == "yes"
        assert verdict.answers == {"ann": "yes"}
        with pytest.raises(PatternFailed, match="no participant answered in round 1"):
            await VoteOrchestration("v", ["bob"]).execute("buy?")
        assert await left_over(system) == []

    sim(main)


def test_equal_positions_are_counted_together_however_they_are_written() -> None:
    count = tally(
        [
            ("a", {"vote": {"x": 1, "y": [2.0]}}),
            ("b", {"vote": {"y": (2,), "x": 1.0}}),
            ("c", {"vote": {"x": 2, "y": [2]}}),
        ]
    )
    assert [len(voters) for voters in count.votes.values()] == [2, 1]
    assert count.value(count.winner) == {"x": 1, "y": [2.0]}


def test_too_few_answers_have_the_first_error_as_their_cause(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        shops = [cast.agent("late", hang), cast.agent("shop", boom)]
        pattern = ScatterGatherOrchestration("quotes", shops, deadline_s=1.0, at_least=1)
        with pytest.raises(PatternFailed, match="0 of the 1 answers") as caught:
            await pattern.execute("price?")
        assert isinstance(caught.value.__cause__, AgentFailed)

    sim_once(main)
