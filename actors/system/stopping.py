"""How a system is stopped: once, from whichever loop or thread it is asked to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ..as_data import fields_of
from ..errors import ForkedSystem
from ..kernel.home import Home
from ..kernel.lifecycle import leave_all


@dataclass(frozen=True, slots=True)
class StopReport:
    """What stopping a system met: nothing, if all went well.

    *killed* had to be killed because their time was up; *abandoned* are handlers that did not end
    even so (a thread that blocks, a coroutine that swallows its cancellation).

    *reason* says why the system ended: ``"stopped"`` by the program itself, the name of the signal
    that `until_signal` waited for, or who gave up and why. *exit_code* is for ``sys.exit``: 1 after
    a give-up, so that the program is started again, and 0 after an end that was asked for.
    """

    duration_s: float = 0.0
    killed: list[str] = field(default_factory=list[str])
    abandoned: list[str] = field(default_factory=list[str])
    reason: str = "stopped"
    exit_code: int = 0

    @property
    def clean(self) -> bool:
        """Whether everything ended by itself."""
        return not self.killed and not self.abandoned

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, for JSON."""
        return {**fields_of(self), "clean": self.clean}


class Stopper:
    """Stops the system of one home, and keeps the report. *shut_down* does it, given a time limit.

    `begun` and what belongs to `stop` are the loop thread's; the rest is owned by its lock.
    """

    def __init__(
        self,
        name: str,
        grace_s: float,
        shut_down: Callable[[float], Coroutine[Any, Any, StopReport]],
    ) -> None:
        self._name = name
        self._grace_s = grace_s
        self._shut_down = shut_down
        self.begun = False
        """Whether the system takes no more actors."""
        self._stopped: asyncio.Task[StopReport] | None = None
        self._lock = threading.Lock()
        self._report: StopReport | None = None
        self._for_outside: asyncio.Task[None] | None = None

    async def stop(self, home: Home, limit_s: float) -> StopReport:
        """Stop on the system's own loop; the second time, wait for the first."""
        if self._stopped is None:
            self.begun = True
            # A task of its own: a caller that gives up waiting, or is an actor and ends by this very
            # stop, must not leave it half done.
            self._stopped = home.loop.create_task(
                self._shut_down(limit_s), name=f"{self._name}: stop"
            )
        return await asyncio.shield(self._stopped)

    def stop_from_outside(
        self, home: Home, limit_s: float, thread: threading.Thread | None
    ) -> StopReport:
        """Stop from another thread than the loop's, and end *thread* if the loop runs in our own."""
        if home.forked:
            raise ForkedSystem(self._name)
        with self._lock:
            if self._report is None:
                report, final = self._stop_in_thread(home, limit_s, thread)
                if not final:
                    return report
                self._report = report
            return self._report

    def _stop_in_thread(
        self, home: Home, limit_s: float, thread: threading.Thread | None
    ) -> tuple[StopReport, bool]:
        """Return the report, and whether another try could not say more."""
        loop = home.loop
        if loop.is_closed():
            return self._closed_report(home)
        future: Future[StopReport] = Future()
        try:
            loop.call_soon_threadsafe(self._stop_for, home, future, limit_s)
            report = future.result(limit_s + self._grace_s)
            if thread is not None:
                loop.call_soon_threadsafe(loop.stop)
                thread.join(limit_s + self._grace_s)
        except (TimeoutError, RuntimeError):
            # The loop is blocked, does not run, or has just been closed.
            self.begun = home.closed = True
            blocked = f"{self._name}: the loop's thread is blocked"
            return StopReport(abandoned=[blocked]), False
        return report, True

    def _closed_report(self, home: Home) -> tuple[StopReport, bool]:
        stopped = self._stopped
        if stopped is not None and not stopped.cancelled():
            return stopped.result(), False
        # It was not stopped in time, and now its actors cannot do anything any more.
        self.begun = True
        return StopReport(abandoned=[ref.label for ref in leave_all(home)]), True

    def _stop_for(self, home: Home, waiting: Future[StopReport], limit_s: float) -> None:
        """Stop, and tell *waiting*, another thread; on the loop's thread."""

        async def stop() -> None:
            try:
                waiting.set_result(await self.stop(home, limit_s))
            except BaseException as error:
                waiting.set_exception(error)
                raise

        self._for_outside = home.loop.create_task(stop(), name=f"{self._name}: stop_blocking")
