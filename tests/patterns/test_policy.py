"""Time limits, retries and what stands in: the policy of one piece of work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenticaiframework.actors import ActorSystem, Agent, AgentFailed
from agenticaiframework.patterns import (
    Completed,
    Default,
    DefinitionError,
    Failed,
    Fallback,
    ParallelOrchestration,
    PatternFailed,
    Retry,
    SequentialOrchestration,
    Skipped,
    TimedOut,
    UnretriableError,
    outcome_to_dict,
)

from .conftest import Hanging


class Busy(Exception):
    """An error that asks to be left alone for a while."""

    retry_after_s = 7.0


def failing(times: int, error: Callable[[str], Exception] = ValueError) -> Any:
    calls: list[float] = []

    async def handler(payload: Any) -> str:
        calls.append(asyncio.get_running_loop().time())
        if len(calls) <= times:
            raise error(f"failure {len(calls)}")
        return "done"

    handler.calls = calls  # type: ignore[attr-defined]
    return handler


def test_retry_waits_longer_each_time_and_counts_attempts(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        handler = failing(3)
        cast.agent("a", handler)
        retry = {"attempts": 4, "initial_delay_s": 1, "backoff": "exponential"}
        report = await SequentialOrchestration("s", [{"agent": "a", "retry": retry}]).run(1)
        outcome = report["a"]
        assert isinstance(outcome, Completed)
        assert outcome.attempts == 4
        # Each attempt was a crash, so the answer comes from the fourth incarnation.
        assert outcome.incarnation == 4
        gaps = [b - a for a, b in zip(handler.calls, handler.calls[1:], strict=False)]
        assert gaps == pytest.approx([1, 2, 4])

    sim(main)


def test_attempts_end_and_the_last_error_counts(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.agent("a", failing(99))
        with pytest.raises(PatternFailed, match="failure 3") as caught:
            await SequentialOrchestration("s", [{"agent": "a", "retry": 3}]).execute(1)
        outcome = caught.value.outcomes["a"]
        assert isinstance(outcome, Failed)
        assert outcome.attempts == 3

    sim_once(main)


def test_a_timed_out_attempt_is_retried_on_a_fresh_start(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        calls: list[int] = []

        async def slow_once(payload: Any) -> str:
            calls.append(1)
            if len(calls) == 1:
                await asyncio.sleep(60)
            return "done"

        cast.agent("a", slow_once)
        step = {"agent": "a", "timeout": 2, "retry": {"attempts": 2, "on": ["AgentTimeout"]}}
        report = await SequentialOrchestration("s", [step]).run(1)
        assert report.result() == "done"
        assert report["a"].attempts == 2

    sim(main)


def test_an_error_that_asks_to_wait_is_waited_for(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        handler = failing(1, Busy)
        cast.agent("a", handler)
        await SequentialOrchestration("s", [{"agent": "a", "retry": 2}]).execute(1)
        assert handler.calls[1] - handler.calls[0] == pytest.approx(7)

    sim_once(main)


@pytest.mark.parametrize(
    ("retry", "attempts"),
    [
        (Retry(attempts=3, on=(ValueError,)), 3),
        (Retry(attempts=3, on=("ValueError",)), 3),
        (Retry(attempts=3, on=(KeyError, "OSError")), 1),
        (Retry(attempts=3, never=(ValueError,)), 1),
        (Retry(attempts=3, on=("Exception",), never=("ValueError",)), 1),
        (Retry(attempts=3, on=AgentFailed), 3),
    ],
)
def test_only_the_named_errors_are_retried(
    cast: Any, sim_once: Any, retry: Retry, attempts: int
) -> None:
    async def main(system: ActorSystem) -> None:
        handler = failing(99)
        cast.agent("a", handler)
        await SequentialOrchestration("s", [{"agent": "a", "retry": retry}]).run(1)
        assert len(handler.calls) == attempts

    sim_once(main)


class Wrong(UnretriableError):
    """A mistake that stays one."""


class Refused(Exception):
    """A client's error for an HTTP refusal."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status_code = status


class Answered(Exception):
    """A client's error that keeps the response."""

    def __init__(self, status: int, retry_after: str | None = None) -> None:
        super().__init__(f"HTTP {status}")
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        self.response = SimpleNamespace(status_code=status, headers=headers)


