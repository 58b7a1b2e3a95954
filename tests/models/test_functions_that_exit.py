"""Functions that a request calls and that raise what ends programs: the request fails, and names them."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import BaseModel, field_validator
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import TextOutput, Tool, ToolOutput
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.test import TestModel

from agenticaiframework import Agent
from agenticaiframework.actors import (
    ActorSystem,
    AgentDefinitionError,
    AgentFailed,
    FunctionExited,
    contained,
)
from agenticaiframework.models import Guardrail, GuardrailTripped, History
from agenticaiframework.testing import scripted_model


def in_system(main: Callable[[], Awaitable[Any]]) -> Any:
    """Return what *main* returns, in a system."""

    async def run() -> Any:
        async with ActorSystem():
            return await main()

    return asyncio.run(run())


class Odd(BaseException):
    """An exception that is not an `Exception`."""


def _group() -> BaseExceptionGroup[BaseException]:
    return BaseExceptionGroup("several", [SystemExit(1), ValueError("no")])


KINDS: dict[str, Callable[[], BaseException]] = {
    "exit": lambda: SystemExit(3),
    "interrupt": KeyboardInterrupt,
    "generator": GeneratorExit,
    "group": _group,
    "odd": Odd,
}


def _leaving(kind: str, made: str, parameters: str) -> Callable[..., Any]:
    """Return a function, async or plain, that raises what *kind* says."""
    names: dict[str, Any] = {"error": KINDS[kind], "__name__": __name__}
    exec(f"{made} leaves({parameters}):\n    'Leave.'\n    raise error()\n", names)
    leaves: Callable[..., Any] = names["leaves"]
    return leaves


def _answer(x: int) -> int:
    """Answer."""
    return x


def _validated(leaves: Callable[..., Any]) -> type[BaseModel]:
    class Report(BaseModel):
        pages: int

        @field_validator("pages")
        @classmethod
        def check(cls, value: int) -> int:
            leaves(value)
            return value

    return Report


def _wrapped(how: str, leaves: Callable[..., Any]) -> Agent:
    theirs = PydanticAgent(TestModel())
    getattr(theirs, how)(leaves)
    return Agent("desk", handler=theirs)


PLACES: dict[str, tuple[str, Callable[[Any], Agent]]] = {
    "instructions": ("", lambda f: Agent("desk", model=TestModel(), instructions=f)),
    "one of the instructions": (
        "ctx",
        lambda f: Agent("desk", model=TestModel(), instructions=["Be brief.", f]),
    ),
    "an output function": ("x: int", lambda f: Agent("desk", model=TestModel(), output_type=f)),
    "one of the outputs": (
        "x: int",
        lambda f: Agent("desk", model=TestModel(), output_type=[ToolOutput(f)]),
    ),
    "a text output": (
        "x: str",
        lambda f: Agent("desk", model=TestModel(), output_type=TextOutput(f)),
    ),
    "a history processor": (
        "messages",
        lambda f: Agent("desk", model=TestModel(), history=History(processors=[f])),
    ),
    "what prepares a tool": (
        "ctx, tool_def",
        lambda f: Agent("desk", model=TestModel(), tools=[Tool(_answer, prepare=f)]),
    ),
    "what checks the arguments of a tool": (
        "ctx, x",
        lambda f: Agent("desk", model=TestModel(), tools=[Tool(_answer, args_validator=f)]),
    ),
    "a model that is a function": (
        "messages, info",
        lambda f: Agent("desk", model=FunctionModel(f)),
    ),
    "instructions of a wrapped agent": ("", lambda f: _wrapped("instructions", f)),
    "a tool of a wrapped agent": ("", lambda f: _wrapped("tool_plain", f)),
    "an output validator of a wrapped agent": (
        "x",
        lambda f: _wrapped("output_validator", f),
    ),
}


@pytest.mark.parametrize("made", ["def", "async def"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_a_function_that_exits_fails_its_request_by_name(place: str, kind: str, made: str) -> None:
    parameters, make = PLACES[place]

    async def main() -> None:
        agent = make(_leaving(kind, made, parameters))
        with pytest.raises(AgentFailed, match="The function 'leaves' raised") as failed:
            await agent.ask("Why?")
        assert isinstance(failed.value.__cause__, FunctionExited)

    in_system(main)


@pytest.mark.parametrize("kind", KINDS)
def test_a_validator_or_a_function_of_settings_that_exits_fails_its_request(kind: str) -> None:
    leaves = _leaving(kind, "def", "it")

    def takes(report: Any) -> str:
        """Take a report."""
        return "taken"

    report = _validated(leaves)
    takes.__annotations__["report"] = report

    async def main() -> None:
        for agent in (
            Agent("one", model=TestModel(), output_type=report),
            Agent("two", model=TestModel(), output_type=list[report]),  # type: ignore[valid-type]
            Agent("three", model=TestModel(), model_settings=leaves),
            Agent("four", model=TestModel(), tools=[takes]),
        ):
            with pytest.raises(AgentFailed, match="raised") as failed:
                await agent.ask("Why?")
            assert isinstance(failed.value.__cause__, FunctionExited)

    in_system(main)


@pytest.mark.parametrize("made", ["def", "async def"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_script_that_exits_fails_the_request(kind: str, made: str) -> None:
    async def main() -> None:
        agent = Agent("desk", model="openai:gpt-4o-mini")
        with (
            scripted_model(_leaving(kind, made, "agent, payload")),
            pytest.raises(AgentFailed) as failed,
        ):
            await agent.ask("Why?")
        assert isinstance(failed.value.__cause__, FunctionExited)

    in_system(main)


@pytest.mark.parametrize("when", ["before", "beside", "after"])
@pytest.mark.parametrize("made", ["def", "async def"])
@pytest.mark.parametrize("kind", [*KINDS, "stop"])
def test_a_guardrail_that_exits_trips_as_any_that_fails(
    kind: str, made: str, when: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, "stop", StopIteration)
    leaves = _leaving(kind, made, "it")

    async def main() -> None:
        agent = Agent("desk", model=TestModel(), guardrails=[Guardrail(leaves, when=when)])
        with pytest.raises(AgentFailed) as failed:
            await agent.ask("Why?")
        tripped = failed.value.__cause__
        assert isinstance(tripped, GuardrailTripped)
        assert tripped.failed
        passes = Guardrail(leaves, when=when, on_error="pass")
        assert await Agent("kind", model=TestModel(), guardrails=[passes]).ask("Why?")

    in_system(main)


@pytest.mark.parametrize("made", ["def", "async def"])
@pytest.mark.parametrize("kind", [*KINDS, "stop"])
def test_what_makes_a_summary_and_exits_costs_no_answer(
    kind: str, made: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, "stop", StopIteration)
    bounds = History(max_messages=3, summarize=_leaving(kind, made, "messages"))

    async def main() -> None:
        agent = Agent("desk", model=TestModel(), history=bounds)
        for _ in range(3):
            assert await agent.ask("Why?", session="s")

    in_system(main)


def test_the_loop_and_other_requests_go_on() -> None:
    async def leaves(ctx: Any) -> str:
        await asyncio.sleep(0)
        sys.exit("done")

    async def main() -> None:
        agent = Agent("desk", model=TestModel(), instructions=leaves)
        other = Agent("other", model=TestModel())
        asks = [agent.ask("Why?"), other.ask("Why?"), agent.ask("Why?"), other.ask("Why?")]
        ended = await asyncio.gather(*asks, return_exceptions=True)
        assert [isinstance(each, AgentFailed) for each in ended] == [True, False, True, False]

    in_system(main)


def test_a_coroutine_that_is_closed_from_outside_is_closed() -> None:
    async def main() -> None:
        async def waits() -> None:
            with contained:
                await asyncio.get_running_loop().create_future()

        running = waits()
        running.send(None)
        running.close()
        assert inspect.getcoroutinestate(running) == inspect.CORO_CLOSED

    asyncio.run(main())


def test_settings_from_an_async_function_are_refused_when_the_agent_is_made() -> None:
    async def settings(ctx: Any) -> dict[str, float]:
        return {"temperature": 0.2}

    with pytest.raises(AgentDefinitionError, match="async function"):
        Agent("desk", model=TestModel(), model_settings=settings)
