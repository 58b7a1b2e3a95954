"""The library's log records: loguru's, with plain fields, and no way back into the machine.

A record's fields are text and numbers, so that a sink may pickle them or make JSON of them. A sink
that raises is reported through the standard library's logging, and does not reach the code that logs.
"""

from __future__ import annotations

import logging
import pickle
from typing import Any

from loguru import logger as loguru_logger

from .looks import text_of, traceback_of

PLAIN = (str, int, float, bool, type(None))


class Log:
    """Writes records with the bound *fields*. Safe from any thread."""

    __slots__ = ("_logger",)

    def __init__(self, **fields: Any) -> None:
        self._logger: Any = loguru_logger.bind(**_plain(fields))

    def bind(self, **fields: Any) -> Log:
        """Return a log whose records have these fields, too."""
        bound = Log.__new__(Log)
        bound._logger = self._logger.bind(**_plain(fields))
        return bound

    def trace(self, message: str, *args: Any) -> None:
        """Write a record for those who look for it."""
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
            text = message.format(*_plain_values(args)) if args else message
            if error is not None and not _can_travel(error):
                text, error = f"{text}\n{traceback_of(error)}", None
            self._logger.opt(exception=error, depth=depth + 1).log(level, text)
        except Exception:
            logging.getLogger("agenticaiframework").error("A log sink failed", exc_info=True)


def _can_travel(error: BaseException) -> bool:
    """Tell whether a sink can show *error*, and send its class to a thread or process of its own."""
    try:
        str(error)
        pickle.dumps(type(error))
    except Exception:
        return False
    return True


def _plain_values(values: tuple[Any, ...]) -> list[Any]:
    return [value if type(value) in PLAIN else text_of(value) for value in values]


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value if type(value) in PLAIN else text_of(value) for name, value in fields.items()
    }