def caused_by(*chain: BaseException) -> AgentFailed:
    """Return an agent's failure, with the errors of *chain* as its cause, and theirs."""
    error: BaseException = AgentFailed("a", chain[0])
    failed = error
    for cause in chain:
        error.__cause__ = cause
        error = cause
    assert isinstance(failed, AgentFailed)
    return failed


@pytest.mark.parametrize(
    ("error", "options", "again"),
    [
        (AgentFailed("a", "x"), {}, True),
        (caused_by(Wrong("wrong")), {}, False),
        (caused_by(Wrong("wrong")), {"on": Wrong}, True),
        (caused_by(Wrong("wrong")), {"on": ["UnretriableError"]}, True),
        (caused_by(Wrong("wrong")), {"on": [AgentFailed]}, False),
        (caused_by(Wrong("wrong")), {"on": [Exception]}, False),
        (caused_by(Wrong("wrong")), {"on": Wrong, "never": Wrong}, False),
        *((caused_by(Refused(status)), {}, False) for status in (400, 401, 403, 404, 422)),
        *((caused_by(Refused(status)), {}, True) for status in (408, 409, 429, 500, 503, 529)),
        (caused_by(Answered(404)), {}, False),
        (caused_by(KeyError(), Answered(404)), {}, False),
        (caused_by(Refused(503), Refused(404)), {}, True),
        (caused_by(Refused(503), Wrong("wrong")), {}, False),
        (caused_by(KeyError(), Wrong("wrong"), Refused(503)), {}, False),
        (caused_by(Wrong("wrong"), Refused(404)), {"on": Wrong}, False),
        (caused_by(Wrong("wrong"), Refused(404)), {"on": [Wrong, 404]}, True),
        (caused_by(Refused(404)), {"on": ["Refused"]}, True),
        (caused_by(Refused(404)), {"on": Refused}, True),
        (caused_by(Refused(404)), {"on": [404]}, True),
        (caused_by(Refused(404)), {"on": [429]}, False),
        (caused_by(Refused(404)), {"on": ["Exception"]}, False),
        (caused_by(Refused(429)), {"on": [429]}, True),
        (caused_by(Refused(429)), {"never": [429]}, False),
        (caused_by(ExceptionGroup("g", [Refused(404), Refused(503)])), {}, True),
        (caused_by(ExceptionGroup("g", [Refused(404), Wrong("wrong")])), {}, False),
    ],
)
def test_what_cannot_help_is_not_tried_unless_it_is_named(
    error: AgentFailed, options: Any, again: bool
) -> None:
    assert Retry(attempts=3, **options).allows(error, 1) is again
    assert not Retry(attempts=3, **options).allows(error, 3)


def test_a_status_that_is_none_is_refused() -> None:
    for wrong in (5, 200, 4040, True, 4.5):
        with pytest.raises(DefinitionError, match="HTTP status"):
            SequentialOrchestration("s", [{"agent": len, "retry": {"attempts": 2, "on": [wrong]}}])


@pytest.mark.parametrize("status", [404, 503])
def test_a_refusal_is_repeated_only_where_that_helps(cast: Any, sim_once: Any, status: int) -> None:
    async def main(system: ActorSystem) -> None:
        handler = failing(99, lambda _: Refused(status))
        cast.agent("a", handler)
        await SequentialOrchestration("s", [{"agent": "a", "retry": 3}]).run(1)
        assert len(handler.calls) == (1 if status == 404 else 3)

    sim_once(main)


@pytest.mark.parametrize(
    ("asks", "delay_s"),
    [
        (Answered(429, "5"), 5.0),
        (Answered(429, "86400"), 30.0),
        (Answered(200, "5"), 1.0),
        (Answered(503, "0"), 1.0),
        (KeyError(), 1.0),
    ],
)
def test_a_wait_that_is_asked_for_is_a_minimum_below_the_maximum(
    asks: Exception, delay_s: float
) -> None:
    assert Retry(initial_delay_s=1).delay_s(caused_by(asks), 1) == delay_s
    assert Retry(initial_delay_s=1).delay_s(caused_by(KeyError(), asks), 1) == delay_s


