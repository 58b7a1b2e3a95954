"""One client for each provider in a system: opened when it is needed, shared, closed at the end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")
pytest.importorskip("openai")

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, AgentFailed, AgentTimeout, retry_after_of
from agenticaiframework.models import UnknownModel, set_provider
from agenticaiframework.models.providers.clients import Clients
from agenticaiframework.models.providers.settings import ProviderDefinitionError

sys.path.insert(0, str(Path(__file__).parent))
from provider import LoopbackProvider, cut, fault, hang, provider, slow, tool_loop, wrong_json


@pytest.fixture
def house() -> Iterator[Callable[..., None]]:
    """Say where the provider *house* is, and how much it may be asked, for one test."""
    ends: list[Callable[[], None]] = []

    def say(server: LoopbackProvider, name: str = "house", **settings: Any) -> None:
        ends.append(set_provider(name, base_url=server.url, api_key="sesame", **settings))

    yield say
    for end in reversed(ends):
        end()


def in_system(main: Callable[[ActorSystem], Coroutine[Any, Any, Any]]) -> Any:
    async def inside() -> Any:
        async with ActorSystem() as system:
            return await main(system)

    return asyncio.run(inside())


def test_all_agents_and_models_of_a_provider_share_its_client(house: Any) -> None:
    with provider() as server:
        house(server)
        agents = [Agent(f"a{n}", model=f"house:m{n % 3}") for n in range(6)]

        async def main(system: ActorSystem) -> None:
            assert Clients.of(system).open_providers == 0
            for agent in agents * 5:
                assert await agent.ask("hello") == "hello"
            assert Clients.of(system).open_providers == 1

        in_system(main)
        assert server.counts["requests"] == 30
        assert server.counts["connections"] == 1
        assert server.counts["by_model"] == {"m0": 10, "m1": 10, "m2": 10}
        assert set(server.keys) == {"Bearer sesame"}
        server.wait_for(open=0)


def test_the_first_requests_at_once_open_one_client(house: Any) -> None:
    with provider() as server:
        house(server)
        agents = [Agent(f"a{n}", model="house:m") for n in range(4)]

        async def main(system: ActorSystem) -> None:
            answers = await asyncio.gather(*(agents[n % 4].ask(str(n)) for n in range(40)))
            assert answers == [str(n) for n in range(40)]
            assert Clients.of(system).open_providers == 1

        in_system(main)
        server.wait_for(open=0)


def test_making_an_agent_opens_nothing(house: Any) -> None:
    with provider() as server:
        house(server)

        async def main(system: ActorSystem) -> None:
            Agent("idle", model="house:m", fallback_models=["house:other"])
            plain = Agent("plain", lambda payload: payload)
            assert await plain.ask(1) == 1

        in_system(main)
        assert server.counts["connections"] == 0


def test_a_system_in_another_thread_has_a_client_of_its_own(house: Any) -> None:
    with provider() as server:
        house(server)
        agent = Agent("shared", model="house:m")

        async def main(system: ActorSystem) -> None:
            assert await agent.ask("one") == "one"
            with ActorSystem.in_background() as other:
                there = asyncio.run_coroutine_threadsafe(_ask_in(other, agent), other.loop)
                assert await asyncio.wrap_future(there) == "two"
                assert server.counts["connections"] == 2
                await asyncio.to_thread(other.stop_blocking)
            await asyncio.to_thread(server.wait_for, open=1)
            assert await agent.ask("three") == "three"

        in_system(main)
        server.wait_for(open=0, connections=2)


async def _ask_in(system: ActorSystem, agent: Agent) -> Any:
    with system.use():
        return await agent.ask("two")


def test_systems_that_come_one_after_the_other_each_close_theirs(house: Any) -> None:
    with provider() as server:
        house(server)
        agent = Agent("writer", model="house:m")

        async def main(system: ActorSystem) -> Any:
            return await agent.ask("again")

        for _ in range(3):
            assert in_system(main) == "again"
        assert asyncio.run(agent.ask("default system")) == "default system"
        server.wait_for(open=0, connections=4)


def test_stopping_with_requests_in_flight_ends_them_with_errors(house: Any) -> None:
    with provider() as server:
        house(server)
        server.hold()
        agent = Agent("writer", model="house:m")

        async def main() -> list[BaseException]:
            async with ActorSystem() as system:
                asked = [asyncio.ensure_future(agent.ask("hello")) for _ in range(5)]
                await asyncio.to_thread(server.wait_for, in_flight=5)
                await system.stop(1.0)
                await asyncio.wait(asked)
            return [error for ask in asked if (error := ask.exception()) is not None]

        assert len(asyncio.run(main())) == 5
        server.wait_for(open=0, left=5)


def test_a_hanging_provider_is_left_when_the_ask_is_over(house: Any) -> None:
    with provider([hang(), "well"]) as server:
        house(server, concurrent=1)
        agent = Agent("writer", model="house:m")

        async def main(system: ActorSystem) -> None:
            limit_s = 0.2
            while not server.counts["requests"]:  # a busy machine may not have sent it by then
                with pytest.raises(AgentTimeout):
                    await agent.ask("hello", timeout=limit_s)
                limit_s *= 4
            await asyncio.to_thread(server.wait_for, left=1, open=0)
            # Its place is free again, and the agent is well.
            assert await agent.ask("hello", timeout=20) == "well"
            assert Clients.of(system).near_gate("house").in_flight == 0

        in_system(main)


def test_a_cancelled_ask_closes_its_stream(house: Any) -> None:
    with provider([hang(2), "well"]) as server:
        house(server, concurrent=1)
        agent = Agent("writer", model="house:m")

        async def main(system: ActorSystem) -> None:
            parts: list[Any] = []
            async for part in agent.stream("hello"):
                parts.append(part)
                if len(parts) == 2:
                    break
            assert [part.text for part in parts] == ["one", " two"]
            await asyncio.to_thread(server.wait_for, left=1, open=0)
            assert await agent.ask("hello", timeout=20) == "well"

        in_system(main)


def test_what_is_sent_again_and_what_is_not(house: Any) -> None:
    cases: list[tuple[list[Any], int, str | None]] = [
        ([fault(429, retry_after=0.01), "ok"], 2, "ok"),
        ([fault(503, retry_after=0.01), "ok"], 2, "ok"),
        ([fault(529, headers={"retry-after-ms": "10"}), "ok"], 2, "ok"),
        ([500, "ok"], 2, "ok"),
        ([cut(), "ok"], 2, "ok"),
        ([fault(500, headers={"x-should-retry": "false"}), "ok"], 1, None),
        ([fault(429, raw='{"error": {"code": "insufficient_quota"}}'), "ok"], 1, None),
        ([400, "ok"], 1, None),
        ([401, "ok"], 1, None),
        ([wrong_json(), "ok"], 1, None),
        ([500], 3, None),
    ]
    for script, requests, answer in cases:
        with provider(script) as server:
            house(server)
            agent = Agent("writer", model="house:m")

            async def main(system: ActorSystem, agent: Agent = agent) -> Any:
                try:
                    return await agent.ask("hello")
                except AgentFailed as error:
                    assert error.expected, error
                    return None

            assert (in_system(main), server.counts["requests"]) == (answer, requests), script


@pytest.mark.parametrize("how", ["ask", "stream"])
def test_a_wait_that_does_not_fit_fails_at_once(house: Any, how: str) -> None:
    with provider([fault(429, retry_after=3600), "ok"]) as server:
        house(server)
        agent = Agent("writer", model="house:m")

        async def streamed(payload: str, timeout: float | None) -> list[Any]:
            return [part async for part in agent.stream(payload, timeout=timeout)]

        async def main(system: ActorSystem) -> None:
            before = system.clock()
            for timeout in (100.0, None, 100.0):
                with pytest.raises(AgentFailed) as failed:
                    await (agent.ask if how == "ask" else streamed)("hello", timeout)
                assert failed.value.expected
                assert 3500 < (retry_after_of(failed.value) or 0) <= 3600
            assert system.clock() - before < 60

        in_system(main)
        # The others did not ask: the provider has said until when.
        assert server.counts["requests"] == 1


def test_attempts_before_the_answer_are_told(house: Any) -> None:
    with provider([500, cut(), "ok", fault(503, retry_after=0.01), "again"]) as server:
        house(server)
        agent = Agent("writer", model="house:m")

        async def main(system: ActorSystem) -> None:
            for attempts, answer in ((2, "ok"), (1, "again")):
                result = await agent.run("hello")
                assert result.output == answer
                failed = result.new_messages[-1].failed_attempts
                assert len(failed) == attempts
                assert all(a.model_name == "m" and a.provider_name == "house" for a in failed)

        in_system(main)


def test_one_attempt_where_the_settings_say_so(house: Any) -> None:
    with provider([500, "ok", 500, "ok"]) as server:
        house(server, retries=0)
        eager = Agent("eager", model="house:m", model_settings={"max_retries": 1})
        agent = Agent("writer", model="house:m")

        async def main(system: ActorSystem) -> None:
            with pytest.raises(AgentFailed):
                await agent.ask("hello")
            assert await agent.ask("hello") == "ok"
            assert await eager.ask("hello") == "ok"

        in_system(main)
        assert server.counts["requests"] == 4


def test_a_tool_loop_goes_over_one_connection(house: Any) -> None:
    with provider(tool_loop("add", 3)) as server:
        house(server)
        calls: list[int] = []

        def add(n: int) -> int:
            """Add."""
            calls.append(n)
            return n

        agent = Agent("worker", model="house:m", tools=[add])
        assert in_system(lambda system: agent.ask("go")) == "done"
        assert calls == [1, 2, 3]
        assert server.counts["connections"] == 1


def test_a_server_by_its_address_in_the_models_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-the-key-of-another-service")
    with provider("here") as server, provider("there") as other:
        agents = [
            Agent("one", model=f"openai:qwen3@{server.url}"),
            Agent("two", model=f"qwen3@{server.url}"),
            Agent("three", model=f"openai:qwen3@{other.url}"),
        ]

        async def main(system: ActorSystem) -> list[Any]:
            return [await agent.ask("hello") for agent in agents]

        assert in_system(main) == ["here", "here", "there"]
        assert server.counts["connections"] == 1
        assert server.counts["by_model"] == {"qwen3": 2}
        assert {*server.keys, *other.keys} == {""}


def test_a_server_that_needs_no_key_is_told_of_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-the-key-of-another-service")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-another-service")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-of-another-service")
    with provider("ok") as server:
        undo = set_provider("shed", base_url=server.url)
        given = {"extra_headers": {"x-mine": "1"}}
        try:
            agents = [
                Agent("one", model=f"qwen3@{server.url}"),
                Agent("two", model="shed:qwen3", model_settings=given),
                Agent("three", model="shed:qwen3", fallback_models=[f"qwen3@{server.url}"]),
            ]

            async def main(system: ActorSystem) -> None:
                for agent in agents:
                    assert await agent.ask("hello") == "ok"
                    assert [part async for part in agent.stream("hello")][-1].output == "ok"

            in_system(main)
        finally:
            undo()
        assert set(server.keys) == {""}
        assert not [h for headers in server.headers for h in headers if h.startswith("openai-")]
        assert [headers.get("x-mine") for headers in server.headers] == [
            *[None] * 2,
            "1",
            "1",
            *[None] * 2,
        ]


def test_a_header_of_the_users_own_is_sent_to_a_server_without_a_key() -> None:
    with provider("ok") as server:
        settings = {"extra_headers": {"Authorization": "Token mine"}}
        agent = Agent("one", model=f"qwen3@{server.url}", model_settings=settings)
        assert in_system(lambda system: agent.ask("hello")) == "ok"
        assert server.keys == ["Token mine"]


@pytest.mark.parametrize(
    ("model", "variable"),
    [
        ("openai:m", "OPENAI_BASE_URL"),
        ("ollama:m", "OLLAMA_BASE_URL"),
        ("vllm:m", "VLLM_BASE_URL"),
        ("lmstudio:m", "LMSTUDIO_BASE_URL"),
    ],
)
def test_a_server_by_the_environment(
    model: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with provider("from here") as server:
        monkeypatch.setenv(variable, server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sesame")
        agent = Agent("writer", model=model)
        assert in_system(lambda system: agent.ask("hello")) == "from here"


def test_a_provider_that_nobody_has_set_is_unknown() -> None:
    agent = Agent("writer", model="nowhere:m")

    async def main(system: ActorSystem) -> None:
        with pytest.raises(AgentFailed) as failed:
            await agent.ask("hello")
        assert isinstance(failed.value.__cause__, UnknownModel)
        assert "set_provider" in str(failed.value.__cause__)

    in_system(main)


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("Open AI", {}, "small letters"),
        ("local", {}, "this library's"),
        ("openai:gpt-4o", {"base_url": "http://x/v1"}, "belong to a provider"),
        ("openai", {"base_url": "localhost:8000"}, "not an http"),
        ("openai", {"concurrent": 0}, "concurrent"),
        ("openai", {"concurrent": 1.5}, "whole number"),
        ("openai", {"requests_per_minute": 0}, "requests_per_minute"),
        ("openai", {"tokens_per_minute": float("nan")}, "tokens_per_minute"),
        ("openai", {"retries": -1}, "retries"),
        ("openai", {"retries": True}, "whole number"),
    ],
)
def test_settings_that_do_not_work_are_refused(name: str, settings: Any, said: str) -> None:
    with pytest.raises(ProviderDefinitionError, match=said):
        set_provider(name, **settings)


def test_the_key_is_not_shown() -> None:
    from agenticaiframework.models.providers.settings import provider_settings

    end = set_provider("house", base_url="http://127.0.0.1:1/v1", api_key="sesame")
    try:
        assert "sesame" not in repr(provider_settings("house"))
    finally:
        end()
    assert provider_settings("house").base_url is None


def test_a_model_object_of_the_users_stays_theirs() -> None:
    import openai
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
            model = OpenAIChatModel("m", provider=OpenAIProvider(openai_client=client))
            agent = Agent("writer", model=model)
            for _ in range(2):
                async with ActorSystem():
                    assert await agent.ask("hello") == "hello"
                assert not client.is_closed()
            await asyncio.to_thread(server.wait_for, open=1, connections=1)

    with provider() as server:
        asyncio.run(main())


def test_a_slow_answer_is_waited_for(house: Any) -> None:
    with provider(slow("at last", delay_s=0.3)) as server:
        house(server)
        agent = Agent("writer", model="house:m")
        assert in_system(lambda system: agent.ask("hello", timeout=30)) == "at last"
