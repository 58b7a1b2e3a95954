"""A cluster over Ray: Ray starts the processes, places them, carries bytes, and says what has died."""

from __future__ import annotations

import asyncio
import atexit
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

from ..cluster.errors import ClusterError
from ..cluster.node import LEASE_S, QUEUE_LIMIT, ClusterNode
from ..cluster.transport import Batch, NodeInfo, NodeLost, NodeUnavailable
from ..errors import WrongUse
from .node_host import NodeHost, Setup, delivered, is_certainly_dead, packed, unpacked
from .ray_module import check_versions, load_ray

if TYPE_CHECKING:
    from ..system.system import ActorSystem

START_S: Final = 120.0
"""For the start of a node's process: half a second, unless the machine is busy."""

LOCAL_LEASE_S: Final = 60.0
"""For nodes on the head's own machine: only a blocked event loop, of theirs or of the head's, can end it."""

LOOK_S: Final = 2.0
"""Between two looks for nodes of Ray's that have no host."""

LONGEST_PAUSE_S: Final = 60.0
"""Between two tries to start a host on a node where that fails."""

STOP_S: Final = 5.0
STORE_BYTES: Final = 80_000_000
"""Ray's object store, which only batches of more than 100 kB go through."""

NOT_LABELS: Final = ("CPU", "memory", "object_store_memory", "node:", "accelerator_type:")


class RayHost:
    """One node beside the head, as the head has it."""

    def __init__(self, info: NodeInfo, place: str, handle: Any) -> None:
        self.info = info
        self.place = place
        """The id of Ray's node, or the number of a local one."""
        self.handle = handle
        self.process = 0
        self.tasks: list[asyncio.Task[None]] = []


