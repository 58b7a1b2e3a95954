"""Which failed requests are sent again, and after how long.

The one place that decides: the clients that are opened here do not retry by themselves. A request is
sent again when it did nothing yet: it was refused (429, 503, 529), or never arrived. What may have
been worked on (a 500, a connection that broke while the answer was awaited) has at most cost
something, and is sent again too; but not where the provider itself runs tools with effects. An answer
that took too long, and one that does not fit, are not: the next attempt would fare the same.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Final

from pydantic_ai.exceptions import (
    ModelConnectionError,
    ModelHTTPError,
    ModelQuotaExceededError,
    ModelTimeoutError,
)

from agenticaiframework.actors import http_status_of, retry_after_of

# Refused before anything was done.
_REFUSED: Final = frozenset({429, 503, 529})
# 408 and 409 are what OpenAI and Anthropic answer where the same request may succeed later.
_PASSING: Final = frozenset({408, 409, 500, 502, 504, 520, 521, 522, 523, 524})
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 8.0

# Tools that run at the provider and only read.
_READING_TOOLS: Final = frozenset(
    {
        "WebSearchTool",
        "WebFetchTool",
        "UrlContextTool",
        "FileSearchTool",
        "CodeExecutionTool",
        "ImageGenerationTool",
        "XSearchTool",
    }
)


@dataclass(frozen=True, slots=True)
class Failure:
    """What a failed attempt means for the next one, for others of the provider, and for its breaker."""

    again: bool
    """Whether the request may be sent again."""
    asked_s: float | None
    """How long the provider asks to wait."""
    outage: bool
    """Whether it counts as a failure of the provider, and not of the request."""
    limited: bool
    """Whether the provider is over its limit, so that others should wait too."""


def read_failure(error: Exception, *, effects: bool) -> Failure:
    """Return what *error* means. *effects*: the provider may have done more than answering."""
    asked_s = retry_after_of(error)
    if isinstance(error, ModelHTTPError):
        status = error.status_code
        if isinstance(error, ModelQuotaExceededError):
            return Failure(False, asked_s, False, False)
        told = (error.headers or {}).get("x-should-retry")
        refused = status in _REFUSED
        again = (refused or (status in _PASSING and not effects)) and told != "false"
        again = again or (told == "true" and not effects)
        limited = status == 429 or (refused and asked_s is not None)
        return Failure(again, asked_s, status >= 500, limited)
    if isinstance(error, ModelTimeoutError):
        return Failure(error.phase in ("pool", "connect"), asked_s, error.phase != "pool", False)
    if isinstance(error, ModelConnectionError):
        unsent = error.phase in ("pool", "connect")
        return Failure(unsent or not effects, asked_s, error.phase != "pool", False)
    if isinstance(error, (ConnectionError, TimeoutError)):
        return Failure(False, asked_s, True, False)  # no provider's: pydantic-ai names those
    said = http_status_of(error)
    return Failure(False, asked_s, said is not None and said >= 500, said == 429)


def wait_before(attempt: int, asked_s: float | None, rng: random.Random) -> float:
    """Return how long to wait after the failed *attempt* (1, 2, ...): what was asked for, or 0.5, 1, 2,
    ... up to 8 s, of which up to a quarter is left to chance, so that those that failed together do
    not come back together."""
    if asked_s is not None:
        return asked_s
    full_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** (attempt - 1))
    return full_s * (1.0 - 0.25 * rng.random())


def has_effects(parameters: Any) -> bool:
    """Tell whether the provider runs tools for the request that may do more than read."""
    tools = getattr(parameters, "native_tools", None) or ()
    return any(type(tool).__name__ not in _READING_TOOLS for tool in tools)
