"""``python -m benchmarks cluster``: what messages between nodes cost, over Ray on this machine."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from agenticaiframework import Agent
from agenticaiframework.actors import Actor, ActorSystem, MailboxFull, RayCluster
from benchmarks.cluster_kills import report as kills_report
from benchmarks.cluster_nodes import compute
from benchmarks.computing import ROUNDS

NODE = "node-1"
PAYLOAD = {"request": "Analyze the impact of AI on healthcare", "category": "health", "n": 7}


class Echo(Actor):
    """Answers with what it is asked; counts what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def on_receive(self, message: Any) -> Any:
        if message == "count":
            return self.count
        if message == "memory":
            return resident_bytes()
        self.count += 1
        return message


async def answer(payload: Any) -> Any:
    """Handle what an agent is asked."""
    return payload


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def timed(work: Awaitable[Any]) -> float:
    """Return the seconds that *work* takes."""
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def tells(ref: Any, message: Any, count: int) -> float:
    """Return how many told messages a second are handled, sender and receiver included."""

    async def send() -> None:
        before = await ref.request("count")
        for _ in range(count):
            try:
                ref.tell(message)
            except MailboxFull:
                await ref.send(message)
        assert await ref.request("count") == before + count

    return count / await timed(send())


async def asks_alone(ask: Callable[[], Awaitable[Any]], count: int) -> float:
    """Return the median milliseconds of an ask while nothing else is under way."""
    return 1000 * statistics.median([await timed(ask()) for _ in range(count)])


async def asks_together(ask: Callable[[], Awaitable[Any]], callers: int, each: int) -> float:
    """Return how many asks a second so many callers make, each one after the other."""

    async def caller() -> None:
        for _ in range(each):
            await ask()

    return callers * each / await timed(_gathered([caller() for _ in range(callers)]))


async def _gathered(work: Sequence[Awaitable[Any]]) -> None:
    await asyncio.gather(*work)


async def agents(system: ActorSystem, probe: Any, count: int) -> tuple[float, float]:
    """Return the bytes that an agent takes on its node, and the milliseconds until it has answered first."""
    before = await probe.request("memory")
    made = [Agent(f"agent-{number}", handler=answer, node=NODE) for number in range(count)]
    seconds = 0.0
    for start in range(0, count, 200):
        asked = [agent.ask(start) for agent in made[start : start + 200]]
        seconds += await timed(_gathered(asked))
    after = await probe.request("memory")
    return (after - before) / count, 1000 * seconds / count


async def loss(system: ActorSystem, cluster: RayCluster) -> float:
    """Return the milliseconds from the end of a process to the failure of what waits for it."""
    ref = await system.cluster.start(Echo, node="node-2")
    await ref.request("x")
    process = cluster.process_of("node-2")
    assert process is not None
    began = time.perf_counter()
    os.kill(process, signal.SIGKILL)
    await system.wait_ended(ref, 30)
    return 1000 * (time.perf_counter() - began)


