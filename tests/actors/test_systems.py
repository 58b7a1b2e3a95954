"""Systems: which one is current, how each ends, and many of them in a process."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import multiprocessing
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pykka
import pytest
from puppets import PUPPETS, Puppet, do, ended, until

from agenticaiframework.actors import (
    Actor,
    ActorDied,
    ActorSystem,
    AgenticError,
    ForkedSystem,
    NoSystem,
    StopReport,
    SystemStopped,
    WouldBlock,
    WrongUse,
)

Run = Callable[..., Any]


class Echo(Actor):
    async def on_receive(self, message: Any) -> Any:
        return message


# -- which system ------------------------------------------------------------------------------


def test_the_enclosing_system_is_the_current_one() -> None:
    async def main() -> None:
        async with ActorSystem("outer") as outer:
            assert ActorSystem.current() is outer
            async with ActorSystem("inner") as inner:
                assert Echo.start().system is inner
                assert outer.start(Echo).system is outer
            assert Echo.start().system is outer

    asyncio.run(main())


def test_inside_a_handler_the_system_is_that_of_the_actor(in_system: Run, dispatcher: str) -> None:
    async def main(system: ActorSystem) -> None:
        async with ActorSystem("other") as other:
            ref = other.start(PUPPETS[dispatcher])
            assert ActorSystem.current() is other
        async with ActorSystem("third") as third:
            ref = system.start(PUPPETS[dispatcher])
            assert ActorSystem.current() is third
            assert await do(ref, lambda puppet: ActorSystem.current()) is system
            assert (await do(ref, lambda puppet: Echo.start())).system is system

            async def look(_puppet: Any) -> Any:
                await asyncio.sleep(0)
                return ActorSystem.current()

            assert await do(ref, look) is system

    in_system(main)


def test_a_loop_has_a_default_system_that_ends_with_it() -> None:
    ends: list[Any] = []

    class Ender(Echo):
        async def on_stop(self) -> None:
            await asyncio.sleep(0)
            ends.append(self.exit_reason)

    async def main() -> tuple[Any, Any]:
        ref = Ender.start()
        assert await ref.request("hello") == "hello"
        assert ActorSystem.current() is ActorSystem.current_or_none() is ref.system
        return ref, ref.system

    for _ in range(2):
        ref, system = asyncio.run(main())
        assert not ref.is_alive()
        assert not system.running
        with pytest.raises(ActorDied):
            ref.tell("after the end")
    assert ends == ["shutdown", "shutdown"]
    assert ActorSystem.current_or_none() is None


def test_a_default_system_dies_with_its_loop_and_keeps_nothing() -> None:
    async def main() -> weakref.ref[Any]:
        ref = Echo.start()
        await ref.request("hello")
        return weakref.ref(ref.system)

    held = asyncio.run(main())
    gc.collect()
    assert held() is None


def test_without_a_loop_actors_run_in_the_background() -> None:
    ref = Echo.start()
    try:
        assert ref.ask("hello") == "hello"
        assert ref.system is ActorSystem.current()
        assert any(t.name == "background-loop" for t in threading.enumerate())
    finally:
        ref.system.stop_blocking(5)  # type: ignore[union-attr]
    assert not ref.is_alive()


def test_a_program_without_a_loop_ends_by_itself_and_in_order() -> None:
    code = """
from agenticaiframework.actors import Actor
class A(Actor):
    def on_receive(self, message): return message * 2
    def on_stop(self): print("stopped:", self.exit_reason, flush=True)
