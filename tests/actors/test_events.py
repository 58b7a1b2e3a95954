"""Dead letters and events: what was lost or happened is there for whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from loguru import logger
from puppets import Puppet, ended

from agenticaiframework.actors import ActorEnded, ActorSystem, DeadLetter

Run = Callable[..., Any]


@pytest.fixture
def errors() -> Iterator[list[str]]:
    told: list[str] = []
    sink = logger.add(lambda message: told.append(str(message.record["message"])), level="ERROR")
    yield told
    logger.remove(sink)


def test_events_reach_those_who_subscribed_to_their_type(in_sim: Run, errors: list[str]) -> None:
    async def main(system: ActorSystem) -> None:
        numbers: list[Any] = []
        everything: list[Any] = []

        def fail(event: Any) -> None:
            raise RuntimeError("a bad subscriber")

        system.subscribe(fail, str)
        stop = system.subscribe(numbers.append, int)
        system.subscribe(everything.append)
        system.publish(1)
        system.publish("text")
        stop()
        stop()
        system.publish(2)
        assert (numbers, everything) == ([1], [1, "text", 2])

    in_sim(main)
    assert [error.partition("\n")[0] for error in errors] == ["A subscriber failed on str"]


def test_the_end_of_an_actor_is_an_event(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        ends: list[Any] = []
        system.subscribe(ends.append, ActorEnded)
        one = system.start(Puppet)
        one.exit("boom")
        await ended(one)
        assert ends == [ActorEnded(one, "boom")]

    in_sim(main)


def test_dead_letters_are_seen_by_subscribers(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        letters: list[DeadLetter] = []
        stop = system.dead_letters.subscribe(letters.append)
        system.dead_letter("message", "somebody", "noproc")
        stop()
        stop()
        system.dead_letter("later", "somebody", "noproc")
        assert letters == [DeadLetter("message", "somebody", "noproc")]
        assert system.dead_letters[-1].message == "later"
        assert (len(system.dead_letters), system.dead_letters.count) == (2, 2)

    in_sim(main)


def test_a_bad_subscriber_to_dead_letters_hurts_nobody(in_sim: Run, errors: list[str]) -> None:
    async def main(system: ActorSystem) -> None:
        def fail(letter: DeadLetter) -> None:
            raise RuntimeError("a bad subscriber")

        system.dead_letters.subscribe(fail)
        one = system.start(Puppet)
        system.suspend(one)
        one.tell("lost")
        one.exit("boom")
        assert await ended(one) == "boom"
        assert system.dead_letters.count == 1

    in_sim(main)
    assert len(errors) == 1


def test_a_bad_hook_on_ends_hurts_nobody(in_sim: Run, errors: list[str]) -> None:
    async def main(system: ActorSystem) -> None:
        ends: list[Any] = []

        def fail(ref: Any, reason: Any) -> None:
            raise RuntimeError("a bad hook")

        system.on_actor_end(fail)
        system.on_actor_end(lambda ref, reason: ends.append(reason))
        watcher, one = system.start(Puppet, trap=True), system.start(Puppet)
        actor = watcher._actor
        assert actor is not None
        actor.link(one)
        one.exit("boom")
        assert await ended(one) == "boom"
        assert ends == ["boom"]
        assert await watcher.request(lambda puppet: [m.reason for m in puppet.seen]) == ["boom"]

    in_sim(main)
    assert len(errors) >= 1
