"""Draining an engine: no new work, steps under way finish, the rest goes on elsewhere at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, agent_context, is_expected
from agenticaiframework.patterns.engine import (
    DrainReport,
    EngineConfig,
    EngineDraining,
    EngineStopped,
    EventKind,
    OrchestrationEngine,
    WorkflowEvent,
    WorkflowLost,
    WorkflowRun,
    workflow,
)

from .conftest import Main, left_over, run_in_virtual_time
from .outage import MoodyDisk, dates, moody_store

Sim = Callable[[Main], Any]

TWO = {
    "name": "two",
    "steps": [{"id": "one", "agent": "slow"}, {"id": "two", "agent": "slow"}],
}
WAITS = {
    "name": "waits",
    "steps": [{"id": "go", "wait_for": "go"}, {"id": "after", "agent": "slow"}],
}
NESTS = {
    "name": "nests",
    "steps": [
        {"id": "in", "workflow": TWO},
        {"id": "each", "workflow": TWO, "for_each": [1, 2]},
        {"id": "after", "agent": "slow"},
    ],
}


class Pair:
    """Two engines on one store, as two processes have, and agents that count what they have done."""

    def __init__(self, slow_s: float = 5.0, **options: Any) -> None:
        self.effects: Counter[str] = Counter()
        self.begun: Counter[str] = Counter()
        self.slow_s = slow_s
        self.disk = MoodyDisk()
        self.old, self.new = (self._engine(name, options) for name in ("old", "new"))

    def _engine(self, name: str, options: dict[str, Any]) -> OrchestrationEngine:
        store = moody_store(self.disk)
        given: dict[str, Any] = {"persist_state": True, **options}
        config = EngineConfig(state_store=store, wall_clock=dates, **given)
        engine = OrchestrationEngine(config, name=name)
        engine.register_agent("slow", self.slow)
        engine.register_workflow("two", TWO)
        return engine

    async def slow(self, _: Any) -> Any:
        context = agent_context()
        key = context["idempotency_key"]
        self.begun[key] += 1
        await asyncio.sleep(self.slow_s)
        self.effects[key] += 1
        return context["step"]

    @property
    def repeated(self) -> list[str]:
        return [key for key, count in self.effects.items() if count > 1]

    async def stop(self) -> None:
        await self.old.stop()
        await self.new.stop()


def broken(_: Any) -> None:
    raise ValueError("it is broken")


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_step_under_way_finishes_and_the_run_goes_on_elsewhere_at_once(sim: Sim) -> None:
    async def main() -> None:
        pair = Pair()
        run_id = await pair.old.start_workflow(TWO, None)
        await asyncio.sleep(1.0)
        began = now()
        report = await pair.old.drain(60.0)
        assert report.parked == (run_id,)
        assert report.clean
        assert 3.9 < report.duration_s < 4.2
        assert now() - began == pytest.approx(report.duration_s)
        found = await pair.new.recover()
        assert found.recovered == (run_id,)
        assert await pair.new.wait(run_id) == {"one": "one", "two": "two"}
        assert sum(pair.effects.values()) == 2
        assert not pair.repeated
        await pair.stop()

    sim(main)


def test_what_works_at_the_deadline_is_cut_off_and_taken_up_at_once(sim: Sim) -> None:
    async def main() -> None:
        pair = Pair(slow_s=100.0)
        run_id = await pair.old.start_workflow(TWO, None)
        await asyncio.sleep(1.0)
        report = await pair.old.drain(2.0)
        assert report.cut_off == report.parked == (run_id,)
        assert not report.clean
        assert report.to_dict()["cut_off"] == [run_id]
        assert report.duration_s == pytest.approx(2.0, abs=0.1)
        assert (await pair.new.recover()).recovered == (run_id,)
        assert (await pair.new.wait(run_id))["two"] == "two"
        assert sum(pair.effects.values()) == 2, "the attempt that was cut off was ended, too"
        await pair.stop()

    sim(main)


def test_with_no_time_everything_is_cut_off_now(sim: Sim) -> None:
    async def main() -> None:
        pair = Pair()
        ids = {await pair.old.start_workflow(flow, None) for flow in (TWO, WAITS, NESTS)}
        await asyncio.sleep(1.0)
        report = await pair.old.drain(0)
        assert set(report.parked) == ids
        assert report.duration_s < 0.1
        assert set((await pair.new.recover()).recovered) >= ids
        await pair.stop()

    sim(main)


def test_no_new_work_is_taken(sim: Sim) -> None:
    async def main() -> None:
        pair = Pair()
        failing = {"name": "failing", "steps": [{"id": "one", "agent": "broken"}]}
        pair.old.register_agent("broken", broken)
        failed = await pair.old.start_workflow(failing)
        done = await pair.old.start_workflow(TWO)
        await pair.old.wait(done)
        running = await pair.old.start_workflow(TWO)
        draining = asyncio.ensure_future(pair.old.drain(60.0))
        await asyncio.sleep(0.5)
        assert pair.old.draining
        old = pair.old
        for refused in (
            lambda: old.execute(TWO),
            lambda: old.start_workflow(TWO),
            lambda: old.start_workflow(TWO, persist_state=False),
            lambda: old.signal_with_start(WAITS, signal="go", workflow_id="w"),
            lambda: old.resume_workflow(failed),
            lambda: old.retry_from(done, "two"),
            lambda: old.fork(done, at="two"),
            lambda: old.recover(),
            lambda: anext(aiter(old.stream(workflow=TWO))),
            lambda: old.workflow("two").ask(None),
        ):
            with pytest.raises(EngineDraining, match="'old' is being drained") as caught:
                await refused()
            assert is_expected(caught.value)
            assert isinstance(caught.value, EngineStopped)
        # Looking goes on.
        assert (await old.get_workflow_status(running)).workflow_id == running
        assert len(await old.list_workflows()) == 3
        assert (await draining).parked == (running,)
        assert (await old.get_workflow_status(done)).finished
        with pytest.raises(EngineDraining):
            await old.execute(TWO)
        await pair.stop()

    sim(main)


def test_what_waits_is_given_back_at_once_and_its_signal_is_taken_elsewhere(sim: Sim) -> None:
    async def main() -> None:
        pair = Pair(recover_every_seconds=0.5)
        waiting = await pair.old.start_workflow(WAITS)
        working = await pair.old.start_workflow(TWO)
        sleeping = await pair.old.start_workflow(
            {"name": "sleeps", "steps": [{"id": "s", "delay": 30}, {"id": "x", "agent": "slow"}]}
        )
        async with pair.new:
            await asyncio.sleep(1.0)
            draining = asyncio.ensure_future(pair.old.drain(60.0))
            await asyncio.sleep(1.0)
            # While a step is still under way here, another engine goes on with the others.
            assert not draining.done()
            for run_id in (waiting, sleeping):
                assert "new@" in str((await pair.new.get_workflow_status(run_id)).owner)
            assert "old@" in str((await pair.new.get_workflow_status(working)).owner)
            await pair.old.signal_workflow(waiting, "go")
            report = await draining
            assert set(report.parked) == {waiting, working, sleeping}
            for run_id in report.parked:
                await pair.new.wait(run_id)
            assert not pair.repeated
        await pair.stop()

    sim(main)


def test_a_run_in_its_last_step_ends_here_and_its_caller_has_the_result(sim: Sim) -> None:
    async def main() -> None:
        pair = Pair()
        last = asyncio.ensure_future(pair.old.execute({**TWO, "steps": TWO["steps"][:1]}))
        first = asyncio.ensure_future(pair.old.execute(TWO))
        await asyncio.sleep(1.0)
        report = await pair.old.drain(60.0)
        assert report.finished == 1
        assert await last == {"one": "one"}
        with pytest.raises(WorkflowLost, match="another engine goes on with it") as caught:
            await first
        assert caught.value.workflow_id == report.parked[0]
        await pair.new.recover()
        assert (await pair.new.wait(caught.value.workflow_id))["two"] == "two"
        await pair.stop()

    sim(main)


def test_runs_in_memory_run_on_until_the_deadline(sim: Sim) -> None:
    async def main() -> None:
        pair = Pair(persist_state=False)
        short = asyncio.ensure_future(pair.old.execute(TWO))
        long = {"name": "long", "steps": [{"id": f"s{n}", "agent": "slow"} for n in range(20)]}
        long_id = await pair.old.start_workflow(long)
        waits = asyncio.ensure_future(pair.old.wait(long_id))
        await asyncio.sleep(1.0)
        report = await pair.old.drain(30.0)
        assert report.finished == 1
        assert report.lost == (long_id,)
        assert not report.clean
        assert await short == {"one": "one", "two": "two"}
        with pytest.raises(WorkflowLost, match="in memory alone"):
            await waits
        await pair.stop()

    sim(main)


def test_nested_runs_go_elsewhere_with_the_run_around_them(sim: Sim) -> None:
    async def main() -> None:
        pair = Pair(recover_every_seconds=0.2)
        run_id = await pair.old.start_workflow(NESTS)
        await asyncio.sleep(12.0)
        async with pair.new:
            report = await pair.old.drain(60.0)
            assert report.parked == (run_id,)
            assert report.duration_s < 5.1
            result = await pair.new.wait(run_id, timeout=200)
            assert result["after"] == "after"
        assert not pair.repeated
        assert sum(pair.effects.values()) == sum(pair.begun.values()) == 7
        await pair.stop()

    sim(main)


@pytest.mark.parametrize("at_s", [0.0, 0.5, 3.0, 5.0, 7.0, 10.0, 12.0, 15.0, 18.0])
def test_a_drain_at_any_time_loses_and_repeats_nothing(at_s: float) -> None:
    async def main() -> None:
        pair = Pair(recover_every_seconds=0.2)
        ids = [await pair.old.start_workflow(flow) for flow in (TWO, NESTS) for _ in range(3)]
        await asyncio.sleep(at_s)
        async with pair.new:
            report = await pair.old.drain(60.0)
            assert report.clean
            assert report.finished + len(report.parked) <= len(ids)
            for run_id in ids:
                await pair.new.wait(run_id, timeout=300)
        assert not pair.repeated
        assert pair.begun == pair.effects
        await pair.stop()

    for seed in range(4):
        run_in_virtual_time(main, seed)


def test_what_a_handler_under_way_asks_for_goes_on(sim: Sim) -> None:
    async def main() -> None:
        pair = Pair()
        inner = pair.old.workflow("two")

        async def asks(_: Any) -> Any:
            await asyncio.sleep(2.0)
            asked = await inner.ask(None)
            own = await pair.old.execute(TWO, persist_state=False)
            return [asked["two"], own["two"]]

        pair.old.register_agent("asks", asks)
        flow = {"name": "asking", "steps": [{"id": "ask", "agent": "asks"}]}
        running = asyncio.ensure_future(pair.old.execute(flow))
        await asyncio.sleep(1.0)
        report = await pair.old.drain(60.0)
        assert report.clean
        assert await running == {"ask": ["two", "two"]}
        await pair.stop()

    sim(main)


def test_a_stream_is_told_to_reconnect_and_goes_on_elsewhere_without_a_gap(sim: Sim) -> None:
    async def main() -> None:
        pair = Pair()
        run_id = await pair.old.start_workflow(TWO)
        elsewhere = await pair.new.start_workflow(WAITS)
        seen: list[WorkflowEvent] = []
        ends: list[WorkflowEvent] = []

        async def follow(
            engine: OrchestrationEngine, one: str, into: list[Any], after: int
        ) -> None:
            into.extend([event async for event in engine.stream(one, after=after)])

        here = asyncio.ensure_future(follow(pair.old, run_id, seen, 0))
        there = asyncio.ensure_future(follow(pair.old, elsewhere, ends, 0))
        await asyncio.sleep(1.0)
        draining = asyncio.ensure_future(pair.old.drain(60.0))
        await asyncio.sleep(0.1)
        assert there.done(), "what runs elsewhere is followed there"
        assert ends[-1].kind == EventKind.WORKFLOW_INTERRUPTED
        assert ends[-1].data["reconnect"] is True
        await draining
        await here
        last = seen.pop()
        assert last.kind == EventKind.WORKFLOW_INTERRUPTED
        assert last.data == {
            "error": "its engine is drained; another engine goes on with it",
            "reconnect": True,
        }
        assert last.seq is None
        # One that comes late is told the same.
        late = [event async for event in pair.old.stream(run_id)]
        assert late[-1].data["reconnect"] is True
        await pair.new.recover()
        await follow(pair.new, run_id, seen, seen[-1].seq or 0)
        assert [event.seq for event in seen if event.seq] == list(range(1, len(seen) + 1))
        assert seen[-1].kind == EventKind.WORKFLOW_COMPLETED
        await pair.stop()

    sim(main)


def test_code_is_given_back_between_its_calls(sim: Sim) -> None:
    async def main() -> None:
        pair = Pair()

        @workflow(name="code")
        async def code(run: WorkflowRun, n: int) -> int:
            for _ in range(n):
                await run.ask("slow", None)
            return n

        for engine in (pair.old, pair.new):
            engine.register_workflow(code)
        run_id = await pair.old.start_workflow(code, 4)
        await asyncio.sleep(6.0)
        report = await pair.old.drain(60.0)
        assert report.parked == (run_id,)
        assert report.clean
        assert report.duration_s == pytest.approx(4.0, abs=0.2)
        await pair.new.recover()
        assert await pair.new.wait(run_id) == 4
        assert not pair.repeated
        assert sum(pair.begun.values()) == 4
        await pair.stop()

    sim(main)


def test_queued_runs_are_given_back(sim: Sim) -> None:
    async def main() -> None:
        pair = Pair(max_concurrent_workflows=1)
        ids = [await pair.old.start_workflow(TWO) for _ in range(5)]
        waits = [asyncio.ensure_future(pair.old.wait(run_id)) for run_id in ids]
        await asyncio.sleep(1.0)
        report = await pair.old.drain(60.0)
        assert sorted(report.parked) == sorted(ids)
        for one in waits:
            with pytest.raises(WorkflowLost):
                await one
        assert sorted((await pair.new.recover()).recovered) == sorted(ids)
        for run_id in ids:
            await pair.new.wait(run_id)
        assert not pair.repeated
        await pair.stop()

    sim(main)


def test_draining_twice_gives_one_report_by_the_nearer_deadline(sim: Sim) -> None:
    async def main() -> None:
        pair = Pair(slow_s=100.0)
        await pair.old.start_workflow(TWO)
        await asyncio.sleep(1.0)
        first = asyncio.ensure_future(pair.old.drain(60.0))
        await asyncio.sleep(1.0)
        second = await pair.old.drain(2.0)
        assert await first is second
        assert second.duration_s == pytest.approx(3.0, abs=0.1)
        assert await pair.old.drain(5.0) is second
        await pair.stop()

    sim(main)


def test_an_engine_without_work_is_drained_at_once(sim: Sim) -> None:
    async def main() -> None:
        pair = Pair()
        assert await pair.old.drain() == DrainReport("old")
        with pytest.raises(EngineDraining):
            await pair.old.start_workflow(TWO)
        done = await pair.new.execute(TWO)
        assert done["two"] == "two"
        report = await pair.new.drain(10.0)
        assert report.clean
        assert report.parked == ()
        await pair.stop()

    sim(main)


def test_stopping_ends_a_drain_that_goes_on(sim: Sim) -> None:
    async def main() -> None:
        pair = Pair(slow_s=100.0)
        run_id = await pair.old.start_workflow(TWO)
        await asyncio.sleep(1.0)
        draining = asyncio.ensure_future(pair.old.drain(60.0))
        await asyncio.sleep(1.0)
        await pair.old.stop()
        assert (await draining).engine == "old"
        assert (await pair.new.recover()).recovered == (run_id,)
        await pair.stop()

    sim(main)


def test_a_store_that_does_not_answer_holds_no_drain_up(sim: Sim) -> None:
    async def main() -> None:
        pair = Pair(slow_s=3.0)
        run_id = await pair.old.start_workflow(TWO)
        await asyncio.sleep(1.0)
        pair.disk.down = True
        report = await pair.old.drain(10.0)
        assert report.held_on == (run_id,)
        assert not report.clean
        assert report.duration_s < 16.0
        pair.disk.down = False
        await asyncio.sleep(pair.old.config.lease_seconds + 1.0)
        assert (await pair.new.recover()).recovered == (run_id,)
        await pair.new.wait(run_id)
        await pair.stop()

    sim(main)


def test_a_cancellation_during_a_drain_is_stored_and_carried_out_elsewhere(sim: Sim) -> None:
    async def main() -> None:
        pair = Pair(recover_every_seconds=0.5)
        waiting = await pair.old.start_workflow(WAITS)
        working = await pair.old.start_workflow(TWO)
        await asyncio.sleep(1.0)
        draining = asyncio.ensure_future(pair.old.drain(60.0))
        await asyncio.sleep(0.5)
        assert (await pair.old.cancel_workflow(working)).stopped_steps == ("one",)
        with pytest.raises(EngineDraining):
            await pair.old.cancel_workflow(waiting, "not needed")
        assert (await draining).parked == (waiting,)
        async with pair.new:
            await asyncio.sleep(2.0)
            status = await pair.new.get_workflow_status(waiting)
            assert status.state == "cancelled"
            assert status.reason == "not needed"
        await pair.stop()

    sim(main)


def test_a_drain_leaves_no_actor_behind(sim: Sim) -> None:
    async def main() -> None:
        pair = Pair(slow_s=100.0)
        for flow in (TWO, NESTS, WAITS):
            await pair.old.start_workflow(flow)
        await asyncio.sleep(1.0)
        await pair.old.drain(1.0)
        assert await left_over(ActorSystem.current()) == []
        await pair.stop()

    sim(main)


@pytest.mark.parametrize("wrong", [-1, float("inf"), float("nan")])
def test_a_deadline_is_a_time(wrong: float) -> None:
    with pytest.raises(ValueError, match="deadline_s="):
        asyncio.run(OrchestrationEngine().drain(wrong))
