"""Sessions of model agents: what is remembered, for whom, in which order, and what is not."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

from pydantic_ai import messages as m
from pydantic_ai.models.function import AgentInfo, FunctionModel

from agenticaiframework.actors import (
    ActorSystem,
    Agent,
    AgentDefinitionError,
    AgentFailed,
    AgentTimeout,
    Mailbox,
    MailboxFull,
    NoSessions,
    WrongUse,
)

sys.path.insert(0, str(Path(__file__).parent))
from session_models import Echo, run, texts


def test_a_session_remembers_and_others_do_not_see_it() -> None:
    async def main(system: ActorSystem) -> None:
        model = Echo()
        echo = model.agent()
        assert await echo.ask("one", session="ann") == "re one"
        assert await echo.ask("two", session="bob") == "re two"
        assert await echo.ask("three", session="ann") == "re three"
        assert await echo.ask("four") == "re four"
        assert model.seen == [
            ["u:one"],
            ["u:two"],
            ["u:one", "a:re one", "u:three"],
            ["u:four"],
        ]
        assert model.instructions == ["Repeat."] * 4
        assert texts(await echo.session("ann").messages()) == [
            *("u:one", "a:re one", "u:three", "a:re three")
        ]
        result = await echo.run("five", session="bob")
        assert result.output == "re five"
        assert texts(result.new_messages) == ["u:five", "a:re five"]
        assert model.seen[-1] == ["u:two", "a:re two", "u:five"]
        [_ async for _ in echo.stream("six", session="bob")]
        assert len(await echo.session("bob").messages()) == 6
        other = model.agent("other")
        await other.ask("seven", session="ann")
        assert model.seen[-1] == ["u:seven"]

    run(main)


def test_sessions_are_listed_read_cleared_and_forgotten() -> None:
    async def main(system: ActorSystem) -> None:
        echo = Echo().agent()
        assert await echo.sessions() == []
        assert await echo.session("ann").info() is None
        assert await echo.session("ann").messages() == []
        for session in ("ann", "bob", "cid"):
            await echo.ask("hello", session=session)
        await echo.ask("again", session="ann")
        rows = await echo.sessions()
        assert [(row.session, row.turns, row.messages) for row in rows] == [
            *(("ann", 2, 4), ("cid", 1, 2), ("bob", 1, 2)),
        ]
        assert [row.session for row in await echo.sessions(limit=1)] == ["ann"]
        info = await echo.session("ann").info()
        assert info == rows[0]
        assert await echo.session("ann").clear()
        assert not await echo.session("ann").clear()
        assert await echo.forget_sessions("bob", "unknown") == 1
        assert await echo.forget_sessions() == 1
        assert await echo.sessions() == []

    run(main)


def test_a_failed_or_cancelled_turn_leaves_the_history_as_it_was() -> None:
    async def main(system: ActorSystem) -> None:
        gate = asyncio.Event()
        mood = {"now": "well"}

        async def answer(messages: list[m.ModelMessage], info: AgentInfo) -> m.ModelResponse:
            if mood["now"] == "ill":
                raise ConnectionError("no line")
            if mood["now"] == "slow":
                await gate.wait()
            return m.ModelResponse([m.TextPart("yes")])

        agent = Agent("moody", model=FunctionModel(answer))
        await agent.ask("1", session="s")
        mood["now"] = "ill"
        with pytest.raises(AgentFailed):
            await agent.ask("2", session="s")
        mood["now"] = "slow"
        with pytest.raises(AgentTimeout):
            await agent.ask("3", timeout=0.05, session="s")
        cancelled = asyncio.ensure_future(agent.ask("4", session="s"))
        while not agent.busy:
            await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        mood["now"] = "well"
        await agent.ask("5", session="s")
        assert texts(await agent.session("s").messages()) == ["u:1", "a:yes", "u:5", "a:yes"]

    run(main)


def test_turns_of_a_session_come_in_order_and_other_sessions_go_on() -> None:
    async def main(system: ActorSystem) -> None:
        gates: dict[str, asyncio.Event] = {}
        began: list[str] = []

        async def answer(messages: list[m.ModelMessage], info: AgentInfo) -> m.ModelResponse:
            asked = texts(messages)[-1][2:]
            began.append(asked)
            await gates.setdefault(asked, asyncio.Event()).wait()
            return m.ModelResponse([m.TextPart(f"re {asked}")])

        agent = Agent("slow", model=FunctionModel(answer), concurrency=2)

        async def begun(*names: str) -> None:
            while set(began) != set(names):
                await asyncio.sleep(0)

        asks = [asyncio.ensure_future(agent.ask(f"a{n}", session="a")) for n in range(20)]
        await begun("a0")
        # The agent has two places: those who wait for their turn take none.
        others = asyncio.ensure_future(agent.ask("b0", session="b"))
        await begun("a0", "b0")
        gates["b0"].set()
        assert await others == "re b0"
        withdrawn = asks.pop(7)
        withdrawn.cancel()
        for each in range(20):
            gates.setdefault(f"a{each}", asyncio.Event()).set()
        answers = await asyncio.gather(*asks)
        expected = [f"a{n}" for n in range(20) if n != 7]
        assert answers == [f"re {each}" for each in expected]
        assert [each for each in began if each != "b0"] == expected
        said = texts(await agent.session("a").messages())
        assert said == [each for n in expected for each in (f"u:{n}", f"a:re {n}")]

    run(main)


@pytest.mark.parametrize("wrong", ["", "  ", 17, "x" * 1001, "a\0b", "\ud800"])
def test_what_cannot_name_a_session_is_refused(wrong: Any) -> None:
    async def main(system: ActorSystem) -> None:
        echo = Echo().agent()
        with pytest.raises(WrongUse, match='session="user-17"'):
            await echo.ask("hello", session=wrong)
        with pytest.raises(WrongUse):
            echo.session(wrong)
        if wrong:
            with pytest.raises(AgentFailed, match="the session's name"):
                await echo.ask("hello", context={"session": wrong if wrong != "  " else "\0"})

    run(main)


def test_any_text_names_a_session() -> None:
    async def main(system: ActorSystem) -> None:
        model = Echo()
        echo = model.agent()
        for name in ("a/b", "a", "b", "'; DROP TABLE sessions; --", "🙂", "a\nb", "x" * 1000):
            await echo.ask("hello", session=name)
            assert model.seen[-1] == ["u:hello"]
        assert len(await echo.sessions()) == 7

    run(main)


def test_an_agent_with_a_handler_keeps_no_sessions() -> None:
    async def main(system: ActorSystem) -> None:
        with pytest.raises(NoSessions, match="keeps no sessions"):
            Agent("plain", len).session("s")
        forgetful = Echo().agent(history=False)
        await forgetful.ask("1", session="s")
        with pytest.raises(AgentDefinitionError, match="history=False"):
            await forgetful.sessions()

    run(main)


def test_a_crash_costs_its_own_turn_and_the_others_come_in_order() -> None:
    async def main(system: ActorSystem) -> None:
        asked: list[str] = []

        async def answer(messages: list[m.ModelMessage], info: AgentInfo) -> m.ModelResponse:
            asked.append(texts(messages)[-1])
            await asyncio.sleep(0)
            if asked[-1] == "u:1":
                raise SystemError("a bug")
            return m.ModelResponse([m.TextPart("yes")])

        agent = Agent("a", model=FunctionModel(answer), concurrency=2)
        asks = [agent.ask(f"{n}", session="s") for n in range(6)]
        ends = await asyncio.gather(*asks, return_exceptions=True)
        assert [type(end).__name__ for end in ends] == ["str", "AgentFailed", *["str"] * 4]
        assert asked == [f"u:{n}" for n in range(6)]
        said = [each for each in texts(await agent.session("s").messages()) if each[0] == "u"]
        assert said == [f"u:{n}" for n in (0, 2, 3, 4, 5)]

    run(main)


def test_turns_come_in_order_while_incarnations_start() -> None:
    async def main(system: ActorSystem) -> None:
        asked: list[str] = []
        started = asyncio.Event()

        def answer(messages: list[m.ModelMessage], info: AgentInfo) -> m.ModelResponse:
            asked.append(texts(messages)[-1])
            return m.ModelResponse([m.TextPart("yes")])

        agent = Agent("a", model=FunctionModel(answer), concurrency=4, on_start=started.wait)
        asks = [asyncio.ensure_future(agent.ask(f"{n}", session=f"{n % 3}")) for n in range(15)]
        await asyncio.sleep(0)
        started.set()
        await asyncio.gather(*asks)
        for session in range(3):
            mine = [each for each in asked if int(each[2:]) % 3 == session]
            assert mine == [f"u:{n}" for n in range(session, 15, 3)]

    run(main)


def test_what_waits_for_its_turn_counts_to_the_bound_of_the_mailbox() -> None:
    async def main(system: ActorSystem) -> None:
        gate = asyncio.Event()

        async def answer(messages: list[m.ModelMessage], info: AgentInfo) -> m.ModelResponse:
            await gate.wait()
            return m.ModelResponse([m.TextPart("yes")])

        agent = Agent("a", model=FunctionModel(answer), concurrency=4, mailbox=Mailbox(3))
        first = asyncio.ensure_future(agent.ask("0", session="s"))
        while not agent.busy:
            await asyncio.sleep(0)
        asks: list[asyncio.Future[Any]] = []
        for n in range(1, 8):
            asks.append(asyncio.ensure_future(agent.ask(f"{n}", session="s")))
            for _ in range(10):  # each is taken out of the mailbox before the next comes
                await asyncio.sleep(0)
        gate.set()
        ends = await asyncio.gather(first, *asks, return_exceptions=True)
        assert [isinstance(end, str) for end in ends] == [True] * 4 + [False] * 4
        assert {type(end.__cause__) for end in ends[4:] if isinstance(end, AgentFailed)} == {
            MailboxFull
        }

    run(main)
