"""One other node, as a node sees it: what is to go there, in order, and how far it has got.

What is sent gathers while a batch is under way: there is one at a time, so that its order is that of
sending, and under load batches grow by themselves. A batch of which is not known whether it arrived
is sent again, with its number, and the receiver passes over a number that it has had. So each entry
is handled in order and at most once; and when the node is lost, what was in no batch was never sent,
and what was in the batch under way may have been delivered.

Lost: an acknowledgement for each message (twice the calls); several batches under way (their order
would have to be restored, and a loss would leave more in doubt).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextvars import Context
from typing import Any, Final, Protocol

from ..reasons import MAYBE_DELIVERED, NEVER_SENT
from .entries import ASK
from .transport import Batch, Entry, NodeInfo, NodeLost, Transport

MOST_ENTRIES: Final = 2_000
MOST_BYTES: Final = 4_000_000
FIRST_PAUSE_S: Final = 0.02
LONGEST_PAUSE_S: Final = 0.5


class Sender(Protocol):
    """What has sent a message, and is told if its node is lost before it has taken that."""

    def undelivered(self, item: Any, why: str, /) -> None: ...


Queued = tuple[Entry, Sender | None, Any]
"""An entry, and for one that is a message, its sender and what that calls it."""


class Outgoing:
    """The entries for one node. Owned by the loop's thread of this node's system.

    *limit* bounds those that wait and are messages; what the cluster itself has to say always enters.
    """

    def __init__(
        self,
        to: NodeInfo,
        sender: str,
        transport: Transport,
        loop: asyncio.AbstractEventLoop,
        context: Context,
        lost: Callable[[], object],
        limit: int,
    ) -> None:
        self.to = to
        self.limit = limit
        self.acknowledged = 0
        """How many entries the other node has taken."""
        self._sender = sender
        self._transport = transport
        self._loop = loop
        self._context = context
        self._lost = lost
        self._queue: deque[Queued] = deque()
        self._under_way: Sequence[Queued] = ()
        self._number = 0
        self._task: asyncio.Task[None] | None = None
        self.waiting: deque[Callable[[], None]] = deque()
        """Called, each once, as there is room again."""
        self.closed = False
        self._flushing: list[asyncio.Future[None]] = []

    @property
    def full(self) -> bool:
        """Whether messages have to wait, or are refused."""
        return len(self._queue) >= self.limit

    @property
    def waits(self) -> int:
        """How many entries have not been taken by the other node."""
        return len(self._queue) + len(self._under_way)

    def put(self, entry: Entry, sender: Sender | None = None, item: Any = None) -> None:
        """Send *entry* after all before it. *sender* is told if the node is lost before it has taken it."""
        if self.closed:
            if sender is not None:
                sender.undelivered(item, NEVER_SENT)
            return
        self._queue.append((entry, sender, item))
        if self._task is None:
            self._task = self._loop.create_task(self._send_all(), context=self._context)
            self._task.set_name(f"to node {self.to.name}")

    async def _send_all(self) -> None:
        while self._queue:
            taken = self._take()
            self._under_way = taken
            self._number += 1
            batch = Batch(self._sender, self._number, tuple([queued[0] for queued in taken]))
            if not await self._delivered(batch):
                return
            self.acknowledged += len(taken)
            self._under_way = ()
            while self.waiting and not self.full:
                self.waiting.popleft()()
        self._task = None
        self._is_flushed()

    def _take(self) -> list[Queued]:
        taken: list[Queued] = []
        size = 0
        queue = self._queue
        while queue and len(taken) < MOST_ENTRIES and size < MOST_BYTES:
            item = queue.popleft()
            last = item[0][3 if item[0][0] == ASK else -1]
            size += len(last) if type(last) in (bytes, str) else 16
            taken.append(item)
        return taken

    async def _delivered(self, batch: Batch) -> bool:
        """Send *batch* until it has arrived; return False if its node is lost."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                await self._transport.deliver(self.to.id, batch)
                return True
            except NodeLost:
                self._task = None
                self._lost()
                return False
            except Exception:
                # Whatever went wrong on the way: the receiver passes over what it has had.
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def close(self) -> tuple[int, int]:
        """Take nothing more; return how many messages were never sent, and may have been delivered."""
        self.closed = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        under_way, self._under_way = self._under_way, ()
        queue, self._queue = self._queue, deque()
        maybe = _tell_senders(under_way, MAYBE_DELIVERED)
        never = _tell_senders(queue, NEVER_SENT)
        while self.waiting:
            self.waiting.popleft()()
        self._is_flushed()
        return never, maybe

    def flushed(self) -> asyncio.Future[None]:
        """Return a future of when all that has been put here is taken by the other node, or it is lost."""
        future: asyncio.Future[None] = self._loop.create_future()
        if self.closed or not self.waits:
            future.set_result(None)
        else:
            self._flushing.append(future)
        return future

    def _is_flushed(self) -> None:
        flushing, self._flushing = self._flushing, []
        for future in flushing:
            if not future.done():
                future.set_result(None)


def _tell_senders(lost: Iterable[Queued], why: str) -> int:
    """Tell the senders of messages, and return how many there were."""
    count = 0
    for _, sender, item in lost:
        if sender is not None:
            sender.undelivered(item, why)
            count += 1
    return count


__all__ = ["Outgoing", "Sender"]
