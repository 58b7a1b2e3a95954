"""The errors of asking providers: failures of one request, which say when to come back.

Here and not where they are raised, so that they can be caught without importing pydantic-ai.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agenticaiframework.actors import (
    AgenticError,
    RequestRejected,
    is_model_error,
    message_of,
    retry_after_of,
)


class ModelNotReady(AgenticError):
    """A hosted model cannot be asked: its key is missing, or pydantic-ai does not know its name."""

    def __init__(self, model: str, why: str) -> None:
        super().__init__(
            f"The model {model!r} cannot be asked: {why} "
            "Without network and key there are 'local' and 'scripted' (--model scripted)."
        )
        self.model = model
        self.why = why


class ProviderLimitReached(RequestRejected):
    """A request would have had to wait longer than its asker does. ``retry_after_s`` says how long."""

    def __init__(self, provider: str, why: str, retry_after_s: float, patience_s: float) -> None:
        super().__init__(
            f"{provider!r} may not be asked for another {retry_after_s:.3g} s ({why}), and this request "
            f"waits {patience_s:.3g} s at most. Give the ask more time, raise the limit with "
            "set_provider, or name fallback_models."
        )
        self.provider = provider
        self.retry_after_s = retry_after_s


class ProviderUnavailable(RequestRejected):
    """A provider was not asked, because it keeps failing. ``retry_after_s`` says until when."""

    def __init__(self, provider: str, failures: int, last: str, retry_after_s: float) -> None:
        super().__init__(
            f"The provider {provider!r} is not asked for another {retry_after_s:.3g} s: {failures} "
            f"requests in a row failed, the last with {last}. Name fallback_models, or ask later."
        )
        self.provider = provider
        self.retry_after_s = retry_after_s


class ModelsFailed(AgenticError):
    """Every model of an agent failed. ``reasons`` has each by its name, in order (the second of a name
    as ``name (2)``); ``errors`` what they raised.

    Expected, as the failure of one request, if that is so for at least one of them.
    ``retry_after_s`` is how long the first to be free again asks to wait; ``failed_attempts`` are the
    requests that were sent, as pydantic-ai tells of them.
    """

    def __init__(
        self, errors: Sequence[tuple[str, Exception]], attempts: Sequence[Any] = ()
    ) -> None:
        self.reasons: dict[str, str] = {}
        for name, error in errors:
            of_name = sum(each == name or each.startswith(f"{name} (") for each in self.reasons)
            key = f"{name} ({of_name + 1})" if of_name else name
            self.reasons[key] = reason_of(error)
        self.errors = [error for _, error in errors]
        self.failed_attempts = list(attempts)
        told = "; ".join(f"{name}: {reason}" for name, reason in self.reasons.items())
        super().__init__(f"None of {len(errors)} models answered. {told}")
        self.expected = any(map(is_expected_of_model, self.errors))
        asked = [s for error in self.errors if (s := retry_after_of(error)) is not None]
        if asked:
            self.retry_after_s = min(asked)


def is_expected_of_model(error: Exception) -> bool:
    return getattr(error, "expected", False) is True or is_model_error(error)


def reason_of(error: Exception) -> str:
    return f"{type(error).__name__}: {message_of(error)}"
