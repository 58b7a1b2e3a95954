"""Delegating: what a parent returns to pick its children."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from ..definition.step import Ask


@dataclass(frozen=True, slots=True)
class Delegate:
    """Returned by a parent in a hierarchy: which children get which sub-task.

    ``Delegate({"writer": "the introduction", "editor": None})``; None passes the task on as it is.
    *answer* is the parent's own contribution. A model returns
    ``{"delegate": {"writer": "the introduction"}}``.
    """

    to: Mapping[str, Any]
    answer: Any = field(default=None)


@dataclass(frozen=True, slots=True)
class Delegation:
    """One child's turn: its agent, its task, and the reason for it."""

    name: str
    ask: Ask
    task: Any
    why: str


def read_delegations(answer: Any) -> Iterator[tuple[str, Any]]:
    """Yield the children that *answer* picks, with their sub-tasks (None: the task as it is).

    >>> list(read_delegations({"delegate": ["writer", {"agent": "editor", "task": "page 2"}]}))
    [('writer', None), ('editor', 'page 2')]
    """
    picked: Any = None
    if isinstance(answer, Delegate):
        picked = answer.to
    elif isinstance(answer, Mapping):
        picked = cast(Mapping[str, Any], answer).get("delegate")
    if isinstance(picked, str):
        yield picked, None
    elif isinstance(picked, Mapping):
        yield from cast(Mapping[str, Any], picked).items()
    elif isinstance(picked, (list, tuple)):
        for item in cast("list[Any] | tuple[Any, ...]", picked):
            if isinstance(item, Mapping):
                fields = cast(Mapping[str, Any], item)
                # Without a name it is shown as it is, as a child that there is not.
                yield str(fields.get("agent", fields)), fields.get("task")
            else:
                yield str(item), None
    elif picked is not None:
        yield str(picked), None


_NEEDS = ("requires_", "needs_")


def speaks_of(task: Any, field: str) -> bool:
    """Tell whether a task that is text asks for what *field* names.

    >>> speaks_of("Research AI trends and write report", "requires_research")
    True
    >>> speaks_of({"task": "Say hello"}, "requires_report")
    False
    """
    if isinstance(task, Mapping):
        task = cast(Mapping[str, Any], task).get("task")
    if not isinstance(task, str):
        return False
    for prefix in _NEEDS:
        if field.startswith(prefix):
            wanted = field.removeprefix(prefix).replace("_", " ").lower()
            return bool(wanted) and wanted in task.lower()
    return False
