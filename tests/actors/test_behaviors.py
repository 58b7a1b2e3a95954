"""become and stash, timers and receive timeouts, pipe_to, flush, suspend: what one actor can do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from puppets import PUPPETS, Crash, Puppet, do, ended, exit_with, seen, until

from agenticaiframework.actors import (
    Actor,
    ActorDied,
    ActorRef,
    ActorSystem,
    PipedFailure,
    ReceiveTimeout,
)

Run = Callable[..., Any]


# -- become and stash --------------------------------------------------------------------------


class Door(Actor):
    """Opens and closes; while it is closed it stashes who wants to pass."""

    def __init__(self) -> None:
        super().__init__()
        self.passed: list[Any] = []
        self.become(self.closed)

    def closed(self, message: Any) -> Any:
        if message == "open":
            self.unstash_all()
            self.become(self.opened)
            return "opened"
        self.stash()
        return None

    async def opened(self, message: Any) -> Any:
        await asyncio.sleep(0)
        if message == "close":
            self.become(self.closed)
            return "closed"
        self.passed.append(message)
        return f"{message} passed"


class ThreadDoor(Door):
    dispatcher = "thread"


class PinnedDoor(Door):
    dispatcher = "pinned"


DOORS: dict[str, type[Door]] = {"event_loop": Door, "thread": ThreadDoor, "pinned": PinnedDoor}


def test_stashed_messages_come_back_in_order_and_before_later_ones(
    in_system: Run, dispatcher: str
) -> None:
    async def main(system: ActorSystem) -> None:
        door = system.start(DOORS[dispatcher])
        actor = door._actor
        assert actor is not None
        system.suspend(door)
        for number in range(5):
            door.tell(number)
        opened = door.request("open")
        for number in range(5, 40):
            door.tell(number)
        closed = door.request("close")
        door.tell("too late")
        system.resume(door)
        assert await opened == "opened"
        assert await closed == "closed"
        assert actor.passed == list(range(40))
        await door.request("open")
        await door.request("last")
        assert actor.passed[-2:] == ["too late", "last"]

    in_system(main)


def test_the_asker_of_a_stashed_message_waits_for_its_turn(in_system: Run, dispatcher: str) -> None:
    async def main(system: ActorSystem) -> None:
        door = system.start(DOORS[dispatcher])
        asked = door.request("a guest")
        await asyncio.sleep(0.01)
        assert not asked.done()
        await door.request("open")
        assert await asked == "a guest passed"

    in_system(main)


def test_the_asker_of_a_stashed_message_learns_that_the_actor_died(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        door = system.start(Door)
        asked = door.request("a guest")
        door.tell("told")
        await asyncio.sleep(1)
        door.exit("closed for good")
        with pytest.raises(ActorDied) as died:
            await asked
        assert died.value.reason == "closed for good"
        assert [letter.message for letter in system.dead_letters] == ["told"]

    in_sim(main)


def test_behaviours_can_be_stacked(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)
        spoken: list[Any] = []

        def first(message: Any) -> Any:
            spoken.append(("first", message))
            actor = one._actor
            assert actor is not None
            if message == "deeper":
                actor.become(second, discard=False)
            elif message == "up":
                actor.unbecome()

        def second(message: Any) -> Any:
            spoken.append(("second", message))
            actor = one._actor
            assert actor is not None
            if message == "up":
                actor.unbecome()

        await do(one, lambda puppet: puppet.become(first, discard=False))
        for message in ("deeper", "hello", "up", "hello", "up"):
            one.tell(message)
        assert await do(one, lambda puppet: "itself again") == "itself again"
        assert spoken == [
            ("first", "deeper"),
            ("second", "hello"),
            ("second", "up"),
            ("first", "hello"),
            ("first", "up"),
        ]

    in_sim(main)


def test_become_none_goes_back_to_on_receive(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)
        await do(one, lambda puppet: puppet.become(lambda message: puppet.become(None)))
        one.tell("swallowed by the other behaviour")
        one.tell("kept")
        assert await do(one, lambda puppet: puppet.seen) == ["kept"]

    in_sim(main)


# -- flush -------------------------------------------------------------------------------------


def test_flush_takes_only_what_fits_and_keeps_the_order(in_system: Run, dispatcher: str) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(PUPPETS[dispatcher])
        system.suspend(one)
        taken = one.request(lambda puppet: puppet.flush(lambda m: isinstance(m, int) and m % 2))
        for number in range(30):
            one.tell(number)
        system.resume(one)
        assert await taken == list(range(1, 30, 2))
        assert await seen(one, 15) == list(range(0, 30, 2))

    in_system(main)


# -- timers --------------------------------------------------------------------------------------


def test_a_timer_sends_its_message_once_and_on_time(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)
        timer = await do(one, lambda puppet: puppet.send_after(3, "later"))
        assert timer.active
        await asyncio.sleep(2.999)
        assert await do(one, lambda puppet: puppet.seen) == []
        await asyncio.sleep(10)
        assert await do(one, lambda puppet: puppet.seen) == ["later"]
        assert not timer.active
        assert timer.cancel() is False
        assert system.info(one).timers == 0

    in_sim(main)


def test_a_cancelled_timer_sends_nothing(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)
        timer = await do(one, lambda puppet: puppet.send_after(3, "later"))
        assert timer.cancel() is True
        await asyncio.sleep(10)
        assert await do(one, lambda puppet: puppet.seen) == []

    in_sim(main)


def test_an_interval_keeps_its_period_also_when_the_loop_was_busy(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)
        await do(one, lambda puppet: puppet.send_interval(2, "tick"))
        await asyncio.sleep(3.5)
        system.loop.block(1.0)  # type: ignore[attr-defined]
        await asyncio.sleep(3.8)  # until 8.3: at 2, 4.5, 6 and 8
        assert await do(one, lambda puppet: puppet.seen) == ["tick"] * 4

    in_sim(main)


def test_timers_die_with_their_actor(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)
        timers = await do(
            one, lambda puppet: [puppet.send_after(5, "x"), puppet.send_interval(5, "y")]
        )
        await do(one, lambda puppet: puppet.set_receive_timeout(5))
        one.exit("done")
        await ended(one)
        assert [timer.active for timer in timers] == [False, False]
        assert system.loop.next_timer() is None  # type: ignore[attr-defined]
        assert system.dead_letters.count == 0

    in_sim(main)


def test_timers_work_from_handlers_in_threads(in_system: Run, dispatcher: str) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(PUPPETS[dispatcher])
        await do(one, lambda puppet: puppet.send_after(0.01, "later"))
        assert await seen(one) == ["later"]
        timer = await do(one, lambda puppet: puppet.send_interval(0.005, "tick"))
        await seen(one, 4)
        assert await do(one, lambda puppet: timer.cancel()) is True

    in_system(main)


def test_a_receive_timeout_comes_when_it_is_quiet_and_not_before(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)
        await do(one, lambda puppet: puppet.set_receive_timeout(4))
        for _ in range(10):
            await asyncio.sleep(3)
            one.tell("busy")
        actor = one._actor
        assert actor is not None
        await asyncio.sleep(3.9)
        assert actor.seen == ["busy"] * 10, "it was not quiet for so long yet"
        await asyncio.sleep(1.2)
        assert actor.seen[10:] == [ReceiveTimeout(4)], "at most a quarter late"
        await asyncio.sleep(5)
        assert actor.seen[11:] == [ReceiveTimeout(4)], "and again"
        await do(one, lambda puppet: puppet.set_receive_timeout(None))
        await asyncio.sleep(50)
        assert len(actor.seen) == 12

    in_sim(main)


def test_a_handler_that_works_is_not_quiet(in_sim: Run) -> None:
    class Worker(Puppet):
        async def on_receive(self, message: Any) -> Any:  # type: ignore[override]
            self.seen.append(message)
            if message == "work":
                await asyncio.sleep(20)

    async def main(system: ActorSystem) -> None:
        one = system.start(Worker)
        actor = one._actor
        assert actor is not None
        actor.set_receive_timeout(4)
        one.tell("work")
        await asyncio.sleep(20)
        assert actor.seen == ["work"]
        await asyncio.sleep(5.1)
        assert actor.seen == ["work", ReceiveTimeout(4)]

    in_sim(main)


# -- pipe_to -------------------------------------------------------------------------------------


def test_the_outcome_of_an_awaitable_becomes_a_message(in_system: Run, dispatcher: str) -> None:
    async def fetch(value: Any) -> Any:
        await asyncio.sleep(0.001)
        return value

    async def main(system: ActorSystem) -> None:
        one, other = system.start(PUPPETS[dispatcher]), system.start(PUPPETS[dispatcher])
        await do(one, lambda puppet: puppet.pipe_to(fetch("mine")))
        assert await seen(one) == ["mine"]
        await do(one, lambda p: p.pipe_to(fetch(20), other, convert=lambda n: n + 1))
        assert await seen(other) == [21]

    in_system(main)


def test_the_failure_of_an_awaitable_becomes_a_message_too(in_sim: Run) -> None:
    async def fail() -> None:
        raise Crash("no luck")

    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)
        await do(one, lambda puppet: puppet.pipe_to(fail()))
        await do(one, lambda puppet: puppet.pipe_to(asyncio.sleep(0), convert=lambda _n: 1 / 0))
        await asyncio.sleep(1)
        first, second = await do(one, lambda puppet: puppet.seen)
        assert isinstance(first, PipedFailure)
        assert isinstance(first.error, Crash)
        assert isinstance(second.error, ZeroDivisionError)

    in_sim(main)


def test_what_is_piped_is_cancelled_with_the_actor(in_sim: Run) -> None:
    cancelled: list[bool] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)
        await do(one, lambda puppet: puppet.pipe_to(slow()))
        await asyncio.sleep(1)
        one.exit("done")
        await ended(one)
        await asyncio.sleep(1)
        assert cancelled == [True]

    in_sim(main)


def test_what_is_piped_to_the_dead_is_a_dead_letter(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one, other = system.start(Puppet), system.start(Puppet)
        await do(one, lambda puppet: puppet.pipe_to(asyncio.sleep(1, "late"), other))
        other.kill()
        await asyncio.sleep(2)
        assert [(d.message, d.reason) for d in system.dead_letters] == [("late", "noproc")]

    in_sim(main)


# -- suspend and resume ----------------------------------------------------------------------------


def test_a_suspended_actor_handles_nothing_until_it_is_resumed(
    in_system: Run, dispatcher: str
) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(PUPPETS[dispatcher])
        system.suspend(one)
        for number in range(40):
            one.tell(number)
        await asyncio.sleep(0.02)
        actor = one._actor
        assert actor is not None
        assert actor.seen == []
        assert system.info(one).state == "suspended"
        assert system.info(one).mailbox_length == 40
        system.resume(one)
        assert await seen(one, 40) == list(range(40))

    in_system(main)


def test_a_suspended_actor_can_be_stopped_and_killed(in_system: Run, dispatcher: str) -> None:
    async def main(system: ActorSystem) -> None:
        for reason in ("shutdown", "kill"):
            one = system.start(PUPPETS[dispatcher])
            system.suspend(one)
            one.tell("never handled")
            one.exit(reason)
            await ended(one)

    in_system(main)


def test_suspending_lets_the_running_handler_finish(in_sim: Run) -> None:
    class Slow(Puppet):
        async def on_receive(self, message: Any) -> Any:  # type: ignore[override]
            await asyncio.sleep(5)
            self.seen.append(message)

    async def main(system: ActorSystem) -> None:
        one = system.start(Slow)
        one.tell(1)
        one.tell(2)
        await asyncio.sleep(1)
        system.suspend(one)
        await asyncio.sleep(100)
        actor = one._actor
        assert actor is not None
        assert actor.seen == [1]
        system.resume(one)
        await asyncio.sleep(10)
        assert actor.seen == [1, 2]

    in_sim(main)


# -- names and groups ------------------------------------------------------------------------------


def test_groups_keep_the_order_of_joining_and_lose_the_dead(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        members = [system.start(Puppet) for _ in range(4)]
        for ref in members:
            system.groups.join("pool", ref)
            system.groups.join("pool", ref)
        system.groups.join("other", members[0])
        assert system.groups.members("pool") == members
        assert system.groups.all() == ["other", "pool"]
        members[1].exit("gone")
        await ended(members[1])
        system.groups.leave("pool", members[2])
        assert system.groups.members("pool") == [members[0], members[3]]
        system.groups.join("pool", members[1])
        assert system.groups.members("pool") == [members[0], members[3]], "the dead do not join"
        for ref in (members[0], members[3]):
            ref.tell(exit_with("done"))
            await ended(ref)
        assert system.groups.all() == []

    in_sim(main)


def test_a_name_belongs_to_one_live_actor(in_sim: Run) -> None:
    from agenticaiframework.actors import NameTaken

    async def main(system: ActorSystem) -> None:
        one: ActorRef[Any] = system.start(Puppet, _name="db")
        other = system.start(Puppet)
        assert system.whereis("db") is one
        with pytest.raises(NameTaken, match="db") as taken:
            system.register("db", other)
        assert taken.value.holder == "db"
        system.register("db", one)
        one.kill()
        await ended(one)
        assert system.whereis("db") is None
        system.register("db", other)
        system.register("alias", other)
        assert system.names.all() == ["alias", "db"]
        system.unregister("alias")
        system.unregister("alias")
        assert system.whereis("alias") is None
        assert system.whereis("db") is other

    in_sim(main)


# -- what can be seen of an actor ------------------------------------------------------------------


def test_an_actor_can_be_looked_into_while_it_works(in_system: Run, dispatcher: str) -> None:
    async def main(system: ActorSystem) -> None:
        import threading

        parent, child_class = system.start(Puppet, _name="parent"), PUPPETS[dispatcher]
        child = await do(parent, lambda p: p.spawn(child_class, name="child", trap=True))
        await do(parent, lambda puppet: puppet.monitor(child))
        assert await do(child, lambda puppet: 1) == 1
        await until(lambda: system.info(child).state == "idle")
        idle = system.info(child)
        assert (idle.name, idle.dispatcher, idle.incarnation) == ("child", dispatcher, 1)
        assert (idle.handled, idle.mailbox_length, idle.current_message) == (1, 0, None)
        assert (idle.parent, idle.links, idle.monitored_by) == (parent, (parent,), (parent,))
        assert idle.trap_exit
        assert system.info(parent).monitors == (child,)
        assert system.actors() == [parent, child]

        begun, finish = threading.Event(), threading.Event()

        async def work(puppet: Any) -> None:
            await asyncio.sleep(0)
            begun.set()
            while not finish.is_set():
                await asyncio.sleep(0.001)

        child.tell(work)
        child.tell("next")
        await until(begun.is_set)
        busy = system.info(child)
        assert busy.current_message is work
        assert busy.mailbox_length == 1
        assert busy.state in ("waiting", "running", "ready")
        assert busy.busy_s is not None
        assert 0 <= busy.busy_s < 120
        finish.set()
        await seen(child)
        child.kill()
        await ended(child)
        dead = system.info(child)
        assert (dead.state, dead.exit_reason, dead.name) == ("dead", "killed", "child")

    in_system(main)


def test_a_name_given_at_the_start_is_a_label_where_it_is_taken(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        first, second = system.start(Puppet, _name="db"), system.start(Puppet, _name="db")
        assert system.whereis("db") is first
        assert second.label == "db"
        second.kill()
        await ended(second)
        assert system.whereis("db") is first

    in_sim(main)


def test_an_urn_is_made_when_it_is_asked_for(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one, other = system.start(Puppet), system.start(Puppet)
        urn = one.actor_urn
        assert urn.startswith("urn:uuid:")
        assert one.actor_urn == urn
        for ref in (one, other):
            ref.kill()
            await ended(ref)
        assert one.actor_urn == urn
        assert other.actor_urn == f"urn:dead:{other.pid}"

    in_sim(main)
