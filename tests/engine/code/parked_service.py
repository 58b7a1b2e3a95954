"""A process of its own that parks runs of code, and prints what each keeps and which actors stay busy.

In a process that has run everything else before, objects are larger: each has room for all attributes
that any of its class ever had.
"""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from typing import Any

from agenticaiframework.actors import ActorSystem
from agenticaiframework.orchestration import OrchestrationEngine, WorkflowRun, workflow

RUNS = 2_000
WORKERS = {"CodeWorker", "RunCoordinator"}


async def one(x: Any) -> Any:
    return x


@workflow(name="parks")
async def parks(run: WorkflowRun, given: dict[str, int]) -> Any:
    first = await run.step(one, given)
    return [first, await run.wait_for("go", question={"n": given["n"]})]


def at_work() -> list[str]:
    """Return the classes of the actors that have something to do, or to wait for."""
    return [
        ref.actor_class.__name__
        for ref in ActorSystem.current().actors()
        if not getattr(ref._actor, "idle", False)
    ]


async def main() -> dict[str, Any]:
    async with OrchestrationEngine() as engine:

        async def park(count: int) -> list[str]:
            ids = [await engine.start_workflow(parks, {"n": n}) for n in range(count)]
            for run_id in ids:
                while (await engine.get_workflow_status(run_id)).state != "waiting":
                    await asyncio.sleep(0.01)
            return ids

        await park(300)
        gc.collect()
        tracemalloc.start()
        ids = await park(RUNS)  # which looks at each of them
        listed = await engine.list_workflows(state="waiting", limit=2 * RUNS)
        assert len(listed) == 300 + RUNS
        del listed
        async with asyncio.timeout(120):
            while WORKERS & set(busy := at_work()):
                await asyncio.sleep(0.01)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        await engine.signal_workflow(ids[7], "go", True)
        result = await engine.wait(ids[7])
        return {"bytes": kept / RUNS, "busy": busy, "result": result}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main())))
