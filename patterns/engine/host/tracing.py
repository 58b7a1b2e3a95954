"""Spans: what took how long, under what, and how it ended; kept in memory, exported if wanted.

One trace a run: the workflow's span at the root, a span for each step below it, and below those one
for each attempt, named after the GenAI conventions of OpenTelemetry (``invoke_workflow``,
``invoke_agent``). A nested workflow's span hangs under the attempt that runs it. What is kept is
bounded; where OpenTelemetry's API is installed, its exporters get every span.
"""

from __future__ import annotations

import random
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from agenticaiframework.actors import text_of

from ..state.status import WorkflowState

if TYPE_CHECKING:
    from contextvars import Context

    from ..state.live import LiveRun

OK: Final = "ok"
ERROR: Final = "error"
CANCELLED: Final = "cancelled"
RUNNING: Final = "running"


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
    ) -> Span:
        """Begin a span under *parent*, else in the trace of *traceparent*, else in a new one.

        *outside* is the caller's own context.
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
        span = Span(
            name,
            kind,
            workflow_id,
            trace_id,
            f"{bits(64) or 1:016x}",
            parent_id,
            self._now(),
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
                error if isinstance(error, str) else f"{type(error).__name__}: {text_of(error)}"
            )
        else:
            span.status = status
        if self._exporter is not None:
            self._exporter.end(span, error)

    def begin_run(self, live: LiveRun) -> None:
        """Begin the span of a run, if it has none yet."""
        if live.span is None:
            plan = live.run.plan
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
                None if live.run.context is None else live.run.context.get("traceparent"),
            )

    def end_run(self, live: LiveRun) -> None:
        """End the span of a run that has ended, or was cut short here."""
        if live.span is not None:
            cut_short = live.interrupted or live.run.state is WorkflowState.CANCELLED
            error = getattr(live.error, "why", live.error)
            self.end(live.span, error, CANCELLED if cut_short else OK)

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
