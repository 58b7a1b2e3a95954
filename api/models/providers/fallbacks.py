"""Several models for one agent: the next is asked where one does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

from pydantic_ai import RunContext
from pydantic_ai.exceptions import ModelRequestTimeout, RunCancelled, UsageLimitExceeded
from pydantic_ai.messages import ModelMessage, ModelRequestAttempt, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings, merge_model_settings

from agenticaiframework.actors import MissingExtra, UsageLimitReached

from ..local.weights import LocalModelUnavailable
from ..metering.spending import MeteredWithin
from .errors import ModelNotReady, ModelsFailed, is_expected_of_model, reason_of
from .guarded import GuardedModel

# How long a model that has another one behind it may keep a request waiting: for its limits, or
# between two attempts.
PATIENCE_S: Final = 2.0


@dataclass(slots=True, eq=False)
class Candidate:
    """A model by its name, opened when it is asked for the first time."""

    name: str
    open: Callable[[], Awaitable[GuardedModel]]


@dataclass(slots=True, eq=False)
class _Tried:
    """What the models before said. One for each request."""

    errors: list[tuple[str, Exception]] = field(default_factory=list[tuple[str, Exception]])
    attempts: list[ModelRequestAttempt] = field(default_factory=list[ModelRequestAttempt])

    def note(self, name: str, error: Exception, started: datetime) -> None:
        """Remember that the model *name* failed; raise *error* if no other would fare better."""
        if not falls_back(error):
            raise error
        self.errors.append((name, error))
        sent: Any = getattr(error, "failed_attempts", None)
        if sent:
            self.attempts.extend(sent)
            return
        provider, _, model = name.rpartition(":")
        self.attempts.append(
            ModelRequestAttempt(
                model_name=model,
                provider_name=provider or None,
                outcome="error",
                error=reason_of(error),
                timestamp=started,
                duration=datetime.now(UTC) - started,
            )
        )


class FallbackModels(MeteredWithin, FallbackModel):
    """*candidates*, asked in their order until one answers; *first* is the first that can be opened.

    A model of fallbacks of pydantic-ai, which leaves to each model what it prepares and how long it may
    take; but one that opens them when they are needed, and knows their limits.

    The first failure of a model sends the request on, after short waits at most (`PATIENCE_S`); the
    last one is retried as if it stood alone. The answer says in ``failed_attempts`` what failed before.
    """

    def __init__(self, first: Model, candidates: Sequence[Candidate]) -> None:
        super().__init__(first)
        self._first = first
        self._candidates = tuple(candidates)

    @classmethod
    async def of(cls, candidates: Sequence[Candidate]) -> FallbackModels:
        """Return the model of all *candidates*; only the first is opened, if it can be."""
        errors: list[tuple[str, Exception]] = []
        for candidate in candidates:
            try:
                return cls(await candidate.open(), candidates)
            except Exception as error:
                if not falls_back(error):
                    raise
                errors.append((candidate.name, error))
        raise ModelsFailed(errors) from errors[-1][1]

    @property
    def model_name(self) -> str:
        """The name of the first."""
        return self._first.model_name

    @property
    def model_id(self) -> str:
        """The full name of the first."""
        return self._first.model_id

    @property
    def system(self) -> str:
        """The provider of the first."""
        return self._first.system

    @cached_property
    def profile(self) -> ModelProfile:
        """What the first model can do; each prepares its requests by its own profile."""
        return self._first.profile

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Return the answer of the first model that gives one."""
        tried = _Tried()
        for candidate in self._candidates:
            started = datetime.now(UTC)
            try:
                model = await candidate.open()
                settings = merge_model_settings(model.settings, model_settings)
                async with _timeout(model, settings):
                    response = await model.request_within(
                        messages, settings, model_request_parameters, self._limit_s(candidate)
                    )
            except Exception as error:
                tried.note(candidate.name, error, started)
                continue
            if tried.attempts:
                before = [*tried.attempts, *(response.failed_attempts or ())]
                return replace(response, failed_attempts=before)
            return response
        raise ModelsFailed(tried.errors, tried.attempts) from tried.errors[-1][1]

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Give the stream of the first model that begins one."""
        tried = _Tried()
        for candidate in self._candidates:
            started = datetime.now(UTC)
            async with AsyncExitStack() as stack:
                try:
                    model = await candidate.open()
                    settings = merge_model_settings(model.settings, model_settings)
                    opened = model.stream_within(
                        messages,
                        settings,
                        model_request_parameters,
                        run_context,
                        self._limit_s(candidate),
                    )
                    stream = await stack.enter_async_context(opened)
                except Exception as error:
                    tried.note(candidate.name, error, started)
                    continue
                if tried.attempts:
                    stream.failed_attempts = [*tried.attempts, *(stream.failed_attempts or ())]
                yield stream
                return
        raise ModelsFailed(tried.errors, tried.attempts) from tried.errors[-1][1]

    def _limit_s(self, candidate: Candidate) -> float | None:
        return None if candidate is self._candidates[-1] else PATIENCE_S


@asynccontextmanager
async def _timeout(model: Model, settings: ModelSettings | None) -> AsyncGenerator[None]:
    """End a request after its ``request_timeout``, which is for one model, and not for all of them."""
    limit_s = None if settings is None else settings.get("request_timeout")
    limit = asyncio.timeout(limit_s)
    try:
        async with limit:
            yield
    except TimeoutError:
        if limit_s is None or not limit.expired():
            raise
        raise ModelRequestTimeout(model.model_name, limit_s) from None


def falls_back(error: Exception) -> bool:
    """Tell whether another model may fare better: not where the request or the program is at fault."""
    if isinstance(error, (UsageLimitExceeded, UsageLimitReached, RunCancelled)):
        return False
    if isinstance(error, (MissingExtra, ModelNotReady, LocalModelUnavailable)):
        return True  # it cannot be opened here
    return is_expected_of_model(error)
