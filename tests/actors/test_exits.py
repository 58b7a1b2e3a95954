"""Exit signals, kill, and what an actor does at its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from puppets import PUPPETS, Crash, Puppet, Stage, crash, do, ended, exit_with, seen, until

from agenticaiframework.actors import (
    Actor,
    ActorDied,
    ActorExit,
    ActorRef,
    ActorSystem,
    Down,
    Exit,
    HandlerCancelled,
    Ignore,
    StartFailed,
    describe_reason,
    is_normal,
)

Run = Callable[..., Any]


class Diary(Actor):
    """Writes down which of its hooks ran, where, and why it ended."""

    def __init__(self, entries: list[Any]) -> None:
        super().__init__()
        self.entries = entries

    def on_start(self) -> None:
        self.entries.append("start")

    def on_receive(self, message: Any) -> Any:
        return message(self)

    def on_stop(self) -> None:
        self.entries.append(("stop", self.exit_reason))

    def on_failure(self, exc_type: Any, exc: Any, tb: Any) -> None:
        self.entries.append(("failure", exc, tb is not None))


class ThreadDiary(Diary):
    dispatcher = "thread"


class PinnedDiary(Diary):
    dispatcher = "pinned"


DIARIES: dict[str, type[Diary]] = {
    "event_loop": Diary,
    "thread": ThreadDiary,
    "pinned": PinnedDiary,
}


# -- signals --------------------------------------------------------------------------------------


def test_an_exit_signal_ends_an_actor_with_its_reason(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            one, other = stage.first(), stage.second()
            await do(one, lambda puppet: other.exit(("shutdown", "enough")))
            assert await ended(other) == ("shutdown", "enough")

    in_system(main)


def test_a_normal_signal_is_ignored_unless_trapped(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            one, plain, trapping = stage.first(), stage.second(), stage.second(trap=True)
            await do(one, lambda puppet: plain.exit("normal"))
            await do(one, lambda puppet: trapping.exit("normal"))
            assert await seen(trapping) == [Exit(one, "normal")]
            assert await do(plain, lambda puppet: puppet.seen) == []

    in_system(main)


def test_an_exit_signal_of_an_actor_names_its_sender(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            one, other = stage.first(), stage.second(trap=True)
            await do(one, lambda puppet: other.exit("from one"))
            other.exit("from outside")
            assert await seen(other, 2) == [Exit(one, "from one"), Exit(None, "from outside")]

    in_system(main)


def test_an_exit_signal_from_an_actor_to_itself_ends_it_even_if_normal(
    in_system: Run, dispatcher: str
) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(PUPPETS[dispatcher])
        one.tell(lambda puppet: puppet.actor_ref.exit("normal"))
        assert await ended(one) == "normal"
        trapping = system.start(PUPPETS[dispatcher], trap=True)
        await do(trapping, lambda puppet: puppet.actor_ref.exit("normal"))
        assert await seen(trapping) == [Exit(trapping, "normal")]

    in_system(main)


def test_a_dead_actor_ignores_signals(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            one = stage.second()
            one.exit("first")
            assert await ended(one) == "first"
            one.exit("second")
            one.kill()
            assert one.exit_reason == "first"

    in_system(main)


def test_trapping_is_decided_when_the_signal_arrives(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet, trap=True)
        actor = one._actor
        assert actor is not None
        system.suspend(one)
        one.exit("trapped")
        actor.trap_exit = False
        assert one.is_alive()
        one.exit("not trapped")
        assert await ended(one) == "not trapped"

    in_sim(main)


def test_exit_signals_overtake_messages(in_system: Run, dispatcher: str) -> None:
    async def main(system: ActorSystem) -> None:
        handled: list[int] = []
        one = system.start(PUPPETS[dispatcher])
        system.suspend(one)
        for number in range(100):
            one.tell(lambda _p, n=number: handled.append(n))
        one.exit("now")
        assert await ended(one) == "now"
        assert handled == []
        assert system.dead_letters.count == 100

    in_system(main)


# -- kill -----------------------------------------------------------------------------------------


def test_kill_cannot_be_trapped_and_is_told_as_killed(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            one, other = stage.first(trap=True), stage.second(trap=True)
            await do(one, lambda puppet: puppet.link(other))
            monitor = await do(one, lambda puppet: puppet.monitor(other))
            other.kill()
            assert await ended(other) == "killed"
            messages = await seen(one, 2)
            assert sorted(messages, key=repr) == sorted(
                [Exit(other, "killed"), Down(other, "killed", monitor)], key=repr
            )

    in_system(main)


def test_killed_along_a_link_is_an_ordinary_reason(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        victim, linked, trapping = (system.start(Puppet) for _ in range(3))
        await do(trapping, lambda puppet: setattr(puppet, "trap_exit", True))
        await do(linked, lambda puppet: puppet.link(victim))
        await do(trapping, lambda puppet: puppet.link(linked))
        victim.kill()
        assert await ended(linked) == "killed"
        assert await do(trapping, lambda puppet: puppet.seen) == [Exit(linked, "killed")]

    in_sim(main)


def test_exiting_with_the_reason_kill_can_be_trapped_by_the_linked(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one, plain, trapping = (system.start(Puppet) for _ in range(3))
        await do(trapping, lambda puppet: setattr(puppet, "trap_exit", True))
        await do(one, lambda puppet: [puppet.link(plain), puppet.link(trapping)])
        one.tell(exit_with("kill"))
        assert await ended(one) == "kill"
        assert await ended(plain) == "kill"
        assert await do(trapping, lambda puppet: puppet.seen) == [Exit(one, "kill")]

    in_sim(main)


def test_kill_ends_a_handler_that_waits(in_sim: Run) -> None:
    class Waiter(Actor):
        async def on_receive(self, message: Any) -> None:
            await asyncio.sleep(1000)

    async def main(system: ActorSystem) -> None:
        one = system.start(Waiter)
        asked = one.request("wait")
        await asyncio.sleep(1)
        one.kill()
        with pytest.raises(ActorDied) as died:
            await asked
        assert died.value.reason == "killed"
        assert system.clock() == 1.0

    in_sim(main)


# -- how handlers end their actor ------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["normal", "shutdown", ("shutdown", 2), "boom", 3.5])
def test_exit_in_a_handler_ends_the_actor_with_that_reason(
    in_system: Run, dispatcher: str, reason: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        entries: list[Any] = []
        one = system.start(DIARIES[dispatcher], entries)
        asked = one.request(exit_with(reason))
        with pytest.raises(ActorDied) as died:
            await asked
        assert died.value.reason == reason
        assert await ended(one) == reason
        assert entries == ["start", ("stop", reason)]

    in_system(main)


def test_a_crash_runs_on_failure_instead_of_on_stop(in_system: Run, dispatcher: str) -> None:
    async def main(system: ActorSystem) -> None:
        entries: list[Any] = []
        one = system.start(DIARIES[dispatcher], entries)
        one.tell(crash)
        error = await ended(one)
        assert isinstance(error, Crash)
        assert entries == ["start", ("failure", error, True)]
        [letter] = system.dead_letters
        assert letter.reason is error, "the message that crashed it is not lost in silence"

    in_system(main)


def test_an_error_while_answering_goes_to_the_asker_and_the_actor_lives(
    in_system: Run, dispatcher: str
) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(PUPPETS[dispatcher])
        with pytest.raises(Crash):
            await do(one, crash)
        assert await do(one, lambda puppet: "alive") == "alive"

    in_system(main)


def test_with_crash_on_ask_error_the_asker_gets_the_error_and_the_actor_crashes(
    in_system: Run, dispatcher: str
) -> None:
    async def main(system: ActorSystem) -> None:
        class Strict(PUPPETS[dispatcher]):  # type: ignore[misc]
            crash_on_ask_error = True

        one = system.start(Strict)
        with pytest.raises(Crash) as told:
            await do(one, crash)
        assert await ended(one) is told.value
        assert system.dead_letters.count == 0, "its asker knows, so it is no dead letter"

    in_system(main)


def test_a_cancellation_that_nobody_asked_for_is_a_crash(in_sim: Run) -> None:
    class Careless(Actor):
        async def on_receive(self, message: Any) -> None:
            task = asyncio.get_running_loop().create_task(asyncio.sleep(1000))
            asyncio.get_running_loop().call_later(1, task.cancel)
            await task

    async def main(system: ActorSystem) -> None:
        one = system.start(Careless)
        one.tell("go")
        reason = await ended(one)
        assert isinstance(reason, HandlerCancelled)
        assert isinstance(reason.__cause__, asyncio.CancelledError)

    in_sim(main)


# -- on_stop -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stop", "exit", "kill", "signal", "system"])
def test_on_stop_runs_exactly_once_with_the_reason(
    in_system: Run, dispatcher: str, how: str
) -> None:
    entries: list[Any] = []

    async def main(system: ActorSystem) -> None:
        one = system.start(DIARIES[dispatcher], entries)
        await do(one, lambda diary: None)
        if how == "stop":
            await one.stop(block=False)
        elif how == "exit":
            one.tell(exit_with("done"))
        elif how == "kill":
            one.kill()
            one.kill()
        elif how == "signal":
            one.exit("told")
            one.exit("told again")
        elif how == "system":
            await system.stop()
        await ended(one)

    in_system(main)
    expected = {
        "stop": "normal",
        "exit": "done",
        "kill": "killed",
        "signal": "told",
        "system": "shutdown",
    }
    assert entries == ["start", ("stop", expected[how])]


def test_on_stop_may_take_the_reason_and_be_async(in_sim: Run) -> None:
    class Polite(Actor):
        async def on_stop(self, reason: Any) -> None:  # type: ignore[override]
            await asyncio.sleep(2)
            farewells.append((reason, self.system.clock()))

    farewells: list[Any] = []

    async def main(system: ActorSystem) -> None:
        one = system.start(Polite)
        one.exit("moving")
        assert await ended(one) == "moving"
        assert farewells == [("moving", 2.0)]

    in_sim(main)


def test_an_error_in_on_stop_replaces_an_orderly_reason(in_sim: Run) -> None:
    class Clumsy(Actor):
        def on_stop(self) -> None:
            raise Crash("in on_stop")

    async def main(system: ActorSystem) -> None:
        one, other = system.start(Clumsy), system.start(Clumsy)
        one.exit("shutdown")
        assert isinstance(await ended(one), Crash)
        other.exit("boom")
        assert await ended(other) == "boom"

    in_sim(main)


def test_a_kill_does_not_wait_for_ever_for_on_stop(in_system: Run, dispatcher: str) -> None:
    release = threading.Event()

    class Stuck(Actor):
        def on_stop(self) -> Any:
            if self.dispatcher == "event_loop":
                return asyncio.sleep(1000)
            return release.wait(120)

    Stuck.dispatcher = dispatcher

    async def main(system: ActorSystem) -> None:
        try:
            one = system.start(Stuck)
            one.kill()
            async with asyncio.timeout(120):
                assert await ended(one) == "killed"
            other = system.start(Stuck)
            other.exit("shutdown")
            await until(lambda: not other.is_alive())
            other.kill()
            async with asyncio.timeout(120):
                assert await ended(other) == "killed"
        finally:
            release.set()

    in_system(main, cancel_grace_s=0.2)


def test_a_cancelled_handler_may_finish_its_finally_blocks_before_on_stop(in_sim: Run) -> None:
    order: list[str] = []

    class Careful(Actor):
        async def on_receive(self, message: Any) -> None:
            try:
                await asyncio.sleep(1000)
            finally:
                await asyncio.sleep(1)
                order.append("finally")

        def on_stop(self) -> None:
            order.append("stop")

    async def main(system: ActorSystem) -> None:
        one = system.start(Careful)
        one.tell("go")
        await asyncio.sleep(1)
        one.exit("shutdown")
        await ended(one)
        assert order == ["finally", "stop"]
        assert system.abandoned == 0

    in_sim(main)


# -- the order of an end -----------------------------------------------------------------------


def test_names_and_groups_are_free_before_any_signal_arrives(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            found: list[Any] = []

            class Watcher(Puppet):
                def on_receive(self, message: Any) -> Any:
                    if isinstance(message, Exit | Down):
                        home = message.ref.system
                        assert home is not None
                        found.append((home.whereis("service"), home.whereis("alias")))
                        found.append(home.groups.members("pool"))
                        found.append(message.ref.is_alive())
                    return super().on_receive(message)

            watcher = system.start(Watcher, trap=True)
            service = stage.second(name="service")
            home = service.system
            assert home is not None
            await do(service, lambda puppet: home.register("alias", puppet.actor_ref))
            await do(service, lambda puppet: home.groups.join("pool", puppet.actor_ref))
            await do(watcher, lambda puppet: puppet.link(service))
            await do(watcher, lambda puppet: puppet.monitor(service))
            assert home.whereis("service") is service
            assert home.groups.members("pool") == [service]
            service.tell(exit_with("gone"))
            await seen(watcher, 2)
            assert found == [(None, None), [], False] * 2

    in_system(main)


def test_a_hook_sees_every_end_at_that_moment(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        ends: list[Any] = []
        remove = system.on_actor_end(lambda ref, reason: ends.append((ref, reason, ref.is_alive())))
        one, other = system.start(Puppet), system.start(Puppet, trap=True)
        await do(other, lambda puppet: puppet.link(one))
        one.exit("boom")
        await ended(one)
        assert ends == [(one, "boom", False)]
        remove()
        other.kill()
        await ended(other)
        assert len(ends) == 1

    in_sim(main)


def test_sends_fail_from_the_moment_the_end_begins(in_sim: Run) -> None:
    class Slow(Actor):
        async def on_stop(self) -> None:
            await asyncio.sleep(5)

    async def main(system: ActorSystem) -> None:
        one = system.start(Slow, _name="slow")
        one.exit("shutdown")
        await asyncio.sleep(1)
        assert not one.is_alive()
        assert system.whereis("slow") is None
        with pytest.raises(ActorDied):
            one.tell("late")
        with pytest.raises(ActorDied):
            await one.request("late")
        await ended(one)
        assert system.clock() == 5.0

    in_sim(main)


def test_what_waits_in_the_mailbox_at_the_end_fails_or_becomes_dead_letters(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)
        system.suspend(one)
        one.tell("told")
        asked = one.request("asked")
        future = one.ask("asked", block=False)
        one.exit("boom")
        with pytest.raises(ActorDied) as died:
            await asked
        assert died.value.reason == "boom"
        with pytest.raises(ActorDied):
            await future
        assert [(d.message, d.recipient, d.reason) for d in system.dead_letters] == [
            ("told", one.label, "boom")
        ]

    in_sim(main)


# -- starting ----------------------------------------------------------------------------------


class Parent(Actor):
    """Starts a child when told to, and answers what came of it."""

    async def on_receive(self, message: Any) -> Any:
        child, options = message
        return await self.start_link(child, **options)


def test_start_link_returns_when_the_child_has_started(in_sim: Run) -> None:
    class SlowStart(Actor):
        async def on_start(self) -> None:
            await asyncio.sleep(3)

    async def main(system: ActorSystem) -> None:
        parent = system.start(Parent)
        child = await parent.request((SlowStart, {"name": "slow"}))
        assert system.clock() == 3.0
        assert child.name == "slow"
        assert child in system.info(parent).links

    in_sim(main)


def test_start_link_raises_what_kept_the_child_from_starting(in_system: Run) -> None:
    class Unborn(Actor):
        def __init__(self) -> None:
            super().__init__()
            raise Crash("in the constructor")

    class Stillborn(Actor):
        def on_start(self) -> None:
            raise Crash("in on_start")

    class Quitter(Actor):
        def on_start(self) -> None:
            self.exit(("shutdown", "no need"))

    async def main(system: ActorSystem) -> None:
        parent = system.start(Parent)
        for child, reason in ((Unborn, Crash), (Stillborn, Crash), (Quitter, tuple)):
            with pytest.raises(StartFailed) as failed:
                await parent.request((child, {}))
            assert isinstance(failed.value.reason, reason)
        assert system.actors() == [parent]

    in_system(main)


def test_a_child_that_ignores_its_start_gives_none(in_sim: Run) -> None:
    class NotToday(Actor):
        def on_start(self) -> None:
            raise Ignore

    async def main(system: ActorSystem) -> None:
        parent = system.start(Parent)
        assert await parent.request((NotToday, {})) is None
        assert system.actors() == [parent]

    in_sim(main)


def test_a_start_that_takes_too_long_is_ended(in_sim: Run) -> None:
    class Endless(Actor):
        async def on_start(self) -> None:
            await asyncio.sleep(1000)

    async def main(system: ActorSystem) -> None:
        parent = system.start(Parent)
        with pytest.raises(StartFailed) as failed:
            await parent.request((Endless, {"timeout": 2.0}))
        assert failed.value.reason == "timeout"
        assert system.clock() == 2.0
        await asyncio.sleep(1)
        assert system.actors() == [parent]

    in_sim(main)


def test_messages_wait_until_on_start_has_succeeded(in_sim: Run) -> None:
    class SlowStart(Puppet):
        async def on_start(self) -> None:
            await asyncio.sleep(1)
            self.seen.append("started")

    async def main(system: ActorSystem) -> None:
        one = system.start(SlowStart)
        one.tell("first")
        assert await do(one, lambda puppet: puppet.seen) == ["started", "first"]

    in_sim(main)


def test_an_actor_that_fails_to_start_tells_its_askers(in_system: Run, dispatcher: str) -> None:
    class Stillborn(Actor):
        def on_start(self) -> None:
            raise Crash("at birth")

        def on_stop(self) -> None:
            stops.append(1)

    stops: list[int] = []
    Stillborn.dispatcher = dispatcher

    async def main(system: ActorSystem) -> None:
        one: ActorRef[Any] = system.start(Stillborn)
        asked = one.request("hello")
        with pytest.raises(ActorDied) as died:
            await asked
        assert isinstance(died.value.reason, Crash)
        assert stops == [], "what never lived is not stopped"

    in_system(main)


# -- reasons -----------------------------------------------------------------------------------


def test_orderly_reasons_are_told_from_others() -> None:
    assert all(is_normal(reason) for reason in ("normal", "shutdown", ("shutdown", 1)))
    others = ("killed", "kill", "noproc", "boom", None, 1, (), ("shutdown",), ("shutdown", 1, 2))
    assert not any(is_normal(reason) for reason in (*others, Crash(), ["shutdown", 1]))


def test_a_reason_is_described_in_one_line() -> None:
    assert describe_reason("killed") == "killed"
    assert describe_reason(("shutdown", "moved")) == "shutdown (moved)"
    assert describe_reason(ValueError("first\nsecond")) == "ValueError: first"
    assert describe_reason(KeyError()) == "KeyError"


def test_the_exit_exception_is_no_error_of_ours() -> None:
    """So that a handler's ``except AgenticError`` does not keep its actor from ending."""
    from agenticaiframework.actors import AgenticError

    assert not issubclass(ActorExit, AgenticError)


def test_signals_go_out_in_the_order_of_linking_then_downs(in_sim: Run) -> None:
    told: list[Any] = []

    class Told(Puppet):
        def on_receive(self, message: Any) -> Any:
            if isinstance(message, Exit | Down):
                told.append((self.actor_ref.name, type(message).__name__))
            return super().on_receive(message)

    async def main(system: ActorSystem) -> None:
        watcher = system.start(Told, _name="watcher")
        linked = [system.start(Told, _name=name, trap=True) for name in "cab"]
        one = system.start(Puppet)
        await do(watcher, lambda puppet: puppet.monitor(one))
        for ref in linked:
            await do(one, lambda puppet, ref=ref: puppet.link(ref))
        one.exit("boom")
        await ended(one)
        await asyncio.sleep(0)
        assert told == [("c", "Exit"), ("a", "Exit"), ("b", "Exit"), ("watcher", "Down")]

    in_sim(main)
