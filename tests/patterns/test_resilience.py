"""Circuit breaker, rate limiter, bulkhead, hedged request: in the system's time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenticaiframework.actors import ActorSystem, Agent
from agenticaiframework.patterns import (
    Bulkhead,
    BulkheadFull,
    Cancelled,
    CircuitBreaker,
    CircuitChanged,
    CircuitOpen,
    DefinitionError,
    HedgedRequest,
    PatternFailed,
    RateLimited,
    RateLimiter,
    SequentialOrchestration,
    Skipped,
)
from agenticaiframework.patterns.resilience.breaker import Circuit, Trip
from agenticaiframework.patterns.resilience.limiter import Bucket, Rate

from .conftest import Hanging, left_over


class Switch:
    """An agent's handler that fails while it is told to."""

    def __init__(self) -> None:
        self.failing = True
        self.calls = 0

    async def __call__(self, payload: Any) -> str:
        self.calls += 1
        if self.failing:
            raise ValueError("down")
        return "up"


async def hang(payload: Any) -> None:
    await asyncio.Event().wait()


def cause(report: Any) -> BaseException | None:
    (outcome,) = report.outcomes.values()
    return outcome.cause


# -- circuit breaker -------------------------------------------------------------------------------


def test_a_circuit_opens_half_opens_and_closes(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        changes: list[tuple[str, str]] = []
        system.subscribe(lambda e: changes.append((e.before, e.state)), CircuitChanged)
        switch = Switch()
        cast.agent("a", switch)
        breaker = CircuitBreaker("b", "a", failure_threshold=3, window_s=60, reset_after_s=30)
        for _ in range(3):
            assert not (await breaker.run(1)).ok
        assert switch.calls == 3
        report = await breaker.run(1)
        error = cause(report)
        assert isinstance(error, CircuitOpen)
        assert error.retry_after_s == pytest.approx(30)
        assert switch.calls == 3
        await asyncio.sleep(30)
        assert not (await breaker.run(1)).ok
        assert switch.calls == 4
        assert isinstance(cause(await breaker.run(1)), CircuitOpen)
        await asyncio.sleep(30)
        switch.failing = False
        assert await breaker.execute(1) == "up"
        assert await breaker.execute(1) == "up"
        assert changes == [
            ("closed", "open"), ("open", "half_open"), ("half_open", "open"),
            ("open", "half_open"), ("half_open", "closed"),
        ]  # fmt: skip

    sim(main)


def test_old_failures_are_forgotten_and_ignored_errors_do_not_count(
    cast: Any, sim_once: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        cast.agent("a", Switch())
        spread = CircuitBreaker("b", "a", failure_threshold=2, window_s=5)
        for _ in range(6):
            assert not isinstance(cause(await spread.run(1)), CircuitOpen)
            await asyncio.sleep(6)
        forgiving = CircuitBreaker("c", "a", failure_threshold=1, ignore=["ValueError"])
        for _ in range(3):
            assert not isinstance(cause(await forgiving.run(1)), CircuitOpen)

    sim_once(main)


def test_only_the_probe_is_let_through_and_a_cancelled_probe_counts_for_nothing(
    cast: Any, sim: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        cast.agent("a", Switch())
        breaker = CircuitBreaker("b", "a", failure_threshold=1, reset_after_s=10, circuit="shared")
        assert not (await breaker.run(1)).ok
        await asyncio.sleep(10)
        cast.agent("a", hang)
        probe = asyncio.ensure_future(breaker.run(1))
        await asyncio.sleep(1)
        assert isinstance(cause(await breaker.run(1)), CircuitOpen)
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        await asyncio.sleep(0.1)
        killed = asyncio.ensure_future(breaker.run(1))
        await asyncio.sleep(1)
        (ref,) = [r for r in system.actors() if r.actor_class.__name__ == "Coordinator"]
        ref.kill()
        await killed
        await asyncio.sleep(0.1)
        cast.agent("a", "up")
        assert await breaker.execute(1) == "up"

    sim(main)


def test_a_circuit_is_shared_by_name_and_retries_pass_it_each_time(
    cast: Any, sim_once: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        switch = Switch()
        cast.agent("a", switch)
        step = {"agent": "a", "retry": {"attempts": 5, "initial_delay_s": 1, "backoff": "fixed"}}
        one = CircuitBreaker("one", step, failure_threshold=2, circuit="provider")
        two = CircuitBreaker("two", "a", failure_threshold=2, circuit="provider")
        report = await one.run(1)
        # The third attempt found the circuit open, and waited as long as it said.
        assert system.clock() > 30
        assert switch.calls == 3
        assert isinstance(cause(report), CircuitOpen)
        assert isinstance(cause(await two.run(1)), CircuitOpen)
        other = CircuitBreaker("three", "a", failure_threshold=9, circuit="provider")
        with pytest.raises(PatternFailed) as caught:
            await other.execute(1)
        assert isinstance(caught.value.__cause__, DefinitionError)

    sim_once(main)


@given(st.lists(st.tuples(st.sampled_from("sfae"), st.floats(0, 40)), max_size=60))
def test_a_circuit_never_lets_more_than_its_probes_through(steps: list[tuple[str, float]]) -> None:
    trip = Trip(failures=3, window_s=20, reset_after_s=30, probes=2)
    circuit, now, inside = Circuit(), 0.0, 0
    for action, wait in steps:
        now += wait
        if action == "e":
            entered = circuit.enter(trip, now)
            if isinstance(entered, Circuit):
                circuit = entered
                inside += circuit.state == "half_open"
        elif action == "s":
            circuit = circuit.success(trip, now)
        elif action == "f":
            circuit = circuit.failure(trip, now)
        else:
            circuit = circuit.abandoned()
        assert 0 <= circuit.probing <= trip.probes
        assert len(circuit.failed_at) < trip.failures


# -- rate limiter ----------------------------------------------------------------------------------


def test_calls_beyond_the_rate_wait_in_line(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        times: list[float] = []
        cast.agent("a", lambda p: times.append(system.clock()))
        limited = RateLimiter("r", "a", rate=2, per_s=10, burst=2)
        began = system.clock()
        await asyncio.gather(*(limited.execute(n) for n in range(6)))
        assert [t - began for t in times] == pytest.approx([0, 0, 5, 10, 15, 20])

    sim(main)


def test_limiters_of_one_name_share_the_bucket_across_agents(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.echoes("a", "b")
        one = RateLimiter("one", "a", rate=1, limiter="openai")
        two = RateLimiter("two", "b", rate=1, limiter="openai")
        alone = RateLimiter("three", "a", rate=1)
        await asyncio.gather(one.execute(1), two.execute(1), alone.execute(1))
        assert system.clock() == pytest.approx(1)

    sim(main)


def test_an_error_with_retry_after_holds_everybody_back(cast: Any, sim: Any) -> None:
    class TooMany(Exception):
        retry_after_s = 20.0

    async def main(system: ActorSystem) -> None:
        calls: list[float] = []

        async def provider(payload: Any) -> str:
            calls.append(system.clock())
            if len(calls) == 1:
                raise TooMany("429")
            return "ok"

        cast.agent("a", provider)
        limited = RateLimiter("r", "a", rate=100, limiter="openai")
        first = await limited.run(1)
        assert not first.ok
        assert await limited.execute(2) == "ok"
        assert calls[1] == pytest.approx(20)

    sim(main)


def test_those_that_wait_in_line_are_held_back_too(cast: Any, sim: Any) -> None:
    class TooMany(Exception):
        retry_after_s = 50.0

    async def main(system: ActorSystem) -> None:
        calls: list[float] = []

        async def provider(payload: Any) -> str:
            calls.append(system.clock())
            if len(calls) == 1:
                await asyncio.sleep(1)
                raise TooMany("429")
            return "ok"

        limited = RateLimiter("r", provider, rate=1, per_s=10, burst=1)
        await asyncio.gather(*(limited.run(n) for n in range(3)))
        assert calls == pytest.approx([0, 51, 61])

    sim(main)


def test_a_call_that_may_not_wait_so_long_fails_at_once(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.echoes("a")
        limited = RateLimiter("r", "a", rate=1, per_s=10, max_wait_s=10)
        reports = await asyncio.gather(*(limited.run(n) for n in range(3)))
        refused = [cause(r) for r in reports if not r.ok]
        (error,) = refused
        assert isinstance(error, RateLimited)
        assert error.retry_after_s == pytest.approx(20)
        assert system.clock() == pytest.approx(10)

    sim(main)


def test_a_cancelled_waiter_gives_its_place_up(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.echoes("a")
        limited = RateLimiter("r", "a", rate=1, per_s=10, burst=1)
        await limited.execute(0)
        waiting = [asyncio.ensure_future(limited.execute(n)) for n in (1, 2)]
        await asyncio.sleep(1)
        waiting[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]
        assert await waiting[1] == "a(2)"
        assert system.clock() == pytest.approx(10)
        assert await left_over(system) == []

    sim(main)


def test_guards_that_are_idle_go_away(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.echoes("a")
        for n in range(20):
            await RateLimiter(f"r{n}", "a", rate=5).execute(1)
            await Bulkhead(f"b{n}", "a", 1).execute(1)
            await CircuitBreaker(f"c{n}", "a").execute(1)
        assert len(system.actors()) > 60
        await asyncio.sleep(200)
        assert [r.actor_class.__name__ for r in system.actors()] == ["AgentActor"]
        assert await RateLimiter("r0", "a", rate=9).execute(1) == "a(1)"

    sim_once(main)


@given(
    st.floats(0.1, 100),
    st.floats(1, 50),
    st.lists(st.tuples(st.floats(0, 10), st.floats(0.1, 1)), max_size=50),
)
def test_a_bucket_never_gives_more_than_rate_times_time_plus_burst(
    per_s: float, burst: float, calls: list[tuple[float, float]]
) -> None:
    rate = Rate(per_s, burst)
    bucket, now, given_out = Bucket(burst, 0.0), 0.0, 0.0
    for gap, tokens in calls:
        now += gap
        bucket = bucket.refilled(rate, now)
        wait = bucket.wait_s(rate, tokens)
        now += wait
        bucket = bucket.refilled(rate, now)
        bucket = Bucket(bucket.tokens - tokens, now)
        given_out += tokens
        assert given_out <= burst + now * per_s + 1e-6
        assert bucket.tokens >= -1e-6


# -- bulkhead --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["function", "agents"])
def test_a_place_is_free_once_the_work_that_is_out_of_time_has_stopped(
    kind: str, sim_once: Any
) -> None:
    hanging = Hanging()
    hang = hanging.hang

    async def main(system: ActorSystem) -> None:
        agents = [Agent(f"a{n}", handler=hang) for n in range(6)]
        bulkheads = [
            Bulkhead(
                f"b{n}",
                {"agent": hang if kind == "function" else agent, "timeout": 1},
                2,
                bulkhead="shared",
            )
            for n, agent in enumerate(agents)
        ]
        await asyncio.gather(*(bulkhead.run(1) for bulkhead in bulkheads))
        assert system.clock() == pytest.approx(3)
        assert (hanging.running, hanging.most) == (0, 2)

    sim_once(main)


def test_a_bulkhead_lets_so_many_in_queues_some_and_refuses_the_rest(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        inside: list[int] = []
        most: list[int] = []

        async def work(payload: Any) -> Any:
            inside.append(1)
            most.append(len(inside))
            await asyncio.sleep(1)
            inside.pop()
            return payload

        bulkhead = Bulkhead("b", work, max_in_flight=2, max_queue=3)
        reports = await asyncio.gather(*(bulkhead.run(n) for n in range(6)))
        refused = [cause(r) for r in reports if not r.ok]
        assert [type(e) for e in refused] == [BulkheadFull]
        assert max(most) == 2
        assert system.clock() == pytest.approx(3)
        assert await left_over(system) == []

    sim(main)


def test_a_place_comes_back_however_its_holder_ends(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.agent("hang", hang)
        cast.echoes("a")
        stuck = Bulkhead("stuck", "hang", 1, bulkhead="one", max_wait_s=None)
        free = Bulkhead("free", "a", 1, bulkhead="one")
        for end in ("cancel", "kill"):
            holder = asyncio.ensure_future(stuck.run(1))
            await asyncio.sleep(1)
            waiting = asyncio.ensure_future(free.execute("in"))
            await asyncio.sleep(1)
            assert not waiting.done()
            if end == "cancel":
                holder.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await holder
            else:
                coordinators = [
                    r for r in system.actors() if r.actor_class.__name__ == "Coordinator"
                ]
                min(coordinators, key=lambda r: r.pid).kill()
                await holder
            assert await waiting == "a(in)"

    sim(main)


def test_a_call_waits_for_a_place_no_longer_than_it_may(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        async def work(payload: Any) -> Any:
            await asyncio.sleep(10)
            return payload

        bulkhead = Bulkhead("b", work, 1, max_wait_s=4)
        first, second = await asyncio.gather(bulkhead.run(1), bulkhead.run(2))
        refused = cause(first if second.ok else second)
        assert isinstance(refused, BulkheadFull)
        assert "waited as long as it may" in str(refused)

    sim(main)


# -- hedged request --------------------------------------------------------------------------------


def test_the_second_is_asked_when_the_first_is_slow_and_the_loser_is_stopped(
    cast: Any, sim: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        cast.agent("slow", hang)
        cast.agent("far", lambda p: asyncio.sleep(1, "far"))
        cast.agent("farther", lambda p: asyncio.sleep(1, "farther"))
        hedge = HedgedRequest("h", ["slow", "far", "farther"], after_s=2)
        report = await hedge.run("x")
        assert report.result() == "far"
        assert system.clock() == pytest.approx(3)
        assert isinstance(report["slow"], Cancelled)
        assert isinstance(report["farther"], Skipped)
        assert cast.asked == ["slow", "far"]
        assert await left_over(system) == []

    sim(main)


def test_a_quick_answer_asks_nobody_else_and_a_failure_asks_the_next_at_once(
    cast: Any, sim: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        cast.echoes("quick", "spare")
        assert await HedgedRequest("h", ["quick", "spare"], after_s=5).execute(1) == "quick(1)"
        assert cast.asked == ["quick"]
        cast.agent("down", Switch())
        assert await HedgedRequest("h", ["down", "spare"], after_s=5).execute(1) == "spare(1)"
        assert system.clock() < 1
        cast.agent("down2", Switch())
        with pytest.raises(PatternFailed, match="none of its agents answered"):
            await HedgedRequest("h", ["down", "down2"], after_s=5).execute(1)

    sim(main)


def test_resilience_nests_and_wrong_definitions_are_refused(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.echoes("a")
        guarded = RateLimiter("r", CircuitBreaker("c", Bulkhead("b", "a", 1)), rate=10)
        assert await SequentialOrchestration("s", [guarded]).execute("x") == "a(x)"

    sim_once(main)
    with pytest.raises(DefinitionError, match="all its agents are 'a'"):
        HedgedRequest("h", ["a", "a"], after_s=1)
    with pytest.raises(DefinitionError, match="a call costs 5, and burst=2"):
        RateLimiter("r", "a", rate=1, burst=2, cost=5)
    with pytest.raises(DefinitionError, match="rate: input should be greater than 0"):
        RateLimiter("r", "a", rate=0)