print(A.start().ask(21), flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["42", "stopped: shutdown"]


def test_many_systems_live_beside_each_other_and_after_each_other() -> None:
    systems = [ActorSystem.in_background(f"s{n}") for n in range(8)]
    refs = [system.start(Echo) for system in systems]
    assert [ref.ask(n) for n, ref in enumerate(refs)] == list(range(8))
    systems[0].stop_blocking(5)
    assert not refs[0].is_alive()
    assert [ref.ask(n) for n, ref in enumerate(refs[1:])] == list(range(7))
    for system in systems[1:]:
        assert system.stop_blocking(5).clean

    async def again() -> int:
        async with ActorSystem() as system:
            return int(await system.start(Echo).request(1))

    assert sum(asyncio.run(again()) for _ in range(50)) == 50


def test_an_actor_of_one_system_asks_one_of_another(in_system: Run) -> None:
    class Asker(Actor):
        async def on_receive(self, message: Any) -> Any:
            return await message.request("hello", timeout=20)

    async def main(system: ActorSystem) -> None:
        async with ActorSystem("beside") as beside:
            assert await system.start(Asker).request(beside.start(Echo)) == "hello"
            assert await beside.start(Asker).request(system.start(Echo)) == "hello"
        with ActorSystem.in_background("apart") as apart:
            assert await system.start(Asker).request(apart.start(Echo)) == "hello"
            assert await apart.start(Asker).request(system.start(Echo)) == "hello"

    in_system(main)


def test_a_system_in_use_cannot_be_entered_again(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        with pytest.raises(NoSystem, match="running already"):
            async with system:
                pass
        with pytest.raises(NoSystem), system:
            pass
        with pytest.raises(NoSystem):
            system.stop_blocking()

    in_system(main)


def test_an_unknown_dispatcher_is_an_error_that_shows_the_near_one(in_system: Run) -> None:
    class Lost(Actor):
        dispatcher = "tread"

    async def main(system: ActorSystem) -> None:
        with pytest.raises(WrongUse, match="'thread'"):
            system.start(Lost)
        assert system.actor_count == 0
        assert system.actors() == []
        assert pykka.ActorRegistry.get_by_class(Lost) == []
        parent = system.start(Puppet)
        with pytest.raises(WrongUse):
            await do(parent, lambda puppet: puppet.spawn(Lost))
        assert system.info(parent).links == ()

    in_system(main)


def test_an_unknown_dispatcher_is_found_from_another_thread_too() -> None:
    class Lost(Actor):
        dispatcher = "tread"

    with ActorSystem.in_background() as system:
        with pytest.raises(WrongUse):
            system.start(Lost)
        assert system.start(Echo).ask(1) == 1


def test_a_constructor_that_forgets_its_super_is_told_so(in_system: Run) -> None:
    class Forgetful(Actor):
        def __init__(self) -> None:
            self.value = 1

    async def main(system: ActorSystem) -> None:
        with pytest.raises(TypeError, match=r"super\(\).__init__\(\)"):
            system.start(Forgetful)

    in_system(main)


# -- stopping ----------------------------------------------------------------------------------


def test_the_youngest_is_stopped_first_and_each_before_the_next(in_system: Run) -> None:
    order: list[Any] = []

    class Ordered(Puppet):
        async def on_stop(self) -> None:
            order.append(("begin", self.actor_ref.name))
            await asyncio.sleep(0.01)
            order.append(("end", self.actor_ref.name))

    async def main(system: ActorSystem) -> None:
        for name in "abc":
            system.start(Ordered, _name=name)
        report = await system.stop()
        assert report.clean
        assert order == [(when, name) for name in "cba" for when in ("begin", "end")]

    in_system(main)


def test_a_slow_on_stop_is_waited_for(in_sim: Run) -> None:
    ends: list[float] = []

    class Slow(Actor):
        async def on_stop(self) -> None:
            await asyncio.sleep(4)
            ends.append(self.system.clock())

    async def main(system: ActorSystem) -> None:
        system.start(Slow)
        report = await system.stop(timeout=10)
        assert ends == [4.0]
        assert report.clean
        assert report.duration_s == 4.0

    in_sim(main)


def test_who_has_not_ended_in_time_is_killed_and_reported(in_sim: Run) -> None:
    class Endless(Actor):
        async def on_stop(self) -> None:
            await asyncio.sleep(1000)

    async def main(system: ActorSystem) -> None:
        refs = [system.start(Endless, _name=name) for name in ("one", "two")]
        report = await system.stop(timeout=3)
        assert sorted(report.killed) == ["one", "two"]
        assert not report.clean
        assert report.duration_s < 10
        assert not any(ref.is_alive() for ref in refs)
        assert system.actor_count == 0

    in_sim(main)


def test_stopping_ends_children_through_their_parents(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        parent = system.start(Puppet)
        children = [
            await do(parent, lambda p, trap=trap: p.spawn(Puppet, trap=trap))
            for trap in (False, True)
        ]
        loose = await do(parent, lambda puppet: puppet.spawn(Puppet))
        await do(parent, lambda puppet: puppet.unlink(loose))
        report = await system.stop()
        assert report.clean
        assert report.duration_s < 0.5
        assert [ref.exit_reason for ref in (parent, *children, loose)] == ["shutdown"] * 4

    in_sim(main)


def test_actors_that_start_others_while_they_stop_keep_nothing_alive(in_sim: Run) -> None:
    class Hydra(Actor):
        def on_stop(self) -> None:
            with pytest.raises(SystemStopped):
                self.system.start(Puppet)

    async def main(system: ActorSystem) -> None:
        system.start(Hydra)
        assert (await system.stop()).clean
        assert system.actor_count == 0

    in_sim(main)


def test_stopping_twice_is_stopping_once(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        class Slow(Actor):
            async def on_stop(self) -> None:
                await asyncio.sleep(2)

        system.start(Slow)
        first, second = await asyncio.gather(system.stop(), system.stop())
        assert first is second
        assert await system.stop() is first

    in_sim(main)


def test_a_stop_that_is_cancelled_while_it_waits_can_be_waited_for_again(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        class Slow(Actor):
            async def on_stop(self) -> None:
                await asyncio.sleep(5)

        system.start(Slow)
        first = asyncio.ensure_future(system.stop(10))
        await asyncio.sleep(1)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        report = await asyncio.wait_for(system.stop(10), 20)
        assert report.clean
        assert system.actor_count == 0

    in_sim(main)


def test_after_the_stop_nothing_can_be_started_or_sent(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        ref = system.start(Echo)
        await system.stop()
        with pytest.raises(SystemStopped, match="test"):
            system.start(Echo)
        with pytest.raises(ActorDied):
            ref.tell("late")
        with pytest.raises(ActorDied):
            await ref.request("late")
        with pytest.raises(ActorDied):
            await asyncio.to_thread(ref.ask, "late")
        ref.exit("late")
        ref.kill()

    in_system(main)


def test_what_was_registered_for_the_end_is_called_last_in_reverse(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        calls: list[Any] = []
        ref = system.start(Puppet)

        async def close() -> None:
            await asyncio.sleep(0)
            calls.append(("async", ref.is_alive()))

        def fail() -> None:
            calls.append("fails")
            raise RuntimeError("no matter")

        system.at_stop(lambda: calls.append("first in"))
        system.at_stop(close)
        system.at_stop(fail)
        await system.stop()
        assert calls == ["fails", ("async", False), "first in"]

    in_sim(main)


def test_a_system_that_never_started_can_be_stopped() -> None:
    assert asyncio.run(ActorSystem().stop()).clean


def test_leaving_the_block_with_an_error_stops_the_system_and_keeps_the_error() -> None:
    async def main() -> Any:
        async with ActorSystem() as system:
            refs.append(system.start(Echo))
            raise ZeroDivisionError

    refs: list[Any] = []
    with pytest.raises(ZeroDivisionError):
        asyncio.run(main())
    assert not refs[0].is_alive()


def test_ten_thousand_actors_stop_in_moments(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        for _ in range(10_000):
            system.start(Echo)
        report = await system.stop(timeout=120)
        assert report.clean
        assert report.duration_s < 60

    in_system(main)


def test_a_blocked_loop_in_the_background_does_not_block_its_stop_for_ever() -> None:
    system = ActorSystem.in_background("stuck", cancel_grace_s=0.1)
    inside, release = threading.Event(), threading.Event()

    def block(_puppet: Any) -> None:
        inside.set()
        release.wait(120)

    system.start(Puppet).tell(block)
    assert inside.wait(120)
    report = system.stop_blocking(0.1)
    assert report.abandoned == ["stuck: the loop's thread is blocked"]
    release.set()
    assert system.stop_blocking(5).clean, "once it is free again it can be stopped"
    assert system._thread is not None
    assert not system._thread.is_alive()


def test_many_threads_may_stop_a_background_system_at_once() -> None:
    for _ in range(50):
        system = ActorSystem.in_background()
        system.start(Echo)
        reports: list[StopReport] = []
        threads = [
            threading.Thread(target=lambda s=system, r=reports: r.append(s.stop_blocking(20)))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(reports) == 4
        assert all(report is reports[0] for report in reports)
        assert reports[0].clean
        assert system.stop_blocking() is reports[0], "and once more"


def test_a_background_system_cannot_be_stopped_blocking_by_its_own_actors() -> None:
    with ActorSystem.in_background() as system:
        ref = system.start(Puppet)
        with pytest.raises(WouldBlock, match=r"await system\.stop\(\)"):
            ref.ask(lambda puppet: puppet.system.stop_blocking(), timeout=20)


def test_a_background_system_can_be_stopped_on_another_loop() -> None:
    system = ActorSystem.in_background()
    ref = system.start(Echo)

    async def main() -> StopReport:
        return await system.stop(20)

    assert asyncio.run(main()).clean
    assert not ref.is_alive()
    assert system._thread is not None
    assert not system._thread.is_alive()


def test_a_system_whose_loop_is_closed_already_can_be_stopped() -> None:
    system = ActorSystem("left")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(system.__aenter__())
    ref = system.start(Echo, _name="orphan")
    loop.close()
    report = asyncio.run(system.stop())
    assert report.abandoned == ["orphan"]
    with pytest.raises(ActorDied):
        ref.tell("x")


def test_a_system_may_be_left_in_another_context_than_it_was_entered_in() -> None:
    """As the two halves of a fixture are, each a task of its own."""
    system = ActorSystem()
    with asyncio.Runner() as runner:
        runner.run(system.__aenter__(), context=contextvars.copy_context())
        ref = system.start(Echo)
        runner.run(system.__aexit__(None, None, None), context=contextvars.copy_context())
        assert not ref.is_alive()
        assert not system.running


def test_what_threads_send_while_a_system_ends_comes_to_an_end() -> None:
    """An ask that is under way at that moment fails, and nothing that is started lives on."""

    def use(system: ActorSystem, ref: Any, started: list[Any]) -> None:
        try:
            while True:
                ref.ask("x")
                started.append(system.start(Echo))
        except (ActorDied, SystemStopped):
            return

    for _ in range(30):
        system = ActorSystem.in_background()
        ref, started = system.start(Echo), list[Any]()
        threads = [
            threading.Thread(target=use, args=(system, ref, started), daemon=True) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        assert system.stop_blocking(20).clean
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive(), "its ask has no end"
        assert not any(each.is_alive() for each in started)


# -- fork --------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_forked_process_cannot_use_its_parents_system() -> None:
    with ActorSystem.in_background("parent") as system:
        ref = system.start(Echo)
        assert ref.ask(1) == 1
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os._exit(_try_in_child(system, ref, write))
        os.close(write)
        with os.fdopen(read) as said:
            lines = said.read().splitlines()
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0, lines
        assert lines == ["ForkedSystem"] * 5 + ["own: 2"]
        assert ref.ask(3) == 3, "the parent's goes on"
    assert issubclass(ForkedSystem, AgenticError)


def _try_in_child(system: ActorSystem, ref: Any, write: int) -> int:
    attempts: list[Callable[[], Any]] = [
        lambda: ref.tell("x"),
        lambda: ref.ask("x", timeout=5),
        lambda: ref.exit("x"),
        lambda: system.start(Echo),
        system.stop_blocking,
    ]
    with os.fdopen(write, "w") as out:
        for attempt in attempts:
            try:
                attempt()
            except Exception as error:
                print(type(error).__name__, file=out)
            else:
                print("worked", file=out)

        async def own() -> Any:
            async with ActorSystem("own") as mine:
                return await mine.start(Echo).request(2)

        print("own:", asyncio.run(own()), file=out)
    return 0


def test_a_spawned_process_starts_with_a_clean_slate() -> None:
    with ActorSystem.in_background(), multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(abs, (-1,)) == 1
        pool.close()
        pool.join()


# -- fairness ----------------------------------------------------------------------------------


def test_a_flooded_actor_delays_the_others_and_the_loop_by_little(in_system: Run) -> None:
    class Flooded(Actor):
        def __init__(self) -> None:
            super().__init__()
            self.count = 0

        def on_receive(self, message: Any) -> None:
            self.count += 1
            self.actor_ref.tell(message)  # for ever

    async def main(system: ActorSystem) -> None:
        floods = [system.start(Flooded) for _ in range(3)]
        for flood in floods:
            for _ in range(1000):
                flood.tell("again")
        echo = system.start(Echo)
        overtaken: list[int] = []
        for _ in range(100):
            before = sum(system.info(flood).handled for flood in floods)
            await echo.request("hello")
            await asyncio.sleep(0)
            overtaken.append(sum(system.info(flood).handled for flood in floods) - before)
        assert sorted(overtaken)[50] < 50_000, "each turn and each slice has an end"
        assert all(system.info(flood).handled > 1000 for flood in floods)
        for flood in floods:
            flood.kill()
            await ended(flood)

    in_system(main)


def test_threads_that_send_without_a_break_leave_the_loop_to_others_too(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        ref = system.start(Echo)
        over = threading.Event()

        def flood() -> None:
            while not over.is_set():
                ref.tell("again")

        threads = [threading.Thread(target=flood) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(10):
                await asyncio.sleep(0)
            await until(lambda: system.info(ref).handled > 1000)
        finally:
            over.set()
            for thread in threads:
                thread.join(120)

    in_system(main)


def test_an_error_in_what_another_thread_posted_does_not_hold_up_the_rest(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        failed: list[Any] = []
        system.loop.set_exception_handler(lambda _loop, context: failed.append(context))
        done = asyncio.Event()

        def post() -> None:
            system.scheduler.post(lambda: 1 / 0)
            system.scheduler.post(done.set)

        thread = threading.Thread(target=post)
        thread.start()
        thread.join(120)
        await asyncio.wait_for(done.wait(), 20)
        assert isinstance(failed[0]["exception"], ZeroDivisionError)

    in_system(main)


def test_a_plain_awaitable_that_only_yields_lets_others_run(in_system: Run) -> None:
    class Polite(Actor):
        async def on_receive(self, message: Any) -> None:
            while not stop.is_set():
                await asyncio.sleep(0)

    stop = threading.Event()

    async def main(system: ActorSystem) -> None:
        polite, echo = system.start(Polite), system.start(Echo)
        polite.tell("go")
        for number in range(10):
            assert await echo.request(number) == number
        stop.set()
        await until(lambda: system.info(polite).state == "idle")

    in_system(main)


def test_a_child_that_is_cut_loose_during_the_stop_is_stopped_too(in_sim: Run) -> None:
    class Careless(Puppet):
        def on_stop(self) -> None:
            for child in self.system.info(self.actor_ref).links:
                self.unlink(child)

    async def main(system: ActorSystem) -> None:
        parent = system.start(Careless)
        child = await do(parent, lambda puppet: puppet.spawn(Puppet))
        report = await system.stop()
        assert report.clean
        assert report.duration_s < 1
        assert child.exit_reason == "shutdown"

    in_sim(main)
