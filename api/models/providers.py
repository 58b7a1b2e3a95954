"""Which runner answers a model agent, by its model."""

from __future__ import annotations

from agenticaiframework.actors import ModelRunner

from .names import read_model_name


def model_runner(model: object) -> ModelRunner:
    """Return the runner for *model*; raises `UnknownModel` for a name that no provider claims."""
    if isinstance(model, str) and read_model_name(model).provider == "scripted":
        from .scripted import run_scripted

        return run_scripted
    from .pydantic_ai import pydantic_ai_runner

    return pydantic_ai_runner(model)
