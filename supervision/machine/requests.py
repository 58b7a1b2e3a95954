"""What may be asked of a supervisor, as messages and as functions that send them.

The functions take a supervisor's ref, the name under which it is registered, or a `Via`; they wait as long as
the supervisor needs, because a start or a stop takes its time. If the supervisor is dead or dies first,
they raise `ActorDied`.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, cast

from agenticaiframework.actors import (
    NOPROC,
    NORMAL,
    ActorDied,
    ActorRef,
    ActorSystem,
    StillAlive,
    Via,
)

from .messages import StopSupervisor
from .results import (
    ChildInfo,
    ChildInfoResult,
    ChildSpecResult,
    Counts,
    DoneResult,
    RestartChildResult,
    StartChildResult,
)


@dataclass(frozen=True, slots=True)
class StartChild:
    """Add a child after *spec* and start it; for ``simple_one_for_one``, *spec* is a tuple of
    arguments that are appended to the template's."""

    spec: Any


@dataclass(frozen=True, slots=True)
class TerminateChild:
    """Stop a child, given its id or (dynamic children) its ref. A temporary one is forgotten."""

    id: Any


@dataclass(frozen=True, slots=True)
class RestartChild:
    """Start a child again that is not running."""

    id: Any


@dataclass(frozen=True, slots=True)
class DeleteChild:
    """Forget a child that is not running."""

    id: Any


@dataclass(frozen=True, slots=True)
class GetChildSpec:
    """Give the specification of a child."""

    id: Any


@dataclass(frozen=True, slots=True)
class WhichChildren:
    """List the children, the one added last first."""


@dataclass(frozen=True, slots=True)
class CountChildren:
    """Count the children."""


@dataclass(frozen=True, slots=True)
class WhichChild:
    """Give one child's line of `WhichChildren`."""

    id: Any


SupervisorName = ActorRef[Any] | Via | str


def _found(supervisor: SupervisorName) -> ActorRef[Any]:
    ref: ActorRef[Any] | None
    if isinstance(supervisor, str):
        ref = ActorSystem.current().whereis(supervisor)
    elif isinstance(supervisor, Via):
        ref = supervisor.ref
    else:
        ref = supervisor
    if ref is None:
        raise ActorDied(supervisor, NOPROC)
    return ref


def _ask(supervisor: SupervisorName, request: Any) -> Awaitable[Any]:
    return cast("Awaitable[Any]", _found(supervisor).request(request))


async def start_child(supervisor: SupervisorName, spec: Any) -> StartChildResult:
    """Add a child and start it.

    The result is ``Ok(ref)``, ``Ok(None)`` for a child that declined to start, or ``Error`` with a
    `SpecError`, `AlreadyStarted`, ``ChildProblem.ALREADY_PRESENT`` (its specification is there, but
    it does not run) or `StartError`; after an error the supervisor is as it was.
    """
    return cast("StartChildResult", await _ask(supervisor, StartChild(spec)))


async def terminate_child(supervisor: SupervisorName, id: Any) -> DoneResult:
    """Stop a child and keep its specification, unless it is temporary. Not an error if stopped."""
    return cast("DoneResult", await _ask(supervisor, TerminateChild(id)))


async def restart_child(supervisor: SupervisorName, id: Any) -> RestartChildResult:
    """Start a child that was stopped, or had ended, from its specification."""
    return cast("RestartChildResult", await _ask(supervisor, RestartChild(id)))


async def delete_child(supervisor: SupervisorName, id: Any) -> DoneResult:
    """Forget the specification of a child that is not running."""
    return cast("DoneResult", await _ask(supervisor, DeleteChild(id)))


async def get_childspec(supervisor: SupervisorName, id: Any) -> ChildSpecResult:
    """Return the specification of a child, given its id or (dynamic children) its ref."""
    return cast("ChildSpecResult", await _ask(supervisor, GetChildSpec(id)))


async def which_children(supervisor: SupervisorName) -> list[ChildInfo]:
    """Return the children, the one added last first."""
    return cast("list[ChildInfo]", await _ask(supervisor, WhichChildren()))


async def which_child(supervisor: SupervisorName, id: Any) -> ChildInfoResult:
    """Return one child's line of `which_children`."""
    return cast("ChildInfoResult", await _ask(supervisor, WhichChild(id)))


async def count_children(supervisor: SupervisorName) -> Counts:
    """Return how many specifications, active children, supervisors and workers there are."""
    return cast("Counts", await _ask(supervisor, CountChildren()))


async def stop_supervisor(
    supervisor: SupervisorName, reason: Any = NORMAL, timeout: float | None = None
) -> None:
    """Stop a supervisor's children, and then it, with *reason*; return when it has ended.

    It takes its turn behind what waits in the mailbox. Raises `ActorDied` if the supervisor is dead
    or ends with another reason, and `StillAlive` after *timeout* seconds; it goes on stopping then. One
    that has a supervisor itself is restarted if its restart type says so.

    Source: Elixir's Supervisor.stop.
    """
    ref = _found(supervisor)
    system = cast("ActorSystem", ref.system)
    ref.tell(StopSupervisor(reason))
    if not await system.wait_ended(ref, timeout):
        raise StillAlive(ref, timeout or 0.0)
    if ref.exit_reason != reason:
        raise ActorDied(ref, ref.exit_reason)
