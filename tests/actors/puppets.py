"""Actors that do what a test tells them, and remember what else they were sent."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from typing import Any

from agenticaiframework.actors import Actor, ActorRef, ActorSystem

SOON_S = 120.0


class Puppet(Actor):
    """Calls a message that is a function with itself, and answers the result; keeps the others."""

    def __init__(self, *, trap: bool = False) -> None:
        super().__init__()
        self.seen: list[Any] = []
        self.trap_exit = trap
        self._arrived = threading.Condition()

    def on_receive(self, message: Any) -> Any:
        if inspect.isfunction(message):
            return message(self)
        with self._arrived:
            self.seen.append(message)
            self._arrived.notify_all()
        return message

    def wait_for(self, count: int) -> list[Any]:
        """Block until *count* messages were kept; for tests, off the loop."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.seen) >= count, SOON_S), self.seen
            return list(self.seen)


class ThreadPuppet(Puppet):
    dispatcher = "thread"


class PinnedPuppet(Puppet):
    dispatcher = "pinned"


PUPPETS: dict[str, type[Puppet]] = {
    "event_loop": Puppet,
    "thread": ThreadPuppet,
    "pinned": PinnedPuppet,
}


async def until(true: Callable[[], Any]) -> None:
    """Wait, at most `SOON_S`, until *true* returns something true."""
    async with asyncio.timeout(SOON_S):
        while not true():
            await asyncio.sleep(0.001)


async def seen(ref: ActorRef[Any], count: int = 1) -> list[Any]:
    """Wait until the puppet has kept *count* messages, and return them."""
    actor = ref._actor
    assert actor is not None, f"{ref} ended with {ref.exit_reason!r}"
    return await asyncio.to_thread(actor.wait_for, count)


async def do(ref: ActorRef[Any], fn: Callable[[Any], Any]) -> Any:
    """Have *fn* called with the puppet inside its handler, and return the result."""
    return await ref.request(fn, timeout=SOON_S)


async def ended(ref: ActorRef[Any]) -> Any:
    """Wait until the actor is dead, from any system's loop, and return its reason."""
    system = ref.system
    assert system is not None
    if system.loop is asyncio.get_running_loop():
        assert await system.wait_ended(ref, SOON_S), f"{ref} did not end"
    else:
        waiting = asyncio.run_coroutine_threadsafe(system.wait_ended(ref, SOON_S), system.loop)
        assert await asyncio.wrap_future(waiting), f"{ref} did not end"
    return ref.exit_reason


def exit_with(reason: Any) -> Callable[[Any], None]:
    """A message that ends a puppet with *reason*."""
    return lambda puppet: puppet.exit(reason)


class Crash(Exception):
    """What puppets crash with."""


def crash(_puppet: Any) -> None:
    """A message that makes a puppet crash."""
    raise Crash("told to")


class Stage:
    """Two places for actors: the same loop, threads, or a second system in a thread of its own."""

    def __init__(self, system: ActorSystem, places: str) -> None:
        self.system = system
        self.places = places
        self.other = ActorSystem.in_background("other") if places == "two systems" else system

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.other is not self.system:
            self.other.stop_blocking(5.0)

    def first(self, **options: Any) -> ActorRef[Any]:
        """Start a puppet in the first place."""
        return self._start(
            self.system, "event_loop" if self.places != "in threads" else "thread", options
        )

    def second(self, **options: Any) -> ActorRef[Any]:
        """Start a puppet in the second place."""
        return self._start(
            self.other, "event_loop" if self.places != "in threads" else "pinned", options
        )

    def _start(
        self, system: ActorSystem, dispatcher: str, options: dict[str, Any]
    ) -> ActorRef[Any]:
        name = options.pop("name", None)
        return system.start(PUPPETS[dispatcher], _name=name, **options)
