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
    """Blocks the loop until a function says that it is enough: in a handler, or in its hook."""

    def __init__(self, at_start: Callable[[], bool] | None = None) -> None:
        super().__init__()
        self.at_start = at_start

    def on_start(self) -> None:
        if self.at_start is not None:
            block(self.at_start)

    def on_receive(self, message: Any) -> Any:
        enough, wait_before = message
        return self.wait_and_block(enough) if wait_before else self.block_right_here(enough)

    def block_right_here(self, enough: Callable[[], bool]) -> str:
        block(enough)
        return "done"

    async def wait_and_block(self, enough: Callable[[], bool]) -> str:
        await asyncio.sleep(0.001)
        block(enough)
        return "done"


def block(enough: Callable[[], bool]) -> None:
    """Block, at most two minutes."""
    until = time.monotonic() + 120
    while not enough() and time.monotonic() < until:
        time.sleep(0.01)


class Told:
    """What the watchdog has said about one culprit; a machine that stalls makes it say more."""

    def __init__(self, culprit: str) -> None:
        self._culprit = culprit
        self._warnings: list[str] = []
        self._events: list[LoopBlocked] = []
        self.add_warning = self._warnings.append
        self.add_event = self._events.append

    @property
    def warnings(self) -> list[str]:
        return [warning for warning in self._warnings if warning.startswith(self._culprit)]

    @property
    def events(self) -> list[LoopBlocked]:
        names = [event.ref and event.ref.label for event in self._events]
        return [e for e, name in zip(self._events, names, strict=True) if name == self._culprit]

    @property
    def of_nobody(self) -> list[LoopBlocked]:
        return [event for event in self._events if event.ref is None]


@pytest.fixture
def told() -> Iterator[Told]:
    """What is said about the actor ``culprit`` during the test."""
    told = Told("culprit")
    sink = logger.add(
        lambda message: told.add_warning(str(message.record["message"])), level="WARNING"
    )
    yield told
    logger.remove(sink)


@pytest.mark.parametrize(
    ("wait_before", "place"), [(False, "block_right_here"), (True, "wait_and_block")]
)
def test_a_blocking_handler_is_named_with_its_stack(
    in_system: Run, told: Told, wait_before: bool, place: str
) -> None:
    async def main(system: ActorSystem) -> None:
        system.subscribe(told.add_event, LoopBlocked)
        quiet, culprit = system.start(Puppet, _name="quiet"), system.start(Blocks, _name="culprit")
        await quiet.request("hello")
        began = system.clock()
        message = (lambda: bool(told.warnings), wait_before)
        assert await culprit.request(message) == "done"
        await until(lambda: told.events)
        took_s = system.clock() - began
        [event] = told.events
        assert event.ref is culprit
        assert event.message == "tuple"
        assert 0.1 < event.blocked_s < took_s + 0.1, "from the sign of life that it asked for on"
        assert place in event.stack
        assert "time.sleep" in event.stack
        assert "scheduler.py" not in event.stack, "it begins in the handler"
        [warning] = told.warnings
        assert warning.startswith("culprit has blocked the event loop of test for 0.1 s")
        assert place in warning
        assert 'dispatcher = "thread"' in warning

    in_system(main, watchdog_s=0.1)


def test_a_blocking_hook_is_named(in_system: Run, told: Told) -> None:
    async def main(system: ActorSystem) -> None:
        system.subscribe(told.add_event, LoopBlocked)
        culprit: ActorRef[Any] = system.start(Blocks, lambda: bool(told.warnings), _name="culprit")
        await until(lambda: told.events)
        assert told.events[0].ref is culprit
        assert "on_start" in told.events[0].stack
        assert len(told.warnings) == 1

    in_system(main, watchdog_s=0.1)


def test_other_code_on_the_loop_is_told_as_such(in_system: Run) -> None:
    told = Told("code that belongs to no actor")
    sink = logger.add(
        lambda message: told.add_warning(str(message.record["message"])), level="WARNING"
    )

    def named() -> bool:
        return any("test_other_code_on_the_loop" in warning for warning in told.warnings)

    async def main(system: ActorSystem) -> None:
        system.subscribe(told.add_event, LoopBlocked)
        await system.start(Puppet).request("hello")
        await asyncio.sleep(0.01)
        block(named)
        await until(
            lambda: any("test_other_code_on_the_loop" in event.stack for event in told.of_nobody)
        )
        assert named()

    in_system(main, watchdog_s=0.1)
    logger.remove(sink)


def test_a_long_block_is_told_once_and_the_next_one_again(in_system: Run, told: Told) -> None:
    async def main(system: ActorSystem) -> None:
        system.subscribe(told.add_event, LoopBlocked)
        culprit = system.start(Blocks, _name="culprit")

        def told_long_ago(count: int) -> Callable[[], bool]:
            def enough() -> bool:
                if len(told.warnings) >= count:
                    time.sleep(0.3)  # several thresholds more
                    return True
                return False

            return enough

        await culprit.request((told_long_ago(1), False))
        await until(lambda: told.events)
        assert len(told.warnings) == 1
        assert told.events[0].blocked_s > 0.3
        await culprit.request((told_long_ago(2), False))
        await until(lambda: len(told.events) == 2)
        assert len(told.warnings) == 2

    in_system(main, watchdog_s=0.05)


def test_a_busy_loop_that_blocks_nowhere_is_fine(in_system: Run, told: Told) -> None:
    async def main(system: ActorSystem) -> None:
        def again(puppet: Puppet) -> None:
            if not stop.is_set():
                puppet.actor_ref.tell(again)

        stop = threading.Event()
        watchdog = Watchdog(system, 2.5)
        for _ in range(10):
            system.start(Puppet, _name="culprit").tell(again)
        await until(lambda: watchdog._beats >= 2)
        stop.set()
        watchdog.stop()
        assert watchdog.reports == 0
        assert told.warnings == []

    in_system(main)


def test_blocking_a_thread_actor_blocks_nothing(in_system: Run, told: Told) -> None:
    class Threaded(Blocks):
        dispatcher = "thread"

    async def main(system: ActorSystem) -> None:
        watchdog = Watchdog(system, 0.1)
        culprit = system.start(Threaded, _name="culprit")
        await culprit.request((lambda: watchdog._beats >= 4, False))
        watchdog.stop()
        assert told.warnings == []

    in_system(main)


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
