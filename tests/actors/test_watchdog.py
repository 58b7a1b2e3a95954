"""The watchdog over the event loop: it names who blocks it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from loguru import logger
from puppets import Puppet, until

from agenticaiframework.actors import (
    Actor,
    ActorRef,
    ActorSystem,
    AgenticError,
    LoopBlocked,
    Watchdog,
)

Run = Callable[..., Any]


class Blocks(Actor):
    """Blocks the loop, in a plain handler, an asynchronous one, or a hook."""

    def __init__(self, *, at_start: bool = False) -> None:
        super().__init__()
        self.at_start = at_start

    def on_start(self) -> None:
        if self.at_start:
            time.sleep(0.25)

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, str):
            return self.wait_and_block(message)
        return self.block_right_here(message)

    def block_right_here(self, message: float) -> str:
        time.sleep(message)
        return "done"

    async def wait_and_block(self, message: str) -> str:
        await asyncio.sleep(0.001)
        time.sleep(float(message))  # noqa: ASYNC251 - it blocks on purpose
        return "done"


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """The warnings logged during the test."""
    told: list[str] = []
    sink = logger.add(lambda message: told.append(str(message.record["message"])), level="WARNING")
    yield told
    logger.remove(sink)


@pytest.mark.parametrize(
    ("message", "place"), [(0.3, "block_right_here"), ("0.3", "wait_and_block")]
)
def test_a_blocking_handler_is_named_with_its_stack(
    in_system: Run, warnings: list[str], message: Any, place: str
) -> None:
    async def main(system: ActorSystem) -> None:
        events: list[LoopBlocked] = []
        system.subscribe(events.append, LoopBlocked)
        quiet, culprit = system.start(Puppet, _name="quiet"), system.start(Blocks, _name="culprit")
        await quiet.request("hello")
        assert await culprit.request(message) == "done"
        await until(lambda: events)
        [event] = events
        assert event.ref is culprit
        assert event.message == type(message).__name__
        assert 0.15 < event.blocked_s < 5
        assert place in event.stack
        assert "time.sleep" in event.stack
        assert "scheduler.py" not in event.stack, "it begins in the handler"
        [warning] = warnings
        assert warning.startswith("culprit has blocked the event loop of test for 0.1 s")
        assert place in warning
        assert 'dispatcher = "thread"' in warning

    in_system(main, watchdog_s=0.1)


def test_a_blocking_hook_is_named(in_system: Run, warnings: list[str]) -> None:
    async def main(system: ActorSystem) -> None:
        events: list[LoopBlocked] = []
        system.subscribe(events.append, LoopBlocked)
        culprit: ActorRef[Any] = system.start(Blocks, at_start=True)
        await until(lambda: events)
        assert events[0].ref is culprit
        assert "on_start" in events[0].stack
        assert len(warnings) == 1

    in_system(main, watchdog_s=0.1)


def test_other_code_on_the_loop_is_told_as_such(in_system: Run, warnings: list[str]) -> None:
    async def main(system: ActorSystem) -> None:
        events: list[LoopBlocked] = []
        system.subscribe(events.append, LoopBlocked)
        await system.start(Puppet).request("hello")
        await asyncio.sleep(0.01)
        time.sleep(0.25)  # noqa: ASYNC251 - it blocks on purpose
        await until(lambda: events)
        assert events[0].ref is None
        assert "test_other_code_on_the_loop" in events[0].stack
        assert "code that belongs to no actor" in warnings[0]

    in_system(main, watchdog_s=0.1)


def test_a_long_block_is_told_once_and_the_next_one_again(
    in_system: Run, warnings: list[str]
) -> None:
    async def main(system: ActorSystem) -> None:
        events: list[LoopBlocked] = []
        system.subscribe(events.append, LoopBlocked)
        one = system.start(Blocks)
        await one.request(0.5)
        await until(lambda: events)
        assert len(warnings) == 1
        assert events[0].blocked_s > 0.4
        await one.request(0.2)
        await until(lambda: len(events) == 2)
        assert len(warnings) == 2

    in_system(main, watchdog_s=0.05)


def test_a_busy_loop_that_blocks_nowhere_is_fine(in_system: Run, warnings: list[str]) -> None:
    async def main(system: ActorSystem) -> None:
        def again(puppet: Puppet) -> None:
            if not stop.is_set():
                puppet.actor_ref.tell(again)

        stop = threading.Event()
        for _ in range(10):
            system.start(Puppet).tell(again)
        await asyncio.sleep(0.5)
        stop.set()
        assert warnings == []

    in_system(main, watchdog_s=0.2)


def test_blocking_a_thread_actor_blocks_nothing(in_system: Run, warnings: list[str]) -> None:
    class Threaded(Blocks):
        dispatcher = "thread"

    async def main(system: ActorSystem) -> None:
        await system.start(Threaded).request(0.3)
        assert warnings == []

    in_system(main, watchdog_s=0.1)


def test_the_watchdog_ends_with_its_system_and_on_request(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        names = {thread.name for thread in threading.enumerate()}
        assert "test-watchdog" in names
        other = Watchdog(system, 5.0)
        assert len([t for t in threading.enumerate() if t.name == "test-watchdog"]) == 2
        other.stop()
        other.stop()
        assert len([t for t in threading.enumerate() if t.name == "test-watchdog"]) == 1

    in_system(main, watchdog_s=5.0)
    assert "test-watchdog" not in {thread.name for thread in threading.enumerate()}


def test_there_is_none_unless_asked_for_and_none_in_simulation(in_system: Run, in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        before = threading.active_count()
        await system.start(Puppet).request("hello")
        assert threading.active_count() == before

    in_system(main)
    in_sim(main, watchdog_s=0.1)


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), "1", True, None])
def test_a_threshold_that_is_no_time_is_refused_at_once(in_system: Run, wrong: Any) -> None:
    if wrong is not None:
        with pytest.raises(ValueError, match=r"watchdog_s=1\.0"):
            ActorSystem(watchdog_s=wrong)

    async def main(system: ActorSystem) -> None:
        with pytest.raises(AgenticError):
            Watchdog(system, wrong)

    in_system(main)
