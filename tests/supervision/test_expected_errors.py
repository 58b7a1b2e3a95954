"""Failed requests of supervised agents: nothing is restarted, and no budget is spent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from agenticaiframework.actors import (
    ActorSystem,
    Agent,
    AgentError,
    AgentFailed,
    DeadLetter,
    RequestRejected,
)
from agenticaiframework.supervision import (
    AgentSupervisor,
    ChildSpec,
    DynamicSupervisor,
    RestartPolicy,
    Supervisor,
    SupervisorReport,
    start_child,
)
from agenticaiframework.testing import scripted_model

Run = Callable[..., Any]

KINDS = ("named", "otp", "dynamic")
STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")


async def answer(payload: Any) -> Any:
    """Refuse what is not a number, fail on a negative one, crash on zero."""
    await asyncio.sleep(0)
    if not isinstance(payload, int):
        raise RequestRejected(f"{payload!r} is not a number")
    if payload < 0:
        raise ConnectionError("the store is down")
    return 100 // payload


def clerk(name: str = "clerk", **options: Any) -> Agent:
    return Agent(name, handler=options.pop("handler", answer), **options)


async def supervise(kind: str, *agents: Agent, strategy: str = "one_for_one") -> None:
    """Have a supervisor of that *kind* look after *agents*; it ends with the system."""
    if kind == "named":
        desk = AgentSupervisor("desk", strategy)
        for agent in agents:
            desk.add_child(agent.name, agent)
        await desk.start()
        return
    actor: Any = Supervisor if kind == "otp" else DynamicSupervisor
    flags = {"strategy": strategy} if kind == "otp" else {}
    ref = ActorSystem.current().start(actor, flags)
    for agent in agents:
        assert (await start_child(ref, ChildSpec(agent.name, agent))).is_ok


async def said(agent: Agent, payload: Any) -> Any:
    try:
        return await agent.ask(payload)
    except AgentError as error:
        return type(error).__name__


def lives(*agents: Agent) -> list[int]:
    return [agent.address().incarnation for agent in agents]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_expected_error_restarts_anything(
    in_sim: Run, reports_of: Any, kind: str, strategy: str
) -> None:
    async def main(system: ActorSystem) -> None:
        reports: list[SupervisorReport] = reports_of(system)
        letters: list[DeadLetter] = []
        system.dead_letters.subscribe(letters.append)
        agent = clerk(expected_errors=ConnectionError)
        other = clerk("other")
        await supervise(kind, agent, other, strategy=strategy)
        for _ in range(10):
            assert [await said(agent, p) for p in ("x", -1, 5)] == ["AgentFailed"] * 2 + [20]
            agent.tell("told")
        assert await other.ask(4) == 25
        assert [type(letter.reason) for letter in letters] == [RequestRejected] * 10
        assert lives(agent, other) == [1, 1]
        assert not reports

    in_sim(main)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bug_is_a_crash_as_ever(in_sim: Run, reports_of: Any, kind: str) -> None:
    async def main(system: ActorSystem) -> None:
        reports: list[SupervisorReport] = reports_of(system)
        agent, other = clerk(expected_errors=ConnectionError), clerk("other")
        await supervise(kind, agent, other)
        assert await said(agent, 0) == "AgentFailed"
        await asyncio.sleep(1)
        assert await agent.ask(5) == 20
        assert lives(agent, other) == [2, 1]
        assert reports

    in_sim(main)


def test_an_expected_error_is_no_failure_for_the_supervisors_handlers(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        seen: list[str] = []
        desk = AgentSupervisor("desk", restart_policy=RestartPolicy(max_restarts=2))
        agent = clerk(expected_errors=ConnectionError)
        child = desk.add_child("clerk", agent)

        @desk.on_failure
        async def failed(name: str, error: Exception, count: int) -> bool:
            seen.append(type(error).__name__)
            return True

        await desk.start()
        for payload in ["x", -1] * 5 + [0]:
            assert await said(agent, payload) == "AgentFailed"
        await asyncio.sleep(5)
        assert seen == ["ZeroDivisionError"]
        assert child.restarts == 1
        assert await desk.ask("clerk", 5) == 20

    in_sim(main)


class Status(Exception):
    """A client's error for a refusal."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"HTTP {status_code}")
        self.status_code = status_code


