"""Lives of engines that run a workflow which is code, most of them ended by SIGKILL.

As `nursery`, which it is run through: with tools, an agent, waits, branches and undos.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import nursery

from agenticaiframework.orchestration import CallFailed, WorkflowRun, workflow
from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    WorkflowExists,
    WorkflowFailed,
)


class CodeLife(nursery.Life):
    """One process, whose engine runs code."""

    def flow(self) -> Any:
        """Return the workflow, over the tools of this life."""

        async def tool(what: str) -> dict[str, str]:
            self.effect("begin")
            await asyncio.sleep(random.random() * 0.004)
            return {"did": what}

        def blocking(what: str) -> dict[str, str]:
            self.effect("begin")
            return {"did": what}

        async def undo(done: Any) -> None:
            self.effect("undo")

        async def broken() -> None:
            self.effect("begin")
            raise KeyError("broken")

        @workflow(name="crashing_code")
        async def crashing(run: WorkflowRun, given: dict[str, Any]) -> dict[str, Any]:
            async def branch(name: str) -> str:
                await run.sleep(0.002)
                done = await run.step(tool, name, name="branch", undo=undo)
                return str((await run.ask("work", {"n": done["did"]}, name="asked"))["n"])

            n = given["n"]
            first = await run.step(tool, f"first {n}", name="first", undo=undo)
            flaky = await run.ask("flaky", n, retry={"attempts": 3, "initial_delay_s": 0.001})
            drawn = run.uuid()
            each = await run.gather(*(branch(x) for x in "xyz"), limit=2)
            said = await run.wait_for("go", question={"n": n})
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(branch(x)) for x in "pq"]
            await run.step(blocking, "blocking", name="blocking")
            try:
                await run.step(broken, name="broken")
            except CallFailed as error:
                if n % 3 == 0:
                    raise
                kind = error.kind
            last = await run.step(tool, f"last {n}", name="last")
            return {
                "n": n,
                "first": first["did"],
                "flaky": flaky["n"],
                "each": each,
                "said": said,
                "group": [task.result() for task in tasks],
                "kind": kind,
                "last": last["did"],
                "drawn": len(drawn),
            }

        return crashing

    async def main(self) -> None:
        options = self.options
        engine = OrchestrationEngine(
            EngineConfig(
                state_store=options["url"],
                persist_state=True,
                recover_on_start=True,
                recover_every_seconds=0.05,
                lease_seconds=options["lease_seconds"],
                poll_seconds=0.05,
                wall_clock=self.date,
            )
        )
        engine.register_agent("work", self.work)
        engine.register_agent("flaky", self.flaky)
        flow = engine.register_workflow(self.flow())
        async with engine:
            room = asyncio.Semaphore(nursery.AT_ONCE)
            known = await engine.list_workflows(persisted=True, limit=10_000)
            finished = {w.workflow_id for w in known if w.state in ("completed", "failed")}

            async def one(n: int) -> None:
                run_id = f"r{n}"
                if run_id in finished:
                    return
                async with room:
                    try:
                        await engine.start_workflow(flow, {"n": n}, workflow_id=run_id)
                    except WorkflowExists:
                        pass
                    try:
                        await engine.signal_workflow(run_id, "go", {"to": n})
                    except ValueError:
                        pass  # it has ended
                    try:
                        result = await engine.wait(run_id)
                    except WorkflowFailed:
                        assert n % 3 == 0
                    else:
                        assert result == {
                            "n": n,
                            "first": f"first {n}",
                            "flaky": 0,
                            "each": ["x", "y", "z"],
                            "said": {"to": n},
                            "group": ["p", "q"],
                            "kind": "KeyError",
                            "last": f"last {n}",
                            "drawn": 36,
                        }

            await asyncio.gather(*(one(n) for n in range(options["runs"])))


if __name__ == "__main__":
    nursery.Life = CodeLife  # type: ignore[misc]
    nursery.main()
