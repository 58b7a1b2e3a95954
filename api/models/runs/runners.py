"""Which runner answers a model agent, by its model."""

from __future__ import annotations

from agenticaiframework.actors import ModelRunner

from ..providers.names import read_model_name
from .running import run_on_pydantic_ai


def model_runner(model: object) -> ModelRunner:
    """Return the runner for *model*; raises `UnknownModel` for a name that no provider claims.

    pydantic-ai is imported by the first request, not before: it takes a second and is an extra.
    """
    if isinstance(model, str) and read_model_name(model).provider == "scripted":
        from .scripted import run_fixed

        return run_fixed

    return run_on_pydantic_ai
