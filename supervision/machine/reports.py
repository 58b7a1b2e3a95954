"""What a supervisor reports: one event on the system's stream and one log record each.

A report says who failed, why, how often, and what happens next. The records go through loguru with
their data as extra fields, so that a service can filter and ship them as it likes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Final

from agenticaiframework.actors import ActorRef, as_data, describe_reason, shown

from ..vocabulary.kinds import ChildType


class ReportKind(StrEnum):
    """What a report is about. The first four are OTP's."""

    CHILD_TERMINATED = "child_terminated"
    """A child ended that is to be restarted, or a temporary one ended abnormally."""
    START_ERROR = "start_error"
    """A child did not start, while its supervisor started or restarted it."""
    SHUTDOWN_ERROR = "shutdown_error"
    """A child that was told to stop ended with an unexpected reason."""
    SHUTDOWN = "shutdown"
    """The restart limit is reached: the supervisor ends its children and itself."""
    GAVE_UP = "gave_up"
    """The restart limit is reached: the child stays down, its supervisor lives."""
    COOLING_DOWN = "cooling_down"
    """The restart limit is reached: the child stays down for a time, its supervisor lives."""
    STARTED_AFRESH = "started_afresh"
    """A cool-down is over: the child is started as if it had never failed."""
    STOPPED_BY_HANDLER = "stopped_by_handler"
    """The failure handler decided against a restart."""
    HANDLER_FAILED = "handler_failed"
    """A failure handler failed itself, or took too long."""


LEVELS = {
    ReportKind.CHILD_TERMINATED: "WARNING",
    ReportKind.START_ERROR: "ERROR",
    ReportKind.SHUTDOWN_ERROR: "WARNING",
    ReportKind.SHUTDOWN: "ERROR",
    ReportKind.GAVE_UP: "ERROR",
    ReportKind.COOLING_DOWN: "ERROR",
    ReportKind.STARTED_AFRESH: "INFO",
    ReportKind.STOPPED_BY_HANDLER: "WARNING",
    ReportKind.HANDLER_FAILED: "ERROR",
}
"""The level of each kind's log record."""

AT_THE_TOP: Final = "CRITICAL"
"""The level where nothing is above a supervisor that ends: the program is told, and should end."""

EVENTS: Final = {
    ReportKind.CHILD_TERMINATED: "crash",
    ReportKind.START_ERROR: "failed_start",
    ReportKind.SHUTDOWN_ERROR: "failed_stop",
    ReportKind.SHUTDOWN: "escalation",
    ReportKind.GAVE_UP: "give_up",
    ReportKind.COOLING_DOWN: "give_up",
    ReportKind.STARTED_AFRESH: "started_afresh",
    ReportKind.STOPPED_BY_HANDLER: "give_up",
    ReportKind.HANDLER_FAILED: "failed_handler",
}
"""The ``kind`` of each kind's log record, by which storms are summed up."""

ENDS: Final = "end"
"""The ``kind`` of the record of a child that has ended without an error, and is restarted."""


@dataclass(frozen=True, slots=True)
class ChildRestarting:
    """An event: a child, or one of its incarnations, is restarted, after its backoff if it has one.

    *restarts* is how often that has happened to it, this time included.
    """

    supervisor: ActorRef[Any]
    child: Any
    restarts: int


@dataclass(slots=True)
class SupervisorReport:
    """One thing that happened under a supervisor.

    *restarts* is how often this child has been restarted, *in_window* how many restarts count
    against *limit* within *period_s* now, the one that follows included. *next* says what the supervisor
    does about it. *children* is how many dynamic children one shutdown report stands for. *back_in_s* is
    when the child is started again, if that is known: after a backoff, or a cool-down.
    """

    kind: ReportKind
    supervisor: ActorRef[Any]
    child: Any
    child_type: ChildType
    ref: ActorRef[Any] | None
    reason: Any
    restarts: int
    in_window: int
    limit: int
    period_s: float
    next: str
    children: int = 1
    back_in_s: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, for JSON: actors and reasons as texts."""
        own = ("supervisor", "child", "ref", "reason")
        return {
            **{f.name: as_data(getattr(self, f.name)) for f in fields(self) if f.name not in own},
            "supervisor": self.supervisor.label,
            "child": shown(self.child),
            "ref": None if self.ref is None else self.ref.label,
            "reason": describe_reason(self.reason),
        }

    def __str__(self) -> str:
        if self.kind is ReportKind.CHILD_TERMINATED and self.back_in_s is not None:
            times = f"restart {self.in_window} of {self.limit} in {self.period_s:g} s"
        else:
            times = f"{self.in_window} of {self.limit} restarts in {self.period_s:g} s"
        what = self.kind.value.replace("_", " ")
        many = f" and {self.children - 1} like it" if self.children > 1 else ""
        return (
            f"{self.supervisor.label}: {what}: {shown(self.child)}{many}: {describe_reason(self.reason)} "
            f"({times}); {self.next}"
        )
