"""Which stored runs a command is for: what --state, --name, --label, --queue, --created-before, ... say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from agenticaiframework.actors import AgenticError
from agenticaiframework.patterns.engine import WorkflowFilter, WorkflowState

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class BadSelection(AgenticError, ValueError):
    """An option does not say which runs are meant."""


def read_where(
    states: Sequence[str] | None,
    name: str | None,
    labels: Sequence[str] | None,
    parent: str | None,
    created_after: str | None,
    created_before: str | None,
    finished_after: str | None = None,
    finished_before: str | None = None,
    *,
    queue: str | None = None,
) -> WorkflowFilter:
    """Return what the options say; empty if none is given. Raises BadSelection."""
    where: WorkflowFilter = {}
    if states:
        known = [state.value for state in WorkflowState]
        for state in states:
            if state not in known:
                raise BadSelection(f"--state {state}: one of {', '.join(known)}")
        where["state"] = list(states)
    if name is not None:
        where["name"] = name
    if labels:
        where["labels"] = dict(map(_read_label, labels))
    if queue is not None:
        where["queue"] = queue
    if parent is not None:
        where["parent"] = parent
    if created_after is not None:
        where["created_after"] = _read_moment("--created-after", created_after)
    if created_before is not None:
        where["created_before"] = _read_moment("--created-before", created_before)
    if finished_after is not None:
        where["finished_after"] = _read_moment("--finished-after", finished_after)
    if finished_before is not None:
        where["finished_before"] = _read_moment("--finished-before", finished_before)
    return where


def _read_label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise BadSelection(f"--label {text}: key=value")
    return key, value


def _read_moment(option: str, text: str) -> datetime:
    """Return the date that *text* is, or that is as long ago as it says.

    >>> _read_moment("--created-before", "2026-01-31T12:00+00:00").isoformat()
    '2026-01-31T12:00:00+00:00'
    """
    age = re.fullmatch(r"(\d+)([smhdw])", text)
    try:
        if age is not None:
            return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
        return datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise BadSelection(
            f"{option} {text}: a date, as 2026-01-31 or 2026-01-31T12:00, or an age: 90s, 12h, 7d"
        ) from None
