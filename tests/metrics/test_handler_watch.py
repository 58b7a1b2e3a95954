"""Handlers are shown to those who watch them: each, or some that stand for the others."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from agenticaiframework.actors import Actor, ActorSystem, Agent, watch_handlers
from agenticaiframework.actors.kernel.handler_watch import EACH
from agenticaiframework.metrics import measure
from agenticaiframework.testing import simulate

from .conftest import values


class Sink(Actor):
    def on_receive(self, message: Any) -> None:
        pass


class Seen:
    """Notes what it is shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, int]] = []
        self.ended: list[BaseException | None] = []

    def watch(self, ref: Any, message: Any, stands_for: int) -> Any:
        self.shown.append((ref.label, stands_for))
        return lambda: self.ended.append


def test_few_messages_are_shown_each_and_many_by_those_that_stand_for_them() -> None:
    async def main() -> None:
        async with ActorSystem() as system:
            seen = Seen()
            watched = watch_handlers(system.scheduler, seen.watch)
            assert watched is not None
            sink = system.start(Sink, _name="sink")
            await asyncio.sleep(0)
            for n in range(EACH):
                sink.tell(n)
            await sink.request("done")
            assert len(seen.shown) == len(seen.ended) == EACH + 1
            many = 200_000
            for n in range(many):
                sink.tell(n)
            await sink.request("done")
            assert len(seen.shown) < 4 * EACH
            stood_for = sum(number for _, number in seen.shown)
            assert 0.8 * many < stood_for < 1.25 * many
            before = len(seen.shown)
            watched[0].refresh()
            await sink.request("each again")
            assert len(seen.shown) == before + 1

    asyncio.run(main())


def test_two_that_answer_each_other_are_both_chosen() -> None:
    class Ping(Actor):
        async def on_receive(self, message: Any) -> Any:
            return await message[0].request(None) if message else None

    async def main() -> None:
        async with ActorSystem() as system:
            seen = Seen()
            watch_handlers(system.scheduler, seen.watch)
            ping, pong = system.start(Ping, _name="ping"), system.start(Ping, _name="pong")
            for _ in range(20 * EACH):
                await ping.request((pong,))
            counts = {
                label: sum(n for one, n in seen.shown if one == label) for label in ("ping", "pong")
            }
            assert all(10 * EACH < count < 40 * EACH for count in counts.values()), counts

    asyncio.run(main())


def test_who_wants_each_is_shown_each_beside_one_who_is_shown_some() -> None:
    async def main() -> None:
        async with ActorSystem() as system:
            some, each = Seen(), Seen()
            watched = watch_handlers(system.scheduler, some.watch)
            with_each = watch_handlers(system.scheduler, each.watch, each=True)
            assert watched is not None
            assert with_each is not None
            sink = system.start(Sink)
            await asyncio.sleep(0)
            many = 20 * EACH
            for n in range(many):
                sink.tell(n)
            await sink.request("done")
            assert len(each.shown) == len(each.ended) == many + 1
            assert len(some.shown) < 4 * EACH
            assert 0.5 * many < sum(number for _, number in some.shown) < 2 * many
            with_each[1]()
            await sink.request("x")
            assert len(each.shown) == many + 1
            watched[1]()
            assert system.scheduler.observer is None

    asyncio.run(main())


def test_a_simulated_system_is_measured_without_its_handlers() -> None:
    async def echo(payload: Any) -> Any:
        return payload

    @simulate(runs=3)
    async def scenario() -> None:
        system = ActorSystem.current()
        measures = measure(system)
        assert watch_handlers(system.scheduler, Seen().watch) is None
        await Agent("echo", handler=echo).ask(1)
        assert values(measures)("messages_total", actor="echo") == 1
        await asyncio.sleep(1_000)  # in which nothing ticks
        assert values(measures)("loop_lag_seconds_count") is None

    scenario()


def test_a_handler_whose_coroutine_is_ended_before_it_begins_has_an_end() -> None:
    inside, free = threading.Event(), threading.Event()

    async def work() -> None:
        raise AssertionError("it does not begin")

    class Slow(Actor):
        dispatcher = "thread"

        def on_receive(self, _message: Any) -> Any:
            inside.set()
            free.wait(120)
            return work()

    async def main() -> None:
        ended: list[BaseException | None] = []
        async with ActorSystem() as system:
            watch_handlers(system.scheduler, lambda *_: lambda: ended.append)
            one = system.start(Slow)
            one.tell("x")
            await asyncio.to_thread(inside.wait, 120)
            one.exit("stop")
            free.set()
            await system.wait_ended(one)
        assert [type(error) for error in ended] == [GeneratorExit]

    asyncio.run(main())
