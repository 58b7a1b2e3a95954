"""Keeps thousands of simulated crashes out of the log: the trace tells of them."""

from __future__ import annotations

import logging
import threading

from loguru import logger

PACKAGE = "agenticaiframework"

_lock = threading.Lock()
_depth = 0
_LOGGERS = ("pykka", PACKAGE)
"""Those of the standard library's logging: the second has the library's records, if it is to have them."""

_levels: dict[str, int] = {}


class QuietLogs:
    """While entered, this library logs nothing; may nest. Afterwards its logging is enabled.

    That is global to the process, because loguru's switch is.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        global _depth
        with _lock:
            _depth += 1
            if _depth == 1:
                logger.disable(PACKAGE)
                for name in _LOGGERS:
                    log = logging.getLogger(name)
                    _levels[name] = log.level
                    log.setLevel(logging.CRITICAL + 1)

    def __exit__(self, *exc: object) -> None:
        global _depth
        with _lock:
            _depth -= 1
            if _depth == 0:
                for name, level in _levels.items():
                    logging.getLogger(name).setLevel(level)
                logger.enable(PACKAGE)
