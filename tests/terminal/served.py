"""A small service with an observer, as a process of its own: python served.py PORT [actions] [busy]"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from agenticaiframework import Agent
from agenticaiframework.actors import Actor, ActorSystem, agent_context
from agenticaiframework.actors.simulation import SimCluster
from agenticaiframework.observer import serve_observer
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine, Queue
from agenticaiframework.supervision import AgentSupervisor, RestartPolicy

ODD = "[red]odd[/red] \x1b[2J\u202ex"
"""A name that an agent must not be able to have read as more than a name."""


class Failing(Actor):
    """Fails with what it is told."""

    def on_receive(self, message: Any) -> None:
        raise ValueError(message)


class Holding(Actor):
    """Handles its message for ever."""

    async def on_receive(self, message: Any) -> None:
        await asyncio.Event().wait()


class Parcel:
    """What is handled."""


async def echo(payload: Any) -> Any:
    return payload


async def ask(_payload: Any) -> Any:
    return await agent_context().question("allow", {"amount": 12, "note": "[bold]now[/bold]"})


ORDER = {"name": "order", "steps": [{"id": "look", "agent": "echo"}, {"id": "pay", "agent": "ask"}]}
GATE = {"name": "gate", "steps": [{"id": "hold", "wait_for": {"signal": "go"}}]}


async def put_to_work(engine: OrchestrationEngine) -> None:
    """Start runs in queues, and make schedules."""
    for number, key in enumerate(("ann", "bob", "ann", "cid"), 1):
        await engine.start_workflow("gate", {}, workflow_id=f"cut-{number}", queue="lathe", key=key)
    await engine.start_workflow("gate", {}, workflow_id="bent-1", queue="press")
    await engine.schedule("nightly", "gate", every_s=900_000)
    await engine.schedule("weekly", "order", cron="0 7 * * 1", timezone="Europe/Berlin")
    await engine.pause_schedule("weekly", "the shop is shut")
    await engine.trigger_schedule("nightly")


async def main(port: int, *options: str) -> None:
    cluster = SimCluster({"east": ["gpu"], "west": []}) if "busy" in options else None
    async with ActorSystem("shop", cluster=cluster) as system:
        engine = OrchestrationEngine(
            EngineConfig(
                state_store="memory://", persist_state=True,
                queues=[Queue("lathe", concurrency=2, key_concurrency=1)],
            )
        )  # fmt: skip
        for name, fn in (("echo", echo), ("ask", ask)):
            engine.register_agent(name, fn)
        for workflow in (ORDER, GATE):
            engine.register_workflow(str(workflow["name"]), workflow)
        root = AgentSupervisor("root", restart_policy=RestartPolicy(max_restarts=50))
        desk = AgentSupervisor("desk")
        desk.add_child("clerk", Agent("clerk", handler=echo, concurrency=3))
        root.add_supervisor("desk", desk)
        root.add_child("failing", Failing)
        root.add_child("holding", Holding)
        root.add_child("odd", Agent(ODD, handler=echo))
        for number in range(60):
            root.add_child(f"spare-{number}", Agent(f"spare-{number}", handler=echo))
        if cluster is not None:
            desk.add_child("far", Agent("far", handler=json.dumps, node="east"))
        token = os.environ.get("TOKEN")
        actions = "actions" in options
        async with engine, root:
            await engine.start_workflow("order", {}, workflow_id="order-1")
            await engine.start_workflow("gate", {}, workflow_id="gate-1")
            await engine.schedule("hourly", "gate", every_s=3600)
            if cluster is not None:
                await put_to_work(engine)
                cluster.kill("west")
            async with serve_observer(system, engine, port=port, token=token, actions=actions):
                root.child("failing").tell(f"too hot {ODD}")
                root.child("holding").tell(Parcel())
                system.dead_letter(Parcel(), f"desk/{ODD}", "noproc")
                while root.child("failing").restarts == 0:
                    await asyncio.sleep(0.01)
                print("ready", flush=True)
                await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), *sys.argv[2:]))
