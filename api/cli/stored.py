"""`agenticaiframework workflows`: stored runs, seen and steered from outside."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, cast

from agenticaiframework.actors import NO_USAGE, ActorSystem, AgenticError, near_names, printable
from agenticaiframework.patterns import define
from agenticaiframework.patterns.engine import (
    DefinitionChanged,
    EngineConfig,
    OrchestrationEngine,
    StepState,
    StepStatus,
    UnknownWorkflow,
    WorkflowFilter,
    WorkflowPage,
    WorkflowState,
    WorkflowStatus,
    WorkflowStream,
    read_json,
)
from agenticaiframework.patterns.engine.store import administer, sqlite_file

from .asked import say_questions
from .output import results_alone
from .project import ProjectDefinition, load_project
from .project.build import Project, build_from_file
from .run import run_to_the_end
from .showing import json_text, say, say_json

T = TypeVar("T")

MOST_ROWS: Final = 10_000
"""Runs in one list."""


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
        async with ActorSystem(name="workflows"), AsyncExitStack() as stack:
            for supervisor in () if project is None else project.roots:
                stack.push_async_callback(supervisor.stop)
                await supervisor.start()
            return await knowing(engine, work(await stack.enter_async_context(engine)))

    return asyncio.run(main())


class NoSuchRun(BadRequest):
    """There is no stored run with this id."""

    def __init__(self, workflow_id: str, known: Iterable[str]) -> None:
        ids = list(known)
        begun = [each for each in ids if each.startswith(workflow_id)]
        hint = f" {near_names(workflow_id, begun or ids)}" if ids else ""
        super().__init__(
            f"There is no workflow {workflow_id!r}.{hint} "
            "`agenticaiframework workflows list` shows those there are."
        )


async def knowing(engine: OrchestrationEngine, work: Awaitable[T]) -> T:
    """Return what *work* returns; for a run that is not there `NoSuchRun`, with the nearest that are."""
    try:
        return await work
    except UnknownWorkflow as error:
        page = await engine.list_workflows(limit=MOST_ROWS, persisted=True)
        known = [each.workflow_id for each in page.workflows]
        raise NoSuchRun(error.workflow_id, known) from error


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
    url = config.state_store
    if not isinstance(url, str) or url.startswith("memory:") or url.endswith(":memory:"):
        return
    there = administer(url)
    absence = there.absence()
    if absence is not None:
        raise BadRequest(
            f"There is no store {there.label}: {absence}. A run that is stored makes it "
            "(agenticaiframework run FILE --persist), or `agenticaiframework store migrate`; one that "
            "is elsewhere is named with --store sqlite:///path or postgresql://..."
        )


def list_command(
    store: str | None, where: WorkflowFilter, *, limit: int, page: str | None, as_json: bool
) -> int:
    """Print the stored runs."""
    if not 1 <= limit <= MOST_ROWS:
        raise BadRequest(f"--limit={limit}: 1 to {MOST_ROWS:,}; --page gives the following ones")

    async def work(engine: OrchestrationEngine) -> WorkflowPage:
        try:
            return await engine.list_workflows(limit=limit, page=page, persisted=True, **where)
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
        say_json({"workflows": rows, "next": found.next})
        return 0
    if not found.workflows:
        say("No runs.")
    else:
        queues = any(w.queue is not None for w in found.workflows)
        print_table(
            ("id", "workflow", *(("queue",) if queues else ()), "state", "since", "last error"),
            [
                (
                    w.workflow_id,
                    w.name,
                    *((w.queue or "",) if queues else ()),
                    str(w.state),
                    when(w.created_at),
                    w.last_error or w.reason or "",
                )
                for w in found.workflows
            ],
        )
    if found.next is not None:
        say(f"More: --page {found.next}")
    return 0


def show_command(store: str | None, workflow_id: str, *, outputs: bool, as_json: bool) -> int:
    """Print where one stored run stands."""
    status = with_engine(
        store, lambda engine: engine.get_workflow_status(workflow_id, outputs=outputs)
    )
    if as_json:
        say_json(_plain(status))
    else:
        _print_status(status)
    return 0


def _print_status(status: WorkflowStatus) -> None:
    say(f"{status.workflow_id}  {status.name}  {status.state}  {status.progress}%")
    error = "blocked" if status.state is WorkflowState.BLOCKED else "last error"
    recovered = f"{status.recoveries} times" if status.recoveries > 1 else "once"
    seen = f", last seen {when(status.owner_seen_at)}" if status.owner_seen_at else ""
    for label, value in (
        ("reason", status.reason),
        (error, status.last_error),
        ("engine", status.owner and f"{status.owner}{seen}"),
        ("queue", _queue_of(status)),
        ("waits", status.queue_reason),
        ("part of", status.parent),
        ("taken over", recovered if status.recoveries else None),
        ("forked from", status.forked_from),
        ("spent", None if status.usage is NO_USAGE else status.usage),
    ):
        if value:
            say(f"{label}: {value}")
    print_table(
        ("step", "state", "attempts", "time", "error"),
        [
            (
                step.id,
                str(step.state),
                str(step.attempts or ""),
                "" if step.duration_s is None else f"{step.duration_s:.1f} s",
                _said(step),
            )
            for step in status.steps.values()
        ],
    )
    for child, part in status.children.items():
        say(f"part {child}: {part.state}")
    say_questions(status.workflow_id, status.questions)
    for step_id, output in (status.outputs or {}).items():
        say(f"output of {step_id}: {json_text(output, indent=None)}")


def _queue_of(status: WorkflowStatus) -> str | None:
    """Return what is to be said of the queue of a run."""
    if status.queue is None:
        return None
    said = [status.queue]
    if status.queue_key is not None:
        said.append(f"key {status.queue_key}")
    if status.priority:
        said.append(f"priority {status.priority}")
    return ", ".join(said)


def _said(step: StepStatus) -> str:
    """Return what is to be said of a step beside its state."""
    if step.error is None and step.waiting_for is not None:
        return f"waits for {step.waiting_for}"
    inner = f"has done {', '.join(step.inner)}" if step.inner else ""
    return "; ".join(filter(None, (step.error, inner)))


@results_alone()
def cancel_command(
    store: str | None, workflow_id: str, *, reason: str, file: Path | None, as_json: bool
) -> int:
    """Cancel a stored run and print what that did.

    A run whose process is gone is taken over for that; what it did is undone by the agents of the
    project in *file*, and is reported as not undone without them.
    """
    project = None
    if file is not None:
        project = build_from_file(read_project(store, file), file)
    report = with_engine(store, lambda engine: engine.cancel_workflow(workflow_id, reason), project)
    if as_json:
        say_json(_plain(report))
    elif report.already_finished:
        say(f"{workflow_id} had ended already: {report.state}")
    else:
        stopped = ", ".join(report.stopped_steps) or "none"
        say(f"{workflow_id}: {report.state}; steps stopped: {stopped}")
        if report.failed_compensations:
            say(f"not undone: {', '.join(report.failed_compensations)}")
    return 0


def signal_command(
    store: str | None, workflow_id: str, name: str, payload: str, *, early: bool, as_json: bool
) -> int:
    """Send a stored run a signal: one that it waits for, unless it may come *early*."""
    value = read_json_option("--payload", payload, '{"approved": true}')

    async def work(engine: OrchestrationEngine) -> str | None:
        if not early:
            await _check_signal(engine, workflow_id, name)
        try:
            await engine.signal_workflow(workflow_id, name, value, for_resume=True)
        except ValueError as error:
            raise BadRequest(str(error)) from None
        try:
            status = await engine.get_workflow_status(workflow_id)
        except AgenticError:
            return None  # the signal is stored all the same
        return status.last_error if status.state is WorkflowState.BLOCKED else None

    blocked = with_engine(store, work)
    if as_json:
        said = {"workflow_id": workflow_id, "signal": name, "payload": value}
        say_json(said if blocked is None else {**said, "blocked": blocked})
    elif blocked is None:
        say(f"{workflow_id} has got the signal {name!r}")
    else:
        say(f"{workflow_id} keeps the signal {name!r}; it is blocked: {blocked}")
    return 0


async def _check_signal(engine: OrchestrationEngine, workflow_id: str, name: str) -> None:
    """Raise `BadRequest` if the run waits for signals, and not for the one called *name*.

    One that waits for none may do so later, and keeps what comes before.
    """
    try:
        status = await engine.get_workflow_status(workflow_id)
    except AgenticError:
        return  # sending says what is wrong, or stores it for a run that cannot be read here
    waited = {
        step.waiting_for
        for run in (status, *status.children.values())
        for step in run.steps.values()
        if step.waiting_for is not None and step.state is StepState.WAITING and not step.questions
    }
    if waited and name not in waited:
        raise BadRequest(
            f"{workflow_id} does not wait for the signal {name!r}. {near_names(name, waited)} "
            "With --early it is sent all the same, and kept for a later step."
        )


@results_alone()
def resume_command(
    store: str | None,
    workflow_id: str,
    file: Path,
    *,
    step: str | None = None,
    choice: Literal["old", "new"] | None = None,
    model: str | None,
    as_json: bool,
) -> int:
    """Let a stored run go on (from *step*, if given) and follow it to its end."""
    definition = read_project(store, file)

    async def begin(engine: OrchestrationEngine) -> WorkflowStream:
        try:
            return await knowing(engine, go_on(engine))
        except DefinitionChanged as error:
            listed = "".join(f"\n  {line}" for line in error.differences)
            raise BadRequest(
                f"The definition of {error.workflow!r} has changed since {workflow_id} was started:"
                f"{listed}\nSay with which one it goes on: --definition old, or --definition new"
            ) from error

    async def go_on(engine: OrchestrationEngine) -> WorkflowStream:
        if step is None:
            await engine.resume_workflow(
                workflow_id, definition=choice, workflow=definition.workflow
            )
        else:
            try:
                await engine.retry_from(
                    workflow_id, step, definition=choice, workflow=definition.workflow
                )
            except ValueError as error:
                raise BadRequest(str(error)) from None
        return engine.stream(workflow_id)

    return run_to_the_end(file, definition, begin, model=model, as_json=as_json)


def fork_command(
    store: str | None,
    workflow_id: str,
    step: str,
    file: Path,
    edit: str,
    *,
    model: str | None,
    as_json: bool,
) -> int:
    """Start a run that goes another way than a stored one from *step* on, and follow it to its end."""
    definition = read_project(store, file)
    read = read_json_option("--edit", edit, '{"draft": "another text"}')
    if not isinstance(read, dict):
        raise BadRequest(f"--edit {edit}: a JSON object is needed, of outputs by step")
    edits = cast("dict[str, Any]", read)

    async def begin(engine: OrchestrationEngine) -> WorkflowStream:
        try:
            forked = await knowing(engine, engine.fork(workflow_id, at=step, edit=edits))
        except ValueError as error:
            if isinstance(error, AgenticError):
                raise
            raise BadRequest(str(error)) from None
        return engine.stream(forked)

    return run_to_the_end(file, definition, begin, model=model, as_json=as_json)


def query_command(store: str | None, workflow_id: str) -> int:
    """Print what a stored run wants known."""
    shown = with_engine(store, lambda engine: engine.query(workflow_id))
    say_json(shown)
    return 0


def read_json_option(option: str, text: str, example: str) -> Any:
    """Return the JSON that an option was given; raises BadRequest with an *example*."""
    try:
        return read_json(text)
    except ValueError as error:
        raise BadRequest(
            f"{option} {text}: it is not JSON ({error}). For example: {option} '{example}'"
        ) from None


def _plain(value: Any) -> Any:
    return dataclasses.asdict(value)


def when(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _cell(text: str) -> str:
    """Return *text* fit for one cell of a line with tabs."""
    return text.replace("\t", " ").replace("\n", " ")


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # In a pipe the lines are as long as they are, for grep and cut.
    console = Console(soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=not console.is_terminal)
    for row in rows:
        table.add_row(*(Text(printable(text)) for text in row))
    if console.is_terminal:
        console.print(table)
        return
    say("\t".join(headings))
    for row in rows:
        say("\t".join(_cell(text) for text in row))
