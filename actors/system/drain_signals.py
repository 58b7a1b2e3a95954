"""Draining before the end: what is to take no new work and finish what it has, when a signal comes."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol, runtime_checkable

from ..errors import WrongUse
from .giving_up import GaveUp

SIGNALS = (signal.SIGTERM, signal.SIGINT)

DRAIN_S = 20.0
"""Long enough for most steps, and with the end after it within the 30 s that process managers give."""


@runtime_checkable
class Drainable(Protocol):
    """What can be told to take no new work and to finish what it has within a time: an engine."""

    def drain(self, deadline_s: float, /) -> Awaitable[Any]:
        """Return once that is done, or the time is over."""
        ...


class EndingSystem(Protocol):
    """A system that tells when a supervisor without a parent gives up; `ActorSystem` is one."""

    def subscribe(self, fn: Callable[[Any], object], event_type: type, /) -> Callable[[], None]:
        """Call *fn* with every event of *event_type*; return what ends that."""
        ...


def read_drainables(drain: Drainable | Iterable[Drainable] | None) -> tuple[Drainable, ...]:
    """Return *drain*, one or several, as a tuple. Raises `WrongUse`."""
    if drain is None:
        return ()
    given = (drain,) if isinstance(drain, Drainable) else tuple(drain)
    for one in given:
        if not isinstance(one, Drainable):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise WrongUse(
                f"{one!r} cannot be drained: it has no `drain(deadline_s)`. "
                "For example: system.until_signal(drain=engine)"
            )
    return given


async def drain_all(drainables: Sequence[Drainable], deadline_s: float) -> list[Any]:
    """Drain all at the same time; return their reports, or what they raised, in their order."""

    async def one(drainable: Drainable) -> Any:
        return await drainable.drain(deadline_s)

    return list(await asyncio.gather(*map(one, drainables), return_exceptions=True))


@contextmanager
def drain_on_signal(
    drain: Drainable | Iterable[Drainable],
    deadline_s: float = DRAIN_S,
    *,
    ends_with: EndingSystem | None = None,
    signals: Iterable[signal.Signals] = SIGNALS,
) -> Generator[None, None, None]:
    """Within the block the first signal drains, and then does what it would have done: end the server.

    For programs whose server handles signals itself, in its lifespan: uvicorn waits for open streams,
    which end by being drained. The second signal does at once what it would have done. When a supervisor
    without a parent gives up in the system *ends_with*, that counts as SIGTERM. On the running loop. In another thread than the main one, to which no signal comes, it does nothing.
    """
    drainables = read_drainables(drain)
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before: dict[int, Any] = {}
    begun: list[asyncio.Task[Any]] = []

    async def drain_first(number: int) -> None:
        await drain_all(drainables, deadline_s)
        _do_as_before(number, before[number], None)

    def arrived(number: int) -> None:
        begun.append(loop.create_task(drain_first(number), name="drain_on_signal"))

    def on_signal(number: int, frame: FrameType | None) -> None:
        if came:
            _do_as_before(number, before[number], frame)
        else:
            came.append(number)
            loop.call_soon_threadsafe(arrived, number)

    def gave_up(_: GaveUp) -> None:
        if not came:
            signal.raise_signal(signal.SIGTERM)

    came: list[int] = []
    unsubscribe = None if ends_with is None else ends_with.subscribe(gave_up, GaveUp)
    for one in signals:
        before[one] = signal.signal(one, on_signal)
    try:
        yield
    finally:
        if unsubscribe is not None:
            unsubscribe()
        for task in begun:
            task.cancel()
        for number, handler in before.items():
            if signal.getsignal(number) is on_signal:
                signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _do_as_before(number: int, handler: Any, frame: FrameType | None) -> None:
    if callable(handler):
        handler(number, frame)
    elif handler != signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


__all__ = ["DRAIN_S", "SIGNALS", "Drainable", "drain_all", "drain_on_signal", "read_drainables"]
