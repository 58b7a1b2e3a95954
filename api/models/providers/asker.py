"""How long the asker of a model request still waits, known also in the tasks that pydantic-ai starts."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

from agenticaiframework.actors import has_timed_out, request_here, time_left_s


class _Asker:
    """A request that the running work is done for, until it is forgotten.

    The contexts that have it are copied into tasks and timers, which last longer than the work.
    """

    __slots__ = ("request",)

    def __init__(self, request: Any) -> None:
        self.request = request


_ASKERS: Final[ContextVar[tuple[_Asker, ...]]] = ContextVar("agenticaiframework_askers", default=())
"""The requests that the running work is done for, the innermost last. Copied into tasks and asks."""


def note_asker() -> None:
    """Remember whose request is handled here; call it in the handler itself."""
    request = request_here()
    if request is not None:
        askers = _ASKERS.get()
        if not any(asker.request is request for asker in askers):
            _ASKERS.set((*(a for a in askers if _waits(a)), _Asker(request)))


def forget_asker() -> None:
    """Forget whose request is handled here, as its work is done; call it in the handler itself."""
    request = request_here()
    for asker in _ASKERS.get():
        if asker.request is request:
            asker.request = None


def _waits(asker: _Asker) -> bool:
    return asker.request is not None and not asker.request.done()


def _requests() -> list[Any]:
    return [asker.request for asker in _ASKERS.get() if asker.request is not None]


def patience_s() -> float | None:
    """Return how long those that the running work is done for still wait; None: without a limit."""
    left = [left_s for request in _requests() if (left_s := time_left_s(request)) is not None]
    return min(left, default=None)


def asker_timed_out() -> bool:
    """Tell whether one of them has given up, because it took too long."""
    return any(map(has_timed_out, _requests()))
