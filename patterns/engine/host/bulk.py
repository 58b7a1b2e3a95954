"""The same done to many runs, a bounded number at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ..errors import describe
from ..state.listing import list_runs
from ..state.status import BulkReport
from ..store import StoreError

if TYPE_CHECKING:
    from ..state.status import WorkflowSummary
    from ..store import RunFilter, Store
    from .core import EngineCore
    from .roster import Roster

AT_ONCE: Final = 100
"""Runs under way at the same time: most of the time goes by with waiting for the store, or for another
engine."""
PAGE: Final = 500


async def for_each_run(
    roster: Roster,
    store: Store | None,
    where: RunFilter,
    do: Callable[[str], Awaitable[bool]],
) -> BulkReport:
    """Do *do* for each of the runs there are; it returns whether it has changed anything."""
    places = asyncio.Semaphore(AT_ONCE)
    matched = done = 0
    failed: dict[str, str] = {}

    async def one(run_id: str) -> None:
        nonlocal done
        try:
            changed = await do(run_id)
            done += changed
        except Exception as error:
            failed[run_id] = describe(error)
        finally:
            places.release()

    lost: StoreError | None = None
    async with asyncio.TaskGroup() as tasks:
        try:
            async for summaries in _pages(roster, store, where):
                for summary in summaries:
                    matched += 1
                    await places.acquire()
                    tasks.create_task(one(summary.workflow_id))
        except StoreError as error:
            lost = error  # what is under way comes to its end
    if lost is not None:
        raise lost
    return BulkReport(matched, done, matched - done - len(failed), failed)


async def forget_runs(core: EngineCore, store: Store | None, where: RunFilter) -> BulkReport:
    """Forget those of the runs that have ended, in memory and in the store."""
    matched = done = unchanged = 0
    roster = core.roster
    async for summaries in _pages(roster, store, replace(where, finished=True)):
        stored = [one.workflow_id for one in summaries if one.persisted]
        kept: set[str] = set()
        if store is not None and stored:
            done += await store.forget(stored)
            kept = set(await store.progress(stored))
        matched += len(summaries)
        unchanged += len(kept)
        for summary in summaries:
            live = roster.get(summary.workflow_id)
            if summary.workflow_id not in kept and live is not None and live.over:
                for part in roster.parts(live.id):
                    if part.over:
                        roster.remove(part)
                roster.remove(live)
                done += not summary.persisted
    return BulkReport(matched, done, unchanged)


async def _pages(
    roster: Roster, store: Store | None, where: RunFilter
) -> AsyncIterator[tuple[WorkflowSummary, ...]]:
    page: str | None = None
    while True:
        found = await list_runs(roster, store, where, PAGE, page, None)
        yield found.workflows
        page = found.next
        if page is None:
            return
