"""What a model's name means: which provider runs it, and under which name the provider knows it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Final, Literal

from agenticaiframework.actors import AgenticError

from ..local.weights import SMOLLM2

Provider = Literal["scripted", "local", "pydantic-ai"]


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


# Names of pydantic-ai's for several interfaces of one service.
_SERVICES = {
    "openai-chat": "openai",
    "openai-responses": "openai",
    "azure-responses": "azure",
}
_AT_URL = re.compile(r"(?P<name>.+?)@(?P<url>https?://[^\s/].*)")


def without_login(url: str) -> str:
    """Return *url* without the login in it.

    >>> without_login("http://me:secret@gpu:8000/v1")
    'http://gpu:8000/v1'
    """
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


KNOWN_PROVIDERS: Final = (
    *("anthropic", "azure", "bedrock", "cerebras", "cohere", "deepseek", "fireworks", "google"),
    *("groq", "heroku", "huggingface", "llamacpp", "lmstudio", "local", "meta", "mistral"),
    *("moonshotai", "ollama", "openai", "openrouter", "sambanova", "snowflake", "together"),
    *("vercel", "vllm", "xai"),
)
"""Providers that a misspelt name may mean."""


def near_model(name: str) -> str:
    """Return the hint to a name that *name* may be a slip of; nothing where none is near.

    >>> near_model("opnai:gpt-4o"), near_model("clade-3"), near_model("house:qwen3")
    (" Did you mean 'openai:gpt-4o'?", " Did you mean 'claude-3'?", '')
    """
    provider, colon, rest = name.partition(":")
    if colon:
        close = get_close_matches(provider.lower(), KNOWN_PROVIDERS, n=1, cutoff=0.75)
        meant = f"{close[0]}:{rest}" if close and rest else ""
    else:
        family, dash, rest = name.partition("-")
        families = {prefix.rstrip("-") for prefix, _ in _PREFIXES if prefix.endswith("-")}
        close = get_close_matches(family.lower(), sorted(families), n=1, cutoff=0.66)
        meant = f"{close[0]}-{rest}" if close and dash else ""
    return f" Did you mean {meant!r}?" if meant and meant != name else ""


class UnknownModel(AgenticError):
    """A model's name has no provider."""

    def __init__(self, model: object) -> None:
        hint = near_model(model) if isinstance(model, str) else ""
        if isinstance(model, type):
            hint = f" It is a class: give an object of it, model={model.__name__}(...)."
        super().__init__(
            f"Unknown model {model!r}.{hint} Forms that work: 'local' (a small model on this machine), "
            "'scripted' (fixed answers, offline), 'openai:gpt-4o-mini' (any name of pydantic-ai's, "
            "'provider:model'), 'openai:name@http://host:8000/v1' (a server that speaks OpenAI's format), "
            "'house:name' after set_provider('house', base_url=...), or a model object of pydantic-ai."
        )
        self.model = model


@dataclass(frozen=True, slots=True)
class ModelName:
    """A name that has been read: its provider, and what the provider calls the model."""

    provider: Provider
    name: str
    base_url: str | None = None
    """Where it is, if its name says that."""

    @property
    def written(self) -> str:
        """The name as an agent is given it."""
        name = self.name.replace("openai-chat:", "openai:", 1)
        return name if self.base_url is None else f"{name}@{without_login(self.base_url)}"

    @property
    def service(self) -> str:
        """What its limits count for: the name of its provider, or where it is."""
        if self.base_url is not None:
            return without_login(self.base_url)
        if self.provider != "pydantic-ai":
            return self.provider
        prefix = self.name.partition(":")[0]
        return _SERVICES.get(prefix, prefix)

    @property
    def model(self) -> str:
        """What its provider calls it."""
        return self.name.partition(":")[2] or self.name


def read_model_name(model: str) -> ModelName:
    """Return the provider of *model*; raises `UnknownModel` for a name that no provider claims.

    >>> read_model_name("gpt-4o-mini")
    ModelName(provider='pydantic-ai', name='openai-chat:gpt-4o-mini', base_url=None)
    >>> read_model_name("openai:qwen3@http://localhost:8000/v1")
    ModelName(provider='pydantic-ai', name='openai-chat:qwen3', base_url='http://localhost:8000/v1')
    >>> read_model_name("local").name
    'smollm2'
    """
    name = model.strip()
    at_url = _AT_URL.fullmatch(name)
    if at_url is not None:
        given = at_url["name"]
        there = read_model_name(given if ":" in given else f"openai:{given}")
        if there.provider != "pydantic-ai":
            raise UnknownModel(model)
        return replace(there, base_url=at_url["url"])
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
