"""An address whose next incarnation is not to come yet: what is asked fails, what is told is kept."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from puppets import Puppet

from agenticaiframework.actors import ActorDied, ActorSystem, Address, CoolingDown

Run = Callable[..., Any]


def paused(system: ActorSystem, seconds: float = 60) -> Address:
    address = Address("worker", system)
    address.pause(ValueError("bad"), system.clock() + seconds)
    return address


def test_what_is_asked_fails_with_why_and_when(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        address = paused(system)
        with pytest.raises(ActorDied) as caught:
            await address.request("question")
        reason = caught.value.reason
        assert isinstance(reason, CoolingDown)
        assert 59 < reason.back_in_s <= 60
        assert isinstance(reason.cause, ValueError)
        assert str(reason).startswith("it failed too often, lastly of ValueError: bad, and is")
        assert pickle.loads(pickle.dumps(reason)).back_in_s == reason.back_in_s

    in_system(main)


def test_a_time_that_has_passed_is_no_negative_number(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        with pytest.raises(ActorDied) as caught:
            await paused(system, -5).request("question")
        assert caught.value.reason.back_in_s == 0

    in_system(main)


def test_what_is_told_is_kept_and_what_waited_to_be_answered_fails(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        address = Address("worker", system)
        address.tell("before")
        waiting = asyncio.ensure_future(address.request("question"))
        await asyncio.sleep(0)
        address.pause("oops", system.clock() + 60)
        with pytest.raises(ActorDied):
            await waiting
        address.tell("meanwhile")
        assert address.kept == ["before", "meanwhile"]
        assert address in system.keeping

    in_system(main)


def test_nothing_is_noted_of_an_address_that_keeps_nothing(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        address = Address("worker", system)
        waiting = asyncio.ensure_future(address.request("question"))
        await asyncio.sleep(0)
        address.pause("oops", system.clock() + 60)
        assert address not in system.keeping
        with pytest.raises(ActorDied):
            await waiting

    in_system(main)


def test_what_a_late_incarnation_gives_back_is_treated_alike(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        address = Address("worker", system)
        asked = address.request("question")
        told = ["told"]
        items = [*address.kept, *told]
        address.drop("nothing stays")
        address = paused(system)
        address.take_back(items)
        assert address.kept == told
        with pytest.raises(ActorDied):
            await asked

    in_system(main)


@pytest.mark.parametrize("how", ["an incarnation", "reopening"])
def test_an_incarnation_or_its_announcement_ends_the_pause(in_system: Run, how: str) -> None:
    async def main(system: ActorSystem) -> None:
        address = paused(system)
        address.tell("kept")
        if how == "reopening":
            address.reopen()
            asked = address.request("asked")
            await asyncio.sleep(0)
            assert len(address.kept) == 2
            address.drop("the end of the test")
            with pytest.raises(ActorDied):
                await asked
        else:
            ref = system.start(Puppet)
            address.bind(ref)
            assert address.live is ref
            assert address.kept == []

    in_system(main)


def test_a_stop_for_good_says_so_also_during_a_pause(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        address = paused(system)
        address.close("removed")
        with pytest.raises(ActorDied) as caught:
            await address.request("question")
        assert caught.value.reason == "removed"

    in_system(main)


def test_another_thread_learns_it_too(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        address = paused(system)

        def ask() -> Any:
            return asyncio.run(answer())

        async def answer() -> Any:
            return await address.request("question")

        with pytest.raises(ActorDied):
            await asyncio.to_thread(ask)

    in_system(main)
