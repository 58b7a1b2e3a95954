"""What happens when a piece of work is slow or fails: time limit, retry, and what stands in for it.

Policy is data, shared by every pattern, by teams and by the engine's steps. Work without a policy
costs nothing extra.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias, cast

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema, model_validator

from agenticaiframework.actors import CallingSelf, causes_of, near_names
from agenticaiframework.supervision import Backoff, BackoffType

from ..vocabulary.causes import is_final, matches_any, retry_after_s
from .definition import Definition
from .fields import Seconds, TargetField


def as_tuple(value: Any) -> tuple[Any, ...]:
    """Return *value* as a tuple: of its items if it is a list or tuple, else of itself."""
    if isinstance(value, (list, tuple)):
        return tuple(cast("list[Any]", value))
    return (value,)


def _as_it_is(value: Any) -> Any:
    """Return *value*: pydantic's own way with a field that has its own validator warns of its dump."""
    return value


AS_IT_IS: Final = PlainSerializer(_as_it_is)


def _read_errors(value: Any) -> tuple[Any, ...]:
    """Return *value* as classes of errors, names of such classes, or HTTP statuses."""
    given = as_tuple(value)
    for item in given:
        named = isinstance(item, str) and item.strip()
        status = isinstance(item, int) and 400 <= item <= 599
        if not (named or status or (isinstance(item, type) and issubclass(item, BaseException))):
            raise ValueError(
                f"{item!r} is not an error: give its class, the name of its class, or an HTTP status "
                "(429)"
            )
    return given


ErrorNames: TypeAlias = Annotated[
    tuple[Any, ...],
    PlainValidator(_read_errors),
    AS_IT_IS,
    WithJsonSchema({"type": "array", "items": {"type": ["string", "integer"]}}),
]
"""Errors, by class, by class name, or by the HTTP status that they report."""


class Retry(Definition):
    """How often work is tried, how long to wait in between, and after which errors.

    ``Retry(attempts=3, initial_delay_s=0.5)`` tries at 0 s, 0.5 s and 1.5 s after the failures
    (0.5 s and 1 s of waiting), then gives up. *attempts* counts the first one. *on* and *never* name
    errors, by class, by class name or by HTTP status, the error of an agent's handler as well as what
    wraps it; without *on* every error counts. *backoff* is how the delay grows from *initial_delay_s*
    on. *jitter* takes up to that part of a delay away, by
    chance.

    What cannot help is not tried: after an `UnretriableError`, and after a refusal with HTTP status
    400, 401, 403, 404 or 422, there is no other attempt unless *on* names that very error (`Exception`
    names none). An error that asks to wait (``retry_after_s``, or ``Retry-After`` of its response) is
    waited for at least that long, but never longer than *max_delay_s*; and if that wait would outlast
    the time limit of the whole, the work fails at once, with its reason.
    """

    attempts: int = Field(default=3, ge=1, le=1_000)
    backoff: Literal["fixed", "linear", "exponential"] = "exponential"
    initial_delay_s: float = Field(default=0.1, ge=0, allow_inf_nan=False)
    max_delay_s: float = Field(default=30.0, ge=0, allow_inf_nan=False)
    jitter: float = Field(default=0.0, ge=0, le=1)
    on: ErrorNames = ()
    never: ErrorNames = ()

    also_known_as: ClassVar[Mapping[str, str]] = {"max_attempts": "attempts"}

    @model_validator(mode="after")
    def _check_delays(self) -> Retry:
        if self.initial_delay_s > self.max_delay_s:
            raise ValueError(
                f"initial_delay_s ({self.initial_delay_s:g}) is longer than max_delay_s "
                f"({self.max_delay_s:g})"
            )
        return self

    def allows(self, error: BaseException, attempts: int) -> bool:
        """Tell whether there is another attempt after *attempts* of them, the last with *error*."""
        if attempts >= self.attempts:
            return False
        if any(isinstance(link, CallingSelf) for link in causes_of(error)):
            return False
        if matches_any(error, self.never) or is_final(error, self.on):
            return False
        return not self.on or matches_any(error, self.on)

    def pause_s(
        self,
        error: BaseException,
        attempts: int,
        chance: Callable[[], float],
        left_s: float | None = None,
    ) -> float | None:
        """Return how many seconds to wait before the next attempt; None: there is none.

        *attempts* have been made, the last with *error*. *chance* is drawn from for the jitter. The
        whole may go on for *left_s* more seconds: what asks to wait longer is not waited for.
        """
        if not self.allows(error, attempts):
            return None
        delay_s = self.delay_s(error, attempts, chance() if self.jitter else 0.0)
        if left_s is not None and delay_s >= left_s and retry_after_s(error):
            return None
        return delay_s

    def delay_s(self, error: BaseException, attempts: int, chance: float = 0.0) -> float:
        """Return the seconds to wait before the next attempt after *attempts* failed ones.

        *chance*, from 0 to 1, is what the jitter draws.

        >>> Retry(initial_delay_s=0.5).delay_s(ValueError(), 2)
        1.0
        """
        backoff = Backoff(
            BackoffType(self.backoff), self.initial_delay_s, self.max_delay_s, self.jitter
        )
        asked_s = max(backoff.delay_s(attempts - 1, chance), retry_after_s(error))
        return min(asked_s, self.max_delay_s)


