"""How long handlers take. See `HandlerWatch` for which of them are looked at."""

from __future__ import annotations

from functools import partial
from time import perf_counter
from typing import Any

from agenticaiframework.actors import ActorRef, hands_on

from .of_actors import label_of
from .series import Series


class HandlerTimes:
    """Takes the times of handlers into a series. Called on the threads that these run on."""

    def __init__(self, series: Series) -> None:
        self._series = series

    def watch(self, ref: ActorRef[Any], _message: Any, stands_for: int) -> Any:
        """Return what takes the time of a handler, if it is one."""
        return None if hands_on(ref) else partial(_Timed, self._series, ref, stands_for)


class _Timed:
    """One handler that runs."""

    __slots__ = ("_began", "_ref", "_series", "_stands_for")

    def __init__(self, series: Series, ref: ActorRef[Any], stands_for: int) -> None:
        self._series = series
        self._ref = ref
        self._stands_for = stands_for
        self._began = perf_counter()

    def __call__(self, error: BaseException | None) -> None:
        took_s = perf_counter() - self._began
        outcome = "ok" if error is None else "error" if isinstance(error, Exception) else "cut off"
        self._series.observe(took_s, label_of(self._ref), outcome, times=self._stands_for)


__all__ = ["HandlerTimes"]
