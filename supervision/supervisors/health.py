"""How the supervisors of a system are: what a health check of a service asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from agenticaiframework.actors import (
    ActorSystem,
    Degraded,
    describe_reason,
    fields_of,
    set_health_check,
)

from ..machine.supervisor import Supervisor, supervisor_of, supervisors_of
from ..vocabulary.kinds import ChildState

_TROUBLE = frozenset({ChildState.COOLING_DOWN, ChildState.GAVE_UP, ChildState.FAILED})


class HealthStatus(StrEnum):
    """How the supervisors of a system are, in one word."""

    OK = "ok"
    DEGRADED = "degraded"
    """A child cools down, stays down because it failed too often, or did not start when it was added."""
    FAILED = "failed"
    """A supervisor above which there is none has given up; the program should end."""


@dataclass(frozen=True, slots=True)
class HealthProblem:
    """A child that is not well: its *path* (``"root/io/reader"``), its *state*, and why.

    *back_in_s* is when it is started afresh, if it cools down.
    """

    path: str
    state: str
    reason: str
    back_in_s: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the problem as plain data, for JSON."""
        return fields_of(self)


@dataclass(frozen=True, slots=True)
class Health:
    """The *status* of a system's supervisors, and the *problems* that it comes from."""

    status: HealthStatus
    problems: tuple[HealthProblem, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, for JSON."""
        return fields_of(self)


def health_of(system: ActorSystem | None = None) -> Health:
    """Return how the supervisors of *system* (the current one, if not given) are.

    It looks at every child's record once. On the loop's thread of the system.
    """
    if system is None:
        system = ActorSystem.current()
    now = system.clock()
    found: list[HealthProblem] = []
    gave_up = system.gave_up
    if gave_up is not None:
        reason = describe_reason(gave_up.reason)
        found.append(HealthProblem(gave_up.who, ChildState.GAVE_UP, reason))
    for root in supervisors_of(system):
        if root.is_root:
            found += _problems(root.actor_ref.label, root, now)
    if gave_up is not None:
        return Health(HealthStatus.FAILED, tuple(found))
    return Health(HealthStatus.DEGRADED if found else HealthStatus.OK, tuple(found))


def _problems(path: str, supervisor: Supervisor, now: float) -> Iterator[HealthProblem]:
    for child in supervisor.children:
        state = child.state
        if state in _TROUBLE:
            reason = describe_reason(child.last_reason)
            cool_down = child.cool_down
            back_in_s = None if cool_down is None else max(0.0, cool_down.back_at - now)
            yield HealthProblem(f"{path}/{child.spec.id}", state, reason, back_in_s)
        else:
            ref: Any = child.ref
            below = None if ref is None else supervisor_of(ref)
            if below is not None:
                yield from _problems(f"{path}/{child.spec.id}", below, now)


SHOWN = 3
"""Problems that a check tells in words; all of them are in `health_of`."""


async def _check(system: ActorSystem) -> Degraded | None:
    """Return the children that are not well. A root that gave up is told by the system itself."""
    problems = [one for one in health_of(system).problems if "/" in one.path]
    if not problems:
        return None
    told = [
        f"{one.path} ({one.state}"
        + ("" if one.back_in_s is None else f", back in {one.back_in_s:.0f} s")
        + f"): {one.reason}"
        for one in problems[:SHOWN]
    ]
    more = len(problems) - len(told)
    return Degraded("; ".join(told) + (f"; and {more} more" if more else ""))


set_health_check("supervisors", _check)
