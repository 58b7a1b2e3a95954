"""Scripted requests that use nothing of pydantic-ai, answered without it.

Importing it takes a second or two, and a run of it a millisecond, which tests and simulations with a
script would pay for a text that needs neither. What is counted and published is the same.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NamedTuple, NoReturn, cast

from agenticaiframework.actors import (
    SESSION,
    WHOLE_RESULT,
    AgentResult,
    ModelRequest,
    Usage,
    agent_context,
    as_data,
    is_a,
    model_turn,
    part_sink,
)

from ..content.contents import read_payload
from ..content.prompts import UnsendablePayload
from ..metering.sent import SentRequest
from ..metering.tracing import tracer_provider
from ..providers.interposed import interposed, is_interposed
from ..providers.names import UnknownModel, read_model_name
from ..providers.settings import is_set
from ..scripted.script import Asked, PlainScript, Script, ScriptedRequest, awaited, called

_OVERHEAD: Final = 50
_BETWEEN_TOKENS: Final = re.compile(r'[\s",.:]+')


class _Name(NamedTuple):
    model_name: str
    system: str = "function"


def is_plain(request: ModelRequest, script: Script) -> bool:
    """Tell whether *request* asks for no more than a text or a mapping of *script*."""
    spec = request.spec
    if not isinstance(script, PlainScript) or request.output is not None or request.payload is None:
        return False
    if not is_a(request.instructions, str, type(None)):
        return False
    if spec is not None:
        used = (spec.tools, spec.usage_limits, spec.fallback_models, spec.guardrails)
        if spec.typed or any(used) or spec.wrapped is not None or spec.model_settings is not None:
            return False
        if spec.history is not None and spec.history is not False:
            return False
    context = agent_context()
    if context:
        in_session = context.get(SESSION) and (spec is None or spec.history is not False)
        if in_session or WHOLE_RESULT in context or context.journal is not None:
            return False
        if model_turn() is not None or part_sink() is not None:
            return False
    if is_interposed() and interposed(request.agent) is not None:
        return False
    return tracer_provider() is None and not _is_limited(request.model)


def _is_limited(model: object) -> bool:
    """Tell whether something is set for the provider of *model*."""
    if not isinstance(model, str):
        return True
    try:
        name = read_model_name(model)
    except UnknownModel:
        return False
    return is_set(name.service)


async def answer_plainly(request: ModelRequest, script: Script, asked: Asked) -> AgentResult | None:
    """Return the result of *request*, which `is_plain`; None if the answer needs pydantic-ai.

    The script is not asked again then: *asked* gives its answer, or its error.
    """
    try:
        payload = read_payload(request.payload)
    except UnsendablePayload:
        return None
    if payload.history or not isinstance(payload.content, str):
        return None
    instructions = (request.instructions or "").strip() or None
    seen = ScriptedRequest(
        agent=request.agent,
        payload=request.payload,
        model=request.model,
        session=agent_context().get(SESSION),
        instructions=instructions,
        prompt=payload.content,
    )
    name = request.model if isinstance(request.model, str) else "scripted"
    sent = await SentRequest(_Name(name), streamed=False).admitted()
    try:
        answer = await awaited(called(script, seen))
    except Exception as error:
        # It may be one that is tried again.
        failed = error
    except BaseException as error:
        sent.failed(error)
        raise
    else:
        text = _text_of(answer)
        if text is not None:
            sent.ended(_usage(payload.content, text))
            return AgentResult(text.strip() if answer is text else answer)
        sent.withdrawn()
        asked.first = lambda: answer
        return None
    sent.withdrawn()

    def fail() -> NoReturn:
        raise failed

    asked.first = fail
    return None


def _text_of(answer: Any) -> str | None:
    """Return what a model writes that answers with *answer*; None if that is neither text nor a mapping."""
    if type(answer) is str:
        return answer if answer.strip() else None
    if type(answer) is dict:
        return json.dumps(as_data(cast(Any, answer)), ensure_ascii=False, default=str)
    return None


def _usage(prompt: str, answer: str) -> Usage:
    """Return what a request took by the estimate that pydantic-ai makes for a model that is a function."""
    # Without a price: none is asked for.
    return Usage(1, 0, _OVERHEAD + _tokens(prompt), _tokens(answer), unpriced_requests=1)


def _tokens(text: str) -> int:
    return len(_BETWEEN_TOKENS.split(text.strip())) if text else 0


__all__ = ["answer_plainly", "is_plain"]
