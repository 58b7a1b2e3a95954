"""Standard output for results alone: a pipe or a file gets them, and nothing that is printed beside them.

Handlers print, and so do libraries, those in C and child processes included. In a terminal that is what
their author wants to see; in ``run --json | jq`` it would make the result unreadable.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import IO, Final, TextIO, cast

_STDOUT: Final = 1
_STDERR: Final = 2

_claimed: list[IO[str]] = []
"""Where results go while standard output is led to standard error. Written by `results_alone`."""


def results() -> IO[str]:
    """Return the stream that results are written to: standard output, as the command was given it."""
    if _claimed:
        return _claimed[-1]
    return sys.stdout or io.StringIO()  # a program may be started without one


def stdout_is_led_to_stderr() -> bool:
    """Tell whether what writes to descriptor 1 reaches standard error."""
    return bool(_claimed) and _number(_claimed[-1]) is not None


@contextmanager
def results_alone() -> Generator[None]:
    """Lead what the block prints to standard error, unless standard output is a terminal.

    The descriptor is led there as well, where standard output is the process's own.
    """
    given = cast("IO[str] | None", sys.stdout)
    errors = cast("IO[str] | None", sys.stderr)
    if given is None or errors is None or _claimed or given.isatty():
        yield
        return
    kept = _lead_descriptor(given)
    _claimed.append(given if kept is None else _like(given, kept))
    sys.stdout = cast("TextIO", errors)
    try:
        yield
    finally:
        sys.stdout = cast("TextIO", given)
        own = _claimed.pop()
        with suppress(BrokenPipeError):  # its reader has had enough, and was told so
            own.flush()
        if kept is not None:
            os.dup2(kept, _STDOUT)
            with suppress(BrokenPipeError):
                own.close()


def _lead_descriptor(stdout: IO[str]) -> int | None:
    """Lead descriptor 1 to standard error; return what it was, or None if that is something else."""
    try:
        stdout.flush()
        if _number(stdout) != _STDOUT:
            return None
        kept = os.dup(_STDOUT)
    except (OSError, ValueError):
        return None
    try:
        os.dup2(_STDERR, _STDOUT)
    except OSError:  # there is no standard error
        os.close(kept)
        return None
    return kept


def _like(stdout: IO[str], number: int) -> IO[str]:
    errors = getattr(stdout, "errors", None)
    return os.fdopen(number, "w", encoding=getattr(stdout, "encoding", None), errors=errors)


def _number(stream: IO[str]) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError, io.UnsupportedOperation):
        return None
