"""Handlers that do not end when told to: left behind, fenced off, and replaced."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from puppets import Puppet, ThreadPuppet, do, ended, seen, until

from agenticaiframework.actors import (
    Actor,
    ActorDied,
    ActorSystem,
    Address,
    Agent,
    AgentFailed,
    Exit,
    HandlerCancelled,
)
from agenticaiframework.actors.kernel.cell import Cell
from agenticaiframework.actors.kernel.here import HERE
from agenticaiframework.actors.kernel.request import Request

Run = Callable[..., Any]


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What stuck threads wait for; opened at the end, so that none outlives its test."""
    event = threading.Event()
    yield event
    event.set()


class Stubborn(Actor):
    """Swallows every cancellation, until *obeys* is set."""

    def __init__(self) -> None:
        super().__init__()
        self.cancelled = 0
        self.obeys = False
        self.afterwards: Callable[[], Any] | None = None

    async def on_receive(self, message: Any) -> Any:
        while not self.obeys:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                self.cancelled += 1
                if self.afterwards is not None:
                    self.afterwards()
        return "too late"


def test_a_handler_that_swallows_its_cancellation_is_left_behind_after_the_grace(
    in_sim: Run,
) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Stubborn)
        actor = one._actor
        asked = one.request("go")
        await asyncio.sleep(1)
        one.exit("stop")
        with pytest.raises(ActorDied) as died:
            await asked
        assert died.value.reason == "stop"
        assert system.clock() == 6.0, "1 s of work and 5 s of grace"
        assert system.abandoned == 1
        assert actor.cancelled == 1  # type: ignore[union-attr]
        report = await system.stop(timeout=10)
        assert report.abandoned == [f"{one.label}: swallows its cancellation"]
        assert not report.clean

    in_sim(main)


def test_a_kill_does_not_wait_for_the_handler(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Stubborn)
        asked = one.request("go")
        await asyncio.sleep(1)
        one.kill()
        with pytest.raises(ActorDied):
            await asked
        assert system.clock() == 1.0
        assert system.abandoned == 0
        await asyncio.sleep(system.cancel_grace_s + 1)
        assert system.abandoned == 1

    in_sim(main)


