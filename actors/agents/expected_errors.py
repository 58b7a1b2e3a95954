"""The errors that an agent declares as failures of one request, and no crash."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from ..dispatch.process_child import RemoteError
from ..errors import ActorExit
from ..expected import is_expected
from ..looks import is_a
from .errors import AgentDefinitionError
from .model_errors import is_model_error


@dataclass(frozen=True, slots=True)
class ExpectedErrors:
    """What an agent expects beside what says so of itself (`is_expected`): classes, with their subclasses.

    *of_models*: also what asking a model raises (`is_model_error`).
    """

    classes: tuple[type[Exception], ...] = ()
    of_models: bool = False

    def include(self, error: BaseException) -> bool:
        """Tell whether *error* is expected: it itself, not its causes. Of a group, each exception."""
        if is_a(error, RemoteError):
            # What counts is what it stands for, which may be a SystemExit.
            named = RemoteError in self.classes or error.stands_for(self.classes)
            return named or is_expected(error)
        if is_a(error, *self.classes) or is_expected(error):
            return True
        if is_a(error, BaseExceptionGroup):
            return all(map(self.include, error.exceptions))
        return self.of_models and is_model_error(error)


NOTHING_EXPECTED = ExpectedErrors()


def read_expected_errors(agent: str, given: Any, *, has_model: bool) -> ExpectedErrors:
    """Return what *agent* was given as ``expected_errors``, checked; None is its default.

    What asking a model raises is expected of a model agent by default, and stays so beside what is
    given. ``()`` is nothing at all.
    """
    if given is None:
        return ExpectedErrors(of_models=True) if has_model else NOTHING_EXPECTED
    if isinstance(given, type) or not isinstance(given, Iterable) or isinstance(given, str):
        given = (given,)
    classes = tuple(cast("Iterable[Any]", given))
    for item in classes:
        _check(agent, item)
    return ExpectedErrors(classes, has_model and bool(classes))


def _check(agent: str, item: Any) -> None:
    form = f"expected_errors=(ConnectionError, ValueError) for {agent!r}"
    if isinstance(item, type) and issubclass(item, Exception) and not issubclass(item, ActorExit):
        return
    if isinstance(item, type) and issubclass(item, BaseException):
        raise AgentDefinitionError(
            f"expected_errors of agent {agent!r} has {item.__name__}, which ends the handler, the actor or "
            f"the program and is never the failure of one request; write {form}"
        )
    raise AgentDefinitionError(
        f"expected_errors of agent {agent!r} takes classes of exceptions, not {item!r}; write {form}"
    )


__all__ = ["NOTHING_EXPECTED", "ExpectedErrors", "read_expected_errors"]
