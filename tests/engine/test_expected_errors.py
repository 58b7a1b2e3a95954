"""Expected errors, retries that cannot help, and both reasons of a fallback, in the steps of workflows."""

from __future__ import annotations

from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, Agent, AgentFailed, RequestRejected
from agenticaiframework.patterns import SequentialOrchestration, UnretriableError
from agenticaiframework.patterns.engine import WorkflowFailed, WorkflowTimedOut

from .conftest import Cast, engine, steps


class Refused(Exception):
    """A client's error for an HTTP refusal."""

    def __init__(self, status: int, retry_after_s: float | None = None) -> None:
        super().__init__(f"HTTP {status}")
        self.status_code = status
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s


async def failed(flow: Any, **config: Any) -> WorkflowFailed:
    with pytest.raises(WorkflowFailed) as caught:
        await engine(**config).execute(workflow=flow)
    return caught.value


def within(flow: Any) -> Agent:
    """Return an agent whose handler lets what the workflow raises pass."""

    async def handle(payload: Any) -> Any:
        return await engine().execute(workflow=flow, input_data=payload)

    return Agent("outer", handler=handle)


# -- expected errors -------------------------------------------------------------------------------


def test_a_step_fails_with_it_and_its_agent_lives(sim: Any, cast: Cast) -> None:
    agent = cast.failing("a", 3, error=RequestRejected("no"))

    async def main() -> None:
        error = await failed(steps({"id": "a", "agent": "a", "retry": 2}))
        assert error.attempts == 2
        assert isinstance(error.__cause__, RequestRejected)
        assert error.expected
        assert await engine().execute(workflow=steps({"id": "a", "agent": "a", "retry": 2})) == {
            "a": "ok"
        }
        assert agent.address().incarnation == 1

    sim(main)


def test_who_lets_the_failure_of_a_workflow_pass_is_well(sim: Any, cast: Cast) -> None:
    cast.failing("a", 2, error=RequestRejected("no"))
    cast.failing("b", 1, error=KeyError("a bug"))

    async def main() -> None:
        outer = within(steps("a", "b"))
        for expected, incarnation in ((True, 1), (True, 1), (False, 1), (None, 2)):
            if expected is None:
                assert await outer.ask({}) == {"a": "ok", "b": "ok"}
            else:
                with pytest.raises(AgentFailed) as caught:
                    await outer.ask({})
                assert caught.value.expected is expected
            assert outer.address().incarnation == incarnation

    sim(main)


def test_of_a_workflow_in_a_workflow_too(sim: Any, cast: Cast) -> None:
    cast.failing("a", 9, error=RequestRejected("no"))

    async def main() -> None:
        e = engine()
        e.register_workflow("inner", steps("a"))
        with pytest.raises(WorkflowFailed) as caught:
            await e.execute(workflow=steps({"id": "w", "workflow": "inner"}))
        assert caught.value.expected

    sim(main)


def test_compensation_sees_it_as_any_failure(sim: Any, cast: Cast) -> None:
    cast.echoes("book", "cancel")
    cast.failing("b", 9, error=RequestRejected("no"))

    async def main() -> None:
        flow = steps({"id": "book", "agent": "book", "compensate": "cancel"}, "b")
        assert (await failed(flow)).expected

    sim(main)
    assert cast.asked == ["book", "b", "cancel"]


# -- retries ---------------------------------------------------------------------------------------


class Wrong(UnretriableError):
    """A mistake that stays one."""


@pytest.mark.parametrize(
    ("error", "options", "attempts"),
    [
        (Refused(404), {}, 1),
        (Refused(422), {}, 1),
        (Refused(503), {}, 3),
        (Refused(404), {"on": [404]}, 3),
        (Refused(404), {"on": ["Refused"]}, 3),
        (Wrong("wrong"), {}, 1),
        (Wrong("wrong"), {"on": ["Wrong"]}, 3),
        (Wrong("wrong"), {"on": ["Exception"]}, 1),
    ],
)
def test_what_cannot_help_is_not_tried(
    sim: Any, cast: Cast, error: Exception, options: Any, attempts: int
) -> None:
    cast.failing("a", 99, error=error)

    async def main() -> None:
        flow = steps({"id": "a", "agent": "a", "retry": {"attempts": 3, **options}})
        assert (await failed(flow)).attempts == attempts

    sim(main)
    assert len(cast.asked) == attempts


