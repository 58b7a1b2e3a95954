"""What a model's name means: which provider runs it, and under which name the provider knows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agenticaiframework.actors import AgenticError

Provider = Literal["scripted", "local", "pydantic-ai"]

SMOLLM2 = "smollm2"

# Plain names on hosted services, by how they begin: so that `model="gpt-4"` works as written.
_PREFIXES = (
    ("gpt-", "openai"),
    ("chatgpt-", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
    ("claude-", "anthropic"),
    ("gemini-", "google"),
    ("mistral-", "mistral"),
    ("command-", "cohere"),
    ("grok-", "xai"),
)


class UnknownModel(AgenticError):
    """A model's name has no provider."""

    def __init__(self, model: object) -> None:
        super().__init__(
            f"Unknown model {model!r}. Forms that work: 'local' (a small model on this machine), "
            "'scripted' (fixed answers, offline), 'openai:gpt-4o-mini' (any name of pydantic-ai's, "
            "'provider:model'), or a model object of pydantic-ai."
        )
        self.model = model


@dataclass(frozen=True, slots=True)
class ModelName:
    """A name that has been read: its provider, and what the provider calls the model."""

    provider: Provider
    name: str


def read_model_name(model: str) -> ModelName:
    """Return the provider of *model*; raises `UnknownModel` for a name that no provider claims.

    >>> read_model_name("gpt-4o-mini")
    ModelName(provider='pydantic-ai', name='openai-chat:gpt-4o-mini')
    >>> read_model_name("local")
    ModelName(provider='local', name='smollm2')
    """
    name = model.strip()
    if name == "scripted":
        return ModelName("scripted", name)
    if name == "local":
        return ModelName("local", SMOLLM2)
    provider, colon, rest = name.partition(":")
    if provider == "local":
        if rest == SMOLLM2 or rest.endswith(".gguf"):
            return ModelName("local", rest)
        raise UnknownModel(model)
    if name == "test":
        return ModelName("pydantic-ai", name)
    if not colon:
        provider = next((p for prefix, p in _PREFIXES if name.startswith(prefix)), "")
        rest = name
    if not provider or not rest:
        raise UnknownModel(model)
    # The chat format, because every server that calls itself compatible with OpenAI's speaks it;
    # pydantic-ai's own default for the prefix differs between its versions.
    if provider == "openai":
        provider = "openai-chat"
    return ModelName("pydantic-ai", f"{provider}:{rest}")
