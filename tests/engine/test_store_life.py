"""When an engine opens its store and closes it: in threads, on loops that end early, after failures."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem
from agenticaiframework.patterns.engine import (
    EngineConfig,
    EngineStopped,
    EventKind,
    OrchestrationEngine,
    UnknownWorkflow,
    WorkflowFailed,
    WorkflowLost,
)
from agenticaiframework.patterns.engine.store import StoreUnavailable
from agenticaiframework.patterns.engine.store.grouped.store import GroupedStore
from agenticaiframework.patterns.engine.store.sqlite.backend import SQLiteBackend

from .conftest import steps


async def echo(payload: Any) -> Any:
    return payload


LOST = (EngineStopped, WorkflowLost)


def stored(folder: Path) -> OrchestrationEngine:
    """Return an engine that stores its runs in *folder*."""
    url = f"sqlite:///{folder}/runs.sqlite"
    e = OrchestrationEngine(EngineConfig(state_store=url, persist_state=True))
    e.register_agent("a", echo)
    return e


def run(e: OrchestrationEngine) -> Any:
    """Run a workflow of *e* on a loop of its own, whose end is the end of the engine's actor."""
    return asyncio.run(e.execute(workflow=steps("a"), input_data=1))


def test_a_thread_may_begin_while_another_closes_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    e = stored(tmp_path)
    closing, go_on = threading.Event(), threading.Event()
    close = GroupedStore.close

    async def slow(store: GroupedStore) -> None:
        closing.set()
        assert await asyncio.to_thread(go_on.wait, 120)
        await close(store)

    monkeypatch.setattr(GroupedStore, "close", slow)
    first = threading.Thread(target=run, args=(e,))
    first.start()
    assert closing.wait(120)
    monkeypatch.setattr(GroupedStore, "close", close)
    try:
        assert run(e) == {"a": 1}
    finally:
        go_on.set()
        first.join(120)
    assert run(e) == {"a": 1}


# These tests leave nothing open: who leaves a thread behind fails.


def test_a_store_that_takes_no_engine_is_closed_and_opened_again_by_the_next_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    e = stored(tmp_path)

    def refuse(*_: Any) -> int:
        raise StoreUnavailable("the store", "registering", "it is not in the mood")

    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(SQLiteBackend, "register", refuse)
            for _ in range(2):
                with pytest.raises(StoreUnavailable, match="not in the mood"):
                    await e.execute(workflow=steps("a"), input_data=1)
        assert not [t for t in threading.enumerate() if t.name.startswith("store-")]
        assert await e.execute(workflow=steps("a"), input_data=1) == {"a": 1}
        with monkeypatch.context() as patch:
            patch.setattr(SQLiteBackend, "retire", refuse)
            await e.stop()

    asyncio.run(main())


@contextmanager
def failing_commits(before: bool, kind: EventKind) -> Iterator[None]:
    """Let commits with an event of this kind fail: before they happen, or after."""
    commit = SQLiteBackend.commit
    broken = True

    def moody(backend: SQLiteBackend, jobs: list[Any]) -> None:
        rows = repr([getattr(job, "rows", None) for job in jobs])
        failing = broken and str(kind) in rows
        if not (failing and before):
            commit(backend, jobs)
        if failing:
            raise StoreUnavailable("the store", "committing", "the line is dead")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SQLiteBackend, "commit", moody)
        yield
    broken = False


def test_a_run_whose_end_was_written_and_not_told_has_ended_as_it_was_written(
    tmp_path: Path,
) -> None:
    e = stored(tmp_path)

    async def main() -> None:
        with failing_commits(False, EventKind.WORKFLOW_COMPLETED):
            run = e.execute(workflow=steps("a"), input_data=1, workflow_id="w")
            assert await asyncio.wait_for(run, 120) == {"a": 1}
        assert await e.wait("w", timeout=120) == {"a": 1}
        assert (await e.get_workflow_status("w")).state == "completed"
        await e.stop()

    asyncio.run(main())


