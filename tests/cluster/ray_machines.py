"""Ray on this machine for tests: one cluster for all tests of a file, since it takes seconds to start.

Two of Ray's nodes run here, on 127.0.0.2 and .3 (127.0.0.1 hangs), and the tests are connected to the first.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

from agenticaiframework.actors import ActorSystem, RayCluster

Main = Callable[[ActorSystem, RayCluster], Awaitable[Any]]

LONG = os.environ.get("AGENTICAI_TEST_RAY") == "long"
"""Whether the tests run that take long."""

HEALTH = {
    "RAY_health_check_initial_delay_ms": "500",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "5",
    "RAY_worker_niceness": "0",
    "RAY_raylet_start_wait_time_s": "120",
}
SMALL = {"object_store_memory": 80_000_000, "include_dashboard": False}
FIRST, SECOND = "127.0.0.2", "127.0.0.3"
SPARE, SPARE_TOO = "127.0.0.4", "127.0.0.5"
START_TRIES = 3


class Machines:
    """Ray's nodes: "machines" of one machine."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self._nodes: dict[str, Any] = {}

    def add(self, address: str, **resources: float) -> None:
        """Start a machine; in the main thread, and before there is a loop, since it takes seconds."""
        self._nodes[address] = self._cluster.add_node(
            num_cpus=1, node_ip_address=address, resources=resources, **SMALL
        )

    async def lose(self, address: str) -> None:
        """Kill all of a machine at once."""
        await asyncio.to_thread(self._cluster.remove_node, self._nodes.pop(address), False)

    def end(self) -> None:
        """End what a test has left."""
        for node in self._nodes.values():
            self._cluster.remove_node(node, False)
        self._nodes.clear()


@contextmanager
def environment(**given: str) -> Generator[None]:
    """Have these in the environment, which all of Ray's processes inherit."""
    before = {key: os.environ.get(key) for key in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


@contextmanager
def two_machines(notes: Path, store: str) -> Generator[Machines]:
    """Start Ray on two machines, and leave nothing of it behind."""
    # Ray notes there where its cluster is, and takes for granted that the folder is there.
    (notes / "ray").mkdir()
    given = {"FAR_NOTES": str(notes), "FAR_STORE": store, "RAY_TMPDIR": str(notes), **HEALTH}
    with same_signal_handlers(), environment(**given):
        cluster, folder = started()
        with cleared_away(cluster, folder):
            connect(cluster)
            yield Machines(cluster)


@contextmanager
def same_signal_handlers() -> Generator[None]:
    """Put the handlers of signals back that Ray replaces."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def connect(cluster: Any) -> None:
    """Let this process be a driver of Ray on *cluster*."""
    ray: Any = import_module("ray")
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")


@contextmanager
def cleared_away(cluster: Any, folder: str) -> Generator[None]:
    """Leave neither a process of *cluster* behind nor its *folder*."""
    # Its types are of no use where it is not installed.
    ray: Any = import_module("ray")
    try:
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def started() -> tuple[Any, str]:
    """Return a cluster of two machines, and its folder.

    Ray gives a machine 30 seconds to start, whatever it is told, and a busy one may need more: so it is
    tried again.
    """
    cluster_utils: Any = import_module("ray.cluster_utils")
    for tries_left in reversed(range(START_TRIES)):
        folder = tempfile.mkdtemp(prefix="agents-")  # short, since sockets stand in it
        cluster = cluster_utils.Cluster()
        try:
            cluster.add_node(num_cpus=1, node_ip_address=FIRST, temp_dir=folder, **SMALL)
            cluster.add_node(num_cpus=1, node_ip_address=SECOND, resources={"disk": 1}, **SMALL)
        except Exception:
            cluster.shutdown()
            for process in processes_of(folder):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            shutil.rmtree(folder, ignore_errors=True)
            if not tries_left:
                raise
        else:
            return cluster, folder
    raise AssertionError("not reached")


def processes_of(folder: str) -> list[psutil.Process]:
    """Return the processes that were started with something in *folder*."""
    found = psutil.process_iter(["cmdline"])
    return [p for p in found if folder in " ".join(p.info["cmdline"] or ())]


def run_in_ray(
    main: Main, *, limit_s: float = 300, kind: type[RayCluster] = RayCluster, **options: Any
) -> Any:
    """Run ``main(system, cluster)`` as the head of a cluster over these machines."""

    async def inside() -> Any:
        cluster = kind("auto", labels={FIRST: ["gpu"], SECOND: ["gpu"]}, **options)
        async with asyncio.timeout(limit_s), ActorSystem("head", cluster=cluster) as system:
            return await main(system, cluster)

    return asyncio.run(inside())


async def ended(ref: Any) -> Any:
    """Return why the actor of *ref* has ended, once it has."""
    assert await ref.system.wait_ended(ref, 120)
    return ref.exit_reason


async def until(happened: Callable[[], bool]) -> None:
    """Return once that has happened; that it takes too long says the limit of `run_in_ray`."""
    while not happened():
        await asyncio.sleep(0.05)


def has_ended(process: int) -> bool:
    """Tell whether a process has ended, whether or not its parent knows."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
