"""Requests and asks: an answer, an error at once when there can be none, and an end to every wait."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pykka
import pytest
from puppets import PUPPETS, Crash, Puppet, Stage, crash, do, ended, until

from agenticaiframework.actors import (
    Actor,
    ActorDied,
    ActorNotAsked,
    ActorRef,
    ActorSystem,
    AgenticError,
    RequestTimeout,
    WouldBlock,
    gather,
)
from agenticaiframework.actors.kernel.future import ActorFuture
from agenticaiframework.actors.kernel.request import ANSWERED, PENDING, Request

Run = Callable[..., Any]


class Echo(Actor):
    def on_receive(self, message: Any) -> Any:
        return message


class Sleeper(Actor):
    """Answers after as many seconds as it is told."""

    async def on_receive(self, message: Any) -> Any:
        await asyncio.sleep(message)
        return message


class Asker(Actor):
    """Awaits, in its own handler, the request that it is told to make."""

    async def on_receive(self, message: Any) -> Any:
        return await message()


# -- answers ------------------------------------------------------------------------------------


def test_an_answer_comes_back_from_every_place(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            one, other = stage.first(), stage.second()
            assert await other.request("from a task") == "from a task"
            assert await do(one, lambda puppet: other.pid) == other.pid
            assert await asyncio.to_thread(other.ask, "from a thread") == "from a thread"

            async def ask_other() -> Any:
                return await other.request("from an actor")

            asker = system.start(Asker)
            assert await asker.request(ask_other) == "from an actor"

    in_system(main)


def test_what_the_handler_raised_is_raised_in_the_asker(in_system: Run, dispatcher: str) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(PUPPETS[dispatcher])
        with pytest.raises(Crash, match="told to"):
            await one.request(crash)
        with pytest.raises(Crash, match="told to"):
            await asyncio.to_thread(one.ask, crash)

    in_system(main)


def test_asking_a_dead_actor_fails_at_once(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            one = stage.second()
            one.kill()
            await ended(one)
            with pytest.raises(ActorDied) as died:
                await one.request("hello", timeout=1000)
            assert died.value.ref is one
            assert died.value.reason == "noproc"
            assert isinstance(died.value, pykka.ActorDeadError)
            with pytest.raises(pykka.ActorDeadError):
                one.tell("hello")
            with pytest.raises(pykka.ActorDeadError):
                await asyncio.to_thread(one.ask, "hello")

    in_system(main)


def test_an_asker_learns_at_once_that_the_asked_died(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            one = stage.second()
            home = one.system
            assert home is not None
            home.loop.call_soon_threadsafe(home.suspend, one)
            await asyncio.sleep(0.01)
            asked = one.request("never handled", timeout=1000)
            one.exit("gone")
            with pytest.raises(ActorDied) as died:
                await asked
            assert died.value.reason == "gone"

    in_system(main)


def test_a_reply_may_be_given_later_and_from_any_thread(in_system: Run, dispatcher: str) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(PUPPETS[dispatcher])
        kept: list[Any] = []
        first = one.request(lambda puppet: kept.append(puppet.defer_reply()))
        second = one.request(lambda puppet: kept.append(puppet.defer_reply()))
        assert await do(one, lambda puppet: "meanwhile") == "meanwhile"
        thread = threading.Thread(target=kept[0].reply, args=("from a thread",))
        thread.start()
        assert await first == "from a thread"
        thread.join()
        kept[1].fail(Crash("later"))
        with pytest.raises(Crash, match="later"):
            await second

    in_system(main)


def test_a_deferred_reply_that_never_comes_ends_with_its_actor(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)
        asked = one.request(lambda puppet: puppet.defer_reply() and None)
        await do(one, lambda puppet: None)
        assert not asked.done()
        one.exit("moved")
        with pytest.raises(ActorDied):
            await asked

    in_sim(main)


def test_only_an_asked_message_can_be_answered_later(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)
        caught: list[Any] = []

        def try_it(puppet: Puppet) -> None:
            with pytest.raises(ActorNotAsked) as refused:
                puppet.defer_reply()
            caught.append(refused.value)

        one.tell(try_it)
        await do(one, lambda puppet: None)
        assert isinstance(caught[0], AgenticError)
        assert "current_request" in str(caught[0])

    in_sim(main)


# -- timeouts and cancellation ---------------------------------------------------------------------


def test_a_timeout_ends_the_wait_on_time_and_the_late_answer_is_dropped(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Sleeper)
        with pytest.raises(RequestTimeout) as late:
            await one.request(5, timeout=2)
        assert system.clock() == 2.0
        assert isinstance(late.value, TimeoutError)
        assert isinstance(late.value, pykka.Timeout)
        assert "within 2 s" in str(late.value)
        await asyncio.sleep(10)
        assert system.scheduler.late_replies == 1
        assert await one.request(1) == 1, "the actor lives and works on"

    in_sim(main)


def test_a_timeout_of_zero_and_an_answer_in_time_do_no_harm(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Sleeper)
        assert await one.request(1, timeout=2) == 1
        with pytest.raises(RequestTimeout):
            await one.request(1, timeout=0)
        await asyncio.sleep(10)

    in_sim(main)


def test_the_receiver_sees_that_nobody_waits_any_more(in_system: Run, dispatcher: str) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(PUPPETS[dispatcher])
        seen: list[bool] = []
        entered, go_on = threading.Event(), threading.Event()

        def look(puppet: Puppet) -> None:
            request = puppet.current_request
            assert request is not None
            seen.append(request.asker_waiting)
            if puppet.dispatcher != "event_loop":
                entered.set()
                assert go_on.wait(120)
                seen.append(request.asker_waiting)

        if dispatcher == "event_loop":
            system.suspend(one)
        task = asyncio.ensure_future(one.request(look))
        await (asyncio.sleep(0) if dispatcher == "event_loop" else asyncio.to_thread(entered.wait))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        system.resume(one)
        await do(one, lambda puppet: None)
        assert seen == ([False] if dispatcher == "event_loop" else [True, False])

    in_system(main)


def test_cancelling_an_actor_abandons_what_it_asked(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        asked, asker = system.start(Sleeper), system.start(Asker)
        made: list[Any] = []

        async def ask() -> Any:
            made.append(asked.request(100))
            return await made[0]

        asker.tell(ask)
        await asyncio.sleep(1)
        assert made[0].asker_waiting
        asker.exit("stop")
        await ended(asker)
        assert not made[0].asker_waiting

    in_sim(main)


def test_an_actor_that_is_killed_while_it_asks_leaves_no_trace_in_the_asked(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        asked, asker = system.start(Sleeper), system.start(Asker)

        async def ask() -> Any:
            return await asked.request(5)

        asker.tell(ask)
        await asyncio.sleep(1)
        asker.kill()
        await asyncio.sleep(10)
        assert system.scheduler.late_replies == 1
        assert await asked.request(1) == 1

    in_sim(main)


def test_the_timer_of_an_answered_request_is_gone(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Echo)
        for _ in range(100):
            await one.request("x", timeout=1000)
        assert system.loop.next_timer() is None  # type: ignore[attr-defined]

    in_sim(main)


# -- gather -----------------------------------------------------------------------------------


def test_gather_returns_the_answers_in_order(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        workers = [system.start(Sleeper) for _ in range(20)]
        began = system.clock()
        delays = [20 - n for n in range(20)]
        answers = await gather(*(w.request(d) for w, d in zip(workers, delays, strict=True)))
        assert answers == delays
        assert system.clock() - began == 20

        async def inside() -> Any:
            return await gather(*(w.request(1) for w in workers))

        assert await system.start(Asker).request(inside) == [1] * 20
        assert await gather() == []

    in_sim(main)


def test_gather_raises_the_first_failure_and_abandons_the_rest(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        slow, bad = system.start(Sleeper), system.start(Puppet)
        requests = [slow.request(100), bad.request(crash)]
        with pytest.raises(Crash):
            await gather(*requests)
        assert not requests[0].asker_waiting
        outcome = await gather(slow.request(0), bad.request(crash), return_exceptions=True)
        assert outcome[0] == 0
        assert isinstance(outcome[1], Crash)

    in_sim(main)


def test_asyncio_gather_over_requests_works_too(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        workers = [system.start(Sleeper) for _ in range(5)]

        async def inside() -> Any:
            return await asyncio.gather(*(w.request(n) for n, w in enumerate(workers)))

        assert await inside() == list(range(5))
        assert await system.start(Asker).request(inside) == list(range(5))

    in_sim(main)


# -- blocking asks ----------------------------------------------------------------------------


def test_a_blocking_ask_on_the_loop_is_an_error_that_shows_the_form_that_works(
    in_system: Run, dispatcher: str
) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(PUPPETS[dispatcher])
        with pytest.raises(WouldBlock, match=r"await ref\.request\(message\)"):
            one.ask("hello")
        with pytest.raises(WouldBlock):
            one.ask("hello", timeout=1)
        with pytest.raises(WouldBlock):
            one.proxy().seen.get()
        assert await do(one, lambda puppet: puppet.seen) == []

    in_system(main)


def test_a_blocking_ask_inside_a_handler_on_the_loop_is_that_error_too(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one, other = system.start(Puppet), system.start(Puppet)
        with pytest.raises(WouldBlock):
            await do(one, lambda puppet: other.ask("hello"))

    in_sim(main)


def test_a_thread_actor_may_block_on_an_ask(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one, other = system.start(PUPPETS["thread"]), system.start(Puppet)
        assert await do(one, lambda puppet: other.ask("hello")) == "hello"

    in_system(main)


def test_an_ask_that_does_not_block_can_be_awaited_on_the_loop(
    in_system: Run, dispatcher: str
) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(PUPPETS[dispatcher])
        future = one.ask("hello", block=False)
        assert await future == "hello"
        assert future.get(timeout=0) == "hello", "what is there may be read anywhere"
        with pytest.raises(Crash):
            await one.ask(crash, block=False)

    in_system(main)


def test_a_blocking_ask_times_out_and_its_actor_goes_on() -> None:
    go_on = threading.Event()

    async def wait() -> str:
        while not go_on.is_set():
            await asyncio.sleep(0.001)
        return "went on"

    with ActorSystem.in_background() as system:
        one = system.start(Asker)
        with pytest.raises(pykka.Timeout):
            one.ask(wait, timeout=0.01)
        go_on.set()
        assert one.ask(wait, timeout=20) == "went on"


def test_a_blocking_ask_ends_when_the_system_ends() -> None:
    system = ActorSystem.in_background()
    one = system.start(Sleeper)
    failures: list[Any] = []

    def wait() -> None:
        with pytest.raises(ActorDied) as died:
            one.ask(1000)
        failures.append(died.value.reason)

    thread = threading.Thread(target=wait)
    thread.start()
    while not system.info(one).current_message:
        threading.Event().wait(0.001)
    system.stop_blocking(5)
    thread.join(120)
    assert failures == ["shutdown"]
    with pytest.raises(ActorDied):
        one.ask("after the end")


# -- order and threads -------------------------------------------------------------------------


def test_messages_of_one_sender_keep_their_order(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            one, other = stage.first(), stage.second()

            def talk(puppet: Puppet) -> None:
                for number in range(500):
                    other.tell(number)

            one.tell(talk)
            actor = other._actor
            assert actor is not None
            assert await asyncio.to_thread(actor.wait_for, 500) == list(range(500))

    in_system(main)


def test_no_message_of_many_threads_is_lost(in_system: Run, dispatcher: str) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(PUPPETS[dispatcher])

        def talk(number: int) -> None:
            for n in range(200):
                one.tell((number, n))

        threads = [threading.Thread(target=talk, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        actor = one._actor
        assert actor is not None
        got = await asyncio.to_thread(actor.wait_for, 1600)
        for thread in threads:
            thread.join()
        for number in range(8):
            assert [n for who, n in got if who == number] == list(range(200))

    in_system(main)


def test_a_request_may_be_made_before_it_is_awaited(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Sleeper)
        request = one.request(3)
        await asyncio.sleep(10)
        assert request.done
        assert await request == 3

    in_sim(main)


def test_a_request_may_stand_where_a_coroutine_is_wanted(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Echo)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(one.request("task"))  # type: ignore[arg-type]
        assert task.result() == "task"
        assert await asyncio.wait_for(one.request("wait_for"), 120) == "wait_for"
        loop = asyncio.get_running_loop()
        with ActorSystem.in_background() as other:
            far = other.start(Echo)

            async def ask() -> Any:
                return await far.request("far")

            coroutine = ask()
            assert await loop.create_task(coroutine) == "far"

    in_system(main)


def test_a_failed_request_keeps_nothing_alive(in_system: Run) -> None:
    """Python's tracebacks hold frames; a cycle through them would keep the payload for long."""

    class Payload:
        pass

    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)

        async def fail() -> weakref.ref[Payload]:
            payload = Payload()
            held = weakref.ref(payload)

            def refuse(puppet: Puppet, payload: Payload = payload) -> None:
                raise Crash("no")

            try:
                await one.request(refuse)
            except Crash:
                return held
            raise AssertionError("it did not fail")

        gc.disable()
        try:
            held = await fail()
            await do(one, lambda puppet: None)
            await asyncio.sleep(0)
            gone = held() is None
        finally:
            gc.enable()
        assert gone

    in_system(main)


