"""Faults of models and tools in simulated runs: each does what it says, and finds what it is for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

from pydantic import BaseModel

from agenticaiframework import Agent
from agenticaiframework.actors import AgentFailed, AgentTimeout, TextDelta, retry_after_of
from agenticaiframework.models.tools import tool
from agenticaiframework.testing import (
    MODEL_FAULTS,
    BadSimulation,
    CutStream,
    DropConnection,
    FaultPlan,
    Faults,
    HangModel,
    HangTool,
    Profile,
    RateLimit,
    Refusal,
    Report,
    ServerError,
    Simulation,
    SimulationFailed,
    SlowModel,
    SlowStream,
    WrongAnswer,
    scripted_model,
    simulate,
    simulate_once,
)


class Note(BaseModel):
    """A typed answer."""

    text: str


async def look(at: str) -> str:
    """Look at something."""
    return f"seen {at}"


def script(request: Any) -> Any:
    """Use the tool, if there is one, and then answer."""
    if request.tool_names and not request.results:
        return request.call("look", at="x")
    return Note(text="hello") if request.schema else "hello my dear friend"


def run(fault: Any, do: Callable[[Simulation], Coroutine[Any, Any, Any]]) -> Report:
    """Run *do* once with *fault*, which lands; its value is what *do* returned."""

    async def scenario(sim: Simulation) -> Any:
        with scripted_model(script):
            return await do(sim)

    report = simulate_once(scenario, plan=FaultPlan.of(fault), seed=1)
    assert not report.failed, report.narrative()
    assert [landed.fault for landed in report.landed] == [fault]
    return report


@pytest.mark.parametrize(
    ("fault", "status", "wait_s"),
    [
        (RateLimit("writer", times=9), 429, None),
        (RateLimit("writer", retry_after_s=90, times=9), 429, 90.0),
        (ServerError("writer", times=9), 500, None),
        (ServerError("w*", status=503, times=9), 503, None),
        (DropConnection(times=9), None, None),
        (CutStream("writer", times=9), None, None),
        (Refusal("writer", text="", times=9), None, None),
    ],
)
def test_a_request_that_fails_is_the_failure_of_that_request_alone(
    fault: Any, status: int | None, wait_s: float | None
) -> None:
    async def ask(sim: Simulation) -> Any:
        agent = Agent("writer", model="gpt-4")
        with pytest.raises(AgentFailed) as caught:
            await agent.ask("x", timeout=60)
        assert caught.value.expected
        assert getattr(caught.value.__cause__, "status_code", None) == status
        assert retry_after_of(caught.value) == wait_s
        return agent.is_alive

    async def scenario(sim: Simulation) -> Any:
        with scripted_model(script):
            return await ask(sim)

    report = simulate_once(scenario, plan=FaultPlan.of(fault), seed=1)
    assert not report.failed, report.narrative()
    assert report.value
    assert report.landed


def test_what_a_provider_says_once_is_asked_again() -> None:
    async def ask(sim: Simulation) -> Any:
        answer = await Agent("writer", model="gpt-4").ask("x", timeout=60)
        return answer, sim.time() >= 5

    report = run(RateLimit("writer", retry_after_s=5), ask)
    assert report.value == ("hello my dear friend", True)
    assert report.model_requests == {"writer": 2}


def test_a_fallback_answers_where_the_first_model_does_not() -> None:
    async def scenario(sim: Simulation) -> Any:
        with scripted_model(lambda request: f"from {request.model}"):
            agent = Agent("writer", model="gpt-4", fallback_models=["claude-x"])
            return await agent.ask("x", timeout=600)

    plan = FaultPlan.of(ServerError("writer", status=400))
    assert simulate_once(scenario, plan=plan).value in ("from claude-x", "from gpt-4")


def test_slow_and_hanging_models_meet_the_timeout() -> None:
    async def ask(sim: Simulation) -> Any:
        agent = Agent("writer", model="gpt-4")
        with pytest.raises(AgentTimeout):
            await agent.ask("x", timeout=60)
        return sim.time()

    assert run(HangModel("writer"), ask).value == 60
    assert run(SlowModel("writer", delay_s=90), ask).value == 60

    async def wait(sim: Simulation) -> Any:
        await Agent("writer", model="gpt-4").ask("x", timeout=60)
        return sim.time()

    assert run(SlowModel("writer", delay_s=50), wait).value == 50


async def read(sim: Simulation) -> Any:
    """Read a stream; return its texts, how it ended, and when."""
    texts: list[str] = []
    try:
        async for part in Agent("writer", model="gpt-4").stream("x", timeout=600):
            texts += [part.text] if isinstance(part, TextDelta) else []
    except AgentFailed as error:
        return texts, type(error.__cause__).__name__, sim.time()
    return texts, "", sim.time()


def test_streams_are_slow_or_cut() -> None:
    words = ["hello", " my", " dear", " friend"]
    assert run(SlowStream("writer", delay_s=3), read).value == (words, "", 12.0)
    assert run(CutStream("writer", after=2), read).value == (words[:2], "ModelConnectionError", 0.0)
    texts, how, _ = run(CutStream("writer", after=0), read).value
    assert (texts, how) == (words, "")  # nothing had come, so it was asked again
    assert run(CutStream("writer", after=99), read).value == (words, "ModelConnectionError", 0.0)
    assert run(WrongAnswer("writer", text="what?"), read).value == (["what?"], "", 0.0)


def test_an_answer_that_does_not_fit_is_repaired_and_then_fails() -> None:
    async def ask(sim: Simulation) -> Any:
        return await Agent("writer", model="gpt-4", output_type=Note).ask("x", timeout=60)

    for fault in (WrongAnswer("writer"), WrongAnswer("writer", text="{}"), Refusal("writer")):
        report = run(fault, ask)
        assert report.value == Note(text="hello")
        assert report.model_requests == {"writer": 2}

    async def fail(sim: Simulation) -> Any:
        with pytest.raises(AgentFailed) as caught:
            await ask(sim)
        return caught.value.expected

    plan = FaultPlan.of(WrongAnswer("writer", times=9))

    async def scenario(sim: Simulation) -> Any:
        with scripted_model(script):
            return await fail(sim)

    assert simulate_once(scenario, plan=plan).value is True


def test_a_tool_that_hangs_meets_its_own_timeout() -> None:
    async def ask(sim: Simulation) -> Any:
        agent = Agent("writer", model="gpt-4", tools=[tool(look, timeout=5)])
        return await agent.ask("x", timeout=60), sim.time()

    report = run(HangTool("writer", tool="look"), ask)
    assert report.value == ("hello my dear friend", 5.0)
    assert report.tool_calls == {("writer", "look"): 1}


def test_a_fault_whose_moment_never_comes_is_told() -> None:
    fault = RateLimit("writer", at_request=2)

    async def scenario(sim: Simulation) -> Any:
        with scripted_model(script):
            return await Agent("writer", model="gpt-4").ask("x", timeout=60)

    report = simulate_once(scenario, plan=FaultPlan.of(fault))
    assert report.missed == [fault]


def test_model_objects_have_the_faults_too() -> None:
    from pydantic_ai.models.test import TestModel

    async def scenario(sim: Simulation) -> Any:
        agent = Agent("writer", model=TestModel(custom_output_text="tested"))
        return await agent.ask("x", timeout=60)

    report = simulate_once(scenario, plan=FaultPlan.of(SlowModel("writer")))
    assert report.time_s == 30
    assert report.value == "tested"


def test_plans_are_data() -> None:
    plan = FaultPlan.of(*(kind() for kind in MODEL_FAULTS))  # type: ignore[arg-type]
    assert FaultPlan.model_validate_json(plan.model_dump_json()) == plan
    assert eval(plan.code(), {**globals(), "FaultPlan": FaultPlan}) == plan
    with pytest.raises(ValueError, match="at_request"):
        RateLimit("writer", at_request=0)
    with pytest.raises(BadSimulation, match="only its first field"):
        RateLimit("writer", 2)


# Planted bugs, each of a kind that such faults are for.


async def retry_without_end(sim: Simulation) -> None:
    """Asks again at once, for ever, whatever the provider says."""
    agent = Agent("writer", model="gpt-4")
    tries = 0
    while not (await sim.attempt(agent.ask("x", timeout=30))).ok:
        tries += 1
        sim.expect(tries < 2, "a provider is not flooded", f"{tries} tries")
        if tries == 2:
            return


async def ignores_retry_after(sim: Simulation) -> None:
    """Waits a second, also where it is asked to wait longer."""
    agent = Agent("writer", model="gpt-4")
    outcome = await sim.attempt(agent.ask("x", timeout=30))
    if outcome.error is not None and (wait_s := retry_after_of(outcome.error)):
        await asyncio.sleep(1)
        sim.expect(wait_s <= 1, "a wait is kept", f"waited 1 s of {wait_s:g}")


async def keeps_half_an_answer(sim: Simulation) -> None:
    """Takes for the whole answer what came before the stream was cut."""
    got = ""
    try:
        async for part in Agent("writer", model="gpt-4").stream("x", timeout=30):
            if isinstance(part, TextDelta):
                got += part.text
    except Exception:
        pass
    sim.expect(got in ("", "hello my dear friend"), "no half answers", got)


async def books_twice(sim: Simulation) -> None:
    """Does again what a tool may have done before the answer was lost."""
    done: list[str] = []

    async def look(at: str) -> str:
        """Book it."""
        done.append(at)
        return "booked"

    agent = Agent("writer", model="gpt-4", tools=[look])
    for _ in range(2):
        if (await sim.attempt(agent.ask("x", timeout=30))).ok:
            break
    sim.expect(len(done) < 2, "booked once", f"{len(done)} times")


@pytest.mark.parametrize(
    ("bug", "fault", "rule"),
    [
        (retry_without_end, ServerError("writer", times=9), "a provider is not flooded"),
        (ignores_retry_after, RateLimit("writer", retry_after_s=60, times=9), "a wait is kept"),
        (keeps_half_an_answer, CutStream("writer", after=2), "no half answers"),
        (books_twice, DropConnection("writer", at_request=2, times=3), "booked once"),
    ],
)
def test_they_find_the_bug(bug: Any, fault: Any, rule: str) -> None:
    async def scenario(sim: Simulation) -> None:
        with scripted_model(script):
            await bug(sim)

    assert not simulate_once(scenario, seed=1).failed
    report = simulate_once(scenario, plan=FaultPlan.of(fault), seed=1)
    assert [violation.rule for violation in report.violations] == [rule], report.narrative()


def test_a_plan_is_shrunk_to_what_matters() -> None:
    async def scenario(sim: Simulation) -> None:
        with scripted_model(script):
            await keeps_half_an_answer(sim)

    faults = [SlowModel("writer", delay_s=5), CutStream("writer", after=3)]
    with pytest.raises(SimulationFailed) as caught:
        simulate(runs=1, faults=faults)(scenario)()
    assert caught.value.failure.plan == FaultPlan.of(CutStream("writer", after=1))


def test_random_plans_have_faults_of_models_where_models_are_asked() -> None:
    async def scenario(sim: Simulation) -> None:
        with scripted_model(script):
            await Agent("writer", model="gpt-4", tools=[look]).ask("x")

    profile = Profile.of(simulate_once(scenario))
    assert profile.model_requests == {"writer": 2}
    made = {type(f) for seed in range(300) for f in Faults().plan(seed, profile).faults}
    assert made.issuperset(MODEL_FAULTS)
    without = replace(profile, model_requests={}, tool_calls={})
    made = {type(f) for seed in range(300) for f in Faults().plan(seed, without).faults}
    assert made.isdisjoint(MODEL_FAULTS)
    elsewhere = Faults(kinds=MODEL_FAULTS, actor="other").plan(1, profile)
    assert not elsewhere.faults
