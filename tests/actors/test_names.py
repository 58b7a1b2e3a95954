"""Names of actors: what can be one, whose it is, and a start that wants it for itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from puppets import Puppet

from agenticaiframework.actors import Actor, ActorSystem, NameTaken, WrongUse

Run = Callable[..., Any]

NOT_NAMES: tuple[Any, ...] = (5, "", "  ", ("a", 1), b"clock", ["clock"], 0, False)


class Starter(Actor):
    """Calls what it is sent, with itself."""

    def __init__(self) -> None:
        super().__init__()
        self.trap_exit = True

    async def on_receive(self, message: Any) -> Any:
        result = message(self) if callable(message) else None
        return await result if hasattr(result, "__await__") else result


@pytest.mark.parametrize("name", NOT_NAMES, ids=repr)
@pytest.mark.parametrize("unique", [False, True])
def test_what_cannot_be_registered_cannot_be_given_at_a_start(
    in_sim: Run, name: Any, unique: bool
) -> None:
    async def main(system: ActorSystem) -> None:
        starter = system.start(Starter)
        count = system.actor_count
        ways: list[Callable[[Actor], Any]] = [
            lambda me: me.spawn(Puppet, name=name, unique=unique),
            lambda me: me.spawn(Puppet, name=name, link=False, unique=unique),
            lambda me: me.start_link(Puppet, name=name, unique=unique),
        ]
        for way in ways:
            with pytest.raises(WrongUse, match="non-empty string"):
                await starter.request(way)
        with pytest.raises(WrongUse, match="non-empty string"):
            system.start(Puppet, _name=name, _unique=unique)
        with pytest.raises(WrongUse, match="non-empty string"):
            system.register(name, starter)
        assert system.actor_count == count

    in_sim(main)


def test_a_start_that_wants_its_name_for_itself_needs_one(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        with pytest.raises(WrongUse, match="non-empty string"):
            system.start(Puppet, _unique=True)

    in_sim(main)


@pytest.mark.parametrize("way", ["start", "spawn", "unlinked", "start_link"])
def test_a_start_under_a_taken_name_fails_if_asked_to(in_sim: Run, way: str) -> None:
    made: list[int] = []

    class Clock(Puppet):
        def __init__(self) -> None:
            super().__init__()
            made.append(1)

    async def main(system: ActorSystem) -> None:
        starter = system.start(Starter)
        ways: dict[str, Callable[[bool], Any]] = {
            "start": lambda unique: system.start(Clock, _name="clock", _unique=unique),
            "spawn": lambda unique: starter.request(
                lambda me: me.spawn(Clock, name="clock", unique=unique)
            ),
            "unlinked": lambda unique: starter.request(
                lambda me: me.spawn(Clock, name="clock", link=False, unique=unique)
            ),
            "start_link": lambda unique: starter.request(
                lambda me: me.start_link(Clock, name="clock", unique=unique)
            ),
        }

        async def go(unique: bool) -> Any:
            started = ways[way](unique)
            return await started if hasattr(started, "__await__") else started

        first = await go(True)
        assert system.whereis("clock") is first
        count = system.actor_count
        with pytest.raises(NameTaken, match="clock") as taken:
            await go(True)
        assert taken.value.ref is first
        assert taken.value.holder == "clock"
        assert system.actor_count == count
        assert made == [1]
        # Without being asked to, a name is a label: it stays with the one that has it.
        second = await go(False)
        assert second.name == "clock"
        assert system.whereis("clock") is first
        first.kill()
        await system.wait_ended(first)
        third = await go(True)
        assert system.whereis("clock") is third

    in_sim(main)


def test_of_many_threads_that_want_a_name_one_gets_it() -> None:
    with ActorSystem.in_background() as system:
        results: list[Any] = []
        barrier = threading.Barrier(8)

        def claim() -> None:
            barrier.wait()
            try:
                results.append(system.start(Puppet, _name="leader", _unique=True))
            except NameTaken as taken:
                results.append(taken)

        threads = [threading.Thread(target=claim) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (leader,) = [r for r in results if not isinstance(r, NameTaken)]
        assert {r.ref for r in results if isinstance(r, NameTaken)} == {leader}
        assert system.actor_count == 1


def test_a_handler_in_a_thread_may_want_a_name_too(dispatcher: str, in_system: Run) -> None:
    class Here(Actor):
        def on_receive(self, message: Any) -> Any:
            try:
                return self.spawn(Puppet, name="clock", unique=True)
            except NameTaken as taken:
                return taken.ref

    Here.dispatcher = dispatcher  # type: ignore[misc]

    async def main(system: ActorSystem) -> None:
        here = system.start(Here)
        first = await here.request("go")
        assert await here.request("go") is first

    in_system(main)
