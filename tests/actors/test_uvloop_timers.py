"""Timers on uvloop, whose handles for moments that are over do not say when they were."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from agenticaiframework.actors import Actor, ActorSystem

uvloop = pytest.importorskip("uvloop")


class Ticking(Actor):
    def __init__(self, ticks: asyncio.Queue[Any]) -> None:
        super().__init__()
        self.ticks = ticks

    def on_start(self) -> None:
        self.send_interval(0.005, "tick")
        self.send_interval(0.0001, "fast")

    def on_receive(self, message: Any) -> None:
        self.ticks.put_nowait(message)


def block() -> None:
    """Hold the loop up for several periods."""
    time.sleep(0.03)


def test_a_repeated_timer_goes_on_after_the_loop_was_blocked() -> None:
    async def main() -> None:
        ticks: asyncio.Queue[Any] = asyncio.Queue()
        async with ActorSystem() as system, asyncio.timeout(120):
            system.start(Ticking, ticks)
            seen: list[Any] = []
            for _ in range(5):
                block()
                while ticks.qsize():
                    seen.append(ticks.get_nowait())
                seen.append(await ticks.get())
            while seen.count("tick") < 20 or seen.count("fast") < 20:
                seen.append(await ticks.get())

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
