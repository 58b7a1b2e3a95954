"""Scripts that answer for models: with pydantic-ai where it is installed, else as plain functions."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any, Final, cast

from agenticaiframework.actors import (
    NO_USAGE,
    AgentResult,
    Answer,
    MissingExtra,
    ModelRequest,
    TextDelta,
    ThinkingDelta,
    agent_context,
    part_sink,
)

from ..content.output_types import json_schema_of
from ..content.prompts import render_prompt
from ..scripted.fixed_answers import scripted_answer
from ..scripted.script import (
    ASKED,
    Asked,
    PlainScript,
    Script,
    Scripted,
    ScriptedRequest,
    awaited,
    called,
)
from .plain import answer_plainly, is_plain
from .running import run_on_pydantic_ai


async def run_fixed(request: ModelRequest) -> Any:
    """Return the answer of the model ``scripted``."""
    return await run_script(request, FIXED)


FIXED: Final = PlainScript(scripted_answer)


async def run_script(request: ModelRequest, script: Script) -> Any:
    """Return the result of *request*, with *script* in the place of its model.

    Where pydantic-ai is installed, it makes the request, with the agent's tools, types and sessions; the
    script's model has to be the one that it opens. A request that uses nothing of it is answered without
    it, with the same result. Where it is not installed, the script's answer is the agent's.
    """
    if not pydantic_ai_is_here():
        return await _without_pydantic_ai(request, script)
    asked = Asked(request.agent, request.payload)
    if is_plain(request, script):
        result = await answer_plainly(request, script, asked)
        if result is not None:
            return result
    token = ASKED.set(asked)
    try:
        result = await run_on_pydantic_ai(request)
    finally:
        ASKED.reset(token)
    text = None if asked.text is None else asked.text.strip()
    said: Any = result.output
    if isinstance(said, dict) and len(cast("dict[str, Any]", said)) == 1:
        said = next(iter(cast("dict[str, Any]", said).values()))
    # An answer that is not text has come through as JSON; it is given as the script gave it.
    return replace(result, output=asked.answered) if text is not None and said == text else result


def pydantic_ai_is_here() -> bool:
    """Tell whether pydantic-ai can be imported."""
    if "pydantic_ai" in sys.modules:
        return cast(Any, sys.modules["pydantic_ai"]) is not None
    return importlib.util.find_spec("pydantic_ai") is not None


async def _without_pydantic_ai(request: ModelRequest, script: Script) -> Any:
    spec = request.spec
    seen = ScriptedRequest(
        agent=request.agent,
        payload=request.payload,
        model=request.model,
        session=agent_context().get("session"),
        instructions=request.instructions,
        tools=() if spec is None else (*spec.tools, *spec.handoffs),
        schema=request.output if spec is None else json_schema_of(spec),
        prompt=render_prompt(request.payload),
        streamed=part_sink() is not None,
    )
    answer = await awaited(called(script, seen))
    if isinstance(answer, (Scripted, Answer)):
        whole: Any = await _whole(request, answer.output)
        return AgentResult(whole, answer.usage or NO_USAGE)
    return await _whole(request, answer)


async def _whole(request: ModelRequest, answer: Any) -> Any:
    """Return *answer*, or the text of its parts, which are streamed as they come."""
    if isinstance(answer, AsyncIterator):
        parts = [part async for part in cast("AsyncIterator[Any]", answer)]
    elif isinstance(answer, Iterator):
        parts = list(cast("Iterator[Any]", answer))
    else:
        parts = [answer]
    sink = part_sink()
    texts: list[str] = []
    for part in parts:
        if isinstance(part, (str, TextDelta)):
            texts.append(part if isinstance(part, str) else part.text)
            if sink is not None:
                sink.send(TextDelta(texts[-1]))
        elif isinstance(part, ThinkingDelta):
            if sink is not None:
                sink.send(part)
        elif _is_for_a_model(part):
            raise MissingExtra(f"A script of {request.agent!r} that calls tools", "llm")
        else:
            return part
    return "".join(texts)


def _is_for_a_model(part: Any) -> bool:
    return type(part).__name__ in ("ToolCall", "ToolCallPart") or (
        isinstance(part, list) and any(map(_is_for_a_model, cast("list[Any]", part)))
    )
