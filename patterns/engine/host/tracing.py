"""Spans: what took how long, under what, and how it ended; kept in memory, exported if wanted.

One trace a run: the workflow's span at the root, and below it one for each attempt at a step, named
after the GenAI conventions of OpenTelemetry (``invoke_workflow``, ``invoke_agent``). A nested
workflow's span hangs under the attempt that runs it. What is kept is bounded; where OpenTelemetry's
API is installed, its exporters get every span.

A span is exported when it ends. So that a run which goes on in another process has one all the same,
its ids are in its journal, and those of its attempts follow from them: the process that goes on has
the run's span under the same ids, from the same start, and ends the spans of the attempts that were
cut off. The process that gave the run up exports neither.
"""

from __future__ import annotations

import random
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Protocol

from agenticaiframework.actors import NO_USAGE, Usage, message_of

from ...vocabulary.target import target_name
from ..state.status import WorkflowState

if TYPE_CHECKING:
    from contextvars import Context

    from ..runner.attempt import StepAttempt
    from ..state.live import LiveRun

OK: Final = "ok"
ERROR: Final = "error"
CANCELLED: Final = "cancelled"
RUNNING: Final = "running"
CUT_OFF: Final = "cut off: its process ended"


@dataclass(slots=True, eq=False)
class Span:
    """One thing that took time. Times are seconds since the epoch; ids are hexadecimal as in W3C."""

    name: str
    kind: str
    """``workflow``, ``step`` or ``attempt``."""
    workflow_id: str
    trace_id: str
    span_id: str
    parent_id: str | None
    start: float
    end: float | None = None
    status: str = RUNNING
    """``running``, ``ok``, ``error`` or ``cancelled``."""
    error: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])
    exported: Any = None
    """OpenTelemetry's own span, where there is one."""

    @property
    def duration_s(self) -> float | None:
        """How long it took, in seconds; None while it runs."""
        return None if self.end is None else self.end - self.start

    @property
    def traceparent(self) -> str:
        """The span as a W3C ``traceparent`` header."""
        return f"00-{self.trace_id}-{self.span_id}-01"

    def to_dict(self) -> dict[str, Any]:
        """Return the span as plain data."""
        return {
            "name": self.name,
            "kind": self.kind,
            "workflow_id": self.workflow_id,
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "parent_id": self.parent_id,
            "start": self.start,
            "end": self.end,
            "status": self.status,
            "error": self.error,
            "attributes": dict(self.attributes),
        }


_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


def read_traceparent(header: Any) -> tuple[str, str] | None:
    """Return the trace id and the span id of a W3C ``traceparent`` header; None if it is not one."""
    found = _TRACEPARENT.fullmatch(header) if isinstance(header, str) else None
    return None if found is None else (found[1], found[2])


def usage_attributes(usage: Usage) -> dict[str, Any]:
    """Return *usage* as attributes of a span that stands above those of its requests.

    Under pydantic-ai's names for such sums: what adds the attributes of all spans up counts nothing twice.
    """
    attributes: dict[str, Any] = {
        "gen_ai.aggregated_usage.input_tokens": usage.input_tokens,
        "gen_ai.aggregated_usage.output_tokens": usage.output_tokens,
        "agenticaiframework.usage.requests": usage.requests,
        "agenticaiframework.usage.tool_calls": usage.tool_calls,
    }
    if usage.cost is not None:
        attributes["agenticaiframework.usage.cost"] = float(usage.cost)
    return attributes


class Exporter(Protocol):
    """Is told of every span, and hands it on."""

    def begin(self, span: Span, parent: Span | None, outside: Any) -> None:
        """Take note that *span* has begun under *parent*, or under the caller's own context."""
        ...

    def end(self, span: Span, error: BaseException | str | None) -> None:
        """Take note that *span* has ended."""
        ...

    def inside(self, span: Span, variables: Context | None) -> Context | None:
        """Return *variables* such that the spans which are made in them are children of *span*."""
        ...


