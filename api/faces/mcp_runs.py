"""The tools of an MCP server by which callers find the runs again that they have asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from agenticaiframework.actors import AgenticError, as_data
from agenticaiframework.patterns.engine import (
    UnknownWorkflow,
    WorkflowCancelled,
    WorkflowFailed,
    WorkflowState,
    WorkflowStatus,
)

from .failures import CallFailed, FailureKind, refusal_of
from .forms import Schema, object_schema
from .runs import Runs, output_of
from .waits import wait_of

GET: Final = "get_run"
LIST: Final = "list_runs"
CANCEL: Final = "cancel_run"
ANSWER: Final = "answer_run"

_ID: Final[Schema] = {"type": "string", "description": "The run's id."}

TOOLS: Final[Mapping[str, tuple[str, Schema]]] = {
    GET: (
        "Tells where a run stands that was asked for before, and its output once there is one.",
        object_schema(
            {
                "run_id": _ID,
                "wait_s": {
                    "type": "number",
                    "minimum": 0,
                    "description": "How long to wait for its end, in seconds; 0 if not given.",
                },
            },
            ["run_id"],
            more=False,
        ),
    ),
    LIST: (
        "Lists the runs that were asked for before, the newest first.",
        object_schema({"limit": {"type": "integer", "minimum": 1, "maximum": 100}}, [], more=False),
    ),
    CANCEL: (
        "Cancels a run that was asked for before.",
        object_schema({"run_id": _ID, "reason": {"type": "string"}}, ["run_id"], more=False),
    ),
    ANSWER: (
        "Answers what a run waits for that was asked for before: get_run tells it.",
        object_schema(
            {
                "run_id": _ID,
                "name": {"type": "string", "description": "The name that get_run tells."},
                "value": {"description": "The answer."},
            },
            ["run_id", "name", "value"],
            more=False,
        ),
    ),
}
"""Their descriptions and what they take."""


class RunDesk:
    """Finds the runs of a caller again, of all workflows that are served."""

    def __init__(self, runs: Sequence[Runs], longest_s: float) -> None:
        self._runs = [each for each in runs if each.durable]
        self._longest_s = longest_s
        answers = any(each.answers for each in self._runs)
        self.tools: Mapping[str, tuple[str, Schema]] = {
            name: tool for name, tool in TOOLS.items() if self._runs and (answers or name != ANSWER)
        }
        """The tools that there are: none without a durable workflow."""

    async def call(self, tool: str, arguments: Mapping[str, Any], who: str) -> dict[str, Any]:
        """Return what *tool* returns; raises `CallFailed`, and `UnknownWorkflow`."""
        _check(arguments, TOOLS[tool][1])
        if tool == LIST:
            return {"runs": await self._list(who, arguments.get("limit", 20))}
        run_id: str = arguments["run_id"]
        if tool == CANCEL:
            runs = await self._runs_of(run_id, who)
            reason = arguments.get("reason", "cancelled by its caller")
            report = await runs.engine.cancel_workflow(run_id, reason)
            return {"run_id": run_id, "state": str(report.state)}
        if tool == ANSWER:
            return await self._answer(run_id, who, arguments["name"], arguments["value"])
        return await self.get(run_id, who, arguments.get("wait_s", 0))

    async def get(self, run_id: str, who: str, wait_s: float = 0) -> dict[str, Any]:
        """Return where a run stands, and its output; raises `CallFailed` for one that has none any more."""
        runs = await self._runs_of(run_id, who)
        status = await runs.find_again(run_id, who)
        if not status.finished and wait_s > 0:
            try:
                await runs.engine.wait(run_id, min(wait_s, self._longest_s))
            except (TimeoutError, WorkflowFailed, WorkflowCancelled):
                pass
            status = await runs.find(run_id, who)
        found = _told(status)
        if status.state is WorkflowState.COMPLETED:
            found["output"] = as_data(output_of(await runs.engine.wait(run_id)))
        elif status.finished:
            kind = (
                FailureKind.CANCELLED
                if status.state is WorkflowState.CANCELLED
                else FailureKind.FAILED
            )
            why = status.reason or status.last_error or "it does not say why"
            raise CallFailed(kind, f"The run {run_id!r} is {status.state}: {why}")
        return found

    async def _answer(self, run_id: str, who: str, name: str, value: Any) -> dict[str, Any]:
        runs = await self._runs_of(run_id, who)
        if not self._may_answer(runs):
            raise _bad(f"what {run_id!r} waits for is not answered here")
        status = await runs.find_again(run_id, who)
        wait = wait_of(status)
        if wait is None or wait.name != name:
            now = "nothing" if wait is None else repr(wait.name)
            raise _bad(f"{run_id!r} does not wait for {name!r}: it waits for {now}")
        try:
            await wait.answer(runs.engine, value)
        except AgenticError as error:
            raise refusal_of(error) from None
        return {"run_id": run_id, "answered": name}

    def _may_answer(self, runs: Runs) -> bool:
        """Tell whether the callers of a workflow may answer, under every name by which it is served."""
        return all(
            each.answers
            for each in self._runs
            if each.engine is runs.engine and each.workflow == runs.workflow
        )

    async def _list(self, who: str, limit: int) -> list[dict[str, Any]]:
        found = [each for runs in self._runs for each in await runs.list(who, limit)]
        found.sort(key=lambda each: each.created_at or 0.0, reverse=True)
        return [
            {
                "run_id": each.workflow_id,
                "workflow": each.name,
                "state": str(each.state),
                "created_at": each.created_at,
                "finished_at": each.finished_at,
            }
            for each in found[:limit]
        ]

    async def _runs_of(self, run_id: str, who: str) -> Runs:
        for runs in self._runs:
            try:
                await runs.find(run_id, who)
            except UnknownWorkflow:
                continue
            return runs
        raise UnknownWorkflow(run_id)


def _told(status: WorkflowStatus) -> dict[str, Any]:
    wait = wait_of(status)
    return {
        "run_id": status.workflow_id,
        "workflow": status.name,
        "state": str(status.state),
        "progress": status.progress,
        **({} if wait is None else {"waits_for": {"name": wait.name, "message": wait.said}}),
    }


def _check(arguments: Mapping[str, Any], schema: Schema) -> None:
    properties: Mapping[str, Any] = schema["properties"]
    for name in schema["required"]:
        if name not in arguments:
            raise _bad(f"{name!r} is missing")
    for name, value in arguments.items():
        about = properties.get(name)
        if about is None:
            raise _bad(f"{name!r} is not known: there is {', '.join(properties)}")
        kind = about.get("type")
        if kind is None:
            fits = True
        elif kind == "string":
            fits = isinstance(value, str)
        else:
            wanted = int if kind == "integer" else (int, float)
            fits = (
                isinstance(value, wanted)
                and not isinstance(value, bool)
                and about["minimum"] <= value <= about.get("maximum", float("inf"))
            )
        if not fits:
            raise _bad(f"{name!r} is not a {kind} that is taken")


def _bad(problem: str) -> CallFailed:
    return CallFailed(FailureKind.BAD_INPUT, f"The input does not fit: {problem}.")
