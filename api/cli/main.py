"""The entry point of the command `agenticaiframework`: errors become sentences and exit codes."""

from __future__ import annotations

import codecs
import io
import json
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from loguru import logger

from agenticaiframework.actors import AgenticError, ForeignPackage, MissingExtra, check_package

from .exits import EXIT_FAILED
from .interrupts import EXIT_INTERRUPTED, Interrupted
from .showing import say

if TYPE_CHECKING:
    from cyclopts import UnusedCliTokensError

EXIT_BAD_INPUT = 2

_NEEDED = ("cyclopts", "rich", "yaml")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with *arguments* (the process's own, if not given); return the exit code.

    No error of the library's own prints a traceback. A defect of the program does.
    """
    try:
        return _main(list(sys.argv[1:] if arguments is None else arguments))
    except (Interrupted, KeyboardInterrupt):
        say("Interrupted; everything has been stopped.", out=sys.stderr)
        return EXIT_INTERRUPTED


def _main(tokens: list[str]) -> int:
    try:
        check_package(warn=False)
    except ForeignPackage as error:
        _complain(error)
        return EXIT_BAD_INPUT
    try:
        from .app import app
    except ImportError as error:
        if error.name not in _NEEDED:
            raise
        _complain(MissingExtra("The command agenticaiframework", "cli"))
        return EXIT_BAD_INPUT

    from cyclopts import CycloptsError, UnusedCliTokensError

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
    except UnusedCliTokensError as error:
        say(f"agenticaiframework: {_too_many(tokens, error)}", out=sys.stderr)
        say("Try: agenticaiframework --help", out=sys.stderr)
        return EXIT_BAD_INPUT
    except CycloptsError as error:
        _complain(error)
        say("Try: agenticaiframework --help", out=sys.stderr)
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


def _too_many(tokens: Sequence[str], error: UnusedCliTokensError) -> str:
    """Return what is wrong with words that belong to nothing: mostly a text without quotes."""
    words = list(error.unused_tokens or ())
    said = f"{shlex.join(words)} belongs to nothing here."
    if not words or words[0].startswith("-"):
        return said
    try:
        before = tokens[list(tokens).index(words[0]) - 1]
    except ValueError:  # it was a part of a token
        return said
    key, equals, begun = before.partition("=")
    if equals and key.replace("_", "").isalnum():
        return (
            f'{said} A text with spaces needs quotes: --input {key}="{" ".join([begun, *words])}"'
        )
    if tokens[0] == "run":
        return f'{said} What the workflow is given needs a name and quotes: --input query="{" ".join(words)}"'
    return f"{said} A text with spaces needs quotes."


def _say_everything() -> None:
    """Let a terminal or a pipe whose encoding lacks a character get it as JSON writes it."""
    codecs.register_error(_ESCAPED, _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in _STOPPING:
            stream.reconfigure(errors=_ESCAPED)


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


_ESCAPED = "agenticaiframework.escaped"

_STOPPING = ("strict", "surrogateescape")
"""How a stream treats what it cannot encode, by default: the second in the locales C and POSIX, where half
of a pair of surrogates would raise as well."""


def _complain(error: BaseException) -> None:
    say(f"agenticaiframework: {error}", out=sys.stderr)
