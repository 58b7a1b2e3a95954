"""Code that is not the one that a run began with, or is not there at all."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from agenticaiframework.orchestration import (
    OrchestrationEngine,
    WorkflowFailed,
    WorkflowRun,
    workflow,
)

from .conftest import OpenEngine
from .test_code import until

Sim = Callable[[Any], Any]


async def one(x: Any = 1) -> Any:
    return x


def version(number: int) -> Any:
    @workflow(name="evolving")
    async def evolving(run: WorkflowRun) -> list[Any]:
        if number == 5:
            async with asyncio.TaskGroup() as group:
                group.create_task(other(run))
        if number == 2:
            await run.step(one, "new", name="inserted")
        first = await run.step(one, "a", name="renamed" if number == 3 else "first")
        if number == 4 and run.changed("polite"):
            first = await run.step(one, "polite", name="greet")
        elif number == 6:
            return [first]
        await run.wait_for("go")
        return [first, run.changed("late"), number]

    async def other(run: WorkflowRun) -> None:
        await run.step(one, "other")

    return evolving


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (
            2,
            r"at place 1 the journal has step\('one'\) as 'first', and the code step\('one'\) as 'inserted'",
        ),
        (3, "as 'renamed'"),
        (6, "returns"),
        (1, None),
        (4, None),
    ],
)
def test_changed_code_is_found_at_the_first_call_that_differs(
    opened: OpenEngine, sim: Sim, number: int, says: str | None
) -> None:
    if not opened.stored:  # type: ignore[attr-defined]
        pytest.skip("nothing is stored")

    async def main() -> None:
        async with opened() as e:
            run_id = await e.start_workflow(version(1))
            await until(e, run_id, "go")
        async with opened() as e:
            e.register_workflow(version(number))
            await e.recover()
            await e.signal_workflow(run_id, "go")
            if says is None:
                assert await e.wait(run_id) == ["a", True, number]
                return
            assert re.search(says, await blocked(e, run_id))
            report = await e.recover()
            assert (report.changed, report.recovered) == ((run_id,), ())
        async with opened() as e:
            e.register_workflow(version(1))
            await e.recover()
            assert await e.wait(run_id) == ["a", True, 1]

    sim(main)


def test_a_failed_run_that_its_mended_code_does_not_match_is_blocked_and_waited_for(
    opened: OpenEngine, sim: Sim
) -> None:
    if not opened.stored:  # type: ignore[attr-defined]
        pytest.skip("nothing is stored")

    @workflow(name="shipping")
    async def forgets(run: WorkflowRun) -> str:
        run.step(abs, -1, name="pay")  # pyright: ignore[reportUnusedCoroutine]
        return str(await run.step(abs, -2, name="ship"))

    @workflow(name="shipping")
    async def mended(run: WorkflowRun) -> str:
        await run.step(abs, -1, name="pay")
        return str(await run.step(abs, -2, name="ship"))

    async def main() -> None:
        async with opened() as e:
            run_id = await e.start_workflow(forgets)
            with pytest.raises(WorkflowFailed, match="never awaited"):
                await e.wait(run_id)
        async with opened() as e:
            e.register_workflow(mended)
            await e.resume_workflow(run_id)
            with pytest.raises(TimeoutError):
                await e.wait(run_id, timeout=2)
            assert "'ship'" in await blocked(e, run_id)
            assert [one.state for one in await e.list_workflows()] == ["blocked"]
        async with opened() as e:
            assert "'ship'" in await blocked(e, run_id)
            e.register_workflow(forgets)
            await e.recover()
            with pytest.raises(WorkflowFailed, match="never awaited"):
                await e.wait(run_id)

    sim(main)


async def blocked(engine: OrchestrationEngine, run_id: str) -> str:
    """Return why a run is blocked, once it is."""
    async with asyncio.timeout(30):
        while (status := await engine.get_workflow_status(run_id)).state != "blocked":
            await asyncio.sleep(0.1)
    return status.last_error or ""


def test_a_new_run_takes_the_new_way(opened: OpenEngine, sim: Sim) -> None:
    async def main() -> None:
        async with opened() as e:
            run_id = await e.start_workflow(version(4))
            await until(e, run_id, "go")
            await e.signal_workflow(run_id, "go")
            assert await e.wait(run_id) == ["polite", True, 4]

    sim(main)


def test_a_run_whose_code_is_not_registered_says_so(opened: OpenEngine, sim: Sim) -> None:
    if not opened.stored:  # type: ignore[attr-defined]
        pytest.skip("nothing is stored")

    async def main() -> None:
        async with opened() as e:
            run_id = await e.start_workflow(version(1))
            await until(e, run_id, "go")
        async with opened() as e:
            report = await e.recover()
            assert "there is no workflow 'evolving'" in report.blocked[run_id]
            await e.signal_workflow(run_id, "go")
            assert "register_workflow('evolving'" in await blocked(e, run_id)
        async with opened() as e:
            e.register_workflow(version(1))
            await e.recover()
            assert await e.wait(run_id) == ["a", True, 1]

    sim(main)
