"""Mistakes in using actors: each is an error at once, in words that help, and harms nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pykka
import pytest
from puppets import Puppet, do

from agenticaiframework.actors import (
    Actor,
    ActorDied,
    ActorSystem,
    Mailbox,
    Router,
    WrongUse,
)

Run = Callable[..., Any]


class Plain(pykka.ThreadingActor):
    """An actor of pykka's own."""


@pytest.mark.parametrize("operation", ["link", "unlink", "monitor", "demonitor", "wait_down"])
@pytest.mark.parametrize("what", [None, "reader", Puppet])
def test_what_is_no_ref_is_refused_and_leaves_the_actor_as_it_was(
    in_sim: Run, operation: str, what: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)
        with pytest.raises(WrongUse, match=operation):
            await do(one, lambda puppet: getattr(puppet, operation)(what))
        assert await do(one, lambda puppet: "alive") == "alive"
        assert system.info(one).links == ()
        assert (await system.stop(1)).clean

    in_sim(main)


def test_delays_that_are_none_are_refused(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)
        for wrong in (
            lambda puppet: puppet.send_after(float("nan"), "x"),
            lambda puppet: puppet.send_after("1", "x"),
            lambda puppet: puppet.send_interval(0, "x"),
            lambda puppet: puppet.send_interval(-1, "x"),
            lambda puppet: puppet.send_interval(None, "x"),
            lambda puppet: puppet.set_receive_timeout(0),
            lambda puppet: puppet.set_receive_timeout("1"),
        ):
            with pytest.raises(WrongUse):
                await do(one, wrong)
        await do(one, lambda puppet: puppet.send_after(-0.5, "overdue"))
        await asyncio.sleep(1)
        assert await do(one, lambda puppet: puppet.seen) == ["overdue"]

    in_sim(main)


def test_an_interval_keeps_its_moments_when_the_loop_was_busy_for_several(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        came: list[float] = []

        class Clock(Actor):
            def on_start(self) -> None:
                self.send_interval(1, "tick")

            def on_receive(self, message: Any) -> None:
                came.append(self.system.clock() - begun)

        begun = system.clock()
        system.start(Clock)
        await asyncio.sleep(0.5)
        system.loop.block(5.0)  # type: ignore[attr-defined]
        await asyncio.sleep(3)
        assert came[-3:] == pytest.approx([6, 7, 8])
        assert len(came) <= 5, "what was missed long ago is not made up for"

    in_sim(main)


def test_only_actor_classes_are_started(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)
        for wrong in (int, None, "Puppet", Plain, one):
            with pytest.raises(WrongUse):
                system.start(wrong)  # type: ignore[type-var]
            with pytest.raises(WrongUse):
                await do(one, lambda puppet, wrong=wrong: puppet.spawn(wrong))
        with pytest.raises(TypeError, match="takes"):
            system.start(Puppet, 1, 2, 3, 4)
        assert system.actor_count == 1

    in_sim(main)


def test_names_are_for_live_actors_and_have_letters(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)
        for name in ("", " ", None, 5):
            with pytest.raises(WrongUse):
                system.register(name, one)  # type: ignore[arg-type]
        with pytest.raises(WrongUse):
            system.register("one", 5)  # type: ignore[arg-type]
        one.kill()
        await system.wait_ended(one)
        with pytest.raises(ActorDied):
            system.register("one", one)
        assert system.whereis("one") is None

    in_sim(main)


def test_behaviours_and_piped_things_are_checked_when_given(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)
        with pytest.raises(TypeError, match="become"):
            await do(one, lambda puppet: puppet.become(5))
        with pytest.raises(WrongUse, match="pipe_to"):
            await do(one, lambda puppet: puppet.pipe_to(lambda: 5))
        assert await do(one, lambda puppet: "alive") == "alive"

    in_sim(main)


def test_a_mailbox_that_is_none_shows_at_the_class() -> None:
    with pytest.raises(TypeError, match="Mailbox"):

        class Wrong(Actor):
            mailbox = "bounded"  # type: ignore[assignment]

    for capacity in ("5", 1.5, True):
        with pytest.raises(ValueError, match="whole number"):
            Mailbox(capacity)  # type: ignore[arg-type]


def test_waiting_too_long_for_an_end_names_the_one_that_does_not(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        waiter = system.start(Puppet, _name="waiter")
        stubborn = system.start(Puppet, _name="stubborn")
        with pytest.raises(TimeoutError, match=r"stubborn .*2 s"):
            await do(waiter, lambda puppet: puppet.wait_down(stubborn, timeout=2))
        assert system.info(stubborn).monitored_by == ()

    in_sim(main)


def test_a_router_needs_its_system_and_refs(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)
        with pytest.raises(TypeError, match=r"Router\(system"):
            Router([one], "round_robin")  # type: ignore[arg-type]
        with pytest.raises(WrongUse):
            Router(system, [one, 5])  # type: ignore[list-item]
        router = Router(system, [one])
        with pytest.raises(WrongUse):
            router.add("two")  # type: ignore[arg-type]
        with pytest.raises(WrongUse):
            system.groups.join("workers", 5)  # type: ignore[arg-type]
        assert router.members == [one]

    in_sim(main)


def test_who_subscribes_can_be_called_at_once(in_sim: Run) -> None:
    async def late(event: Any) -> None: ...

    async def main(system: ActorSystem) -> None:
        for wrong in (None, "seen", late):
            with pytest.raises(WrongUse):
                system.subscribe(wrong)  # type: ignore[arg-type]
            with pytest.raises(WrongUse):
                system.on_actor_end(wrong)  # type: ignore[arg-type]
        with pytest.raises(WrongUse, match="not a class"):
            system.subscribe(print, "ActorEnded")  # type: ignore[arg-type]
        seen: list[Any] = []
        system.subscribe(seen.append, str)
        system.publish("told")
        system.publish(5)
        assert seen == ["told"]
        with pytest.raises(WrongUse):
            system.info(5)  # type: ignore[arg-type]

    in_sim(main)