def processor_s(nodes: set[int]) -> dict[str, float]:
    """Return the seconds of processor that this program, the processes *nodes*, and Ray's have used."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        process = int(entry.parent.name)
        parents[process] = int(fields[1])
        ticks[process] = int(fields[11]) + int(fields[12])
    used = {"program": 0, "nodes": 0, "Ray": 0}
    for process, count in ticks.items():
        above = process
        while above not in (0, os.getpid()):
            above = parents.get(above, 0)
        if above:
            who = "nodes" if process in nodes else "Ray" if process != above else "program"
            used[who] += count
    return {who: count / os.sysconf("SC_CLK_TCK") for who, count in used.items()}


async def computing(
    cluster: RayCluster, names: Sequence[str], each: int
) -> tuple[float, dict[str, float]]:
    """Return the calls a second of handlers that compute on those nodes, and the processors they took."""
    made = [Agent(f"computes on {name}", handler=compute, node=name) for name in names]
    processes = {cluster.process_of(name) for name in names}
    assert {await agent.ask(1) for agent in made} == processes

    async def caller(agent: Agent) -> None:
        for _ in range(each):
            await agent.ask(ROUNDS, timeout=600)

    nodes = {process for process in map(cluster.process_of, ("node-1", "node-2")) if process}
    before = processor_s(nodes)
    # Two callers for each node: the next call is there when one has ended.
    seconds = await timed(_gathered([caller(agent) for agent in made for _ in range(2)]))
    after = processor_s(nodes)
    for agent in made:
        await agent.stop()
    shares = {who: (after[who] - before[who]) / seconds for who in before}
    return 2 * each * len(made) / seconds, shares


async def plain(processes: int, calls: int) -> float:
    """Return the same calls a second of that many processes with nothing in them: what the machine gives."""
    command = (sys.executable, "-m", "benchmarks.computing", str(calls))

    async def run() -> None:
        process = await asyncio.create_subprocess_exec(*command)
        assert await process.wait() == 0

    return processes * calls / await timed(_gathered([run() for _ in range(processes)]))


async def scaling(cluster: RayCluster, each: int) -> list[tuple[str, str]]:
    """Return how much more two nodes compute than one, and who uses the processors meanwhile.

    And how much more two plain processes compute than one: two nodes cannot do better than that.
    """
    one: list[float] = []
    two: list[float] = []
    given: list[float] = []
    shares: dict[str, float] = {}
    for _ in range(3):
        one.append((await computing(cluster, ["node-1"], each))[0])
        rate, shares = await computing(cluster, ["node-1", "node-2"], each)
        two.append(rate)
        given.append(await plain(2, 4 * each) / await plain(1, 4 * each))
    ratio = statistics.median(b / a for a, b in zip(one, two, strict=True))
    used = "; ".join(f"{who} {share:.2f}" for who, share in shares.items())
    return [
        ("handlers that compute, one node", f"{statistics.median(one):,.0f} a second"),
        ("the same, two nodes", f"{statistics.median(two):,.0f} a second"),
        ("two nodes to one", f"{ratio:.2f} times"),
        ("two plain processes to one", f"{statistics.median(given):.2f} times"),
        ("processors meanwhile", used),
    ]


async def measured(scale: int) -> list[tuple[str, str]]:
    """Return what is measured, each with its figure."""
    cluster = RayCluster(local_nodes=2)
    began = time.perf_counter()
    async with ActorSystem(cluster=cluster) as system:
        rows = [("start of two nodes", f"{time.perf_counter() - began:.1f} s")]
        ref = await system.cluster.start(Echo, node=NODE)
        agent = Agent("asked", handler=answer, node=NODE)
        await tells(ref, 1, 5_000)  # warm

        async def ask() -> Any:
            return await ref.request(1)

        async def ask_agent() -> Any:
            return await agent.ask(PAYLOAD)

        for what, message in (("a number", 1), ("a dictionary", PAYLOAD)):
            rates = [await tells(ref, message, 20_000 * scale) for _ in range(3)]
            rows.append((f"told, {what}", f"{statistics.median(rates):,.0f} a second"))
        rows.append(("an ask alone", f"{await asks_alone(ask, 100 * scale):.2f} ms"))
        rows.append(
            ("an ask of an agent alone", f"{await asks_alone(ask_agent, 100 * scale):.2f} ms")
        )
        each = 40 * scale
        rows.append(("asks, 64 callers", f"{await asks_together(ask, 64, each):,.0f} a second"))
        both = await asks_together(ask_agent, 64, each)
        rows.append(("asks of an agent, 64 callers", f"{both:,.0f} a second"))
        size, start_ms = await agents(system, ref, 400 * scale)
        rows.append(("memory of an agent on its node", f"{size / 1000:.1f} kB"))
        rows.append(("start and first answer of an agent", f"{start_ms:.2f} ms"))
        rows += await scaling(cluster, 60 * scale)
        rows.append(("a killed process is seen", f"{await loss(system, cluster):.0f} ms"))
    return rows


def main(arguments: Sequence[str]) -> int:
    """Measure, print a table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks cluster")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes")
    parser.add_argument(
        "--kills", type=int, metavar="N", help="instead, kill nodes under load, and account for all"
    )
    parser.add_argument("--store", metavar="URL", help="for the runs meanwhile (default: SQLite)")
    chosen = parser.parse_args(arguments)
    if chosen.kills is not None:
        return kills_report(chosen.kills, chosen.store)
    smoke: bool = chosen.smoke
    for what, figure in asyncio.run(measured(1 if smoke else 5)):
        print(f"{what:<36} {figure:>36}")
    return 0


__all__ = ["main"]