class Fallback(Definition):
    """Another agent answers in the place of one that failed for good."""

    fallback: TargetField


class Default(Definition):
    """A declared value stands in for the result of what failed for good."""

    default: Any = None


def _read_retry(value: Any) -> Retry | None:
    if value is None or isinstance(value, Retry):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, Mapping)):
        raise ValueError(
            f"{value!r} is not a retry policy. Give the number of attempts, or "
            '{"attempts": 3, "backoff": "exponential", "initial_delay_s": 0.5}'
        )
    return Retry.model_validate({"attempts": value} if isinstance(value, int) else value)


_ON_ERROR_FORMS = '"fail", "skip", {"fallback": "other_agent"} or {"default": value}'


def _read_on_error(value: Any) -> Any:
    if isinstance(value, (Fallback, Default)):
        return value
    if isinstance(value, str):
        if value in ("fail", "skip"):
            return value
        raise ValueError(
            f"{value!r} is none of {_ON_ERROR_FORMS}. {near_names(value, ('fail', 'skip'))}"
        )
    if isinstance(value, Mapping):
        given = cast(Mapping[str, Any], value)
        if set(given) == {"fallback"}:
            return Fallback.model_validate(given)
        if set(given) == {"default"}:
            return Default.model_validate(given)
    raise ValueError(f"{value!r} is none of {_ON_ERROR_FORMS}")


OnError: TypeAlias = Annotated[
    Literal["fail", "skip"] | Fallback | Default,
    PlainValidator(_read_on_error),
    AS_IT_IS,
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["fail", "skip"]},
                {"type": "object", "properties": {"fallback": {}}, "required": ["fallback"]},
                {"type": "object", "properties": {"default": {}}, "required": ["default"]},
            ]
        }
    ),
]

RetryField: TypeAlias = Annotated[
    Retry | None,
    PlainValidator(_read_retry),
    AS_IT_IS,
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "object"}]}),
]


class WorkPolicy(Definition):
    """The fields that every piece of work takes: ``timeout``, ``retry``, ``on_error``.

    *timeout* is in seconds and holds for each attempt: of an agent from when it takes the work up, of
    everything else from when it is asked. *queue_timeout_seconds* is how long the work may wait for a
    busy agent to take it up; None: as long as the whole may take. *retry* is a number of attempts or a `Retry`.
    *on_error*, once the attempts are used up: ``"fail"`` (the default: an error must not pass
    unseen), ``"skip"`` (go on without it), ``{"fallback": agent}`` or ``{"default": value}``.
    """

    timeout: Seconds | None = None
    queue_timeout_seconds: Seconds | None = None
    retry: RetryField = None
    on_error: OnError = "fail"

    also_known_as: ClassVar[Mapping[str, str]] = {
        "timeout_s": "timeout",
        "timeout_seconds": "timeout",
        "queue_timeout": "queue_timeout_seconds",
        "queue_timeout_s": "queue_timeout_seconds",
    }

    @property
    def plain(self) -> bool:
        """Whether the work has no policy at all, and one bare attempt is everything."""
        return (
            self.timeout is None
            and self.queue_timeout_seconds is None
            and self.retry is None
            and self.on_error == "fail"
        )

    def limits_alone(self) -> WorkPolicy:
        """Return the policy with the same time limits and nothing else."""
        return WorkPolicy(timeout=self.timeout, queue_timeout_seconds=self.queue_timeout_seconds)


NO_POLICY = WorkPolicy()
