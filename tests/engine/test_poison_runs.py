"""Runs that end their process: counted, put aside, and no harm to those beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem
from agenticaiframework.patterns.engine import (
    EngineConfig,
    EventKind,
    OrchestrationEngine,
    WorkflowFailed,
)
from agenticaiframework.patterns.engine.definition.workflow import define_workflow
from agenticaiframework.patterns.engine.state.run import Run
from agenticaiframework.patterns.engine.state.transitions import apply
from agenticaiframework.patterns.engine.store.urls import open_store

from .conftest import run_in_virtual_time
from .test_durable import virtual_clock


@pytest.fixture(params=["sqlite", "memory"])
def store_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Any]:
    """Return what gives a store over the same medium each time."""
    if request.param == "memory":
        kept = open_store("memory://", clock=virtual_clock)
        return lambda: kept
    url = f"sqlite:///{tmp_path}/engine.sqlite"
    return lambda: open_store(url, clock=virtual_clock, inline=True)


class Process:
    """One process after another on one store; some steps end the one that they run in."""

    def __init__(self, store_of: Callable[[], Any]) -> None:
        self._store_of = store_of
        self.asked: list[str] = []
        self.deadly: set[str] = {"poison"}
        self.slow: set[str] = set()
        self.pause_s = 0.0
        self.died = asyncio.Event()

    def engine(self, **config: Any) -> OrchestrationEngine:
        options = {"state_store": self._store_of(), "persist_state": True, "lease_seconds": 3}
        e = OrchestrationEngine(EngineConfig(**{**options, "wall_clock": virtual_clock, **config}))

        async def work(step: str) -> str:
            self.asked.append(step)
            if step in self.deadly:
                self.died.set()
                await asyncio.sleep(3600)
            await asyncio.sleep(self.pause_s)
            if step in self.slow:
                await asyncio.sleep(100)
            return step

        e.register_agent("work", work)
        return e

    def run(self, life: Callable[[OrchestrationEngine], Any], **config: Any) -> bool:
        """Let one process live, until *life* is over or a step ends it: then nothing is tidied up.

        Return whether it was ended.
        """

        async def main() -> bool:
            self.died = asyncio.Event()
            e = self.engine(**config)
            lives = asyncio.ensure_future(life(e))
            dies = asyncio.ensure_future(self.died.wait())
            await asyncio.wait((lives, dies), return_when=asyncio.FIRST_COMPLETED)
            died = self.died.is_set()
            if died:
                system = ActorSystem.current()
                for ref in system.actors():
                    if ref.actor_class.__name__ in ("EngineCore", "StoreKeeper"):
                        ref.kill()
                lives.cancel()
                await asyncio.sleep(30)  # until its lease is over
            dies.cancel()
            await asyncio.gather(lives, dies, return_exceptions=True)
            if not died:
                lives.result()
                await e.stop()
            return died

        return bool(run_in_virtual_time(main))


@pytest.fixture
def process(store_of: Callable[[], Any]) -> Process:
    return Process(store_of)


def flow(*steps: str, **more: Any) -> dict[str, Any]:
    listed = [{"id": step, "agent": "work", "input": step, **more} for step in steps]
    return {"name": "flow", "steps": listed}


async def started(e: OrchestrationEngine, **runs: Any) -> None:
    for run_id, definition in runs.items():
        await e.start_workflow(definition, workflow_id=run_id)
    await asyncio.sleep(50)


async def recovered(e: OrchestrationEngine) -> None:
    await e.recover()
    await asyncio.sleep(50)


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_a_run_that_ends_its_process_is_failed_after_so_many_recoveries(
    process: Process, limit: int
) -> None:
    process.run(lambda e: started(e, w=flow("a", "poison", compensate="work")))
    for _ in range(limit):
        process.run(recovered, max_recoveries=limit)
    assert process.asked == ["a", *["poison"] * (limit + 1)]

    async def last(e: OrchestrationEngine) -> None:
        report = await e.recover()
        assert (report.recovered, list(report.failed), dict(report.blocked)) == ((), ["w"], {})
        assert "max_recoveries" in report.failed["w"]
        status = await e.get_workflow_status("w")
        assert (status.state, status.current_step, status.recoveries) == ("failed", "poison", limit)
        assert ("once" if limit == 1 else f"{limit} times") in status.last_error
        assert status.steps["a"].state == "completed", "nothing was undone"
        with pytest.raises(WorkflowFailed, match="poison"):
            await e.wait("w")
        assert (await e.recover()).failed == {}

    assert not process.run(last, max_recoveries=limit)
    assert process.asked == ["a", *["poison"] * (limit + 1)]


def test_resuming_it_by_hand_counts_anew(process: Process) -> None:
    process.run(lambda e: started(e, w=flow("poison", "z")))
    for _ in range(4):
        process.run(recovered)

    async def resumed(e: OrchestrationEngine) -> None:
        await e.resume_workflow("w")
        await asyncio.sleep(50)

    process.run(resumed)
    for _ in range(2):
        process.run(recovered)
    process.deadly.clear()

    async def cured(e: OrchestrationEngine) -> None:
        assert (await e.recover()).recovered == ("w",)
        assert await e.wait("w") == {"poison": "poison", "z": "z"}

    assert not process.run(cured)
    assert process.asked == ["poison"] * 8 + ["z"]


def test_what_gets_on_between_two_deaths_is_recovered_for_ever(process: Process) -> None:
    names = [f"s{n}" for n in range(8)]
    process.deadly = {*names}
    process.run(lambda e: started(e, w=flow(*names)))
    for name in names:
        process.deadly.discard(name)
        process.run(recovered)

    async def over(e: OrchestrationEngine) -> None:
        assert (await e.get_workflow_status("w")).state == "completed"

    assert not process.run(over)


def test_an_item_that_is_completed_counts_as_getting_on(process: Process) -> None:
    items = [f"i{n}" for n in range(6)]
    process.deadly = {*items}
    step = {"id": "each", "agent": "work", "for_each": items, "max_concurrency": 1}
    process.run(lambda e: started(e, w={"name": "f", "steps": [step]}))
    for item in items:
        process.deadly.discard(item)
        process.run(recovered)

    async def over(e: OrchestrationEngine) -> None:
        assert await e.wait("w") == {"each": items}

    assert not process.run(over)


def test_runs_beside_one_that_ends_every_process_get_on(process: Process) -> None:
    good = {f"g{n}": flow(f"x{n}", f"y{n}") for n in range(5)}
    process.pause_s = 0.05
    process.run(lambda e: started(e, **good, parked=PARKED, poison=flow("poison")))
    assert len(set(process.asked)) == 6, "all were at work when the first process ended"
    for _ in range(8):
        process.run(recovered)

    async def over(e: OrchestrationEngine) -> None:
        await e.recover()
        await asyncio.sleep(60)
        for run_id in good:
            assert (await e.get_workflow_status(run_id)).state == "completed"
        assert (await e.get_workflow_status("poison")).state == "failed"
        assert (await e.get_workflow_status("parked")).state == "waiting"

    assert not process.run(over)
    assert process.asked.count("poison") == 4


PARKED = {"name": "parked", "steps": [{"id": "w", "wait_for": "go"}]}


def test_a_run_that_only_waits_counts_nothing_up(process: Process) -> None:
    process.run(lambda e: started(e, w=PARKED, poison=flow("poison")))
    for _ in range(6):
        process.run(recovered)

    async def over(e: OrchestrationEngine) -> None:
        await e.recover()
        status = await e.get_workflow_status("w")
        assert (status.state, status.recoveries) == ("waiting", 0)
        await e.signal_workflow("w", "go")
        await e.wait("w")

    assert not process.run(over)


def test_a_step_that_takes_longer_than_many_deploys_is_not_poison(process: Process) -> None:
    process.slow.add("long")
    process.run(lambda e: started(e, w=flow("long")))
    for _ in range(8):
        process.run(recovered)

    async def over(e: OrchestrationEngine) -> None:
        await e.recover()
        assert await e.wait("w") == {"long": "long"}
        status = await e.get_workflow_status("w")
        assert status.recoveries == 9
        kinds = [x.kind for x in await e.config.state_store.read_journal("w")]
        assert kinds.count(EventKind.WORKFLOW_RECOVERED) == 9

    assert not process.run(over)


def test_an_undo_that_ends_its_process_is_counted_too(process: Process) -> None:
    process.deadly = {"undo"}
    steps = [
        {
            "id": "a",
            "agent": "work",
            "input": "a",
            "compensate": {"agent": "work", "input": "undo"},
        },
        {"id": "b", "agent": "work", "input": "$a.missing"},
    ]
    process.run(lambda e: started(e, w={"name": "f", "steps": steps}))
    for _ in range(3):
        process.run(recovered)

    async def over(e: OrchestrationEngine) -> None:
        assert "max_recoveries" in (await e.recover()).failed["w"]
        assert (await e.get_workflow_status("w")).state == "failed"

    assert not process.run(over)
    assert process.asked == ["a", *["undo"] * 4]


def test_without_a_limit_it_is_recovered_for_ever(process: Process) -> None:
    process.run(lambda e: started(e, w=flow("poison")))
    for _ in range(6):
        process.run(recovered, max_recoveries=None)
    assert process.asked == ["poison"] * 7


def test_a_suspect_that_is_signalled_or_cancelled_before_its_turn_is_started_once(
    process: Process,
) -> None:
    process.slow = {"s0", "s1", "s2"}
    runs = {f"w{n}": flow(f"s{n}") for n in range(3)}
    process.run(lambda e: started(e, **runs, poison=flow("poison")))

    async def main(e: OrchestrationEngine) -> None:
        process.deadly.clear()
        await e.recover()
        for run_id in runs:
            assert (await e.cancel_workflow(run_id)).state == "cancelled"
        await asyncio.sleep(60)

    process.run(recovered)
    process.asked.clear()
    process.run(main)
    assert all(process.asked.count(step) <= 1 for step in ("s0", "s1", "s2", "poison"))


def nested(*steps: str, **more: Any) -> dict[str, Any]:
    inner = {**flow(*steps), "name": "inner"}
    step = {"id": "outer", "workflow": inner, **more}
    return {"name": "around", "steps": [step, {"id": "z", "agent": "work", "input": "z"}]}


def test_what_a_part_gets_on_counts_for_the_run_around_it(process: Process) -> None:
    names = [f"s{n}" for n in range(8)]
    process.deadly = {*names}
    process.run(lambda e: started(e, w=nested(*names)))
    for name in names:
        process.deadly.discard(name)
        process.run(recovered)

    async def over(e: OrchestrationEngine) -> None:
        await e.recover()
        assert (await e.wait("w", timeout=100))["z"] == "z"

    assert not process.run(over)


def test_a_part_that_ends_its_process_fails_the_step_around_it(process: Process) -> None:
    process.run(lambda e: started(e, w=nested("poison", on_error="skip")))
    for _ in range(3):
        process.run(recovered)

    async def over(e: OrchestrationEngine) -> None:
        await e.recover()
        result = await e.wait("w", timeout=100)
        assert result == {"outer": None, "z": "z"}

    assert not process.run(over)
    assert process.asked.count("poison") == 4


@pytest.mark.parametrize("kind", ["step_completed", "item_completed", "step_iterated"])
def test_what_a_step_that_is_gone_has_got_on_counts(kind: str) -> None:
    run = Run("w", define_workflow(flow("a")).plan, None, 0.0)
    apply(run, "workflow_recovered", "", 0, {"count": 2}, 1.0)
    assert run.takeovers == 2
    apply(run, "step_started", "gone", 1, None, 2.0)
    assert run.takeovers == 2
    apply(run, kind, "gone", 1, {"item": 0, "iteration": 1}, 3.0)
    assert run.takeovers == 0