def test_a_wait_of_a_day_is_cut_to_the_longest_delay(sim: Any, cast: Cast) -> None:
    cast.failing("a", 2, error=Refused(429, 86_400))

    async def main() -> None:
        begun = ActorSystem.current().clock()
        retry = {"attempts": 3, "max_delay_s": 10}
        await engine().execute(workflow=steps({"id": "a", "agent": "a", "retry": retry}))
        assert ActorSystem.current().clock() - begun == pytest.approx(20, abs=0.1)

    sim(main)


def test_a_wait_beyond_the_time_limit_fails_at_once_with_its_reason(sim: Any, cast: Cast) -> None:
    cast.failing("a", 9, error=Refused(429, 86_400))

    async def main() -> None:
        begun = ActorSystem.current().clock()
        flow = steps({"id": "a", "agent": "a", "retry": 3}, timeout_seconds=20)
        error = await failed(flow)
        assert not isinstance(error, WorkflowTimedOut)
        assert "HTTP 429" in str(error)
        assert ActorSystem.current().clock() - begun < 1

    sim(main)
    assert cast.asked == ["a"]


def test_so_does_a_pattern_in_a_step(sim: Any, cast: Cast) -> None:
    cast.failing("a", 9, error=Refused(429, 86_400))
    pattern = SequentialOrchestration("p", [{"agent": "a", "retry": 3}])

    async def main() -> None:
        begun = ActorSystem.current().clock()
        e = engine()
        e.register_pattern("p", pattern)
        with pytest.raises(WorkflowFailed, match="HTTP 429") as caught:
            await e.execute(workflow=steps({"id": "p", "pattern": "p"}, timeout_seconds=20))
        assert not isinstance(caught.value, WorkflowTimedOut)
        assert ActorSystem.current().clock() - begun < 1

    sim(main)


def test_a_compensation_waits_although_the_runs_time_is_over(sim: Any, cast: Cast) -> None:
    cast.echoes("book")
    cast.failing("cancel", 1, error=Refused(429, 5))
    cast.slow("b", 100)

    async def main() -> None:
        undo = {"agent": "cancel", "retry": 2}
        flow = steps({"id": "book", "agent": "book", "compensate": undo}, "b", timeout_seconds=10)
        await failed(flow)

    sim(main)
    assert cast.asked == ["book", "b", "cancel", "cancel"]


# -- fallbacks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("items", [False, True])
def test_a_fallback_that_fails_too_tells_both_reasons(sim: Any, cast: Cast, items: bool) -> None:
    cast.failing("a", 99, error=ValueError("the first reason"))
    cast.failing("b", 99, error=KeyError("the second reason"))
    step = {"id": "s", "agent": "a", "retry": 2, "on_error": {"fallback": "b"}}
    if items:
        step |= {"for_each": "$input.items", "input": "$item"}

    async def main() -> None:
        e = engine()
        with pytest.raises(WorkflowFailed) as caught:
            await e.execute(workflow=steps(step), input_data={"items": [1, 2]}, workflow_id="w")
        error = caught.value
        status = await e.get_workflow_status("w")
        for text in (str(error), error.reason, status.steps["s"].error or ""):
            assert "the first reason" in text
            assert "the second reason" in text
        assert isinstance(error.__cause__, KeyError)
        assert "the first reason" in (error.instead_of or "")
        assert not error.expected

    sim(main)


def test_of_two_reasons_both_have_to_be_expected(sim: Any, cast: Cast) -> None:
    cast.failing("a", 1, error=ValueError("a bug"))
    cast.failing("b", 99, error=RequestRejected("no"))
    flow = steps({"id": "s", "agent": "a", "on_error": {"fallback": "b"}})

    async def main() -> None:
        assert not (await failed(flow)).expected
        cast.failing("a", 99, error=RequestRejected("no"))
        assert (await failed(flow)).expected

    sim(main)
