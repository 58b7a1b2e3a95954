"""What happened lately in a system: an entry each, those that repeat in one, and sums of all."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final, cast

from agenticaiframework.actors import (
    ActorEnded,
    ActorSystem,
    DeadLetter,
    GaveUp,
    LoopBlocked,
    ModelRequestEnded,
    is_incarnation_in_pool,
    is_normal,
)
from agenticaiframework.patterns import CircuitChanged
from agenticaiframework.supervision import ChildRestarting, ReportKind, SupervisorReport

from .census import message_shown, pid_of
from .recorded import ObserverAction
from .spending import Spending
from .texts import LONG, reason_text, text

KEPT: Final = 500
"""Entries that are kept of each kind of list; what a storm says again is one entry with a count."""

TROUBLE: Final = {
    ReportKind.CHILD_TERMINATED: "warning",
    ReportKind.START_ERROR: "error",
    ReportKind.SHUTDOWN_ERROR: "warning",
    ReportKind.SHUTDOWN: "error",
    ReportKind.GAVE_UP: "error",
    ReportKind.COOLING_DOWN: "error",
    ReportKind.STARTED_AFRESH: "info",
    ReportKind.STOPPED_BY_HANDLER: "warning",
    ReportKind.HANDLER_FAILED: "error",
}

Entry = dict[str, Any]


class Feed:
    """Listens to a system from `begin` to `close`, and keeps what it heard.

    Owned by the loop's thread of the system. A subscriber must be quick: each event costs it a look at
    its class, and one that is shown the making of an entry.
    """

    def __init__(self, system: ActorSystem, *, payloads: bool = False) -> None:
        self._system = system
        self._payloads = payloads
        self._ends: list[Callable[[], None]] = []
        self.entries: deque[Entry] = deque(maxlen=KEPT)
        self.letters: deque[Entry] = deque(maxlen=KEPT)
        self.counts: Counter[str] = Counter()
        """How often each thing happened since `begin`: ``ended``, ``failed``, ``restarts`` ..."""
        self.reasons: Counter[str] = Counter()
        """Dead letters by their reason."""
        self.handled_before = 0
        """Messages that actors handled which have ended since."""
        self.spending = Spending()
        self._number = 0
        self._ears: dict[type[Any], Callable[[Any], None]] = {
            ActorEnded: self._ended,
            SupervisorReport: self._report,
            ChildRestarting: self._restarting,
            GaveUp: self._gave_up,
            LoopBlocked: self._blocked,
            ModelRequestEnded: self._model,
            ObserverAction: self._action,
        }

    @property
    def listening(self) -> bool:
        """Whether it hears what happens."""
        return bool(self._ends)

    def begin(self) -> None:
        """Listen from now on. Again: harmless."""
        if self._ends:
            return
        system = self._system
        self._ends = [system.subscribe(self._heard), system.dead_letters.subscribe(self._letter)]

    def close(self) -> None:
        """Listen no more."""
        for end in self._ends:
            end()
        self._ends = []

    # -- events ------------------------------------------------------------------------------------

    def _heard(self, event: Any) -> None:
        kind = cast("type[Any]", type(event))
        hear = self._ears.get(kind)
        if hear is not None:
            hear(event)
        else:
            self.counts[kind.__name__] += 1
            # The library's other events are for counting; those of users are shown.
            if kind is CircuitChanged or not kind.__module__.startswith("agenticaiframework."):
                self._add("event", "info", text(kind.__name__), text(event, 300))

    def _restarting(self, _event: ChildRestarting) -> None:
        self.counts["restarts"] += 1

    def _ended(self, event: ActorEnded) -> None:
        self.counts["ended"] += 1
        ref = event.ref
        if not is_incarnation_in_pool(ref):
            self.handled_before += self._system.info(ref).handled
        if is_normal(event.reason):
            return
        self.counts["failed"] += 1
        self._add(
            "exit", "warning", text(ref.label), reason_text(event.reason, 300), pid=pid_of(ref)
        )

    def _report(self, report: SupervisorReport) -> None:
        kind = report.kind
        if kind in (ReportKind.GAVE_UP, ReportKind.SHUTDOWN):
            self.counts["gave_up"] += 1
        child = report.ref.label if report.ref is not None else report.child
        last = self.entries[-1] if self.entries else None
        same = last is not None and last["kind"] == "exit" and last["count"] == 1
        if same and last is not None and last["pid"] == pid_of(report.ref):
            self.entries.pop()  # the report says the same, and what comes next
        said = f"{reason_text(report.reason, 200)} · {text(report.next)}"
        self._add(
            kind.value,
            TROUBLE.get(kind, "warning"),
            text(f"{report.supervisor.label} / {child}"),
            said,
            pid=pid_of(report.supervisor),
            window=f"{report.in_window}/{report.limit} in {report.period_s:g} s",
        )

    def _gave_up(self, event: GaveUp) -> None:
        self._add("gave_up", "error", text(event.who), reason_text(event.reason, 300))

    def _blocked(self, event: LoopBlocked) -> None:
        self.counts["loop_blocked"] += 1
        who = "the loop" if event.ref is None else text(event.ref.label)
        self._add("loop_blocked", "error", who, f"blocked the loop for {event.blocked_s:.2f} s")

    def _model(self, event: ModelRequestEnded) -> None:
        self.spending.add(event)
        if event.error is not None:
            said = f"{text(event.model)}: {text(event.error, 200)}"
            self._add("model_error", "warning", text(event.agent), said)

    def _action(self, event: ObserverAction) -> None:
        self.counts["actions"] += 1
        said = f"{event.action} by {text(event.who)}: {text(event.result, 200)}"
        self._add("action", "info", text(event.target), said)

    def _letter(self, letter: DeadLetter) -> None:
        reason = reason_text(letter.reason)
        self.reasons[cut_reason(reason)] += 1
        self.letters.append(
            {
                "number": self._next(),
                "at": time.time(),
                "recipient": text(letter.recipient),
                "message": message_shown(letter.message, self._payloads),
                "reason": reason,
            }
        )

    # -- entries -----------------------------------------------------------------------------------

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _add(self, kind: str, level: str, subject: str, said: str, **more: Any) -> None:
        last = self.entries[-1] if self.entries else None
        now = time.time()
        if last is not None and last["kind"] == kind and last["text"] == said:
            last.update(at=now, count=last["count"] + 1, subject=subject, **more)
            return
        self.entries.append(
            {
                "number": self._next(),
                "at": now,
                "kind": kind,
                "level": level,
                "subject": subject,
                "text": text(said, LONG),
                "count": 1,
                **more,
            }
        )


def cut_reason(reason: str) -> str:
    """Return the first words of a reason, so that what differs in an id is counted together."""
    return reason[:60]
