"""The exceptions of supervision."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pykka

from agenticaiframework.actors import AgenticError, attribute_of, describe_reason, near_names, shown

from .problems import FlagError, SpecError
from .reasons import exception_of


class SupervisionError(AgenticError):
    """Base class of the errors of this layer."""


class BadOption(SupervisionError, ValueError):
    """An argument of a supervisor, a specification or a policy makes no sense.

    *problem* says in words which and why; for flags and specifications, *error* is the same finding
    as a value (`FlagError`, `SpecError`), as a supervisor would answer it.
    """

    def __init__(
        self, where: str, problem: str, example: str, error: FlagError | SpecError | None = None
    ) -> None:
        super().__init__(f"{where}: {problem.rstrip('.?')}. For example: {example}")
        self.problem = problem
        self.error = error


class UnknownChild(SupervisionError, LookupError):
    """No child of the supervisor has this name."""

    def __init__(self, supervisor: str, name: str, known: Iterable[str]) -> None:
        super().__init__(
            f"Supervisor {supervisor!r} has no child {name!r}. {near_names(name, known)} "
            f"Add it with add_child({name!r}, agent)."
        )
        self.supervisor = supervisor
        self.name = name


class DuplicateChild(SupervisionError, ValueError):
    """The supervisor has a child of this name already, or the same one under another name."""

    def __init__(self, supervisor: str, name: str, given: Any = None) -> None:
        if given is None:
            problem = f"has a child {name!r} already. Choose another name, or"
        else:
            problem = f"has {given!r} as its child {name!r} already. Give it one of its own, or"
        super().__init__(
            f"Supervisor {supervisor!r} {problem} `await supervisor.remove_child({name!r})` first."
        )
        self.supervisor = supervisor
        self.name = name


class ChildStopped(SupervisionError, pykka.ActorDeadError):
    """The child is down, and answers nothing.

    If it cools down after too many failures, *back_in_s* is in how many seconds it is started afresh;
    None: it is not, and nothing is kept for it.
    """

    def __init__(
        self,
        supervisor: str,
        name: str,
        state: str,
        reason: Any,
        way_back: str | None = None,
        *,
        back_in_s: float | None = None,
    ) -> None:
        remedy = way_back or (
            f"Bring it back with `await supervisor.restart_child({name!r})`, "
            "or remove it and add another."
        )
        super().__init__(
            f"The child {name!r} of supervisor {supervisor!r} {_in_words(state)} "
            f"({describe_reason(reason)}). {remedy}"
        )
        self.supervisor = supervisor
        self.name = name
        self.state = state
        self.reason = reason
        self.back_in_s = back_in_s


class SupervisorNotRunning(SupervisionError, pykka.ActorDeadError):
    """The supervisor has not been started, or has ended."""

    def __init__(self, supervisor: str, reason: Any = None) -> None:
        why = "has not been started" if reason is None else f"has ended: {describe_reason(reason)}"
        super().__init__(
            f"Supervisor {supervisor!r} {why}. Start it with `await supervisor.start()`."
        )
        self.supervisor = supervisor
        self.reason = reason


class SupervisorStartFailed(SupervisionError):
    """A supervisor did not start, mostly because one of its children did not.

    *child* is the path to that child (None: the fault was the supervisor's own), *reason* why it
    failed; an exception is also the ``__cause__``.
    """

    def __init__(self, supervisor: str, child: str | None, reason: Any) -> None:
        whose = "" if child is None else f" because its child {child!r} did not"
        cause = exception_of(reason)
        super().__init__(
            f"Supervisor {supervisor!r} did not start{whose}: {describe_reason(reason if cause is None else cause)}"
        )
        self.supervisor = supervisor
        self.child = child
        self.reason = reason
        if cause is not None:
            self.__cause__ = cause


class ChildExited(SupervisionError):
    """What a failure handler gets for a child that ended without an exception; *reason* says why."""

    def __init__(self, name: str, reason: Any) -> None:
        super().__init__(f"The child {name!r} ended: {describe_reason(reason)}")
        self.name = name
        self.reason = reason


class Refused(SupervisionError):
    """A supervisor refused a request whose result was unwrapped; *error* is the typed refusal.

    *request* says in words what was asked, *detail* why it was refused. If an exception is what stood
    against it, that is the ``__cause__``.
    """

    def __init__(self, error: Any, request: str | None = None, detail: str | None = None) -> None:
        asked = "The supervisor refused" if request is None else f"{request} was refused"
        super().__init__(f"{asked}: {error}" + ("" if detail is None else f": {detail}"))
        self.error = error
        cause = exception_of(attribute_of(error, "reason"))
        if cause is not None:
            self.__cause__ = cause


class WaitsForOwnStart(SupervisionError, RuntimeError):
    """An `on_start` waits for its supervisor, or for a child that is started after it.

    A supervisor starts its children one after the other, and does nothing else meanwhile.
    """

    def __init__(self, supervisor: str, child: str) -> None:
        super().__init__(
            f"The on_start of {child!r} waits for its supervisor {supervisor!r}, which waits for that "
            "on_start: neither would ever go on. Do it after the start: in the first message, or in "
            "a task that on_start creates and does not await."
        )
        self.supervisor = supervisor
        self.child = child


class UnknownRequest(SupervisionError):
    """A supervisor was sent a request that is not part of its protocol."""

    def __init__(self, supervisor: Any, message: Any) -> None:
        super().__init__(
            f"{supervisor} does not know the request {shown(message)}. "
            "Use start_child, terminate_child, which_children and their like."
        )


class WaitTimeout(SupervisionError, TimeoutError):
    """A child did not get into a state, or a task did not finish, within *waited_s* seconds."""

    def __init__(self, waited_for: str, waited_s: float, now: str) -> None:
        super().__init__(f"{waited_for} within {waited_s:g} s; it {_in_words(now)}.")
        self.waited_s = waited_s


def _in_words(state: str) -> str:
    return state if state == "gave up" else f"is {state}"
