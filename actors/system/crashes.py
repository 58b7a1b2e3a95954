"""The records of actors that fail: who, why, and what happens next.

A supervisor reports the ends of its children itself, because it knows what follows; here is what it
does not know of a crash (`CrashNotes`), and the records of all crashes that no supervisor sees.
"""

from __future__ import annotations

import sys
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Final

from ..kernel.cell import context_of, lasting_address, parent_of
from ..kernel.delivery import is_ask
from ..log import Log
from ..looks import shown
from ..reasons import describe_reason
from ..secrets import masked

MOST: Final = 1_000
"""Notes that are kept for supervisors that have not asked for them yet."""

LONGEST: Final = 500
"""Characters of a payload in a record, where records show them."""

OWN: Final = f"{__name__.partition('.')[0]}."


@dataclass(frozen=True, slots=True)
class CrashNotes:
    """What is known of one crash where it happened."""

    message: str | None = None
    """What was being handled, as text; None unless the system's records show payloads."""
    trace_id: str | None = None
    """The trace that this was a part of, if OpenTelemetry is in use."""

    @property
    def fields(self) -> dict[str, Any]:
        """What of it is there, as fields of a record."""
        fields = {"payload": self.message, "trace_id": self.trace_id}
        return {name: value for name, value in fields.items() if value is not None}


NOTHING: Final = CrashNotes()

ENDED: Final = "it has ended, and nothing starts it again"


class CrashLog:
    """Tells of the crashes in one system. Owned by the loop's thread."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._notes: dict[Any, CrashNotes] = {}
        """By the actor that crashed, until its supervisor asks."""

    def crashed(self, cell: Any, error: BaseException, message: Any, *, asked: bool) -> bool:
        """Note that *cell* ends, because handling *message* raised *error*; return whether that is told.

        It is not, if what is above it tells of it, or if it is the library's own business.
        """
        notes = self._noted(cell, message)
        parent = parent_of(cell)
        if parent is not None and parent.actor_class.reports_children:
            if notes is not NOTHING:
                while len(self._notes) >= MOST:
                    del self._notes[next(iter(self._notes))]
                self._notes[cell] = notes
            return True
        keeps = lasting_address(cell) is not None
        if parent is not None and not keeps and cell.actor_class.__module__.startswith(OWN):
            return False
        self._tell(cell, error, notes, "crashed", _next(parent, keeps), asked)
        return True

    def incarnation_crashed(self, cell: Any, error: Any, *, started: bool, asked: bool) -> None:
        """Tell that *cell*, one of several incarnations that no supervisor is above, has ended."""
        did = "crashed" if started else "did not start"
        then = "another takes its place when a message comes"
        self._tell(cell, error, self.notes_of(cell), did, then, asked)

    def start_failed(self, cell: Any, error: BaseException) -> None:
        """Tell that *cell*, which nothing is above, did not start."""
        then = (
            "the messages that wait for it fail; the next one starts another"
            if lasting_address(cell) is not None
            else "it has not lived"
        )
        self._tell(cell, error, NOTHING, "did not start", then, asked=False)

    def notes_of(self, cell: Any) -> CrashNotes:
        """Return what is known of the crash of *cell*, and forget it."""
        return self._notes.pop(cell, NOTHING)

    def _noted(self, cell: Any, message: Any) -> CrashNotes:
        trace_id = _trace_id(context_of(cell))
        payload = None
        if self._log.payloads:
            payload = masked(shown(message.message if is_ask(message) else message, LONGEST))
        return NOTHING if trace_id is payload is None else CrashNotes(payload, trace_id)

    def _tell(
        self, cell: Any, error: Any, notes: CrashNotes, did: str, then: str, asked: bool
    ) -> None:
        label = cell.label
        who = cell.name or cell.actor_class.__name__
        told = "; the asker has the error" if asked else ""
        handled = "" if notes.message is None else f"; it handled {notes.message}"
        self._log.report(
            "crash" if did == "crashed" else "failed_start",
            str(who),
            "WARNING" if did == "crashed" and then != ENDED else "ERROR",
            f"{label} {did}: {describe_reason(error)}{told}; {then}{handled}",
            reason=error,
            error=error,
            actor=label,
            incarnation=cell.incarnation,
            next=then,
            **notes.fields,
        )


def _next(parent: Any, keeps: bool) -> str:
    if parent is not None:
        return f"{parent.label}, which is linked to it, is told"
    if keeps:
        return "the next message starts another incarnation"
    return ENDED


def _trace_id(context: Context | None) -> str | None:
    """Return the trace that what runs in *context* is a part of, if OpenTelemetry is in use."""
    if context is None:
        return None
    tracing: Any = sys.modules.get("opentelemetry.trace")
    if tracing is None:
        return None
    try:
        # A copy, because the context itself may be entered.
        found = context.copy().run(tracing.get_current_span).get_span_context()
        return f"{found.trace_id:032x}" if found.is_valid else None
    except Exception:
        return None  # what stands there is not OpenTelemetry's
