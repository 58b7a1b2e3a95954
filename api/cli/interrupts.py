"""Ctrl-C: the first stops everything in order, the second at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

EXIT_INTERRUPTED = 130


class Interrupted(Exception):
    """The run was ended by Ctrl-C (or a request to terminate), and everything has been stopped."""


def run_interruptible(main: Callable[[], Coroutine[Any, Any, T]], say: Callable[[str], None]) -> T:
    """Run *main* in an event loop of its own and return its result.

    The first interrupt calls *say* and cancels *main*, which then stops what it has started; raises
    `Interrupted` when it has. The second ends the process at once, with exit code 130, also while a
    handler that blocks keeps the loop from turning.
    """

    async def inside() -> T:
        loop = asyncio.get_running_loop()
        task = loop.create_task(main())
        interrupted = False

        def interrupt() -> None:
            nonlocal interrupted
            if interrupted:
                # Nothing may be waited for now. Child processes end as their standard input closes.
                os._exit(EXIT_INTERRUPTED)
            interrupted = True
            loop.call_soon_threadsafe(stop)

        def stop() -> None:
            say("stopping in order; Ctrl-C again stops at once")
            task.cancel()

        handled = _handle(interrupt)
        try:
            return await task
        except asyncio.CancelledError:
            if interrupted:
                raise Interrupted from None
            raise
        finally:
            for number, before in handled.items():
                signal.signal(number, before)

    return asyncio.run(inside())


def _handle(interrupt: Callable[[], None]) -> dict[int, Any]:
    """Let *interrupt* handle the signals; return what has handled each of them before.

    Python's own handlers, which run between two instructions of whatever runs in the main thread;
    those of the loop would wait for its turn.
    """
    handled: dict[int, Any] = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            handled[number] = signal.signal(number, lambda number, frame: interrupt())
        except ValueError:
            continue  # not in the main thread: Python's own way remains
    return handled
