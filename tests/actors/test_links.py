"""Links: two-way, at most one a pair, and gone when `unlink` returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from puppets import Crash, Puppet, Stage, crash, do, ended, exit_with, seen

from agenticaiframework.actors import Actor, ActorRef, ActorSystem, Exit
from agenticaiframework.actors.kernel.link_table import links_of

Run = Callable[..., Any]


async def settle(*refs: ActorRef[Any]) -> None:
    """Let what is under way between threads arrive: a question and its answer come after it."""
    for _ in range(2):
        for ref in refs:
            await do(ref, lambda puppet: None)


def test_the_end_of_one_ends_the_other_with_the_same_reason(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            one, other = stage.first(), stage.second()
            await do(one, lambda puppet: puppet.link(other))
            await settle(one, other)
            other.tell(exit_with("boom"))
            assert await ended(other) == "boom"
            assert await ended(one) == "boom"

    in_system(main)


def test_a_link_works_both_ways(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            one, other = stage.first(), stage.second()
            await do(one, lambda puppet: puppet.link(other))
            one.tell(crash)
            assert isinstance(await ended(one), Crash)
            assert isinstance(await ended(other), Crash)

    in_system(main)


def test_a_normal_end_leaves_the_linked_actor_alive(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            one, other = stage.first(), stage.second()
            await do(one, lambda puppet: puppet.link(other))
            other.tell(exit_with("normal"))
            assert await ended(other) == "normal"
            await settle(one)
            assert one.is_alive()
            assert tuple(links_of(one)) == ()  # type: ignore[arg-type]

    in_system(main)


def test_a_trapping_actor_gets_a_message_with_the_reason(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            one, other = stage.first(trap=True), stage.second()
            await do(one, lambda puppet: puppet.link(other))
            other.tell(exit_with(("shutdown", "moved")))
            [message] = await seen(one)
            assert message == Exit(other, ("shutdown", "moved"))

    in_system(main)


def test_linking_twice_is_linking_once(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            one, other = stage.first(trap=True), stage.second()
            for _ in range(3):
                await do(one, lambda puppet: puppet.link(other))
                await do(other, lambda puppet: puppet.link(one))
            other.tell(exit_with("boom"))
            await ended(other)
            await settle(one)
            assert await seen(one) == [Exit(other, "boom")]

    in_system(main)


def test_one_unlink_undoes_any_number_of_links(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            one, other = stage.first(), stage.second()
            await do(one, lambda puppet: puppet.link(other))
            await do(one, lambda puppet: puppet.link(other))
            await do(one, lambda puppet: puppet.unlink(other))
            other.tell(crash)
            await ended(other)
            await settle(one)
            assert one.is_alive()

    in_system(main)


def test_after_unlink_no_exit_message_of_that_link_comes(in_system: Run, places: str) -> None:
    """Also when the other has already ended, and its signal is under way."""

    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            for _ in range(30):
                one, other = stage.first(trap=True), stage.second()
                await do(one, lambda puppet, other=other: puppet.link(other))
                other.tell(exit_with("boom"))

                def unlink(puppet: Puppet, other: ActorRef[Any] = other) -> int:
                    puppet.unlink(other)
                    return len(puppet.seen) + system.info(puppet.actor_ref).mailbox_length

                before = await do(one, unlink)
                await ended(other)
                await settle(one)
                exits = [m for m in one._actor.seen if isinstance(m, Exit)]  # type: ignore[union-attr]
                assert len(exits) <= before

    in_system(main)


def test_an_exit_message_in_the_mailbox_stays_there_after_unlink(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one, other = system.start(Puppet, trap=True), system.start(Puppet)
        actor = one._actor
        assert actor is not None
        actor.link(other)
        system.suspend(one)
        other.exit("boom")
        await system.wait_ended(other)
        actor.unlink(other)
        actor.trap_exit = False
        assert list(one._mailbox) == [Exit(other, "boom")]
        system.resume(one)
        await do(one, lambda puppet: None)
        assert actor.seen == [Exit(other, "boom")]

    in_sim(main)


def test_a_link_with_itself_is_nothing(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)
        await do(one, lambda puppet: puppet.link(one))
        assert system.info(one).links == ()
        one.tell(exit_with("boom"))
        assert await ended(one) == "boom"

    in_sim(main)


def test_linking_with_a_dead_actor_is_a_noproc_signal(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            dead = stage.second()
            dead.kill()
            await ended(dead)
            one, trapping = stage.first(), stage.first(trap=True)
            await do(trapping, lambda puppet: puppet.link(dead))
            assert await seen(trapping) == [Exit(dead, "noproc")]
            one.tell(lambda puppet: puppet.link(dead))
            assert await ended(one) == "noproc"

    in_system(main)


def test_a_chain_of_links_falls_as_a_whole_and_stops_at_who_traps(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        trapping = system.start(Puppet, trap=True)
        chain = [system.start(Puppet) for _ in range(100)]
        for one, next_one in zip([trapping, *chain], chain, strict=False):
            await do(one, lambda puppet, n=next_one: puppet.link(n))
        beyond = system.start(Puppet)
        await do(trapping, lambda puppet: puppet.link(beyond))
        chain[-1].tell(exit_with("boom"))
        assert await seen(trapping) == [Exit(chain[0], "boom")]
        assert {ref.exit_reason for ref in chain} == {"boom"}
        assert beyond.is_alive()

    in_system(main)


def test_spawn_links_before_the_child_can_fail(in_system: Run, places: str) -> None:
    class Stillborn(Actor):
        def on_start(self) -> None:
            raise Crash("at birth")

    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            parent = stage.first(trap=True)
            child = await do(parent, lambda puppet: puppet.spawn(Stillborn))
            [message] = await seen(parent)
            assert message.ref is child
            assert isinstance(message.reason, Crash)

    in_system(main)


def test_a_child_of_a_parent_that_is_dead_ends_at_once(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        parent = system.start(Puppet)
        actor = parent._actor
        assert actor is not None
        parent.kill()
        await system.wait_ended(parent)
        child = actor.spawn(Puppet)
        assert await ended(child) == "noproc"

    in_sim(main)


def test_a_trapping_child_obeys_its_parent_and_nobody_else(in_sim: Run) -> None:
    class Free(Puppet):
        obey_parent = False

    async def main(system: ActorSystem) -> None:
        parent = system.start(Puppet)
        child = await do(parent, lambda puppet: puppet.spawn(Puppet, trap=True))
        free = await do(parent, lambda puppet: puppet.spawn(Free, trap=True))
        child.exit("shutdown")
        assert await seen_in_sim(child) == [Exit(None, "shutdown")]
        parent.tell(exit_with("shutdown"))
        assert await ended(child) == "shutdown"
        assert await seen_in_sim(free) == [Exit(parent, "shutdown")]

    async def seen_in_sim(ref: ActorRef[Any]) -> list[Any]:
        return await do(ref, lambda puppet: list(puppet.seen))

    in_sim(main)


def test_a_handler_in_a_thread_links_and_watches_in_virtual_time_too(
    in_sim: Run, dispatcher: str
) -> None:
    """There its thread is the loop's, which it could not wait for."""

    class Here(Actor):
        def on_receive(self, message: Any) -> Any:
            self.link(message)
            return self.monitor(message)

    Here.dispatcher = dispatcher  # type: ignore[misc]

    async def main(system: ActorSystem) -> None:
        here, other = system.start(Here), system.start(Puppet)
        await here.request(other)
        assert system.info(here).links == (other,)
        assert len(system.info(here).monitors) == 1
        other.kill()
        await system.wait_ended(here)
        assert here.exit_reason == "killed"

    in_sim(main)
