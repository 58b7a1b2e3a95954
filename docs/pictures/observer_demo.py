"""A small service with everything that the observer shows: for its pictures, and for a first look.

    python docs/pictures/observer_demo.py [PORT] [--nodes]

With `--nodes` it is a cluster of three (extra `ray`).
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from demo_handlers import CHANCE, Draft, broken, check, research, review, write

from agenticaiframework import Agent
from agenticaiframework.actors import (
    Actor,
    ActorSystem,
    ModelRequestEnded,
    RayCluster,
    Usage,
)
from agenticaiframework.observer import serve_observer
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine, Queue, RateLimit
from agenticaiframework.supervision import AgentSupervisor, RestartPolicy


class Sink(Actor):
    """Handles what it gets, slowly."""

    async def on_receive(self, message: Any) -> None:
        await asyncio.sleep(0.02)


WORKFLOWS: list[dict[str, Any]] = [
    {
        "name": "report",
        "steps": [
            {"id": "plan", "agent": "check"},
            {"id": "papers", "agent": "research", "depends_on": ["plan"]},
            {"id": "trials", "agent": "research", "depends_on": ["plan"]},
            {"id": "costs", "agent": "research", "depends_on": ["plan"]},
            {"id": "draft", "agent": "write", "depends_on": ["papers", "trials", "costs"]},
            {"id": "review", "agent": "review", "depends_on": ["draft"]},
            {"id": "publish", "agent": "check", "depends_on": ["review"]},
        ],
    },
    {
        "name": "triage",
        "steps": [{"id": "classify", "agent": "check"}, {"id": "route", "agent": "check"}],
    },
    {
        "name": "digest",
        "steps": [{"id": "collect", "agent": "check"}],
    },
    {
        "name": "refund",
        "steps": [{"id": "look_up", "agent": "check"}, {"id": "book", "agent": "broken"}],
    },
]


def make_tree(nodes: bool) -> AgentSupervisor:
    """Return the supervisors and their agents; some of them on other nodes."""
    root = AgentSupervisor("service")
    lookups = AgentSupervisor(
        "lookups", restart_policy=RestartPolicy(max_restarts=50, within_seconds=60)
    )
    for topic in ("papers", "trials", "prices", "news"):
        lookups.add_child(topic, Agent(topic, handler=research, concurrency=4))
    desk = AgentSupervisor("desk", restart_policy=RestartPolicy(max_restarts=60, within_seconds=60))
    desk.add_child("writer", Agent("writer", handler=write, concurrency=2))
    desk.add_child("editor", Agent("editor", handler=write))
    money = AgentSupervisor(
        "money", restart_policy=RestartPolicy(max_restarts=1, within_seconds=600)
    )
    money.add_child("ledger", Agent("ledger", handler=broken))
    money.add_child("invoices", Agent("invoices", handler=check, concurrency=8))
    root.add_supervisor("lookups", lookups)
    root.add_supervisor("desk", desk)
    root.add_child("money", money)
    root.add_child("sink", Sink)
    if nodes:
        index = AgentSupervisor("index")
        for number in range(3):
            index.add_child(
                f"embedder-{number}", Agent(f"embedder-{number}", handler=check, node="gpu")
            )
        root.add_supervisor("index", index)
    return root


async def traffic(system: ActorSystem, root: AgentSupervisor, nodes: bool) -> None:
    """Keep the agents busy, for ever."""
    names = ["lookups/papers", "lookups/trials", "lookups/prices", "lookups/news", "desk/writer",
             "desk/editor", "money/invoices", "sink"]  # fmt: skip
    if nodes:
        names += [f"index/embedder-{number}" for number in range(3)]
    beat = 0
    while True:
        beat += 1
        for _ in range(CHANCE.randint(1, 7)):
            try:
                root.child(CHANCE.choice(names)).tell(Draft())
            except Exception:
                pass
        if beat in (20, 40, 60):
            try:
                root.child("money/ledger").tell(Draft())
            except Exception:
                pass
        if beat % 9 == 0:
            system.dead_letter(Draft(), "desk/archive", "noproc")
        agent = CHANCE.choice(["writer", "editor", "papers"])
        used = Usage(requests=1, input_tokens=CHANCE.randint(400, 4000),
                     output_tokens=CHANCE.randint(50, 900))  # fmt: skip
        system.publish(
            ModelRequestEnded(
                agent, "gpt-5-mini", "openai", used, system.clock(), CHANCE.uniform(0.3, 4)
            )
        )
        await asyncio.sleep(0.1)


async def run_workflows(engine: OrchestrationEngine) -> None:
    """Start some runs, and then one now and then."""
    for number in range(60):
        name = ("triage", "report", "refund", "triage")[number % 4]
        await engine.start_workflow(name, {"n": number}, labels={"tenant": f"t{number % 3}"})
    for number in range(14):
        await engine.start_workflow("report", {}, queue="reports", key=f"t{number % 3}")
    for _ in range(3):
        await engine.start_workflow("digest", {}, queue="gpu")
    while True:
        await asyncio.sleep(1.0)
        await engine.start_workflow(CHANCE.choice(["report", "triage"]), {})
        await engine.start_workflow(
            CHANCE.choice(["report", "triage"]), {},
            queue=CHANCE.choice(["reports", "mail"]), key=f"t{CHANCE.randint(0, 2)}",
        )  # fmt: skip


async def make_schedules(engine: OrchestrationEngine) -> None:
    """Have some workflows started again and again."""
    await engine.schedule("morning-digest", "digest", cron="0 7 * * 1-5", timezone="Europe/Berlin")
    await engine.schedule("inbox-triage", "triage", every_s=15)
    await engine.schedule("quarterly-report", "report", cron="0 6 1 1,4,7,10 *")
    await engine.pause_schedule("quarterly-report", reason="until the new template is there")


async def main(port: int = 4040, nodes: bool = False) -> None:
    """Run the service, and the observer beside it."""
    cluster = None
    if nodes:
        cluster = RayCluster(local_nodes=2, labels={"node-1": ["gpu"], "node-2": ["gpu"]})
    with TemporaryDirectory() as folder:
        async with ActorSystem("newsroom", cluster=cluster) as system:
            store = f"sqlite:///{Path(folder) / 'runs.db'}"
            engine = OrchestrationEngine(
                EngineConfig(
                    state_store=store,
                    persist_state=True,
                    enable_tracing=True,
                    run_schedules=True,
                    queues=[
                        Queue("reports", concurrency=4, key_concurrency=2),
                        Queue("mail", rate=RateLimit(30, 60.0)),
                    ],
                )
            )
            for name, fn in (("research", research), ("write", write), ("review", review),
                             ("check", check), ("broken", broken)):  # fmt: skip
                engine.register_agent(name, fn)
            for workflow in WORKFLOWS:
                engine.register_workflow(workflow["name"], workflow)
            root = make_tree(nodes)
            async with engine, serve_observer(system, engine, port=port, actions=True) as url:
                print(url, flush=True)
                await root.start()
                await make_schedules(engine)
                tasks = [asyncio.create_task(traffic(system, root, nodes)),
                         asyncio.create_task(run_workflows(engine))]  # fmt: skip
                try:
                    await asyncio.gather(*tasks)
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
                    await root.stop()


if __name__ == "__main__":
    try:
        numbers = [int(one) for one in sys.argv[1:] if one.isdigit()]
        asyncio.run(main(*numbers, nodes="--nodes" in sys.argv))
    except KeyboardInterrupt:
        pass
