"""The two ways of the library's log records: all by loguru, or all by the standard library's logging.

pykka, which actors are built on, logs by the standard library; the library itself by loguru. Each of
the two functions here has both go one way. The last call counts, so a program that calls both has
each record once.

Lost: a sink that hands loguru's records on, and a handler that hands them back, as their manuals
show: with both, a record goes round in circles, and with one, it is written twice.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any, Final

from loguru import logger as loguru_logger

from agenticaiframework.actors import HAS_RECORD, set_log_writer

LIBRARY: Final = "agenticaiframework"
PYKKA: Final = "pykka"
TRACE: Final = 5
"""The number of loguru's level ``TRACE``."""

_NUMBERS: Final = {
    "TRACE": TRACE,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
    "CRITICAL": logging.CRITICAL,
}

_TAKEN: Final = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime"})
"""The attributes of a `LogRecord` that a field must not replace."""


def to_standard_logging() -> Callable[[], None]:
    """Have the library's records written by the standard library's logging; returns what undoes it.

    Their loggers have the names of the modules, ``agenticaiframework.…``, so that levels and handlers of
    ``agenticaiframework`` and of the root are those of all of them. A record's fields are attributes of
    its `LogRecord`. pykka's records stay where they are, but for those that the library has itself.
    """
    _bridge.take_off()
    set_log_writer(_write)
    logging.getLogger(PYKKA).addFilter(_told_once)
    return _bridge.take_off


def to_loguru() -> Callable[[], None]:
    """Have the library's records and pykka's written by loguru; returns what undoes it.

    The library's are from the beginning. pykka's logger gets a handler that hands its records on,
    and hands them to no other; sinks are the program's business.
    """
    _bridge.take_off()
    _bridge.put_on(logging.getLogger(PYKKA))
    return _bridge.take_off


def _told_once(record: logging.LogRecord) -> bool:
    """Let those of pykka's records pass of which the library writes none itself."""
    return not getattr(record, HAS_RECORD, False)


def _write(level: str, text: str, fields: dict[str, Any], depth: int) -> None:
    """Write a record of the library by the standard library's logging."""
    frame = inspect.currentframe()
    for _ in range(depth + 1):
        frame = frame and frame.f_back
    log = logging.getLogger(LIBRARY if frame is None else str(frame.f_globals["__name__"]))
    number = _NUMBERS.get(level, logging.INFO)
    if log.isEnabledFor(number):
        extra = {f"{name}_" if name in _TAKEN else name: fields[name] for name in fields}
        log.log(number, "%s", text, extra=extra, stacklevel=depth + 2)


class _ToLoguru(logging.Handler):
    """Hands the records of a logger to loguru. A record that comes back while that lasts is dropped."""

    def __init__(self) -> None:
        super().__init__()
        self._busy = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(self._busy, "now", False) or not _told_once(record):
            return
        self._busy.now = True
        try:
            names = {number: name for name, number in _NUMBERS.items()}
            level: str | int = names.get(record.levelno, record.levelno)

            def origin(told: Any) -> None:
                told.update(name=record.name, function=record.funcName, line=record.lineno)

            log = loguru_logger.patch(origin).opt(exception=record.exc_info)
            log.log(level, "{}", record.getMessage())
        except Exception:
            self.handleError(record)
        finally:
            self._busy.now = False


class _Bridge:
    """What stands on pykka's logger, if anything does. Owned by the functions above."""

    def __init__(self) -> None:
        self._handler = _ToLoguru()
        self._propagates: bool | None = None
        self._level = logging.NOTSET

    def put_on(self, log: logging.Logger) -> None:
        self._propagates = log.propagate
        self._level = log.level
        log.propagate = False
        if log.level == logging.NOTSET:
            # Else it were the root's, which says nothing of loguru's sinks.
            log.setLevel(logging.INFO)
        log.addHandler(self._handler)

    def take_off(self) -> None:
        set_log_writer(None)
        log = logging.getLogger(PYKKA)
        log.removeFilter(_told_once)
        log.removeHandler(self._handler)
        if self._propagates is not None:
            log.propagate, self._propagates = self._propagates, None
            log.setLevel(self._level)


_bridge = _Bridge()
