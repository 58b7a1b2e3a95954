"""Blocking work under virtual time: run inline, with `time.sleep` moving the virtual clock."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from asyncio import events
from collections.abc import Callable
from typing import Any, Protocol, SupportsIndex


class _Clock(Protocol):
    def block(self, duration_s: float) -> None: ...


class _Here(threading.local):
    """Of each thread: the simulated loop that runs in it, and the inline work under way."""

    clock: _Clock | None = None
    inline_slept_s: float | None = None
    allow_threads: bool = False


class BlockedForEver(BaseException):
    """Inline work sleeps and never wakes: nothing after that may happen, and its end never comes."""


_here = _Here()
_lock = threading.Lock()
_installed = 0
_real_sleep = time.sleep


def _sleep(secs: float | SupportsIndex, /) -> None:
    """`time.sleep` while some loop simulates: virtual in its thread, real in every other."""
    clock = _here.clock
    if clock is None:
        _real_sleep(secs)
        return
    secs = float(secs)
    if secs < 0:
        raise ValueError("sleep length must be non-negative")
    elif _here.inline_slept_s is not None:
        _here.inline_slept_s += secs
        if secs == math.inf:
            raise BlockedForEver
    else:
        clock.block(secs)


class VirtualSleep:
    """Makes `time.sleep` in this thread move *clock* instead of waiting."""

    __slots__ = ("_allow_threads", "_clock", "_outer")

    def __init__(self, clock: _Clock, *, allow_threads: bool) -> None:
        self._clock = clock
        self._allow_threads = allow_threads
        self._outer: tuple[_Clock | None, float | None, bool] = (None, None, False)

    def begin(self) -> None:
        global _installed, _real_sleep
        here = _here
        self._outer = (here.clock, here.inline_slept_s, here.allow_threads)
        here.clock, here.inline_slept_s = self._clock, None
        here.allow_threads = self._allow_threads
        with _lock:
            if _installed == 0:
                _real_sleep = time.sleep
                time.sleep = _sleep
            _installed += 1

    def end(self) -> None:
        global _installed
        _here.clock, _here.inline_slept_s, _here.allow_threads = self._outer
        with _lock:
            _installed -= 1
            if _installed == 0 and time.sleep is _sleep:
                time.sleep = _real_sleep


def simulating() -> bool | None:
    """Return None outside of simulated runs, else whether this run may start real threads."""
    return None if _here.clock is None else _here.allow_threads


def slept_inline(duration_s: float) -> None:
    """Count *duration_s* as slept by the inline work that runs now."""
    if _here.inline_slept_s is not None:
        _here.inline_slept_s += duration_s


def run_inline(
    loop: Any, func: Callable[..., Any], args: tuple[Any, ...]
) -> tuple[Any, BaseException | None, float]:
    """Run *func* as a thread would, without a running loop; return result, error, seconds slept.

    Its effects happen at once. Its end belongs after the virtual seconds that it slept, so that the
    loop is not blocked, as it would not be by a real thread.
    """
    outer, _here.inline_slept_s = _here.inline_slept_s, 0.0
    events._set_running_loop(None)
    error: BaseException | None = None
    result: Any = None
    try:
        result = func(*args)
    except StopIteration as stop:
        error = RuntimeError(f"{func!r} raised StopIteration")
        error.__cause__ = stop
    except BaseException as raised:
        error = raised
    finally:
        slept_s, _here.inline_slept_s = _here.inline_slept_s, outer
        events._set_running_loop(loop)
    return result, error, slept_s


def run_blocking(
    loop: asyncio.AbstractEventLoop,
    future: asyncio.Future[Any],
    func: Callable[..., Any],
    args: tuple[Any, ...],
) -> None:
    """Run *func* inline, and give *future* its outcome once its sleeps are over."""
    if future.cancelled():
        return
    result, error, slept_s = run_inline(loop, func, args)
    if slept_s == math.inf:
        return  # it blocks for ever
    if slept_s:
        loop.call_later(slept_s, _resolve, future, result, error)
    else:
        _resolve(future, result, error)


def _resolve(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
