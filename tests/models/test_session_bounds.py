"""What a history keeps: by messages, by tokens, by summaries; and that nothing is cut apart."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

import pydantic_ai
from pydantic_ai import messages as m
from pydantic_ai.models.function import AgentInfo, FunctionModel

from agenticaiframework.actors import ActorSystem, Agent, AgentDefinitionError
from agenticaiframework.models import History

sys.path.insert(0, str(Path(__file__).parent))
from session_models import Echo, run, texts


def test_the_newest_messages_are_kept_by_whole_turns() -> None:
    async def main(system: ActorSystem) -> None:
        model = Echo()
        echo = model.agent(history=History(max_messages=5))
        for number in range(10):
            await echo.ask(f"{number}", session="s")
            assert len(await echo.session("s").messages()) <= 5
        assert model.seen[-1] == ["u:7", "a:re 7", "u:8", "a:re 8", "u:9"]
        assert model.instructions[-1] == "Repeat."
        row = await echo.session("s").info()
        assert row is not None
        assert (row.turns, row.messages) == (2, 4)

    run(main)


def test_the_newest_tokens_are_kept() -> None:
    async def main(system: ActorSystem) -> None:
        model = Echo()
        # 4 characters a token: a turn of 400 and 403 characters has some 201.
        echo = model.agent(history=History(max_tokens=450))
        for number in range(6):
            await echo.ask(f"{number}" * 400, session="s")
        assert [each[:3] for each in model.seen[-1]] == ["u:3", "a:r", "u:4", "a:r", "u:5"]
        counted = Echo()
        agent = counted.agent(history=History(max_tokens=3, count_tokens=len))
        for number in range(4):
            await agent.ask(f"{number}", session="s")
        assert counted.seen[-1] == ["u:2", "a:re 2", "u:3"]

    run(main)


def caller(calls: int) -> FunctionModel:
    """A model that calls its tool so often before it answers."""

    def answer(messages: list[m.ModelMessage], info: AgentInfo) -> m.ModelResponse:
        last = max(n for n, each in enumerate(messages) if texts([each])[-1:][0][:2] == "u:")
        done = sum(isinstance(each, m.ModelResponse) for each in messages[last:])
        if done < calls:
            return m.ModelResponse([m.ToolCallPart("look", {"n": done})])
        return m.ModelResponse([m.TextPart("found")])

    return FunctionModel(answer)


def look(n: int) -> str:
    """Look."""
    return f"seen {n}"


def paired(messages: list[m.ModelMessage]) -> bool:
    """Tell whether each tool call has its result, and each result its call."""
    calls = [p.tool_call_id for e in messages for p in e.parts if isinstance(p, m.ToolCallPart)]
    results = [p.tool_call_id for e in messages for p in e.parts if isinstance(p, m.ToolReturnPart)]
    return calls == results


@pytest.mark.parametrize("most", range(2, 20))
def test_a_tool_call_never_loses_its_result(most: int) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("a", model=caller(3), tools=[look], history=History(max_messages=most))
        kept: list[m.ModelMessage] = []
        for number in range(4):
            await agent.ask(f"{number}", session="s")
            kept = list(await agent.session("s").messages())
            assert len(kept) <= most
            assert paired(kept)
            assert isinstance(kept[0], m.ModelRequest)
            assert texts(kept[:1])[0][:2] == "u:"
            assert texts(kept)[-1] == "a:found"
        if most < 4:
            assert texts(kept) == ["u:3", "a:found"]

    run(main)


def test_system_prompts_stay() -> None:
    async def main(system: ActorSystem) -> None:
        model = Echo()
        wrapped = pydantic_ai.Agent(FunctionModel(model), system_prompt="Be kind.")
        echo = Agent("echo", wrapped)
        kept = model.agent("kept", history=History(max_messages=2))
        for number in range(3):
            await echo.ask(f"{number}", session="s")
        assert model.seen[-1][:2] == ["s:Be kind.", "u:0"]
        await kept.session("s").extend(await echo.session("s").messages())
        await kept.session("s").clear()
        first = (await echo.session("s").messages())[:2]
        await kept.session("s").extend(first)
        for number in range(3):
            await kept.ask(f"{number}", session="s")
        assert model.seen[-1] == ["s:Be kind.", "u:1", "a:re 1", "u:2"]

    run(main)


def test_a_turn_that_is_too_large_is_not_kept() -> None:
    async def main(system: ActorSystem) -> None:
        model = Echo()
        echo = model.agent(history=History(max_tokens=10))
        await echo.ask("small", session="s")
        await echo.ask("x" * 1000, session="s")
        assert await echo.session("s").messages() == []
        await echo.ask("next", session="s")
        assert model.seen[-1] == ["u:next"]
        assert texts(await echo.session("s").messages()) == ["u:next", "a:re next"]

    run(main)


async def by_coroutine(messages: list[m.ModelMessage]) -> str:
    return f"{len(messages)} messages"


def by_messages(messages: list[m.ModelMessage]) -> list[m.ModelMessage]:
    return [m.ModelRequest([m.UserPromptPart(f"{len(messages)} messages")])]


def by_function(messages: list[m.ModelMessage]) -> str:
    return f"{len(messages)} messages"


@pytest.mark.parametrize("summarize", [by_function, by_coroutine, by_messages])
def test_older_turns_become_a_summary(summarize: Any) -> None:
    async def main(system: ActorSystem) -> None:
        model = Echo()
        echo = model.agent(history=History(max_messages=8, summarize=summarize))
        for number in range(5):
            await echo.ask(f"{number}", session="s")
        kept = texts(await echo.session("s").messages())
        assert kept[0].endswith("6 messages")
        assert kept[1:] == ["u:3", "a:re 3", "u:4", "a:re 4"]
        for number in range(5, 20):
            await echo.ask(f"{number}", session="s")
            assert len(await echo.session("s").messages()) <= 8
        assert model.seen[-1][0].startswith("u:")
        assert "messages" in model.seen[-1][0]
        assert model.seen[-1][-1] == "u:19"

    run(main)


def lines(text: str) -> dict[str, int]:
    return {"lines": text.count("\n") + 1}


def test_an_agent_makes_the_summary_and_remembers_nothing_of_it() -> None:
    async def main(system: ActorSystem) -> None:
        model, scribe_model = Echo(), Echo()
        scribe = scribe_model.agent("scribe")
        echo = model.agent(history=History(max_messages=4, summarize=scribe))
        for number in range(3):
            await echo.ask(f"{number}", session="s")
        assert scribe_model.seen == [["u:user: 0\nassistant: re 0\nuser: 1\nassistant: re 1"]]
        assert await scribe.sessions() == []
        plain = Agent("plain", lines)
        other = model.agent("other", history=History(max_messages=4, summarize=plain))
        for number in range(3):
            await other.ask(f"{number}", session="s")
        assert '{"lines":4}' in texts(await other.session("s").messages())[0]
        theirs = pydantic_ai.Agent(FunctionModel(scribe_model))
        third = model.agent("third", history=History(max_messages=4, summarize=theirs))
        for number in range(3):
            await third.ask(f"{number}", session="s")
        assert "assistant: re 1" in texts(await third.session("s").messages())[0]

    run(main)


def test_a_summary_that_fails_costs_no_answer() -> None:
    async def main(system: ActorSystem) -> None:
        moods = ["bad", "bad", "good"]

        def summarize(messages: list[m.ModelMessage]) -> Any:
            if moods.pop(0) == "bad":
                raise ConnectionError("no line")
            return "all of it"

        model = Echo()
        echo = model.agent(history=History(max_messages=4, summarize=summarize))
        for number in range(5):
            assert await echo.ask(f"{number}", session="s") == f"re {number}"
        kept = texts(await echo.session("s").messages())
        assert kept[0].endswith("all of it")
        assert kept[1:] == ["u:4", "a:re 4"]

    run(main)


def test_processors_change_what_is_sent_and_not_what_is_kept() -> None:
    async def main(system: ActorSystem) -> None:
        model = Echo()

        def last_only(messages: list[m.ModelMessage]) -> list[m.ModelMessage]:
            return messages[-1:]

        echo = model.agent(history=History(processors=[last_only]))
        await echo.ask("1", session="s")
        await echo.ask("2", session="s")
        assert model.seen[-1] == ["u:2"]
        assert texts(await echo.session("s").messages()) == ["u:1", "a:re 1", "u:2", "a:re 2"]

    run(main)


@pytest.mark.parametrize(
    "options",
    [
        {"max_messages": 1},
        {"max_messages": True},
        {"max_messages": "10"},
        {"max_messages": 2, "summarize": by_function},
        {"max_tokens": 0},
        {"summarize": "shorter"},
        {"expires_after": 0},
        {"expires_after": "1 day"},
        {"store": "sqlite://chats.db"},
        {"store": object()},
        {"count_tokens": 4},
        {"processors": by_function},
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_made(options: Any) -> None:
    with pytest.raises(AgentDefinitionError):
        History(**options)
    with pytest.raises(AgentDefinitionError):
        Agent("a", model="scripted", history=options)


@pytest.mark.parametrize("history", [17, "chats.db", {"max_message": 4}, object(), []])
def test_what_is_no_history_is_refused_when_the_agent_is_made(history: Any) -> None:
    with pytest.raises(AgentDefinitionError, match="history of agent 'a'"):
        Agent("a", model="scripted", history=history)


def test_the_memory_of_an_idle_session_is_small() -> None:
    """Beside its messages: less than 1 kB, whatever waits or has waited."""
    import gc
    import tracemalloc

    async def main(system: ActorSystem) -> float:
        echo = Echo().agent()
        await asyncio.gather(*[echo.ask("hello", session=f"warm-{n}") for n in range(50)])
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        count = 1000
        rows = 0
        for n in range(count):
            await echo.session(f"user-{n}").extend([m.ModelRequest([m.UserPromptPart("hello")])])
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        rows = sum(row.bytes for row in await echo.sessions(limit=count))
        return (after - before - rows) / count

    assert run(main) < 1000
