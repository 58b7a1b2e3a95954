"""An outage of the store is over when it is over: runs wait for its end, and go on by themselves."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agenticaiframework.actors import agent_context
from agenticaiframework.patterns.engine import (
    EngineStopped,
    EventKind,
    WorkflowCancelled,
    WorkflowExists,
    WorkflowLost,
    WorkflowTimedOut,
)
from agenticaiframework.patterns.engine.host.outage import LONGEST_PAUSE_S, Outage
from agenticaiframework.patterns.engine.store import StoreRefused, StoreUnavailable

from .conftest import Cast, run_in_virtual_time, steps
from .outage import MoodyDisk, journal, moody_engine, row

WAYS = [(False, False), (True, False), (False, True)]


@pytest.fixture(params=WAYS, ids=["refused", "answer lost", "full"])
def disk(request: pytest.FixtureRequest) -> MoodyDisk:
    disk = MoodyDisk()
    disk.swallows, disk.full = request.param
    return disk


@pytest.fixture
def plain_disk() -> MoodyDisk:
    return MoodyDisk()


async def outage(disk: MoodyDisk, seconds: float) -> None:
    disk.down = True
    await asyncio.sleep(seconds)
    disk.down = False


def virtual(main: Callable[[], Awaitable[Any]]) -> Any:
    return run_in_virtual_time(main)


@pytest.mark.parametrize("durability", ["full", "normal", "none"])
def test_a_run_goes_on_by_itself_and_who_waits_gets_its_result(
    disk: MoodyDisk, cast: Cast, durability: str
) -> None:
    keys: Counter[str] = Counter()

    async def work(payload: Any) -> str:
        await asyncio.sleep(3)
        keys[agent_context()["idempotency_key"]] += 1
        return "done"

    cast.agent("a", work)
    cast.agent("b", work)
    cast.agent("c", work)

    async def main() -> None:
        async with moody_engine(disk, durability=durability) as e:
            flow = steps("a", "b", "c")
            executed = asyncio.create_task(e.execute(workflow=flow, workflow_id="x"))
            await e.start_workflow(workflow=flow, workflow_id="w")
            waiting = asyncio.create_task(e.wait("w"))
            await asyncio.sleep(4)
            await outage(disk, 40)
            assert await asyncio.wait_for(executed, 100) == dict.fromkeys("abc", "done")
            assert await asyncio.wait_for(waiting, 100) == dict.fromkeys("abc", "done")
            for run_id in ("w", "x"):
                assert (await e.get_workflow_status(run_id)).state == "completed"
                if durability != "none":
                    stored = await row(disk, run_id)
                    assert (stored.state, stored.finished) == ("completed", True)
                    ended = Counter(await journal(disk, run_id))
                    assert ended[EventKind.STEP_COMPLETED] == 3
                    assert ended[EventKind.WORKFLOW_COMPLETED] == 1

    virtual(main)


def test_meanwhile_it_says_so_everywhere_and_the_log_says_it_once_each_way(
    plain_disk: MoodyDisk, logged: list[str]
) -> None:
    disk = plain_disk

    async def work(_: Any) -> str:
        await asyncio.sleep(3)
        return "A"

    async def main() -> None:
        async with moody_engine(disk) as e:
            e.register_agent("a", work)
            for n in range(20):
                await e.start_workflow(workflow=steps("a"), workflow_id=f"w{n}")
            await e.start_workflow(workflow=steps({"id": "s", "delay": 100}), workflow_id="parked")
            events = []

            async def follow() -> None:
                events.extend([event async for event in e.stream("w0")])

            following = asyncio.create_task(follow())
            await asyncio.sleep(1)
            ending = asyncio.create_task(outage(disk, 30))
            await asyncio.sleep(10)
            status = await e.get_workflow_status("w0")
            assert status.state == "interrupted"
            assert "line is dead" in (status.last_error or "")
            listed = await e.list_workflows()
            assert {w.state for w in listed if w.workflow_id != "parked"} == {"interrupted"}
            assert all("line is dead" in str(w.last_error) for w in listed if w.name != "parked")
            assert len(await e.list_workflows(state="interrupted")) == 20
            assert (await e.resume_workflow("w0")).state == "interrupted"
            await ending
            assert await asyncio.wait_for(e.wait("w0"), 20) == {"a": "A"}
            await following
            await asyncio.sleep(1)
            kinds = [event.kind for event in events]
            assert kinds[-1] == EventKind.WORKFLOW_COMPLETED
            assert kinds.count(EventKind.WORKFLOW_COMPLETED) == 1
            interrupted = kinds.index(EventKind.WORKFLOW_INTERRUPTED)
            assert "line is dead" in events[interrupted].data["reason"]
            assert kinds.index(EventKind.WORKFLOW_RECOVERED) > interrupted
            assert len(await e.list_workflows(state="interrupted")) == 0
            assert (await e.get_workflow_status("parked")).state == "waiting"

    virtual(main)
    assert sum("does not answer" in line for line in logged) == 1
    assert sum("answers again" in line for line in logged) == 1


def test_what_a_stream_has_not_been_told_is_told_when_the_run_goes_on(
    cast: Cast, plain_disk: MoodyDisk
) -> None:
    plain_disk.swallows = True
    cast.slow("a", 3, "A")
    cast.slow("b", 3, "B")

    async def main() -> None:
        async with moody_engine(plain_disk) as e:
            stream = e.stream(workflow=steps("a", "b"))
            ending = asyncio.create_task(asyncio.sleep(1))
            kinds = []
            async for event in stream:
                kinds.append((event.kind, event.step))
                if event.kind == EventKind.STEP_STARTED and event.step == "a":
                    ending = asyncio.create_task(outage(plain_disk, 10))
            await ending
            assert (EventKind.STEP_COMPLETED, "a") in kinds
            assert max(Counter(kinds).values()) <= 2
            assert kinds[-1] == (EventKind.WORKFLOW_COMPLETED, "")

    virtual(main)


def test_a_run_that_is_created_in_an_outage_begins_after_it(disk: MoodyDisk, cast: Cast) -> None:
    cast.agent("a", "A")

    async def main() -> None:
        async with moody_engine(disk) as e:
            assert await e.execute(workflow=steps("a")) == {"a": "A"}  # which opens the store
            ending = asyncio.create_task(outage(disk, 10))
            await asyncio.sleep(0)
            # Nobody knows yet that the store does not answer.
            started = asyncio.create_task(e.start_workflow(workflow=steps("a"), workflow_id="w"))
            executed = asyncio.create_task(e.execute(workflow=steps("a"), workflow_id="x"))
            await asyncio.sleep(1)
            assert not started.done()
            # It is known now.
            with pytest.raises(StoreUnavailable):
                await e.start_workflow(workflow=steps("a"), workflow_id="refused")
            await ending
            assert await asyncio.wait_for(started, 20) == "w"
            with pytest.raises(WorkflowExists):
                await e.start_workflow(workflow=steps("a"), workflow_id="w")
            assert await asyncio.wait_for(executed, 20) == {"a": "A"}
            assert await asyncio.wait_for(e.wait("w"), 20) == {"a": "A"}
            assert len(cast.payloads("a")) == 3
            assert {w.workflow_id for w in await e.list_workflows()} >= {"w", "x"}
            assert "refused" not in {w.workflow_id for w in await e.list_workflows()}

    virtual(main)


def test_an_id_is_told_to_be_taken_only_once_its_run_is_stored(
    plain_disk: MoodyDisk, cast: Cast
) -> None:
    """Or a client that starts a run again, and takes this for an acknowledgement, could lose it."""
    cast.agent("a", "A")

    async def main() -> None:
        async with moody_engine(plain_disk) as e:
            assert await e.execute(workflow=steps("a")) == {"a": "A"}  # which opens the store
            ending = asyncio.create_task(outage(plain_disk, 10))
            await asyncio.sleep(0)
            first = asyncio.create_task(e.start_workflow(workflow=steps("a"), workflow_id="w"))
            again = [
                asyncio.create_task(e.start_workflow(workflow=steps("a"), workflow_id="w")),
                asyncio.create_task(e.execute(workflow=steps("a"), workflow_id="w")),
            ]
            await asyncio.sleep(5)
            assert not first.done()
            assert not any(task.done() for task in again)
            await ending
            assert await asyncio.wait_for(first, 20) == "w"
            for task in again:
                with pytest.raises(WorkflowExists):
                    await asyncio.wait_for(task, 20)
            assert await e.wait("w") == {"a": "A"}
            assert len(cast.payloads("a")) == 2

    virtual(main)


def test_a_start_behind_one_that_is_refused_is_taken_in_itself(
    plain_disk: MoodyDisk, cast: Cast
) -> None:
    cast.agent("a", "A")

    async def main() -> None:
        async with moody_engine(plain_disk) as e:
            assert await e.execute(workflow=steps("a")) == {"a": "A"}
            plain_disk.down = plain_disk.refuses = True
            first = asyncio.create_task(e.start_workflow(workflow=steps("a"), workflow_id="w"))
            again = asyncio.create_task(e.start_workflow(workflow=steps("a"), workflow_id="w"))
            with pytest.raises(StoreRefused):
                await first
            plain_disk.down = plain_disk.refuses = False
            assert await asyncio.wait_for(again, 60) == "w"
            assert await e.wait("w") == {"a": "A"}

    virtual(main)


def test_a_start_behind_another_is_answered_when_the_engine_stops(
    plain_disk: MoodyDisk, cast: Cast
) -> None:
    cast.agent("a", "A")

    async def main() -> None:
        async with moody_engine(plain_disk) as e:
            assert await e.execute(workflow=steps("a")) == {"a": "A"}
            plain_disk.down = True
            starts = [
                asyncio.create_task(e.start_workflow(workflow=steps("a"), workflow_id="w"))
                for _ in range(3)
            ]
            await asyncio.sleep(1)
        for start in starts:
            with pytest.raises((StoreUnavailable, EngineStopped, WorkflowLost)):
                await asyncio.wait_for(start, 20)

    virtual(main)


def test_an_id_that_was_taken_before_the_outage_is_another_run(
    plain_disk: MoodyDisk, cast: Cast
) -> None:
    cast.agent("a", "A")

    async def main() -> None:
        async with moody_engine(plain_disk) as e:
            await e.execute(workflow=steps("a"), input_data=1, workflow_id="w")
        async with moody_engine(plain_disk) as e:
            assert await e.execute(workflow=steps("a"), input_data=2) == {"a": "A"}
            ending = asyncio.create_task(outage(plain_disk, 10))
            await asyncio.sleep(0)
            with pytest.raises(WorkflowExists):
                await e.start_workflow(workflow=steps("a"), input_data=3, workflow_id="w")
            await ending
            assert cast.payloads("a") == [1, 2]
            assert (await row(plain_disk, "w")).input == 1

    virtual(main)


def test_queued_runs_and_parts_of_runs_go_on_too(disk: MoodyDisk, cast: Cast) -> None:
    cast.slow("a", 3, "A")
    cast.slow("b", 1, "B")
    inner = steps("b", "a", name="inner")
    flow = steps({"id": "inner", "workflow": inner, "timeout_seconds": 500}, "a")

    async def main() -> None:
        async with moody_engine(disk, max_concurrent_workflows=1) as e:
            runs = [asyncio.create_task(e.execute(workflow=flow)) for _ in range(4)]
            await asyncio.sleep(0.5)
            for _ in range(8):
                await asyncio.sleep(2)
                await outage(disk, 3)
            for run in runs:
                assert (await asyncio.wait_for(run, 500))["a"] == "A"
            listed = await e.list_workflows(limit=1000)
            states = Counter(str(w.state) for w in listed if w.parent is None)
            assert states == {"completed": 4}

    virtual(main)


def test_a_time_limit_that_passes_meanwhile_holds(disk: MoodyDisk, cast: Cast) -> None:
    cast.slow("a", 3, "A")
    cast.slow("b", 3, "B")

    async def main() -> None:
        async with moody_engine(disk) as e:
            flow = steps("a", "b", timeout_seconds=20)
            run = asyncio.create_task(e.execute(workflow=flow, workflow_id="w"))
            await asyncio.sleep(1)
            await outage(disk, 60)
            with pytest.raises(WorkflowTimedOut):
                await asyncio.wait_for(run, 20)
            assert (await row(disk, "w")).state == "failed"

    virtual(main)


def test_a_caller_that_gives_up_meanwhile_has_its_run_cancelled_afterwards(
    disk: MoodyDisk, cast: Cast
) -> None:
    cast.slow("a", 3, "A")
    cast.slow("b", 300, "B")

    async def main() -> None:
        async with moody_engine(disk) as e:
            run = e.execute(workflow=steps("a", "b"), workflow_id="w", timeout=10)
            executing = asyncio.create_task(run)
            await asyncio.sleep(1)
            await outage(disk, 60)
            with pytest.raises(WorkflowTimedOut):
                await executing
            with pytest.raises(WorkflowCancelled):
                await asyncio.wait_for(e.wait("w"), 20)
            assert (await row(disk, "w")).state == "cancelled"

    virtual(main)


def test_what_is_asked_meanwhile_is_an_error_and_works_afterwards(
    plain_disk: MoodyDisk, cast: Cast
) -> None:
    disk = plain_disk

    async def main() -> None:
        async with moody_engine(disk) as e:
            flow = steps({"id": "s", "wait_for": "go"})
            for run_id in ("w", "v"):
                await e.start_workflow(workflow=flow, workflow_id=run_id)
            await asyncio.sleep(1)
            disk.down = True
            with pytest.raises(StoreUnavailable):
                await e.signal_workflow("w", "go", 1)
            with pytest.raises(StoreUnavailable):
                await e.cancel_workflow("v")
            disk.down = False
            await e.signal_workflow("w", "go", 2)
            assert await asyncio.wait_for(e.wait("w"), 10) == {"s": 2}
            assert (await e.cancel_workflow("v")).state == "cancelled"

    virtual(main)


def test_a_store_that_refuses_everything_for_a_time_is_told_and_costs_no_run(
    plain_disk: MoodyDisk, cast: Cast
) -> None:
    disk = plain_disk
    disk.refuses = True
    cast.slow("a", 3, "A")
    cast.slow("b", 3, "B")

    async def main() -> None:
        async with moody_engine(disk) as e:
            flow = steps("a", "b")
            await e.start_workflow(workflow=flow, workflow_id="w")
            waiting = asyncio.create_task(e.wait("w"))
            executing = asyncio.create_task(e.execute(workflow=flow, workflow_id="x"))
            await asyncio.sleep(1)
            disk.down = True
            for call in (waiting, executing):
                with pytest.raises(StoreRefused, match="permission denied"):
                    await asyncio.wait_for(call, 10)
            status = await e.get_workflow_status("w")
            assert status.state == "interrupted"
            assert "permission denied" in (status.last_error or "")
            with pytest.raises(StoreRefused, match="permission denied"):
                await e.start_workflow(workflow=flow, workflow_id="late")
            await asyncio.sleep(60)
            disk.down = False
            for run_id in ("w", "x"):
                assert await asyncio.wait_for(e.wait(run_id), 30) == {"a": "A", "b": "B"}
                assert (await row(disk, run_id)).state == "completed"
            assert Counter(cast.asked) == {"a": 2, "b": 2}

    virtual(main)


def test_an_engine_that_is_stopped_in_an_outage_ends_and_the_next_one_goes_on(
    plain_disk: MoodyDisk, cast: Cast
) -> None:
    disk = plain_disk
    cast.slow("a", 3, "A")

    async def main() -> None:
        e = moody_engine(disk, lease_seconds=5)
        run = asyncio.create_task(e.execute(workflow=steps("a"), workflow_id="w"))
        await asyncio.sleep(1)
        disk.down = True
        await asyncio.sleep(5)
        begun = asyncio.get_running_loop().time()
        await e.stop()
        assert asyncio.get_running_loop().time() - begun < 11
        with pytest.raises(WorkflowLost):
            await run
        disk.down = False
        await asyncio.sleep(10)
        async with moody_engine(disk, "next") as other:
            assert (await other.recover()).recovered == ("w",)
            assert await asyncio.wait_for(other.wait("w"), 20) == {"a": "A"}

    virtual(main)


def test_an_outage_longer_than_the_lease_leaves_each_run_to_one_engine(
    disk: MoodyDisk, cast: Cast
) -> None:
    agents = [cast.slow("a", 3, "A"), cast.slow("b", 3, "B")]

    async def main() -> None:
        more: dict[str, Any] = {"lease_seconds": 5, "recover_every_seconds": 1}
        async with (
            moody_engine(disk, "one", **more) as one,
            moody_engine(disk, "two", **more) as two,
        ):
            for agent in agents:
                one.register_agent(agent.name, agent)
                two.register_agent(agent.name, agent)
            for n in range(6):
                engine = one if n % 2 else two
                await engine.start_workflow(workflow=steps("a", "b"), workflow_id=f"w{n}")
            waiting = [asyncio.create_task(one.wait(f"w{n}")) for n in range(6)]
            await asyncio.sleep(1)
            for _ in range(3):
                await outage(disk, 20)
                await asyncio.sleep(1)
            for result in await asyncio.wait_for(asyncio.gather(*waiting), 100):
                assert result == {"a": "A", "b": "B"}
            for n in range(6):
                kinds = Counter(await journal(disk, f"w{n}"))
                assert kinds[EventKind.STEP_COMPLETED] == 2
                assert kinds[EventKind.WORKFLOW_COMPLETED] == 1

    virtual(main)


def test_runs_that_were_taken_over_unnoticed_go_on_after_the_outage(
    plain_disk: MoodyDisk, cast: Cast
) -> None:
    disk = plain_disk
    agent = cast.slow("a", 3, "A")

    async def main() -> None:
        async with moody_engine(disk, "dead") as dead:
            await dead.start_workflow(workflow=steps("a"), workflow_id="w")
        async with moody_engine(disk, "next") as e:
            e.register_agent("a", agent)
            await e.list_workflows(persisted=True)
            disk.down = disk.swallows = True
            with pytest.raises(StoreUnavailable):
                await e.recover()  # which has claimed it
            await asyncio.sleep(30)
            disk.down = False
            assert await asyncio.wait_for(e.wait("w"), 30) == {"a": "A"}

    virtual(main)


def test_the_store_is_asked_ever_more_seldom_and_never_too_seldom() -> None:
    found = Outage(StoreUnavailable("the store", "asking", "gone"), 0.0)
    pauses = []
    for _ in range(12):
        pauses.append(found.pause_s(1.0))
        found.probes += 1
    assert pauses[:3] == [0.1, 0.2, 0.4]
    assert pauses[-1] == LONGEST_PAUSE_S
    assert pauses == sorted(pauses)
