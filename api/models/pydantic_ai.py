"""Model agents on pydantic-ai: hosted models by name, the local one, and pydantic-ai's own objects.

pydantic-ai is imported by the first request, not before: it takes a second and is an extra.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from agenticaiframework.actors import MissingExtra, ModelRequest, ModelRunner

from .names import ModelName, UnknownModel, read_model_name
from .prompts import only_text_field, render_prompt
from .retry_after import with_retry_after

if TYPE_CHECKING:
    from pydantic_ai.models import Model
    from pydantic_ai.settings import ModelSettings

# Enough for two paragraphs, and a bound on how long a small machine thinks about them.
LOCAL_MAX_TOKENS = 160
HOSTED_TIMEOUT_S = 120.0
LOCAL_TIMEOUT_S = 300.0


def pydantic_ai_runner(model: object) -> ModelRunner:
    """Return a runner for *model*: a name that pydantic-ai knows, ``local...``, or its Model.

    Raises `UnknownModel` at once for what cannot be one. Importing pydantic-ai waits for the first
    request, which raises `MissingExtra` without it. An error of a provider that asks to wait has
    ``retry_after_s``.
    """
    name = read_model_name(model) if isinstance(model, str) else None

    async def run(request: ModelRequest) -> str | Mapping[str, Any]:
        try:
            return await _answer(request, model, name)
        except Exception as error:
            with_retry_after(error)
            raise

    return run


async def _answer(
    request: ModelRequest, model: object, name: ModelName | None
) -> str | Mapping[str, Any]:
    # On a terminal, pydantic-ai prints a banner at its first run, into whatever is shown there.
    os.environ.setdefault("PYDANTIC_AI_NO_BANNER", "1")
    try:
        if "pydantic_ai" not in sys.modules:
            # A second's work: in a thread, the loop gets its turns meanwhile.
            await asyncio.to_thread(importlib.import_module, "pydantic_ai")
        import pydantic_ai
    except ImportError as error:
        raise MissingExtra(f"The agent {request.agent!r} with model {model!r}", "llm") from error

    text_field = only_text_field(request.output)
    output: Any = str
    if request.output is not None and text_field is None:
        schema = pydantic_ai.StructuredDict(dict(request.output), name="answer")
        # A local model keeps to a schema only when its server enforces it, which the native mode
        # asks for; hosted ones take the way that pydantic-ai knows to be best for them.
        local = name is not None and name.provider == "local"
        output = pydantic_ai.NativeOutput(schema) if local else schema

    async with _opened(model, name) as (opened, settings):
        agent: pydantic_ai.Agent[None, Any] = pydantic_ai.Agent(
            opened, name=request.agent, instructions=request.instructions, output_type=output
        )
        result = await agent.run(render_prompt(request.payload), model_settings=settings)
    answer: str | Mapping[str, Any] = result.output
    if isinstance(answer, str) and result.response.finish_reason == "length":
        answer = whole_sentences(answer)
    if text_field is not None and isinstance(answer, str):
        return {text_field: answer.strip()}
    return answer.strip() if isinstance(answer, str) else answer


_SENTENCE_END = re.compile(r"[.!?][\"')\]]*(?=\s|\Z)")


def whole_sentences(text: str) -> str:
    """Return *text* without the unfinished sentence at its end, if most of it remains.

    >>> whole_sentences("Rivers bend. They do so because the")
    'Rivers bend.'
    """
    ends = [found.end() for found in _SENTENCE_END.finditer(text)]
    return text[: ends[-1]] if ends and 3 * ends[-1] > len(text) else text


@asynccontextmanager
async def _opened(
    model: object, name: ModelName | None
) -> AsyncGenerator[tuple[Model, ModelSettings], None]:
    """Give the model object for one request, and close its connections afterwards.

    One request, one client: a client kept for later belongs to the event loop that made it, and
    nothing would close it when that loop ends.
    """
    from pydantic_ai.models import Model, infer_model

    if name is None:
        if not isinstance(model, Model):
            raise UnknownModel(model)
        yield model, {}
        return
    if name.provider == "local":
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider

        from .local import local_server

        endpoint = await local_server(name.name).endpoint()
        provider = OpenAIProvider(base_url=endpoint.base_url, api_key=endpoint.api_key)
        async with OpenAIChatModel(name.name, provider=provider) as opened:
            yield opened, local_settings()
        return
    # Making a client reads the certificates from disk, which takes a while.
    async with await asyncio.to_thread(infer_model, name.name) as opened:
        yield opened, {"timeout": HOSTED_TIMEOUT_S}


def local_settings() -> ModelSettings:
    """Return how the local model is sampled: bounded, repeatable, and not going in circles."""
    return {
        "max_tokens": LOCAL_MAX_TOKENS,
        "temperature": 0.0,
        "seed": 1,
        "timeout": LOCAL_TIMEOUT_S,
        "extra_body": {"repeat_penalty": 1.1},
    }
