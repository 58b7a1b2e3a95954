"""A provider's model behind its limits: what is sent to it, when, how often, and what failures mean."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn, Protocol, cast

from pydantic_ai import RunContext
from pydantic_ai.messages import ModelMessage, ModelRequestAttempt, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from agenticaiframework.actors import message_of

from ..metering.spending import metered_model
from .asker import asker_timed_out, patience_s
from .limits import Pass
from .retry_after import with_retry_after
from .retrying import Failure, has_effects, read_failure, wait_before
from .settings import DEFAULTS, ProviderSettings

# A request that its asker has taken back after so long without an answer was not answered in time.
_SILENT_S: Final = 5.0
_NOTED: Final = 300


class AnyGate(Protocol):
    """A gate of this loop, or of another one."""

    @property
    def open(self) -> bool: ...
    @property
    def settings(self) -> ProviderSettings: ...
    @property
    def counts_tokens(self) -> bool: ...
    def enter_now(self) -> Pass: ...
    async def enter(self, tokens: float, patience_s: float | None) -> Pass: ...
    def leave(
        self,
        passed: Pass,
        *,
        tokens: float | None = None,
        failed: str | None = None,
        answered: bool = True,
    ) -> None: ...
    def pause(self, delay_s: float, why: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Guard:
    """What stands before a model: the gates of the model and of its provider, time and chance.

    Without gates its requests are only watched: a model object of the user's.
    """

    gates: tuple[AnyGate, ...]
    clock: Any
    random: random.Random


@dataclass(slots=True, eq=False)
class Sending:
    """One request on its way: its attempts so far, and how long it may wait in between."""

    retries: int
    effects: bool
    tokens: float
    patience_s: float | None
    max_wait_s: float
    began: float
    failed: list[ModelRequestAttempt] = field(default_factory=list[ModelRequestAttempt])

    def left_s(self, now: float) -> float | None:
        """Return how long it may still take to be sent; None: without a limit."""
        asker_s = patience_s()
        own_s = None if self.patience_s is None else self.began + self.patience_s - now
        if asker_s is None or own_s is None:
            return own_s if asker_s is None else asker_s
        return min(asker_s, own_s)


def _never(error: Exception) -> bool:
    return False


class GuardedModel(WrapperModel):
    """*wrapped*, asked through *guard*, with *defaults* for settings that a request does not have.

    Shared by all agents that name the model. `request_within` and `stream_within` bound how long a
    request may wait to be sent, where another model could be asked instead.
    """

    def __init__(
        self,
        wrapped: Model,
        guard: Guard,
        defaults: Mapping[str, Any] | None = None,
        retries: int | None = None,
    ) -> None:
        # Innermost, so that every attempt counts.
        super().__init__(metered_model(wrapped))
        self._guard = guard
        self._defaults = dict(defaults or {})
        self._retries = retries

    def prepare_messages(
        self,
        messages: list[ModelMessage],
        model_request_parameters: ModelRequestParameters | None = None,
    ) -> list[ModelMessage]:
        """Return *messages*: they are prepared once it is known which model gets them."""
        return messages

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Return the answer, after as many attempts as are allowed."""
        return await self.request_within(messages, model_settings, model_request_parameters, None)

    async def request_within(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        parameters: ModelRequestParameters,
        limit_s: float | None,
    ) -> ModelResponse:
        """Return the answer; wait at most *limit_s* before it is sent (None: as the asker allows)."""
        settings, sending = self._begin(messages, model_settings, parameters, limit_s)
        prepared = self.wrapped.prepare_messages(messages, parameters)
        while True:
            passes = await self._enter(sending)
            began = self._guard.clock()
            started = datetime.now(UTC)
            try:
                response = await self.wrapped.request(prepared, settings, parameters)
            except Exception as error:
                wait_s = self._failed(sending, passes, error, started)
            except BaseException:
                self._taken_back(passes, began)
                raise
            else:
                self._leave(passes, tokens=response.usage.total_tokens)
                if sending.failed:
                    said = [*sending.failed, *(response.failed_attempts or ())]
                    return replace(response, failed_attempts=said)
                return response
            await asyncio.sleep(wait_s)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Give the stream once it has begun, after as many attempts as are allowed."""
        async with self.stream_within(
            messages, model_settings, model_request_parameters, run_context, None
        ) as stream:
            yield stream

    @asynccontextmanager
    async def stream_within(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None,
        limit_s: float | None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Give the stream; wait at most *limit_s* before it is asked for. It keeps its place to its end."""
        settings, sending = self._begin(messages, model_settings, parameters, limit_s)
        while True:
            passes = await self._enter(sending)
            began = self._guard.clock()
            started = datetime.now(UTC)
            async with AsyncExitStack() as stack:
                try:
                    # Handed over with its first event: until then an error is one of opening it. That
                    # is what pydantic-ai's model of fallbacks does, which has none here.
                    opening = FallbackModel(self.wrapped, fallback_on=_never)
                    opened = opening.request_stream(messages, settings, parameters, run_context)
                    stream = await stack.enter_async_context(opened)
                except Exception as error:
                    wait_s = self._failed(sending, passes, error, started)
                except BaseException:
                    self._taken_back(passes, began)
                    raise
                else:
                    if sending.failed:
                        stream.failed_attempts = [
                            *sending.failed,
                            *(stream.failed_attempts or ()),
                        ]
                    failed: str | None = None
                    try:
                        yield stream
                    except Exception as error:
                        if read_failure(error, effects=True).outage:
                            failed = _shown(error)
                        raise
                    finally:
                        self._leave(passes, tokens=stream.usage.total_tokens, failed=failed)
                    return
            await asyncio.sleep(wait_s)

    # -- one request ---------------------------------------------------------------------------

    def _begin(
        self,
        messages: Sequence[ModelMessage],
        model_settings: ModelSettings | None,
        parameters: ModelRequestParameters,
        limit_s: float | None,
    ) -> tuple[ModelSettings, Sending]:
        settings: dict[str, Any] = {**self._defaults, **(model_settings or {})}
        headers = self._defaults.get("extra_headers")
        if headers is not None:
            settings["extra_headers"] = {**headers, **settings["extra_headers"]}
        gates = self._guard.gates
        provider = gates[-1].settings if gates else DEFAULTS
        # The client's own retries would come on top of these: so the setting is read here instead.
        retries = settings.pop("max_retries", None)
        if retries is None:
            retries = provider.retries if self._retries is None else self._retries
        tokens = 0.0
        if any(gate.counts_tokens for gate in gates):
            tokens = estimated_tokens(messages) + float(settings.get("max_tokens") or 0)
        now = self._guard.clock()
        sending = Sending(
            retries, has_effects(parameters), tokens, limit_s, provider.max_wait_s, now
        )
        return cast("ModelSettings", settings), sending

    async def _enter(self, sending: Sending) -> list[Pass]:
        passes: list[Pass] = []
        try:
            for gate in self._guard.gates:
                if gate.open:
                    passes.append(gate.enter_now())
                else:
                    left_s = sending.left_s(self._guard.clock())
                    passes.append(await gate.enter(sending.tokens, left_s))
        except BaseException:
            self._leave(passes, tokens=0.0, answered=False)
            raise
        return passes

    def _leave(
        self,
        passes: Sequence[Pass],
        *,
        tokens: float | None = None,
        failed: str | None = None,
        answered: bool = True,
    ) -> None:
        for gate, passed in zip(self._guard.gates, passes, strict=False):
            gate.leave(passed, tokens=tokens, failed=failed, answered=answered)

    def _taken_back(self, passes: Sequence[Pass], began: float) -> None:
        """The asker does not wait any more, or the system ends."""
        silent = self._guard.clock() - began >= _SILENT_S and asker_timed_out()
        failed = "no answer in time" if silent else None
        self._leave(passes, failed=failed, answered=False)

    def _failed(
        self, sending: Sending, passes: Sequence[Pass], error: Exception, started: datetime
    ) -> float:
        """Return how long to wait before the next attempt, or raise *error*."""
        failure = read_failure(error, effects=sending.effects)
        self._leave(passes, tokens=0.0, failed=_shown(error) if failure.outage else None)
        sending.failed.append(
            ModelRequestAttempt(
                model_name=self.wrapped.model_name,
                provider_name=self.wrapped.system,
                outcome="error",
                error=_shown(error),
                timestamp=started,
                duration=timedelta(seconds=max(0.0, (datetime.now(UTC) - started).total_seconds())),
            )
        )
        if failure.limited and failure.asked_s and self._guard.gates:
            self._guard.gates[0].pause(failure.asked_s, "it asked to wait")
        return self._next_wait(sending, failure, error)

    def _next_wait(self, sending: Sending, failure: Failure, error: Exception) -> float:
        attempts = len(sending.failed)
        if not failure.again or attempts > sending.retries:
            _raise(error, sending)
        wait_s = wait_before(attempts, failure.asked_s, self._guard.random)
        left_s = sending.left_s(self._guard.clock())
        if wait_s > (sending.max_wait_s if left_s is None else left_s):
            _raise(error, sending)
        return wait_s


def _raise(error: Any, sending: Sending) -> NoReturn:
    with_retry_after(error)
    if len(sending.failed) > 1:
        error.add_note(f"It was sent {len(sending.failed)} times.")
    try:
        error.failed_attempts = sending.failed
    except AttributeError:
        pass  # a class of its own, with slots
    raise error


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {message_of(error)}"[:_NOTED]


def estimated_tokens(messages: Sequence[ModelMessage]) -> float:
    """Return about how many tokens *messages* are: a fourth of their characters.

    What the request really cost takes its place when the answer is there.
    """
    characters = 0
    for message in messages:
        characters += len(getattr(message, "instructions", None) or "")
        for part in message.parts:
            content: Any = getattr(part, "content", None)
            if content is None:
                content = getattr(part, "args", None)
            characters += len(content) if isinstance(content, str) else len(str(content or ""))
    return characters / 4.0
