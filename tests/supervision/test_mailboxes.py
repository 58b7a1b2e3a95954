"""What waits for a child that crashed, or that stays down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agenticaiframework.actors import (
    Actor,
    ActorSystem,
    Agent,
    AgentFailed,
    AgentStopped,
    AgentTimeout,
)
from agenticaiframework.supervision import (
    AgentSupervisor,
    ChildStopped,
    RestartPolicy,
)

from .pools import fail, pool

Run = Callable[..., Any]


def test_what_waits_behind_a_crash_is_answered_by_the_next_incarnation(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        policy = RestartPolicy(initial_delay_ms=1000)
        async with pool("a", restart_policy=policy) as supervisor:
            asks = [supervisor.ask("a", payload) for payload in ("boom", 1, 2)]
            results = await asyncio.gather(*asks, return_exceptions=True)
            assert isinstance(results[0], AgentFailed)
            assert results[1:] == [1, 2]
            assert supervisor.child("a").restarts == 1

    in_sim(main)


def test_with_mailbox_drop_what_waits_behind_a_crash_is_lost_and_told_so(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        policy = RestartPolicy(initial_delay_ms=1000)
        async with pool("a", restart_policy=policy, mailbox="drop") as supervisor:
            asks = [supervisor.ask("a", payload) for payload in ("boom", 1)]
            results = await asyncio.gather(*asks, return_exceptions=True)
            assert [type(result) for result in results] == [AgentFailed, AgentFailed]
            # Between two incarnations messages are kept all the same.
            assert await supervisor.ask("a", 2) == 2

    in_sim(main)


def test_the_message_that_crashed_a_child_is_never_sent_again(in_sim: Run) -> None:
    seen: list[Any] = []

    async def once(payload: Any) -> None:
        seen.append(payload)
        raise ValueError("boom")

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("once")
        supervisor.add_child("a", Agent("a", handler=once))
        await supervisor.start()
        supervisor.tell("a", "told")
        await asyncio.sleep(1)
        assert seen == ["told"]
        (letter,) = system.dead_letters
        assert isinstance(letter.reason, ValueError)

    in_sim(main)


def test_raw_actors_keep_their_mail_too(in_sim: Run) -> None:
    class Careful(Actor):
        crash_on_ask_error = True

        def on_receive(self, message: Any) -> Any:
            if message == "boom":
                raise ValueError("boom")
            return message

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("raw")
        supervisor.add_child("a", Careful)
        await supervisor.start()
        asks = [supervisor.ask("a", payload) for payload in ("boom", 1)]
        first, second = await asyncio.gather(*asks, return_exceptions=True)
        assert isinstance(first, ValueError)
        assert second == 1

    in_sim(main)


def test_what_waits_for_a_child_that_stays_down_fails(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with pool("a", restart_policy=RestartPolicy(initial_delay_ms=5000)) as supervisor:
            await fail(supervisor, "a")
            waiting = asyncio.ensure_future(supervisor.ask("a", 1))
            await asyncio.sleep(1)
            await supervisor.stop_child("a")
            with pytest.raises(AgentStopped):
                await waiting
            with pytest.raises(ChildStopped, match="restart_child"):
                await supervisor.ask("a", 2)
            await supervisor.restart_child("a")
            assert await supervisor.ask("a", 3) == 3

    in_sim(main)


def test_a_hanging_agent_is_replaced_and_its_supervisor_knows(in_sim: Run) -> None:
    async def stubborn(payload: Any) -> Any:
        while payload == "hang":
            try:
                await asyncio.sleep(10**6)
            except asyncio.CancelledError:
                continue
        return payload

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("fences")
        supervisor.add_child("a", Agent("a", handler=stubborn))
        await supervisor.start()
        with pytest.raises(AgentTimeout):
            await supervisor.ask("a", "hang", timeout=1)
        assert await supervisor.ask("a", "fine") == "fine"
        assert supervisor.child("a").restarts == 1

    in_sim(main)


def test_what_was_told_to_a_child_that_stays_down_becomes_dead_letters(in_sim: Run) -> None:
    class Careful(Actor):
        def on_receive(self, message: Any) -> Any:
            raise ValueError(message)

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("raw", restart_policy=RestartPolicy(initial_delay_ms=5000))
        supervisor.add_child("a", Careful)
        async with supervisor:
            supervisor.tell("a", "boom")
            await supervisor.wait_until("a", "restarting")
            supervisor.tell("a", "kept")
            supervisor.tell("a", "kept too")
            await asyncio.sleep(1)
            (crashed,) = system.dead_letters
            assert crashed.message == "boom"
            assert supervisor.child("a").home.waiting == 2
            await supervisor.stop_child("a")
            lost = [letter for letter in system.dead_letters if letter is not crashed]
            assert [(letter.message, letter.recipient) for letter in lost] == [
                ("kept", "a"),
                ("kept too", "a"),
            ]
            assert all(isinstance(letter.reason, ValueError) for letter in lost)
            assert supervisor.child("a").home.waiting == 0

    in_sim(main)


def test_with_mailbox_drop_only_what_was_told_before_the_crash_is_lost(in_sim: Run) -> None:
    seen: list[Any] = []

    class Careful(Actor):
        def on_receive(self, message: Any) -> Any:
            if message == "boom":
                raise ValueError(message)
            seen.append(message)

    async def main(system: ActorSystem) -> None:
        policy = RestartPolicy(initial_delay_ms=5000)
        supervisor = AgentSupervisor("raw", restart_policy=policy, mailbox="drop")
        supervisor.add_child("dropped", Careful)
        supervisor.add_child("kept", Careful, mailbox="keep")
        async with supervisor:
            for name in ("dropped", "kept"):
                supervisor.tell(name, "boom")
                supervisor.tell(name, f"behind {name}")
            await asyncio.sleep(1)
            for name in ("dropped", "kept"):
                supervisor.tell(name, f"between {name}")
            await asyncio.sleep(10)
            assert sorted(seen) == ["behind kept", "between dropped", "between kept"]
            lost = [letter.message for letter in system.dead_letters]
            assert lost.count("behind dropped") == 1
            assert "behind kept" not in lost

    in_sim(main)
