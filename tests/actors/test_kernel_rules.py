"""Rules of the kernel that are easy to break without anything else going wrong."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pykka
from puppets import Puppet, do, ended

from agenticaiframework.actors import Actor, ActorSystem

Run = Callable[..., Any]


class Plain(pykka.ThreadingActor):
    """An actor of pykka itself."""


class Payload:
    """A message that can be watched going away."""


def test_a_crash_reaches_actors_of_pykka_and_ours_that_are_linked_with_one(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        plain = Plain.start()
        one, two, middle = (system.start(Puppet) for _ in range(3))

        def link(puppet: Puppet) -> None:
            for ref in (one, plain, two):
                puppet.link(ref)

        await do(middle, link)
        middle.exit("boom")
        await ended(middle)
        await ended(one)
        await ended(two)
        assert (one.exit_reason, two.exit_reason) == ("boom", "boom")
        assert plain.actor_stopped.wait(20)

    in_system(main)


def test_a_request_that_is_abandoned_lets_go_of_its_message_and_its_timer(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        go_on = asyncio.Event()

        class Waits(Actor):
            async def on_receive(self, message: Any) -> None:
                await go_on.wait()

        ref = system.start(Waits)
        payload = Payload()
        watched = weakref.ref(payload)
        request = ref.request(payload, timeout=1000)
        del payload
        await asyncio.sleep(1)
        request.abandon()
        del request
        go_on.set()
        await asyncio.sleep(1)
        gc.collect()
        assert watched() is None

    in_sim(main)
