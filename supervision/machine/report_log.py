"""The log record of a supervisor's report: who, why, how often, what happens next."""

from __future__ import annotations

from typing import Any

from agenticaiframework.actors import (
    ActorSystem,
    attribute_of,
    describe_reason,
    is_normal,
    shown,
    text_of,
)

from .reports import AT_THE_TOP, ENDS, EVENTS, LEVELS, ReportKind, SupervisorReport

GIVE_UPS = (ReportKind.SHUTDOWN, ReportKind.GAVE_UP, ReportKind.COOLING_DOWN)


def write_report(
    system: ActorSystem, report: SupervisorReport, path: str, last_reason: Any, *, is_root: bool
) -> None:
    """Write the record of *report*, of the supervisor at *path*; *last_reason* is why the child ended."""
    kind, ref = report.kind, report.ref
    level = AT_THE_TOP if kind is ReportKind.SHUTDOWN and is_root else LEVELS[kind]
    reason, why = report.reason, ""
    if kind in GIVE_UPS and last_reason is not None and last_reason is not reason:
        reason = last_reason
        why = f"; it failed lastly of {describe_reason(last_reason)}"
    fields: dict[str, Any] = {}
    if ref is not None:
        # A plain pykka actor has neither.
        label = attribute_of(ref, "label") or text_of(ref)
        fields = {"actor": label, "incarnation": attribute_of(ref, "incarnation")}
        fields |= system.crash_notes(ref).fields
    handled = fields.get("payload")
    shows = "" if handled is None else f"; it handled {handled}"
    event = EVENTS[kind]
    if event == "crash" and is_normal(report.reason):
        event = ENDS
    system.log.report(
        event,
        f"{path}/{shown(report.child).strip(chr(39))}",
        level,
        f"{report}{why}{shows}",
        reason=reason,
        error=reason,
        depth=1,
        report=kind.value,
        supervisor=path,
        child=report.child,
        restarts=report.restarts,
        in_window=report.in_window,
        limit=report.limit,
        period_s=report.period_s,
        next=report.next,
        back_in_s=report.back_in_s,
        **fields,
    )
