"""Nothing leaks: what actors come and go with, and what an idle one weighs."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import pykka
import pytest
from puppets import PUPPETS, Crash, Puppet, crash, do, ended, until

from agenticaiframework.actors import Actor, ActorDied, ActorSystem, RequestTimeout, gather

Run = Callable[..., Any]

BYTES_OF_AN_IDLE_ACTOR = 600


class Echo(Actor):
    def on_receive(self, message: Any) -> Any:
        return message


class AsyncEcho(Actor):
    async def on_receive(self, message: Any) -> Any:
        await asyncio.sleep(0)
        return message


class Failing(Actor):
    def on_receive(self, message: Any) -> Any:
        raise Crash("always")


async def growth(round_: Callable[[], Any], rounds: int) -> int:
    """Return the bytes by which *rounds* more rounds make the program larger.

    A first few are traced too, and not counted: tables grow to their size, caches fill.
    """
    tracemalloc.start()
    try:
        for _ in range(max(3, rounds // 3)):
            await round_()
        await asyncio.sleep(0)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(rounds):
            await round_()
        await asyncio.sleep(0)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_twenty_thousand_actors_come_and_go_and_leave_nothing(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async def round_() -> None:
            refs = [system.start(Echo) for _ in range(1000)]
            for ref in refs:
                ref.tell("hello")
            await asyncio.sleep(0)
            for ref in refs:
                ref.exit("done")
            for ref in refs:
                await system.wait_ended(ref)

        assert await growth(round_, 20) < 200_000, "ten bytes an actor: less than any object"
        assert system.actor_count == 0
        assert system.actors() == []

    in_system(main)


@pytest.mark.parametrize("how", ["asked", "asked async", "timed out", "failed", "gathered"])
def test_asks_leave_nothing(in_system: Run, how: str) -> None:
    async def main(system: ActorSystem) -> None:
        echo, slow, failing = system.start(Echo), system.start(AsyncEcho), system.start(Failing)
        stuck = system.start(Echo)
        system.suspend(stuck)

        async def round_() -> None:
            for _ in range(50):
                if how == "asked":
                    await echo.request("x", timeout=1000)
                elif how == "asked async":
                    await slow.request("x", timeout=1000)
                elif how == "failed":
                    with pytest.raises(Crash):
                        await failing.request("x")
                elif how == "gathered":
                    await gather(*(slow.request(n) for n in range(5)))
                else:
                    with pytest.raises(RequestTimeout):
                        await stuck.request("x", timeout=0)
            if how == "timed out":
                system.resume(stuck)
                await echo.request("x")
                await stuck.request("x")
                system.suspend(stuck)

        # asyncio keeps up to a hundred timers that were cancelled, some 250 bytes each.
        assert await growth(round_, 120) < 30_000, "five bytes an ask: less than any object"

    in_system(main)


def test_links_monitors_names_and_groups_leave_nothing(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        stays = system.start(Puppet, trap=True)

        async def round_() -> None:
            for number in range(50):
                comes = system.start(Echo, _name=f"n{number}")
                actor = comes._actor
                assert actor is not None
                actor.link(stays)
                await do(stays, lambda puppet, ref=comes: puppet.monitor(ref))
                actor.monitor(stays)
                actor.send_after(1000, "never")
                system.groups.join("pool", comes)
                comes.exit("done")
                await ended(comes)
            await do(stays, lambda puppet: puppet.seen.clear())

        # Timers that were cancelled as above, and fifty bytes for each of a thousand actors.
        assert await growth(round_, 20) < 75_000
        info = system.info(stays)
        assert (info.links, info.monitors, info.monitored_by) == ((), (), ())
        assert system.names.all() == []
        assert system.groups.all() == []

    in_system(main)


def test_crashes_leave_nothing(in_system: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", logger="pykka")

    async def main(system: ActorSystem) -> None:
        async def round_() -> None:
            for _ in range(50):
                one = system.start(Failing)
                one.tell("x")
                assert isinstance(await ended(one), Crash)

        # The recent dead letters are kept, with their reasons, so many rounds are not counted.
        assert await growth(round_, 20) < 60_000
        assert len(system.dead_letters) == 256

    in_system(main)


def test_dead_letters_are_bounded(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        for number in range(1000):
            system.dead_letter(number, "nobody", "noproc")
        assert system.dead_letters.count == 1000
        assert [letter.message for letter in system.dead_letters] == list(range(744, 1000))

    in_system(main)


@pytest.mark.parametrize("dispatcher", ["thread", "pinned"])
def test_threads_of_ended_actors_end(in_system: Run, dispatcher: str) -> None:
    async def main(system: ActorSystem) -> None:
        before = threading.active_count()
        for _ in range(30):
            one = system.start(PUPPETS[dispatcher])
            await do(one, lambda puppet: None)
            one.exit("done")
            await ended(one)
        deadline = system.clock() + 10
        while system.clock() < deadline and (
            threading.active_count() > before + 4 or len(system.pools) > 1
        ):
            await asyncio.sleep(0.01)
        assert threading.active_count() <= before + 4
        assert len(system.pools) <= 1

    in_system(main)


def test_nothing_is_kept_of_a_pinned_actor_whose_thread_was_stuck_when_it_ended(
    in_system: Run,
) -> None:
    inside, free = threading.Event(), threading.Event()

    def block(_puppet: Any) -> None:
        inside.set()
        free.wait(120)

    async def main(system: ActorSystem) -> None:
        one = system.start(PUPPETS["pinned"])
        one.tell(block)
        await until(inside.is_set)
        one.kill()
        await ended(one)
        assert len(system.pools) == 1
        free.set()
        await until(lambda: len(system.pools) == 0)

    in_system(main)


def test_an_actor_is_freed_when_it_has_ended_even_if_its_ref_is_kept(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        ref = system.start(Puppet)
        held = weakref.ref(ref._actor)
        await do(ref, lambda puppet: None)
        ref.exit("done")
        await ended(ref)
        await asyncio.sleep(0)
        gc.collect()
        assert held() is None
        assert ref.exit_reason == "done"
        with pytest.raises(ActorDied):
            ref.tell("x")

    in_system(main)


def test_systems_come_and_go_and_leave_nothing() -> None:
    async def use() -> None:
        async with ActorSystem() as system:
            ref = system.start(Echo)
            await ref.request("x")

    async def use_default() -> None:
        await Echo.start().request("x")

    def rounds(count: int) -> None:
        for _ in range(count):
            asyncio.run(use())
            asyncio.run(use_default())

    rounds(10)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        rounds(30)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 30_000
    assert pykka.ActorRegistry.get_all() == []


@pytest.mark.skipif(sys.version_info < (3, 13), reason="objects are larger before 3.13")
def test_an_idle_actor_with_a_name_and_a_supervisors_link_is_small(in_system: Run) -> None:
    class Idle(Actor):
        def on_receive(self, message: Any) -> Any:
            return message

    async def main(system: ActorSystem) -> None:
        parent = system.start(Puppet, trap=True)
        actor: Any = parent._actor
        count = 5000
        names = [f"worker-{n}" for n in range(count)]
        for name in names[:100]:
            actor.spawn(Idle, name=name)
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for name in names[100:]:
                actor.spawn(Idle, name=name)
            gc.collect()
            each = (tracemalloc.get_traced_memory()[0] - before) / (count - 100)
        finally:
            tracemalloc.stop()
        assert each < BYTES_OF_AN_IDLE_ACTOR, f"{each:.0f} bytes"

    in_system(main)


def test_no_thread_and_no_task_is_made_for_actors_on_the_loop(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        threads, tasks = threading.active_count(), len(asyncio.all_tasks())
        refs = [system.start(AsyncEcho) for _ in range(1000)]
        asked = [ref.request("x") for ref in refs]
        await asyncio.sleep(0)
        assert (threading.active_count(), len(asyncio.all_tasks())) == (threads, tasks)
        assert await gather(*asked) == ["x"] * 1000

    in_system(main)


def test_a_crashed_actors_reason_keeps_the_actor_no_longer_than_itself(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        ref = system.start(Puppet)
        held = weakref.ref(ref._actor)
        with pytest.raises(Crash):
            await do(ref, crash)
        ref.exit("done")
        await ended(ref)
        await asyncio.sleep(0)
        gc.collect()
        assert held() is None

    in_system(main)
