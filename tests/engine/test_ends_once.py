"""A run ends once: what came first in its journal is what happened, and the other is told so."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from agenticaiframework.patterns.engine import (
    CancelReport,
    EventKind,
    OrchestrationEngine,
    WorkflowCancelled,
    WorkflowFailed,
    WorkflowTimedOut,
)
from agenticaiframework.patterns.engine.state.events import LAST

from .conftest import Cast, run_in_virtual_time, steps
from .outage import MoodyDisk, journal, moody_engine, row

KINDS = ("completes", "fails", "is compensated", "has a part")


def flow_of(kind: str) -> dict[str, Any]:
    done = {"id": "done", "agent": "quick", "compensate": "quick"}
    if kind == "completes":
        return steps("step")
    if kind == "fails":
        return steps("step", "broken")
    if kind == "is compensated":
        return steps(done, "step", "broken")
    return steps({"id": "part", "workflow": steps("step", name="part")})


def agents(e: OrchestrationEngine, may_end: asyncio.Event) -> None:
    async def step(_: Any) -> str:
        await may_end.wait()
        return "done"

    def broken(_: Any) -> None:
        raise ValueError("it is broken")

    e.register_agent("step", step)
    e.register_agent("quick", lambda _: "quick")
    e.register_agent("broken", broken)


async def check(disk: MoodyDisk, e: OrchestrationEngine, report: CancelReport) -> str:
    stored = await row(disk, "w")
    kinds = await journal(disk, "w")
    assert sum(Counter(k for k in kinds if k in LAST).values()) == 1, kinds
    assert kinds[-1] in LAST
    assert kinds[-1] == f"workflow_{stored.state}"
    assert report.state == stored.state
    assert report.already_finished is (stored.state != "cancelled")
    assert (await e.get_workflow_status("w")).state == stored.state
    waiting = asyncio.wait_for(e.wait("w"), 10)
    if stored.state == "completed":
        await waiting
    else:
        with pytest.raises(WorkflowCancelled if stored.state == "cancelled" else WorkflowFailed):
            await waiting
    return str(stored.state)


@pytest.mark.parametrize("through", ["the same engine", "another one"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_cancellation_that_meets_the_end_of_a_run(kind: str, through: str) -> None:
    found: Counter[str] = Counter()
    for turns in range(-30, 30):
        disk = MoodyDisk()

        async def main(disk: MoodyDisk = disk, turns: int = turns) -> None:
            may_end = asyncio.Event()
            async with moody_engine(disk, "one") as e, moody_engine(disk, "two") as other:
                for engine in (e, other):
                    agents(engine, may_end)
                await e.start_workflow(workflow=flow_of(kind), workflow_id="w")
                await asyncio.sleep(1)
                if turns < 0:
                    may_end.set()
                for _ in range(abs(turns) if turns < 0 else 0):
                    await asyncio.sleep(0)
                sender = e if through == "the same engine" else other
                cancelling = asyncio.create_task(sender.cancel_workflow("w", "stop"))
                for _ in range(max(0, turns)):
                    await asyncio.sleep(0)
                if through == "another one" and turns > 15:
                    await asyncio.sleep(0.02 * turns)
                may_end.set()
                report = await asyncio.wait_for(cancelling, 20)
                found[await check(disk, e, report)] += 1

        run_in_virtual_time(main)
    assert "cancelled" in found
    assert len(found) == 2


def test_a_timeout_that_meets_the_end_gives_what_came_first(cast: Cast) -> None:
    found: Counter[str] = Counter()
    for turns in range(40):
        disk = MoodyDisk()

        async def main(disk: MoodyDisk = disk, turns: int = turns) -> None:
            may_end = asyncio.Event()
            async with moody_engine(disk) as e:
                agents(e, may_end)
                run = e.execute(workflow=steps("step"), workflow_id="w", timeout=5)
                executing = asyncio.create_task(run)
                await asyncio.sleep(4.9999999)
                loop = asyncio.get_running_loop()

                def later(left: int) -> None:
                    if left:
                        loop.call_soon(later, left - 1)
                    else:
                        may_end.set()

                loop.call_later(0.0000001, later, turns)
                try:
                    assert await executing == {"step": "done"}
                except WorkflowTimedOut:
                    pass
                else:
                    found["result"] += 1
                await asyncio.sleep(1)
                state = (await row(disk, "w")).state
                found[state] += 1

        run_in_virtual_time(main)
    assert found["result"] == found["completed"]
    assert found["completed"] + found["cancelled"] == 40
    assert found["cancelled"]


@pytest.mark.parametrize("by", ["the same engine", "another one"])
@pytest.mark.parametrize("asked", ["the same engine", "another one"])
def test_a_cancellation_that_was_carried_out_is_over(asked: str, by: str) -> None:
    disk = MoodyDisk()

    async def main() -> None:
        may_end = asyncio.Event()
        async with moody_engine(disk, "one") as e, moody_engine(disk, "two") as other:
            for engine in (e, other):
                agents(engine, may_end)
            await e.start_workflow(workflow=steps("step"), workflow_id="w")
            await asyncio.sleep(1)
            sender = e if asked == "the same engine" else other
            assert (await sender.cancel_workflow("w", "stop")).state == "cancelled"
            assert (await row(disk, "w")).cancel_reason == "stop"
            again = e if by == "the same engine" else other
            await again.retry_from("w", "step")
            await asyncio.sleep(5)  # any old notice has been heard
            assert (await row(disk, "w")).cancel_reason is None
            assert (await again.get_workflow_status("w")).state == "running"
        # The engine ends, and the next one reads everything anew.
        async with moody_engine(disk, "three") as third:
            agents(third, may_end)
            assert (await third.recover()).recovered == ("w",)
            await asyncio.sleep(5)
            may_end.set()
            assert await asyncio.wait_for(third.wait("w"), 5) == {"step": "done"}
            (listed,) = await third.list_workflows(persisted=True)
            assert (listed.state, listed.reason) == ("completed", None)
            # And it can be cancelled again.
            await third.retry_from("w", "step")
        assert (await row(disk, "w")).cancel_reason is None

    run_in_virtual_time(main)


def test_a_run_that_is_being_undone_and_its_cancellation(cast: Cast) -> None:
    """Its failure came first: the undoing goes on, whoever says what."""
    cast.agent("do", "done")
    cast.slow("undo", 50)
    cast.failing("broken", 1)
    disk = MoodyDisk()

    async def main() -> None:
        async with moody_engine(disk) as e:
            flow = steps({"id": "do", "agent": "do", "compensate": "undo"}, "broken")
            await e.start_workflow(workflow=flow, workflow_id="w")
            await asyncio.sleep(10)
            assert (await e.get_workflow_status("w")).state == "compensating"
            report = await e.cancel_workflow("w", "stop", compensate=False)
            assert report.compensated_steps == ("do",)
            assert (report.state, report.already_finished) == ("failed", True)
            with pytest.raises(WorkflowFailed, match="broken is down"):
                await e.wait("w")
            assert (await row(disk, "w")).state == "failed"

    run_in_virtual_time(main)


class Refunds:
    """A payment that a cancellation takes back, or not."""

    FLOW = steps({"id": "pay", "agent": "pay", "compensate": "refund"}, "deliver")

    def __init__(self, e: OrchestrationEngine) -> None:
        self.refunded = 0
        self.delivered = 0

        async def deliver(_: Any) -> None:
            await asyncio.sleep(60)
            self.delivered += 1

        def refund(_: Any) -> None:
            self.refunded += 1

        e.register_agent("pay", lambda _: "paid")
        e.register_agent("deliver", deliver)
        e.register_agent("refund", refund)


@pytest.mark.parametrize("compensate", [True, False])
@pytest.mark.parametrize("graceful", [True, False])
def test_how_a_run_is_to_be_cancelled_is_kept_on_the_way_to_its_engine(
    compensate: bool, graceful: bool
) -> None:
    disk = MoodyDisk()

    async def main() -> None:
        async with moody_engine(disk, "one") as e, moody_engine(disk, "two") as other:
            here, there = Refunds(e), Refunds(other)
            await e.start_workflow(workflow=Refunds.FLOW, workflow_id="w")
            await asyncio.sleep(1)
            report = await other.cancel_workflow(
                "w", "lost", compensate=compensate, graceful=graceful
            )
            assert report.state == "cancelled"
            assert here.refunded == int(compensate)
            assert here.delivered == int(graceful)
            assert there.refunded == there.delivered == 0

    run_in_virtual_time(main)


@pytest.mark.parametrize("stored", [True, False], ids=["asked for", "its caller gave up"])
@pytest.mark.parametrize("graceful", [True, False])
def test_how_a_run_is_being_cancelled_is_kept_over_a_crash(graceful: bool, stored: bool) -> None:
    disk = MoodyDisk()
    if graceful and not stored:
        return  # a caller that gives up is in a hurry

    async def main() -> None:
        e = moody_engine(disk, "one", lease_seconds=5)
        refunds = Refunds(e)
        await e.start_workflow(workflow=Refunds.FLOW, workflow_id="w")
        await asyncio.sleep(1)
        cancelling = asyncio.create_task(
            e.cancel_workflow("w", "lost", compensate=False, graceful=graceful)
        )
        await asyncio.sleep(0.5 if graceful else 0)
        if graceful:
            assert (await row(disk, "w")).state == "cancelling"
        else:
            while (await row(disk, "w")).cancel_reason is None:
                await asyncio.sleep(0)
        e._cores.here().actor_ref.kill()
        await asyncio.wait([cancelling])
        assert isinstance(cancelling.exception() or cancelling.result(), Exception | CancelReport)
        async with moody_engine(disk, "two") as other:
            after = Refunds(other)
            await asyncio.sleep(10)
            await other.recover()
            with pytest.raises(WorkflowCancelled, match="lost"):
                await asyncio.wait_for(other.wait("w"), 100)
            assert refunds.refunded == after.refunded == 0
            assert refunds.delivered + after.delivered == int(graceful)
            if graceful:
                assert EventKind.STEP_COMPLETED in (await journal(disk, "w"))[-3:]

    run_in_virtual_time(main)


def test_items_that_were_under_way_finish_after_a_crash_and_no_others_begin(cast: Cast) -> None:
    disk = MoodyDisk()
    begun: list[Any] = []

    async def work(payload: Any) -> Any:
        begun.append(payload)
        await asyncio.sleep(60)
        return payload

    each = {"id": "each", "agent": "work", "for_each": [1, 2, 3, 4], "max_concurrency": 2}

    async def main() -> None:
        e = moody_engine(disk, "one", lease_seconds=5)
        e.register_agent("work", work)
        await e.start_workflow(workflow=steps(each), workflow_id="w")
        await asyncio.sleep(1)
        cancelling = asyncio.create_task(e.cancel_workflow("w", "lost", graceful=True))
        await asyncio.sleep(1)
        e._cores.here().actor_ref.kill()
        await asyncio.wait([cancelling])
        assert begun == [1, 2]
        async with moody_engine(disk, "two") as other:
            other.register_agent("work", work)
            await asyncio.sleep(10)
            await other.recover()
            with pytest.raises(WorkflowCancelled):
                await asyncio.wait_for(other.wait("w"), 100)
        assert sorted(begun) == [1, 1, 2, 2]
        assert (await journal(disk, "w")).count(EventKind.ITEM_COMPLETED) == 2

    run_in_virtual_time(main)
