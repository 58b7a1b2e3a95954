"""Run one coroutine in a simulated loop of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .choosers import Chooser
from .errors import refuse_running_loop
from .loop import SimLoop

T = TypeVar("T")


def run_sim(
    main: Callable[[], Coroutine[Any, Any, T]],
    *,
    seed: int | None = None,
    chooser: Chooser | None = None,
    loop: SimLoop | None = None,
) -> T:
    """Return what `await main()` returns, run in virtual time in a fresh `SimLoop`.

    `asyncio.run` for simulations, much cheaper: no signal handler, no thread, no selector. What
    *main* leaves behind is cancelled as `asyncio.run` does. Raises what *main* raises, and
    `SimulationStalled` where a real loop would wait for ever. A *loop* of one's own must be new;
    it is closed at the end.
    """
    refuse_running_loop("run_sim")
    loop = loop if loop is not None else SimLoop(seed=seed, chooser=chooser)
    try:
        return loop.run_until_complete(main())
    finally:
        try:
            cancel_leftovers(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()


def cancel_leftovers(loop: SimLoop) -> list[asyncio.Task[Any]]:
    """Cancel every task that *loop* still has, and return them in the order of their making."""
    left = sorted(asyncio.all_tasks(loop), key=hash)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    for task in left:
        if not task.cancelled() and (error := task.exception()) is not None:
            loop.call_exception_handler(
                {"message": "unhandled exception at shutdown", "exception": error, "task": task}
            )
    return left
