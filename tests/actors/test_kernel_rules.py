"""Rules of the kernel that are easy to break without anything else going wrong."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pykka
from puppets import Puppet, do, ended, seen, until

from agenticaiframework.actors import Actor, ActorSystem, StartFailed

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
        assert plain.actor_stopped.wait(120)

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


def test_an_actor_that_unlinks_in_time_outlives_a_crash_in_another_system(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        with ActorSystem.in_background("other") as other:
            here, there = system.start(Puppet), other.start(Puppet)
            await do(here, lambda puppet: puppet.link(there))
            watching = other.start(Puppet)
            await do(watching, lambda puppet: puppet.monitor(there))
            watcher: Any = watching._actor

            def unlink(puppet: Puppet) -> None:
                there.exit("boom")
                watcher.wait_for(1)  # so its signal is on the way, and this loop is held up
                puppet.unlink(there)

            await do(here, unlink)
            await asyncio.sleep(0.01)
            assert await do(here, lambda puppet: "alive") == "alive"

    in_system(main)


def test_a_crash_reaches_an_actor_of_pykka_that_is_about_to_end(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        ends = threading.Event()

        class Ending(Plain):
            def on_stop(self) -> None:
                assert ends.wait(120)

        plain = Ending.start()
        one, crashing = system.start(Puppet), system.start(Puppet)

        def link(puppet: Puppet) -> None:
            for ref in (plain, one):
                puppet.link(ref)

        await do(crashing, link)
        plain.stop(block=False)
        await until(lambda: not plain.is_alive())
        crashing.exit("boom")
        assert await ended(crashing) == "boom"
        assert await ended(one) == "boom"
        ends.set()

    in_system(main)


def test_a_start_that_is_cut_short_tells_the_starter_why(in_sim: Run) -> None:
    class Slow(Puppet):
        async def on_start(self) -> None:  # type: ignore[override]
            await asyncio.sleep(100)

    class Starter(Puppet):
        async def on_receive(self, message: Any) -> Any:  # type: ignore[override]
            try:
                await self.start_link(Slow)
            except StartFailed as failed:
                return failed.reason

    async def main(system: ActorSystem) -> None:
        starter = system.start(Starter, trap=True)
        for reason in ("not needed", "shutdown", ("shutdown", "moved")):
            told = starter.request("start")
            await asyncio.sleep(1)
            [slow] = [ref for ref in system.actors() if ref.actor_class is Slow]
            slow.exit(reason)
            assert await told == reason
            assert await ended(slow) == reason

    in_sim(main)


def test_the_task_of_a_handler_answers_as_asyncios_does(in_system: Run) -> None:
    class Cancels(Actor):
        async def on_receive(self, message: Any) -> Any:
            task = asyncio.current_task()
            assert task is not None
            said: list[Any] = [task.cancelling(), task.cancel(), task.cancelling()]
            try:
                await asyncio.sleep(20)
            except asyncio.CancelledError:
                said.append(task.uncancel())
            return [*said, task.cancelled(), task.done()]

    async def main(system: ActorSystem) -> None:
        ref = system.start(Cancels)
        assert await ref.request("go") == [0, True, 1, 0, False, False]

    in_system(main)


def test_who_begins_to_watch_from_another_system_just_too_late_is_told(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        with ActorSystem.in_background("other") as other:
            watching, target = other.start(Puppet), system.start(Puppet)
            watched = threading.Event()

            def watch(puppet: Puppet) -> None:
                puppet.monitor(target)
                watched.set()

            def end(puppet: Puppet) -> None:
                watching.tell(watch)
                assert watched.wait(120)  # what was asked for waits for this loop
                puppet.exit("boom")

            target.tell(end)
            assert await ended(target) == "boom"
            [down] = await seen(watching, 1)
            assert (down.ref, down.reason) == (target, "noproc")

    in_system(main)
