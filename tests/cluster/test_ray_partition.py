"""A cut cable, over real Ray: a machine in a network namespace of its own, whose cable is pulled.

Needs root and iproute2, and takes long: ``AGENTICAI_TEST_RAY=long`` runs it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from far_actors import beat, look_up, where
from ray_machines import (
    HEALTH,
    LONG,
    SMALL,
    cleared_away,
    connect,
    environment,
    has_ended,
    same_signal_handlers,
    until,
)

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, NodeDown, RayCluster
from agenticaiframework.orchestration import AgentSupervisor, RestartPolicy

ray: Any = pytest.importorskip("ray", reason="the extra ray is not installed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not LONG, reason="AGENTICAI_TEST_RAY=long runs it"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]

NUMBER = os.getpid() % 10**6
NAMESPACE, SWITCH, CABLE, FAR_END = (f"{word}{NUMBER}" for word in ("agns", "agsw", "agca", "agfe"))
HERE, THERE = (f"10.213.{NUMBER % 250}.{host}" for host in (1, 2))
LEASE_S = 2.0


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


@contextmanager
def two_networks() -> Iterator[None]:
    """Make a network of its own for one machine; a cable goes from there to a switch on this side.

    So the cable can be pulled while both ends have their own address, as after a real cut.
    """
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    try:
        ip("netns", "add", NAMESPACE)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespace can be made: {error.stderr.decode().strip()}")
    try:
        ip("link", "add", SWITCH, "type", "bridge")
        ip("addr", "add", f"{HERE}/30", "dev", SWITCH)
        ip("link", "add", CABLE, "type", "veth", "peer", "name", FAR_END, "netns", NAMESPACE)
        ip("link", "set", CABLE, "master", SWITCH)
        ip("link", "set", CABLE, "up")
        ip("link", "set", SWITCH, "up")
        ip("-n", NAMESPACE, "addr", "add", f"{THERE}/30", "dev", FAR_END)
        ip("-n", NAMESPACE, "link", "set", FAR_END, "up")
        ip("-n", NAMESPACE, "link", "set", "lo", "up")
        yield
    finally:
        ip("netns", "delete", NAMESPACE)
        for device in (CABLE, SWITCH):
            subprocess.run(["ip", "link", "delete", device], capture_output=True, timeout=20)


@contextmanager
def far_machine(head: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run one of Ray's nodes behind the cable."""
    command = ["ip", "netns", "exec", NAMESPACE, sys.executable, "-m", "ray.scripts.scripts"]
    command += ["start", "--block", f"--address={head}", f"--node-ip-address={THERE}"]
    command += ["--num-cpus=1", "--object-store-memory=80000000", "--disable-usage-stats"]
    quiet = subprocess.DEVNULL
    started = subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        yield started
    finally:
        inside = subprocess.run(
            ["ip", "netns", "pids", NAMESPACE], capture_output=True, text=True, timeout=20
        )
        for process in inside.stdout.split():
            os.kill(int(process), signal.SIGKILL)
        started.wait()


@pytest.fixture
def far() -> Iterator[subprocess.Popen[bytes]]:
    """Start Ray on two machines with a cable between them; return the process of the far one."""
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="agents-")
    with same_signal_handlers(), two_networks(), environment(FAR_NOTES=folder, **HEALTH):
        cluster = Cluster()
        with cleared_away(cluster, folder):
            cluster.add_node(num_cpus=1, node_ip_address=HERE, temp_dir=folder, **SMALL)
            with far_machine(cluster.address) as started:
                connect(cluster)
                while sum(node["Alive"] for node in ray.nodes()) < 2:
                    time.sleep(0.2)
                yield started


def times(name: str) -> list[float]:
    """Return the times that were noted in a file, by the clock that all processes here share."""
    return [float(line) for line in (Path(os.environ["FAR_NOTES"]) / name).read_text().splitlines()]


@pytest.mark.parametrize("cut_s", [8, 45])
def test_a_cut_off_node_ends_its_actors_and_only_then_are_they_started_elsewhere(
    far: subprocess.Popen[bytes], cut_s: float
) -> None:
    async def main() -> None:
        cluster = RayCluster("auto", labels={HERE: ["gpu"], THERE: ["gpu"]}, lease_s=LEASE_S)
        async with asyncio.timeout(240), ActorSystem("head", cluster=cluster) as system:
            await until(lambda: len(system.cluster.nodes) == 3)
            downs: list[tuple[str, float]] = []
            system.subscribe(
                lambda down: downs.append((down.node.name, time.monotonic())), NodeDown
            )
            policy = RestartPolicy(max_restarts=1, within_seconds=60)
            # They beat in threads, which nothing ends but the end of their process.
            agents = [
                Agent(f"child-{n}", handler=where, on_start=beat, node="gpu") for n in range(4)
            ]
            async with AgentSupervisor("s", restart_policy=policy) as supervisor:
                for agent in agents:
                    supervisor.add_child(agent.name, agent)
                before = {agent.name: await agent.ask(None, timeout=30) for agent in agents}
                lost = cluster.process_of(THERE)
                assert lost is not None
                cut_off = [agent for agent in agents if before[agent.name] == lost]
                assert len(cut_off) == 2
                looks = Agent("looks", handler=look_up, node=THERE)
                await system.cluster.register("boss", cut_off[0].address().ref)
                looking = looks.request("boss")
                asked = cut_off[0].request("wait")
                await asyncio.sleep(1)

                cut_at = time.monotonic()
                ip("link", "set", CABLE, "down")
                with pytest.raises(Exception, match=f"noconnection.*node '{THERE}' is lost"):
                    await asked
                with pytest.raises(Exception, match="noconnection"):
                    await looking
                assert has_ended(lost)
                assert await system.cluster.whereis("boss") is None
                after = {agent.name: await agent.ask(None, timeout=60) for agent in cut_off}
                assert [name for name, _ in downs] == [THERE]
                [new] = set(after.values())
                assert new == cluster.process_of(HERE)
                # Never two: the last sign of the old incarnations is before the first of the new.
                starts = sorted(times(f"began-{new}"))
                assert len(starts) == len(agents)
                last = max(times(f"beats-{lost}"))
                assert last < starts[-len(cut_off)]
                named = max(times(f"named-{lost}"))
                print(f"the last answer about a name {named - cut_at:+.2f} s after the cut")
                print(f"the far actors ended {last - cut_at:.2f} s after it")
                print(f"the loss was told {downs[0][1] - cut_at:.2f} s after it")
                print(f"children started elsewhere {starts[-1] - cut_at:.2f} s after it")
                assert named < starts[-len(cut_off)]

                await asyncio.sleep(cut_s)
                ip("link", "set", CABLE, "up")
                # Ray has taken the far machine for dead, whose processes end when they hear of it;
                # if it has not, a new process of ours starts there.
                await until(lambda: far.poll() is not None or len(system.cluster.nodes) == 3)
                print(f"the far machine {'has ended' if far.poll() is not None else 'is back'}")
                assert cluster.process_of(THERE) != lost
                assert {await agent.ask(None, timeout=60) for agent in agents} == {new}
                assert [name for name, _ in downs] == [THERE]

    asyncio.run(main())
