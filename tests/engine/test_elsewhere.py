"""Runs of another engine on the same store: followed, waited for, cancelled, listed, inspected."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.patterns.engine import (
    EngineConfig,
    NotStored,
    OrchestrationEngine,
    Retention,
    UnknownWorkflow,
    WorkflowCancelled,
    WorkflowEvent,
    WorkflowFailed,
)
from agenticaiframework.patterns.engine.store import Store, StoreUnavailable, open_store
from agenticaiframework.patterns.engine.store.grouped.reading import RunReader

from .conftest import Cast, engine, run_in_virtual_time, steps


class House:
    """Engines on one store, and what their agents wait for."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self.url = url
        self.go = asyncio.Event()
        self.undone: list[Any] = []
        self._stack = stack

    async def engine(self, *, agents: bool = True, **config: Any) -> OrchestrationEngine:
        config = {"poll_seconds": 0.05, "lease_seconds": 600, **config}
        e = OrchestrationEngine(EngineConfig(state_store=self.url, **config))
        if agents:
            e.register_agent("quick", _quick)
            e.register_agent("slow", self._slow)
            e.register_agent("undo", self._undo)
        return await self._stack.enter_async_context(e)

    async def _slow(self, payload: Any) -> Any:
        await self.go.wait()
        return payload

    async def _undo(self, payload: Any) -> None:
        self.undone.append(payload)


