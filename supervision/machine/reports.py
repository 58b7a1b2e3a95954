"""What a supervisor reports: one event on the system's stream and one log record each.

A report says who failed, why, how often, and what happens next. The records go through loguru with
their data as extra fields, so that a service can filter and ship them as it likes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from agenticaiframework.actors import ActorRef, describe_reason, shown

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
    ReportKind.SHUTDOWN: "CRITICAL",
    ReportKind.GAVE_UP: "ERROR",
    ReportKind.COOLING_DOWN: "ERROR",
    ReportKind.STARTED_AFRESH: "INFO",
    ReportKind.STOPPED_BY_HANDLER: "WARNING",
    ReportKind.HANDLER_FAILED: "ERROR",
}
"""The level of each kind's log record."""


@dataclass(slots=True)
class SupervisorReport:
    """One thing that happened under a supervisor.

    *restarts* is how often this child has been restarted, *in_window* how many restarts count
    against *limit* within *period_s* now. *next* says what the supervisor does about it.
    *children* is how many dynamic children one shutdown report stands for. *back_in_s* is when a child
    that cools down is started afresh.
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

    def __str__(self) -> str:
        times = f"{self.in_window} of {self.limit} restarts in {self.period_s:g} s"
        what = self.kind.value.replace("_", " ")
        many = f" and {self.children - 1} like it" if self.children > 1 else ""
        return (
            f"{self.supervisor.label}: {what}: {shown(self.child)}{many}: {describe_reason(self.reason)} "
            f"({times}); {self.next}"
        )
