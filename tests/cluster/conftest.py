"""What the tests of clusters share: a simulated cluster, in virtual time."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from agenticaiframework.actors import ActorSystem
from agenticaiframework.actors.simulation import SimCluster, run_sim

Main = Callable[[ActorSystem, SimCluster], Awaitable[Any]]


@pytest.fixture
def in_cluster() -> Callable[..., Any]:
    """Run ``main(system, cluster)`` in virtual time: a head, and the nodes ``a`` (gpu), ``b`` (gpu), ``c``."""

    def run(main: Main, *, seed: int = 1, hosts: Any = None, **options: Any) -> Any:
        hosts = {"a": ["gpu"], "b": ["gpu"], "c": []} if hosts is None else hosts
        cluster = SimCluster(hosts, seed=seed, **options)

        async def inside() -> Any:
            async with ActorSystem("head", cluster=cluster) as system:
                return await main(system, cluster)

        return run_sim(inside, seed=seed)

    return run


@pytest.fixture
def in_sim() -> Callable[..., Any]:
    """Run ``main(system)`` in virtual time, in a system without a cluster."""

    def run(main: Callable[[ActorSystem], Awaitable[Any]]) -> Any:
        async def inside() -> Any:
            async with ActorSystem("alone") as system:
                return await main(system)

        return run_sim(inside)

    return run
