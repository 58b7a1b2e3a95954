"""Addresses: what is sent to a name between two incarnations waits for the next."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from puppets import Puppet, do, ended, seen

from agenticaiframework.actors import (
    ActorDied,
    ActorSystem,
    Address,
    Mailbox,
    MailboxFull,
    RequestTimeout,
)

Run = Callable[..., Any]


def test_messages_wait_for_the_first_incarnation_and_keep_their_order(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        address = Address("worker", system)
        for number in range(5):
            address.tell(number)
        asked = address.request("asked")
        assert address.waiting == 6
        assert address.live is None
        ref = system.start(Puppet)
        address.bind(ref)
        address.tell(5)
        assert await asked == "asked"
        assert await do(ref, lambda puppet: puppet.seen) == [*range(5), "asked", 5]
        assert (address.waiting, address.incarnation, address.live) == (0, 1, ref)

    in_sim(main)


def test_between_two_incarnations_messages_are_kept(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        address = Address("worker", system)
        first, second = system.start(Puppet), system.start(Puppet)
        address.bind(first)
        address.tell("to the first")
        await do(first, lambda puppet: None)
        first.kill()
        await ended(first)
        address.tell("kept")
        asked = address.request("asked")
        address.release()
        address.bind(second)
        assert await asked == "asked"
        assert await do(second, lambda puppet: puppet.seen) == ["kept", "asked"]
        assert second.incarnation == 2

    in_sim(main)


def test_a_request_that_timed_out_meanwhile_is_not_handed_over(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        address = Address("worker", system)
        with pytest.raises(RequestTimeout):
            await address.request("too late", timeout=1)
        address.tell("in time")
        ref = system.start(Puppet)
        address.bind(ref)
        assert await do(ref, lambda puppet: puppet.seen) == ["in time"]

    in_sim(main)


def test_closing_loses_what_was_kept_and_says_so(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        address = Address("worker", system)
        address.tell("told")
        asked = address.request("asked")
        address.close("given up")
        with pytest.raises(ActorDied) as died:
            await asked
        assert died.value.reason == "given up"
        assert [(d.message, d.reason) for d in system.dead_letters] == [("told", "given up")]
        with pytest.raises(ActorDied):
            address.tell("late")
        with pytest.raises(ActorDied):
            await address.request("late")
        address.reopen()
        address.tell("again")
        assert address.waiting == 1

    in_sim(main)


def test_what_is_kept_is_bounded(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        address = Address("worker", system, mailbox=Mailbox(2))
        address.tell(1)
        address.tell(2)
        with pytest.raises(MailboxFull):
            address.tell(3)
        with pytest.raises(MailboxFull):
            await address.request(4)
        address.release(kept=False)
        assert address.waiting == 0
        assert [d.reason for d in system.dead_letters] == ["dropped", "dropped"]

    in_sim(main)


def test_an_address_may_be_used_from_any_thread(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        address = Address("worker", system)
        answers: list[Any] = []

        def use() -> None:
            for number in range(50):
                address.tell(number)

            async def ask() -> Any:
                return await address.request("asked")

            answers.append(asyncio.run(ask()))

        thread = threading.Thread(target=use)
        thread.start()
        ref = system.start(Puppet)
        address.bind(ref)
        assert await seen(ref, 51) == [*range(50), "asked"]
        await asyncio.to_thread(thread.join, 20)
        assert answers == ["asked"]

    in_system(main)


def test_what_waits_when_the_system_stops_fails_and_nothing_waits_after(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        address = Address("worker", system)
        kept = address.request("kept")
        address.tell("told")
        await system.stop()
        with pytest.raises(ActorDied):
            await kept
        assert [d.message for d in system.dead_letters] == ["told"]
        with pytest.raises(ActorDied):
            address.tell("late")
        with pytest.raises(ActorDied):
            await address.request("late")

    in_sim(main)


def test_one_that_ended_before_it_was_bound_gets_nothing(in_sim: Run) -> None:
    class Slow(Puppet):
        async def on_stop(self) -> None:
            await asyncio.sleep(5)

    async def main(system: ActorSystem) -> None:
        address = Address("worker", system)
        asked = address.request("asked")
        ending, next_one = system.start(Slow), system.start(Puppet)
        ending.exit("shutdown")
        await asyncio.sleep(1)
        address.bind(ending)
        assert address.waiting == 1
        address.bind(next_one)
        assert await asked == "asked"

    in_sim(main)


def test_what_was_stashed_comes_first_in_the_next_incarnation(in_sim: Run) -> None:
    class Parent(Puppet):
        async def on_receive(self, message: Any) -> Any:  # type: ignore[override]
            if isinstance(message, Address):
                ref = await self.start_link(Puppet, mailbox_to=message)
                assert ref is not None
                message.bind(ref)
                return ref
            return super().on_receive(message)

    async def main(system: ActorSystem) -> None:
        address = Address("worker", system)
        parent = system.start(Parent, trap=True)
        first = await parent.request(address)
        other = system.start(Puppet)

        def stash(puppet: Puppet) -> None:
            puppet.become(lambda message: puppet.stash())
            puppet.trap_exit = True
            puppet.link(other)
            puppet.send_after(1, "a timer of the first")

        await do(first, stash)
        asked = address.request("stashed and asked")
        address.tell("stashed")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        system.suspend(first)
        address.tell("waiting")
        other.exit("boom")  # an Exit message for the first incarnation only
        await ended(other)
        first.kill()
        await ended(first)
        await asyncio.sleep(5)
        second = await parent.request(address)
        assert await asked == "stashed and asked"
        said = await do(second, lambda puppet: puppet.seen)
        assert said == ["stashed and asked", "stashed", "waiting"]
        assert system.info(second).links == (parent,)
        assert system.info(second).timers == 0

    in_sim(main)