class Tracer:
    """Makes spans and keeps the latest *limit* of them. Owned by the engine's loop."""

    def __init__(
        self,
        limit: int,
        now: Callable[[], float],
        rng: random.Random,
        exporter: Exporter | None = None,
    ) -> None:
        self._now = now
        self._random = rng
        self._exporter = exporter
        self._spans: deque[Span] = deque(maxlen=limit)
        self.dropped = 0
        """How many spans have been forgotten to stay within the limit."""

    def start(
        self,
        name: str,
        kind: str,
        workflow_id: str,
        parent: Span | None,
        attributes: Mapping[str, Any],
        outside: Any = None,
        traceparent: Any = None,
        *,
        itself: tuple[str, str] | None = None,
        span_id: str | None = None,
        begun_at: float | None = None,
    ) -> Span:
        """Begin a span under *parent*, else in the trace of *traceparent*, else in a new one.

        *outside* is the caller's own context. One that has begun before, in this process or another, is
        *itself*: its trace id and span id; one with a *span_id* has that, and *begun_at* is when it began.
        """
        if len(self._spans) == self._spans.maxlen:
            self.dropped += 1
        bits = self._random.getrandbits
        if parent is not None:
            trace_id, parent_id = parent.trace_id, parent.span_id
        elif (remote := read_traceparent(traceparent)) is not None:
            trace_id, parent_id = remote
        else:
            trace_id, parent_id = f"{bits(128) or 1:032x}", None
        if itself is not None:
            trace_id, span_id = itself
        span = Span(
            name,
            kind,
            workflow_id,
            trace_id,
            span_id or f"{bits(64) or 1:016x}",
            parent_id,
            self._now() if begun_at is None else begun_at,
            attributes=dict(attributes),
        )
        if self._exporter is not None:
            self._exporter.begin(span, parent, outside)
        self._spans.append(span)
        return span

    def end(self, span: Span, error: BaseException | str | None = None, status: str = OK) -> None:
        """End *span*; again: harmless."""
        if span.end is not None:
            return
        span.end = self._now()
        if error is not None:
            span.status = ERROR if status == OK else status
            span.error = (
                error if isinstance(error, str) else f"{type(error).__name__}: {message_of(error)}"
            )
        else:
            span.status = status
        if self._exporter is not None:
            self._exporter.end(span, error)

    def begin_run(self, live: LiveRun) -> None:
        """Begin the span of a run, if it has none yet: again, if it is taken over from another process."""
        if live.span is None:
            run, plan = live.run, live.run.plan
            itself = None if run.state.finished else read_traceparent(run.span)
            live.span = self.start(
                f"invoke_workflow {plan.name}",
                "workflow",
                live.id,
                live.parent_span,
                {
                    "gen_ai.operation.name": "invoke_workflow",
                    "workflow.name": plan.name,
                    "workflow.id": live.id,
                },
                live.outside,
                None if run.context is None else run.context.get("traceparent"),
                itself=itself,
                begun_at=None if itself is None else run.started_at,
            )
            if itself is not None:
                self._end_what_was_cut_off(live, live.span)
            run.span = live.span.traceparent

    def end_run(self, live: LiveRun) -> None:
        """End the span of a run that has ended, or was cut short here."""
        if live.span is not None:
            cut_short = live.interrupted or live.run.state is WorkflowState.CANCELLED
            error = getattr(live.error, "why", live.error)
            self.tell_usage(live.span, live.run.usage)
            self.end(live.span, error, CANCELLED if cut_short else OK)

    def begin_attempt(self, live: LiveRun, attempt: StepAttempt) -> None:
        """Begin the span of an attempt at a step of a run."""
        plan = attempt.plan
        found = live.run.steps[plan.index]
        place = _place(
            plan.id, attempt.item, attempt.iteration, 1 if found is None else found.round
        )
        if attempt.undo:
            place += "!undo"
        attempt.span = self._attempt(
            live, target_name(attempt.target), plan.id, attempt.number, place
        )

    def _attempt(
        self,
        live: LiveRun,
        name: str,
        step: str,
        number: int,
        place: str,
        begun_at: float | None = None,
    ) -> Span:
        run = live.run
        span_id = None
        if run.persist and live.span is not None:
            # Known to the process that takes the run over, which ends it.
            key = f"{live.span.span_id} {place} {number} {run.recoveries}"
            span_id = blake2b(key.encode(), digest_size=8).hexdigest()
        return self.start(
            f"invoke_agent {name}",
            "attempt",
            live.id,
            live.span,
            {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": name,
                "workflow.step": step,
                "workflow.attempt": number,
            },
            span_id=span_id,
            begun_at=begun_at,
        )

    def _end_what_was_cut_off(self, live: LiveRun, around: Span) -> None:
        """End the spans of the attempts that were under way in the process that had the run before."""
        for plan, found in zip(live.run.plan.steps, live.run.steps, strict=True):
            if found is None or not found.at_work:
                continue
            target = live.bound[plan.index] if plan.index < len(live.bound) else None
            name = plan.id if target is None else target_name(target)
            cut: list[tuple[int | None, int]] = [
                (index, one.attempts) for index, one in (found.items or {}).items() if one.running
            ]
            for item, number in cut or [(None, found.attempts)]:
                place = _place(plan.id, item, found.iteration, found.round)
                span = self._attempt(live, name, plan.id, number, place, found.started_at)
                self.end(span, CUT_OFF)

    def give_up(self, live: LiveRun) -> None:
        """Forget the open spans of a stored run that another process goes on with, which ends them."""
        for span in (live.span, *(attempt.span for attempt in live.under_way)):
            if span is not None and span.end is None:
                span.end, span.status, span.exported = self._now(), CANCELLED, None

    def tell_usage(self, span: Span, usage: Usage) -> None:
        """Put what *span*'s work has spent on models into its attributes."""
        if usage is not NO_USAGE:
            span.attributes |= usage_attributes(usage)

    def inside(self, span: Span, variables: Context | None) -> Context | None:
        """Return *variables* such that the spans which are made in them are children of *span*."""
        exporter = self._exporter
        return variables if exporter is None else exporter.inside(span, variables)

    def find(self, span_id: str | None) -> Span | None:
        """Return the span with this id, if it is still kept."""
        if span_id is None:
            return None
        return next((span for span in reversed(self._spans) if span.span_id == span_id), None)

    def spans(self, workflow_id: str | None = None) -> Iterator[Span]:
        """Return the spans that are kept, in the order in which they began."""
        return (s for s in self._spans if workflow_id is None or s.workflow_id == workflow_id)


def _place(step: str, item: int | None, iteration: int, round_: int) -> str:
    """Return what names a piece of work within its run."""
    return f"{step}:{'' if item is None else item}#{iteration}@{round_}"
