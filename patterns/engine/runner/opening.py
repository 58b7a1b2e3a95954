"""What a run begins, or goes on, with: events that are noted before anything else happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..state.events import EventKind

if TYPE_CHECKING:
    from .notes import Notes

Opening = tuple[tuple[EventKind, Any], ...]
"""Events with their data: those of the run, and, as a `StepEvent`, those of its steps."""


class StepEvent(NamedTuple):
    """The data of an event in an opening that is about a step."""

    step: str
    attempt: int
    data: Any


_AFTER_AN_END: Final = frozenset({EventKind.WORKFLOW_RESUMED, EventKind.WORKFLOW_REWOUND})


def told_span(opening: Opening, span: str | None) -> Opening:
    """Return *opening* with the run's new span, where it goes on after its end."""
    told: list[tuple[EventKind, Any]] = []
    for kind, data in opening:
        if kind in _AFTER_AN_END:
            fields: dict[str, Any] = dict(data or {})
            data = {**fields, "span": span}
        told.append((kind, data))
    return tuple(told)


def begin_with(notes: Notes, opening: Opening) -> None:
    """Note the events of *opening*."""
    for kind, data in opening:
        if data.__class__ is StepEvent:
            notes.told(kind, data.step, data.attempt, data.data)
        else:
            notes.happened(kind, data)


__all__ = ["Opening", "StepEvent", "begin_with", "told_span"]
