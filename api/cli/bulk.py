"""Many stored runs steered at once: `workflows cancel`, `resume` and `purge` with a selection."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from agenticaiframework.patterns.engine import (
    BulkReport,
    OrchestrationEngine,
    WorkflowFilter,
    WorkflowLost,
    WorkflowState,
)

from .exits import EXIT_FAILED
from .output import results_alone
from .project.build import build_from_file
from .run import EXIT_OK
from .showing import say, say_json
from .stored import BadRequest, read_project, with_engine

_OPEN = [state.value for state in WorkflowState if not state.finished]
_ENDED = [state.value for state in WorkflowState if state.finished]


@results_alone()
def cancel_all_command(
    store: str | None,
    workflow_id: str | None,
    where: WorkflowFilter,
    *,
    reason: str,
    file: Path | None,
    yes: bool,
    as_json: bool,
) -> int:
    """Cancel the runs that *where* names, and print what that did."""
    if workflow_id is not None:
        raise BadRequest(f"Give the id ({workflow_id}), or say which runs with options; not both.")
    _check_chosen("cancel", where)

    async def work(engine: OrchestrationEngine) -> BulkReport | None:
        if not yes and not await _confirm(engine, "Cancel", where, _OPEN):
            return None
        return await engine.cancel_workflows(reason=reason, **where)

    project = None
    if file is not None:
        project = build_from_file(read_project(store, file), file)
    return _report("cancelled", with_engine(store, work, project), as_json=as_json)


@results_alone()
def resume_all_command(
    store: str | None,
    first: str,
    second: Path | None,
    where: WorkflowFilter,
    *,
    model: str | None,
    yes: bool,
    as_json: bool,
) -> int:
    """Let the runs that *where* names go on, and print what became of them."""
    if second is not None:
        raise BadRequest(f"Give the id ({first}), or say which runs with options; not both.")
    file = Path(first)
    _check_chosen(f"resume {first}", where)
    where.setdefault("state", [WorkflowState.FAILED.value])

    async def work(engine: OrchestrationEngine) -> BulkReport | None:
        if not yes and not await _confirm(engine, "Resume", where, None):
            return None
        ids = [run_id async for run_id in _ids(engine, where)]
        report = await engine.resume_workflows(**where)
        failed = dict(report.failed)
        ended = await asyncio.gather(*map(engine.wait, ids), return_exceptions=True)
        for run_id, outcome in zip(ids, ended, strict=True):
            if isinstance(outcome, Exception) and not isinstance(outcome, WorkflowLost):
                failed.setdefault(run_id, str(outcome))
        return dataclasses.replace(report, done=report.matched - len(failed), failed=failed)

    definition = read_project(store, file)
    project = build_from_file(definition, file, model=model)
    return _report("completed", with_engine(store, work, project), as_json=as_json)


def purge_command(store: str | None, where: WorkflowFilter, *, yes: bool, as_json: bool) -> int:
    """Forget the finished runs that *where* names, and print how many."""
    _check_chosen("purge", where)

    async def work(engine: OrchestrationEngine) -> BulkReport | None:
        if not yes and not await _confirm(engine, "Forget", where, _ENDED):
            return None
        return await engine.purge_workflows(**where)

    return _report("forgotten", with_engine(store, work), as_json=as_json)


def _check_chosen(command: str, where: WorkflowFilter) -> None:
    if not where:
        raise BadRequest(
            f"Say which runs: agenticaiframework workflows {command} --state ... --name ... "
            "--label key=value --created-before 7d"
        )


async def _ids(engine: OrchestrationEngine, where: WorkflowFilter) -> AsyncIterator[str]:
    page: str | None = None
    while True:
        found = await engine.list_workflows(limit=500, page=page, persisted=True, **where)
        for summary in found.workflows:
            yield summary.workflow_id
        page = found.next
        if page is None:
            return


async def _confirm(
    engine: OrchestrationEngine, do: str, where: WorkflowFilter, states: list[str] | None
) -> bool:
    """Ask whether to go on, saying for how many runs; without a terminal, --yes is needed."""
    chosen: WorkflowFilter = {**where}
    if states is not None:
        given = where.get("state")
        chosen["state"] = [state for state in states if given is None or state in given]
    count = 0
    if chosen.get("state") != []:
        async for _ in _ids(engine, chosen):
            count += 1
    if count == 0:
        return True
    if not sys.stdin.isatty():
        raise BadRequest(f"{do} {count} runs? Say so with --yes.")
    said = await asyncio.to_thread(input, f"{do} {count} runs? [y/N] ")
    return said.strip().lower() in ("y", "yes")


def _report(done: str, report: BulkReport | None, *, as_json: bool) -> int:
    if report is None:
        say("Nothing was done.")
        return EXIT_OK
    if as_json:
        say_json(dataclasses.asdict(report))
    else:
        say(
            f"{report.matched} runs: {report.done} {done}, {report.unchanged} left as they are, "
            f"{len(report.failed)} failed"
        )
        for run_id, why in report.failed.items():
            say(f"  {run_id}: {why}")
    return EXIT_FAILED if report.failed else EXIT_OK