def test_what_an_abandoned_coroutine_sends_is_dropped_and_counted(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one, other = system.start(Stubborn), system.start(Puppet)
        actor = one._actor
        assert actor is not None
        failures: list[Any] = []

        def talk() -> None:
            actor.obeys = True
            other.tell("late")
            other.exit("late")
            other.kill()
            with pytest.raises(ActorDied):
                other.ask("late", block=False).get(timeout=0)
            for attempt in (
                lambda: actor.spawn(Puppet),
                lambda: actor.link(other),
                lambda: actor.send_after(1, "late"),
            ):
                with pytest.raises(ActorDied) as refused:
                    attempt()
                failures.append(refused.value.reason)

        actor.afterwards = talk
        one.tell("go")
        await asyncio.sleep(1)
        one.kill()
        await asyncio.sleep(10)
        assert await do(other, lambda puppet: puppet.seen) == []
        assert system.scheduler.fenced_sends == 4
        assert {d.reason for d in system.dead_letters} == {"fenced", "killed"}
        assert failures == ["killed"] * 3
        assert system.actors() == [other]

    in_sim(main)


def test_an_abandoned_coroutine_may_still_end_by_itself(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        done: list[str] = []

        class Slow(Actor):
            async def on_receive(self, message: Any) -> None:
                try:
                    await asyncio.sleep(1000)
                finally:
                    await asyncio.sleep(3)
                    done.append("cleaned up")

        one = system.start(Slow)
        one.tell("go")
        await asyncio.sleep(1)
        one.kill()
        assert await ended(one) == "killed"
        await asyncio.sleep(4)
        assert done == ["cleaned up"]
        assert system.abandoned == 0
        assert (await system.stop()).clean, "nothing is left of it"

    in_sim(main)


def test_a_stuck_thread_is_fenced_off_and_a_fresh_one_takes_its_place(
    in_system: Run, gate: threading.Event
) -> None:
    async def main(system: ActorSystem) -> None:
        one, other = system.start(ThreadPuppet), system.start(Puppet)
        late: list[Any] = []
        inside = threading.Event()

        def block(puppet: Puppet) -> str:
            inside.set()
            gate.wait(120)
            try:
                other.tell("late")
                other.kill()
                with pytest.raises(ActorDied) as refused:
                    puppet.link(other)
                late.append(refused.value.reason)
                with pytest.raises(ActorDied):
                    puppet.spawn(Puppet)
            finally:
                late.append("over")
            return "late answer"

        asked = one.request(block)
        await asyncio.to_thread(inside.wait, 120)
        one.kill()
        with pytest.raises(ActorDied):
            await asked
        fresh = system.start(ThreadPuppet)
        assert await fresh.request(lambda puppet: "works", timeout=5) == "works"
        gate.set()
        await until(lambda: "over" in late)
        assert late[0] == "killed"
        await until(lambda: not system.scheduler.fenced_threads)
        assert await do(other, lambda puppet: puppet.seen) == []
        assert system.scheduler.fenced_sends == 2
        assert system.scheduler.late_replies == 1
        assert one.exit_reason == "killed"

    in_system(main, threads=1)


def test_stuck_threads_count_as_busy_until_their_handlers_return(
    in_system: Run, gate: threading.Event
) -> None:
    async def main(system: ActorSystem) -> None:
        inside: list[int] = []

        def block(number: int) -> int:
            inside.append(number)
            gate.wait(120)
            return number

        agent = Agent("blocks", handler=block)
        asked = 0
        # On a busy machine a question may be withdrawn before a thread has taken it up.
        while len(inside) < 3 or asked < 8:
            with pytest.raises(TimeoutError):
                await agent.ask(asked, timeout=0.05)
            asked += 1
        assert len(inside) == 3
        gate.set()
        assert await agent.ask(1000, timeout=120) == 1000

    in_system(main, threads=1, max_threads=3)


def test_a_stuck_thread_is_reported_when_the_system_stops(
    in_system: Run, gate: threading.Event
) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(ThreadPuppet, _name="blocker")
        inside = threading.Event()

        def block(_puppet: Any) -> None:
            inside.set()
            gate.wait(120)

        one.tell(block)
        await asyncio.to_thread(inside.wait, 120)
        report = await system.stop(timeout=0.2)
        assert one.exit_reason == "shutdown"
        assert any("a thread that blocks" in entry for entry in report.abandoned)
        assert not gate.is_set()
        assert report.duration_s < 60, "nobody waits for a thread that blocks"

    in_system(main, cancel_grace_s=0.1)


def test_what_waits_behind_a_stuck_handler_goes_on_in_the_next_incarnation(
    in_system: Run, dispatcher: str, gate: threading.Event
) -> None:
    """Nothing of it is lost, also not what a worker had been handed ahead."""
    from puppets import PUPPETS

    async def main(system: ActorSystem) -> None:
        address = Address("worker", system)
        parent = system.start(StartsChildren)
        first = await parent.request((PUPPETS[dispatcher], address))
        inside = threading.Event()

        async def stick(_puppet: Any) -> None:
            inside.set()
            while not gate.is_set():
                try:
                    await asyncio.sleep(0.01)
                except asyncio.CancelledError:
                    continue

        stuck = address.request(stick)
        for number in range(40):
            address.tell(number)
        asked = address.request("asked")
        await asyncio.to_thread(inside.wait, 120)
        first.kill()
        with pytest.raises(ActorDied):
            await stuck
        assert address.waiting == 41
        second = await parent.request((PUPPETS[dispatcher], address))
        assert await asked == "asked"
        assert await seen(second, 41) == [*range(40), "asked"]
        assert address.incarnation == 2
        assert second.incarnation == 2

    in_system(main, cancel_grace_s=0.2)


class StartsChildren(Actor):
    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, Exit):
            return None
        child, address = message
        self.trap_exit = True
        ref = await self.start_link(child, mailbox_to=address)
        address.bind(ref)
        return ref


def test_an_abandoned_coroutine_is_closed_after_the_grace_and_driven_no_more(in_sim: Run) -> None:
    steps: list[float] = []

    class Endless(Actor):
        async def on_receive(self, message: Any) -> None:
            try:
                while True:
                    try:
                        await asyncio.sleep(1)
                    except asyncio.CancelledError:
                        continue
                    steps.append(self.system.clock())
            finally:
                steps.append(-1.0)

    async def main(system: ActorSystem) -> None:
        one = system.start(Endless)
        one.tell("go")
        await asyncio.sleep(1.5)
        one.kill()
        await asyncio.sleep(100)
        assert steps == [1.0, 2.5, 3.5, 4.5, 5.5, -1.0]
        assert (await system.stop()).clean

    in_sim(main)


def test_only_the_abandoned_are_fenced_not_who_sends_meanwhile(in_system: Run) -> None:
    """While the rest of an abandoned coroutine runs, other threads' messages are not taken for its."""
    inside, done = threading.Event(), threading.Event()

    class Slow(Actor):
        async def on_receive(self, message: Any) -> None:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                inside.set()
                assert done.wait(120), "it blocks the loop for the moment"
                other.tell("from the abandoned")

    other: Any = None

    async def main(system: ActorSystem) -> None:
        nonlocal other
        other = system.start(Puppet)
        threaded = system.start(ThreadPuppet)
        one = system.start(Slow)
        one.tell("go")
        await asyncio.sleep(0.01)

        def send() -> None:
            assert inside.wait(120)
            other.tell("from a thread")
            done.set()

        thread = threading.Thread(target=send)
        thread.start()

        def work(puppet: Puppet) -> None:
            assert inside.wait(120)
            other.tell("from a thread actor")

        threaded.tell(work)
        one.kill()
        got = await seen(other, 2)
        await asyncio.to_thread(thread.join, 20)
        assert sorted(got) == ["from a thread", "from a thread actor"]
        assert system.scheduler.fenced_sends == 1

    in_system(main)


def test_an_abandoned_handler_reaches_nobody_by_any_way(
    in_system: Run, gate: threading.Event
) -> None:
    async def main(system: ActorSystem) -> None:
        address = Address("other", system)
        other = system.start(Puppet)
        address.bind(other)
        agent = Agent("agent", handler=len)
        one = system.start(ThreadPuppet)
        inside = threading.Event()
        outcome: list[Any] = []

        def attempt(how: Callable[[], Any]) -> None:
            async def finish(awaitable: Any) -> Any:
                return await awaitable

            try:
                result = how()
                if inspect.isawaitable(result):
                    result = asyncio.run(finish(result))
                outcome.append("dropped")
            except (ActorDied, AgentFailed):
                outcome.append("refused")

        def block(_puppet: Puppet) -> None:
            inside.set()
            gate.wait(120)
            for how in (
                lambda: other.tell("late"),
                lambda: other.request("late"),
                lambda: other.send("late"),
                lambda: other.ask("late", timeout=5),
                lambda: address.tell("late"),
                lambda: address.request("late"),
                lambda: agent.tell("late"),
                lambda: agent.ask("late"),
                lambda: system.start(Puppet),
            ):
                attempt(how)
            outcome.append("over")

        one.tell(block)
        await asyncio.to_thread(inside.wait, 120)
        one.kill()
        await ended(one)
        gate.set()
        await until(lambda: "over" in outcome)
        expected = ["dropped", *["refused"] * 3, "dropped", "refused", "dropped", "refused"]
        assert outcome == [*expected, "refused", "over"]
        assert await do(other, lambda puppet: puppet.seen) == []
        assert system.actors() == [other]

    in_system(main)


def test_a_kill_that_comes_when_the_worker_is_at_other_work_leaves_that_alone(
    in_system: Run, gate: threading.Event
) -> None:
    """The loop may be busy while a worker ends one actor's handler and begins another's."""

    async def main(system: ActorSystem) -> None:
        one, other = system.start(ThreadPuppet), system.start(ThreadPuppet)
        listener = system.start(Puppet)
        inside, free, begun = threading.Event(), threading.Event(), threading.Event()

        def first(_puppet: Any) -> bool:
            inside.set()
            return free.wait(120)

        def second(_puppet: Any) -> bool:
            begun.set()
            opened = gate.wait(120)
            listener.tell("sent by the second")
            return opened

        asked = one.request(first)
        await asyncio.to_thread(inside.wait, 120)
        behind = other.request(second)
        await until(lambda: system.info(other).state == "running")
        free.set()
        assert begun.wait(120), "on the loop's thread, which so does not see the first one's end"
        one.kill()
        gate.set()
        assert await behind
        assert await seen(listener) == ["sent by the second"]
        assert system.scheduler.fenced_sends == 0
        assert system.abandoned == 0
        await asyncio.gather(asked, return_exceptions=True)

    in_system(main, threads=1)


def test_an_ask_that_a_worker_takes_up_while_its_actor_is_killed_fails(
    in_system: Run, gate: threading.Event
) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(ThreadPuppet)
        loop, home = system.loop, threading.get_ident()
        real_time = loop.time
        inside, taking = threading.Event(), threading.Event()

        def time() -> float:
            if threading.get_ident() != home and inside.is_set() and not taking.is_set():
                taking.set()  # the worker has the second message in hand, and has not begun it
                gate.wait(120)
            return real_time()

        def hold(_puppet: Any) -> None:
            inside.set()

        loop.time = time  # type: ignore[method-assign]
        first, second = one.request(hold), one.request("second")
        await asyncio.to_thread(taking.wait, 120)
        one.kill()
        gate.set()
        with pytest.raises(ActorDied):
            async with asyncio.timeout(120):
                await second
        await asyncio.gather(first, return_exceptions=True)
        loop.time = real_time  # type: ignore[method-assign]

    in_system(main)


def test_a_thread_is_fenced_no_longer_than_its_handler_runs(
    in_system: Run, gate: threading.Event
) -> None:
    """The next thread may be given its number, and must not be taken for it."""

    async def main(system: ActorSystem) -> None:
        one = system.start(ThreadPuppet)
        inside = threading.Event()
        threads: list[threading.Thread] = []

        def block(_puppet: Any) -> None:
            threads.append(threading.current_thread())
            inside.set()
            gate.wait(120)

        asked = one.request(block)
        await asyncio.to_thread(inside.wait, 120)
        one.kill()
        with pytest.raises(ActorDied):
            await asked
        assert system.scheduler.fenced_threads == {threads[0].ident}
        gate.set()
        threads[0].join(120)
        assert system.scheduler.fenced_threads == set(), "before the loop has had another turn"

    in_system(main)


def test_an_asker_who_gives_up_just_when_its_work_ends_disturbs_nobody(
    in_system: Run, gate: threading.Event
) -> None:
    """The worker may be at the next payload when the loop hears of it."""

    async def main(system: ActorSystem) -> None:
        inside, free, begun = threading.Event(), threading.Event(), threading.Event()

        def handle(payload: str) -> str:
            if payload == "first":
                inside.set()
                free.wait(120)
            else:
                begun.set()
                gate.wait(120)
            return payload

        agent = Agent("worker", handler=handle)
        first = asyncio.ensure_future(agent.ask("first"))
        second = asyncio.ensure_future(agent.ask("second"))
        await asyncio.to_thread(inside.wait, 120)
        pool: Any = system.pools.threads
        withdraw = pool.withdraw

        def withdraw_slowly(job: Any) -> bool:
            free.set()
            begun.wait(0.2)
            return bool(withdraw(job))

        pool.withdraw = withdraw_slowly
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        gate.set()
        async with asyncio.timeout(120):
            assert await second == "second"

    in_system(main)


@pytest.mark.parametrize("kind", ["thread", "pinned"])
@pytest.mark.parametrize("end", ["withdrawn", "stopped", "killed"])
def test_a_coroutine_that_is_to_end_before_its_thread_comes_to_it_does_not_begin(
    in_system: Run, gate: threading.Event, kind: str, end: str
) -> None:
    taken = threading.Event()
    began: list[Any] = []

    async def work(message: Any) -> None:
        began.append(message)
        await asyncio.Event().wait()

    def handle(message: Any) -> Any:
        if message == "next":
            return message
        taken.set()
        gate.wait(120)
        return work(message)

    class Slow(Actor):
        dispatcher = kind

        def on_receive(self, message: Any) -> Any:
            return handle(message)

    async def main(system: ActorSystem) -> None:
        if end == "withdrawn":
            agent = Agent("slow", handler=handle, dispatcher=kind)
            asked = asyncio.create_task(agent.ask("x"))
            await until(taken.is_set)
            asked.cancel()
            await asyncio.sleep(0)
            gate.set()
            assert await agent.ask("next", timeout=120) == "next"
        else:
            one = system.start(Slow)
            one.tell("x")
            await until(taken.is_set)
            one.exit("stop" if end == "stopped" else "kill")
            gate.set()
            await system.wait_ended(one)
        # No thread has work any more, and the grace is not waited for.
        await until(lambda: not any(": " in each.name for each in threading.enumerate()))

    in_system(main, cancel_grace_s=600)
    assert began == []


@pytest.mark.parametrize("kind", ["thread", "pinned"])
def test_a_killed_handler_that_awaits_in_a_thread_is_cancelled_there(
    in_system: Run, kind: str
) -> None:
    begun, closed = threading.Event(), threading.Event()

    class Waits(Actor):
        dispatcher = kind

        async def on_receive(self, message: Any) -> None:
            try:
                begun.set()
                await asyncio.Event().wait()
            finally:
                closed.set()

    async def main(system: ActorSystem) -> None:
        one = system.start(Waits)
        one.tell("x")
        await until(begun.is_set)
        one.kill()
        await system.wait_ended(one)
        await until(closed.is_set)
        await until(lambda: not any(": " in each.name for each in threading.enumerate()))
        assert system.abandoned == 0, "told to end, it did"

    in_system(main, cancel_grace_s=600)


@pytest.mark.parametrize("kind", ["thread", "pinned"])
@pytest.mark.parametrize("grace_s", [0.001, 600])
def test_a_killed_handler_that_awaits_in_a_thread_is_reported_after_its_grace(
    in_system: Run, gate: threading.Event, kind: str, grace_s: float
) -> None:
    begun, told = threading.Event(), threading.Event()

    class Cleans(Actor):
        dispatcher = kind

        async def on_receive(self, message: Any) -> None:
            try:
                begun.set()
                await asyncio.Event().wait()
            finally:
                told.set()
                gate.wait(120)

    async def main(system: ActorSystem) -> None:
        one = system.start(Cleans)
        one.tell("x")
        await until(begun.is_set)
        one.kill()
        await system.wait_ended(one)
        await until(told.is_set)
        if grace_s == 600:
            assert system.abandoned == 0, "it has time yet"
        else:
            await until(lambda: system.abandoned == 1)
        gate.set()
        await until(lambda: not any(": " in each.name for each in threading.enumerate()))
        assert system.abandoned == (grace_s != 600)

    in_system(main, cancel_grace_s=grace_s)


@pytest.mark.parametrize("kind", ["thread", "pinned"])
def test_a_handler_that_cancels_itself_after_one_that_was_withdrawn_has_an_asker_to_tell(
    in_system: Run, kind: str
) -> None:
    """The thread has both at once; the cancellation of the second is not that of the first."""
    begun = threading.Event()

    async def handle(payload: str) -> str:
        if payload == "second":
            raise asyncio.CancelledError("of its own")
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "swallowed"
        return payload

    async def main(system: ActorSystem) -> None:
        agent = Agent("worker", handler=handle, dispatcher=kind)
        first, second = (asyncio.ensure_future(agent.ask(each)) for each in ("first", "second"))
        await until(begun.is_set)
        first.cancel()
        with pytest.raises(AgentFailed) as failed:
            await second
        assert isinstance(failed.value.__cause__, HandlerCancelled)
        assert system.abandoned == 0

    in_system(main)


@pytest.mark.parametrize("kind", ["thread", "pinned"])
def test_each_withdrawn_message_of_a_thread_has_a_grace_of_its_own(
    in_system: Run, monkeypatch: pytest.MonkeyPatch, gate: threading.Event, kind: str
) -> None:
    begun = [threading.Event(), threading.Event()]
    cleaning = threading.Event()

    async def handle(number: int) -> Any:
        begun[number].set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if number == 1:
                cleaning.set()
                gate.wait(120)
                raise
        return number

    async def main(system: ActorSystem) -> None:
        graces: list[asyncio.TimerHandle] = []
        call_later = system.scheduler.loop.call_later

        def remember(delay: float, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
            handle = call_later(delay, *args, **kwargs)
            if delay == system.cancel_grace_s:
                graces.append(handle)
            return handle

        monkeypatch.setattr(system.scheduler.loop, "call_later", remember)
        agent = Agent("worker", handler=handle, dispatcher=kind)
        asked = [asyncio.ensure_future(agent.ask(number)) for number in (0, 1)]
        for number in (0, 1):
            await until(begun[number].is_set)
            asked[number].cancel()
            await asyncio.sleep(0)
        await until(cleaning.is_set)
        first, second = graces
        assert first.cancelled()
        assert not second.cancelled()
        gate.set()
        await until(second.cancelled)
        assert system.abandoned == 0

    in_system(main, cancel_grace_s=600)


@pytest.mark.parametrize("kind", ["thread", "pinned"])
def test_of_a_handler_that_fails_after_it_was_left_behind_its_actor_keeps_nothing(
    in_system: Run, gate: threading.Event, kind: str
) -> None:
    inside = threading.Event()

    class Fails(Actor):
        dispatcher = kind

        def on_receive(self, message: Any) -> None:
            inside.set()
            gate.wait(120)
            raise ValueError(message)

    async def main(system: ActorSystem) -> None:
        one = system.start(Fails)
        one.tell("x")
        await until(inside.is_set)
        one.kill()
        await system.wait_ended(one)
        gate.set()
        await until(lambda: not any(": " in each.name for each in threading.enumerate()))
        assert one._context is None

    in_system(main)


def test_an_answer_may_be_deferred_in_a_thread_while_its_actor_ends(
    in_system: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending, deferred = threading.Event(), threading.Event()
    about_to = threading.Event()
    own_ext, fail = Cell._own_ext, Request.fail

    def own_ext_slowly(cell: Cell) -> Any:
        ext = own_ext(cell)
        if HERE.cell is cell and cell._current.message == "second":
            about_to.set()
            ending.wait(120)
        return ext

    def fail_slowly(request: Any, error: BaseException) -> None:
        if request.message == "first":
            ending.set()
            deferred.wait(120)
        fail(request, error)

    class Defers(Actor):
        dispatcher = "thread"

        def on_receive(self, message: Any) -> None:
            self.defer_reply()
            if message == "second":
                deferred.set()

    async def main(system: ActorSystem) -> None:
        one = system.start(Defers)
        asked = [one.request("first"), one.request("second")]
        await until(about_to.is_set)
        one.kill()
        for each in asked:
            with pytest.raises(ActorDied):
                await each

    monkeypatch.setattr(Cell, "_own_ext", own_ext_slowly)
    monkeypatch.setattr(Request, "fail", fail_slowly)
    in_system(main)


@pytest.mark.parametrize("kind", ["thread", "pinned"])
def test_where_no_thread_can_be_started_the_actor_crashes_and_its_askers_are_told(
    in_system: Run, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    from puppets import PUPPETS

    async def main(system: ActorSystem) -> None:
        def start(_worker: Any) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr("agenticaiframework.actors.dispatch.workers.Worker.start", start)
            one = system.start(PUPPETS[kind])
            asked = [one.request(number) for number in range(3)]
            for request in asked:
                with pytest.raises(ActorDied) as died:
                    await request
                assert "can't start new thread" in str(died.value.reason)
        assert await ended(one) is died.value.reason
        other = system.start(PUPPETS[kind])
        assert await do(other, lambda puppet: "works") == "works"

    in_system(main)
