"""The exit reasons and refusals of supervisors, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from agenticaiframework.actors import describe_reason, is_a

from .problems import FlagError, SpecError

DECLINED = "ignore"
"""Why a child does not run that raised `Ignore` when it was started."""

START_TIMEOUT = "timeout"
"""The reason of a start that took longer than it may (source: gen_server's start option)."""

REACHED_MAX_RESTART_INTENSITY = "reached_max_restart_intensity"
"""The reason in the report of a child that failed too often."""


@dataclass(frozen=True, slots=True)
class TooManyFailures:
    """Why a supervisor gave up: *child* failed more than *limit* times in *period_s* seconds.

    As the detail of the exit reason, ``("shutdown", TooManyFailures(...))``, it tells the supervisor
    above not to start that one again.
    """

    child: Any
    limit: int
    period_s: float

    def __str__(self) -> str:
        times = "once" if self.limit == 1 else f"{self.limit} times"
        return f"child {self.child!r} failed more than {times} in {self.period_s:g} s"


def gave_up_for_good(reason: Any) -> bool:
    """Tell whether a supervisor ended with *reason* because it gave up, and is to stay down."""
    if type(reason) is not tuple:
        return False
    parts = cast("tuple[object, ...]", reason)
    return len(parts) == 2 and type(parts[1]) is TooManyFailures


@dataclass(frozen=True, slots=True)
class StartCrashed:
    """A start function raised *error* instead of answering."""

    error: BaseException

    def __str__(self) -> str:
        return describe_reason(self.error)


@dataclass(frozen=True, slots=True)
class BadStartReturn:
    """A start function returned *value*, which is not one of the things that it may return."""

    value: Any


@dataclass(frozen=True, slots=True)
class FailedToStartChild:
    """Why a supervisor's own start failed: child *id* did not start, with *reason*."""

    id: Any
    reason: Any


@dataclass(frozen=True, slots=True)
class SupervisorData:
    """Why a supervisor did not start: its flags are wrong."""

    error: FlagError


@dataclass(frozen=True, slots=True)
class StartSpec:
    """Why a supervisor did not start: one of its child specifications is wrong."""

    error: SpecError


@dataclass(frozen=True, slots=True)
class BadStartSpec:
    """Why a ``simple_one_for_one`` supervisor did not start: it needs exactly one template."""

    specs: Any


@dataclass(frozen=True, slots=True)
class BadReturn:
    """Why a supervisor did not start: its `init` did not return flags and specifications."""

    value: Any


def exception_of(reason: Any) -> BaseException | None:
    """Return the exception that *reason* is or stands for, if it is one."""
    if is_a(reason, StartCrashed):
        return reason.error
    return reason if is_a(reason, BaseException) else None
