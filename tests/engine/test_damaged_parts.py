"""A run whose part cannot go on is cancelled all the same, and never waits for an end that cannot come."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine, WorkflowFailed

INNER = {
    "name": "inner",
    "steps": [
        {"id": "first", "agent": "work", "compensate": "undo"},
        {"id": "wait", "wait_for": "go"},
        {"id": "last", "agent": "rare"},
    ],
}
OUTER = {
    "name": "outer",
    "steps": [
        {"id": "before", "agent": "work", "compensate": "undo"},
        {"id": "part", "workflow": INNER},
        {"id": "after", "agent": "work"},
    ],
}
PART = "(select run from runs where parent is not null)"
DAMAGE = {
    "a definition of another form": (
        "update definitions set body = '[]' where hash in "
        "(select definition_hash from runs where parent is not null)"
    ),
    "a definition that is gone": (
        "update definitions set hash = 'zz' where hash in "
        "(select definition_hash from runs where parent is not null)"
    ),
    "a journal that is not JSON": f"update journal set body = x'5b5b' where run in {PART}",
    "an unknown state": "update runs set state = 'nonsense' where parent is not null",
}


def engine(url: str, undone: list[Any], *, rare: bool = True) -> OrchestrationEngine:
    e = OrchestrationEngine(EngineConfig(state_store=url, persist_state=True, poll_seconds=0.05))
    e.register_agent("work", lambda _: "done")
    e.register_agent("undo", undone.append)
    if rare:
        e.register_agent("rare", lambda _: "rare")
    return e


async def parked(url: str) -> str:
    """Return the id of a run whose part waits, and that no engine has."""
    async with engine(url, []) as e:
        run = await e.start_workflow(workflow=OUTER)
        while (await e.get_workflow_status(run)).state != "waiting":
            await asyncio.sleep(0.01)
        return run


@pytest.mark.parametrize("what", DAMAGE)
def test_a_run_is_cancelled_although_its_part_cannot_be_read(what: str, tmp_path: Path) -> None:
    async def main() -> None:
        url = f"sqlite:///{tmp_path}/runs.sqlite"
        run = await parked(url)
        with sqlite3.connect(tmp_path / "runs.sqlite") as connection:
            assert connection.execute(DAMAGE[what]).rowcount > 0
        connection.close()
        undone: list[Any] = []
        async with engine(url, undone) as e:
            await e.recover()
            async with asyncio.timeout(120):
                report = await e.cancel_workflow(run, "enough")
            assert report.state == "cancelled"
            assert "done" in undone
            rows = await e.list_workflows()
            assert len(rows) == 2
            assert all(row.state.finished for row in rows)
        async with engine(url, undone) as e:
            assert (await e.recover()).recovered == ()

    asyncio.run(main())


def test_a_run_is_cancelled_although_its_part_has_no_agent(url: str) -> None:
    async def main() -> None:
        run = await parked(url)
        undone: list[Any] = []
        async with engine(url, undone, rare=False) as e:
            report = await e.recover()
            assert list(report.blocked) == [run]
            async with asyncio.timeout(120):
                assert (await e.cancel_workflow(run, "enough")).state == "cancelled"
            assert undone == ["done", "done"]  # the part's own first step, and the one before it
            assert all(row.state == "cancelled" for row in await e.list_workflows())

    asyncio.run(main())


def test_a_part_whose_row_has_ended_without_its_journal_fails_its_step(tmp_path: Path) -> None:
    async def main() -> None:
        url = f"sqlite:///{tmp_path}/runs.sqlite"
        run = await parked(url)
        with sqlite3.connect(tmp_path / "runs.sqlite") as connection:
            connection.execute(
                "update runs set state = 'completed', finished_at = 5 where parent is not null"
            )
        connection.close()
        async with engine(url, []) as e:
            await e.recover()
            with pytest.raises(WorkflowFailed, match="its row says that it has ended"):
                await e.wait(run, timeout=120)

    asyncio.run(main())
