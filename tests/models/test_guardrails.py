"""Guardrails: checks before, beside and after an agent's work."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

pytest.importorskip("pydantic_ai")

from agenticaiframework import Agent
from agenticaiframework.actors import (
    ActorSystem,
    AgentDefinitionError,
    AgentFailed,
    AgentStopped,
    Answer,
    Guardrail,
    GuardrailTripped,
    GuardrailVerdict,
    Repair,
    Replace,
    Stop,
    TextDelta,
    send_chunk,
)

sys.path.insert(0, str(Path(__file__).parent))
from speaking import call, simulated, speaker


def no_homework(payload: Any) -> Any:
    return Stop("we do no homework") if "x + 2" in str(payload) else None


async def tripped(asked: Any) -> GuardrailTripped:
    with pytest.raises(AgentFailed) as failed:
        await asked
    cause = failed.value.__cause__
    assert isinstance(cause, GuardrailTripped)
    assert failed.value.expected
    return cause


@simulated
async def test_a_bare_function_checks_the_request_before_the_model_is_asked() -> None:
    model = speaker("hello")
    agent = Agent("desk", model=model.model, guardrails=[no_homework])
    async with ActorSystem():
        assert await agent.ask("hi") == "hello"
        error = await tripped(agent.ask("solve x + 2 = 4"))
        assert (error.name, error.reason, error.when) == (
            "no_homework",
            "we do no homework",
            "before",
        )
        assert error.agent == "desk"
        assert not error.failed
        assert len(model.asked) == 1
        assert agent.is_alive


@simulated
async def test_a_check_before_may_replace_the_request() -> None:
    model = speaker("done")
    agent = Agent(
        "desk",
        model=model.model,
        guardrails=[lambda p: Replace(p.replace("4711", "****")), lambda p: "4711" not in p],
    )
    async with ActorSystem():
        assert await agent.ask("my pin is 4711") == "done"
    assert "****" in str(model.asked[0])
    assert "4711" not in str(model.asked[0])


@simulated
async def test_a_check_beside_stops_the_request_that_is_under_way() -> None:
    model = speaker("never")
    model.waits = asyncio.Event()
    agent = Agent("desk", model=model.model, guardrails=[Guardrail(beside, "beside")])
    async with ActorSystem():
        error = await tripped(agent.ask("hi"))
    assert (error.name, error.when, model.stopped) == ("beside", "beside", 1)


async def beside(payload: Any) -> bool:
    await asyncio.sleep(0.01)
    return False


@simulated
async def test_no_tool_runs_before_the_checks_beside_have_passed() -> None:
    checked = asyncio.Event()
    called: list[bool] = []

    async def check(payload: Any) -> None:
        await asyncio.sleep(0.02)
        checked.set()

    async def charge() -> str:
        """Charge the customer."""
        called.append(checked.is_set())
        return "charged"

    model = speaker(call("charge"), "done")
    agent = Agent(
        "desk", model=model.model, tools=[charge], guardrails=[Guardrail(check, "beside")]
    )
    async with ActorSystem():
        assert await agent.ask("hi") == "done"
    assert called == [True]


@simulated
async def test_of_a_check_that_trips_no_tool_is_called() -> None:
    called: list[int] = []
    model = speaker(call("charge"), "done")

    async def charge() -> str:
        """Charge the customer."""
        called.append(1)
        return "charged"

    agent = Agent(
        "desk", model=model.model, tools=[charge], guardrails=[Guardrail(beside, "beside")]
    )
    async with ActorSystem():
        await tripped(agent.ask("hi"))
    assert called == []


@simulated
async def test_the_error_of_the_work_does_not_wait_for_the_checks_beside() -> None:
    stopped: list[str] = []

    async def check(payload: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.append("check")
            raise

    agent = Agent(
        "desk",
        model=speaker(ConnectionError("down")).model,
        guardrails=[Guardrail(check, "beside")],
    )
    async with ActorSystem():
        with pytest.raises(AgentFailed) as failed:
            await agent.ask("hi")
    assert isinstance(failed.value.__cause__, ConnectionError)
    assert stopped == ["check"]


@simulated
async def test_a_check_after_stops_the_answer() -> None:
    agent = Agent(
        "desk",
        model=speaker("the code is 4711").model,
        guardrails=[Guardrail(lambda a: "4711" not in a, "after", name="no codes")],
    )
    async with ActorSystem():
        error = await tripped(agent.ask("hi"))
    assert (error.name, error.when) == ("no codes", "after")
    assert "stopped the answer" in str(error)


@simulated
async def test_a_check_of_two_parameters_gets_the_request_and_the_answer() -> None:
    seen: list[Any] = []

    def check(payload: Any, answer: Any) -> None:
        seen.append((payload, answer))

    agent = Agent("desk", model=speaker("ho").model, guardrails=[Guardrail(check, "after")])
    async with ActorSystem():
        await agent.ask("hi")
    assert seen == [("hi", "ho")]


@simulated
async def test_a_repair_goes_back_to_the_model() -> None:
    model = speaker("a very long answer", "short")
    agent = Agent(
        "desk",
        model=model.model,
        guardrails=[
            Guardrail(lambda a: Repair("at most one word") if " " in a else None, "after", "brief")
        ],
    )
    async with ActorSystem():
        assert await agent.ask("hi") == "short"
    assert "at most one word" in str(model.asked[1])


@simulated
async def test_a_repair_that_never_comes_ends_with_the_guardrails_error() -> None:
    model = speaker("a very long answer")
    agent = Agent(
        "desk",
        model=model.model,
        retries=2,
        guardrails=[Guardrail(lambda a: Repair("at most one word"), "after", "brief")],
    )
    async with ActorSystem():
        error = await tripped(agent.ask("hi"))
    assert (error.name, error.reason) == ("brief", "at most one word")
    assert len(model.asked) == 3


@simulated
async def test_an_answer_is_replaced_also_where_it_is_remembered() -> None:
    agent = Agent(
        "desk",
        model=speaker("the code is 4711").model,
        guardrails=[Guardrail(lambda a: Replace(a.replace("4711", "****")), "after", "redact")],
    )
    async with ActorSystem():
        result = await agent.run("hi")
    assert result.output == "the code is ****"
    assert "4711" not in str(result.new_messages)


class Seat(BaseModel):
    row: int


@simulated
async def test_a_typed_answer_is_checked_as_what_it_is() -> None:
    model = speaker(call("final_result", row=0), call("final_result", row=1))
    agent = Agent(
        "desk",
        model=model.model,
        output_type=Seat,
        guardrails=[
            Guardrail(lambda s: Repair("rows begin at 1") if s.row < 1 else None, "after", "rows")
        ],
    )
    async with ActorSystem():
        assert await agent.ask("hi") == Seat(row=1)


@simulated
async def test_guardrails_check_in_their_order() -> None:
    order: list[str] = []

    def check(name: str) -> Any:
        return lambda value: order.append(name)

    agent = Agent(
        "desk",
        model=speaker("ho").model,
        guardrails=[
            Guardrail(check("d"), "after"),
            Guardrail(check("a"), "before"),
            Guardrail(check("b"), "before"),
            Guardrail(check("e"), "after"),
        ],
    )
    async with ActorSystem():
        await agent.ask("hi")
    assert order == ["a", "b", "d", "e"]


# -- what a check may be, and say ------------------------------------------------------------------


@simulated
async def test_an_agent_with_a_model_is_asked_for_a_verdict() -> None:
    judge = speaker(call("final_result", passes=False, reason="homework"))
    guard = Agent("guard", model=judge.model, instructions="No homework.")
    agent = Agent("desk", model=speaker("ho").model, guardrails=[Guardrail(guard, "beside")])
    async with ActorSystem():
        error = await tripped(agent.ask("solve it"))
    assert (error.name, error.reason) == ("guard", "homework")
    assert judge.infos[0].output_tools[0].parameters_json_schema["required"] == ["passes"]


@simulated
async def test_an_agent_with_an_output_type_of_its_own_is_read_by_a_function() -> None:
    class Homework(BaseModel):
        is_homework: bool
        reasoning: str

    judge = speaker(call("final_result", is_homework=True, reasoning="an equation"))
    guard = Agent("guard", model=judge.model, output_type=Homework)
    agent = Agent(
        "desk",
        model=speaker("ho").model,
        guardrails=[Guardrail(guard, stop_if=lambda said: said.is_homework)],
    )
    async with ActorSystem():
        error = await tripped(agent.ask("solve it"))
    assert (error.name, error.reason) == ("guard", "an equation")


@simulated
async def test_an_agent_with_a_handler_may_be_a_guardrail() -> None:
    async def check(payload: Any) -> Any:
        return {"passes": payload["answer"] == "ho"}

    guard = Agent("guard", check)
    agent = Agent("desk", model=speaker("ho", "hey").model, guardrails=[Guardrail(guard, "after")])
    async with ActorSystem():
        assert await agent.ask("hi") == "ho"
        await tripped(agent.ask("hi"))


@dataclass
class Tripwire:
    tripwire_triggered: bool
    reason: str = "because"


@pytest.mark.parametrize("said", [False, Stop("x"), {"passes": False}, {"ok": False}, {"tripped": True},
                                  Tripwire(True), GuardrailVerdict(False)])  # fmt: skip
@simulated
async def test_what_trips(said: Any) -> None:
    agent = Agent("desk", model=speaker("ho").model, guardrails=[lambda p: said])
    async with ActorSystem():
        assert not (await tripped(agent.ask("hi"))).failed


@pytest.mark.parametrize("said", [None, True, {"passes": True}, {"tripped": False}, Tripwire(False),
                                  GuardrailVerdict(True)])  # fmt: skip
@simulated
async def test_what_passes(said: Any) -> None:
    agent = Agent("desk", model=speaker("ho").model, guardrails=[lambda p: said])
    async with ActorSystem():
        assert await agent.ask("hi") == "ho"


@pytest.mark.parametrize("said", ["it is fine", 0, [], {"verdict": "fine"}, Repair("again")])
@simulated
async def test_what_cannot_be_told_trips_and_says_so(said: Any) -> None:
    agent = Agent("desk", model=speaker("ho").model, guardrails=[lambda p: said])
    async with ActorSystem():
        assert (await tripped(agent.ask("hi"))).failed


@simulated
async def test_a_guardrail_that_fails_itself_fails_closed() -> None:
    def broken(payload: Any) -> None:
        raise KeyError("word list")

    agent = Agent("desk", model=speaker("ho").model, guardrails=[broken])
    async with ActorSystem():
        error = await tripped(agent.ask("hi"))
        assert error.failed
        assert "word list" in error.reason
        assert isinstance(error.__cause__, KeyError)
        assert agent.is_alive


@simulated
async def test_a_guardrail_that_fails_itself_may_let_pass() -> None:
    def broken(payload: Any) -> None:
        raise KeyError("word list")

    agent = Agent(
        "desk", model=speaker("ho").model, guardrails=[Guardrail(broken, on_error="pass")]
    )
    async with ActorSystem():
        assert await agent.ask("hi") == "ho"


@simulated
async def test_a_guardrail_that_takes_too_long_has_failed() -> None:
    async def slow(payload: Any) -> None:
        await asyncio.Event().wait()

    agent = Agent("desk", model=speaker("ho").model, guardrails=[Guardrail(slow, timeout=0.01)])
    async with ActorSystem():
        error = await tripped(agent.ask("hi"))
    assert error.failed
    assert "it took longer than its 0.01 s" in error.reason


@simulated
async def test_a_check_may_raise_what_it_means() -> None:
    def check(payload: Any) -> None:
        raise GuardrailTripped("my own", "no")

    agent = Agent("desk", model=speaker("ho").model, guardrails=[check])
    async with ActorSystem():
        error = await tripped(agent.ask("hi"))
    assert (error.reason, error.failed) == ("no", False)


# -- agents with handlers --------------------------------------------------------------------------


@simulated
async def test_guardrails_stand_round_a_handler_too() -> None:
    def plain(payload: Any) -> str:
        return f"plain {payload}"

    async def handler(payload: Any) -> str:
        return f"async {payload}"

    for fn in (plain, handler):
        agent = Agent(
            "desk",
            fn,
            guardrails=[
                no_homework,
                Guardrail(lambda p: True, "beside"),
                Guardrail(lambda a: Replace(a.upper()), "after"),
            ],
        )
        async with ActorSystem():
            assert (await agent.ask("hi")).endswith(" HI")
            await tripped(agent.ask("x + 2"))


@simulated
async def test_a_handlers_answer_cannot_be_repaired_so_it_is_stopped() -> None:
    async def handler(payload: Any) -> str:
        return "long"

    agent = Agent(
        "desk", handler, guardrails=[Guardrail(lambda a: Repair("shorter"), "after", "brief")]
    )
    async with ActorSystem():
        assert (await tripped(agent.ask("hi"))).reason == "shorter"


@simulated
async def test_guardrails_stand_round_a_handler_that_yields() -> None:
    async def handler(payload: Any) -> Any:
        yield "one "
        yield "two"

    agent = Agent("desk", handler, guardrails=[Guardrail(lambda a: a != "one two", "after")])
    async with ActorSystem():
        await tripped(agent.ask("hi"))


# -- streams ---------------------------------------------------------------------------------------


async def read(agent: Agent) -> list[Any]:
    return [part async for part in agent.stream("hi")]


@simulated
async def test_nothing_of_an_answer_that_is_stopped_reaches_the_reader() -> None:
    agent = Agent(
        "desk",
        model=speaker("the code is 4711").model,
        guardrails=[Guardrail(lambda a: "4711" not in a, "after")],
    )
    parts: list[Any] = []

    async def read_into() -> None:
        async for part in agent.stream("hi"):
            parts.append(part)  # noqa: PERF401 - what came before the error counts

    async with ActorSystem():
        with pytest.raises(AgentFailed):
            await read_into()
    assert parts == []


@simulated
async def test_an_answer_that_passes_is_read_in_its_parts() -> None:
    agent = Agent(
        "desk", model=speaker("one two").model, guardrails=[Guardrail(lambda a: True, "after")]
    )
    async with ActorSystem():
        parts = await read(agent)
    assert parts[:-1] == [TextDelta("one "), TextDelta("two ")]
    assert isinstance(parts[-1], Answer)


@simulated
async def test_of_an_answer_that_is_replaced_the_reader_sees_what_replaces_it() -> None:
    agent = Agent(
        "desk",
        model=speaker("the code is 4711").model,
        guardrails=[Guardrail(lambda a: Replace("the code is secret"), "after")],
    )
    async with ActorSystem():
        parts = await read(agent)
    assert parts[0] == TextDelta("the code is secret")
    assert [part.output for part in parts[1:]] == ["the code is secret"]


@simulated
async def test_of_an_answer_that_is_repaired_the_reader_sees_the_last() -> None:
    agent = Agent(
        "desk",
        model=speaker("much too long", "short").model,
        guardrails=[
            Guardrail(lambda a: Repair("one word") if " " in a.strip() else None, "after", "brief")
        ],
    )
    async with ActorSystem():
        parts = await read(agent)
    assert [p.text for p in parts if isinstance(p, TextDelta)] == ["short "]


@simulated
async def test_nothing_is_read_before_the_checks_beside_have_passed() -> None:
    passed: list[bool] = []
    read_at: list[bool] = []

    async def check(payload: Any) -> None:
        await asyncio.sleep(0.02)
        passed.append(True)

    async def handler(payload: Any) -> str:
        send_chunk("early")
        await asyncio.sleep(0.05)
        send_chunk("late")
        return "done"

    agent = Agent("desk", handler, guardrails=[Guardrail(check, "beside")])
    async with ActorSystem():
        async for part in agent.stream("hi"):
            read_at.append(bool(passed))
            assert isinstance(part, (str, Answer))
    assert read_at == [True] * 3


def test_an_agent_that_ends_leaves_no_check_and_no_work_behind() -> None:
    ended: list[str] = []

    async def for_ever(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    async def main(end: Any) -> None:
        ended.clear()
        agent = Agent(
            "desk",
            lambda_of("work"),
            guardrails=[Guardrail(lambda_of(name), "beside", name=name) for name in ("a", "b")],
        )
        async with ActorSystem():
            asked = asyncio.ensure_future(agent.ask("hi"))
            await asyncio.sleep(0.01)
            await end(agent, asked)
            with pytest.raises((AgentFailed, AgentStopped, asyncio.CancelledError)):
                await asked
        assert sorted(ended) == ["a", "b", "work"]

    def lambda_of(name: str) -> Any:
        async def run(payload: Any) -> None:
            await for_ever(name)

        return run

    async def stop(agent: Agent, asked: Any) -> None:
        await agent.stop()

    async def kill(agent: Agent, asked: Any) -> None:
        await agent.stop("kill")

    async def cancel(agent: Agent, asked: Any) -> None:
        asked.cancel()

    for end in (stop, kill, cancel):
        asyncio.run(main(end))


# -- wrong definitions -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Guardrail("no"), "a function or an agent"),
        (lambda: Guardrail(no_homework, "during"), "before, beside or after"),  # type: ignore[arg-type]
        (lambda: Guardrail(no_homework, on_error="maybe"), "on_error"),  # type: ignore[arg-type]
        (lambda: Guardrail(no_homework, name="a/b"), "no '/'"),
        (lambda: Agent("d", model="scripted", guardrails=[7]), "a guardrail of 'd'"),
        (lambda: Agent("d", str, dispatcher="pinned", guardrails=[no_homework]), "pinned"),
        (lambda: Agent("d", model="scripted", guardrails="no"), "a guardrail of 'd'"),
    ],
)
def test_wrong_guardrails_are_refused_when_they_are_made(make: Any, said: str) -> None:
    with pytest.raises(AgentDefinitionError, match=said):
        make()
