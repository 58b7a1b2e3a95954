"""What a supervisor answers, as values: `Ok`, or `Error` with a typed cause.

A refusal is an answer, not an exception: "already started" is an everyday outcome of `start_child`,
and its value carries the process that is there. `unwrap` turns a refusal into an exception where
that is wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from agenticaiframework.actors import ActorRef, describe_reason

from ..policy.child_spec import ChildSpec
from ..vocabulary.errors import Refused
from ..vocabulary.kinds import ChildType
from ..vocabulary.problems import SpecError
from ..vocabulary.reasons import exception_of

T = TypeVar("T")
E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Ok(Generic[T]):
    """The call did what it says. *info* is what the start function gave beside the process.

    *item* is what it was done for, where `TaskSupervisor.stream` gives it.
    """

    value: T
    info: Any = None
    item: Any = field(default=None, compare=False, repr=False)

    @property
    def is_ok(self) -> Literal[True]:
        return True

    def unwrap(self) -> T:
        """Return the value."""
        return self.value


@dataclass(frozen=True, slots=True)
class Error(Generic[E]):
    """The call was refused, or failed; *error* says why.

    *detail* says it in words where the error alone says too little. *item* is what failed, where
    `TaskSupervisor.stream` gives it.
    """

    error: E
    detail: str | None = field(default=None, compare=False, repr=False)
    item: Any = field(default=None, compare=False, repr=False)

    @property
    def is_ok(self) -> Literal[False]:
        return False

    def unwrap(self) -> Any:
        """Raise `Refused` with the error."""
        raise Refused(self.error, detail=self.detail)


class ChildProblem(StrEnum):
    """The refusals that carry no data."""

    NOT_FOUND = "not_found"
    RUNNING = "running"
    RESTARTING = "restarting"
    ALREADY_PRESENT = "already_present"
    SIMPLE_ONE_FOR_ONE = "simple_one_for_one"
    """The request makes no sense for a supervisor with this strategy."""
    MAX_CHILDREN = "max_children"
    """A `DynamicSupervisor` has as many children as it may."""


@dataclass(frozen=True, slots=True)
class AlreadyStarted:
    """A child with this id exists and has a process, perhaps one that died a moment ago."""

    ref: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class StartError:
    """The start function failed with *reason*; *spec* is given where a new child was asked for."""

    reason: Any
    spec: ChildSpec | None = None

    def __str__(self) -> str:
        whose = f"child {self.spec.id!r}" if self.spec is not None else "the child"
        error = exception_of(self.reason)
        return f"{whose} did not start: {describe_reason(self.reason if error is None else error)}"


Restarting: TypeAlias = Literal["restarting"]


@dataclass(frozen=True, slots=True)
class ChildInfo:
    """One line of `which_children`: *child* is its ref, None (not running) or ``"restarting"``."""

    id: Any
    child: ActorRef[Any] | Restarting | None
    type: ChildType
    modules: Sequence[str] | Literal["dynamic"] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """The answer of `count_children`.

    *specs* counts specifications (one for a ``simple_one_for_one``), *active* the children whose
    process is alive; *supervisors* and *workers* count all children, alive or not.
    """

    specs: int
    active: int
    supervisors: int
    workers: int


StartChildResult: TypeAlias = (
    Ok[ActorRef[Any] | None] | Error[SpecError | ChildProblem | AlreadyStarted | StartError]
)
RestartChildResult: TypeAlias = Ok[ActorRef[Any] | None] | Error[ChildProblem | StartError]
DoneResult: TypeAlias = Ok[None] | Error[ChildProblem]
ChildSpecResult: TypeAlias = Ok[ChildSpec] | Error[ChildProblem]
ChildInfoResult: TypeAlias = Ok[ChildInfo] | Error[ChildProblem]
