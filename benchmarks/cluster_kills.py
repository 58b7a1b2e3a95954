"""``python -m benchmarks cluster --kills 100``: nodes are killed under load, and everything is accounted for.

Messages are told and counted, agents are asked, and runs go on in engines on the nodes, while one node
after the other gets SIGKILL. Then every ask must have ended; every told message must have been handled,
be one dead letter, or have been taken by a node that died before its turn came; and every run must have
ended once, with each attempt at a step made once, but for what a kill cut off.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from agenticaiframework import Agent
from agenticaiframework.actors import (
    ActorDied,
    ActorSystem,
    AgentFailed,
    NodeDown,
    NodeUp,
    RayCluster,
)
from agenticaiframework.orchestration import AgentSupervisor, RestartPolicy, UnknownWorkflow
from benchmarks.cluster_nodes import (
    NOTES,
    STEPS,
    STORE,
    Recorder,
    answer,
    engine,
    open_engine,
    start_run,
)

TELLS_AT_ONCE = 50
CALLERS = 8
RUNS_AT_ONCE = 10
ASK_S = 60.0


class Account:
    """What was sent and what became of it; `wrong` lists what must not be."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.letters: Counter[int] = Counter()
        self.reasons: dict[int, str] = {}
        self.runs: list[str] = []
        self.killed: set[int] = set()

    def letter(self, letter: Any) -> None:
        """Note a dead letter."""
        if isinstance(letter.message, int):
            self.letters[letter.message] += 1
            self.reasons[letter.message] = str(letter.reason)

    def close(self, told: list[int], path: Path) -> None:
        """Account for what one actor was told, now that it has ended."""
        handled = [int(line) for line in path.read_text().split()]
        path.unlink()
        if handled != told[: len(handled)]:
            self.wrong.append(f"{path.name}: not in order, or twice")
        in_letters = [number for number in told if number in self.letters]
        twice = [number for number in in_letters if self.letters[number] != 1]
        if twice:
            self.wrong.append(f"{path.name}: {len(twice)} messages are several dead letters")
        if in_letters != told[len(told) - len(in_letters) :]:
            self.wrong.append(f"{path.name}: a dead letter before a message that is none")
        was_handled = set(handled)
        for number in in_letters:
            reason = self.reasons[number]
            if reason not in ("never_sent", "maybe_delivered"):
                self.wrong.append(f"{path.name}: a dead letter because of {reason}")
            if number in was_handled:
                reason += ", and handled"
                if reason.startswith("never_sent"):
                    self.wrong.append(f"{path.name}: {number} was never sent, and was handled")
            self.counts[f"told: {reason}"] += 1
        self.counts["told"] += len(told)
        self.counts["told: handled"] += len(was_handled - set(in_letters))
        lost = len(told) - len(was_handled | set(in_letters))
        self.counts["told: taken by a node that died before its turn"] += lost


class Load:
    """Keeps the nodes busy until `over`."""

    def __init__(self, system: ActorSystem, folder: Path) -> None:
        self.system = system
        self.folder = folder
        self.account = Account()
        self.over = False
        self._number = 0

    async def tell(self) -> None:
        """Tell one recorder after the other numbers, as fast as its node takes them."""
        while not self.over:
            path = self.folder / f"told-{self._number}"
            path.touch()
            ref = await self.system.cluster.start(Recorder, str(path))
            told: list[int] = []
            while ref.is_alive() and not self.over:
                for _ in range(TELLS_AT_ONCE):
                    self._number += 1
                    try:
                        await ref.send(self._number)  # it waits where the queue is full
                    except ActorDied:
                        break
                    told.append(self._number)
                await asyncio.sleep(0.001)
            ref.stop(block=False)
            await self.system.wait_ended(ref, ASK_S)
            self.account.close(told, path)

    async def ask(self, agent: Agent) -> None:
        """Ask *agent* again and again."""
        account = self.account
        while not self.over:
            self._number += 1
            asked = self._number
            account.counts["asked"] += 1
            try:
                answered = await agent.ask(asked, timeout=ASK_S)
            except (ActorDied, AgentFailed) as error:
                if "noconnection" not in str(error):
                    account.wrong.append(f"an ask failed: {error!r}")
                account.counts["asked: failed, by the loss of the node"] += 1
            except TimeoutError:
                account.counts["asked: timed out"] += 1
            except Exception as error:
                account.wrong.append(f"an ask failed: {error!r}")
            else:
                account.counts["asked: answered"] += 1
                if answered != asked:
                    account.wrong.append(f"{asked} was answered with {answered}")

    async def run(self, lane: int, agents: list[Agent]) -> None:
        """Start runs, by any of the nodes, and wait for each to end."""
        number = 0
        right = {f"s{n}": n for n in range(STEPS)}
        while not self.over:
            number += 1
            run_id = f"run-{os.getpid()}-{lane}-{number}"
            self.account.runs.append(run_id)
            while True:
                try:
                    await random.choice(agents).ask(run_id, timeout=ASK_S)
                    break
                except (ActorDied, AgentFailed, TimeoutError):
                    await asyncio.sleep(0.1)
            try:
                result = await engine(recovers=False).wait(run_id, timeout=ASK_S)
            except (TimeoutError, UnknownWorkflow) as error:
                self.account.wrong.append(f"{run_id}: {error!r}")
            else:
                self.account.counts["runs"] += 1
                if result != right:
                    self.account.wrong.append(f"{run_id}: {result}")