async def _quick(payload: Any) -> Any:
    return f"quick({payload})"


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[Store, None]:
    """Open the store beside the engines."""
    store = open_store(url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def house(url: str) -> AsyncGenerator[House, None]:
    async with AsyncExitStack() as stack, asyncio.timeout(300):
        yield House(url, stack)


FLOW = steps("quick", {"id": "slow", "agent": "slow", "depends_on": ["quick"]}, {
    "id": "last", "agent": "quick", "depends_on": ["slow"], "input": "$slow"
})  # fmt: skip
WHOLE = [
    "workflow_started",
    *("step_started", "step_completed", "step_started", "step_completed"),
    *("step_started", "step_completed", "workflow_completed"),
]


async def read(e: OrchestrationEngine, run: str, after: int = 0) -> list[WorkflowEvent]:
    return [event async for event in e.stream(run, after=after)]


async def read_into(events: list[WorkflowEvent], e: OrchestrationEngine, run: str) -> None:
    async for event in e.stream(run):
        events.append(event)  # noqa: PERF401 - a test looks at it meanwhile


def kinds(events: list[WorkflowEvent]) -> list[str]:
    return [str(event.kind) for event in events]


def numbers(events: list[WorkflowEvent]) -> list[int | None]:
    return [event.seq for event in events]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


async def until_at_work(
    e: OrchestrationEngine, run: str, step: str = "slow", nested: int = 0
) -> None:
    """Return when a step and *nested* parts are under way, as *e* sees it: best one that has not the
    run itself."""
    while True:
        status = await e.get_workflow_status(run)
        parts = [part.state for part in status.children.values()]
        if status.steps[step].state == "running" and parts == ["running"] * nested:
            return
        await asyncio.sleep(0.01)


def test_a_stream_from_elsewhere_goes_on_to_the_end(url: str) -> None:
    async def main() -> None:
        async with house(url) as h:
            worker, reader = await h.engine(), await h.engine(agents=False)
            run = await worker.start_workflow(workflow=FLOW, input_data=1, persist_state=True)
            there: list[WorkflowEvent] = []
            reading = asyncio.create_task(read_into(there, reader, run))
            await until(lambda: len(there) >= 4)
            h.go.set()
            await reading
            assert kinds(there) == WHOLE
            assert numbers(there) == list(range(1, 9))
            assert there == await read(worker, run)
            # From any event on, while it ran or afterwards; nothing behind the last.
            for after in range(9):
                assert await read(reader, run, after) == there[after:]
                assert await read(worker, run, after) == there[after:]

    asyncio.run(main())


def test_a_stream_follows_a_run_from_engine_to_engine(url: str) -> None:
    async def main() -> None:
        async with house(url) as h:
            first, second, third = await h.engine(), await h.engine(), await h.engine(agents=False)
            run = await first.start_workflow(workflow=FLOW, input_data=1, persist_state=True)
            streams = [asyncio.create_task(read(e, run)) for e in (second, third)]
            here: list[WorkflowEvent] = []
            reading = asyncio.create_task(read_into(here, first, run))
            await until(lambda: len(here) >= 4)
            await first.stop()
            await reading
            # Its own engine is gone, and says so; the run is not.
            assert kinds(here) == [*WHOLE[:4], "workflow_interrupted"]
            assert here[-1].data["error"]
            await second.recover()
            h.go.set()
            for events in await asyncio.gather(*streams):
                assert numbers(events) == list(range(1, len(events) + 1))
                assert kinds(events)[-1] == "workflow_completed"
                assert kinds(events).count("step_completed") == 3
            tail = await read(third, run, here[-2].seq or 0)
            assert numbers([*here[:-1], *tail]) == list(range(1, len(here) + len(tail)))

    asyncio.run(main())


def test_a_stream_goes_on_when_another_engine_takes_the_run_over(url: str) -> None:
    """As when this one had slept through its lease."""

    async def main() -> None:
        async with house(url) as h:
            first, second = await h.engine(), await h.engine()
            run = await first.start_workflow(workflow=FLOW, input_data=1, persist_state=True)
            reading = asyncio.create_task(read(first, run))
            await until_at_work(second, run)
            owner = (await second.get_workflow_status(run)).owner
            assert owner is not None
            async with opened(url) as store:
                await store.register(owner, 1.0, replace=True)
            assert (await second.recover()).recovered == (run,)
            h.go.set()
            events = await reading
            assert numbers(events) == list(range(1, len(events) + 1))
            assert kinds(events)[-1] == "workflow_completed"
            assert await first.wait(run) == await second.wait(run)

    asyncio.run(main())


def test_a_stream_from_elsewhere_sees_a_failed_run_resumed(url: str) -> None:
    async def main() -> None:
        async with house(url) as h:
            worker, reader = await h.engine(), await h.engine(agents=False)
            failing = [True]

            async def moody(payload: Any) -> Any:
                if failing:
                    failing.clear()
                    raise ValueError("once")
                return payload

            worker.register_agent("moody", moody)
            run = await worker.start_workflow(workflow=steps("moody"), persist_state=True)
            with pytest.raises(WorkflowFailed, match="once"):
                await reader.wait(run)
            first = await read(reader, run)
            assert kinds(first)[-1] == "workflow_failed"
            await worker.resume_workflow(run)
            await worker.wait(run)
            await reader.wait(run)
            rest = await read(reader, run, first[-1].seq or 0)
            assert kinds(rest) == [
                *("workflow_resumed", "step_started", "step_completed", "workflow_completed")
            ]
            assert await read(reader, run) == [*first, *rest]

    asyncio.run(main())


def test_a_stream_has_an_end_also_without_events(url: str) -> None:
    async def main() -> None:
        async with house(url) as h:
            worker, reader = await h.engine(), await h.engine()
            with pytest.raises(UnknownWorkflow):
                await read(reader, "wf_none")
            with pytest.raises(UnknownWorkflow):
                await read(reader, "wf_none", 7)
            with pytest.raises(UnknownWorkflow):
                await reader.wait("wf_none")
            ended = await worker.start_workflow(workflow=steps("quick"), persist_state=True)
            stream = reader.stream(ended)
            last = [await anext(stream) for _ in range(4)][-1]
            assert last.kind == "workflow_completed"
            assert (await worker.purge_workflows(name="test")).done == 1
            assert [event async for event in stream] == []
            run = await worker.start_workflow(workflow=steps("slow"), persist_state=True)
            events: list[WorkflowEvent] = []
            reading = asyncio.create_task(read_into(events, reader, run))
            await until(lambda: len(events) == 2)
            await reader.stop()
            await reading
            assert kinds(events) == ["workflow_started", "step_started", "workflow_interrupted"]
            assert "has been stopped" in events[-1].data["error"]

    asyncio.run(main())


def test_a_reader_that_waits_only_for_so_long_loses_nothing(url: str) -> None:
    async def main() -> None:
        async with house(url) as h:
            worker, reader = await h.engine(), await h.engine(agents=False)
            run = await worker.start_workflow(workflow=FLOW, input_data=1, persist_state=True)
            for e in (worker, reader):
                stream, events, pauses = e.stream(run), list[WorkflowEvent](), 0
                while not events or kinds(events)[-1] != "workflow_completed":
                    try:
                        events.append(await asyncio.wait_for(anext(stream), 0.03))
                    except TimeoutError:
                        pauses += 1
                        if e is reader or pauses > 5:
                            h.go.set()
                assert numbers(events) == list(range(1, 9))
                assert [event async for event in stream] == []

    asyncio.run(main())


def test_what_is_asked_for_wrongly_is_refused() -> None:
    async def main() -> None:
        async with engine() as e:
            e.register_agent("quick", _quick)
            run = await e.start_workflow(workflow=steps("quick"))
            await e.wait(run)
            with pytest.raises(NotStored, match="after=3"):
                await read(e, run, 3)
            with pytest.raises(ValueError, match="after=-1"):
                e.stream(run, after=-1)
            with pytest.raises(ValueError, match="needs the id"):
                e.stream(workflow=steps("quick"), after=1)
            with pytest.raises(TypeError, match="Did you mean 'state'"):
                await e.list_workflows(stat="failed")  # type: ignore[call-arg]
            for bulk in (e.cancel_workflows, e.resume_workflows, e.purge_workflows):
                with pytest.raises(ValueError, match="not for all"):
                    await bulk()

    run_in_virtual_time(main)


def test_many_waits_and_streams_are_looked_at_together(url: str) -> None:
    async def main() -> None:
        async with house(url) as h:
            worker, reader = await h.engine(), await h.engine(agents=False)
            ids = [f"run-{number}" for number in range(50)]
            for run in ids:
                await worker.start_workflow(
                    workflow=steps("slow"), input_data=run, persist_state=True, workflow_id=run
                )
            await until_at_work(reader, ids[-1])
            queries: list[int] = []
            asked = RunReader.progress

            def progress(self: RunReader, run_ids: Any) -> Any:
                queries.append(len(run_ids))
                return asked(self, run_ids)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(RunReader, "progress", progress)
                waits = [asyncio.create_task(reader.wait(run)) for run in ids]
                streams = [asyncio.create_task(read(reader, run)) for run in ids]
                await until(lambda: queries.count(len(ids)) >= 10)
                # Ten looks at all of them, and those when they began: each of them alone would be 50.
                assert max(queries) == len(ids)
                assert len(queries) < 10 + len(ids) // 2
                h.go.set()
                results = await asyncio.gather(*waits)
                assert [result["slow"] for result in results] == ids
                for events in await asyncio.gather(*streams):
                    assert kinds(events)[-1] == "workflow_completed"

    asyncio.run(main())


def test_an_outage_ends_neither_wait_nor_stream(cast: Cast) -> None:
    cast.slow("slow", 5, "done")

    async def main() -> None:
        store = open_store("memory://", inline=True)
        async with (
            engine(state_store=store, persist_state=True) as worker,
            engine(state_store=store) as reader,
        ):
            run = await worker.start_workflow(workflow=steps("slow"), input_data=1)
            waiting = asyncio.create_task(reader.wait(run))
            reading = asyncio.create_task(read(reader, run))
            await asyncio.sleep(1)

            async def fail(*_: Any) -> Any:
                raise StoreUnavailable("memory://", "reading", "it is down")

            with pytest.MonkeyPatch.context() as patch:
                for method in ("progress", "read_journal", "load_run"):
                    patch.setattr(store, method, fail)
                await asyncio.sleep(20)
            assert (await waiting)["slow"] == "done"
            assert kinds(await reading)[-1] == "workflow_completed"

    run_in_virtual_time(main)


def test_an_orphan_is_cancelled_without_its_agents(url: str) -> None:
    flow = steps(
        {"id": "quick", "agent": "quick", "compensate": "undo"},
        {"id": "slow", "agent": "slow", "depends_on": ["quick"]},
    )

    async def main() -> None:
        async with house(url) as h:
            gone, other = await h.engine(), await h.engine(agents=False)
            runs = [
                await gone.start_workflow(workflow=flow, input_data=n, persist_state=True)
                for n in range(2)
            ]
            for run in runs:
                await until_at_work(other, run)
            await gone.stop()
            report = await other.cancel_workflow(runs[0], "nobody wants it")
            assert (report.state, report.stopped_steps) == ("cancelled", ("slow",))
            assert report.failed_compensations == ("quick",)
            with pytest.raises(WorkflowCancelled, match="nobody wants it"):
                await other.wait(runs[0])
            # With the agents, what was done is undone.
            able = await h.engine()
            report = await able.cancel_workflow(runs[1])
            assert report.compensated_steps == ("quick",)
            assert h.undone == ["quick(1)"]

    asyncio.run(main())


def test_a_cancelled_orphan_is_recovered_by_an_engine_without_its_agents(url: str) -> None:
    """It was asked for, and then the engine that was to do it was killed."""

    async def main() -> None:
        async with house(url) as h:
            gone, other = await h.engine(), await h.engine(agents=False)
            run = await gone.start_workflow(workflow=FLOW, input_data=1, persist_state=True)
            await until_at_work(other, run)
            await gone.stop()
            async with opened(url) as store:
                await store.request_cancel(run, "asked before")
            assert (await other.recover()).recovered == (run,)
            with pytest.raises(WorkflowCancelled, match="asked before"):
                await other.wait(run)

    asyncio.run(main())


def test_a_status_says_which_engine_has_the_run_and_what_it_returned(url: str) -> None:
    async def main() -> None:
        async with house(url) as h:
            worker, reader = await h.engine(), await h.engine(agents=False)
            outer = steps(
                {"id": "quick", "agent": "quick"},
                {"id": "inner", "workflow": steps("slow"), "depends_on": ["quick"]},
            )
            run = await worker.start_workflow(workflow=outer, input_data=1, persist_state=True)
            await until_at_work(reader, run, "inner", nested=1)
            before = datetime.now(UTC).timestamp() - 3600
            for e in (worker, reader):
                status = await e.get_workflow_status(run, outputs=True)
                assert status.owner is not None
                assert status.owner.startswith("engine@")
                assert (status.owner_seen_at or 0.0) > before
                assert status.outputs == {"quick": "quick(1)"}
                [(path, part)] = status.children.items()
                assert path == "inner"
                assert part.state == "running"
                [found] = await e.list_workflows(parent=run)
                assert (found.workflow_id, found.parent) == (part.workflow_id, run)
                assert (await e.get_workflow_status(run)).outputs is None
            h.go.set()
            await reader.wait(run)
            status = await reader.get_workflow_status(run)
            assert (status.owner, status.children["inner"].state) == (None, "completed")

    asyncio.run(main())


@pytest.mark.parametrize("store", ["default", "explicit"])
def test_listing_makes_no_store(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    async def main() -> None:
        config = (
            EngineConfig() if store == "default" else EngineConfig(state_store="sqlite:///a.db")
        )
        async with OrchestrationEngine(config) as e:
            assert len(await e.list_workflows()) == 0
            with pytest.raises(UnknownWorkflow):
                await e.get_workflow_status("wf_none")
            with pytest.raises(UnknownWorkflow):
                await e.cancel_workflow("wf_none")
            with pytest.raises(UnknownWorkflow):
                await read(e, "wf_none")
            assert (await e.cancel_workflows(name="x")).matched == 0

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []


def test_a_fresh_engine_lists_what_the_store_has(url: str) -> None:
    async def main() -> None:
        async with house(url) as h:
            before = await h.engine()
            for number in range(3):
                await before.execute(workflow=steps("quick"), input_data=number, persist_state=True)
            await before.stop()
            fresh = await h.engine()
            assert len(await fresh.list_workflows(persisted=False)) == 0
            assert len(await fresh.list_workflows()) == 3
            await fresh.execute(workflow=steps("quick"))
            assert len(await fresh.list_workflows()) == 4
            assert len(await fresh.list_workflows(persisted=False)) == 1
            assert len(await fresh.list_workflows(persisted=True)) == 3

    asyncio.run(main())


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 20])
def test_pages_of_memory_and_store_have_every_run_once_the_newest_first(
    limit: int, cast: Cast
) -> None:
    cast.echoes("a")

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        async with engine(state_store="memory://", wall_clock=lambda: 1e9 + clock()) as e:
            expected: list[str] = []
            for number in range(17):
                await asyncio.sleep(1)
                run = f"r{number}"
                await e.start_workflow(
                    workflow=steps("a"), workflow_id=run, persist_state=number % 3 == 0
                )
                await e.wait(run)
                expected.insert(0, run)
            found: list[str] = []
            page: str | None = None
            while True:
                some = await e.list_workflows(limit=limit, page=page, state="completed")
                assert len(some) <= limit
                found += [run.workflow_id for run in some]
                page = some.next
                if page is None:
                    break
                assert len(some) == limit
            assert found == expected
            with pytest.raises(ValueError, match="page='x'"):
                await e.list_workflows(page="x")

    run_in_virtual_time(main)


