"""The flags of a supervisor: strategy, restart intensity, automatic shutdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, cast

from ..vocabulary.checks import is_positive_number
from ..vocabulary.errors import BadOption
from ..vocabulary.kinds import AutoShutdown, SupervisionStrategy
from ..vocabulary.problems import FlagError, FlagProblem


@dataclass(frozen=True, slots=True)
class SupervisorFlags:
    """How a supervisor reacts to failures.

    *intensity* restarts within *period_s* seconds are allowed; one more, and the supervisor ends its
    children and itself. The defaults, 1 in 5 s, are OTP's.

    Example: ``SupervisorFlags(intensity=3, period_s=10)`` with failures at 0, 4, 8 and 10 s: the
    fourth finds four within ten seconds (a restart made exactly 10 s ago still counts), so the
    supervisor gives up; had it come at 10.1 s, the first would no longer count.

    Raises `BadOption` for a value that OTP's supervisor would refuse.
    """

    strategy: SupervisionStrategy = SupervisionStrategy.ONE_FOR_ONE
    intensity: int = 1
    period_s: float = 5
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER

    def __post_init__(self) -> None:
        problem = _problem(self.strategy, self.intensity, self.period_s, self.auto_shutdown)
        if problem is not None:
            example = "SupervisorFlags(strategy='one_for_all', intensity=5, period_s=60)"
            raise BadOption("The supervisor flags", str(problem), example, problem)
        object.__setattr__(self, "strategy", SupervisionStrategy(self.strategy))
        object.__setattr__(self, "auto_shutdown", AutoShutdown(self.auto_shutdown))


_NAMES = tuple(field.name for field in fields(SupervisorFlags))


def check_flags(flags: object) -> SupervisorFlags | FlagError:
    """Return *flags* (`SupervisorFlags`, or a mapping of its fields) ready for use, or the error."""
    if isinstance(flags, SupervisorFlags):
        return flags
    if not isinstance(flags, Mapping):
        return FlagError(FlagProblem.NOT_FLAGS, flags)
    given = cast("Mapping[str, Any]", flags)
    strategy = given.get("strategy", SupervisionStrategy.ONE_FOR_ONE)
    intensity = given.get("intensity", 1)
    period_s = given.get("period_s", 5)
    auto_shutdown = given.get("auto_shutdown", AutoShutdown.NEVER)
    problem = _problem(strategy, intensity, period_s, auto_shutdown)
    if problem is None:
        unknown = [key for key in given if key not in _NAMES]
        if unknown:
            problem = FlagError(FlagProblem.UNKNOWN_KEY, unknown[0], _NAMES)
    if problem is not None:
        return problem
    return SupervisorFlags(strategy, intensity, period_s, auto_shutdown)


def _problem(
    strategy: object, intensity: object, period_s: object, auto_shutdown: object
) -> FlagError | None:
    """Return the first mistake, in OTP's order."""
    if strategy not in tuple(SupervisionStrategy):
        return FlagError(FlagProblem.INVALID_STRATEGY, strategy, tuple(SupervisionStrategy))
    if not isinstance(intensity, int) or isinstance(intensity, bool) or intensity < 0:
        return FlagError(FlagProblem.INVALID_INTENSITY, intensity)
    if not is_positive_number(period_s):
        return FlagError(FlagProblem.INVALID_PERIOD, period_s)
    if auto_shutdown not in tuple(AutoShutdown):
        return FlagError(FlagProblem.INVALID_AUTO_SHUTDOWN, auto_shutdown, tuple(AutoShutdown))
    return None