async def members(system: ActorSystem, count: int) -> None:
    """Return once the cluster has *count* nodes."""
    changed = asyncio.Event()
    undo = [system.subscribe(lambda _: changed.set(), kind) for kind in (NodeUp, NodeDown)]
    while len(system.cluster.nodes) != count:
        changed.clear()
        await changed.wait()
    for unsubscribe in undo:
        unsubscribe()


async def kill_nodes(
    system: ActorSystem, cluster: RayCluster, kills: int, chance: random.Random, killed: set[int]
) -> None:
    """Kill one node after the other, each once all are up."""
    count = len(system.cluster.nodes)
    for kill in range(kills):
        await members(system, count)
        await asyncio.sleep(chance.uniform(0.2, 1.5))
        name = chance.choice(system.cluster.nodes[1:]).name
        process = cluster.process_of(name)
        if process is not None:
            killed.add(process)
            os.kill(process, signal.SIGKILL)
        await members(system, count - 1)
        print(f"  {kill + 1} of {kills} kills", file=sys.stderr, flush=True)


def audit_attempts(account: Account, folder: Path) -> None:
    """Account for the attempts that steps of runs have noted."""
    lines = (folder / "attempts").read_text().splitlines()
    attempts: dict[tuple[Any, ...], list[int]] = {}
    for line in lines:
        *attempt, process = json.loads(line)
        attempts.setdefault(tuple(attempt), []).append(process)
    account.counts["runs: attempts at steps"] = len(attempts)
    account.counts["runs: attempts that a kill cut off, made again"] = len(lines) - len(attempts)
    again = [a for a, made in attempts.items() if len(set(made) - account.killed) > 1]
    if again:
        account.wrong.append(f"{len(again)} attempts were made twice: {again[:3]}")


async def killed(kills: int, store: str | None) -> Account:
    """Kill nodes under load, and return the account."""
    with tempfile.TemporaryDirectory(prefix="agents-") as name:
        folder = Path(name)
        # Before Ray starts, whose processes have these from here.
        os.environ[NOTES] = name
        os.environ[STORE] = store or f"sqlite:///{name}/runs.sqlite"
        cluster = RayCluster(local_nodes=2)
        async with ActorSystem(cluster=cluster) as system:
            load = Load(system, folder)
            account = load.account
            system.dead_letters.subscribe(account.letter)
            system.subscribe(
                lambda down: account.counts.update(
                    {"nodes lost": 1, "undelivered": down.never_sent + down.maybe_delivered}
                ),
                NodeDown,
            )
            policy = RestartPolicy(max_restarts=1000, within_seconds=60)
            asked = [Agent(f"asked-{n}", handler=answer, node="*", concurrency=8) for n in (1, 2)]
            engines = [
                Agent(f"engine-{n}", handler=start_run, on_start=open_engine, node=f"node-{n}")
                for n in (1, 2)
            ]
            async with AsyncExitStack() as stack:
                # One each: a supervisor that waits for a node does not see to its other children.
                for agent in (*asked, *engines):
                    supervisor = AgentSupervisor(f"of {agent.name}", restart_policy=policy)
                    supervisor.add_child(agent.name, agent)
                    await stack.enter_async_context(supervisor)
                await stack.enter_async_context(engine(recovers=False))
                work = [
                    asyncio.create_task(load.tell()),
                    *(asyncio.create_task(load.ask(asked[n % 2])) for n in range(CALLERS)),
                    *(asyncio.create_task(load.run(n, engines)) for n in range(RUNS_AT_ONCE)),
                ]
                await kill_nodes(system, cluster, kills, random.Random(kills), account.killed)
                await asyncio.sleep(1)
                load.over = True
                done, late = await asyncio.wait(work, timeout=3 * ASK_S)
                account.wrong += [repr(task.exception()) for task in done if task.exception()]
                if late:
                    account.wrong.append(f"{len(late)} callers still wait for an answer")
                listed = [
                    (await engine(recovers=False).get_workflow_status(run)).state
                    for run in account.runs
                ]
                if set(listed) != {"completed"}:
                    account.wrong.append(f"runs ended as {dict(Counter(listed))}")
        audit_attempts(account, folder)
        return account


def report(kills: int, store: str | None) -> int:
    """Kill nodes, print what became of everything, and return 1 if something is wrong."""
    began = time.monotonic()
    account = asyncio.run(killed(kills, store))
    print(f"{kills} kills of nodes in {time.monotonic() - began:.0f} s")
    for what, count in sorted(account.counts.items()):
        print(f"{what:<52} {count:>12,}")
    for wrong in account.wrong[:20]:
        print(f"WRONG: {wrong}")
    print("everything is accounted for" if not account.wrong else f"{len(account.wrong)} wrong")
    return 1 if account.wrong else 0


__all__ = ["Account", "Load", "report"]
