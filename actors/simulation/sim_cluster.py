"""A cluster in simulation: nodes on one simulated loop, and a network that loses, delays and repeats.

The nodes run the code that runs on machines; only what carries their batches is a fake. What goes wrong
is chosen by a seed, or called for: a node that dies, also in the middle of a batch, a cut between
nodes, acknowledgements that get lost, batches that come late or twice.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from agenticaiframework.actors.cluster import (
    Batch,
    ClusterNode,
    NodeInfo,
    NodeLost,
    NodeUnavailable,
)
from agenticaiframework.actors.system.system import ActorSystem


@dataclass(frozen=True, slots=True)
class SimNetwork:
    """How the network of a `SimCluster` behaves. Chances are from 0 to 1, times in seconds.

    *delay_s* is the longest way of a batch. *lost_acks* is the chance that a batch arrives and its sender
    does not learn of it, *repeated* that it arrives again, later. *detect_s* is how long after the end of a
    node's process the head hears of it, and *timeout_s* how long a sender waits behind a cut.
    """

    delay_s: float = 0.002
    lost_acks: float = 0.0
    repeated: float = 0.0
    detect_s: float = 0.1
    timeout_s: float = 0.5


class SimNode:
    """One node: its system, and what the network knows of it."""

    def __init__(self, info: NodeInfo, system: ActorSystem) -> None:
        self.info = info
        self.system = system
        self.cluster: Any = None
        self.dead = False
        self.dies_in: int | None = None
        """After how many entries of the next batch its process ends; None: it lives on."""


class SimCluster:
    """A cluster of simulated nodes: ``ActorSystem(cluster=SimCluster({"a": ["gpu"], "b": []}))``.

    *hosts* are the nodes beside the head, by name, with their labels. The rest is as in `ClusterNode`.
    All state belongs to the one loop that all nodes share.
    """

    def __init__(
        self,
        hosts: Mapping[str, Any],
        *,
        seed: int = 0,
        network: SimNetwork | None = None,
        lease_s: float = 2.0,
        queue_limit: int = 10_000,
        **options: Any,
    ) -> None:
        self.network = SimNetwork() if network is None else network
        self.random = random.Random(f"network {seed}")
        self._hosts = dict(hosts)
        self._options: dict[str, Any] = {"lease_s": lease_s, "queue_limit": queue_limit, **options}
        self._by_id: dict[str, SimNode] = {}
        self._cuts: set[frozenset[str]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._starts = 0
        self.head: Any = None
        self.on_arrival: Callable[[str, Batch], None] | None = None

    # -- as a system joins it ------------------------------------------------------------------

    async def join(self, system: Any, /) -> Any:
        """Make *system* the head, and start the other nodes on its loop."""
        info = NodeInfo("head#0", "head")
        node = self._by_id[info.id] = SimNode(info, system)
        transport = SimTransport(self, info.id)
        node.cluster = self.head = ClusterNode(system, info, transport, **self._options)
        for name in list(self._hosts):
            await self.start_host(name)
        await self.settled()
        return self.head

    async def leave(self) -> None:
        """End all nodes."""
        await self.head.flushed(1.0)
        self.head.close()
        for node in list(self._by_id.values()):
            if node.system is not self.head.system:
                node.cluster.close()
                await self._stop(node)
        for task in list(self._tasks):
            task.cancel()

    async def settled(self) -> None:
        """Return once every live node knows as many members as the head."""
        while any(  # noqa: ASYNC110 - it is virtual time
            len(node.cluster.nodes) < len(self.head.nodes)
            for node in self._by_id.values()
            if not node.dead
        ):
            await asyncio.sleep(0.01)

    async def _stop(self, node: SimNode) -> None:
        await self._in_own_context(node.system.stop(1.0))

    async def _in_own_context(self, work: Any) -> Any:
        # A system that is entered sets the current one, and here several are.
        return await asyncio.get_running_loop().create_task(work, context=Context())

    # -- what a test does to it ----------------------------------------------------------------

    async def start_host(self, name: str) -> SimNode:
        """Start the node *name*, be it for the first time or again: it is a new one then."""
        self._starts += 1
        info = NodeInfo(f"{name}#{self._starts}", name, frozenset(self._hosts.get(name, ())))
        system = ActorSystem(f"node {info.id}", seed=self._starts, deadlock_s=None)
        await self._in_own_context(system.__aenter__())
        node = SimNode(info, system)
        self._by_id[info.id] = node
        node.cluster = ClusterNode(
            system, info, SimTransport(self, info.id), self.head.info, **self._options
        )
        self.head.admit(info)
        return node

    def node(self, name: str) -> SimNode:
        """Return the node of that name that was started last."""
        return [node for node in self._by_id.values() if node.info.name == name][-1]

    def lost_nodes(self) -> list[SimNode]:
        """Return the nodes that have died, or have been cut off for too long."""
        return [node for node in self._by_id.values() if node.dead or node.cluster.closed]

    def kill(self, name: str, *, after_entries: int | None = None) -> None:
        """End the process of a node at once, or after so many entries of the next batch it gets."""
        node = self.node(name)
        if after_entries is None:
            self._die(node)
        else:
            node.dies_in = after_entries

    def _die(self, node: SimNode) -> None:
        if not node.dead:
            node.dead = True
            self._task(self._bury(node))

    async def _bury(self, node: SimNode) -> None:
        # Nothing of it gets out any more, so when its actors end is of no consequence.
        node.cluster.close()
        for ref in node.system.actors():
            ref.kill()
        await asyncio.sleep(self.network.detect_s)
        self.head.lose(node.info.id)
        await self._stop(node)

    def cut(self, one: str, other: str) -> None:
        """Let nothing pass between two nodes, in neither direction."""
        self._cuts.add(frozenset((self.node(one).info.id, self.node(other).info.id)))

    def heal(self) -> None:
        """Mend every cut."""
        self._cuts.clear()

    # -- the network ---------------------------------------------------------------------------

    async def carry(self, sender: str, to: str, batch: Batch) -> None:
        """Bring *batch* to a node, as the network is."""
        network = self.network
        await asyncio.sleep(self.random.uniform(0, network.delay_s))
        node = self._by_id.get(to)
        if node is None or self._by_id[sender].dead:
            raise NodeUnavailable(to)
        if node.dead or frozenset((sender, to)) in self._cuts:
            await asyncio.sleep(network.timeout_s)
            raise NodeUnavailable(to)
        self._arrive(node, batch)
        if self.random.random() < network.repeated:
            self._task(self._again(node, batch))
        await asyncio.sleep(self.random.uniform(0, network.delay_s))
        if node.dead or self.random.random() < network.lost_acks:
            raise NodeUnavailable(to)

    def _arrive(self, node: SimNode, batch: Batch) -> None:
        if node.dies_in is not None:
            batch = batch._replace(entries=batch.entries[: node.dies_in])
            node.cluster.receive(batch)
            self._die(node)
        else:
            if self.on_arrival is not None:
                self.on_arrival(node.info.name, batch)
            node.cluster.receive(batch)

    async def _again(self, node: SimNode, batch: Batch) -> None:
        await asyncio.sleep(self.random.uniform(0, 10 * self.network.delay_s))
        if not node.dead:
            try:
                node.cluster.receive(batch)
            except NodeLost:
                pass

    def _task(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class SimTransport:
    """The transport of one simulated node."""

    def __init__(self, cluster: SimCluster, node: str) -> None:
        self._cluster = cluster
        self._node = node

    async def deliver(self, node: str, batch: Batch, /) -> None:
        """Bring *batch* to *node*."""
        await self._cluster.carry(self._node, node, batch)


__all__ = ["SimCluster", "SimNetwork", "SimNode"]
