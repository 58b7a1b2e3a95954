"""Monitors: one-way, each counts, and a Down comes exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from puppets import Crash, Puppet, Stage, crash, do, ended, exit_with, seen, until

from agenticaiframework.actors import ActorRef, ActorSystem, Down

Run = Callable[..., Any]


def test_a_down_tells_who_ended_and_why(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            watcher, target = stage.first(), stage.second()
            monitor = await do(watcher, lambda puppet: puppet.monitor(target))
            target.tell(exit_with("done"))
            assert await seen(watcher) == [Down(target, "done", monitor)]
            assert watcher.is_alive()

    in_system(main)


@pytest.mark.parametrize("reason", ["normal", "shutdown", ("shutdown", 1), "boom", 7, None])
def test_every_reason_is_told_also_an_orderly_one(in_sim: Run, reason: Any) -> None:
    async def main(system: ActorSystem) -> None:
        watcher, target = system.start(Puppet), system.start(Puppet)
        await do(watcher, lambda puppet: puppet.monitor(target))
        target.tell(exit_with(reason))
        await ended(target)
        [down] = await do(watcher, lambda puppet: list(puppet.seen))
        assert down.reason == reason

    in_sim(main)


def test_each_monitor_of_the_same_target_gives_its_own_message(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            watcher, target = stage.first(), stage.second()
            monitors = [await do(watcher, lambda puppet: puppet.monitor(target)) for _ in range(3)]
            target.tell(crash)
            downs = await seen(watcher, 3)
            assert {id(d.monitor) for d in downs} == {id(m) for m in monitors}
            assert all(isinstance(d.reason, Crash) for d in downs)

    in_system(main)


def test_the_end_of_the_watcher_does_nothing_to_the_target(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            watcher, target = stage.first(), stage.second()
            await do(watcher, lambda puppet: puppet.monitor(target))
            watcher.tell(crash)
            await ended(watcher)
            for _ in range(2):
                assert await do(target, lambda puppet: puppet.actor_ref._watchers) in (None, {})

    in_system(main)


def test_watching_a_dead_actor_says_noproc(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            watcher, target = stage.first(), stage.second()
            target.kill()
            await ended(target)
            await do(watcher, lambda puppet: puppet.monitor(target))
            [down] = await seen(watcher)
            assert (down.ref, down.reason) == (target, "noproc")

    in_system(main)


def test_no_down_comes_after_demonitor(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            watcher, target = stage.first(), stage.second()
            gone = await do(watcher, lambda puppet: puppet.monitor(target))
            kept = await do(watcher, lambda puppet: puppet.monitor(target))
            await do(watcher, lambda puppet: puppet.demonitor(gone))
            target.kill()
            assert await seen(watcher) == [Down(target, "killed", kept)]

    in_system(main)


def test_demonitor_by_ref_ends_all_monitors_of_it(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        watcher, target = system.start(Puppet), system.start(Puppet)
        await do(watcher, lambda puppet: [puppet.monitor(target) for _ in range(3)])
        await do(watcher, lambda puppet: puppet.demonitor(target))
        target.kill()
        await ended(target)
        assert await do(watcher, lambda puppet: puppet.seen) == []

    in_sim(main)


@pytest.mark.parametrize("flush", [True, False])
def test_demonitor_with_flush_takes_the_message_out_of_the_mailbox(
    in_sim: Run, flush: bool
) -> None:
    async def main(system: ActorSystem) -> None:
        watcher, target = system.start(Puppet), system.start(Puppet)
        actor = watcher._actor
        assert actor is not None
        monitor = actor.monitor(target)
        other = actor.monitor(target)
        system.suspend(watcher)
        target.kill()
        await ended(target)
        watcher.tell("after")
        actor.demonitor(monitor, flush=flush)
        system.resume(watcher)
        await do(watcher, lambda puppet: None)
        left = [] if flush else [Down(target, "killed", monitor)]
        assert actor.seen == [*left, Down(target, "killed", other), "after"]

    in_sim(main)


def test_watching_oneself_gives_nothing(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Puppet)
        await do(one, lambda puppet: puppet.monitor(one))
        one.kill()
        assert await ended(one) == "killed"

    in_sim(main)


def test_spawn_with_a_monitor_watches_from_the_start(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        parent = system.start(Puppet)
        child = await do(parent, lambda p: p.spawn(Puppet, link=False, monitor=True))
        child.exit("boom")
        await ended(child)
        [down] = await do(parent, lambda puppet: list(puppet.seen))
        assert (down.ref, down.reason) == (child, "boom")

    in_sim(main)


def test_wait_down_returns_the_reason_and_leaves_other_messages_in_order(
    in_system: Run, dispatcher: str
) -> None:
    class Waiter(Puppet):
        async def on_receive(self, message: Any) -> Any:  # type: ignore[override]
            if isinstance(message, ActorRef):
                return await self.wait_down(message)
            return super().on_receive(message)

    Waiter.dispatcher = dispatcher

    async def main(system: ActorSystem) -> None:
        waiter, target = system.start(Waiter), system.start(Puppet)
        reason = waiter.request(target)
        for number in range(3):
            waiter.tell(number)
        await until(lambda: system.info(target).monitored_by)
        target.exit("gone")
        assert await reason == "gone"
        assert await seen(waiter, 3) == [0, 1, 2]
        assert await waiter.request(target) == "noproc"

    in_system(main)


def test_wait_down_gives_up_after_its_timeout_and_watches_no_more(in_sim: Run) -> None:
    class Waiter(Puppet):
        async def on_receive(self, message: Any) -> Any:  # type: ignore[override]
            if isinstance(message, ActorRef):
                with pytest.raises(TimeoutError):
                    await self.wait_down(message, timeout=3.0)
                return self.system.clock()
            return super().on_receive(message)

    async def main(system: ActorSystem) -> None:
        waiter, target = system.start(Waiter), system.start(Puppet)
        assert await waiter.request(target) == 3.0
        assert system.info(waiter).monitors == ()
        assert system.info(target).monitored_by == ()
        target.kill()
        await asyncio.sleep(1)
        assert waiter._actor is not None
        assert waiter._actor.seen == []

    in_sim(main)


def test_messages_of_the_target_come_before_its_down(in_system: Run, places: str) -> None:
    async def main(system: ActorSystem) -> None:
        with Stage(system, places) as stage:
            watcher, target = stage.first(), stage.second()
            await do(watcher, lambda puppet: puppet.monitor(target))

            def talk_and_end(puppet: Puppet) -> None:
                for number in range(50):
                    watcher.tell(number)
                puppet.exit("done")

            target.tell(talk_and_end)
            messages = await seen(watcher, 51)
            assert messages[:50] == list(range(50))
            assert messages[50].reason == "done"

    in_system(main)