def test_waiting_for_an_end_that_comes_from_a_thread(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            one: ActorRef[Any] = stage.second()
            thread = threading.Thread(target=one.exit, args=("from a thread",))
            thread.start()
            assert await ended(one) == "from a thread"
            thread.join()
            await until(lambda: not one.is_alive())

    in_system(main)


def test_a_handler_that_fails_after_it_took_over_the_answering_crashes(in_sim: Run) -> None:
    """Its error is not the answer: that is whoever's who was given the request."""

    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)

        def defer_and_crash(puppet: Puppet) -> None:
            puppet.defer_reply()
            raise Crash("afterwards")

        with pytest.raises(ActorDied) as died:
            await one.request(defer_and_crash)
        assert isinstance(died.value.reason, Crash)
        assert await ended(one) is died.value.reason

    in_sim(main)


def test_an_error_amid_many_messages_loses_none_of_the_others(
    in_system: Run, dispatcher: str
) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(PUPPETS[dispatcher])
        system.suspend(one)
        requests = [one.request(crash if n % 5 == 2 else n) for n in range(30)]
        system.resume(one)
        outcome = await gather(*requests, return_exceptions=True)
        assert [o for o in outcome if isinstance(o, int)] == [n for n in range(30) if n % 5 != 2]
        assert sum(isinstance(o, Crash) for o in outcome) == 6

    in_system(main)


