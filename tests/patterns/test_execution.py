"""What all executions have in common: cancelling, loss, isolation, nesting, events, and many at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, Agent, agent_context
from agenticaiframework.patterns import (
    AgentRestarted,
    Cancelled,
    Chunk,
    Completed,
    CoordinatorLost,
    Ended,
    Finished,
    HierarchicalOrchestration,
    LoopOrchestration,
    NestedTooDeep,
    ParallelOrchestration,
    PatternFailed,
    Report,
    Retried,
    RouterOrchestration,
    SequentialOrchestration,
    Started,
    TimedOut,
    send_chunk,
)

from .conftest import left_over


class Working:
    """An agent that works for an hour, and notes when it was stopped."""

    def __init__(self, name: str = "working") -> None:
        self.started = asyncio.Event()
        self.stopped: list[str] = []
        self.agent = Agent(name, handler=self.work)

    async def work(self, payload: Any) -> str:
        self.started.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.stopped.append(payload)
            raise
        return "too late"


def forms(target: Any) -> list[Any]:
    """Patterns that all have *target* at work in them, some inside one another."""
    return [
        SequentialOrchestration("seq", [target]),
        ParallelOrchestration("par", [target, lambda p: p]),
        ParallelOrchestration("par", [{"agent": target, "retry": 3}], max_concurrency=1),
        HierarchicalOrchestration(
            "hier", lambda p: p, [{"parent": "<lambda>", "children": [target]}]
        ),
        LoopOrchestration("loop", target, until="false"),
        RouterOrchestration("route", [{"agent": target}]),
        SequentialOrchestration("deep", [ParallelOrchestration("in", [target])]),
    ]


@pytest.mark.parametrize("form", range(7))
def test_cancelling_the_caller_stops_the_work_and_leaves_nothing(form: int, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        working = Working()
        task = asyncio.ensure_future(forms(working.agent)[form].execute("job"))
        await working.started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await left_over(system) == []
        assert working.stopped == ["job"]
        assert system.clock() < 3600

    sim(main)


@pytest.mark.parametrize("form", range(7))
def test_a_killed_coordinator_takes_its_own_work_with_it_and_nothing_else(
    form: int, sim: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        working, other = Working(), Working("other")
        task = asyncio.ensure_future(forms(working.agent)[form].execute("job"))
        await working.started.wait()
        beside = asyncio.ensure_future(forms(other.agent)[form].execute("other job"))
        await other.started.wait()
        first = min(
            (r for r in system.actors() if r.actor_class.__name__ == "Coordinator"),
            key=lambda ref: ref.pid,
        )
        first.kill()
        with pytest.raises(CoordinatorLost, match="its coordinator is gone"):
            await task
        await asyncio.sleep(0.1)
        assert working.stopped == ["job"]
        assert other.stopped == []
        beside.cancel()
        with pytest.raises(asyncio.CancelledError):
            await beside
        assert await left_over(system) == []

    sim(main)


def test_stopping_the_system_ends_executions_with_an_error(sim_once: Any) -> None:
    async def main(_: ActorSystem) -> None:
        async with ActorSystem("inner") as inner:
            working = Working()
            task = asyncio.ensure_future(SequentialOrchestration("s", [working.agent]).execute("x"))
            await working.started.wait()
            await inner.stop()
            with pytest.raises(PatternFailed):
                await task
            assert working.stopped == ["x"]

    sim_once(main)


def test_patterns_nest_and_errors_name_the_whole_way(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        def boom(payload: Any) -> None:
            raise ValueError("deep trouble")

        cast.agent("bad", boom)
        cast.echoes("good")
        inner = ParallelOrchestration("inner", ["good", "bad"])
        outer = SequentialOrchestration("outer", ["good", inner])
        with pytest.raises(PatternFailed, match=r"'outer' failed: 'inner'.*deep trouble") as caught:
            await outer.execute("x")
        nested = caught.value.__cause__
        assert isinstance(nested, PatternFailed)
        assert nested.completed == {"good": "good(good(x))"}
        retried = SequentialOrchestration("outer", [{"agent": inner, "retry": 2}])
        report = await retried.run("x")
        assert report["inner"].attempts == 2

    sim(main)


def test_a_pattern_that_contains_itself_by_name_ends_with_an_error(sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        snake: Any = SequentialOrchestration("snake", ["snake"])
        with pytest.raises(PatternFailed) as caught:
            await snake.execute("x", resolver=lambda name: snake)
        error: BaseException | None = caught.value
        while error is not None and not isinstance(error, NestedTooDeep):
            error = error.__cause__
        assert "contains itself" in str(error)
        assert await left_over(system) == []

    sim_once(main)


def test_the_given_resolver_finds_names_also_in_nested_patterns(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        agents = {"here": cast.agent("elsewhere", lambda p: f"resolved {p}")}
        pattern = SequentialOrchestration("o", [ParallelOrchestration("i", ["here"])])
        assert await pattern.execute(1, resolver=agents.__getitem__) == {"here": "resolved 1"}
        pattern.resolver = agents.__getitem__
        assert await pattern.execute(2) == {"here": "resolved 2"}

    sim_once(main)


def test_the_context_reaches_handlers_and_each_piece_of_work_has_its_own_key(
    cast: Any, sim_once: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        seen: list[Any] = []
        attempts: list[int] = []

        def note(payload: Any) -> None:
            context = agent_context()
            seen.append((context.get("trace"), context.get("idempotency_key")))

        def twice(payload: Any) -> None:
            note(payload)
            attempts.append(1)
            if len(attempts) == 1:
                raise ValueError("once")

        cast.agent("a", note)
        cast.agent("b", twice)
        pattern = SequentialOrchestration(
            "s", ["a", SequentialOrchestration("t", [{"agent": "b", "retry": 2}])]
        )
        await pattern.execute("x", context={"trace": "t1", "idempotency_key": "k"})
        assert seen == [("t1", "k/s/a"), ("t1", "k/s/t/t/b"), ("t1", "k/s/t/t/b")]

    sim_once(main)


def test_run_reports_instead_of_raising(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        def boom(payload: Any) -> None:
            raise ValueError("no good")

        cast.agent("bad", boom)
        cast.agent("good", lambda p: asyncio.sleep(2, "fine"))
        report = await SequentialOrchestration("s", ["good", "bad"]).run("x")
        assert isinstance(report, Report)
        assert not report.ok
        with pytest.raises(PatternFailed, match="no good"):
            report.result()
        good = report["good"]
        assert isinstance(good, Completed)
        assert (good.agent, good.attempts, good.incarnation) == ("good", 1, 1)
        assert good.duration_s == pytest.approx(2)
        data = report.to_dict()
        assert data["outcome"] == "failed"
        assert data["outcomes"]["good"]["value"] == "fine"
        assert "no good" in data["outcomes"]["bad"]["cause"]

    sim_once(main)


def test_a_stream_tells_what_happens_as_it_happens(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        failures: list[int] = []

        async def flaky(payload: Any) -> str:
            failures.append(1)
            if len(failures) == 1:
                raise ValueError("first time")
            assert send_chunk("half")
            await asyncio.sleep(1)
            assert send_chunk("whole")
            return "answer"

        cast.agent("flaky", flaky)
        inner = SequentialOrchestration("inner", [{"agent": "flaky", "retry": 2}])
        stream = ParallelOrchestration("outer", [inner]).stream("x")
        with pytest.raises(PatternFailed):
            stream.result()
        events = [event async for event in stream]
        of_flaky = [e for e in events if e.work == "flaky"]
        assert [type(e) for e in of_flaky] == [
            Started, Retried, AgentRestarted, Started, Chunk, Chunk, Ended,
        ]  # fmt: skip
        assert all(e.path == ("outer", "inner", "inner") for e in of_flaky)
        assert [e.data for e in events if isinstance(e, Chunk)] == ["half", "whole"]
        last = events[-1]
        assert isinstance(last, Finished)
        assert last.path == ("outer",)
        assert isinstance(last.outcome, Completed)
        assert stream.result() == {"inner": "answer"}
        assert [e.at for e in events] == sorted(e.at for e in events)
        assert not send_chunk("nobody listens")
        assert await left_over(system) == []

    sim(main)


def test_a_failing_execution_is_streamed_to_its_end(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        def boom(payload: Any) -> None:
            raise ValueError("no good")

        cast.agent("bad", boom)
        stream = SequentialOrchestration("s", ["bad"]).stream("x")
        events = [event async for event in stream]
        assert isinstance(events[-1], Finished)
        with pytest.raises(PatternFailed, match="no good"):
            stream.result()

    sim_once(main)


@pytest.mark.parametrize("how", ["break", "aclose", "with", "kill"])
def test_leaving_a_stream_cancels_the_execution(how: str, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        working = Working()
        pattern = SequentialOrchestration("s", [working.agent])
        if how == "break":
            async for _ in pattern.stream("x"):
                await working.started.wait()
                break
        elif how == "aclose":
            stream = pattern.stream("x")
            await anext(stream)
            await working.started.wait()
            await stream.aclose()
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
        elif how == "with":
            async with pattern.stream("x") as stream:
                await anext(stream)
                await working.started.wait()
        else:
            events = []
            async for event in pattern.stream("x"):
                events.append(event)
                if isinstance(event, Started):
                    await working.started.wait()
                    (ref,) = [r for r in system.actors() if "Coordinator" in r.actor_class.__name__]
                    ref.kill()
            assert isinstance(events[-1], Finished)
            assert isinstance(events[-1].outcome.cause, CoordinatorLost)
        assert await left_over(system) == []
        assert working.stopped == ["x"]

    sim(main)


def test_a_stream_that_nobody_reads_runs_nothing(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.echoes("a")
        stream = SequentialOrchestration("s", ["a"]).stream("x")
        await asyncio.sleep(1)
        await stream.aclose()
        assert cast.log == []

    sim_once(main)


def test_work_cancelled_by_its_siblings_end_says_why(sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        working = Working()
        race = ParallelOrchestration("race", [working.agent, lambda p: "won"], join="first")
        events = [e async for e in race.stream("x")]
        (ended,) = [e for e in events if isinstance(e, Ended) and e.work == "working"]
        assert isinstance(ended.outcome, Cancelled)
        assert ended.outcome.reason == "another was first"

    sim_once(main)


def test_ten_thousand_executions_at_once_keep_their_data_apart(sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        async def one(payload: int) -> int:
            await asyncio.sleep(0.01)
            return payload + 1

        pattern = SequentialOrchestration("s", [one, one, one])
        results = await asyncio.gather(*(pattern.execute(n) for n in range(10_000)))
        assert results == [n + 3 for n in range(10_000)]
        assert system.clock() < 0.04
        assert await left_over(system) == []

    sim_once(main)


@pytest.mark.parametrize(
    ("agent", "inner", "step", "outer"),
    [(1, 9, 9, 9), (9, 1, 9, 9), (9, 9, 1, 9), (9, 9, 9, 1), (1, 1, 1, 1), (None, 1, None, None)],
)
def test_of_the_limits_on_every_level_the_shortest_holds_and_is_the_one_that_is_told(
    agent: float | None,
    inner: float | None,
    step: float | None,
    outer: float | None,
    cast: Any,
    sim: Any,
) -> None:
    async def main(system: ActorSystem) -> None:
        cast.agent("slow", lambda p: asyncio.Event().wait())
        below = SequentialOrchestration(
            "inner", [{"agent": "slow", "timeout": agent}], timeout=inner
        )
        above = SequentialOrchestration("outer", [{"agent": below, "timeout": step}], timeout=outer)
        before = system.clock()
        report = await above.run("x")
        assert system.clock() - before == pytest.approx(1)
        told = str(report.outcome.cause)
        assert "1 s" in told
        assert "9 s" not in told
        assert await left_over(system) == []

    sim(main)


def test_a_functions_own_timeout_error_is_not_told_as_the_steps_limit(sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        async def fetch(payload: Any) -> Any:
            async with asyncio.timeout(1):
                await asyncio.Event().wait()

        report = await SequentialOrchestration("x", [{"agent": fetch, "timeout": 9}]).run("x")
        outcome = report["fetch"]
        assert isinstance(outcome, TimedOut)
        assert (outcome.timeout_s, outcome.duration_s) == (None, pytest.approx(1))

    sim(main)
