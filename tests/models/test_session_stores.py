"""Where sessions are kept: memory, SQLite, PostgreSQL, the engine's store, a store of pydantic-ai."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

from pydantic_ai import messages as m
from pydantic_ai.conversation_store import InMemoryConversationStore
from pydantic_ai.models.function import AgentInfo, FunctionModel

from agenticaiframework.actors import ActorSystem, Agent, AgentFailed
from agenticaiframework.models import History
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.patterns.engine.store import SessionChanged, open_store

sys.path.insert(0, str(Path(__file__).parent))
from session_models import Echo, run, texts

POSTGRES = os.environ.get("AGENTICAI_TEST_POSTGRES")


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A store that outlives a system."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/chats.db"
        return
    if not POSTGRES:
        pytest.skip("set AGENTICAI_TEST_POSTGRES to the URL of a PostgreSQL server")
    psycopg = pytest.importorskip("psycopg")
    schema = f"test_{uuid.uuid4().hex[:16]}"
    yield f"{POSTGRES}?schema={schema}"
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


def test_sessions_outlive_their_system(url: str) -> None:
    model = Echo()

    async def main(system: ActorSystem) -> None:
        echo = model.agent(history=url)
        await echo.ask("one", session="ann")

    async def later(system: ActorSystem) -> None:
        echo = model.agent(history=History(store=url))
        await echo.ask("two", session="ann")
        assert [row.session for row in await echo.sessions()] == ["ann"]

    run(main)
    run(later)
    assert model.seen[-1] == ["u:one", "a:re one", "u:two"]


def test_sessions_in_memory_end_with_their_system() -> None:
    model = Echo()

    async def main(system: ActorSystem) -> None:
        await model.agent().ask("one", session="ann")

    run(main)
    run(main)
    assert model.seen == [["u:one"], ["u:one"]]


def test_a_session_outlives_the_restart_of_its_agent_or_not() -> None:
    async def main(system: ActorSystem) -> None:
        for keep in (True, False):
            model = Echo()
            echo = model.agent(f"keeps {keep}", history=History(keep_on_restart=keep))
            await echo.ask("one", session="ann")
            await echo.ask("two", session="ann")
            assert len(model.seen[-1]) == 3
            await echo.stop("broken")
            await echo.ask("three", session="ann")
            assert len(model.seen[-1]) == (5 if keep else 1)

    run(main)


def test_sessions_expire() -> None:
    from agenticaiframework.testing import simulate

    seen: list[list[str]] = []

    @simulate(runs=3, limit_s=1e9)
    async def scenario(sim: Any) -> None:
        model = Echo()
        echo = model.agent(history=History(expires_after=timedelta(days=2)))
        await echo.ask("one", session="ann")
        await asyncio.sleep(86_400)
        await echo.ask("two", session="ann")
        await asyncio.sleep(86_400 * 1.5)
        await echo.ask("three", session="ann")
        await asyncio.sleep(86_400 * 3)
        assert await echo.sessions() == []
        await echo.ask("four", session="ann")
        seen[:] = model.seen

    scenario()
    assert [len(each) for each in seen] == [1, 3, 5, 1]


def test_a_store_of_pydantic_ai_keeps_them() -> None:
    async def main(system: ActorSystem) -> None:
        store = InMemoryConversationStore()
        model = Echo()
        echo = model.agent(history=History(store=store, max_messages=4))
        other = model.agent("other", history=store)
        for number in range(4):
            await echo.ask(f"{number}", session="ann")
        await other.ask("hello", session="ann")
        assert model.seen[-2:] == [["u:1", "a:re 1", "u:2", "a:re 2", "u:3"], ["u:hello"]]
        conversation = await store.load("echo/ann", scope="echo")
        assert conversation is not None
        assert len(conversation.messages) == 8
        rows = await echo.sessions()
        assert [(row.agent, row.session, row.turns, row.messages) for row in rows] == [
            ("echo", "ann", 4, 8)
        ]
        assert await echo.session("ann").clear()
        assert await echo.session("ann").messages() == []
        assert len(await other.session("ann").messages()) == 2

    run(main)


def test_of_two_systems_each_turn_is_made_on_top_of_the_others(tmp_path: Path) -> None:
    """Two threads, two loops, one file: no turn is lost, none is made on what is not there any more."""
    url = f"sqlite:///{tmp_path}/chats.db"
    model = Echo()
    echo = model.agent(history=url)
    systems = [ActorSystem.in_background() for _ in range(2)]
    try:

        async def ask(system: ActorSystem, n: int) -> str:
            with system.use():
                return await echo.ask(f"{id(system)} {n}", session="s")

        async def main() -> None:
            for n in range(10):
                answers = await asyncio.gather(*[ask(system, n) for system in systems])
                assert len(set(answers)) == 2

        asyncio.run(main())
        with systems[0].use():
            said = texts(asyncio.run(echo.session("s").messages()))
    finally:
        for system in systems:
            system.stop_blocking()
    assert len(said) == 40
    for asked, answered in zip(said[::2], said[1::2], strict=True):
        assert answered == f"a:re {asked[2:]}"


class Meanwhile:
    """A model beside which another process writes a turn, so often as it is told to."""

    def __init__(self, url: str, times: int, tool: bool = False) -> None:
        self.url = url
        self.left = times
        self.tool = tool
        self.asked = 0

    async def __call__(self, messages: list[m.ModelMessage], info: AgentInfo) -> m.ModelResponse:
        self.asked += 1
        if self.tool and not isinstance(messages[-1].parts[-1], m.ToolReturnPart):
            return m.ModelResponse([m.ToolCallPart("look", {})])
        if self.left:
            self.left -= 1

            async def other(system: ActorSystem) -> None:
                await Echo().agent("a", history=self.url).ask("between", session="s")

            await asyncio.to_thread(run, other)
        return m.ModelResponse([m.TextPart(f"saw {len(messages)}")])


def look() -> str:
    """Look."""
    return "seen"


def test_a_turn_that_was_overtaken_is_made_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/chats.db"

    async def main(system: ActorSystem) -> None:
        model = Meanwhile(url, 2)
        agent = Agent("a", model=FunctionModel(model), history=url)
        assert await agent.ask("hello", session="s") == "saw 5"
        assert model.asked == 3
        said = texts(await agent.session("s").messages())
        assert said == ["u:between", "a:re between"] * 2 + ["u:hello", "a:saw 5"]
        never = Agent("a", model=FunctionModel(Meanwhile(url, 99)), history=url)
        with pytest.raises(AgentFailed, match="has changed since it was read") as caught:
            await never.ask("hello", session="s")
        assert caught.value.expected
        assert isinstance(caught.value.__cause__, SessionChanged)
        # What a tool has done is not done again unasked.
        tooled = Meanwhile(url, 1, tool=True)
        acting = Agent("a", model=FunctionModel(tooled), tools=[look], history=url)
        with pytest.raises(AgentFailed, match="has changed since it was read"):
            await acting.ask("hello", session="s")
        assert tooled.asked == 2
        assert await acting.ask("again", session="s")

    run(main)


def test_a_tool_may_clear_the_session_that_it_is_called_in() -> None:
    async def main(system: ActorSystem) -> None:
        async def forget() -> str:
            """Forget what was said."""
            await agent.session("s").clear()
            return "forgotten"

        def answer(messages: list[m.ModelMessage], info: AgentInfo) -> m.ModelResponse:
            if texts(messages)[-1] == "u:forget me":
                return m.ModelResponse([m.ToolCallPart("forget", {})])
            return m.ModelResponse([m.TextPart("done")])

        agent = Agent("a", model=FunctionModel(answer), tools=[forget])
        await agent.ask("my name is Ann", session="s")
        await agent.ask("forget me", session="s")
        said = texts(await agent.session("s").messages())
        assert said == ["u:forget me", "call:forget", "return:forget", "a:done"]

    run(main)


def chat(agent: Agent, url: str, **options: Any) -> OrchestrationEngine:
    engine = OrchestrationEngine(EngineConfig(state_store=url, **options))
    engine.register_agent(agent.name, agent)
    return engine


CHAT = {
    "name": "chat",
    "steps": [{"id": "answer", "agent": "echo", "input": {"text": "$input.text"}}],
}


def test_the_agents_of_an_engine_use_its_store(url: str) -> None:
    model = Echo()

    async def main(system: ActorSystem) -> None:
        echo = model.agent()
        async with chat(echo, url) as engine:
            for text in ("one", "two"):
                await engine.execute(
                    CHAT, {"text": text}, persist_state=True, context={"session": "ann"}
                )
            await engine.execute(CHAT, {"text": "three"}, context={"session": "ann"})
            await echo.ask("four", session="ann")
            assert len(await echo.session("ann").messages()) == 8
        # Its engine has stopped: that is said, and not that nothing was ever said.
        with pytest.raises(AgentFailed, match="is closed"):
            await echo.ask("five", session="ann")

    async def later(system: ActorSystem) -> None:
        echo = model.agent()
        async with chat(echo, url):
            await echo.ask("six", session="ann")
        assert len(model.seen[-1]) == 9

    run(main)
    run(later)


def test_an_engine_that_stores_nothing_leaves_sessions_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AGENTICAI_STORE", raising=False)

    async def main(system: ActorSystem) -> None:
        echo = Echo().agent()
        engine = OrchestrationEngine()
        engine.register_agent("echo", echo)
        async with engine:
            await engine.execute(CHAT, {"text": "one"}, context={"session": "ann"})
            assert len(await echo.session("ann").messages()) == 2

    run(main)
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_is_attempted_again_adds_one_turn(tmp_path: Path) -> None:
    """The turn is in the store, and the crash comes before the step is recorded."""
    url = f"sqlite:///{tmp_path}/runs.db"
    model = Echo()

    async def main(system: ActorSystem) -> None:
        echo = model.agent()
        tries: list[Any] = []

        async def twice(payload: Any) -> Any:
            answer = await echo.ask(payload["text"])
            tries.append(answer)
            if len(tries) == 2:
                raise ConnectionError("after the turn was written")
            return answer

        engine = chat(Agent("echo", twice), url)
        flow = {
            "name": "flow",
            "steps": [
                {
                    "id": "answer",
                    "agent": "echo",
                    "input": {"text": "$input.text"},
                    "retry": {"max_attempts": 3, "initial_delay_s": 0.0},
                }
            ],
        }
        async with engine:
            context = {"session": "ann"}
            await engine.execute(flow, {"text": "one"}, persist_state=True, context=context)
            await engine.execute(flow, {"text": "two"}, persist_state=True, context=context)
            said = texts(await echo.session("ann").messages())
        assert len(tries) == 3
        assert [each for each in said if each[0] == "u"] == ["u:one", "u:two"]
        # Asked again or not, the model was never shown the turn that is being made.
        assert all(each.count("u:two") == 1 for each in model.seen[1:])

    run(main)


def test_a_store_that_is_given_open_is_used(tmp_path: Path) -> None:
    async def main(system: ActorSystem) -> None:
        store: Any = open_store(f"sqlite:///{tmp_path}/a.db")
        await store.open()
        model = Echo()
        await model.agent(history=store).ask("one", session="ann")
        assert [row.session for row in await store.list_sessions()] == ["ann"]
        await store.close()

    run(main)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_that_is_killed_as_it_writes_a_turn_leaves_one(url: str, when: str) -> None:
    """Recovered, the run has each turn once, and asks no model for what that has answered."""
    life = [sys.executable, str(Path(__file__).parent / "session_life.py"), url]
    killed = subprocess.run([*life, when], capture_output=True, text=True, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = subprocess.run(
        [*life, "never"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    said = ["u:hello", "a:re hello", "u:and then?", "a:re and then?"]
    assert done.stdout.strip() == f"1 {said}"
