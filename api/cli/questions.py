"""`agenticaiframework workflows answer` and `approve`: what stored runs ask, answered from outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from agenticaiframework.actors import AgenticError
from agenticaiframework.patterns.engine import AnswerReport, OrchestrationEngine, WorkflowState

from .showing import say, say_json
from .stored import BadRequest, read_json_option, with_engine


def answer_command(
    store: str | None, workflow_id: str, question: str, value: str, *, as_json: bool
) -> int:
    """Answer a question of a stored run."""
    read = read_json_option("--value", value, '{"ok": true}')
    return _answered(
        store, lambda engine: engine.answer(workflow_id, question, read), as_json=as_json
    )


def approve_command(
    store: str | None,
    workflow_id: str,
    call: str,
    *,
    ok: bool | None,
    arguments: str | None,
    reason: str | None,
    as_json: bool,
) -> int:
    """Say whether a tool may be called that a stored run asks about."""
    if ok is None:
        raise BadRequest(f"workflows approve {workflow_id} {call}: say --yes or --no")
    given: dict[str, Any] | None = None
    if arguments is not None:
        read = read_json_option("--arguments", arguments, '{"order": 7}')
        if not isinstance(read, dict):
            raise BadRequest(f"--arguments {arguments}: a JSON object is needed")
        given = cast("dict[str, Any]", read)
    return _answered(
        store,
        lambda engine: engine.approve(workflow_id, call, ok, arguments=given, reason=reason),
        as_json=as_json,
    )


def _answered(
    store: str | None,
    answer: Callable[[OrchestrationEngine], Awaitable[AnswerReport]],
    *,
    as_json: bool,
) -> int:
    async def work(engine: OrchestrationEngine) -> AnswerReport:
        try:
            return await answer(engine)
        except ValueError as error:
            if isinstance(error, AgenticError):
                raise
            raise BadRequest(str(error)) from None

    report = with_engine(store, work)
    if as_json:
        say_json(report.to_dict())
    else:
        say(f"{report.workflow_id} has got the answer to {report.question!r}")
        if report.state is WorkflowState.WAITING:
            say(
                "It goes on where its engine runs, or with: "
                f"agenticaiframework workflows resume {report.workflow_id} FILE"
            )
    return 0
