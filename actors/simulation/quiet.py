"""Keeps thousands of simulated crashes out of the log: the trace tells of them."""

from __future__ import annotations

import logging
import threading

from loguru import logger

PACKAGE = "agenticaiframework"

_lock = threading.Lock()
_depth = 0
_level = logging.NOTSET


class QuietLogs:
    """While entered, this library logs nothing; may nest. Afterwards its logging is enabled.

    That is global to the process, because loguru's switch is.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        global _depth, _level
        with _lock:
            _depth += 1
            if _depth == 1:
                logger.disable(PACKAGE)
                pykka = logging.getLogger("pykka")
                _level = pykka.level
                pykka.setLevel(logging.CRITICAL + 1)

    def __exit__(self, *exc: object) -> None:
        global _depth
        with _lock:
            _depth -= 1
            if _depth == 0:
                logging.getLogger("pykka").setLevel(_level)
                logger.enable(PACKAGE)
