"""What an address cannot hand over is told: to who asked, or as a dead letter with its name."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from puppets import Puppet, do, ended, seen, until

from agenticaiframework.actors import (
    ActorDied,
    ActorSystem,
    Address,
    Agent,
    Mailbox,
    MailboxFull,
)

Run = Callable[..., Any]


def letters(system: ActorSystem) -> list[tuple[Any, str, Any]]:
    return [(letter.message, letter.recipient, letter.reason) for letter in system.dead_letters]


def test_what_is_lost_of_an_address_is_a_dead_letter_with_its_name(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        address = Address("worker", system)
        address.tell("dropped")
        asked = address.request("asked")
        address.drop("not wanted")
        with pytest.raises(ActorDied) as died:
            await asked
        assert died.value.reason == "not wanted"
        address.tell("kept")
        address.release()
        assert address.waiting == 1
        address.close(None)
        assert (address.waiting, address.closed) == (0, "shutdown")
        assert letters(system) == [
            ("dropped", "worker", "not wanted"),
            ("kept", "worker", "shutdown"),
        ]

    in_sim(main)


def test_what_arrives_from_another_thread_too_late_is_told(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        address = Address("worker", system, mailbox=Mailbox(1))

        def send() -> list[Any]:
            address.tell("first")
            address.tell("second")
            asked = address.request("third")
            return [asked]

        [full] = await asyncio.to_thread(send)
        with pytest.raises(MailboxFull):
            await full
        await until(lambda: len(system.dead_letters) == 1)
        [(message, name, error)] = letters(system)
        assert (message, name) == ("second", "worker")
        assert isinstance(error, MailboxFull)
        assert address.waiting == 1

    in_system(main)


def test_a_message_that_was_under_way_when_the_address_was_closed_is_told(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        address = Address("worker", system)
        sent: list[Any] = []

        def send() -> None:
            address.tell("told")
            sent.append(address.request("asked"))

        # The loop is held up meanwhile, so that both arrive after the end.
        thread = threading.Thread(target=send)
        thread.start()
        thread.join(120)
        address.close("given up")
        [asked] = sent
        with pytest.raises(ActorDied) as died:
            await asked
        assert died.value.reason == "given up"
        [(message, name, error)] = letters(system)
        assert (message, name) == ("told", "worker")
        assert isinstance(error, ActorDied)
        assert error.reason == "given up"

    in_system(main)


def test_a_request_of_another_thread_has_its_timeout_also_between_two_incarnations(
    in_system: Run,
) -> None:
    async def main(system: ActorSystem) -> None:
        address = Address("worker", system)

        async def ask() -> None:
            await address.request("asked", timeout=0.01)

        with pytest.raises(TimeoutError):
            await asyncio.to_thread(lambda: asyncio.run(ask()))
        ref = system.start(Puppet)
        address.bind(ref)
        address.tell("told")
        assert await seen(ref, 1) == ["told"]

    in_system(main)


def test_what_a_stopped_system_is_sent_through_an_address_fails_at_once(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        address = Address("worker", system)
        ref = system.start(Puppet)
        address.bind(ref)
        await system.stop()
        with pytest.raises(ActorDied) as died:
            address.tell("late")
        assert died.value.reason == "shutdown"
        assert address.waiting == 0

    in_sim(main)


def test_a_second_incarnation_gets_what_the_first_did_not_come_to(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        address = Address("worker", system)
        first, second = system.start(Puppet), system.start(Puppet)
        assert (address.incarnation, first.incarnation) == (0, 1)
        address.bind(first)
        first.kill()
        await ended(first)
        address.tell(1)
        address.bind(first)  # which has ended: for the next, then
        assert address.waiting == 1
        address.tell(2)
        address.bind(second)
        assert address.waiting == 0
        assert await do(second, lambda puppet: puppet.seen) == [1, 2]
        assert address.live is second
        assert second.incarnation == address.incarnation == 3

    in_sim(main)


def test_what_waits_for_an_agent_that_does_not_start_fails_with_the_reason(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        broken = [True]

        async def start() -> None:
            await asyncio.sleep(1)
            if broken[0]:
                raise OSError("no disk")

        agent = Agent("worker", handler=lambda payload: payload, on_start=start)
        first = asyncio.ensure_future(agent.ask(1))
        second = asyncio.ensure_future(agent.ask(2))
        agent.tell(3)
        for asked in (first, second):
            with pytest.raises(Exception, match="no disk"):
                await asked
        [(message, name, _reason)] = letters(system)
        assert (repr(message), name) == ("Work(3)", "worker")
        broken[0] = False
        assert await agent.ask(4) == 4

    in_sim(main)
