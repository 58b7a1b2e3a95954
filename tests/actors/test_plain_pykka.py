"""Plain pykka actors among ours: linked, monitored, ended, and found in one registry."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pykka
import pytest
from puppets import PUPPETS, Crash, Puppet, do, ended, seen, until

from agenticaiframework.actors import Actor, ActorFuture, ActorSystem, Down, Exit
from agenticaiframework.testing import pykka_runtimes

Run = Callable[..., Any]


class Plain(pykka.ThreadingActor):
    """An actor that knows nothing of this library."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped = 0

    def on_receive(self, message: Any) -> Any:
        if message == "crash":
            raise Crash("plain")
        return message

    def on_stop(self) -> None:
        self.stopped += 1


async def stopped(ref: pykka.ActorRef[Any]) -> None:
    await until(lambda: not ref.is_alive())


def test_a_plain_actors_crash_reaches_who_is_linked(in_system: Run, dispatcher: str) -> None:
    async def main(system: ActorSystem) -> None:
        plain = Plain.start()
        trapping = system.start(PUPPETS[dispatcher], trap=True)
        linked = system.start(PUPPETS[dispatcher])
        for ref in (trapping, linked):
            await do(ref, lambda puppet: puppet.link(plain))
            await do(ref, lambda puppet: puppet.link(plain))
        plain.tell("crash")
        [message] = await seen(trapping)
        assert isinstance(message, Exit)
        assert message.ref is plain
        assert isinstance(message.reason, Crash)
        assert await ended(linked) is message.reason
        await stopped(plain)

    in_system(main)


def test_a_plain_actors_orderly_end_is_normal(in_system: Run, dispatcher: str) -> None:
    async def main(system: ActorSystem) -> None:
        plain = Plain.start()
        watcher = system.start(PUPPETS[dispatcher], trap=True)
        await do(watcher, lambda puppet: puppet.link(plain))
        monitor = await do(watcher, lambda puppet: puppet.monitor(plain))
        await asyncio.to_thread(plain.stop)
        assert await seen(watcher, 2) == [Exit(plain, "normal"), Down(plain, "normal", monitor)]

    in_system(main)


