"""What an error says about another attempt: its causes, their classes, and how long to wait."""

from __future__ import annotations

from typing import Any, Final, cast

from agenticaiframework.actors import (
    AgenticError,
    GuardrailTripped,
    UsageLimitReached,
    causes_of,
    http_status_of,
    retry_after_of,
)

FINAL_STATUSES: Final = frozenset({400, 401, 403, 404, 422})
"""HTTP statuses of refusals that the same request meets again."""


class UnretriableError(AgenticError):
    """Base of errors that another attempt cannot mend (a wrong name, a wrong definition)."""


def matches_any(error: BaseException, wanted: tuple[Any, ...]) -> bool:
    """Tell whether *error*, or what caused it, is one of *wanted*: a class, its name, or an HTTP status."""
    return any(_matches(link, wanted) for link in causes_of(error))


def retry_after_s(error: BaseException) -> float:
    """Return how long *error*, or what caused it, asks to wait; 0 if it does not."""
    return retry_after_of(error) or 0.0


def is_final(error: BaseException, named: tuple[Any, ...] = ()) -> bool:
    """Tell whether another attempt cannot mend *error*, because of what it or a cause of it says.

    An `UnretriableError` says so, a guardrail that has tripped, a limit of usage that further attempts
    share, and a refusal with one of `FINAL_STATUSES`: of several refusals in a chain of causes the nearest
    counts. Of a group, which several were asked for, all have to say so.
    *named* are errors that are worth another attempt all the same.
    """
    refused = False  # the nearest refusal has been looked at
    for link in causes_of(error):
        status = None if refused else http_status_of(link)
        refused = refused or status is not None
        final = status in FINAL_STATUSES or isinstance(link, (UnretriableError, GuardrailTripped))
        if isinstance(link, UsageLimitReached):
            final = not link.of_one_answer
        if final and not _names(link, named):
            return True
        if isinstance(link, BaseExceptionGroup) and not refused:
            group = cast("BaseExceptionGroup[BaseException]", link)
            return all(is_final(one, named) for one in group.exceptions)
    return False


def _names(error: BaseException, named: tuple[Any, ...]) -> bool:
    """Tell whether *named* means *error* in particular: `Exception` means any."""
    every = (Exception, BaseException, "Exception", "BaseException")
    return _matches(error, tuple(item for item in named if item not in every))


def _matches(error: BaseException, wanted: tuple[Any, ...]) -> bool:
    for item in wanted:
        if isinstance(item, int):
            if http_status_of(error) == item:
                return True
        elif isinstance(item, str):
            if any(cls.__name__ == item for cls in type(error).__mro__):
                return True
        elif isinstance(error, item):
            return True
    return False
