"""The restart policy of the public supervisors: restart type, budget and backoff in one model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agenticaiframework.actors import near_names

from ..vocabulary.errors import BadOption
from ..vocabulary.kinds import RestartType
from .backoff import NO_BACKOFF, Backoff, BackoffType

_GROWING_FROM_MS = 100


class RestartPolicy(BaseModel):
    """Whether, how often and how fast a child is restarted.

    *max_restarts* restarts are allowed within *within_seconds*; the next failure in that time is one
    too many. Given to a supervisor, the budget is shared by its children; given to a child, that
    child has a budget of its own.

    Without a backoff a child is restarted at once, as in OTP. *initial_delay_ms* alone means a
    fixed delay; ``linear`` and ``exponential`` start at 100 ms unless told otherwise. A child that
    has handled a message since its last restart, or has run for *within_seconds*, starts at the first
    delay again.

    Example: ``RestartPolicy(max_restarts=5, within_seconds=60, backoff_type="exponential",
    initial_delay_ms=100, max_delay_ms=1000)`` waits 100, 200, 400, 800 and 1000 ms before the five
    restarts, and gives up at the sixth failure within the minute.

    *type* says which ends lead to a restart: ``permanent`` (all), ``transient`` (failures),
    ``temporary`` (none). *backoff_type* is how the delay grows: ``fixed``, ``linear`` or
    ``exponential``, up to *max_delay_ms*. *jitter* is the part of the delay that is random, 0 to 1.

    Raises `BadOption`, which names the field and its near names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: RestartType = RestartType.PERMANENT
    max_restarts: int = Field(default=5, ge=0)
    within_seconds: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    backoff_type: BackoffType = BackoffType.FIXED
    initial_delay_ms: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    max_delay_ms: float = Field(default=30_000.0, ge=0, allow_inf_nan=False)
    jitter: float = Field(default=0.0, ge=0, le=1)

    if TYPE_CHECKING:  # the plain words of the enums are options too

        def __init__(
            self,
            *,
            type: RestartType | Literal["permanent", "transient", "temporary"] = ...,
            max_restarts: int = 5,
            within_seconds: float = 60.0,
            backoff_type: BackoffType | Literal["fixed", "linear", "exponential"] = ...,
            initial_delay_ms: float = 0.0,
            max_delay_ms: float = 30_000.0,
            jitter: float = 0.0,
        ) -> None: ...

    else:

        def __init__(self, *args: Any, **data: Any) -> None:
            if args:
                example = "RestartPolicy(max_restarts=5, within_seconds=60)"
                problem = f"its fields are given by name, not {args[0]!r} alone"
                raise BadOption("RestartPolicy", problem, example)
            try:
                super().__init__(**data)
            except ValidationError as error:
                raise _error(error) from None

    @model_validator(mode="before")
    @classmethod
    def _growth_needs_a_beginning(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        given = cast("dict[str, Any]", data)
        grows = given.get("backoff_type", BackoffType.FIXED) != BackoffType.FIXED
        if grows and "initial_delay_ms" not in given:
            return {**given, "initial_delay_ms": _GROWING_FROM_MS}
        return given

    @property
    def backoff(self) -> Backoff:
        """The delay arithmetic of this policy."""
        if self.initial_delay_ms == 0:
            return NO_BACKOFF
        return Backoff(
            self.backoff_type,
            self.initial_delay_ms / 1000,
            self.max_delay_ms / 1000,
            self.jitter,
        )


def _error(error: ValidationError) -> BadOption:
    """Return what is wrong with a restart policy: all unknown fields and values out of range."""
    problems: list[str] = []
    for found in error.errors():
        field = ".".join(str(part) for part in found["loc"])
        if found["type"] == "extra_forbidden":
            hint = near_names(field, RestartPolicy.model_fields)
            problems.append(f"{field!r} is not a field of it. {hint}")
        else:
            problems.append(f"{field}={found['input']!r}: {found['msg']}")
    example = "RestartPolicy(type='transient', max_restarts=5, within_seconds=60)"
    return BadOption("RestartPolicy", "; ".join(problems), example)
