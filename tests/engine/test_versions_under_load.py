"""Three versions of a workflow take turns under load: each run ends, or is blocked and says why."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.patterns.engine.store import open_store

from .conftest import run_in_virtual_time
from .store.conftest import durable_medium
from .store.media import Medium
from .test_durable import virtual_clock

__all__ = ["durable_medium"]


def asks(step: str, **more: Any) -> dict[str, Any]:
    return {"id": step, "agent": "work", "input": step, **more}


WAIT = {"id": "wait", "wait_for": {"signal": "go", "timeout_seconds": 500, "default": "late"}}
EACH = {"id": "each", "agent": "work", "for_each": ["x", "y", "z"], "max_concurrency": 1}
LOOP = {"id": "loop", "agent": "work", "input": "l", "until": "$iteration > 1"}
LIMIT = {"timeout_seconds": 4000}
VERSIONS: list[dict[str, Any]] = [
    {"steps": [asks("a", compensate="work"), WAIT, EACH, LOOP, asks("c")], **LIMIT},
    {  # b is inserted twice, and the description is another
        "description": "mended",
        "steps": [asks("b0"), asks("a", compensate="work"), asks("b"), WAIT, EACH, LOOP, asks("c")],
        **LIMIT,
    },
    {  # a is gone, and some are of another kind
        "steps": [
            asks("b", condition="false"),
            {"id": "wait", "delay": 0.02},
            asks("each"),
            {"id": "loop", "agent": "work", "for_each": ["l", "l"]},
            asks("c", depends_on=["each"]),
        ],
        **LIMIT,
    },
]


class Load:
    """Engines of all versions, one or two at a time, that are stopped and killed in turns."""

    def __init__(self, seed: int, make_store: Callable[[], Any], clock: Any, scale: float) -> None:
        self._rng = random.Random(seed)
        self._make_store = make_store
        self._clock = clock
        self._scale = scale
        self.runs: list[str] = []

    def engine(self, version: int, changed: str) -> OrchestrationEngine:
        options: dict[str, Any] = {"state_store": self._make_store(), "persist_state": True}
        if self._clock is not None:
            options["wall_clock"] = self._clock
        e = OrchestrationEngine(
            EngineConfig(
                **options, lease_seconds=2, poll_seconds=0.02, max_recoveries=None,
                changed_definition=changed,  # type: ignore[arg-type]
            )
        )  # fmt: skip

        async def work(payload: Any) -> Any:
            await asyncio.sleep(0.02 * self._scale)
            return payload

        e.register_agent("work", work)
        e.register_workflow("flow", {"name": "flow", **VERSIONS[version]})
        return e

    async def deploy(self) -> None:
        """Let an engine of some version live for a while, and then stop it or kill it."""
        rng = self._rng
        e = self.engine(rng.randrange(3), rng.choice(["old", "new", "new", "fail"]))
        await e.recover()
        for _ in range(rng.randrange(4)):
            run_id = f"w{len(self.runs)}"
            self.runs.append(run_id)
            await e.start_workflow("flow", workflow_id=run_id)
        for run_id in rng.sample(self.runs, min(3, len(self.runs))):
            await self.signal(e, run_id)
        await asyncio.sleep(rng.random() * 0.2 * self._scale)
        if rng.random() < 0.4:
            for ref in ActorSystem.current().actors():
                if ref.actor_class.__name__ == "EngineCore" and ref.is_alive():
                    ref.kill()
            await asyncio.sleep(2.5)  # until its lease is over
        await e.stop()

    async def signal(self, e: OrchestrationEngine, run_id: str) -> None:
        try:
            await e.signal_workflow(run_id, "go", "ok")
        except ValueError:
            pass  # it has ended

    async def rest(self) -> dict[str, Any]:
        """Let each run go on with the newest version, if it can; return how they stand."""
        e = self.engine(1, self._rng.choice(["new", "fail"]))
        report = await e.recover()
        for run_id in self.runs:
            if (await e.get_workflow_status(run_id)).state == "blocked":
                assert run_id in report.blocked
                assert report.blocked[run_id], "it says why"
            await self.signal(e, run_id)
        found: dict[str, Any] = {}
        for run_id in self.runs:
            for _ in range(4000):
                status = await e.get_workflow_status(run_id)
                if status.finished or status.state == "blocked":
                    break
                await asyncio.sleep(0.05)
            found[run_id] = status
            entries = await (await e._cores.keeper(e._cores.here())).store.read_journal(run_id)
            check(run_id, [(x.kind, x.step, x.data) for x in entries])
        await e.stop()
        return found


def check(run_id: str, entries: list[tuple[str, str, Any]]) -> None:
    """Raise AssertionError if a step that had finished was begun, or finished, once more."""
    finished: set[str] = set()
    items: set[tuple[str, int]] = set()
    for kind, step, data in entries:
        if kind in ("step_started", "step_completed", "step_skipped", "step_waiting"):
            assert step not in finished, f"{run_id}: {kind} of {step} after its end: {entries}"
        if kind in ("step_completed", "step_skipped"):
            finished.add(step)
        if kind == "definition_changed":
            again = set((data or {}).get("anew", ()))
            items = {(s, n) for s, n in items if s not in again}
        if kind == "item_completed":
            assert (step, data["item"]) not in items, f"{run_id}: item {data['item']} twice"
            items.add((step, data["item"]))


def right(found: dict[str, Any]) -> None:
    assert found
    for run_id, status in found.items():
        assert status.state in ("completed", "blocked"), (run_id, status)
        assert status.progress <= 100
        if status.state == "blocked":
            assert status.last_error


async def live(load: Load, deploys: int) -> None:
    for _ in range(deploys):
        await load.deploy()
    right(await load.rest())


@pytest.mark.parametrize(("kind", "seed"), [*(("memory", n) for n in range(8)), ("sqlite", 9)])
def test_every_run_ends_or_is_blocked_whatever_is_deployed(
    kind: str, seed: int, tmp_path: Path
) -> None:
    if kind == "memory":
        kept = open_store("memory://", clock=virtual_clock)
        load = Load(seed, lambda: kept, virtual_clock, 1.0)
    else:
        url = f"sqlite:///{tmp_path}/s.sqlite"
        load = Load(
            seed, lambda: open_store(url, clock=virtual_clock, inline=True), virtual_clock, 1
        )
    run_in_virtual_time(lambda: live(load, 14))


def test_every_run_ends_or_is_blocked_in_real_time(durable_medium: Medium) -> None:
    epoch = time.time() - time.monotonic()

    def clock() -> float:
        """Dates by a clock that nobody sets anew meanwhile."""
        return epoch + time.monotonic()

    async def main() -> None:
        async with ActorSystem("versions"):
            await live(Load(1, lambda: durable_medium.url, clock, 0.5), 8)

    asyncio.run(main())
