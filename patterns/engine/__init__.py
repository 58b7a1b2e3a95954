"""The engine: declarative workflows over agents, teams and patterns, durable where wanted.

Knows the patterns below, supervision and actors by what they export. Its packages, lowest first:
`store`, `definition`, `state`, `runner`, `host`. The state of a run is owned by its coordinator, an actor of
the runner; the engine's own by the actor in `host`.
"""

from __future__ import annotations

from .definition import (
    Compensation,
    EngineConfig,
    MissingValue,
    StepDefinition,
    WaitFor,
    WorkflowDefinition,
    define_workflow,
    draw_mermaid,
    load_workflow,
    parse_text,
    workflow_schema,
)
from .engine import OrchestrationEngine
from .errors import (
    DefinitionChanged,
    EngineError,
    EngineStopped,
    InputMismatch,
    NoRouteMatches,
    NotStored,
    OutputMismatch,
    TooManyWorkflows,
    UnknownName,
    UnknownWorkflow,
    WorkflowCancelled,
    WorkflowExists,
    WorkflowFailed,
    WorkflowLost,
    WorkflowTimedOut,
)
from .host.tracing import Span
from .state.events import EventKind, WorkflowEvent
from .state.status import (
    CancelReport,
    RecoveryReport,
    StepState,
    StepStatus,
    WorkflowPage,
    WorkflowResult,
    WorkflowState,
    WorkflowStatus,
    WorkflowSummary,
)
from .state.stream import WorkflowStream
from .store import Durability, Retention

__all__ = [
    "CancelReport",
    "Compensation",
    "DefinitionChanged",
    "Durability",
    "EngineConfig",
    "EngineError",
    "EngineStopped",
    "EventKind",
    "InputMismatch",
    "MissingValue",
    "NoRouteMatches",
    "NotStored",
    "OrchestrationEngine",
    "OutputMismatch",
    "RecoveryReport",
    "Retention",
    "Span",
    "StepDefinition",
    "StepState",
    "StepStatus",
    "TooManyWorkflows",
    "UnknownName",
    "UnknownWorkflow",
    "WaitFor",
    "WorkflowCancelled",
    "WorkflowDefinition",
    "WorkflowEvent",
    "WorkflowExists",
    "WorkflowFailed",
    "WorkflowLost",
    "WorkflowPage",
    "WorkflowResult",
    "WorkflowState",
    "WorkflowStatus",
    "WorkflowStream",
    "WorkflowSummary",
    "WorkflowTimedOut",
    "define_workflow",
    "draw_mermaid",
    "load_workflow",
    "parse_text",
    "workflow_schema",
]
