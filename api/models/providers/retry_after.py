"""How long a provider that refuses a request asks to wait, where the agent's caller looks for it."""

from __future__ import annotations

from typing import Any, cast

from agenticaiframework.actors import retry_after_of


def with_retry_after(error: Exception) -> None:
    """Put ``retry_after_s`` on *error*, if the provider has said how long to wait."""
    if getattr(error, "retry_after_s", None) is None:
        asked_s = retry_after_of(error)
        if asked_s is not None:
            cast(Any, error).retry_after_s = asked_s
