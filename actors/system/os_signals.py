"""Signals of the operating system for services: the first stops in order, the second at once.

``await system.until_signal()`` in asynchronous programs; `run_until_signal` in a program whose system
runs in the background. The handlers that were there before are put back at the end.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Iterable
from types import FrameType
from typing import Any, Protocol

from ..errors import AgenticError
from ..kernel.home import Home
from ..kernel.request import call_on
from ..log import Log
from .drain_signals import DRAIN_S, SIGNALS, Drainable, drain_all, read_drainables
from .giving_up import GaveUp, explained
from .shutdown import unended
from .stopping import StopReport

AT_ONCE_S = 1.0
"""How long the end may still take after the second signal."""


LOOK_S = 0.5
"""How soon a main thread that waits notices that its system gave up, or was stopped by other code."""


class Service(Protocol):
    """What a signal stops; `ActorSystem` is one."""

    name: str
    log: Log
    gave_up: GaveUp | None

    @property
    def running(self) -> bool: ...
    @property
    def scheduler(self) -> Home: ...
    @property
    def actor_count(self) -> int: ...
    def subscribe(self, fn: Callable[[Any], object], event_type: type, /) -> Callable[[], None]: ...
    def at_stop(self, fn: Callable[[], Any], /) -> None: ...
    def call_later(
        self, delay_s: float, fn: Callable[..., object], /, *args: Any
    ) -> asyncio.TimerHandle: ...
    def stop(self, timeout: float | None = None, /) -> Coroutine[Any, Any, StopReport]: ...
    def stop_blocking(self, timeout: float | None = None, /) -> StopReport: ...


class NotMainThread(AgenticError, RuntimeError):
    """Signals can only be waited for in the main thread."""

    def __init__(self) -> None:
        super().__init__(
            "Python delivers signals to the main thread, and this is another. Await "
            "system.until_signal() in the program's main asyncio.run(...), or call "
            "run_until_signal(ActorSystem.in_background()) in the main thread."
        )


async def until_signal(
    system: Service,
    signals: Iterable[signal.Signals] = SIGNALS,
    timeout: float | None = None,
    drain: Drainable | Iterable[Drainable] | None = None,
    drain_s: float = DRAIN_S,
) -> StopReport:
    """Wait for one of *signals*, then stop *system* in order and return the report of its end.

    What *drain* names, an engine or several, is drained before that, for at most *drain_s* seconds.

    A supervisor without a parent that gives up ends the waiting as a signal does; the report's
    *reason* and *exit_code* say which it was. A second signal while it drains or stops ends it at once:
    every actor is killed, and what does not end within `AT_ONCE_S` seconds is left. *timeout* bounds the orderly end, as in `ActorSystem.stop`.
    Returns too when other code stops the system. Raises `NotMainThread`.
    """
    loop = asyncio.get_running_loop()
    drainables = read_drainables(drain)
    first, second = asyncio.Event(), asyncio.Event()
    signal_name: str | None = None
    look: asyncio.TimerHandle | None = None

    def look_again() -> None:
        # A signal that another thread was given is handled by this one, but does not wake it.
        nonlocal look
        look = loop.call_later(LOOK_S, look_again)

    def arrived(number: int) -> None:
        nonlocal signal_name
        name = signal.Signals(number).name
        # A stop that a give-up has begun is to go on in order at the first signal too.
        if first.is_set() and (signal_name is not None or system.gave_up is None):
            system.log.warning("{} again: {} ends at once", name, system.name)
            second.set()
        else:
            system.log.info("{}: {} stops", name, system.name)
            signal_name = name
            first.set()

    unsubscribe = system.subscribe(lambda _: call_on(loop, first.set), GaveUp)
    with _Handlers(signals, lambda number: loop.call_soon_threadsafe(arrived, number)):
        system.at_stop(lambda: call_on(loop, first.set))  # other code may stop it
        if not system.running or system.gave_up is not None:
            first.set()
        look_again()
        try:
            await first.wait()
            _log_give_up(system, signal_name)
            if drainables and system.running:
                await _first_of(loop, drain_all(drainables, drain_s), second.wait())
            stopping = loop.create_task(system.stop(timeout), name=f"{system.name}: until_signal")
            if not second.is_set():
                await _first_of(loop, asyncio.wait([stopping]), second.wait())
            if not stopping.done():
                system.scheduler.post_or_call(end_at_once, system)
                await asyncio.wait([stopping], timeout=AT_ONCE_S)
        finally:
            unsubscribe()
            if look is not None:
                look.cancel()
        if stopping.done():
            report = stopping.result()
        else:
            stopping.cancel()
            left = [ref.label for ref in unended(system.scheduler)] or [system.name]
            report = StopReport(abandoned=left)
        return explained(report, system.gave_up, signal_name)


def run_until_signal(
    system: Service,
    signals: Iterable[signal.Signals] = SIGNALS,
    timeout: float | None = None,
    drain: Drainable | Iterable[Drainable] | None = None,
    drain_s: float = DRAIN_S,
) -> StopReport:
    """Block the main thread until one of *signals*, then stop *system*, which runs in the background.

    What *drain* names is drained before that, for at most *drain_s* seconds. A second signal ends it at once, and one that gave up ends the waiting, as with `until_signal`.
    Returns the report of its end.
    """
    arrived: list[int] = []
    drainables = read_drainables(drain)
    scheduler = system.scheduler
    here, there = socket.socketpair()

    def on_signal(number: int) -> None:
        # It interrupts whatever the main thread does: no logging here, and no lock, which an event
        # has that the main thread waits for.
        arrived.append(number)
        there.send(b"!")
        if len(arrived) > 1:
            scheduler.post(end_at_once, system)

    with here, there, _Handlers(signals, on_signal):
        here.settimeout(LOOK_S)
        while not arrived and system.running and system.gave_up is None:
            try:
                here.recv(1)
            except TimeoutError:
                continue
        signal_name = signal.Signals(arrived[0]).name if arrived else None
        if signal_name is not None:
            system.log.info("{}: {} stops", signal_name, system.name)
        _log_give_up(system, signal_name)
        if drainables and system.running:
            draining = asyncio.run_coroutine_threadsafe(
                drain_all(drainables, drain_s), scheduler.loop
            )
            while not draining.done() and len(arrived) < 2:
                try:
                    draining.result(LOOK_S)
                except TimeoutError:
                    continue
            draining.cancel()
        return explained(system.stop_blocking(timeout), system.gave_up, signal_name)


def _log_give_up(system: Service, signal_name: str | None) -> None:
    if signal_name is None and system.gave_up is not None and system.running:
        system.log.critical("{}; {} stops", system.gave_up, system.name)


def end_at_once(system: Service) -> None:
    """Kill every actor of *system*, and soon again: one that is in its last hook then is cut off."""
    for ref in unended(system.scheduler):
        ref.kill()
    if system.actor_count:
        system.call_later(AT_ONCE_S / 4, end_at_once, system)


async def _first_of(loop: asyncio.AbstractEventLoop, *waits: Any) -> None:
    """Return when the first of *waits* does."""
    tasks = [loop.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


class _Handlers:
    """Handlers of signals for the time of a block. They only note the signal, so any code may run."""

    def __init__(self, signals: Iterable[signal.Signals], handle: Callable[[int], object]) -> None:
        self._signals = tuple(signals)
        self._handle = handle
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise NotMainThread

        def on_signal(number: int, _frame: FrameType | None) -> None:
            self._handle(number)

        for number in self._signals:
            self._before[number] = signal.signal(number, on_signal)

    def __exit__(self, *_exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


__all__ = ["AT_ONCE_S", "NotMainThread", "end_at_once", "run_until_signal", "until_signal"]
