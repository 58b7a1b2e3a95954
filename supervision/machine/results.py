"""What a supervisor answers, as values: `Ok`, or `Error` with a typed cause.

A refusal is an answer, not an exception: "already started" is an everyday outcome of `start_child`,
and its value carries the process that is there. `unwrap` turns a refusal into an exception where
that is wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

from agenticaiframework.actors import ActorRef, AgenticError, describe_reason

from ..vocabulary.kinds import ChildType

if TYPE_CHECKING:
    from ..policy.child_spec import ChildSpec
    from ..vocabulary.problems import SpecError

T = TypeVar("T")
E = TypeVar("E")


class SupervisionError(AgenticError):
    """Base class of the errors of this layer."""


@dataclass(frozen=True, slots=True)
class Ok(Generic[T]):
    """The call did what it says. *info* is what the start function gave beside the process."""

    value: T
    info: Any = None

    @property
    def is_ok(self) -> Literal[True]:
        return True

    def unwrap(self) -> T:
        """Return the value."""
        return self.value


@dataclass(frozen=True, slots=True)
class Error(Generic[E]):
    """The call was refused, or failed; *error* says why."""

    error: E

    @property
    def is_ok(self) -> Literal[False]:
        return False

    def unwrap(self) -> Any:
        """Raise `Refused` with the error."""
        raise Refused(self.error)


class Refused(SupervisionError):
    """A supervisor refused a request whose result was unwrapped; *error* is the typed refusal.

    *request* says in words what was asked. If an exception is what stood against it, that is the
    ``__cause__``.
    """

    def __init__(self, error: Any, request: str | None = None) -> None:
        asked = "The supervisor refused" if request is None else f"{request} was refused"
        super().__init__(f"{asked}: {error}")
        self.error = error
        cause = exception_of(getattr(error, "reason", None))
        if cause is not None:
            self.__cause__ = cause


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
        return f"{whose} did not start: {describe_reason(exception_of(self.reason) or self.reason)}"


@dataclass(frozen=True, slots=True)
class FailedToStartChild:
    """Why a supervisor's own start failed: child *id* did not start, with *reason*."""

    id: Any
    reason: Any


@dataclass(frozen=True, slots=True)
class StartCrashed:
    """A start function raised *error* instead of answering."""

    error: BaseException

    def __str__(self) -> str:
        return describe_reason(self.error)


def exception_of(reason: Any) -> BaseException | None:
    """Return the exception that *reason* is or stands for, if it is one."""
    if isinstance(reason, StartCrashed):
        return reason.error
    return reason if isinstance(reason, BaseException) else None


@dataclass(frozen=True, slots=True)
class BadStartReturn:
    """A start function returned *value*, which is not one of the things that it may return."""

    value: Any


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
    "Ok[ActorRef[Any] | None] | Error[SpecError | ChildProblem | AlreadyStarted | StartError]"
)
RestartChildResult: TypeAlias = "Ok[ActorRef[Any] | None] | Error[ChildProblem | StartError]"
DoneResult: TypeAlias = "Ok[None] | Error[ChildProblem]"
ChildSpecResult: TypeAlias = "Ok[ChildSpec] | Error[ChildProblem]"
