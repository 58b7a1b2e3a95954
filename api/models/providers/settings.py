"""What a program says about a provider: where it is, its key, and how much it may be asked.

State here belongs to the process, because a provider's name means the same in every system; changes
are single assignments and so safe from any thread. What is counted against the limits belongs to each
system (`limits`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

from agenticaiframework.actors import AgenticError, near_names

_NAME: Final = re.compile(r"[a-z][a-z0-9_/.-]*(:\S+)?")


class ProviderDefinitionError(AgenticError):
    """`set_provider` was given something that does not work; the error shows what does."""

    def __init__(self, provider: object, problem: str, form: str) -> None:
        end = "" if problem.endswith("?") else "."
        super().__init__(f"set_provider({provider!r}): {problem}{end} Write {form}")
        self.provider = provider


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """How a provider is reached and how much it is asked. See `set_provider`."""

    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    concurrent: int | None = None
    retries: int = 2
    max_wait_s: float = 60.0
    failures: int = 10
    reset_after_s: float = 15.0


DEFAULTS: Final = ProviderSettings()

_providers: dict[str, ProviderSettings] = {}

# What is listened to on this machine by default, for names that need no key.
_LOCAL_URLS: Final = {
    "ollama": ("OLLAMA_BASE_URL", "http://localhost:11434/v1"),
    "vllm": ("VLLM_BASE_URL", "http://localhost:8000/v1"),
    "lmstudio": ("LMSTUDIO_BASE_URL", "http://localhost:1234/v1"),
    "llamacpp": ("LLAMACPP_BASE_URL", "http://localhost:8080/v1"),
}


def set_provider(
    name: str,
    /,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    requests_per_minute: float | None = None,
    tokens_per_minute: float | None = None,
    concurrent: int | None = None,
    retries: int | None = None,
    max_wait_s: float | None = None,
    failures: int | None = None,
    reset_after_s: float | None = None,
    **unknown: Any,
) -> Callable[[], None]:
    """Say where the provider *name* is and how much all agents together may ask it.

    ::

        set_provider("openai", requests_per_minute=500, tokens_per_minute=200_000, concurrent=50)
        set_provider("house", base_url="http://gpu:8000/v1", api_key=os.environ["HOUSE_KEY"])
        writer = Agent("writer", model="house:qwen3")

    A *name* of pydantic-ai's (``openai``, ``anthropic``, ...) is that provider, which *base_url* and
    *api_key* can point elsewhere. Any other is a server that speaks OpenAI's chat format; it is sent
    *api_key*, and never the key of another provider. ``"openai:gpt-4o"`` sets limits of one model,
    which count beside its provider's.

    Limits count in each system, for all its agents, in the order in which they ask; waiting counts
    within the time that the asker gives. *retries* is how often a request is sent again after a
    connection error, a 5xx, or a 429 that asks to wait (2; 0: never), and *max_wait_s* how long such
    a wait may be where the asker gives no limit (60 s). After *failures* failed attempts in a row (10)
    requests fail at once for *reset_after_s* seconds (15), and then one may try.

    Counts for requests from now on, in the whole process. Calling it again replaces all of it; the
    call that it returns brings back what was before.
    """
    given: dict[str, Any] = {
        "base_url": base_url,
        "api_key": api_key,
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "concurrent": concurrent,
        "retries": retries,
        "max_wait_s": max_wait_s,
        "failures": failures,
        "reset_after_s": reset_after_s,
    }
    if unknown:
        option = next(iter(unknown))
        form = 'set_provider("house", base_url="http://gpu:8000/v1", api_key=...)'
        raise ProviderDefinitionError(
            name, f"{option!r} is not an option. {near_names(option, given)}", form
        )
    given = {key: value for key, value in given.items() if value is not None}
    _check(name, given)
    before = _providers.get(name)
    settings = _providers[name] = replace(DEFAULTS, **given)

    def undo() -> None:
        if _providers.get(name) is settings:
            if before is None:
                del _providers[name]
            else:
                _providers[name] = before

    return undo


def provider_settings(name: str) -> ProviderSettings:
    """Return what was set for *name*, else the defaults."""
    return _providers.get(name, DEFAULTS)


def forget_providers() -> None:
    """Forget all that `set_provider` was given."""
    _providers.clear()


def is_set(name: str) -> bool:
    """Tell whether `set_provider` was called for *name*."""
    return name in _providers


def default_url(provider: str, environment: Any) -> str | None:
    """Return where *provider* is by convention: its variable of the environment, or its usual port."""
    found = _LOCAL_URLS.get(provider)
    return None if found is None else environment.get(found[0]) or found[1]


def _check(name: Any, given: dict[str, Any]) -> None:
    form = 'set_provider("openai", requests_per_minute=500, concurrent=50)'
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ProviderDefinitionError(name, "a provider's name is a word in small letters", form)
    if name.partition(":")[0] in ("local", "scripted", "test"):
        raise ProviderDefinitionError(name, f"{name!r} is a name of this library's", form)
    if ":" in name and ("base_url" in given or "api_key" in given):
        provider = name.partition(":")[0]
        form = f'set_provider("{provider}", base_url=..., api_key=...)'
        raise ProviderDefinitionError(name, "base_url and api_key belong to a provider", form)
    url = given.get("base_url")
    if url is not None and not _is_url(url):
        form = f'set_provider({name!r}, base_url="http://127.0.0.1:8000/v1")'
        raise ProviderDefinitionError(name, f"base_url is not an http(s) URL: {url!r}", form)
    for key, least in _LEAST.items():
        value = given.get(key)
        if value is None:
            continue
        whole = key in ("concurrent", "retries", "failures")
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            kind = "a whole number" if whole else "a number"
            raise ProviderDefinitionError(name, f"{key} is {kind}, not {value!r}", form)
        if not (least <= value < float("inf")) or (
            least == 0.0 and value == 0 and key in _POSITIVE
        ):
            raise ProviderDefinitionError(
                name, f"{key} is too small or not finite: {value!r}", form
            )


_LEAST: Final = {
    "requests_per_minute": 0.0,
    "tokens_per_minute": 0.0,
    "concurrent": 1,
    "retries": 0,
    "max_wait_s": 0.0,
    "failures": 1,
    "reset_after_s": 0.0,
}
_POSITIVE: Final = ("requests_per_minute", "tokens_per_minute", "reset_after_s")


def _is_url(url: object) -> bool:
    if not isinstance(url, str):
        return False
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.hostname)