def test_runs_are_told_apart_by_what_is_asked(url: str) -> None:
    async def main() -> None:
        async with house(url) as h:
            # A wall clock that may be set back meanwhile would say another order.
            epoch = time.time() - time.monotonic()
            e = await h.engine(wall_clock=lambda: epoch + time.monotonic())
            began = datetime.fromtimestamp(epoch + time.monotonic(), UTC)
            for name, persist in (("one", True), ("two", True), ("three", False)):
                flow = {**steps("quick"), "name": name}
                await e.execute(workflow=flow, persist_state=persist, labels={"n": name})
                await asyncio.sleep(0.01)
            runs = {run.name: run for run in await e.list_workflows()}
            two = runs["two"]

            async def named(**where: Any) -> list[str]:
                return [run.name for run in await e.list_workflows(**where)]

            assert await named(created_after=began) == ["three", "two", "one"]
            assert await named(created_before=began) == []
            assert await named(created_after=two.created_at) == ["three"]
            assert await named(created_before=two.created_at) == ["one"]
            assert await named(finished_after=two.finished_at) == ["three"]
            assert await named(finished_before=two.finished_at) == ["one"]
            assert await named(labels={"n": "two"}, state=["completed", "failed"]) == ["two"]
            assert await named(labels={"n": "two"}, name="one") == []
            assert await named(state="waiting") == []
            assert await named(name="three") == ["three"]
            assert await named(root=two.workflow_id) == []

    asyncio.run(main())


