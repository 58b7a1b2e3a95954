"""Exceptions that were never awaited: kept on the loop, then handled as asyncio does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

_log = logging.getLogger("asyncio")

Handler = Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object]


class ReportsErrors(asyncio.AbstractEventLoop):
    """The exception handler of an event loop, as a base class of one."""

    def __init__(self) -> None:
        #: Contexts given to the exception handler so far: a simulated run's silent failures.
        self.unhandled: list[dict[str, Any]] = []
        self._exception_handler: Handler | None = None

    def get_exception_handler(self) -> Handler | None:
        return self._exception_handler

    def set_exception_handler(self, handler: Handler | None) -> None:
        self._exception_handler = handler

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        error: BaseException | None = context.get("exception")
        lines = [str(context.get("message") or "Unhandled exception in event loop")]
        lines += [f"{key}: {context[key]!r}" for key in sorted(context) if key != "message"]
        _log.error("\n".join(lines), exc_info=error)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.unhandled.append(context)
        if self._exception_handler is None:
            self.default_exception_handler(context)
            return
        try:
            self._exception_handler(self, context)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.default_exception_handler(
                {
                    "message": "Unhandled error in exception handler",
                    "exception": error,
                    "context": context,
                }
            )
