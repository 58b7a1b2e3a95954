"""The entry point of the command `agenticaiframework`: errors become sentences and exit codes."""

from __future__ import annotations

import codecs
import io
import json
import sys
from collections.abc import Sequence

from loguru import logger

from agenticaiframework.actors import AgenticError, MissingExtra

from .interrupts import EXIT_INTERRUPTED, Interrupted

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2

_NEEDED = ("cyclopts", "rich", "yaml")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with *arguments* (the process's own, if not given); return the exit code.

    No error of the library's own prints a traceback. A defect of the program does.
    """
    try:
        return _main(list(sys.argv[1:] if arguments is None else arguments))
    except (Interrupted, KeyboardInterrupt):
        print("Interrupted; everything has been stopped.", file=sys.stderr)
        return EXIT_INTERRUPTED


def _main(tokens: list[str]) -> int:
    try:
        from .app import app
    except ImportError as error:
        if error.name not in _NEEDED:
            raise
        _complain(MissingExtra("The command agenticaiframework", "cli"))
        return EXIT_BAD_INPUT

    from cyclopts import CycloptsError

    from agenticaiframework.patterns.engine import (
        WorkflowCancelled,
        WorkflowFailed,
        WorkflowLost,
    )

    # The progress says what happens; the library's log would say it a second time.
    logger.remove()
    _say_everything()
    try:
        code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        _complain(error)
        print("Try: agenticaiframework --help", file=sys.stderr)
        return EXIT_BAD_INPUT
    except (WorkflowFailed, WorkflowCancelled, WorkflowLost) as error:
        _complain(error)
        return EXIT_FAILED
    except AgenticError as error:
        _complain(error)
        return EXIT_BAD_INPUT
    except BrokenPipeError:
        # The reader of our output has had enough, which is its right; without this, Python would
        # complain once more while it closes the stream.
        sys.stdout = None
        return EXIT_FAILED
    return code if isinstance(code, int) else 0


def _say_everything() -> None:
    """Let a terminal or a pipe whose encoding lacks a character get it as JSON writes it."""
    codecs.register_error(_ESCAPED, _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors=_ESCAPED)


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


_ESCAPED = "agenticaiframework.escaped"


def _complain(error: BaseException) -> None:
    print(f"agenticaiframework: {error}", file=sys.stderr)
