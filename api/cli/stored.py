"""`agenticaiframework workflows`: stored runs, seen and steered from outside."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from agenticaiframework.actors import ActorSystem, AgenticError
from agenticaiframework.patterns import define
from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    UnknownName,
    WorkflowPage,
    WorkflowState,
    WorkflowStatus,
    WorkflowStream,
)
from agenticaiframework.patterns.engine.store import sqlite_file

from .project import ProjectDefinition, load_project
from .project.build import Project, build_project
from .run import run_to_the_end

T = TypeVar("T")


class BadRequest(AgenticError, ValueError):
    """What was asked of a stored run cannot be done."""


def with_engine(
    store: str | None,
    work: Callable[[OrchestrationEngine], Awaitable[T]],
    project: Project | None = None,
) -> T:
    """Return what *work* returns, given an engine on *store* (or *project*'s own engine)."""
    if project is not None:
        engine = project.engine
    else:
        engine = OrchestrationEngine(
            EngineConfig() if store is None else EngineConfig(state_store=store)
        )
    _check_there(engine.config)

    async def main() -> T:
        async with ActorSystem(name="workflows"), engine:
            return await work(engine)

    return asyncio.run(main())


def read_project(store: str | None, file: Path) -> ProjectDefinition:
    """Return the project in *file*, with *store* in the place of its own, if that is given."""
    definition = load_project(file)
    if store is not None:
        engine = {**definition.engine, "state_store": store}
        definition = definition.model_copy(update={"engine": engine})
    _check_there(define(EngineConfig, "engine", definition.engine))
    return definition


def _check_there(config: EngineConfig) -> None:
    """Raise BadRequest for a store that is not there: to look into it must not make it."""
    file = sqlite_file(config.state_store)
    if file is not None and not file.exists():
        raise BadRequest(
            f"There is no store {config.state_store}: the file {str(file)!r} does not exist. "
            "A run that is stored makes it (agenticaiframework run FILE --persist); one that is "
            "elsewhere is named with --store sqlite:///path or postgresql://..."
        )


def list_command(
    store: str | None,
    *,
    states: Sequence[str] | None,
    name: str | None,
    limit: int,
    page: str | None,
    as_json: bool,
) -> int:
    """Print the stored runs."""
    known = [state.value for state in WorkflowState]
    for state in states or ():
        if state not in known:
            raise BadRequest(f"--state {state}: one of {', '.join(known)}")

    async def work(engine: OrchestrationEngine) -> WorkflowPage:
        try:
            return await engine.list_workflows(
                state=states, name=name, limit=limit, page=page, persisted=True
            )
        except ValueError as error:
            if isinstance(error, AgenticError):
                raise
            raise BadRequest(f"--{error}") from None

    default = sqlite_file(EngineConfig().state_store)
    if store is None and default is not None and not default.exists():
        found = WorkflowPage(())  # nothing has been stored here yet, which is not a mistake
    else:
        found = with_engine(store, work)
    if as_json:
        rows = [_plain(summary) for summary in found.workflows]
        print(json.dumps({"workflows": rows, "next": found.next}, indent=2, default=str))
        return 0
    if not found.workflows:
        print("No runs.")
    else:
        _print_table(
            ("id", "workflow", "state", "since", "last error"),
            [
                (
                    w.workflow_id,
                    w.name,
                    str(w.state),
                    _when(w.created_at),
                    w.last_error or w.reason or "",
                )
                for w in found.workflows
            ],
        )
    if found.next is not None:
        print(f"More: --page {found.next}")
    return 0


def show_command(store: str | None, workflow_id: str, *, as_json: bool) -> int:
    """Print where one stored run stands."""
    status = with_engine(store, lambda engine: engine.get_workflow_status(workflow_id))
    if as_json:
        print(json.dumps(_plain(status), indent=2, default=str))
    else:
        _print_status(status)
    return 0


def _print_status(status: WorkflowStatus) -> None:
    print(f"{status.workflow_id}  {status.name}  {status.state}  {status.progress}%")
    for label, value in (("reason", status.reason), ("last error", status.last_error)):
        if value:
            print(f"{label}: {value}")
    _print_table(
        ("step", "state", "attempts", "time", "error"),
        [
            (
                step.id,
                str(step.state),
                str(step.attempts or ""),
                "" if step.duration_s is None else f"{step.duration_s:.1f} s",
                step.error or (f"waits for {step.waiting_for}" if step.waiting_for else ""),
            )
            for step in status.steps.values()
        ],
    )


def cancel_command(
    store: str | None, workflow_id: str, *, reason: str, file: Path | None, as_json: bool
) -> int:
    """Cancel a stored run and print what that did.

    A run whose process is gone is taken over for that, with the agents of the project in *file*.
    """
    project = None
    if file is not None:
        project = build_project(read_project(store, file), file.resolve().parent)
    try:
        report = with_engine(
            store, lambda engine: engine.cancel_workflow(workflow_id, reason), project
        )
    except UnknownName as error:
        if file is not None:
            raise
        raise BadRequest(
            f"No engine runs {workflow_id} any more. To end it in order, its agents are needed: "
            f"agenticaiframework workflows cancel {workflow_id} --project FILE"
        ) from error
    if as_json:
        print(json.dumps(_plain(report), indent=2, default=str))
    elif report.already_finished:
        print(f"{workflow_id} had ended already: {report.state}")
    else:
        stopped = ", ".join(report.stopped_steps) or "none"
        print(f"{workflow_id}: {report.state}; steps stopped: {stopped}")
    return 0


def signal_command(
    store: str | None, workflow_id: str, name: str, payload: str, *, as_json: bool
) -> int:
    """Send a stored run a signal."""
    try:
        value: Any = json.loads(payload)
    except ValueError as error:
        raise BadRequest(
            f"--payload {payload}: it is not JSON ({error}). "
            """For example: --payload '{"approved": true}'"""
        ) from None

    async def work(engine: OrchestrationEngine) -> None:
        try:
            await engine.signal_workflow(workflow_id, name, value)
        except ValueError as error:
            raise BadRequest(str(error)) from None

    with_engine(store, work)
    if as_json:
        print(json.dumps({"workflow_id": workflow_id, "signal": name, "payload": value}, indent=2))
    else:
        print(f"{workflow_id} has got the signal {name!r}")
    return 0


def resume_command(
    store: str | None,
    workflow_id: str,
    file: Path,
    *,
    step: str | None = None,
    model: str | None,
    as_json: bool,
) -> int:
    """Let a stored run go on (from *step*, if given) and follow it to its end."""
    definition = read_project(store, file)

    async def begin(engine: OrchestrationEngine) -> WorkflowStream:
        if step is None:
            await engine.resume_workflow(workflow_id, workflow=definition.workflow)
        else:
            try:
                await engine.retry_from(workflow_id, step, workflow=definition.workflow)
            except ValueError as error:
                raise BadRequest(str(error)) from None
        return engine.stream(workflow_id)

    return run_to_the_end(file, definition, begin, model=model, as_json=as_json)


def _plain(value: Any) -> Any:
    return dataclasses.asdict(value)


def _when(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    # In a pipe the lines are as long as they are, for grep and cut.
    console = Console(soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=not console.is_terminal)
    for row in rows:
        table.add_row(*row)
    if console.is_terminal:
        console.print(table)
        return
    print("\t".join(headings))
    for row in rows:
        print("\t".join(row))
