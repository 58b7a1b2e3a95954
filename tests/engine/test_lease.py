"""An engine's lease: renewed whatever else is done, and looked at before a step begins."""

from __future__ import annotations

import asyncio
from typing import Any

from agenticaiframework.actors import ActorSystem
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.patterns.engine.store import Retention, RunFilter, open_store

from .conftest import Cast, run_in_virtual_time, steps
from .test_ends import dates
from .test_small_rules import actor_of


class SlowStore:
    """A store in which some things take long; the lease is none of them."""

    def __init__(self, store: Any, **slow: float) -> None:
        self._store = store
        self._slow = slow

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self._store, name)
        delay_s = self._slow.get(name)
        if delay_s is None:
            return inner

        async def late(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(delay_s)
            return await inner(*args, **kwargs)

        return late


def engine_on(store: Any, cast: Cast, **more: Any) -> OrchestrationEngine:
    options: dict[str, Any] = {"persist_state": True, "lease_seconds": 10, "wall_clock": dates}
    engine = OrchestrationEngine(EngineConfig(state_store=store, **options, **more))
    for name, agent in cast.agents.items():
        engine.register_agent(name, agent)
    return engine


def test_a_purge_a_poll_and_a_recovery_that_take_long_cost_no_lease(cast: Cast) -> None:
    cast.slow("a", 100, "A")

    async def main() -> None:
        store = open_store("memory://", clock=dates)
        slow = SlowStore(store, purge=50, poll=45, claim_abandoned=40)
        busy = engine_on(slow, cast, retention=Retention(max_finished=1), recover_every_seconds=60)
        other = engine_on(store, cast)
        await busy.start_workflow(workflow=steps("a"), workflow_id="w")
        for _ in range(9):
            await asyncio.sleep(10)
            assert (await other.recover()).recovered == ()
        assert await busy.wait("w") == {"a": "A"}
        assert cast.asked == ["a"]
        await busy.stop()
        await other.stop()

    run_in_virtual_time(main)


def test_no_step_begins_while_the_lease_is_in_doubt(cast: Cast) -> None:
    cast.slow("a", 25, "A")
    cast.agent("b", "B")

    async def main() -> None:
        system = ActorSystem.current()
        engine = engine_on(open_store("memory://", clock=dates), cast)
        await engine.start_workflow(workflow=steps("a", "b"), workflow_id="w")
        await asyncio.sleep(1)
        keeper = actor_of(system, "LeaseKeeper")
        system.suspend(keeper)
        await asyncio.sleep(60)
        assert cast.asked == ["a"]
        assert (await engine.get_workflow_status("w")).state == "running"
        system.resume(keeper)
        assert await engine.wait("w") == {"a": "A", "b": "B"}
        assert cast.asked == ["a", "b"]
        await engine.stop()

    run_in_virtual_time(main)


def test_a_run_that_another_engine_has_taken_begins_no_step_here(cast: Cast) -> None:
    """Its last record was acknowledged before the other engine took the run."""
    cast.slow("a", 5, "A")
    cast.slow("b", 30, "B")

    async def main() -> None:
        system = ActorSystem.current()
        store = open_store("memory://", clock=dates)
        revived, other = engine_on(store, cast), engine_on(store, cast)
        await revived.start_workflow(
            workflow=steps({"agent": "a", "id": "a"}, {"agent": "b", "id": "b"}), workflow_id="w"
        )
        await asyncio.sleep(1)
        system.suspend(actor_of(system, "LeaseKeeper"))
        system.suspend(actor_of(system, "RunCoordinator"))
        await asyncio.sleep(30)
        assert (await other.recover()).recovered == ("w",)
        for name in ("RunCoordinator", "LeaseKeeper"):
            for ref in system.actors():
                if ref.actor_class.__name__ == name:
                    system.resume(ref)
        assert await other.wait("w") == {"a": "A", "b": "B"}
        assert cast.asked.count("b") == 1
        await revived.stop()
        await other.stop()

    run_in_virtual_time(main)


def test_runs_that_only_wait_are_all_taken_however_few_may_work_at_once(cast: Cast) -> None:
    cast.slow("a", 50, "A")

    async def main() -> None:
        store = open_store("memory://", clock=dates)
        first = engine_on(store, cast)
        for number in range(25):
            wait = steps({"id": "s", "wait_for": "go"}, {"id": "a", "agent": "a"})
            await first.start_workflow(workflow=wait, workflow_id=f"w{number}")
        await first.stop()
        async with engine_on(
            store, cast, max_concurrent_workflows=2, recover_every_seconds=60
        ) as engine:
            await asyncio.sleep(20)
            rows = (await store.list_runs(RunFilter(finished=False))).rows
            assert [row.fence for row in rows] == [2] * 25
            for number in range(3):
                await engine.signal_workflow(f"w{number}", "go", 1)
            assert await engine.wait("w2") == {"s": 1, "a": "A"}

    run_in_virtual_time(main)


def test_an_engine_that_recovers_by_itself_takes_no_more_than_it_can_begin(cast: Cast) -> None:
    cast.slow("a", 50, "A")
    cast.agent("now", "N")

    async def main() -> None:
        store = open_store("memory://", clock=dates)
        first = engine_on(store, cast)
        for number in range(7):
            await first.start_workflow(workflow=steps("a"), workflow_id=f"w{number}")
        await first.stop()
        small = engine_on(store, cast, max_concurrent_workflows=2, recover_every_seconds=10)
        large = engine_on(store, cast, recover_every_seconds=10)
        await small.execute(workflow=steps("now"))
        await asyncio.sleep(15)
        rows = (await store.list_runs(RunFilter(finished=False))).rows
        assert sorted(row.fence for row in rows) == [1] * 5 + [2] * 2
        await large.execute(workflow=steps("now"))
        for number in range(7):
            assert await large.wait(f"w{number}") == {"a": "A"}
        fences = [(await store.load_run(f"w{number}")).fence for number in range(7)]
        assert fences == [2] * 7
        await small.stop()
        await large.stop()

    run_in_virtual_time(main)
