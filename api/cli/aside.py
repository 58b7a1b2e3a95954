"""What others write to standard error while a live table is shown: kept from it, and told as lines.

Libraries in C, MCP servers and other child processes write to the descriptor itself, in the middle of
what is being redrawn. Until the table is closed it leads to a file; a file, and not a pipe, because
nothing has to read it for its writers to go on.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from typing import IO, Final

from .output import stdout_is_led_to_stderr
from .showing import say

_STDOUT: Final = 1

_MOST: Final = 64 * 1024
"""Bytes that are told at once; what else there is follows the next time."""


class Aside:
    """Leads the process's standard error into a file until `close`. Owned by the loop's thread.

    *stream* is where the table is shown; `terminal` goes there also if that is standard error itself.
    Where standard error is not a terminal, or the system cannot do it, nothing is led elsewhere.
    """

    def __init__(self, stream: IO[str]) -> None:
        self.terminal = stream
        self._kept: int | None = None
        self._rest = b""
        try:
            number = sys.stderr.fileno()
            if not os.isatty(number) or not hasattr(os, "pread"):
                return
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
            self._read_to = 0
            self._number = number
            sys.stderr.flush()
            self._kept = os.dup(number)
        except (OSError, ValueError, AttributeError, io.UnsupportedOperation):
            return
        if _number_of(stream) == number:
            encoding, errors = getattr(stream, "encoding", None), getattr(stream, "errors", None)
            self.terminal = os.fdopen(
                os.dup(number), "w", buffering=1, encoding=encoding, errors=errors
            )
        os.dup2(self._file.fileno(), number)
        self._with_stdout = stdout_is_led_to_stderr()
        if self._with_stdout:
            os.dup2(number, _STDOUT)

    def read(self) -> list[str]:
        """Return the lines that have been written since the last call."""
        if self._kept is None:
            return []
        sys.stderr.flush()
        return self._lines(b"")

    def close(self) -> None:
        """Let standard error be itself again, and write to it what has not been told."""
        if self._kept is None:
            return
        sys.stderr.flush()
        left = self._lines(b"\n")
        os.dup2(self._kept, self._number)
        if self._with_stdout:
            os.dup2(self._kept, _STDOUT)
        os.close(self._kept)
        self._kept = None
        self._file.close()
        for line in left:
            say(line, out=sys.stderr)

    def _lines(self, last: bytes) -> list[str]:
        # The writers' place in the file is shared with this descriptor: it is read without moving it.
        found = os.pread(self._file.fileno(), _MOST, self._read_to)
        self._read_to += len(found)
        *lines, self._rest = (self._rest + found + (last if self._rest or found else b"")).split(
            b"\n"
        )
        texts = (line.decode("utf-8", "replace").rstrip() for line in lines)
        return [text for text in texts if text]


def _number_of(stream: IO[str]) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None
