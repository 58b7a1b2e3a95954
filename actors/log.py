"""The library's log records: plain fields, no payloads, and no way back into the machine.

They go through loguru, or wherever `set_log_writer` says. A record's fields are text and numbers, so
that a sink may pickle them or make JSON of them; logins and keys in it are masked. Its traceback is
the last part of its text. A sink that raises is reported through the standard library's logging, and
does not reach the code that logs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from loguru import logger as loguru_logger

from .looks import is_a
from .reasons import describe_reason
from .secrets import masked, message_of
from .storms import Place, Storms
from .tracebacks import user_traceback

NUMBERS: Final = (int, float, bool, type(None))

LogWriter = Callable[[str, str, dict[str, Any], int], None]
"""Writes a record: its level, text and fields, and how many frames above is what tells it."""


def _to_loguru(level: str, text: str, fields: dict[str, Any], depth: int) -> None:
    loguru_logger.bind(**fields).opt(depth=depth + 1).log(level, text)


_writer: LogWriter = _to_loguru


def set_log_writer(writer: LogWriter | None) -> None:
    """Have all records of this process written by *writer*; None: by loguru again."""
    global _writer
    _writer = writer or _to_loguru


class Log:
    """Writes records with the bound *fields*. Safe from any thread, but for `report`."""

    __slots__ = ("_fields", "_storms", "payloads")

    def __init__(self, **fields: Any) -> None:
        self._fields = _plain(fields)
        self._storms: Storms | None = None
        self.payloads = False
        """Whether records show what was being handled."""

    def of_system(self, place: Place, payloads: bool) -> Log:
        """Return this log, which sums storms up by the time of *place* from now on."""
        self._storms = Storms(place, self._write_sum)
        self.payloads = payloads
        return self

    def bind(self, **fields: Any) -> Log:
        """Return a log whose records have these fields, too."""
        bound = Log.__new__(Log)
        bound._fields = {**self._fields, **_plain(fields)}
        bound._storms = self._storms
        bound.payloads = self.payloads
        return bound

    def trace(self, message: str, *args: Any) -> None:
        """Write a record at the level TRACE."""
        self.write("TRACE", message, *args, depth=1)

    def info(self, message: str, *args: Any) -> None:
        """Write a record of something usual."""
        self.write("INFO", message, *args, depth=1)

    def warning(self, message: str, *args: Any) -> None:
        """Write a record of something to look at."""
        self.write("WARNING", message, *args, depth=1)

    def error(self, message: str, *args: Any, error: BaseException | None = None) -> None:
        """Write a record of something that failed, with the traceback of *error*."""
        self.write("ERROR", message, *args, error=error, depth=1)

    def critical(self, message: str, *args: Any) -> None:
        """Write a record of something that ends the program."""
        self.write("CRITICAL", message, *args, depth=1)

    def write(
        self,
        level: str,
        message: str,
        *args: Any,
        error: BaseException | None = None,
        depth: int = 0,
    ) -> None:
        """Write a record of *level*; *args* fill the braces of *message*."""
        try:
            text = masked(message.format(*_plain_values(args)) if args else message)
            if error is not None:
                text = f"{text}\n{user_traceback(error)}"
            _writer(level, text, dict(self._fields), depth + 1)
        except Exception:
            logging.getLogger("agenticaiframework").error("A log sink failed", exc_info=True)

    def report(
        self,
        kind: str,
        subject: str,
        level: str,
        text: str,
        *,
        reason: Any,
        error: Any = None,
        depth: int = 0,
        **fields: Any,
    ) -> None:
        """Write a record of *kind* about *subject*, or count it if there are many. On the loop's thread.

        *text* says all: who, why (*reason* is that as a field), how often, what happens next. *error* is
        what the traceback is of; what is not an exception has none.
        """
        why = reason_text(reason)
        its_error = error if is_a(error, BaseException) else None

        def bound() -> Log:
            return self.bind(kind=kind, reason=why, **fields)

        def write(rest: str) -> None:
            bound().write(level, "{}{}", text, rest, error=its_error, depth=depth + 3)

        if self._storms is None:
            bound().write(level, "{}", text, error=its_error, depth=depth + 1)
            return
        self._storms.tell(kind, subject, level, why, lambda: bound()._fields, write)

    def flush(self) -> None:
        """Write the sums of what was only counted: the system stops."""
        if self._storms is not None:
            self._storms.flush()

    def _write_sum(self, level: str, text: str, fields: dict[str, Any]) -> None:
        self.bind(**fields).write(level, "{}", text, depth=2)


def reason_text(reason: Any) -> str:
    """Return an exit reason, or any other, in one line without secrets."""
    return masked(describe_reason(reason)).split("\n", 1)[0]


def _plain_values(values: tuple[Any, ...]) -> list[Any]:
    return [_plain_value(value) for value in values]


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in fields.items()}


def _plain_value(value: Any) -> Any:
    if type(value) in NUMBERS:
        return value
    return masked(value) if type(value) is str else message_of(value)