def test_many_runs_are_cancelled_resumed_and_forgotten_at_once(url: str) -> None:
    async def main() -> None:
        async with house(url) as h:
            worker, other = await h.engine(), await h.engine()
            wait = {**steps({"id": "w", "wait_for": "go"}), "name": "parked"}
            ids = [
                await worker.start_workflow(workflow=wait, persist_state=True) for _ in range(20)
            ]
            memory = await other.start_workflow(workflow=wait)
            kept = await worker.start_workflow(workflow=steps("slow"), persist_state=True)
            while len(await other.list_workflows(state="waiting")) < 21:
                await asyncio.sleep(0.01)
            report = await other.cancel_workflows(state="waiting", name="parked", reason="enough")
            assert (report.matched, report.done, report.failed) == (21, 21, {})
            for run in (*ids, memory):
                assert (await other.get_workflow_status(run)).reason == "enough"
            again = await other.cancel_workflows(name="parked")
            assert (again.matched, again.done) == (0, 0)
            forgotten = await other.purge_workflows(name="parked")
            assert (forgotten.matched, forgotten.done, forgotten.unchanged) == (21, 21, 0)
            assert [run.workflow_id for run in await other.list_workflows()] == [kept]
            assert (await other.purge_workflows(name="test")).matched == 0
            h.go.set()
            await other.wait(kept)

            failing = [True]

            async def moody(payload: Any) -> Any:
                if failing:
                    raise ValueError("down")
                return payload

            worker.register_agent("moody", moody)
            flow = {**steps("moody"), "name": "moody"}
            for _ in range(5):
                with pytest.raises(WorkflowFailed):
                    await worker.execute(workflow=flow, persist_state=True)
            failing.clear()
            # The other one does not have the agent: each is told, and all can still be resumed.
            report = await other.resume_workflows(name="moody")
            assert (report.matched, report.done, len(report.failed)) == (5, 0, 5)
            assert all("moody" in why for why in report.failed.values())
            report = await worker.resume_workflows(name="moody")
            assert (report.matched, report.done) == (5, 5)
            for run in report.failed:
                await worker.wait(run)

    asyncio.run(main())


