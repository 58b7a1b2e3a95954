"""The writer of a medium that answers on a socket: appends are sent and acknowledged on the loop.

Everything else is done by a thread: calls, what the medium has refused, connections that were cut. The
two take turns, so jobs are carried out in order, and what they share needs no lock.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from .jobs import Job, Write
from .reader import ReaderThread
from .writer import Commit, Deliver, carry_out, take

__all__ = ["Lane", "LaneWriter"]


class Lane(Protocol):
    """Sends batches of appends without waiting for them."""

    def send(self, jobs: Sequence[Write]) -> int | None:
        """Send a batch; return the socket to watch, or None when the thread has to do it."""
        ...

    def flush(self) -> bool:
        """Send on; return whether all is sent."""
        ...

    def receive(self) -> bool | None:
        """Return whether the batch was carried out; None while there is no answer."""
        ...

    def settle(self) -> bool:
        """Wait for the answer to what was sent; return whether it was carried out."""
        ...


class LaneWriter:
    """Commits over a lane, and in a thread what the lane does not take. Owned by the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        label: str,
        open_: Callable[[], None],
        commit: Commit,
        close: Callable[[], None],
        deliver: Deliver,
        *,
        lane: Lane,
    ) -> None:
        self._loop = loop
        self._label = label
        self._open = open_
        self._commit = commit
        self._deliver = weakref.WeakMethod(deliver)
        self._lane: Lane | None = lane
        self._settle = lane.settle
        self._thread = ReaderThread(loop, label, close, role="store")
        self._pending: deque[Job] = deque()
        self._planned = False
        self._flying: list[Job] = []
        """What has been sent and not been answered."""
        self._socket = -1
        self._away = False
        """Whether the thread has its turn."""
        self._idle: asyncio.Event | None = None

    def start(self, opened: Callable[[BaseException | None], None]) -> None:
        """Open the backend in the thread."""
        self._thread.run(self._open, partial(_opened, opened))

    def put(self, job: Job) -> None:
        """Queue a job; those of one turn of the loop go together."""
        self._pending.append(job)
        self._plan_turn()

    def put_first(self, job: Job) -> None:
        """Queue a job before all others."""
        self._pending.appendleft(job)
        self._plan_turn()

    def _plan_turn(self) -> None:
        if not self._planned and not self._flying and not self._away:
            self._planned = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._planned = False
        self._go_on()

    def _go_on(self) -> None:
        """Have the next batch committed, unless one is under way."""
        if self._flying or self._away:
            return
        if not self._pending:
            if self._idle is not None:
                self._idle.set()
            return
        batch = take(self._pending, len(self._pending), alike=True)
        if self._lane is not None and isinstance(batch[0], Write) and self._send(self._lane, batch):
            return
        self._away = True
        self._thread.run(
            partial(carry_out, self._commit, batch, self._label), partial(self._came_back, batch)
        )

    # -- over the lane ----------------------------------------------------------------------------

    def _send(self, lane: Lane, batch: list[Any]) -> bool:
        socket = lane.send(batch)
        if socket is None:
            return False
        try:
            self._loop.add_reader(socket, self._answered)
        except NotImplementedError:
            # A loop that watches no sockets: this answer is waited for, and the lane is closed.
            self._lane = None
            self._away = True
            self._thread.run(
                partial(_settle, self._settle, self._commit, batch, self._label),
                partial(self._came_back, batch),
            )
            return True
        self._flying, self._socket = batch, socket
        if not lane.flush():
            self._loop.add_writer(socket, self._flush, lane)
        return True

    def _flush(self, lane: Lane) -> None:
        if lane.flush():
            self._loop.remove_writer(self._socket)

    def _answered(self) -> None:
        lane = self._lane
        assert lane is not None, "a batch was sent over it"
        well = lane.receive()
        if well is None:
            return
        batch = self._land()
        if not well:
            # It has not happened, or that is not known: the thread finds out, job by job.
            self._away = True
            self._thread.run(
                partial(carry_out, self._commit, batch, self._label),
                partial(self._came_back, batch),
            )
            return
        # The next one first: the medium works on it while these are reported.
        self._go_on()
        self._report(batch)

    def _land(self) -> list[Job]:
        batch, self._flying = self._flying, []
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        return batch

    # -- in the thread ----------------------------------------------------------------------------

    def _came_back(self, batch: list[Job], result: object, error: BaseException | None) -> None:
        self._away = False
        self._go_on()
        self._report(batch)

    def _report(self, batch: list[Job]) -> None:
        deliver = self._deliver()
        if deliver is not None:
            deliver(batch)

    # -- ending -----------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Wait until all is committed and the thread has ended."""
        while self._pending or self._flying or self._away:
            self._idle = asyncio.Event()
            self._go_on()
            await self._idle.wait()
        await self._thread.stop()

    def abandon(self) -> threading.Thread | None:
        """Let the thread commit what is left, and end."""
        batch = self._flying
        if batch:
            if not self._loop.is_closed():
                self._land()
            self._flying = []
            self._thread.run(
                partial(_settle, self._settle, self._commit, batch, self._label),
                partial(_reported, self._deliver, batch),
            )
        while self._pending:
            batch = take(self._pending, len(self._pending), alike=True)
            self._thread.run(
                partial(carry_out, self._commit, batch, self._label),
                partial(_reported, self._deliver, batch),
            )
        return self._thread.abandon()


def _opened(
    opened: Callable[[BaseException | None], None], result: object, error: BaseException | None
) -> None:
    opened(error)


def _settle(settle: Callable[[], bool], commit: Commit, batch: list[Job], label: str) -> None:
    if not settle():
        carry_out(commit, batch, label)


def _reported(
    deliver: weakref.WeakMethod[Deliver],
    batch: list[Job],
    result: object,
    error: BaseException | None,
) -> None:
    report = deliver()
    if report is not None:
        report(batch)
