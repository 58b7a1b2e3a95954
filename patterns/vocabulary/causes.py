"""What an error says about another attempt: its causes, their classes, and how long to wait."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agenticaiframework.actors import AgenticError


class UnretriableError(AgenticError):
    """Base of errors that another attempt cannot mend (a wrong name, a wrong definition)."""


def matches_any(error: BaseException, wanted: tuple[Any, ...]) -> bool:
    """Tell whether *error*, or what caused it, is one of *wanted*, by class or by class name."""
    return any(_matches(link, wanted) for link in causes_of(error))


def retry_after_s(error: BaseException) -> float:
    """Return how long *error*, or what caused it, asks to wait (``retry_after_s``); 0 if it does not."""
    for link in causes_of(error):
        asked: object = getattr(link, "retry_after_s", None)
        if isinstance(asked, (int, float)) and not isinstance(asked, bool) and asked > 0:
            return float(asked)
    return 0.0


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and what it says caused it, nearest first."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__


def _matches(error: BaseException, wanted: tuple[Any, ...]) -> bool:
    for item in wanted:
        if isinstance(item, str):
            if any(cls.__name__ == item for cls in type(error).__mro__):
                return True
        elif isinstance(error, item):
            return True
    return False
