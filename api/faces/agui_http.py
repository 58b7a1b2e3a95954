"""AG-UI for front ends, as an ASGI app: a run is asked for, and told as server-sent events."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

from ag_ui.core import ResumeEntry, RunAgentInput
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agenticaiframework.actors import AgenticError
from agenticaiframework.patterns.engine import UnknownWorkflow

from ..access import Auth, own_path
from .agui_events import Events, RunEvents
from .app import HTTP_STATUS, FaceApp, caller_of, read_object, retry_headers
from .calls import Call, FaceLimits
from .failures import CallFailed, FailureKind, refusal_of
from .items import Progress, Said
from .served import Served
from .streams import PING, Opened, leaving_with, send_events
from .waits import Wait, wait_of

_BY_USER: Final = frozenset({"user", "system", "developer"})


class AguiApp(FaceApp):
    """Answers front ends for one target, at the path where it is mounted."""

    def __init__(
        self,
        served: Served,
        *,
        token: str | None,
        auth: Auth | None,
        limits: FaceLimits | None,
    ) -> None:
        super().__init__({served.name: served}, "ag-ui", token=token, auth=auth, limits=limits)
        self._one = served

    async def answer(self, request: Request, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request that has been let in."""
        try:
            if own_path(request).rstrip("/"):
                raise HTTPException(404, "Runs are asked for at /.")
            if request.method != "POST":
                raise HTTPException(405, "POST it.", {"allow": "POST"})
            await self._run(request, receive, send)
            return
        except CallFailed as error:
            failure = error.failure
            body = {"error": str(failure.kind), "message": failure.message}
            response: Response = JSONResponse(
                body, HTTP_STATUS[failure.kind], headers=retry_headers(failure)
            )
        except HTTPException as error:
            response = self._error(error.status_code, error.detail, error.headers)
        await response(scope, receive, send)

    def error_body(self, status: int, said: str) -> Mapping[str, Any]:
        """Return what is wrong with a request: of a run there is none yet."""
        return {"error": "bad_input" if status < 500 else "unavailable", "message": said}

    async def _run(self, request: Request, receive: Any, send: Any) -> None:
        asked = _read(await read_object(request))
        who = caller_of(request)
        answered: Wait | None = None
        if asked.resume:
            call, answered = await self._resumed(asked.resume, who)
        else:
            *earlier, last = _said(asked)
            call = self.calls.begin(
                self._one,
                self._one.form.read_text(last.text),
                who,
                # The client names its run: asked for again, it is the same.
                key=f"{asked.thread_id}/{asked.run_id}",
                earlier=tuple(earlier),
            )
        events = RunEvents(asked, call)

        async def chunks() -> AsyncGenerator[bytes]:
            try:
                for chunk in _encoded(events.started()):
                    yield chunk
                opened = await Opened.of(call, self.limits.ping_s)
                async for item in opened.items():
                    if item is None:
                        yield PING
                        continue
                    for chunk in _encoded(events.of(item)):
                        yield chunk
                    wait = await self._waiting(item, call, who, answered)
                    if wait is None:
                        continue
                    if self._answers:
                        for chunk in _encoded(events.interrupted(wait, _id_of(call.run_id, wait))):
                            yield chunk
                        return
                    for chunk in _encoded(events.waits(wait)):
                        yield chunk
            except CallFailed as error:
                for chunk in _encoded(events.failed(error.failure)):
                    yield chunk

        async with leaving_with(receive, call):
            await send_events(send, chunks())

    # -- what a run waits for ----------------------------------------------------------------------

    @property
    def _answers(self) -> bool:
        runs = self._one.runs
        return runs is not None and runs.answers

    async def _waiting(
        self, item: object, call: Call, who: str, answered: Wait | None
    ) -> Wait | None:
        """Return what a durable run waits for, if *item* says that it does; None for what was just answered."""
        runs = self._one.runs
        if not isinstance(item, Progress) or item.phase != "waits":
            return None
        if runs is None or not runs.durable or call.run_id is None:
            return None  # it would end with its front end
        try:
            wait = wait_of(await runs.find_again(call.run_id, who))
        except AgenticError:
            return None  # the store is away: the run, which is being told, says so if it fails
        return None if wait == answered else wait

    async def _resumed(self, resume: list[ResumeEntry], who: str) -> tuple[Call, Wait]:
        """Answer an interrupt; return the call that tells how its run goes on, and what was answered."""
        runs = self._one.runs
        if runs is None or not runs.answers:
            raise _bad(f"resume: what {self._one.name!r} waits for is not answered here")
        if len(resume) != 1:
            raise _bad("resume: one entry, for the one interrupt that the run has told")
        entry = resume[0]
        run_id, _, _ = entry.interrupt_id.rpartition("~")
        try:
            status = await runs.find_again(run_id, who)
        except UnknownWorkflow:
            raise _gone(entry.interrupt_id) from None
        wait = wait_of(status)
        if wait is None or _id_of(run_id, wait) != entry.interrupt_id:
            raise _gone(entry.interrupt_id)
        try:
            if entry.status == "cancelled":
                await runs.engine.cancel_workflow(run_id, f"{wait.name!r} was not answered")
            else:
                await wait.answer(runs.engine, entry.payload)
        except AgenticError as error:
            raise refusal_of(error) from None
        return self.calls.begin(self._one, None, who, run_id=run_id), wait


def _id_of(run_id: str | None, wait: Wait) -> str:
    """Return the id of an interrupt: the run that was asked for, and a mark of what it waits for."""
    what = f"{wait.run_id}\0{wait.name}\0{wait.iteration}"
    return f"{run_id}~{hashlib.sha256(what.encode()).hexdigest()[:16]}"


def _gone(interrupt_id: str) -> CallFailed:
    return CallFailed(
        FailureKind.NOT_FOUND,
        f"There is no interrupt {interrupt_id[:200]!r} that waits: it was answered, or its run has ended.",
    )


def _encoded(events: Events) -> list[bytes]:
    return [f"data: {each.model_dump_json(by_alias=True)}\n\n".encode() for each in events]


def _read(body: Mapping[str, Any]) -> RunAgentInput:
    try:
        asked = RunAgentInput.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _bad(f"{where}: {first['msg']}") from None
    if asked.tools:
        raise _bad("tools: not taken here; what is asked has its own tools")
    return asked


def _said(asked: RunAgentInput) -> list[Said]:
    found: list[Said] = []
    for number, message in enumerate(asked.messages):
        if message.role == "assistant" or message.role in _BY_USER:
            content: Any = message.content or ""
            if not isinstance(content, str):
                content = "\n".join(_text_of(part, number) for part in content)
            if content:
                found.append(Said(content, message.role in _BY_USER))
    if not found or asked.messages[-1].role != "user":
        raise _bad("messages: the last is the user's, which is answered")
    return found


def _text_of(part: Any, number: int) -> str:
    if part.type != "text":
        raise _bad(f"messages[{number}].content: a text, or parts of the type text")
    text: str = part.text
    return text


def _bad(problem: str) -> CallFailed:
    return CallFailed(FailureKind.BAD_INPUT, f"The request does not fit: {problem}.")
