"""Bounded mailboxes: a full one hurts nobody but by its declared policy."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from puppets import PUPPETS, Puppet, do, ended, seen, until

from agenticaiframework.actors import (
    ActorDied,
    ActorRef,
    ActorSystem,
    Exit,
    Mailbox,
    MailboxFull,
    RequestTimeout,
)

Run = Callable[..., Any]


def bounded(policy: Mailbox, dispatcher: str = "event_loop") -> type[Puppet]:
    """A puppet class with that mailbox."""
    return type("Bounded", (PUPPETS[dispatcher],), {"mailbox": policy})


def full(system: ActorSystem, policy: Mailbox, dispatcher: str = "event_loop") -> ActorRef[Any]:
    """A suspended puppet whose mailbox holds 0, 1, ... up to its capacity."""
    ref = system.start(bounded(policy, dispatcher))
    system.suspend(ref)
    assert policy.capacity is not None
    for number in range(policy.capacity):
        ref.tell(number)
    return ref


async def handled(system: ActorSystem, ref: ActorRef[Any]) -> None:
    """Let the suspended actor handle all that waits for it."""
    system.resume(ref)
    await until(lambda: system.info(ref).state == "idle")


def test_fail_refuses_the_sender_and_loses_nothing(in_sim: Run, dispatcher: str) -> None:
    async def main(system: ActorSystem) -> None:
        ref = full(system, Mailbox(3), dispatcher)
        with pytest.raises(MailboxFull, match="3 messages") as refused:
            ref.tell("too much")
        assert refused.value.ref is ref
        assert refused.value.capacity == 3
        with pytest.raises(MailboxFull):
            await ref.request("too much")
        with pytest.raises(MailboxFull):
            await ref.ask("too much", block=False)
        with pytest.raises(MailboxFull):
            await ref.send("too much")
        assert system.dead_letters.count == 0, "whoever was refused knows"
        await handled(system, ref)
        assert await do(ref, lambda puppet: puppet.seen) == [0, 1, 2]
        ref.tell("again")
        assert await do(ref, lambda puppet: puppet.seen) == [0, 1, 2, "again"]

    in_sim(main)


def test_drop_newest_makes_a_dead_letter_of_what_does_not_fit(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        ref = full(system, Mailbox(3, overflow="drop_newest"))
        ref.tell("too much")
        with pytest.raises(MailboxFull):
            await ref.request("asked too much")
        assert [(d.message, d.reason) for d in system.dead_letters] == [
            ("too much", "mailbox_full")
        ]
        await handled(system, ref)
        assert await do(ref, lambda puppet: puppet.seen) == [0, 1, 2]

    in_sim(main)


def test_drop_oldest_makes_room_and_a_dead_letter_of_the_oldest(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        ref = system.start(bounded(Mailbox(3, overflow="drop_oldest")))
        system.suspend(ref)
        asked = ref.request("first")
        for number in range(4):
            ref.tell(number)
        with pytest.raises(MailboxFull):
            await asked
        assert [(d.message, d.reason) for d in system.dead_letters] == [(0, "mailbox_full")]
        await handled(system, ref)
        assert await do(ref, lambda puppet: puppet.seen) == [1, 2, 3]

    in_sim(main)


def test_backpressure_lets_senders_wait_in_their_order(in_sim: Run, dispatcher: str) -> None:
    async def main(system: ActorSystem) -> None:
        ref = full(system, Mailbox(2, overflow="backpressure"), dispatcher)
        with pytest.raises(MailboxFull):
            ref.tell("a tell cannot wait")
        order: list[Any] = []

        async def send(what: Any) -> None:
            await ref.send(what)
            order.append(what)

        async def ask(what: Any) -> None:
            order.append(await ref.request(what))

        async with asyncio.TaskGroup() as group:
            for number in range(2, 6):
                group.create_task(send(number))
                await asyncio.sleep(0)
            group.create_task(ask(6))
            await asyncio.sleep(1)
            assert order == []
            system.resume(ref)
        assert sorted(order) == [2, 3, 4, 5, 6]
        actor = ref._actor
        assert actor is not None
        assert actor.seen == [0, 1, 2, 3, 4, 5, 6]

    in_sim(main)


def test_a_sender_that_gave_up_waiting_does_not_send(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        ref = full(system, Mailbox(1, overflow="backpressure"))
        gave_up = asyncio.ensure_future(ref.send("gave up"))
        waiting = asyncio.ensure_future(ref.send("waited"))
        with pytest.raises(RequestTimeout):
            await ref.request("timed out", timeout=1)
        gave_up.cancel()
        await asyncio.sleep(0)
        await handled(system, ref)
        await waiting
        assert await do(ref, lambda puppet: puppet.seen) == [0, "waited"]

    in_sim(main)


def test_senders_that_wait_learn_that_the_receiver_died(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        ref = full(system, Mailbox(1, overflow="backpressure"))
        sends = [asyncio.ensure_future(ref.send(n)) for n in range(3)]
        asks = [asyncio.ensure_future(ref.request(n)) for n in range(3)]
        await asyncio.sleep(1)
        ref.exit("gone")
        for waiting in (*sends, *asks):
            with pytest.raises(ActorDied):
                await waiting
        with pytest.raises(ActorDied):
            await ref.send("after")

    in_sim(main)


def test_flushing_lets_waiting_senders_in(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        ref = full(system, Mailbox(3, overflow="backpressure"))
        waiting = [asyncio.ensure_future(ref.send(f"waited {n}")) for n in range(2)]
        await asyncio.sleep(1)
        actor = ref._actor
        assert actor is not None
        assert actor.flush(lambda m: isinstance(m, int)) == [0, 1, 2]
        await asyncio.gather(*waiting)
        await handled(system, ref)
        assert actor.seen == ["waited 0", "waited 1"]

    in_sim(main)


@pytest.mark.parametrize("overflow", ["fail", "drop_newest", "drop_oldest", "backpressure"])
def test_signals_get_into_a_full_mailbox(in_sim: Run, overflow: Any) -> None:
    async def main(system: ActorSystem) -> None:
        ref = full(system, Mailbox(2, overflow=overflow))
        actor = ref._actor
        assert actor is not None
        actor.trap_exit = True
        ref.exit("trapped")
        timer = actor.send_after(1, "timer")
        await asyncio.sleep(2)
        assert not timer.active
        await handled(system, ref)
        assert actor.seen == [0, 1, Exit(None, "trapped"), "timer"]
        system.suspend(ref)
        ref.tell(0)
        ref.tell(1)
        ref.kill()
        assert await ended(ref) == "killed"

    in_sim(main)


@pytest.mark.parametrize("overflow", ["fail", "drop_newest", "drop_oldest", "backpressure"])
def test_senders_in_other_threads_meet_the_same_policy(in_system: Run, overflow: Any) -> None:
    async def main(system: ActorSystem) -> None:
        ref = full(system, Mailbox(2, overflow=overflow))
        outcome: list[Any] = []

        def send() -> None:
            try:
                ref.tell("from a thread")
                outcome.append("sent")
            except MailboxFull as error:
                outcome.append(type(error))

        await asyncio.to_thread(send)
        await until(lambda: not system.scheduler._inbox)
        await handled(system, ref)
        actor = ref._actor
        assert actor is not None
        expected = {
            "fail": ([MailboxFull], [0, 1], 0),
            "backpressure": ([MailboxFull], [0, 1], 0),
            "drop_newest": (["sent"], [0, 1], 1),
            "drop_oldest": (["sent"], [1, "from a thread"], 1),
        }[overflow]
        assert (outcome, actor.seen, system.dead_letters.count) == expected

    in_system(main)


def test_a_flood_over_threads_with_backpressure_loses_nothing(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        ref = system.start(bounded(Mailbox(5, overflow="backpressure")))

        def flood(who: int) -> None:
            async def send() -> None:
                for number in range(50):
                    await ref.send((who, number))

            asyncio.run(send())

        threads = [threading.Thread(target=flood, args=(who,)) for who in range(4)]
        for thread in threads:
            thread.start()
        got = await seen(ref, 200)
        for who in range(4):
            assert [n for w, n in got if w == who] == list(range(50))
        await asyncio.to_thread(lambda: [thread.join(120) for thread in threads])

    in_system(main)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [({"capacity": 0}, "at least 1"), ({"capacity": 5, "overflow": "drop"}, "drop_oldest")],
)
def test_a_policy_that_makes_no_sense_is_refused_when_it_is_made(
    wrong: dict[str, Any], right: str
) -> None:
    with pytest.raises(ValueError, match=right):
        Mailbox(**wrong)


@pytest.mark.parametrize("overflow", ["fail", "drop_newest", "drop_oldest"])
def test_send_is_done_or_refused_at_once_by_policies_that_do_not_wait(
    in_sim: Run, overflow: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        ref = full(system, Mailbox(2, overflow=overflow))
        if overflow == "fail":
            with pytest.raises(MailboxFull):
                await ref.send("x")
        else:
            await ref.send("x")
            assert system.dead_letters.count == 1
        assert system.info(ref).mailbox_length == 2

    in_sim(main)