def test_a_run_that_was_never_stored_is_not_said_to_be_resumable(tmp_path: Path) -> None:
    e = stored(tmp_path)

    async def main() -> None:
        with (
            failing_commits(True, EventKind.WORKFLOW_STARTED),
            pytest.raises(WorkflowFailed, match="line is dead") as caught,
        ):
            await e.execute(workflow=steps("a"), input_data=1, workflow_id="w")
        assert "resume_workflow" not in str(caught.value)
        with pytest.raises(UnknownWorkflow):
            await e.resume_workflow("w")
        assert await e.execute(workflow=steps("a"), input_data=1, workflow_id="v") == {"a": 1}
        await e.stop()

    asyncio.run(main())


@pytest.mark.parametrize("end", ["cancelled", "system ended", "engine stopped"])
def test_a_store_that_is_being_opened_when_its_engine_ends_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    e = stored(tmp_path)
    begun, go_on = threading.Event(), threading.Event()
    open_ = SQLiteBackend.open

    def slow(backend: SQLiteBackend) -> None:
        begun.set()
        assert go_on.wait(120)
        open_(backend)

    monkeypatch.setattr(SQLiteBackend, "open", slow)

    async def main() -> None:
        async with ActorSystem():
            running = asyncio.create_task(e.execute(workflow=steps("a"), input_data=1))
            assert await asyncio.to_thread(begun.wait, 120)
            asyncio.get_running_loop().call_later(0.05, go_on.set)
            if end == "cancelled":
                running.cancel()
            elif end == "engine stopped":
                await e.stop()
        [ended], _ = await asyncio.wait([running], timeout=120)
        assert ended.cancelled() if end == "cancelled" else isinstance(ended.exception(), LOST)

    asyncio.run(main())
    monkeypatch.setattr(SQLiteBackend, "open", open_)
    if end != "engine stopped":
        assert run(e) == {"a": 1}


def test_loops_one_after_the_other_that_end_at_any_moment_leave_nothing_open(
    tmp_path: Path,
) -> None:
    e = stored(tmp_path)
    for number in range(30):

        async def cut_short(turns: int = number) -> None:
            running = asyncio.create_task(e.execute(workflow=steps("a"), input_data=1))
            for _ in range(turns):
                await asyncio.sleep(0.0005)
            running.cancel()
            await asyncio.wait([running], timeout=120)

        asyncio.run(cut_short())
    assert run(e) == {"a": 1}
    with sqlite3.connect(tmp_path / "runs.sqlite") as connection:
        living = "SELECT count(*) FROM owners WHERE NOT retired"
        assert connection.execute(living).fetchone() == (0,)
    connection.close()


@pytest.mark.parametrize("call", ["execute", "start", "stream", "cancel"])
def test_who_comes_in_the_moment_in_which_an_engine_is_stopped_is_told(
    tmp_path: Path, call: str
) -> None:
    e = stored(tmp_path)

    async def come() -> Any:
        if call == "execute":
            return await e.execute(workflow=steps("a"), input_data=1)
        if call == "start":
            return await e.start_workflow(workflow=steps("a"), input_data=1)
        if call == "stream":
            return [event async for event in e.stream(workflow=steps("a"), input_data=1)]
        return await e.cancel_workflow("w")

    async def stop() -> None:
        # Woken when the store is open, as `come` is, and a moment before it.
        await e._cores.ready(e._cores.here())
        await e.stop()

    async def main() -> None:
        await e.start_workflow(workflow=steps({"id": "s", "delay": 60}), workflow_id="w")
        async with ActorSystem():
            stopping = asyncio.create_task(stop())
            coming = asyncio.create_task(come())
            await asyncio.wait([stopping, coming], timeout=120)
            assert coming.done()
            assert isinstance(coming.exception(), LOST)
            await stopping

    asyncio.run(main())