def test_nobody_is_parked_for_a_day(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        handler = failing(2, lambda _: Answered(429, "86400"))
        cast.agent("a", handler)
        retry = {"attempts": 3, "max_delay_s": 10}
        assert (
            await SequentialOrchestration("s", [{"agent": "a", "retry": retry}]).execute(1)
            == "done"
        )
        gaps = [b - a for a, b in zip(handler.calls, handler.calls[1:], strict=False)]
        assert gaps == pytest.approx([10, 10])

    sim_once(main)


@pytest.mark.parametrize("nested", [False, True])
def test_a_wait_beyond_the_time_limit_fails_at_once_with_its_reason(
    cast: Any, sim_once: Any, nested: bool
) -> None:
    async def main(system: ActorSystem) -> None:
        handler = failing(9, lambda _: Answered(429, "86400"))
        cast.agent("a", handler)
        inner = SequentialOrchestration(
            "inner", [{"agent": "a", "retry": 3}], timeout=None if nested else 20
        )
        outer = SequentialOrchestration("outer", [inner], timeout=20 if nested else None)
        before = system.clock()
        with pytest.raises(PatternFailed, match="HTTP 429") as caught:
            await outer.execute(1)
        assert not isinstance(caught.value, TimeoutError)
        assert system.clock() == before
        assert len(handler.calls) == 1

    sim_once(main)


def test_a_pause_of_the_policys_own_runs_into_the_time_limit(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.agent("a", failing(9))
        retry = {"attempts": 3, "initial_delay_s": 30, "backoff": "fixed"}
        pattern = SequentialOrchestration("s", [{"agent": "a", "retry": retry}], timeout=20)
        with pytest.raises(TimeoutError):
            await pattern.execute(1)

    sim_once(main)


def test_a_fallback_that_fails_too_tells_both_reasons(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.agent("a", failing(9, lambda _: ValueError("the first reason")))
        cast.agent("b", failing(9, lambda _: KeyError("the second reason")))
        step = {"agent": "a", "retry": 2, "on_error": {"fallback": "b"}}
        with pytest.raises(PatternFailed) as caught:
            await SequentialOrchestration("s", [step]).execute(1)
        error = caught.value
        assert "the first reason" in str(error)
        assert "the second reason" in str(error)
        first, second = error.instead_of, error.__cause__
        assert isinstance(first, AgentFailed)
        assert isinstance(first.__cause__, ValueError)
        assert isinstance(second, AgentFailed)
        assert isinstance(second.__cause__, KeyError)
        outcome = error.outcomes["a"]
        assert isinstance(outcome, Failed)
        assert outcome.cause is second
        assert outcome.instead_of is first
        assert "the first reason" in str(outcome_to_dict(outcome)["instead_of"])

    sim_once(main)


def test_a_fallback_that_is_too_slow_tells_both_reasons(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.agent("a", failing(9, lambda _: ValueError("the first reason")))
        cast.agent("b", Hanging().hang)
        step = {"agent": "a", "timeout": 2, "on_error": {"fallback": "b"}}
        with pytest.raises(PatternFailed, match="timed out.* the first reason") as caught:
            await SequentialOrchestration("s", [step]).execute(1)
        assert isinstance(caught.value.outcomes["a"], TimedOut)

    sim_once(main)


@given(
    st.builds(
        Retry,
        attempts=st.integers(1, 10),
        backoff=st.sampled_from(["fixed", "linear", "exponential"]),
        initial_delay_s=st.floats(0, 5),
        max_delay_s=st.floats(7, 100),
        jitter=st.floats(0, 1),
    ),
    st.integers(1, 2000),
    st.floats(0, 1),
)
def test_delays_are_never_negative_nor_above_their_cap(
    retry: Retry, attempts: int, chance: float
) -> None:
    assert 0 <= retry.delay_s(ValueError(), attempts, chance) <= retry.max_delay_s
    assert retry.delay_s(Busy(), attempts, chance) >= Busy.retry_after_s
    assert retry.allows(ValueError(), attempts) == (attempts < retry.attempts)


def test_a_default_stands_in_and_the_cause_is_kept(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.agent("a", failing(99))
        step = {"agent": "a", "on_error": Default(default={"category": "unknown"})}
        report = await SequentialOrchestration("s", [step]).run(1)
        assert report.result() == {"category": "unknown"}
        outcome = report["a"]
        assert isinstance(outcome, Completed)
        assert outcome.via == "default"
        assert "failure 1" in str(outcome.cause)

    sim_once(main)


def test_a_fallback_agent_gets_the_same_payload_and_may_fail_itself(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.agent("a", failing(99))
        cast.echoes("spare")
        cast.agent("broken", failing(99))
        ok = SequentialOrchestration(
            "s", [{"agent": "a", "retry": 2, "on_error": Fallback(fallback="spare")}]
        )
        report = await ok.run("x")
        assert report.result() == "spare(x)"
        assert report["a"].attempts == 3
        bad = SequentialOrchestration("s", [{"agent": "a", "on_error": {"fallback": "broken"}}])
        outcome = (await bad.run("x"))["a"]
        assert isinstance(outcome, Failed)
        assert outcome.agent == "broken"

    sim(main)


def test_a_hanging_step_may_be_left_out(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.agent("hang", lambda p: asyncio.sleep(3600))
        cast.echoes("b")
        report = await SequentialOrchestration(
            "s", [{"agent": "hang", "timeout": 1, "on_error": "skip"}, "b"]
        ).run("x")
        assert report.result() == "b(x)"
        assert isinstance(report["hang"], Skipped)
        assert isinstance(report["hang"].cause, TimeoutError)

    sim(main)


@pytest.mark.parametrize("whose", ["step", "whole"])
@pytest.mark.parametrize("kind", ["function", "agent", "nested"])
def test_work_that_is_out_of_time_has_stopped_before_anybody_goes_on(
    kind: str, whose: str, sim_once: Any
) -> None:
    hanging = Hanging()
    hang = hanging.hang

    async def main(system: ActorSystem) -> None:
        agent = Agent("hang", handler=hang)
        target = {
            "function": hang,
            "agent": agent,
            "nested": SequentialOrchestration("nested", [hang]),
        }[kind]
        if whose == "step":
            step = {"agent": target, "timeout": 1, "retry": 2, "on_error": "skip"}
            report = await SequentialOrchestration("s", [step, step]).run(1)
            assert [type(outcome) for outcome in report.outcomes.values()] == [Skipped, Skipped]
        else:
            await SequentialOrchestration("s", [target], timeout=1).run(1)
        assert (hanging.running, hanging.most) == (0, 1)

    sim_once(main)


def test_a_nested_pattern_and_a_function_keep_to_the_steps_timeout(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        async def hang(payload: Any) -> None:
            await asyncio.sleep(3600)

        nested = ParallelOrchestration("nested", [hang])
        for target in (hang, nested):
            began = system.clock()
            report = await SequentialOrchestration("s", [{"agent": target, "timeout": 2}]).run(1)
            assert system.clock() - began == pytest.approx(2)
            (outcome,) = report.outcomes.values()
            assert isinstance(outcome, TimedOut)

    sim(main)


def test_a_step_that_blocks_its_thread_is_left_behind_at_its_time_limit() -> None:
    release = threading.Event()

    def block(payload: Any) -> str:
        release.wait(120)
        return "late"

    async def main() -> None:
        async with ActorSystem():
            agent = Agent("blocking", handler=block)
            for target in (block, agent):
                report = await SequentialOrchestration(
                    "s", [{"agent": target, "timeout": 0.05}]
                ).run(1)
                (outcome,) = report.outcomes.values()
                assert isinstance(outcome, TimedOut)
            release.set()
            # The agent's next incarnation answers, whatever became of the one before.
            assert await SequentialOrchestration("s", [agent]).execute(2) == "late"

    asyncio.run(main())


def test_of_a_steps_limit_and_a_nested_patterns_own_the_shorter_holds(sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        async def hang(payload: Any) -> None:
            await asyncio.sleep(3600)

        for own, of_step in ((2, 9), (9, 2), (2, None)):
            nested = SequentialOrchestration("nested", [hang], timeout=own)
            began = system.clock()
            await SequentialOrchestration("s", [{"agent": nested, "timeout": of_step}]).run(1)
            assert system.clock() - began == pytest.approx(2)

    sim_once(main)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"attempts": 0}, "attempts: input should be greater than or equal to 1"),
        ({"attemps": 3}, "Did you mean 'attempts'"),
        ({"initial_delay_s": 10, "max_delay_s": 1}, r"initial_delay_s \(10\) is longer"),
        ({"on": [3]}, "3 is not an error"),
        ({"backoff": "cubic"}, "backoff"),
    ],
)
def test_a_wrong_retry_policy_is_refused(fields: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        Retry(**fields)