class RayCluster:
    """A cluster over Ray, for ``ActorSystem(cluster=RayCluster(...))``: that system is its head.

    Give one of: *address*, that of a Ray cluster that runs (``"auto"``: the one of this machine), which
    gets one process on each of its nodes, now and as they come; or *local_nodes*, so many processes on
    this machine alone, for which Ray is started, and stopped again. *labels* are what ``node=...`` may
    ask for beside a node's name: names to lists of labels, in addition to the resources and labels
    that Ray knows of a node. Local nodes are called ``node-1`` and so on, others by their address.

    *lease_s* is how long a node goes on without the head, and so how long after a cut, or the loss of a
    whole machine, its actors are started elsewhere; the end of a process alone is seen at once. None: 10
    seconds, and 60 for local nodes, which no network parts from the head. No event loop, that of the
    head included, may be blocked for so long.
    *queue_limit* bounds the messages that wait for one node. With *by_value*, functions and classes
    without an import name travel too, by cloudpickle. *options* go to ``ray.init``.

    Raises `WrongUse` for what cannot work; on entering the system `MissingExtra`, `WrongVersion`, and what
    Ray raises. The event loop is blocked while Ray starts (some seconds): what Ray starts ends with the
    thread that has started it.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        local_nodes: int | None = None,
        labels: Mapping[str, Iterable[str]] | None = None,
        lease_s: float | None = None,
        queue_limit: int = QUEUE_LIMIT,
        by_value: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if (address is None) is (local_nodes is None):
            raise WrongUse(
                "A RayCluster is one that runs, RayCluster(address='auto'), or one of this machine "
                "alone, RayCluster(local_nodes=2)"
            )
        if local_nodes is not None and (isinstance(local_nodes, bool) or local_nodes < 1):
            raise WrongUse(f"local_nodes={local_nodes!r}: give at least 1, as in local_nodes=2")
        if lease_s is None:
            lease_s = LEASE_S if local_nodes is None else LOCAL_LEASE_S
        if lease_s <= 0 or queue_limit < 1:
            raise WrongUse("lease_s and queue_limit are above 0: RayCluster('auto', lease_s=10.0)")
        self.address = address
        self.local_nodes = local_nodes
        self.labels = {name: frozenset(given) for name, given in (labels or {}).items()}
        self.lease_s = lease_s
        self.queue_limit = queue_limit
        self.by_value = by_value
        self._options = dict(options or {})
        self._ray: Any = None
        self._head: Any = None
        self._hosts: dict[str, RayHost] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0
        self._folder: str | None = None
        self._started_ray = False

    # -- as a system joins it ------------------------------------------------------------------

    async def join(self, system: Any, /) -> Any:
        """Start what has to be started, and make *system* the head of it."""
        if self._head is not None:
            raise WrongUse("This RayCluster has a head already. Make one for each ActorSystem.")
        ray = self._ray = load_ray()
        self._start_ray()
        info = NodeInfo(f"head#{ray.get_runtime_context().get_job_id()}", "head")
        self._head = ClusterNode(
            system,
            info,
            HeadTransport(self),
            lease_s=self.lease_s,
            queue_limit=self.queue_limit,
            by_value=ray.cloudpickle.Pickler if self.by_value else None,
        )
        await self._open_hosts()
        self._task(self._keep_hosts())
        return self._head

    def _start_ray(self) -> None:
        ray = self._ray
        if ray.is_initialized():
            return
        self._started_ray = True
        given: dict[str, Any] = {"log_to_driver": False, "logging_level": "WARNING"}
        if self.address is not None:
            given["address"] = self.address
        else:
            # A folder of its own, which can be taken away; short, since sockets stand in it.
            self._folder = tempfile.mkdtemp(prefix="agents-")
            # Also where `leave` is not waited for: after what Ray does at exit, being entered before.
            atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
            given.update(
                _temp_dir=self._folder,
                include_dashboard=False,
                object_store_memory=STORE_BYTES,
                # Ray would run workers with a niceness of 15, behind everything else on this machine.
                _system_config={"worker_niceness": 0},
            )
        before = _signal_handlers()
        try:
            ray.init(**{**given, **self._options})
        finally:
            _restore(before)

    async def leave(self) -> None:
        """End the other nodes, and Ray, if this has started it."""
        for task in list(self._tasks):
            task.cancel()
        if self._head is not None:
            await self._head.flushed(1.0)
            self._head.close()
        hosts, self._hosts = self._hosts, {}
        if hosts:
            closing = [
                asyncio.ensure_future(_quietly(host.handle.close.remote()))
                for host in hosts.values()
            ]
            await asyncio.wait(closing, timeout=STOP_S)
        for host in hosts.values():
            for task in host.tasks:
                task.cancel()
            self._ray.kill(host.handle)
        if self._started_ray:
            before = _signal_handlers()
            self._ray.shutdown()
            _restore(before)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    # -- hosts ---------------------------------------------------------------------------------

    async def _places(self) -> dict[str, Any]:
        """Return where hosts are to be: by the id of Ray's node, or the number of a local one."""
        if self.local_nodes is not None:
            return {str(number): None for number in range(1, self.local_nodes + 1)}
        nodes = await asyncio.to_thread(self._ray.nodes)
        alive = [node for node in nodes if node["Alive"]]
        alive.sort(key=lambda node: str(node["NodeManagerAddress"]))
        return {node["NodeID"]: node for node in alive}

    async def _open_hosts(self) -> None:
        """Start a process on each node there is. The loss of one meanwhile stops none of the others."""
        places = await self._places()
        opening = [self._open_host(place, found) for place, found in places.items()]
        outcomes = await asyncio.gather(*opening, return_exceptions=True)
        still_there = await self._places()
        failed: list[BaseException] = []
        for place, outcome in zip(places, outcomes, strict=True):
            if isinstance(outcome, RayHost):
                await self._admit(outcome)
            elif place in still_there:
                failed.append(outcome)
            else:
                self._not_started(_name_of(place, places[place]), outcome)
        if failed:
            raise failed[0]

    def _not_started(self, name: str, error: BaseException) -> None:
        said = str(error).strip().partition("\n")[0]
        system: ActorSystem = self._head.system
        system.log.warning("Node {} was not started: {}: {}", name, type(error).__name__, said)

    async def _open_host(self, place: str, found: Any) -> RayHost:
        """Start the process of a node, and return it. Raises `WrongVersion`, and `ClusterError`."""
        ray = self._ray
        options: dict[str, Any] = {}
        name, labels = _name_of(place, found), frozenset[str]()
        if found is not None:
            labels = _labels_of(found)
            strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
            options["scheduling_strategy"] = strategy(place, soft=False)
        self._count += 1
        labels |= self.labels.get(name, frozenset())
        info = NodeInfo(f"{name}#{self._count}", name, labels)
        handle = (
            ray.remote(NodeHost)
            .options(
                num_cpus=0, max_restarts=0, max_task_retries=0, max_concurrency=10_000, **options
            )
            .remote()
        )
        host = RayHost(info, place, handle)
        try:
            async with asyncio.timeout(START_S):
                check_versions(name, await handle.versions.remote())
                host.process = await handle.open.remote(
                    Setup(
                        info,
                        self._head.info,
                        self.lease_s,
                        self.queue_limit,
                        self.by_value,
                        tuple(sys.path),
                    )
                )
        except TimeoutError:
            ray.kill(handle)
            raise ClusterError(f"Node {name} did not start within {START_S:g} s.") from None
        except BaseException:
            ray.kill(handle)
            raise
        return host

    async def _admit(self, host: RayHost) -> None:
        """Let a node be a member: the others, and it, are told how to reach each other before."""
        for other in list(self._hosts.values()):
            await _quietly(other.handle.introduce.remote(host.info.id, host.handle))
            await _quietly(host.handle.introduce.remote(other.info.id, other.handle))
        self._hosts[host.info.id] = host
        self._head.admit(host.info)
        host.tasks = [self._task(self._watch(host)), self._task(self._collect(host))]

    async def _watch(self, host: RayHost) -> None:
        """Wait for the end of a host's process, and tell the head of it."""
        try:
            await host.handle.watch.remote()
        except Exception as error:
            self._head.lose(host.info.id, certain=is_certainly_dead(error))

    async def _collect(self, host: RayHost) -> None:
        """Fetch what a host has for the head, again and again."""
        taken = 0
        while True:
            try:
                data = await host.handle.collect.remote(taken)
            except self._ray.exceptions.ActorUnavailableError:
                await asyncio.sleep(0.05)
                continue
            except self._ray.exceptions.RayActorError:
                return  # `_watch` tells
            if data is None:
                continue
            batch = unpacked(data)
            try:
                self._head.receive(batch)
            except NodeLost:
                self._ray.kill(host.handle)  # it has left the cluster, and does not know
                return
            taken = batch.number

    async def _keep_hosts(self) -> None:
        """Start a host wherever there is a node without one: a new node, or one whose process has ended."""
        failures: dict[str, int] = {}
        not_before: dict[str, float] = {}
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(LOOK_S)
            members = {info.id for info in self._head.nodes}
            for host in list(self._hosts.values()):
                if host.info.id not in members:
                    del self._hosts[host.info.id]
            have = {host.place for host in self._hosts.values()}
            try:
                places = await self._places()
            except Exception as error:
                self._not_started("*", error)
                continue
            for place, found in places.items():
                if place in have or clock() < not_before.get(place, 0.0):
                    continue
                try:
                    await self._admit(await self._open_host(place, found))
                    failures.pop(place, None)
                except Exception as error:
                    # Each try is a process that starts, so one that cannot join is seldom tried.
                    tries = failures[place] = failures.get(place, 0) + 1
                    not_before[place] = clock() + min(LOOK_S * 2**tries, LONGEST_PAUSE_S)
                    self._not_started(_name_of(place, found), error)

    def handle_of(self, node: str) -> Any:
        """Return the Ray actor of a node, or None."""
        host = self._hosts.get(node)
        return None if host is None else host.handle

    def process_of(self, node: str) -> int | None:
        """Return the number of the process of the node with that name or id, on its machine."""
        for host in self._hosts.values():
            if node in (host.info.id, host.info.name):
                return host.process
        return None

    def _task(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class HeadTransport:
    """Carries the batches of the head."""

    def __init__(self, cluster: RayCluster) -> None:
        self._cluster = cluster
        self._ray = load_ray()

    async def deliver(self, node: str, batch: Batch, /) -> None:
        """Return once *node* has taken *batch*."""
        handle = self._cluster.handle_of(node)
        if handle is None:
            raise NodeUnavailable(node)
        await delivered(self._ray, handle.deliver.remote(packed(batch)), node)


async def _quietly(call: Any) -> None:
    try:
        await call
    except Exception:
        pass  # it is gone, and that is told elsewhere


def _name_of(place: str, found: Any) -> str:
    name: str = f"node-{place}" if found is None else found["NodeManagerAddress"]
    return name


def _labels_of(node: Mapping[str, Any]) -> frozenset[str]:
    """Return what ``node=...`` may call a node of Ray's, beside its name."""
    labels = {
        resource
        for resource in node.get("Resources", {})
        if not resource.startswith(NOT_LABELS) and resource != "GPU"
    }
    if node.get("Resources", {}).get("GPU"):
        labels.add("gpu")
    given: Mapping[str, Any] = node.get("Labels") or {}
    for key, value in given.items():
        if not key.startswith("ray.io/"):
            labels |= {str(value), f"{key}={value}"}
    return frozenset(labels)


def _signal_handlers() -> dict[int, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}


def _restore(handlers: Mapping[int, Any]) -> None:
    """Put the program's own signal handlers back: Ray sets its own."""
    for number, handler in handlers.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


__all__ = ["RayCluster"]
