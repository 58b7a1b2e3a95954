"""A script that needs nothing of pydantic-ai: answered without it, with the same result; and what a first
request imports is imported beside the event loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, ModelRequestEnded, metered
from agenticaiframework.models import Scripted, ScriptedRequest
from agenticaiframework.testing import scripted_model

WITHOUT = """
import asyncio, sys
from agenticaiframework import Agent
from agenticaiframework.testing import scripted_model

async def main():
    clerk = Agent("clerk", model="openai:gpt-4o-mini", instructions="Answer.")
    with scripted_model(lambda agent, payload: f"{agent}: {payload}"):
        assert await clerk.ask("Why?") == "clerk: Why?"
    assert "Why?" in await Agent("fixed", model="scripted").ask({"question": "Why?"})
    assert "pydantic_ai" not in sys.modules

asyncio.run(main())
"""

BESIDE = """
import asyncio, importlib.abc, sys, threading
from agenticaiframework import Agent
from agenticaiframework.testing import scripted_model

imported = []

class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if threading.current_thread() is threading.main_thread():
            imported.append(name.partition(".")[0])
        return None

def double(number: int) -> int:
    "Double a number."
    return 2 * number

async def main():
    clerk = Agent("clerk", model="openai:gpt-4o-mini", instructions="Answer.", tools=[double])
    sys.meta_path.insert(0, Watch())
    with scripted_model(lambda request: "Yes."):
        assert await clerk.ask("Why?", session="one") == "Yes."
        assert [part async for part in clerk.stream("Why?", session="one")]
    # The name of pydantic-ai is looked for, to know whether it is installed.
    assert imported.count("pydantic_ai") <= 1, imported
    assert not {"openai", "agenticaiframework", "genai_prices", "sqlite3"} & set(imported), imported

asyncio.run(main())
"""


@pytest.mark.parametrize("program", [WITHOUT, BESIDE], ids=["without", "beside the loop"])
def test_a_first_request_does_not_hold_the_loop_by_importing_pydantic_ai(program: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr


class Refused(Exception):
    """An error of a provider, as `retry_after_s` says."""

    expected = True
    retry_after_s = 0.01


def refusing_once() -> Callable[[], Any]:
    calls: list[None] = []

    def answer() -> Any:
        calls.append(None)
        if len(calls) == 1:
            raise Refused("too many")
        return "after all"

    return answer


def always(answer: Any) -> Callable[[], Callable[[], Any]]:
    return lambda: lambda: answer


def failing() -> Callable[[], Any]:
    def answer() -> Any:
        raise ValueError("no")

    return answer


ANSWERS: dict[str, Callable[[], Callable[[], Any]]] = {
    "a text": always('  Rivers bend, "slowly". Do they?\n'),
    "a text that is JSON": always('{"category": "rivers"}'),
    "a mapping": always({"category": "rivers", "sure": True}),
    "a mapping that is nested": always({"answers": [{"text": "a, b"}, {"text": "c.d"}]}),
    "a number": always(7),
    "a list": always(["a", "b"]),
    "nothing": always(""),
    "with its usage": always(Scripted("x")),
    "an error": failing,
    "an error of a provider": refusing_once,
}


async def outcome_of(script: Any, payload: Any) -> list[Any]:
    """Return what an ask gives, with all that is counted and published."""
    ended: list[Any] = []
    async with ActorSystem("here") as system:
        system.subscribe(
            lambda event: ended.append(
                (event.agent, event.model, event.usage, event.error, event.streamed)
            ),
            ModelRequestEnded,
        )
        clerk = Agent("clerk", model="openai:gpt-4o-mini", instructions=" Answer. ")
        said: Any
        with scripted_model(script), metered("here") as meter:
            try:
                said = await clerk.ask(payload, timeout=30)
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
    return [said, type(said).__name__, meter.spent, ended]


@pytest.mark.parametrize("payload", ["Why?", {"topic": "rivers", "items": [1, {"x": 2}]}, [1, 2]])
@pytest.mark.parametrize("kind", ANSWERS)
def test_a_plain_script_gives_what_it_gives_through_pydantic_ai(kind: str, payload: Any) -> None:
    plain, whole = ANSWERS[kind](), ANSWERS[kind]()

    def of_request(request: ScriptedRequest) -> Any:
        assert request.instructions == "Answer."
        return whole()

    here = asyncio.run(outcome_of(lambda agent, payload: plain(), payload))
    assert here == asyncio.run(outcome_of(of_request, payload))


def test_a_script_is_asked_once_for_an_answer_that_needs_pydantic_ai() -> None:
    asked: list[Any] = []

    def answer(agent: str, payload: Any) -> Any:
        asked.append(payload)
        return ["a", "b"]

    async def main() -> Any:
        with scripted_model(answer):
            return await Agent("clerk", model="scripted").ask("Why?")

    assert asyncio.run(main()) == ["a", "b"]
    assert asked == ["Why?"]
