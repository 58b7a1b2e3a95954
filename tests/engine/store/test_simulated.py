"""The store of simulated runs: faults of the plan, and a machine that stops at any step."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agenticaiframework.actors.simulation import (
    FailStore,
    FaultPlan,
    FillDisk,
    PowerCut,
    Simulation,
    SlowStore,
    StopMachine,
    TornWrite,
)
from agenticaiframework.patterns.engine.store import (
    Record,
    RunUpdate,
    Store,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from agenticaiframework.patterns.engine.store.simulated import simulated_store

from .media import new_run


def run(plan: list[Any], scenario: Any, seed: int = 1) -> Any:
    report = Simulation(seed=seed, plan=FaultPlan(faults=tuple(plan))).run(scenario)
    if report.error is not None:
        raise report.error
    assert report.violations == []
    return report


async def write_until_done(sim: Simulation, store: Store, runs: int = 3, records: int = 4) -> bool:
    """Work as an engine does: recover, go on, note what was acknowledged; True when all is done."""
    told: dict[str, int] = sim.data.setdefault("acknowledged", {})
    await store.open()
    owner = await store.register("engine", 30, replace=True)
    leases = await store.claim_abandoned(owner)
    known = {row.run_id for row in (await store.list_runs()).rows}
    for lease in leases:
        assert lease.next_seq - 1 >= told.get(lease.run_id, 0)
    for number in range(runs):
        if f"r{number}" not in known:
            leases.append(await store.create_run(owner, new_run(f"r{number}")))

    async def work(lease: Any) -> None:
        while (seq := lease.next_seq) <= records:
            update = RunUpdate("done", finished=True) if seq == records else None
            try:
                assert await store.append(lease, [Record("n", data=seq)], update) == seq
            except StoreError:
                assert lease.next_seq == seq
                continue
            told[lease.run_id] = seq

    await asyncio.gather(*(work(lease) for lease in leases))
    journals = await store.read_journals([f"r{number}" for number in range(runs)])
    await store.close()
    whole = list(range(1, records + 1))
    return all([e.data for e in journal] == whole for journal in journals.values())


def test_work_goes_on_where_it_was_whenever_the_machine_stops() -> None:
    async def scenario(sim: Simulation) -> bool:
        return await write_until_done(sim, simulated_store(sim))

    steps = run([], scenario).steps
    assert steps > 30
    boots: list[int] = []
    for step in range(1, steps + 1):
        report = run([StopMachine(at_step=step)], scenario, seed=step)
        assert report.value
        boots.append(report.boots)
    assert 2 in boots
    assert set(boots) <= {1, 2}


@pytest.mark.parametrize("fault", [TornWrite, PowerCut])
def test_a_write_that_the_machine_did_not_survive_is_not_there_and_was_not_acknowledged(
    fault: Any,
) -> None:
    async def scenario(sim: Simulation) -> bool:
        return await write_until_done(sim, simulated_store(sim))

    for number in range(1, 16):
        report = run([fault(at_operation=number)], scenario, seed=number)
        assert report.value
        assert (report.boots, len(report.landed)) == (2, 1)


@pytest.mark.parametrize("fault", [FailStore, FillDisk])
def test_an_operation_that_fails_changes_nothing(fault: Any) -> None:
    async def scenario(sim: Simulation) -> bool:
        return await write_until_done(sim, simulated_store(sim))

    for number in range(1, 12):
        plan = [fault(operation="append", at_operation=number, times=3)]
        report = run(plan, scenario, seed=number)
        assert report.value
        assert len(report.landed) == 3
        assert report.store_operations > 15


def test_errors_are_those_of_a_real_store() -> None:
    async def scenario(sim: Simulation) -> list[str]:
        store = simulated_store(sim)
        await store.open()
        owner = await store.register("engine", 30)
        failures: list[str] = []
        for attempt in (
            lambda: store.create_run(owner, new_run()),
            lambda: store.create_run(owner, new_run()),
            lambda: store.load_run("run-1"),
            lambda: store.put_signal("run-1", "go"),
        ):
            try:
                await attempt()
            except StoreFull:
                failures.append("full")
            except StoreUnavailable as error:
                failures.append(error.detail)
        await store.close()
        return failures

    plan = [
        FailStore(operation="create_run", error="on fire"),
        FailStore(operation="load_run"),
        FillDisk(operation="put_signal"),
    ]
    assert run(plan, scenario).value == ["on fire", "injected store failure", "full"]


def test_a_slow_store_delays_the_acknowledgement_and_not_the_write() -> None:
    async def scenario(sim: Simulation) -> tuple[float, float, int]:
        store = simulated_store(sim)
        await store.open()
        owner = await store.register("engine", 30)
        lease = await store.create_run(owner, new_run())
        begun = sim.time()
        writing = asyncio.ensure_future(store.append(lease, [Record("r")]))
        await asyncio.sleep(1)
        there = len(await store.read_journal("run-1"))
        assert not writing.done()
        await writing
        appended = sim.time()
        await store.renew(owner)
        renewed = sim.time()
        await store.close()
        return appended - begun, renewed - appended, there

    plan = [
        SlowStore(operation="append", delay_s=7),
        SlowStore(operation="renew", delay_s=2),
    ]
    appended, renewed, there = run(plan, scenario).value
    assert appended == pytest.approx(7, abs=0.01)
    assert renewed == pytest.approx(2, abs=0.01)
    assert there == 1


def test_the_same_seed_gives_the_same_trace() -> None:
    async def scenario(sim: Simulation) -> bool:
        return await write_until_done(sim, simulated_store(sim))

    plan = [FailStore(at_operation=9), PowerCut(at_operation=12)]
    hashes = {run(plan, scenario, seed=5).trace_hash for _ in range(3)}
    assert len(hashes) == 1