def test_an_engine_recovers_from_its_start(url: str) -> None:
    async def main() -> None:
        async with house(url) as h:
            gone = await h.engine()
            run = await gone.start_workflow(workflow=FLOW, input_data=1, persist_state=True)
            await until_at_work(gone, run)
            await gone.stop()
            h.go.set()
            config = EngineConfig(state_store=url, recover_every_seconds=0.1)
            e = OrchestrationEngine(config)
            e.register_agent("quick", _quick)
            e.register_agent("slow", _quick)
            async with e:
                reader = await h.engine(agents=False)
                assert (await reader.wait(run))["last"] == "quick(quick(quick(1)))"

    asyncio.run(main())


def test_retention_is_kept_from_the_start_with_parts_and_never_of_an_unfinished_run(
    url: str,
) -> None:
    async def main() -> None:
        async with house(url) as h:
            before = await h.engine()
            inner = {**steps("quick"), "name": "inner"}
            ended = steps({"id": "inner", "workflow": inner})
            for _ in range(3):
                await before.execute(workflow=ended, persist_state=True)
            going = steps(
                {"id": "inner", "workflow": inner},
                {"id": "slow", "agent": "slow", "depends_on": ["inner"]},
            )
            run = await before.start_workflow(workflow=going, persist_state=True)
            while (await before.get_workflow_status(run)).steps["slow"].state != "running":
                await asyncio.sleep(0.01)
            assert len(await before.list_workflows(name="inner")) == 4
            keeper = await h.engine(agents=False, retention=Retention(max_finished=1))
            async with asyncio.timeout(120):
                while len(await before.list_workflows(name="inner")) > 2:
                    await asyncio.sleep(0.05)
            # One that has ended, and the one that has not, each with its part.
            assert len(await keeper.list_workflows(persisted=True)) == 4
            children = (await keeper.get_workflow_status(run)).children
            assert [part.state for part in children.values()] == ["completed"]
            h.go.set()
            await keeper.wait(run)

    asyncio.run(main())


