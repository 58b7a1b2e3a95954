"""Asynchronous calls from code that has no event loop: a script, a thread, a plain handler."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from ..errors import WouldBlock, WrongUse
from ..kernel.here import HERE
from ..looks import shown
from .system import ActorSystem

T = TypeVar("T")


def refuse_on_a_loop(call: str, instead: str) -> None:
    """Raise `WouldBlock` if this thread runs an event loop, which *call* would hold up."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise WouldBlock(call, instead)


def in_this_thread(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Return what the coroutine that *make* makes returns, which waits in this thread.

    On a loop of its own, as `asyncio.run` makes it: in a plain handler a circle of those who wait for
    one another is seen as it is there. The asked actors work where this thread's system runs.
    """
    with ActorSystem.current().use():
        return asyncio.run(make())


def run_sync(work: Awaitable[T], *, system: ActorSystem | None = None) -> T:
    """Return what *work* returns, for code without an event loop; this thread waits meanwhile.

    It runs on the loop of *system*, else of the current system: where no loop runs that is one in the
    background, which lives until the program ends. So what one call has started, a supervisor say, is
    there for the next::

        run_sync(supervisor.start())
        print(run_sync(supervisor.ask("writer", "tea")))

    Raises what *work* raises, and `WouldBlock` in a thread that runs an event loop. An interrupt
    (Ctrl-C) cancels the work.
    """
    if not isinstance(work, Awaitable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise WrongUse(
            f"run_sync(...) takes what could be awaited, as in run_sync(agent.ask('tea')), "
            f"not {shown(work, 60)}"
        )
    try:
        refuse_on_a_loop("run_sync(...)", "await ...")
    except WouldBlock:
        close = getattr(work, "close", None)
        if close is not None:
            close()  # or Python warns, beside the error, that it was not awaited
        raise
    there = ActorSystem.current() if system is None else system

    async def main() -> T:
        with there.use():
            return await work

    home = there.scheduler
    future = asyncio.run_coroutine_threadsafe(main(), home.loop)
    job = HERE.job
    if job is not None:
        job.waits(1)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
    finally:
        if job is not None:
            job.waits(-1)
