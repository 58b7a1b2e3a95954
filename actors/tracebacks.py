"""Tracebacks for log records: the frames of users, without the library's own, cut and masked.

A record has its traceback as text, and not the exception itself: a sink of loguru's would write the
values of local variables beside each line (``diagnose``), and with them payloads and logins.
"""

from __future__ import annotations

from collections.abc import Sequence
from traceback import StackSummary, TracebackException, walk_tb
from typing import Any, Final

from .looks import frames_of, is_a, traceback_of
from .secrets import masked

LIBRARY: Final = f"{__name__.partition('.')[0]}."

LONGEST: Final = 12_000
"""Characters of a traceback that are kept: its beginning, and its end, which says what happened."""


def user_traceback(error: BaseException) -> str:
    """Return the traceback of *error* and of its causes as text, without the library's own frames.

    One that has no others keeps them: the defect is in the library then.
    """
    try:
        told = TracebackException(type(error), error, frames_of(error), compact=True)
        _leave_out_own(told, error)
        text = "".join(told.format())
    except Exception:
        text = traceback_of(error)
    if len(text) > LONGEST:
        left_out = len(text) - LONGEST
        half = LONGEST // 2
        text = f"{text[:half]}\n... ({left_out:,} characters left out)\n{text[-half:]}"
    return masked(text.rstrip("\n"))


def _leave_out_own(told: TracebackException | None, error: BaseException | None) -> None:
    """Take the library's frames out of *told*, which was made of *error*, and out of its causes."""
    while told is not None and error is not None:
        frames = [frame for frame, _line in walk_tb(frames_of(error))]
        stack = list(told.stack)
        if len(stack) == len(frames):
            theirs = [
                line
                for line, frame in zip(stack, frames, strict=True)
                if not str(frame.f_globals.get("__name__", "")).startswith(LIBRARY)
            ]
            if theirs:
                told.stack = StackSummary.from_list(theirs)
        for part, its_error in zip(told.exceptions or (), _parts_of(error), strict=False):
            _leave_out_own(part, its_error)
        if told.__cause__ is not None:
            told, error = told.__cause__, error.__cause__
        else:
            told, error = told.__context__, error.__context__


def _parts_of(error: Any) -> Sequence[BaseException]:
    return error.exceptions if is_a(error, BaseExceptionGroup) else ()


__all__ = ["user_traceback"]