WORKER = """
import asyncio, sys
from agenticaiframework.orchestration import EngineConfig, OrchestrationEngine

async def work(payload):
    await asyncio.sleep(0.05)
    return payload

async def main(url):
    engine = OrchestrationEngine(EngineConfig(state_store=url))
    engine.register_agent("work", work)
    flow = {"name": "flow", "steps": [
        {"id": f"s{n}", "agent": "work", "input": {"n": n}, **({"depends_on": [f"s{n-1}"]} if n else {})}
        for n in range(20)
    ]}
    await engine.start_workflow(workflow=flow, workflow_id="there", persist_state=True)
    print("begun", flush=True)
    await engine.wait("there")
    await engine.stop()

asyncio.run(main(sys.argv[1]))
"""


def test_the_stream_of_another_process_is_its_journal(url: str) -> None:
    async def main() -> None:
        async with house(url) as h:
            reader = await h.engine(agents=False)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", WORKER, url), stdout=subprocess.PIPE
            )
            assert process.stdout is not None
            assert await process.stdout.readline() == b"begun\n"
            early: list[WorkflowEvent] = []
            async for event in reader.stream("there"):
                early.append(event)
                if len(early) == 7:
                    break
            # As a client that was cut off comes again with the number of what it had last.
            late = await read(reader, "there", early[-1].seq or 0)
            assert await process.wait() == 0
            events = [*early, *late]
            assert numbers(events) == list(range(1, 43))
            assert kinds(events)[-1] == "workflow_completed"

    asyncio.run(main())
