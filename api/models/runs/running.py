"""One request to a model agent: its payload becomes a run of pydantic-ai, and that an `AgentResult`."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, TypeAlias

from agenticaiframework.actors import AgentResult, MissingExtra, ModelRequest, ModelSpec

from ..content.unfit import UnfitAnswer, form_of, problems_of, tries_of
from ..metering.run_limits import limit_reached
from ..providers.retry_after import with_retry_after

_Run: TypeAlias = Callable[[ModelRequest, ModelSpec], Awaitable[AgentResult]]

_LOADED_LATER: Final = (
    "..durability.approval",
    "..durability.durable",
    "..scripted.chat",
    "..sessions.asking",
    "..tools.building",
    ".containing",
    ".streaming",
)
"""What a request imports in the place where it needs it, which is on the loop."""

_run: _Run | None = None
"""What makes a request: imported by the first, as it imports pydantic-ai."""
_MOST_NAMES: Final = 10_000

_imported: set[str] = set()
"""The names of models whose provider's library is imported; a name that means nothing, too."""


async def run_on_pydantic_ai(request: ModelRequest) -> AgentResult:
    """Return the result of *request*, asked of its model by pydantic-ai.

    An error of a provider that asks to wait has ``retry_after_s``. Raises `MissingExtra` where
    pydantic-ai is not installed. Where the answer is streamed, its parts are sent as they come.
    """
    run = _run
    if run is None or (isinstance(request.model, str) and request.model not in _imported):
        # Also where another request has begun to import it: what is half imported cannot be used.
        run = await _import_for(request)
    spec = request.spec
    if spec is None:
        spec = ModelSpec(
            request.agent, request.model, request.instructions, output_schema=request.output
        )
    elif spec.model is not request.model:
        spec = replace(spec, model=request.model)
    try:
        return await run(request, spec)
    except Exception as error:
        reached = limit_reached(error, spec)
        if reached is not None:
            raise reached from error
        with_retry_after(error)
        unfit = unfit_answer(request, error)
        if unfit is not None:
            raise unfit from error
        raise


def unfit_answer(request: ModelRequest, error: Exception) -> UnfitAnswer | None:
    """Return what *error* is for the agent's asker, if it says that the model's tries are used up."""
    # pydantic-ai has no class for it.
    kind = type(error)
    if kind.__name__ != "UnexpectedModelBehavior" or "output retries" not in str(error):
        return None
    spec = request.spec or ModelSpec(request.agent, output_schema=request.output)
    problems = problems_of(error.__cause__)
    return UnfitAnswer(spec.agent, form_of(spec), problems, tries=tries_of(spec))


async def _import_for(request: ModelRequest) -> _Run:
    """Return what makes requests, with all imported that *request* needs.

    Two seconds' work: in a thread, the loop gets its turns meanwhile.
    """
    global _run
    try:
        _run = await asyncio.to_thread(_import_all, request.model)
    except ImportError as error:
        local = isinstance(request.model, str) and request.model.partition(":")[0] == "local"
        raise MissingExtra(
            f"The agent {request.agent!r} with model {request.model!r}",
            "local-llm" if local else "llm",
        ) from error
    if isinstance(request.model, str):
        if len(_imported) >= _MOST_NAMES:
            _imported.clear()
        _imported.add(request.model)
    return _run


def _import_all(model: object) -> _Run:
    importlib.import_module("pydantic_ai")
    for name in _LOADED_LATER:
        importlib.import_module(name, __package__)
    from ..providers.clients import import_provider
    from .one_run import run_once

    import_provider(model)
    return run_once
