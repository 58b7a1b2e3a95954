"""Who waits for its own answer is told at once: it could never come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agenticaiframework.actors import (
    Actor,
    ActorSystem,
    Agent,
    AgentFailed,
    CallingSelf,
    gather,
)

Run = Callable[..., Any]


class Asker(Actor):
    """Asks itself, in the way that the message says."""

    crash_on_ask_error = False

    async def on_receive(self, message: Any) -> Any:
        match message:
            case "request":
                return await self.actor_ref.request("hello", timeout=60)
            case "gather":
                return await gather(self.actor_ref.request("hello"))
            case "later":
                self.pipe_to(self.actor_ref.request("hello"))
                return "piped"
            case "wait for a child":
                child = await self.start_link(Asker)
                child.stop(block=False)
                return await self.wait_down(child)
            case _:
                return message


class InAThread(Actor):
    """A blocking actor that asks itself."""

    dispatcher = "thread"
    crash_on_ask_error = False

    def on_receive(self, message: Any) -> Any:
        return self.actor_ref.ask("hello") if message == "ask" else message


@pytest.mark.parametrize("how", ["request", "gather"])
def test_awaiting_ones_own_answer_is_an_error_at_once(in_sim: Run, how: str) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Asker)
        began = system.clock()
        with pytest.raises(CallingSelf, match="asks itself"):
            await one.request(how)
        assert system.clock() == began
        assert await one.request("hello") == "hello"

    in_sim(main)


def test_a_blocking_ask_of_oneself_is_an_error_too(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(InAThread)
        with pytest.raises(CallingSelf):
            await one.request("ask", timeout=30)
        assert await one.request("hello", timeout=30) == "hello"

    in_system(main)


def test_an_agent_that_asks_itself_fails_and_names_it(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async def ask_again(payload: Any) -> Any:
            return await agent.ask(payload)

        agent = Agent("echo", handler=ask_again)
        with pytest.raises(AgentFailed, match="echo asks itself"):
            await agent.ask("hello")

    in_sim(main)


def test_two_agents_of_one_handler_are_two(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async def pass_on(payload: Any) -> Any:
            return payload if payload == 0 else await second.ask(payload - 1)

        second = Agent("second", handler=lambda payload: payload)
        first = Agent("first", handler=pass_on)
        assert await first.ask(1) == 0

    in_sim(main)


@pytest.mark.parametrize("message", ["later", "wait for a child"])
def test_what_does_not_wait_for_itself_is_left_alone(in_sim: Run, message: str) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Asker)
        assert await one.request(message) in ("piped", "normal", "shutdown")
        await asyncio.sleep(1)
        assert await one.request("hello") == "hello"

    in_sim(main)


class Odd(BaseException):
    """No Exception."""


@pytest.mark.parametrize("error", [Odd("odd"), BaseExceptionGroup("two", [Odd(), Odd()])])
def test_what_is_no_exception_reaches_who_asks_an_agent_as_its_failure(
    in_sim: Run, error: BaseException
) -> None:
    async def main(system: ActorSystem) -> None:
        async def odd(payload: Any) -> Any:
            raise error

        with pytest.raises(AgentFailed) as caught:
            await Agent("odd", handler=odd).ask()
        assert caught.value.__cause__ is error

    in_sim(main)
