"""The OpenAI-compatible chat endpoint, as an ASGI app: ``/chat/completions`` and ``/models``."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agenticaiframework.actors import ActorSystem, Answer, TextDelta, shown

from ..access import own_path
from .app import HTTP_STATUS, FaceApp, caller_of, read_object, retry_headers
from .calls import Call
from .chat_requests import ChatRequest, read_chat
from .failures import CallFailed, Failure, FailureKind
from .forms import as_text
from .served import Served
from .stops import Stops
from .streams import PING, Opened, event, leaving_with, send_events

_TYPES: Final = {
    FailureKind.BAD_INPUT: "invalid_request_error",
    FailureKind.NOT_FOUND: "invalid_request_error",
    FailureKind.BUSY: "rate_limit_error",
}

_AGAIN: Final = (FailureKind.BUSY, FailureKind.UNAVAILABLE)
"""What clients may ask again by themselves; anything else would be done twice."""

_HTTP_KINDS: Final = {
    401: "invalid_api_key",
    404: "model_not_found",
    413: "request_too_large",
}


class ChatApp(FaceApp):
    """Answers chat completions; the models are what is served."""

    async def answer(self, request: Request, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request that has been let in."""
        path = "/" + own_path(request).strip("/").removeprefix("v1").strip("/")
        try:
            if path == "/chat/completions":
                _check_method(request, "POST")
                await self._complete(request, receive, send)
                return
            if path == "/models":
                _check_method(request, "GET")
                models = [_model(name) for name in self.served]
                response: Response = JSONResponse({"object": "list", "data": models})
            elif path.startswith("/models/"):
                _check_method(request, "GET")
                response = JSONResponse(_model(self._named(path.removeprefix("/models/")).name))
            else:
                raise HTTPException(404, "There are /chat/completions and /models.")
        except CallFailed as error:
            response = self._failed(error.failure)
        except HTTPException as error:
            response = self._error(error.status_code, error.detail, error.headers)
        await response(scope, receive, send)

    def error_body(self, status: int, said: str) -> Mapping[str, Any]:
        """Return an error as OpenAI writes it."""
        kind = "invalid_request_error" if status < 500 else "server_error"
        return _error(said, kind, _HTTP_KINDS.get(status))

    async def _complete(self, request: Request, receive: Any, send: Any) -> None:
        chat = read_chat(await read_object(request))
        served = self._named(chat.model)
        call = self.calls.begin(
            served,
            served.form.read_text(chat.text),
            caller_of(request),
            key=_key(request),
            session=chat.session,
            earlier=chat.earlier,
        )
        completion = _Completion(chat, call)
        async with leaving_with(receive, call):
            opened = await Opened.of(call, self.limits.ping_s) if chat.stream else None
            headers: dict[str, str] = {}
            if opened is None:
                await call.wait()
            if call.run_id is not None:
                headers["x-run-id"] = call.run_id
            if opened is not None:
                await send_events(send, self._events(completion, opened), headers)
                return
            response = JSONResponse(completion.whole(), headers=headers)
            await response(request.scope, receive, send)

    async def _events(self, completion: _Completion, opened: Opened) -> AsyncGenerator[bytes]:
        try:
            yield event(completion.chunk({"role": "assistant", "content": ""}))
            async for item in opened.items():
                if item is None:
                    yield PING
                for text in map(completion.stops.feed, completion.texts(item)):
                    if text:
                        yield event(completion.chunk({"content": text}))
        except CallFailed as error:
            # The status has been sent: what is left is an event that clients take for an error.
            yield event(_failure_body(error.failure))
            return
        rest = completion.stops.rest()
        if rest:
            yield event(completion.chunk({"content": rest}))
        yield event(completion.chunk({}, "stop"))
        if completion.chat.usage:
            yield event({**completion.chunk(None), "usage": completion.usage()})
        yield b"data: [DONE]\n\n"

    def _named(self, model: str) -> Served:
        served = self.served.get(model)
        if served is None:
            raise CallFailed(
                FailureKind.NOT_FOUND,
                f"There is no model {shown(model)}; there are {', '.join(self.served)}.",
            )
        return served

    def _failed(self, failure: Failure) -> Response:
        headers = retry_headers(failure)
        headers["x-should-retry"] = str(failure.kind in _AGAIN).lower()
        if failure.run_id is not None:
            headers["x-run-id"] = failure.run_id
        return JSONResponse(_failure_body(failure), HTTP_STATUS[failure.kind], headers=headers)


class _Completion:
    """One answer in the words of the protocol, as a whole and in chunks."""

    def __init__(self, chat: ChatRequest, call: Call) -> None:
        self.chat = chat
        self._call = call
        number = ActorSystem.current().random.getrandbits(96)
        self._head: dict[str, Any] = {
            "id": f"chatcmpl-{number:024x}",
            "created": int(time.time()),
            "model": chat.model,
        }
        self._said = ""
        self.stops = Stops(chat.stops)

    def whole(self) -> dict[str, Any]:
        """Return the completion."""
        text = self.stops.feed(as_text(self._call.answer)) + self.stops.rest()
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [choice],
            "usage": self.usage(),
        }

    def chunk(self, delta: Mapping[str, Any] | None, finish: str | None = None) -> dict[str, Any]:
        """Return a chunk with *delta*; without a choice if it is None."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        choices = [] if delta is None else [choice]
        return {**self._head, "object": "chat.completion.chunk", "choices": choices}

    def texts(self, item: Any) -> list[str]:
        """Return what *item* adds to the text."""
        if isinstance(item, TextDelta) and self._call.served.speaks:
            self._said += item.text
            return [item.text] if item.text else []
        if isinstance(item, Answer):
            whole = as_text(self._call.answer)
            # What was told while it was made is the answer, or ends with it; where a guardrail or a
            # type has made another of it, that follows.
            if not self._said.strip().endswith(whole.strip()) or (whole and not self._said):
                return [whole if not self._said else f"\n{whole}"]
        return []

    def usage(self) -> dict[str, int]:
        """Return the tokens that were spent."""
        spent = self._call.usage
        return {
            "prompt_tokens": spent.input_tokens,
            "completion_tokens": spent.output_tokens,
            "total_tokens": spent.total_tokens,
        }


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "agenticaiframework"}


def _failure_body(failure: Failure) -> dict[str, Any]:
    kind = _TYPES.get(failure.kind, "server_error")
    code = "model_not_found" if failure.kind is FailureKind.NOT_FOUND else str(failure.kind)
    return _error(failure.message, kind, code)


def _error(said: str, kind: str, code: str | None) -> dict[str, Any]:
    return {"error": {"message": said, "type": kind, "param": None, "code": code}}


def _check_method(request: Request, method: str) -> None:
    if request.method != method:
        raise HTTPException(405, f"{method} it.", {"allow": method})


def _key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= 200:
        raise CallFailed(FailureKind.BAD_INPUT, "Idempotency-Key: 1 to 200 characters.")
    return key
