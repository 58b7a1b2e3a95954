"""What happens when a piece of work is slow or fails: time limit, retry, and what stands in for it.

Policy is data, shared by every pattern, by teams and by the engine's steps. Work without a policy
costs nothing extra.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, cast

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from agenticaiframework.actors import near
from agenticaiframework.supervision import Backoff, BackoffType

from ..vocabulary.causes import UnretriableError, causes_of, matches_any, retry_after_s
from .definition import Definition
from .fields import Seconds, TargetField


def as_tuple(value: Any) -> tuple[Any, ...]:
    """Return *value* as a tuple: of its items if it is a list or tuple, else of itself."""
    if isinstance(value, (list, tuple)):
        return tuple(cast("list[Any]", value))
    return (value,)


def _read_errors(value: Any) -> tuple[Any, ...]:
    """Return *value* as classes of errors, or names of such classes."""
    given = as_tuple(value)
    for item in given:
        named = isinstance(item, str) and item.strip()
        if not named and not (isinstance(item, type) and issubclass(item, BaseException)):
            raise ValueError(f"{item!r} is not an error: give its class, or the name of its class")
    return given


ErrorNames: TypeAlias = Annotated[
    tuple[Any, ...],
    PlainValidator(_read_errors),
    WithJsonSchema({"type": "array", "items": {"type": "string"}}),
]
"""Errors, by class or by class name."""


class Retry(Definition):
    """How often work is tried, how long to wait in between, and after which errors.

    ``Retry(attempts=3, initial_delay_s=0.5)`` tries at 0 s, 0.5 s and 1.5 s after the failures
    (0.5 s and 1 s of waiting), then gives up. *attempts* counts the first one. *on* and *never* name
    errors, by class or by class name, the error of an agent's handler as well as what wraps it;
    without *on* every error counts. An error with a ``retry_after_s`` attribute is waited for at
    least that long. The jitter takes up to that part of a delay away, by chance.
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
        if any(isinstance(link, UnretriableError) for link in causes_of(error)):
            return False
        if matches_any(error, self.never):
            return False
        return not self.on or matches_any(error, self.on)

    def delay_s(self, error: BaseException, attempts: int, chance: float = 0.0) -> float:
        """Return the seconds to wait before the next attempt after *attempts* failed ones.

        *chance*, from 0 to 1, is what the jitter draws.

        >>> Retry(initial_delay_s=0.5).delay_s(ValueError(), 2)
        1.0
        """
        backoff = Backoff(
            BackoffType(self.backoff), self.initial_delay_s, self.max_delay_s, self.jitter
        )
        return max(backoff.delay_s(attempts - 1, chance), retry_after_s(error))


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
        raise ValueError(f"{value!r} is none of {_ON_ERROR_FORMS}. {near(value, ('fail', 'skip'))}")
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
