"""Child specifications: what a supervisor must know to start, stop and restart a child."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias, cast

import pykka

from agenticaiframework.actors import Actor, Placement, is_placement

from ..vocabulary.checks import is_positive_number
from ..vocabulary.errors import BadOption
from ..vocabulary.kinds import AutoShutdown, ChildType, RestartType
from ..vocabulary.problems import SpecError, SpecProblem
from .backoff import NO_BACKOFF, Backoff

INFINITY: Literal["infinity"] = "infinity"
BRUTAL_KILL: Literal["brutal_kill"] = "brutal_kill"
DEFAULT_SHUTDOWN_MS = 5000

Shutdown: TypeAlias = int | Literal["infinity", "brutal_kill"]


_FROM_START: Any = None
"""The default of a child's type."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A restart limit that one child has for itself: *max_restarts* within *within_s* seconds."""

    max_restarts: int
    within_s: float


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to start, stop and restart one child.

    *type* is, if left out, what *start* says of itself: a supervisor's class or object is a
    supervisor, anything else a worker. *start* is an Actor class, a tuple ``(class, *args)``, a start function, or anything that is
    `Supervisable` (an agent, a team, an `AgentSupervisor`). *shutdown_ms* is how
    long the child may take to end after the supervisor's ``shutdown`` signal before it is killed;
    ``"brutal_kill"`` kills at once, ``"infinity"`` waits. Left out, it is 5000 for a worker and
    ``"infinity"`` for a supervisor, whose subtree needs its time. *start_timeout_s* limits the start
    (None, as in OTP: no limit). *budget* and *backoff* are the child's own; without them the
    supervisor's intensity counts, and restarts are immediate. *node* is the name or a label of the node
    of a cluster that a child of an Actor class runs on (``"gpu"``; ``"*"``: any other than this one; also ``near(other)`` and ``spread("gpu")``);
    after the loss of that node it is started on another with the label.

    Example: ``ChildSpec("db", (Database, "app.db"), restart="transient", shutdown_ms=2000)`` is
    restarted after a crash, stays down after a normal end, and has two seconds to say goodbye.

    Raises `BadOption`.
    """

    id: Any
    start: Any
    restart: RestartType = RestartType.PERMANENT
    shutdown_ms: Shutdown | None = None
    type: ChildType = _FROM_START
    significant: bool = False
    modules: Sequence[str] | Literal["dynamic"] | None = None
    start_timeout_s: float | None = None
    budget: Budget | None = None
    backoff: Backoff = NO_BACKOFF
    node: Placement | None = None

    def __post_init__(self) -> None:
        if not self._is_plain():
            given = {name: getattr(self, name) for name in _NAMES}
            problem = _problem(given, auto_shutdown=None)
            if problem is not None:
                example = (
                    "ChildSpec(id='worker', start=MyActor, restart='transient', shutdown_ms=2000)"
                )
                where = f"The specification of child {self.id!r}"
                raise BadOption(where, str(problem), example, problem)
        put = object.__setattr__
        if self.restart.__class__ is not RestartType:
            put(self, "restart", RestartType(self.restart))
        if self.type.__class__ is not ChildType:
            said: Any = self.type
            put(self, "type", _type_of(self.start) if said is None else ChildType(said))
        if self.shutdown_ms is None:
            is_worker = self.type is ChildType.WORKER
            put(self, "shutdown_ms", DEFAULT_SHUTDOWN_MS if is_worker else INFINITY)
        if self.modules is None:
            put(self, "modules", (_module_of(self.start),))

    def _is_plain(self) -> bool:
        """Tell at a glance whether nothing needs a check: a tree may have 100,000 of these."""
        return (
            _is_actor_class(self.start)
            and self.restart.__class__ is RestartType
            and (self.type is _FROM_START or self.type.__class__ is ChildType)
            and self.shutdown_ms is None
            and self.significant is False
            and self.modules is None
            and self.start_timeout_s is None
            and self.node is None
        )


_NAMES = tuple(field.name for field in fields(ChildSpec))


def _type_of(start: Any) -> ChildType:
    """Return what a supervisor, or its class, says that it is; a worker, if *start* says nothing."""
    first: Any = start[0] if start.__class__ is tuple else start
    said = getattr(first, "child_type", None)
    return ChildType.SUPERVISOR if said == ChildType.SUPERVISOR else ChildType.WORKER


def check_child_spec(
    spec: object, auto_shutdown: AutoShutdown | None = None
) -> ChildSpec | SpecError:
    """Return *spec* (a `ChildSpec`, or a mapping of its fields) ready for use, or its first mistake.

    *auto_shutdown* is the supervisor's flag; None skips the check against it.
    """
    if isinstance(spec, ChildSpec):
        if spec.significant and auto_shutdown is AutoShutdown.NEVER:
            return SpecError(SpecProblem.SIGNIFICANT_WITHOUT_AUTO_SHUTDOWN)
        return spec
    if not isinstance(spec, Mapping):
        return SpecError(SpecProblem.NOT_A_SPEC, spec)
    given = dict(cast("Mapping[str, Any]", spec))
    problem = _problem(given, auto_shutdown)
    return ChildSpec(**given) if problem is None else problem


def check_child_specs(
    specs: object, auto_shutdown: AutoShutdown | None = None
) -> list[ChildSpec] | SpecError:
    """Return all of *specs* ready for use, or the first mistake, an id given twice included."""
    if isinstance(specs, str | Mapping) or not isinstance(specs, Sequence):
        return SpecError(SpecProblem.NOT_A_SPEC, specs)
    checked: list[ChildSpec] = []
    ids: set[Any] = set()
    for given in cast("Sequence[object]", specs):
        spec = check_child_spec(given, auto_shutdown)
        if isinstance(spec, SpecError):
            return spec
        if spec.id in ids:
            return SpecError(SpecProblem.DUPLICATE, spec.id)
        ids.add(spec.id)
        checked.append(spec)
    return checked


def _problem(given: Mapping[str, Any], auto_shutdown: AutoShutdown | None) -> SpecError | None:
    """Return the first mistake, in OTP's order."""
    if "id" not in given:
        return SpecError(SpecProblem.MISSING_ID)
    if "start" not in given:
        return SpecError(SpecProblem.MISSING_START)
    if not _starts_something(given["start"]):
        return SpecError(SpecProblem.INVALID_START, given["start"])
    restart = given.get("restart", RestartType.PERMANENT)
    if restart not in tuple(RestartType):
        return SpecError(SpecProblem.INVALID_RESTART, restart, tuple(RestartType))
    significant = given.get("significant", False)
    if significant is True and auto_shutdown is AutoShutdown.NEVER:
        return SpecError(SpecProblem.SIGNIFICANT_WITHOUT_AUTO_SHUTDOWN)
    if significant is True and restart == RestartType.PERMANENT:
        return SpecError(SpecProblem.SIGNIFICANT_AND_PERMANENT)
    if not isinstance(significant, bool):
        return SpecError(SpecProblem.INVALID_SIGNIFICANT, significant)
    child_type = given.get("type")
    if not (child_type is None or child_type in tuple(ChildType)):
        return SpecError(SpecProblem.INVALID_TYPE, child_type, tuple(ChildType))
    shutdown = given.get("shutdown_ms")
    if not (shutdown is None or _is_shutdown(shutdown)):
        return SpecError(SpecProblem.INVALID_SHUTDOWN, shutdown)
    modules = given.get("modules")
    if not (modules is None or _are_modules(modules)):
        return SpecError(SpecProblem.INVALID_MODULES, modules)
    start_timeout_s = given.get("start_timeout_s")
    if not (start_timeout_s is None or is_positive_number(start_timeout_s)):
        return SpecError(SpecProblem.INVALID_START_TIMEOUT, start_timeout_s)
    node = given.get("node")
    if not (node is None or is_placement(node)):
        return SpecError(SpecProblem.INVALID_NODE, node)
    if node is not None and not _is_class_of_ours(given["start"]):
        return SpecError(SpecProblem.NODE_WITHOUT_CLASS, node)
    for key in given:
        if key not in _NAMES:
            return SpecError(SpecProblem.UNKNOWN_KEY, key, _NAMES)
    return None


def _starts_something(start: Any) -> bool:
    if start.__class__ is tuple:
        return bool(start) and _is_actor_class(start[0])
    if isinstance(start, type):
        return _is_actor_class(start)
    return callable(start) or hasattr(start, "start_under")


def _is_actor_class(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, pykka.Actor)


def _is_class_of_ours(start: Any) -> bool:
    """Tell whether *start* is an Actor class of this library, with or without arguments."""
    first: Any = start[0] if start.__class__ is tuple else start
    return isinstance(first, type) and issubclass(first, Actor)


def _is_shutdown(value: object) -> bool:
    if isinstance(value, str):
        return value in (INFINITY, BRUTAL_KILL)
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_modules(value: object) -> bool:
    if isinstance(value, str):
        return value == "dynamic"
    return isinstance(value, Sequence) and all(
        isinstance(name, str) for name in cast("Sequence[object]", value)
    )


def _module_of(start: object) -> str:
    first: object = cast("tuple[object, ...]", start)[0] if isinstance(start, tuple) else start
    return str(getattr(first, "__module__", type(first).__module__))