@pytest.mark.parametrize("told", [False, True], ids=["asked", "told"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "error",
    [
        Status(503),
        Status(429),
        ConnectionError("refused"),
        TimeoutError(),
        json.JSONDecodeError("no JSON", "x", 0),
        ExceptionGroup("all models failed", [Status(503), TimeoutError()]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_outage_of_a_model_takes_nobody_along(
    in_sim: Run, reports_of: Any, error: Exception, kind: str, told: bool
) -> None:
    def outage(agent: str, payload: Any) -> str:
        raise error

    async def main(system: ActorSystem) -> None:
        reports: list[SupervisorReport] = reports_of(system)
        letters: list[DeadLetter] = []
        system.dead_letters.subscribe(letters.append)
        model, other = Agent("model", model="scripted", instructions="Answer."), clerk("other")
        await supervise(kind, model, other)
        assert await other.ask(4) == 25
        refs = [agent.address().ref for agent in (model, other)]
        with scripted_model(outage):
            for _ in range(6):
                if told:
                    model.tell("hello")
                else:
                    assert await said(model, "hello") == "AgentFailed"
            await asyncio.sleep(1)
        assert [letter.reason for letter in letters] == ([error] * 6 if told else [])
        assert "hello" in await model.ask("hello")
        assert await other.ask(4) == 25
        assert [agent.address().ref for agent in (model, other)] == refs
        assert not reports

    in_sim(main)


def test_six_bugs_of_a_model_agent_are_six_crashes(in_sim: Run) -> None:
    def broken(agent: str, payload: Any) -> str:
        raise TypeError("a bug")

    async def main(system: ActorSystem) -> None:
        model = Agent("model", model="scripted", instructions="Answer.")
        with scripted_model(broken):
            for _ in range(6):
                assert await said(model, "hello") == "AgentFailed"
        await model.ask("hello")
        assert lives(model) == [7]

    in_sim(main)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_supervised_traffic_with_bad_input_is_served_as_well_as_unsupervised(
    in_sim: Run, kind: str, strategy: str
) -> None:
    traffic: list[Any] = [5, "x", 4, -1, 2, "y", "z", 1, -2, 10, 20, "bad", 25, -3, 50, 100]

    async def serve(supervised: bool) -> tuple[list[Any], list[int]]:
        agents = [clerk(f"clerk {n}", expected_errors=ConnectionError) for n in range(2)]
        if supervised:
            await supervise(kind, *agents, strategy=strategy)
        asked = [agents[n % 2].request(payload) for n, payload in enumerate(traffic)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return [a if isinstance(a, int) else type(a) for a in answers], lives(*agents)

    async def main(system: ActorSystem) -> None:
        answers, incarnations = await serve(supervised=True)
        assert (answers, incarnations) == await serve(supervised=False)
        assert incarnations == [1, 1]
        assert sum(isinstance(a, int) for a in answers) == 9
        assert set(answers) - {a for a in answers if isinstance(a, int)} == {AgentFailed}

    in_sim(main)


def test_one_users_bad_input_restarts_no_agent_on_the_way(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        inner = clerk("inner")

        async def passes(payload: Any) -> Any:
            return await inner.ask(payload)

        front = clerk("front", handler=passes)
        await supervise("named", inner, front, strategy="one_for_all")
        for _ in range(10):
            assert await said(front, "x") == "AgentFailed"
        assert await front.ask(5) == 20
        assert lives(inner, front) == [1, 1]

    in_sim(main)
