"""What runs on every node: an asynchronous Ray actor that carries a whole actor system.

One for each node and not one for each agent: a Ray actor is a process of 45 MB that starts in half a
second, while an actor of ours in it takes 22 kB and a third of a millisecond.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
import threading
from dataclasses import dataclass
from typing import Any, Final

from ..cluster.leases import MARGIN
from ..cluster.node import ClusterNode
from ..cluster.transport import Batch, NodeInfo, NodeLost, NodeUnavailable
from ..system.system import ActorSystem
from .ray_module import load_ray, versions

POLL_S: Final = 5.0
"""How long the head's question for a batch stays open: what asks for ever could not be renewed."""

STOP_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Setup:
    """What a node is told when it starts."""

    info: NodeInfo
    head: NodeInfo
    lease_s: float
    queue_limit: int
    by_value: bool
    path: tuple[str, ...]
    """Where the head imports from; a node on the same machine does so too."""


def packed(batch: Batch) -> bytes:
    """Return *batch* as bytes."""
    return pickle.dumps(tuple(batch), protocol=5)


def unpacked(data: bytes) -> Batch:
    """Return the batch that was `packed`."""
    return Batch(*pickle.loads(data))


def is_certainly_dead(error: BaseException) -> bool:
    """Tell whether Ray has seen the process end. Of a node that it cannot reach, it may still run."""
    return "node has died" not in str(error) and "node was terminated" not in str(error)


async def delivered(ray: Any, call: Any, node: str) -> None:
    """Await the Ray *call* that brings a batch, and speak of its errors as a transport does."""
    try:
        gone = await call
    except ray.exceptions.ActorUnavailableError as error:
        raise NodeUnavailable(node) from error
    except ray.exceptions.RayActorError as error:
        if is_certainly_dead(error):
            raise NodeLost(node) from error
        raise NodeUnavailable(node) from error
    if gone:
        raise NodeLost(node)


class HostTransport:
    """Carries the batches of a node: to others by calls, to the head by what it comes to collect."""

    def __init__(self, head: str) -> None:
        self._head = head
        self._ray = load_ray()
        self.handles: dict[str, Any] = {}
        self._outbox: Batch | None = None
        self._taken: asyncio.Future[None] | None = None
        self._filled = asyncio.Event()

    async def deliver(self, node: str, batch: Batch, /) -> None:
        """Return once *node* has taken *batch*."""
        if node == self._head:
            self._outbox = batch
            self._taken = asyncio.get_running_loop().create_future()
            self._filled.set()
            await self._taken
            return
        handle = self.handles.get(node)
        if handle is None:
            raise NodeUnavailable(node)
        await delivered(self._ray, handle.deliver.remote(packed(batch)), node)

    async def collect(self, taken: int) -> bytes | None:
        """Return the batch for the head after the one with the number *taken*; None: none for a while."""
        if self._outbox is not None and self._outbox.number <= taken:
            self._outbox = None
            self._filled.clear()
            if self._taken is not None and not self._taken.done():
                self._taken.set_result(None)
        try:
            async with asyncio.timeout(POLL_S):
                await self._filled.wait()
        except TimeoutError:
            return None
        return None if self._outbox is None else packed(self._outbox)


class LeaseGuard:
    """Ends the process when its lease has ended and its event loop, which a handler blocks, does nothing.

    In a thread of its own. Else a handler that blocks the loop for longer than the lease would run on
    beside the one that is started in its place.
    """

    def __init__(self, node: ClusterNode, loop: asyncio.AbstractEventLoop, lease_s: float) -> None:
        self._node = node
        self._clock = loop.time
        self._late_s = lease_s * MARGIN / 2
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="lease of this node", daemon=True).start()

    def _watch(self) -> None:
        while not self._closed.wait(self._late_s / 2):
            if self._clock() > self._node.lease_until + self._late_s:
                os._exit(1)

    def close(self) -> None:
        """Watch no more."""
        self._closed.set()


class NodeHost:
    """The Ray actor of a node. All of it runs on that actor's event loop."""

    def __init__(self) -> None:
        self._system: Any = None
        self._node: Any = None
        self._transport: Any = None
        self._guard: Any = None

    async def versions(self) -> dict[str, str]:
        """Return the versions that have to be the same everywhere."""
        return versions()

    async def open(self, setup: Setup) -> int:
        """Start the node's system, and return the number of its process."""
        sys.path.extend(path for path in setup.path if path not in sys.path)
        self._transport = HostTransport(setup.head.id)
        self._system = ActorSystem(setup.info.name, deadlock_s=None)
        await self._system.__aenter__()
        self._node = ClusterNode(
            self._system,
            setup.info,
            self._transport,
            setup.head,
            lease_s=setup.lease_s,
            queue_limit=setup.queue_limit,
            by_value=load_ray().cloudpickle.Pickler if setup.by_value else None,
            cut_off=self._cut_off,
        )
        self._guard = LeaseGuard(self._node, asyncio.get_running_loop(), setup.lease_s)
        return os.getpid()

    async def introduce(self, node: str, handle: Any) -> None:
        """Tell this node how to reach another."""
        self._transport.handles[node] = handle

    async def deliver(self, data: bytes) -> bool:
        """Take a batch; return whether its sender has left the cluster, as this node sees it."""
        try:
            self._node.receive(unpacked(data))
        except NodeLost:
            return True
        return False

    async def collect(self, taken: int) -> bytes | None:
        """Return the next batch for the head."""
        batch: bytes | None = await self._transport.collect(taken)
        return batch

    async def watch(self) -> None:
        """Never return: the wait for it fails at once when the process ends."""
        await asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        """End the node's system in order."""
        self._guard.close()
        self._node.close()
        await self._system.stop(STOP_S)

    def _cut_off(self) -> None:
        self._ending = asyncio.get_running_loop().create_task(self._end())

    async def _end(self) -> None:
        # Threads that handlers run in cannot be killed, so the process has to end before the head
        # takes the lease for ended; whatever wants to end in order has so long.
        await self._system.stop(self._node.lease_s * MARGIN / 2)
        os._exit(1)


__all__ = ["NodeHost", "Setup", "delivered", "is_certainly_dead", "packed", "unpacked"]
