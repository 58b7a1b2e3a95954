"""`agenticaiframework workflows schedules`: schedules in a store, seen and steered from outside."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import TypeVar

from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    ScheduleStatus,
    UnknownSchedule,
    WorkflowSummary,
)
from agenticaiframework.patterns.engine.store import sqlite_file

from .showing import json_text, say, say_json
from .stored import BadRequest, print_table, when, with_engine

T = TypeVar("T")

LATEST = 10
"""Runs that are shown of one schedule."""


def list_command(store: str | None, *, as_json: bool) -> int:
    """Print the schedules in a store."""
    default = sqlite_file(EngineConfig().state_store)
    found: list[ScheduleStatus] = []
    if store is not None or default is None or default.exists():
        found = with_engine(store, lambda engine: engine.schedules())
    if as_json:
        say_json({"schedules": [each.to_dict() for each in found]})
    elif not found:
        say("No schedules.")
    else:
        print_table(
            ("name", "workflow", "when", "last", "next", "fired", "missed", "skipped", "failed"),
            [
                (
                    *(each.name, each.workflow, each.when, when(each.last_due), _next(each)),
                    *(str(count) for count in each.counts.values()),
                )
                for each in found
            ],
        )
    return 0


def _next(status: ScheduleStatus) -> str:
    return "paused" if status.paused else when(status.next_at) or "never"


def show_command(store: str | None, name: str, *, as_json: bool) -> int:
    """Print one schedule and its latest runs."""

    async def work(
        engine: OrchestrationEngine,
    ) -> tuple[ScheduleStatus, tuple[WorkflowSummary, ...]]:
        known = {each.name: each for each in await engine.schedules()}
        if name not in known:
            raise UnknownSchedule(name, known)
        page = await engine.list_workflows(labels={"schedule": name}, limit=LATEST, persisted=True)
        return known[name], page.workflows

    status, runs = with_engine(store, lambda engine: _knowing(work(engine)))
    if as_json:
        say_json({**status.to_dict(), "runs": [dataclasses.asdict(run) for run in runs]})
        return 0
    say(f"{status.name}  {status.workflow}  {status.when}")
    for label, value in (
        ("paused", (status.reason or "yes") if status.paused else None),
        ("next", when(status.next_at)),
        ("last", status.last_due and f"{when(status.last_due)} ({status.last_run})"),
        ("last error", status.error),
        ("input", None if status.input is None else json_text(status.input, indent=None)),
        ("missed ones", status.missed),
        ("overlap", status.overlap),
        ("starts", ", ".join(f"{count:,} {what}" for what, count in status.counts.items())),
    ):
        if value:
            say(f"{label}: {value}")
    if runs:
        print_table(
            ("run", "state", "due", "last error"),
            [
                (run.workflow_id, str(run.state), run.labels.get("due", ""), run.last_error or "")
                for run in runs
            ],
        )
    return 0


def pause_command(store: str | None, name: str, *, reason: str, as_json: bool) -> int:
    """Have a schedule start nothing."""
    status = _do(store, lambda engine: engine.pause_schedule(name, reason))
    return _tell(status, f"{name} is paused: {status.reason}", as_json=as_json)


def resume_command(store: str | None, name: str, *, as_json: bool) -> int:
    """Have a schedule go on."""
    status = _do(store, lambda engine: engine.resume_schedule(name))
    return _tell(status, f"{name} goes on; next: {when(status.next_at)}", as_json=as_json)


def trigger_command(store: str | None, name: str, *, as_json: bool) -> int:
    """Have a schedule start a run; an engine that has its workflow does so."""
    run_id = _do(store, lambda engine: engine.trigger_schedule(name))
    if as_json:
        say_json({"schedule": name, "workflow_id": run_id})
    else:
        say(f"{run_id} is started by an engine of the service, in seconds")
    return 0


def delete_command(store: str | None, name: str, *, as_json: bool) -> int:
    """Forget a schedule."""
    _do(store, lambda engine: engine.delete_schedule(name))
    if as_json:
        say_json({"deleted": name})
    else:
        say(f"{name} is deleted; its runs stay")
    return 0


def _tell(status: ScheduleStatus, text: str, *, as_json: bool) -> int:
    if as_json:
        say_json(status.to_dict())
    else:
        say(text)
    return 0


def _do(store: str | None, call: Callable[[OrchestrationEngine], Awaitable[T]]) -> T:
    return with_engine(store, lambda engine: _knowing(call(engine)))


async def _knowing(work: Awaitable[T]) -> T:
    """Return what *work* returns; an unknown schedule is told in the words of the command line."""
    try:
        return await work
    except UnknownSchedule as error:
        text = str(error).replace(
            "`await engine.schedules()`", "`agenticaiframework workflows schedules list`"
        )
        raise BadRequest(text) from error