# -- from another loop --------------------------------------------------------------------------


@pytest.fixture
def background() -> Iterator[ActorSystem]:
    """A system whose loop is another thread's."""
    with ActorSystem.in_background("background") as system:
        yield system


@pytest.fixture
def busy_interpreter() -> Iterator[None]:
    """Threads are switched between as often as possible, so that what can interleave does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("busy_interpreter")
def test_answers_are_gathered_on_another_loop_than_the_systems(background: ActorSystem) -> None:
    refs = [background.start(Echo) for _ in range(10)]

    async def main() -> None:
        async with asyncio.timeout(120):
            for first in range(50):
                numbers = range(first, first + 10)
                answers = gather(*(ref.request(n) for ref, n in zip(refs, numbers, strict=True)))
                assert await answers == list(numbers)
            seen: list[Any] = []
            await gather(*(ref.request(1) for ref in refs), on_reply=seen.append)
            assert len(seen) == 10

    asyncio.run(main())


def test_a_failure_among_what_is_gathered_on_another_loop_is_raised(
    background: ActorSystem,
) -> None:
    good, bad, slow = (background.start(kind) for kind in (Puppet, Puppet, Sleeper))

    async def main() -> None:
        async with asyncio.timeout(120):
            with pytest.raises(Crash):
                await gather(slow.request(1000), bad.request(crash), good.request("hello"))
            outcomes = await gather(
                bad.request(crash), good.request("hello"), return_exceptions=True
            )
            assert isinstance(outcomes[0], Crash)
            assert outcomes[1] == "hello"

    asyncio.run(main())
    slow.kill()


def test_requests_to_systems_on_different_loops_are_gathered_together(
    in_system: Run, background: ActorSystem
) -> None:
    async def main(system: ActorSystem) -> None:
        here, there = system.start(Sleeper), background.start(Sleeper)
        asker = system.start(Asker)

        async def both() -> list[Any]:
            return list(await gather(here.request(0.01), there.request(0.02)))

        assert await both() == [0.01, 0.02]
        assert await asker.request(both) == [0.01, 0.02]
        assert await background.start(Asker).request(both) == [0.01, 0.02]

    in_system(main)


def test_an_answer_is_not_seen_as_given_before_it_is_there(background: ActorSystem) -> None:
    """A task on another loop may look at any moment, as when the request's timer is cancelled."""
    looked: list[Any] = []

    class Timer:
        def cancel(self) -> None:
            looked.append(request.done())

    for settle in (Request.answer, lambda request, value: request._settle(ANSWERED, value)):
        request = Request()
        request.message, request._target = None, background.start(Echo)
        request._home = background.scheduler
        request._state, request._waiter, request._result = PENDING, None, Timer()
        settle(request, "value")
        assert request.result() == "value"
    assert looked == [False, False]


