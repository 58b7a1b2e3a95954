"""Messages that carry their sender's context variables, where asked."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

import pytest
from puppets import PUPPETS, Crash, Puppet, do, seen

from agenticaiframework.actors import Actor, ActorSystem, with_context

Run = Callable[..., Any]

trace: contextvars.ContextVar[str] = contextvars.ContextVar("trace", default="none")


class Reader(Actor):
    """Answers the trace that it sees, before and after it waited."""

    async def on_receive(self, message: Any) -> Any:
        before = trace.get()
        await asyncio.sleep(0.001)
        if message == "set":
            trace.set("the handler's")
        elif message == "crash":
            raise Crash(trace.get())
        elif message == "task":
            return await asyncio.create_task(self.read())
        return message, before, trace.get()

    async def read(self) -> str:
        return trace.get()


class ThreadReader(Reader):
    dispatcher = "thread"


class PinnedReader(Reader):
    dispatcher = "pinned"


READERS = {"event_loop": Reader, "thread": ThreadReader, "pinned": PinnedReader}


def test_a_message_carries_its_senders_context_where_asked(in_system: Run, dispatcher: str) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(READERS[dispatcher])
        trace.set("request 7")
        assert await one.request("plain") == ("plain", "none", "none")
        assert await one.request(with_context("carried")) == ("carried", "request 7", "request 7")
        assert await one.request("plain") == ("plain", "none", "none")
        assert await one.request(with_context("task")) == "request 7"

    in_system(main)


def test_what_the_handler_sets_reaches_nobody_else(in_system: Run, dispatcher: str) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(READERS[dispatcher])
        trace.set("mine")
        assert await one.request(with_context("set")) == ("set", "mine", "the handler's")
        assert trace.get() == "mine"
        assert await one.request(with_context("again")) == ("again", "mine", "mine")
        assert await one.request("plain") == ("plain", "none", "none")

    in_system(main)


def test_the_context_is_that_of_the_moment_of_sending(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Reader)
        trace.set("then")
        asked = one.request(with_context("x"))
        trace.set("now")
        assert await asked == ("x", "then", "then")
        kept = contextvars.copy_context()
        trace.set("later")
        assert await one.request(with_context("x", kept)) == ("x", "now", "now")

    in_sim(main)


def test_it_works_for_tells_plain_handlers_behaviours_and_proxies(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)
        trace.set("carried")
        one.tell(with_context("told"))
        assert await seen(one) == ["told"]
        assert await one.request(with_context(lambda puppet: trace.get())) == "carried"
        await do(one, lambda puppet: puppet.become(lambda message: (message, trace.get())))
        assert await one.request(with_context("x")) == ("x", "carried")
        reader = system.start(Reader)
        assert await reader.proxy().read() == "none"

    in_system(main)


def test_the_current_system_is_still_that_of_the_actor(in_system: Run, dispatcher: str) -> None:
    async def main(system: ActorSystem) -> None:
        async with ActorSystem("sender"):
            one = system.start(PUPPETS[dispatcher])
            request = one.request(with_context(lambda puppet: ActorSystem.current()))
            assert await request is system

    in_system(main)


def test_an_error_and_a_cancellation_pass_through(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Reader)
        trace.set("mine")
        with pytest.raises(Crash, match="mine"):
            await one.request(with_context("crash"))
        ends: list[Any] = []

        class Waits(Actor):
            async def on_receive(self, message: Any) -> None:
                try:
                    async with asyncio.timeout(5):
                        await asyncio.sleep(1000)
                except TimeoutError:
                    ends.append((trace.get(), system.clock()))
                try:
                    await asyncio.sleep(1000)
                finally:
                    ends.append((trace.get(), "finally"))

        waits = system.start(Waits)
        waits.tell(with_context("go"))
        await asyncio.sleep(10)
        waits.exit("stop")
        await system.wait_ended(waits)
        assert ends[1] == ("mine", "finally")
        assert ends[0][0] == "mine"

    in_sim(main)


def test_one_that_was_not_handled_is_a_dead_letter_of_the_message_itself(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)
        system.suspend(one)
        one.tell(with_context("lost"))
        one.kill()
        await system.wait_ended(one)
        assert [letter.message for letter in system.dead_letters] == ["lost"]

    in_sim(main)
