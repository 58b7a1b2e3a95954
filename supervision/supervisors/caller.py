"""The caller of a task: the actor whose handler asks for it, or the asyncio task where no actor does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

from agenticaiframework.actors import ActorRef, ActorSystem, running_here

Caller: TypeAlias = "ActorRef[Any] | asyncio.Task[Any] | None"


def caller_here() -> Caller:
    """Return the caller at this place."""
    actor: ActorRef[Any] | None = running_here()
    if actor is not None:
        return actor
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None  # no loop runs here


def when_gone(caller: Caller, system: ActorSystem, fn: Callable[[], None]) -> Callable[[], object]:
    """Call *fn* on the loop of *system* once *caller* has ended; return what takes that back.

    A caller on another loop is not watched.
    """
    if isinstance(caller, ActorRef):
        if caller.system is system:
            return asyncio.ensure_future(_watch(caller, system, fn)).cancel
    elif caller is not None and caller.get_loop() is system.loop:

        def gone(_caller: object) -> None:
            fn()

        caller.add_done_callback(gone)
        return lambda: caller.remove_done_callback(gone)
    return _nothing


def failed(caller: Caller) -> bool:
    """Tell whether *caller* has ended before it was through."""
    if not isinstance(caller, asyncio.Task):
        return caller is not None and not caller.is_alive()
    return caller.done() and (caller.cancelled() or caller.exception() is not None)


async def _watch(caller: ActorRef[Any], system: ActorSystem, fn: Callable[[], None]) -> None:
    await system.wait_ended(caller)
    fn()


def _nothing() -> None:
    """There is nothing to take back."""
