"""Deploys: whatever version of a workflow its engines know, a run ends, or is blocked and says why."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from agenticaiframework.actors import agent_context
from agenticaiframework.actors.simulation import Simulation
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine, WorkflowExists
from agenticaiframework.patterns.engine.store.simulated import simulated_store

EPOCH_S = 1_700_000_000.0
RUNS = ("r0", "r1")


class Versions:
    """What survives the machine beside its disk: the workflow's versions, and who worked on what."""

    def __init__(self, rng: random.Random) -> None:
        known = [f"s{n}" for n in range(5)]
        self.flows = [self._flow(rng, known) for _ in range(3)]
        self.asked: list[tuple[str, str]] = []

    @staticmethod
    def _flow(rng: random.Random, known: list[str]) -> dict[str, Any]:
        ids = [name for name in known if rng.random() < 0.7] or known[:1]
        if rng.random() < 0.2:
            rng.shuffle(ids)
        steps: list[dict[str, Any]] = []
        for name in ids:
            step: dict[str, Any] = {"id": name, "agent": "work", "input": name}
            kind = rng.randrange(7)
            if kind == 0:
                step = {
                    "id": name,
                    "wait_for": {"signal": "go", "timeout_seconds": 30, "default": 1},
                }
            elif kind == 1:
                step = {"id": name, "delay": 1}
            elif kind == 2:
                step = {"id": name, "agent": "work", "for_each": [name, name], "max_concurrency": 1}
            elif kind == 3:
                step |= {"until": "$iteration > 1"}
            elif kind >= 4 and steps:
                step["input"] = f"${rng.choice(steps)['id']}"
            steps.append(step)
        description = rng.choice(["", "mended"])
        return {"name": "flow", "description": description, "steps": steps}


async def deploys(sim: Simulation) -> str:
    """Engines with three versions of a workflow take turns on one store, over stopped machines."""
    if "versions" not in sim.disk:
        sim.disk["versions"] = Versions(sim.random)
    versions: Versions = sim.disk["versions"]
    rng = sim.random
    for _ in range(rng.randrange(1, 4)):
        changed = rng.choice(["old", "new", "new", "fail"])
        await _life(sim, versions, rng.randrange(3), changed, rng.choice([0.1, 1, 3]))
    return await _end(sim, versions)


def _engine(sim: Simulation, versions: Versions, version: int, changed: Any) -> OrchestrationEngine:
    engine = OrchestrationEngine(
        EngineConfig(
            state_store=simulated_store(sim),
            persist_state=True,
            lease_seconds=3,
            changed_definition=changed,
            wall_clock=lambda: EPOCH_S + sim.time(),
        )
    )

    async def work(payload: Any) -> Any:
        versions.asked.append((agent_context()["workflow_id"], agent_context()["step"]))
        await asyncio.sleep(0.2)
        return payload

    engine.register_agent("work", work)
    engine.register_workflow("flow", versions.flows[version])
    return engine


async def _life(
    sim: Simulation, versions: Versions, version: int, changed: str, seconds: float
) -> None:
    """Let an engine of one version do what it can for a while."""
    async with _engine(sim, versions, version, changed) as engine:
        report = await engine.recover()
        for run_id in RUNS:
            try:
                await engine.start_workflow("flow", workflow_id=run_id)
            except WorkflowExists:
                pass
        await asyncio.sleep(seconds)
        blocked = {run.workflow_id for run in await engine.list_workflows(state="blocked")}
        sim.expect(
            report.blocked.keys() <= blocked and not blocked & {*report.recovered},
            "a run is listed as blocked while it is", f"{blocked} and {report}",
        )  # fmt: skip


async def _end(sim: Simulation, versions: Versions) -> str:
    """Let an engine bring all runs to their ends, and look at them and their journals."""
    async with _engine(sim, versions, sim.random.randrange(3), "new") as engine:
        await asyncio.sleep(4)  # until the lease of what was stopped is over
        report = await engine.recover()
        states: list[str] = []
        for run_id in RUNS:
            status = await engine.get_workflow_status(run_id)
            for _ in range(600):
                if status.finished or status.state == "blocked":
                    break
                await asyncio.sleep(1)
                status = await engine.get_workflow_status(run_id)
            sim.expect(
                status.finished or run_id in report.blocked,
                "a run ends, or is reported as blocked", repr(status),
            )  # fmt: skip
            sim.expect(
                status.state != "failed" or "max_recoveries" in (status.last_error or ""),
                "a deploy fails no run", repr(status),
            )  # fmt: skip
            sim.expect(status.progress <= 100, "progress is at most 100 %", repr(status))
            states.append(str(status.state))
        keeper = await engine._cores.keeper(engine._cores.here())
        for run_id in RUNS:
            await _check(sim, run_id, await keeper.store.read_journal(run_id))
    return " ".join(sorted(states))


async def _check(sim: Simulation, run_id: str, entries: list[Any]) -> None:
    finished: set[str] = set()
    items: set[tuple[str, int]] = set()
    without_progress = 0
    for entry in entries:
        kind, step, data = entry.kind, entry.step, entry.data or {}
        if kind in ("step_started", "step_completed", "step_skipped", "step_waiting"):
            sim.expect(
                step not in finished, "a finished step is never begun again",
                f"{run_id}: {kind} of {step} at {entry.seq}",
            )  # fmt: skip
        if kind in ("step_completed", "step_skipped"):
            finished.add(step)
        if kind == "item_completed":
            key = step, data["item"]
            sim.expect(key not in items, "a finished item stays finished", f"{run_id}: {key}")
            items.add(key)
        if kind == "definition_changed":
            items = {key for key in items if key[0] not in data.get("anew", ())}
        if kind in ("step_completed", "item_completed", "step_iterated"):
            without_progress = 0
        if kind == "workflow_recovered" and data["count"]:
            without_progress += 1
            sim.expect(
                data["count"] <= 3, "a run is not recovered for ever", f"{run_id}: {entry.seq}"
            )
        if kind == "workflow_recovered":
            sim.expect(
                data["count"] <= without_progress,
                "what gets on is not counted", f"{run_id}: {entry.seq} says {data['count']}",
            )  # fmt: skip