def test_the_end_of_ours_stops_a_linked_plain_actor(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        plain = Plain.start()
        actor = plain._actor_weakref()
        ours = system.start(Puppet)
        await do(ours, lambda puppet: puppet.link(plain))
        ours.exit("boom")
        await stopped(plain)
        assert actor is not None
        assert actor.stopped == 1

    in_system(main)


def test_a_normal_end_of_ours_leaves_a_linked_plain_actor_alive(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        plain = Plain.start()
        ours = system.start(Puppet)
        await do(ours, lambda puppet: puppet.link(plain))
        ours.tell(lambda puppet: puppet.exit("normal"))
        await ended(ours)
        assert await asyncio.to_thread(plain.ask, "alive?") == "alive?"
        await asyncio.to_thread(plain.stop)

    in_system(main)


def test_unlink_and_demonitor_work_towards_plain_actors(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        plain = Plain.start()
        ours = system.start(Puppet)
        await do(ours, lambda puppet: puppet.link(plain))
        gone = await do(ours, lambda puppet: puppet.monitor(plain))
        await do(ours, lambda puppet: puppet.unlink(plain))
        await do(ours, lambda puppet: puppet.demonitor(gone))
        kept = await do(ours, lambda puppet: puppet.monitor(plain))
        plain.tell("crash")
        [down] = await seen(ours)
        assert down.monitor is kept
        assert ours.is_alive()

    in_system(main)


def test_linking_with_a_stopped_plain_actor_is_noproc(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        plain = Plain.start()
        await asyncio.to_thread(plain.stop)
        ours = system.start(Puppet, trap=True)
        await do(ours, lambda puppet: puppet.link(plain))
        await do(ours, lambda puppet: puppet.monitor(plain))
        exit_message, down = await seen(ours, 2)
        assert exit_message == Exit(plain, "noproc")
        assert (down.ref, down.reason) == (plain, "noproc")

    in_system(main)


def test_wait_down_works_for_plain_actors(in_system: Run) -> None:
    class Waiter(Actor):
        async def on_receive(self, message: Any) -> Any:
            return await self.wait_down(message, timeout=120)

    async def main(system: ActorSystem) -> None:
        plain = Plain.start()
        waiting = system.start(Waiter).request(plain)
        await asyncio.sleep(0.01)
        plain.tell("crash")
        assert isinstance(await waiting, Crash)

    in_system(main)


def test_pykkas_registry_finds_and_stops_ours_and_theirs(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        plain, ours = Plain.start(), system.start(Puppet)
        assert {plain, ours} <= set(pykka.ActorRegistry.get_all())
        assert pykka.ActorRegistry.get_by_class(Puppet) == [ours]
        assert pykka.ActorRegistry.get_by_urn(ours.actor_urn) is ours
        pykka.ActorRegistry.broadcast("to all", target_class=Puppet)
        assert await seen(ours) == ["to all"]
        await asyncio.to_thread(pykka.ActorRegistry.stop_all)
        assert pykka.ActorRegistry.get_all() == []
        assert ours.exit_reason == "normal"
        assert not plain.is_alive()

    in_system(main)


def test_a_proxy_works_from_a_thread_and_can_be_awaited_on_the_loop(
    in_system: Run, dispatcher: str
) -> None:
    class Counter(Actor):
        def __init__(self) -> None:
            super().__init__()
            self.count = 0

        def add(self, number: int) -> int:
            self.count += number
            return self.count

    Counter.dispatcher = dispatcher

    async def main(system: ActorSystem) -> None:
        proxy = system.start(Counter).proxy()
        assert await proxy.add(2) == 2
        assert await asyncio.to_thread(lambda: proxy.add(3).get(timeout=120)) == 5
        assert await proxy.count == 5
        await asyncio.to_thread(setattr, proxy, "count", 7)
        assert await proxy.add(1) == 8
        await proxy.stop()

    in_system(main)


def test_an_async_method_behind_a_proxy_is_awaited(in_system: Run) -> None:
    class Service(Actor):
        async def fetch(self, what: str) -> str:
            await asyncio.sleep(0)
            return f"<{what}>"

    async def main(system: ActorSystem) -> None:
        assert await system.start(Service).proxy().fetch("page") == "<page>"

    in_system(main)


@pytest.mark.parametrize("name", sorted(pykka_runtimes()))
def test_the_runtimes_for_pykkas_suite_work(name: str) -> None:
    actor_class, future_class = pykka_runtimes()[name]
    assert future_class is ActorFuture
    assert issubclass(actor_class, pykka.Actor)

    class Echo(actor_class):  # type: ignore[misc, valid-type]
        def on_receive(self, message: Any) -> Any:
            return message, threading.current_thread().name

    ref = Echo.start()
    try:
        answer, thread = ref.ask("hello", timeout=120)
        assert answer == "hello"
        assert ("loop" in thread) == (name == "event_loop")
    finally:
        ref.stop(timeout=120)
        ActorSystem.current().stop_blocking(5)


def test_an_actor_that_ends_while_it_begins_to_be_watched_is_told_of(
    in_system: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread may be past the point that is watched."""
    from agenticaiframework.actors.kernel import exit_signals

    async def main(system: ActorSystem) -> None:
        watcher = system.start(Puppet)
        plain = Plain.start()
        really_set = plain.actor_stopped.is_set
        looks: list[bool] = []

        def is_set() -> bool:
            looks.append(really_set())
            if len(looks) == 1:
                plain.tell("crash")  # its thread goes all the way, after this look
                thread = next(t for t in threading.enumerate() if t.name.startswith("Plain"))
                thread.join(120)
                return False
            return really_set()

        monkeypatch.setattr(plain.actor_stopped, "is_set", is_set)
        watch = exit_signals.watch_plain(plain)
        assert watch.ended
        await do(watcher, lambda puppet: puppet.monitor(plain))
        [down] = await seen(watcher)
        assert down.reason == "noproc"

    in_system(main)


def test_an_actor_that_is_failing_when_it_begins_to_be_watched_fails_with_its_error(
    in_system: Run,
) -> None:
    class Late(pykka.ThreadingActor):
        """Is watched in the middle of its failure: pykka writes a record of it then."""

        def on_receive(self, message: Any) -> Any:
            raise Crash

    async def main(system: ActorSystem) -> None:
        watcher = system.start(Puppet)
        plain = Late.start()
        failing, go_on = threading.Event(), threading.Event()

        class Halt(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                failing.set()
                go_on.wait(120)

        halt = Halt()
        logger = logging.getLogger("pykka")
        logger.addHandler(halt)
        try:
            plain.tell("fail")
            await asyncio.to_thread(failing.wait, 120)
            logger.removeHandler(halt)
            await do(watcher, lambda puppet: puppet.monitor(plain))
            go_on.set()
            [down] = await seen(watcher)
            assert isinstance(down.reason, Crash)
        finally:
            go_on.set()
            logger.removeHandler(halt)

    in_system(main)


def test_what_is_put_into_the_inbox_of_a_dead_actor_is_answered_too(in_system: Run) -> None:
    from pykka._envelope import Envelope

    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)
        inbox = one.actor_inbox
        one.kill()
        await ended(one)
        for put in (inbox.put, lambda envelope: asyncio.to_thread(inbox.put, envelope)):
            for future in (ActorFuture(), pykka.ThreadingFuture[Any]()):
                waiting = put(Envelope("late", reply_to=future))
                if waiting is not None:
                    await waiting
                with pytest.raises(pykka.ActorDeadError):
                    await asyncio.to_thread(future.get, timeout=120)

    in_system(main)
