"""Whether a model can be asked at all: found out before any agent runs."""

from __future__ import annotations

import importlib.util

from agenticaiframework.actors import MissingExtra

from ..local.weights import check_local_model
from .names import read_model_name
from .settings import provider_settings


def check_model(model: str) -> None:
    """Raise what would fail on the first request to *model*, as far as this machine can tell.

    `UnknownModel`, `MissingExtra`, `LocalModelUnavailable` or `ModelNotReady`. Nothing is sent and
    nothing is loaded, but pydantic-ai is imported for a hosted model, which takes a second.
    """
    name = read_model_name(model)
    if name.provider == "scripted":
        return
    if name.provider == "local":
        check_local_model(name.name)
    if importlib.util.find_spec("pydantic_ai") is None:
        # The extra of the local model has all that it needs.
        raise MissingExtra(
            f"The model {model!r}", "local-llm" if name.provider == "local" else "llm"
        )
    if name.provider == "local":
        return
    from .clients import model_and_provider

    settings = provider_settings(name.service)
    model_and_provider(name, name.base_url or settings.base_url, settings.api_key)
