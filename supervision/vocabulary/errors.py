"""The errors of the page's supervisors: unknown and duplicate names, children and supervisors down."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import pykka

from agenticaiframework.actors import describe_reason, near

from ..machine.results import SupervisionError, exception_of
from ..policy.flags import is_positive_number


class UnknownChild(SupervisionError, LookupError):
    """No child of the supervisor has this name."""

    def __init__(self, supervisor: str, name: str, known: Iterable[str]) -> None:
        super().__init__(
            f"Supervisor {supervisor!r} has no child {name!r}. {near(name, known)} "
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
    """The child has been stopped for good: nothing is sent to it, and nothing is kept for it."""

    def __init__(
        self, supervisor: str, name: str, state: str, reason: Any, way_back: str | None = None
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
            f"Supervisor {supervisor!r} did not start{whose}: {describe_reason(cause or reason)}"
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


def _in_words(state: str) -> str:
    return state if state == "gave up" else f"is {state}"


class WaitTimeout(SupervisionError, TimeoutError):
    """A child did not get into a state within the time given."""

    def __init__(
        self, supervisor: str, name: str, wanted: str, state: str, waited_s: float
    ) -> None:
        super().__init__(
            f"The child {name!r} of supervisor {supervisor!r} was not {wanted} within "
            f"{waited_s:g} s; it {_in_words(state)}."
        )
        self.supervisor = supervisor
        self.name = name
        self.wanted = wanted
        self.state = state


class BadOption(SupervisionError, ValueError):
    """An option of a supervisor or a child makes no sense; *problem* says which and why."""

    def __init__(self, where: str, problem: str, example: str) -> None:
        super().__init__(f"{where}: {problem}. For example: {example}")
        self.problem = problem


def check_seconds(where: str, field: str, value: Any) -> None:
    """Raise `BadOption` unless *value* is None (no limit) or a positive number of seconds."""
    if value is not None and not is_positive_number(value):
        raise BadOption(where, f"{field}={value!r} is no positive number of seconds", f"{field}=30")


def check_count(where: str, field: str, value: Any, least: int, example: str) -> None:
    """Raise `BadOption` unless *value* is a whole number of at least *least*."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadOption(where, f"{field}={value!r} is no whole number", example)
    if value < least:
        below = "is negative" if least == 0 else f"is below {least}"
        raise BadOption(where, f"{field}={value!r} {below}", example)


def check_handler(where: str, handler: Any, example: str, arguments: int) -> None:
    """Raise `BadOption` unless *handler* can be called with that many arguments."""
    if not callable(handler):
        raise BadOption(where, f"the handler {handler!r} is no function", example)
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):
        return  # Some that are written in C do not tell.
    try:
        signature.bind(*range(arguments))
    except TypeError as error:
        raise BadOption(
            where, f"the handler does not take its {arguments} argument(s): {error}", example
        ) from None
