"""What can be wrong with supervisor flags and child specifications, as values.

A supervisor answers a bad specification with a value (`SpecError` inside `Error`); the constructors
`ChildSpec(...)` and `SupervisorFlags(...)` raise the same finding as a `BadOption`, so that a mistake
in Python code shows at the line that makes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agenticaiframework.actors import near_names


class SpecProblem(StrEnum):
    """The kinds of mistakes in a child specification, in the order in which they are looked for.

    Source of the order: OTP's supervisor. UNKNOWN_KEY (OTP ignores such keys) and those of nodes are ours;
    NOT_ARGUMENTS and DUPLICATE do not concern one specification.
    """

    NOT_A_SPEC = "not_a_spec"
    MISSING_ID = "missing_id"
    MISSING_START = "missing_start"
    INVALID_START = "invalid_start"
    INVALID_RESTART = "invalid_restart"
    SIGNIFICANT_WITHOUT_AUTO_SHUTDOWN = "significant_without_auto_shutdown"
    SIGNIFICANT_AND_PERMANENT = "significant_and_permanent"
    INVALID_SIGNIFICANT = "invalid_significant"
    INVALID_TYPE = "invalid_type"
    INVALID_SHUTDOWN = "invalid_shutdown"
    INVALID_MODULES = "invalid_modules"
    INVALID_START_TIMEOUT = "invalid_start_timeout"
    INVALID_NODE = "invalid_node"
    NODE_WITHOUT_CLASS = "node_without_class"
    UNKNOWN_KEY = "unknown_key"
    NOT_ARGUMENTS = "not_arguments"
    DUPLICATE = "duplicate_child_name"


_EXPLAINED: dict[SpecProblem, str] = {
    SpecProblem.NOT_A_SPEC: (
        "{value!r} is not a child specification; give a ChildSpec or a mapping"
    ),
    SpecProblem.MISSING_ID: "the specification has no 'id'",
    SpecProblem.MISSING_START: "the specification has no 'start'",
    SpecProblem.INVALID_START: (
        "start={value!r} starts nothing; give an Actor class, a tuple (class, *args), an agent, or a "
        "function that takes the supervisor"
    ),
    SpecProblem.INVALID_RESTART: "restart={value!r} is not one of permanent, transient, temporary",
    SpecProblem.SIGNIFICANT_WITHOUT_AUTO_SHUTDOWN: (
        "significant=True needs a supervisor with auto_shutdown=any_significant or all_significant"
    ),
    SpecProblem.SIGNIFICANT_AND_PERMANENT: (
        "a permanent child cannot be significant, since it always comes back; "
        "make it transient or temporary"
    ),
    SpecProblem.INVALID_SIGNIFICANT: "significant={value!r} is neither True nor False",
    SpecProblem.INVALID_TYPE: "type={value!r} is neither worker nor supervisor",
    SpecProblem.INVALID_SHUTDOWN: (
        "shutdown_ms={value!r} is neither a number of milliseconds nor 'infinity' nor 'brutal_kill'"
    ),
    SpecProblem.INVALID_MODULES: "modules={value!r} is neither a sequence of names nor 'dynamic'",
    SpecProblem.INVALID_START_TIMEOUT: (
        "start_timeout_s={value!r} is not a positive number of seconds"
    ),
    SpecProblem.INVALID_NODE: (
        "node={value!r} is not the name or a label of a node, near_names(...) or spread(...); "
        "for example node='gpu', or node='*' for any"
    ),
    SpecProblem.NODE_WITHOUT_CLASS: (
        "node={value!r} needs start to be an Actor class, or a tuple (class, *args), which is started "
        "there; an agent has its own: Agent(..., node={value!r})"
    ),
    SpecProblem.UNKNOWN_KEY: "the key {value!r} is unknown",
    SpecProblem.NOT_ARGUMENTS: (
        "{value!r} is not a sequence of arguments; simple_one_for_one appends them to its template's"
    ),
    SpecProblem.DUPLICATE: "the id {value!r} is used twice",
}


@dataclass(frozen=True, slots=True)
class SpecError:
    """The first thing that is wrong with a child specification, and the value that is."""

    problem: SpecProblem
    value: Any = None
    known: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = _EXPLAINED[self.problem].format(value=self.value)
        if self.known:
            text += f". {near_names(str(self.value), self.known)}"
        return text


NO_AUTO_SHUTDOWN = "its children cannot be significant"
"""Why a kind of supervisor refuses an automatic shutdown."""


class FlagProblem(StrEnum):
    """The kinds of mistakes in supervisor flags, in the order in which they are looked for."""

    NOT_FLAGS = "not_flags"
    INVALID_STRATEGY = "invalid_strategy"
    INVALID_INTENSITY = "invalid_intensity"
    INVALID_PERIOD = "invalid_period"
    INVALID_AUTO_SHUTDOWN = "invalid_auto_shutdown"
    NO_AUTO_SHUTDOWN = "no_auto_shutdown"
    """This kind of supervisor has no significant children, whose end could end it."""
    UNKNOWN_KEY = "unknown_key"


@dataclass(frozen=True, slots=True)
class FlagError:
    """The first thing that is wrong with supervisor flags, and the value that is."""

    problem: FlagProblem
    value: Any = None
    known: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        match self.problem:
            case FlagProblem.NOT_FLAGS:
                return f"{self.value!r} are not flags; give SupervisorFlags or a mapping"
            case FlagProblem.NO_AUTO_SHUTDOWN:
                return f"{NO_AUTO_SHUTDOWN}, so auto_shutdown={str(self.value)!r} cannot be"
            case FlagProblem.UNKNOWN_KEY:
                text = f"the flag {self.value!r} is unknown"
            case FlagProblem.INVALID_INTENSITY:
                return f"intensity={self.value!r} is not a whole number of at least 0"
            case FlagProblem.INVALID_PERIOD:
                return f"period_s={self.value!r} is not a positive number of seconds"
            case _:
                name = self.problem.value.removeprefix("invalid_")
                text = f"{name}={self.value!r} is unknown"
        return f"{text}. {near_names(str(self.value), self.known)}" if self.known else text