def test_two_threads_that_answer_one_ask_at_once_disturb_nobody() -> None:
    for _ in range(200):
        future = ActorFuture()
        barrier = threading.Barrier(2)
        errors: list[BaseException] = []

        def answer(
            how: Callable[[], None],
            barrier: threading.Barrier = barrier,
            errors: list[BaseException] = errors,
        ) -> None:
            barrier.wait(120)
            try:
                how()
            except BaseException as error:
                errors.append(error)

        hows = (partial(future.reply, 1), partial(future.fail, Crash("no")))
        threads = [threading.Thread(target=answer, args=(how,)) for how in hows]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert errors == []


def test_an_answer_for_a_loop_that_has_been_closed_harms_nobody(background: ActorSystem) -> None:
    ref = background.start(Puppet)
    gate, inside = threading.Event(), threading.Event()

    def slow(_puppet: Any) -> str:
        inside.set()
        gate.wait(120)
        return "late"

    loop = asyncio.new_event_loop()
    tasks: list[asyncio.Task[Any]] = []

    async def begin() -> None:
        # A task that is never cancelled, because its loop is just closed.
        tasks.append(loop.create_task(ref.request(slow)))
        await asyncio.sleep(0)
        await asyncio.to_thread(inside.wait, 120)

    loop.run_until_complete(begin())
    loop.close()
    tasks[0]._log_destroy_pending = False  # type: ignore[attr-defined]
    gate.set()
    assert ref.ask("goes on", timeout=20) == "goes on"
