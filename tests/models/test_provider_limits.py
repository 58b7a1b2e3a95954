"""Limits and the breaker of a provider: shared by its agents, in the system's time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, AgentFailed, AgentTimeout, retry_after_of
from agenticaiframework.actors.simulation import run_sim
from agenticaiframework.models import ProviderLimitReached, ProviderUnavailable, set_provider
from agenticaiframework.models.providers.clients import Clients
from agenticaiframework.models.providers.limits import LONGEST_PAUSE_S, Gate, Window
from agenticaiframework.patterns import (
    ParallelOrchestration,
    PatternFailed,
    SequentialOrchestration,
)
from agenticaiframework.patterns.resilience import CircuitChanged
from agenticaiframework.patterns.vocabulary.causes import retry_after_s
from agenticaiframework.supervision import AgentSupervisor

sys.path.insert(0, str(Path(__file__).parent))
from provider import provider

Main = Callable[[ActorSystem], Coroutine[Any, Any, Any]]


@pytest.fixture
def limits() -> Iterator[Callable[..., None]]:
    """Set limits for one test."""
    ends: list[Callable[[], None]] = []

    def limit(name: str = "function", **settings: Any) -> None:
        ends.append(set_provider(name, **settings))

    yield limit
    for end in reversed(ends):
        end()


def simulated(main: Main, seed: int | None = None) -> Any:
    async def inside() -> Any:
        async with ActorSystem("test", seed=7) as system:
            return await main(system)

    return run_sim(inside, seed=seed)


class Model:
    """A model that answers after *takes_s*, and remembers when it was asked and how many at once."""

    def __init__(self, takes_s: float = 0.0, tokens: int = 10) -> None:
        self.takes_s = takes_s
        self.tokens = tokens
        self.asked: list[float] = []
        self.now = 0
        self.most = 0
        self.fails: Exception | None = None

    def agent(self, name: str, **how: Any) -> Agent:
        """Return an agent with this model."""
        return Agent(name, model=FunctionModel(self._answer, model_name="m"), **how)

    async def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.asked.append(asyncio.get_running_loop().time())
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if self.takes_s:
                await asyncio.sleep(self.takes_s)
            if self.fails is not None:
                raise self.fails
        finally:
            self.now -= 1
        usage = RequestUsage(input_tokens=self.tokens)
        return ModelResponse(parts=[TextPart("ok")], usage=usage)


def most_in_a_minute(times: list[float]) -> int:
    return max(sum(t <= u < t + 59.999 for u in times) for t in times)


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_requests_a_minute_count_for_all_agents_together(limits: Any, seed: int | None) -> None:
    limits(requests_per_minute=10)
    model = Model(takes_s=0.5)

    async def main(system: ActorSystem) -> None:
        agents = [model.agent(f"a{n}") for n in range(4)]
        await asyncio.gather(*(agents[n % 4].ask(n) for n in range(35)))
        assert most_in_a_minute(model.asked) == 10
        assert 180.0 <= system.clock() < 185.0

    simulated(main, seed)


def test_tokens_a_minute_count_what_was_really_used(limits: Any) -> None:
    limits(tokens_per_minute=1000)
    model = Model(tokens=250)

    async def main(system: ActorSystem) -> None:
        agent = model.agent("a")
        for n in range(12):
            await agent.ask(n)
        assert most_in_a_minute(model.asked) <= 5
        assert 120.0 <= system.clock() < 181.0

    simulated(main)


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_so_many_at_once_over_all_agents(limits: Any, seed: int | None) -> None:
    limits(concurrent=3)
    model = Model(takes_s=1.0)

    async def main(system: ActorSystem) -> None:
        agents = [model.agent(f"a{n}") for n in range(4)]
        await asyncio.gather(*(agents[n % 4].ask(n) for n in range(30)))
        assert model.most == 3
        assert 10.0 <= system.clock() < 11.0

    simulated(main, seed)


def test_limits_of_one_model_count_beside_its_providers(limits: Any) -> None:
    limits("function", concurrent=3)
    limits("function:m", concurrent=1)
    model = Model(takes_s=1.0)

    async def main(system: ActorSystem) -> None:
        agent = model.agent("a")
        await asyncio.gather(*(agent.ask(n) for n in range(4)))
        assert model.most == 1

    simulated(main)


def test_nobody_overtakes(limits: Any) -> None:
    limits(requests_per_minute=1)
    model = Model()
    order: list[int] = []

    async def main(system: ActorSystem) -> None:
        agents = [model.agent(f"a{n}") for n in range(3)]

        async def ask(n: int) -> None:
            await agents[n % 3].ask(n)
            order.append(n)

        tasks = []
        for n in range(9):
            tasks.append(asyncio.ensure_future(ask(n)))
            await asyncio.sleep(0.01)
        await asyncio.gather(*tasks)

    simulated(main)
    assert order == list(range(9))


def test_waiting_counts_within_the_time_of_the_ask(limits: Any) -> None:
    limits(requests_per_minute=1)
    model = Model()

    async def main(system: ActorSystem) -> None:
        agent = model.agent("a")
        assert await agent.ask("first") == "ok"
        with pytest.raises(AgentFailed) as failed:
            await agent.ask("too soon", timeout=10)
        # At once, and not after ten seconds: it is clear already.
        assert system.clock() < 1
        assert failed.value.expected
        assert isinstance(failed.value.__cause__, ProviderLimitReached)
        assert retry_after_of(failed.value) == pytest.approx(60, abs=1)
        assert "1 requests a minute" in str(failed.value)
        assert await agent.ask("patient", timeout=100) == "ok"
        assert agent.is_alive

    simulated(main)


def test_the_asker_behind_an_asker_counts_too(limits: Any) -> None:
    limits(requests_per_minute=1)
    model = Model()

    async def main(system: ActorSystem) -> None:
        writer = model.agent("writer")

        async def front(payload: Any) -> Any:
            return await writer.ask(payload)

        desk = Agent("desk", front)
        assert await desk.ask("first") == "ok"
        with pytest.raises(AgentFailed):
            await desk.ask("second", timeout=10)
        assert system.clock() < 1

    simulated(main)


def test_an_ask_that_gives_up_in_line_leaves_its_place_to_others(limits: Any) -> None:
    limits(concurrent=1)
    model = Model(takes_s=10.0)

    async def main(system: ActorSystem) -> None:
        agent = model.agent("a")
        first = asyncio.ensure_future(agent.ask(1))
        await asyncio.sleep(0.1)
        second = asyncio.ensure_future(agent.ask(2, timeout=5))
        third = asyncio.ensure_future(agent.ask(3))
        await asyncio.sleep(0.1)
        cancelled = asyncio.ensure_future(agent.ask(4))
        await asyncio.sleep(0.1)
        cancelled.cancel()
        with pytest.raises((AgentTimeout, AgentFailed)):
            await second
        assert await asyncio.gather(first, third) == ["ok", "ok"]
        assert system.clock() == pytest.approx(20, abs=1)
        gate = Clients.of(system).near_gate("function")
        assert (gate.in_flight, gate.waiting) == (0, 0)

    simulated(main)


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_agents_that_are_killed_give_their_places_back(limits: Any, seed: int | None) -> None:
    limits(concurrent=2, requests_per_minute=100)
    model = Model(takes_s=3.0)

    async def main(system: ActorSystem) -> None:
        agents = [model.agent(f"a{n}") for n in range(6)]
        asked = [asyncio.ensure_future(agents[n % 6].ask(n)) for n in range(18)]
        for n in range(6):
            await asyncio.sleep(1.0)
            address = agents[n].address()
            if address.live is not None:
                address.live.kill() if n % 2 else await agents[n].stop()
        await asyncio.gather(*asked, return_exceptions=True)
        await asyncio.sleep(1.0)
        gate = Clients.of(system).near_gate("function")
        assert (gate.in_flight, gate.waiting, model.now) == (0, 0, 0)
        begin = system.clock()
        fresh = [model.agent(f"b{n}") for n in range(4)]
        assert await asyncio.gather(*(agent.ask(1) for agent in fresh)) == ["ok"] * 4
        assert system.clock() - begin == pytest.approx(6, abs=0.5)

    simulated(main, seed)


def test_the_time_of_a_step_counts_too(limits: Any) -> None:
    limits(concurrent=1)
    model = Model()

    async def main(system: ActorSystem) -> None:
        agent = model.agent("a")
        model.fails = ModelHTTPError(429, "m", headers={"Retry-After": "50"})
        with pytest.raises(AgentFailed):
            await agent.ask("x")
        model.fails = None
        pattern = SequentialOrchestration("s", [{"agent": agent, "timeout": 5}])
        begin = system.clock()
        with pytest.raises(PatternFailed) as failed:
            await pattern.execute("x")
        assert retry_after_s(failed.value) == pytest.approx(50, abs=1)
        assert system.clock() == begin

    simulated(main)


def test_limits_can_change_while_requests_wait(limits: Any) -> None:
    limits(requests_per_minute=1)
    model = Model()

    async def main(system: ActorSystem) -> None:
        agent = model.agent("a")
        await agent.ask(1)
        limits(requests_per_minute=100)
        await agent.ask(2, timeout=1)

    simulated(main)


def test_the_breaker_opens_on_an_outage_and_closes_after_it(limits: Any) -> None:
    limits(failures=3, reset_after_s=30)
    model = Model()
    changes: list[str] = []

    async def main(system: ActorSystem) -> None:
        system.subscribe(lambda event: changes.append(event.state), CircuitChanged)
        agent = model.agent("a")
        model.fails = ModelHTTPError(500, "m")
        for _ in range(3):
            with pytest.raises(AgentFailed):
                await agent.ask("x")
        asked = len(model.asked)
        for left in (30, 20):
            with pytest.raises(AgentFailed) as failed:
                await agent.ask("x")
            assert isinstance(failed.value.__cause__, ProviderUnavailable)
            assert retry_after_of(failed.value) == pytest.approx(left, abs=1)
            assert "500" in str(failed.value)
            await asyncio.sleep(10)
        assert len(model.asked) == asked
        await asyncio.sleep(11)
        with pytest.raises(AgentFailed):  # one may try, and fails
            await agent.ask("x")
        assert len(model.asked) == asked + 1
        await asyncio.sleep(31)
        model.fails = None
        assert await agent.ask("x") == "ok"
        assert await agent.ask("x") == "ok"
        assert changes == ["open", "half_open", "open", "half_open", "closed"]

    simulated(main)


def test_what_is_not_an_outage_opens_no_breaker(limits: Any) -> None:
    limits(failures=2)
    model = Model()

    async def main(system: ActorSystem) -> None:
        agent = model.agent("a")
        for status in (400, 401, 404, 422, 400, 429):
            model.fails = ModelHTTPError(status, "m")
            with pytest.raises(AgentFailed, match=str(status)):
                await agent.ask("x")
        for _ in range(4):  # one that works in between, and they are not in a row
            model.fails = ModelHTTPError(500, "m")
            with pytest.raises(AgentFailed, match="500"):
                await agent.ask("x")
            model.fails = None
            assert await agent.ask("x") == "ok"

    simulated(main)


def test_one_that_asks_to_wait_holds_all_agents_of_the_model_back(limits: Any) -> None:
    limits(concurrent=50)
    model = Model()

    async def main(system: ActorSystem) -> None:
        agents = [model.agent(f"a{n}") for n in range(3)]
        model.fails = ModelHTTPError(429, "m", headers={"Retry-After": "20"})
        with pytest.raises(AgentFailed):
            await agents[0].ask("x")
        model.fails = None
        begin = system.clock()
        with pytest.raises(AgentFailed) as failed:
            await agents[1].ask("x", timeout=5)
        assert retry_after_of(failed.value) == pytest.approx(20, abs=1)
        assert system.clock() == begin
        answers = await asyncio.gather(*(agent.ask("x", timeout=60) for agent in agents))
        assert answers == ["ok"] * 3
        assert system.clock() - begin == pytest.approx(20, abs=1)

    simulated(main)


def test_fifty_agents_of_a_provider_that_is_down_for_a_while() -> None:
    pytest.importorskip("openai")
    with provider("well") as server:
        end = set_provider(
            "house", base_url=server.url, retries=1, failures=20, reset_after_s=0.2, concurrent=20
        )

        async def main() -> None:
            async with ActorSystem() as system:
                desk = AgentSupervisor("desk", "one_for_all")
                agents = [Agent(f"a{n}", model="house:m") for n in range(50)]
                plain = Agent("plain", lambda payload: payload)
                children = [desk.add_child(a.name, a) for a in (*agents, plain)]
                await desk.start()
                team = ParallelOrchestration("all", agents, timeout=60)
                assert await asyncio.gather(*(a.ask("x") for a in agents)) == ["well"] * 50
                server.down()
                for _ in range(2):
                    failed = await asyncio.gather(
                        *(a.ask("x") for a in agents), return_exceptions=True
                    )
                    assert all(isinstance(e, AgentFailed) and e.expected for e in failed)
                report = await team.run("x")
                assert not report.ok
                assert await plain.ask(1) == 1
                assert any(
                    isinstance(e.__cause__, ProviderUnavailable)
                    for e in failed
                    if isinstance(e, AgentFailed)
                )
                server.up()
                while True:
                    try:
                        assert await agents[0].ask("x", timeout=20) == "well"
                        break
                    except AgentFailed as error:
                        await asyncio.sleep(retry_after_of(error) or 0.05)
                assert await asyncio.gather(*(a.ask("x") for a in agents)) == ["well"] * 50
                assert [child.restarts for child in children] == [0] * 51
                gate = Clients.of(system).near_gate("house")
                assert (gate.in_flight, gate.waiting) == (0, 0)
                await desk.stop()

        try:
            asyncio.run(main())
        finally:
            end()


def test_agents_in_threads_keep_to_the_same_limits(limits: Any) -> None:
    limits(concurrent=2, failures=3, reset_after_s=60)
    model = Model(takes_s=0.05)

    async def main() -> None:
        async with ActorSystem() as system:
            agents = [
                model.agent("near"),
                model.agent("far", dispatcher="thread", concurrency=8),
                model.agent("farther", dispatcher="thread", concurrency=8),
            ]
            answers = await asyncio.gather(*(agents[n % 3].ask(n) for n in range(24)))
            assert answers == ["ok"] * 24
            assert model.most == 2
            late = [asyncio.ensure_future(agents[1].ask(n, timeout=0.01)) for n in range(6)]
            await asyncio.gather(*late, return_exceptions=True)
            assert await agents[1].ask(1, timeout=30) == "ok"
            model.fails = ModelHTTPError(500, "m")
            for n in range(3):
                with pytest.raises(AgentFailed, match="500"):
                    await agents[1].ask(n)
            with pytest.raises(AgentFailed, match="in a row") as failed:
                await agents[0].ask(1)
            assert isinstance(failed.value.__cause__, ProviderUnavailable)
            gate = Clients.of(system).near_gate("function")
            assert (gate.in_flight, gate.waiting) == (0, 0)

    asyncio.run(main())


def test_a_window_forgets_after_a_minute() -> None:
    window = Window(2)
    entry = window.add(0.0, 1)
    window.add(30.0, 1)
    assert window.wait_s(31.0, 1) == 29.0
    assert window.wait_s(31.0, 2) == 59.0
    window.correct(entry, 0)
    assert window.wait_s(31.0, 1) == 0.0
    assert window.wait_s(91.0, 2) == 0.0
    window.correct(entry, 5)  # its minute is over
    assert window.wait_s(91.0, 2) == 0.0


def test_a_gate_without_limits_is_open(limits: Any) -> None:
    gate = Gate("nothing is set for it", lambda: 0.0, lambda *_: None)
    assert gate.open
    passed = gate.enter_now()
    assert gate.in_flight == 1
    gate.leave(passed)
    assert gate.in_flight == 0


def test_a_wait_without_reason_is_believed_for_an_hour(limits: Any) -> None:
    """One wrong header would else end all requests to the provider."""
    limits(concurrent=50)
    model = Model()

    async def main(system: ActorSystem) -> None:
        agent = model.agent("a")
        model.fails = ModelHTTPError(429, "m", headers={"Retry-After": "1e20"})
        with pytest.raises(AgentFailed):
            await agent.ask("x", timeout=5)
        model.fails = None
        begin = system.clock()
        with pytest.raises(AgentFailed, match=r"3\.6e\+03 s"):
            await agent.ask("x", timeout=5)
        await asyncio.sleep(LONGEST_PAUSE_S)
        assert await agent.ask("x", timeout=5) == "ok"
        assert system.clock() - begin == pytest.approx(LONGEST_PAUSE_S, abs=1)

    simulated(main)
