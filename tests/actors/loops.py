"""The kinds of event loop that a system is tested on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from agenticaiframework.actors import Actor, ActorSystem
from agenticaiframework.actors.simulation import SimLoop

SOON_S = 120.0

try:
    import uvloop
except ImportError:
    uvloop = None


def _eager() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    return loop


def _debug() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 5.0
    return loop


LOOPS: dict[str, Any] = {
    "asyncio": asyncio.new_event_loop,
    "debug": _debug,
    "simulated": SimLoop,
    "simulated, seeded": lambda: SimLoop(seed=7),
}
if sys.version_info >= (3, 12):
    LOOPS["eager tasks"] = _eager
if uvloop is not None:
    LOOPS["uvloop"] = uvloop.new_event_loop


class Runs(Actor):
    """Awaits the coroutine function that it is sent, and answers what it returns."""

    async def on_receive(self, message: Any) -> Any:
        return await message()


def on_loop(name: str, main: Callable[[ActorSystem], Awaitable[Any]]) -> Any:
    async def body() -> Any:
        async with asyncio.timeout(SOON_S), ActorSystem("inside") as system:
            return await main(system)

    with asyncio.Runner(loop_factory=LOOPS[name]) as runner:
        return runner.run(body())
