"""`ActorRef.handle_now`: an idle actor handles a message inside the turn of another."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from agenticaiframework.actors import Actor, ActorRef, ActorSystem, DeadLetter

Run = Callable[[Callable[[ActorSystem], Coroutine[Any, Any, Any]]], Any]
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Plain(Actor):
    def __init__(self, then: Callable[[Plain, Any], Any] = lambda _self, _message: None) -> None:
        super().__init__()
        self.seen: list[Any] = []
        self.then = then

    def on_receive(self, message: Any) -> list[Any]:
        self.seen.append(message)
        self.then(self, message)
        return self.seen


class Waits(Actor):
    async def on_receive(self, message: Any) -> None:
        await message


class Caller(Actor):
    def on_receive(self, message: Callable[[], Any]) -> Any:
        return message()


async def idle(system: ActorSystem, *args: Any) -> tuple[ActorRef[Any], list[Any]]:
    """Return an actor that has nothing to do, and the list of what it has handled."""
    ref = system.start(Plain, *args)
    return ref, await ref.request("first")


def test_an_idle_actor_handles_it_at_once(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        ref, seen = await idle(system)
        assert ref.handle_now("now")
        assert seen == ["first", "now"]
        await ref.request("after")
        assert seen == ["first", "now", "after"]

    in_system(main)


def test_not_on_another_thread_nor_for_an_async_handler_nor_a_dead_actor(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        ref, _seen = await idle(system)
        done: list[bool] = []
        thread = threading.Thread(target=lambda: done.append(ref.handle_now("elsewhere")))
        thread.start()
        await asyncio.to_thread(thread.join)
        waits = system.start(Waits)
        await waits.request(asyncio.sleep(0))
        done.append(waits.handle_now(None))
        ref.exit("shutdown")
        await system.wait_ended(ref, 5)
        done.append(ref.handle_now("late"))
        assert done == [False, False, False]

    in_system(main)


def test_not_before_messages_that_came_first(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        ref, seen = await idle(system)
        ref.tell("queued")
        assert not ref.handle_now("now")
        await ref.request("last")
        assert seen == ["first", "queued", "last"]

    in_system(main)


def test_not_while_it_handles_another(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        tried: list[bool] = []

        def try_again(actor: Plain, message: Any) -> None:
            if message == "now":
                tried.append(actor.actor_ref.handle_now("inside"))

        ref, seen = await idle(system, try_again)
        assert ref.handle_now("now")
        assert tried == [False]
        assert seen == ["first", "now"]

    in_system(main)


def test_an_error_ends_the_actor_in_a_turn_of_its_own(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        letters: list[DeadLetter] = []
        system.dead_letters.subscribe(letters.append)

        def fail(_actor: Plain, message: Any) -> None:
            if message == "now":
                raise ValueError("no")

        watcher = system.start(Caller)
        ref, _seen = await idle(system, fail)
        assert await watcher.request(lambda: ref.handle_now("now"))
        await system.wait_ended(ref, 5)
        assert isinstance(ref.exit_reason, ValueError)
        assert [letter.message for letter in letters] == ["now"]
        assert watcher.is_alive()

    in_system(main)


def test_it_runs_in_the_actors_own_context_and_as_no_task(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        looks: list[Any] = []

        def look(_actor: Plain, _message: Any) -> None:
            looks.append((variable.get(), asyncio.current_task()))

        ref, _seen = await idle(system, look)
        looks.clear()
        task = asyncio.current_task()
        variable.set("the caller's")
        assert ref.handle_now("now")
        assert looks == [("unset", None)]
        assert asyncio.current_task() is task

    in_system(main)


def test_messages_that_it_sends_itself_come_next(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        def send(actor: Plain, message: Any) -> None:
            if message == "now":
                actor.actor_ref.tell("sent")

        ref, seen = await idle(system, send)
        assert ref.handle_now("now")
        await ref.request("last")
        assert seen == ["first", "now", "sent", "last"]

    in_system(main)


@pytest.mark.parametrize("ending", ["kill", "shutdown"])
def test_an_end_that_comes_meanwhile_is_obeyed(in_system: Run, ending: str) -> None:
    async def main(system: ActorSystem) -> None:
        def end(actor: Plain, message: Any) -> None:
            if message == "now":
                actor.actor_ref.exit(ending)

        ref, _seen = await idle(system, end)
        assert ref.handle_now("now")
        await system.wait_ended(ref, 5)
        assert ref.exit_reason == ("killed" if ending == "kill" else "shutdown")

    in_system(main)


def test_a_coroutine_that_the_handler_returns_runs_in_turns_of_its_own(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async def wait(_message: Any) -> None:
            await asyncio.sleep(0)
            seen.append("waited")

        ref, seen = await idle(system, lambda actor, _message: actor.become(wait))
        assert ref.handle_now("now")
        assert seen == ["first"]
        await ref.request("after")
        assert seen == ["first", "waited", "waited"]

    in_system(main)


def test_an_actor_killed_before_such_a_coroutine_began_loses_its_message(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async def wait(_message: Any) -> None:
            seen.append("waited")

        dead: list[DeadLetter] = []
        system.dead_letters.subscribe(dead.append)
        ref, seen = await idle(system, lambda actor, _message: actor.become(wait))
        assert ref.handle_now("now")
        ref.kill()
        await system.wait_ended(ref)
        assert seen == ["first"]
        assert [letter.message for letter in dead] == ["now"]

    in_system(main)
