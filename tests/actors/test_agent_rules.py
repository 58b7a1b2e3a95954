"""Rules of agents that are easy to break without anything else going wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, Agent, UnknownAgent, find_agent

Run = Callable[..., Any]


class Later:
    """Something that can be awaited and is not a coroutine."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, None, Any]:
        yield from asyncio.sleep(1).__await__()
        return self.value


def test_a_handler_may_return_anything_that_can_be_awaited(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        later = Agent("later", handler=Later)
        assert await later.ask(1) == 1

        async def double(payload: int) -> int:
            await asyncio.sleep(1)
            return 2 * payload

        def begin(payload: int) -> asyncio.Future[int]:
            return asyncio.ensure_future(double(payload))

        task = Agent("task", handler=begin, dispatcher="event_loop")
        assert await task.ask(2) == 4

    in_sim(main)


def test_an_agent_that_is_not_there_is_named() -> None:
    with pytest.raises(UnknownAgent) as unknown:
        find_agent("nobody")
    assert unknown.value.name == "nobody"
