"""Patterns: ways of coordinating agents, as coordinator actors, and teams.

Knows actors and supervision by what they export; the engine stands above the other packages here.
A pattern is immutable data; the state of a run is owned by its coordinator, an actor.
"""

from agenticaiframework.actors import CallingSelf

from .definition.definition import Definition, define
from .definition.errors import DefinitionError
from .definition.policy import Default, Fallback, Retry, WorkPolicy
from .definition.step import Ask, Branch, Step
from .execution.execution import Execution
from .execution.pattern import (
    OrchestrationPattern,
    PatternDefinition,
    pattern_from_dict,
    pattern_kind,
    pattern_kinds,
)
from .execution.stream import EventStream
from .execution.work import Work
from .expressions.errors import ExpressionError
from .expressions.expression import compile_expression
from .kinds.choreography import ChoreographyOrchestration
from .kinds.debate import DebateOrchestration, Verdict, VoteOrchestration
from .kinds.delegation import Delegate
from .kinds.hierarchical import DelegationRule, HierarchicalOrchestration
from .kinds.join import Join, quorum
from .kinds.loop import LoopOrchestration
from .kinds.map_reduce import MapReduceOrchestration
from .kinds.parallel import ParallelOrchestration
from .kinds.reaction import Happening, Reaction
from .kinds.reflection import ReflectionOrchestration
from .kinds.router import NoRoute, Route, RouterOrchestration
from .kinds.saga import CompensationFailed, SagaOrchestration, SagaStep
from .kinds.scatter_gather import ScatterGatherOrchestration
from .kinds.sequential import SequentialOrchestration
from .kinds.voting import Tally
from .resilience import (
    Bulkhead,
    BulkheadFull,
    CircuitBreaker,
    CircuitChanged,
    CircuitOpen,
    HedgedRequest,
    RateLimited,
    RateLimiter,
)
from .teams import (
    AgentHandoff,
    AgentRole,
    AgentTeam,
    Contribution,
    Discussion,
    HandoffRecord,
    NotesUnavailable,
    SharedNotes,
    TeamConfig,
    TeamError,
    TeamFull,
    TeamIncomplete,
    TeamMessage,
    TeamResult,
    TeamStep,
    UnknownMember,
    WrongHandoff,
    shared_notes,
)
from .vocabulary.causes import UnretriableError
from .vocabulary.chunks import send_chunk
from .vocabulary.errors import (
    CoordinatorLost,
    LimitReached,
    MissingInput,
    NestedTooDeep,
    PatternFailed,
    PatternTimedOut,
    UnexpectedAnswer,
)
from .vocabulary.events import (
    AgentRestarted,
    Chunk,
    Ended,
    Finished,
    HandedOff,
    PatternEvent,
    Retried,
    Started,
)
from .vocabulary.outcome import (
    Cancelled,
    Completed,
    Failed,
    Outcome,
    Skipped,
    TimedOut,
    describe_outcome,
    outcome_to_dict,
)
from .vocabulary.report import PartialList, PartialResults, Report
from .vocabulary.target import Askable, Nestable, Resolver, Scope, Target, target_name
from .vocabulary.values import Emit, Handoff

__all__ = [
    "AgentHandoff",
    "AgentRestarted",
    "AgentRole",
    "AgentTeam",
    "Ask",
    "Askable",
    "Branch",
    "Bulkhead",
    "BulkheadFull",
    "CallingSelf",
    "Cancelled",
    "ChoreographyOrchestration",
    "Chunk",
    "CircuitBreaker",
    "CircuitChanged",
    "CircuitOpen",
    "CompensationFailed",
    "Completed",
    "Contribution",
    "CoordinatorLost",
    "DebateOrchestration",
    "Default",
    "Definition",
    "DefinitionError",
    "Delegate",
    "DelegationRule",
    "Discussion",
    "Emit",
    "Ended",
    "EventStream",
    "Execution",
    "ExpressionError",
    "Failed",
    "Fallback",
    "Finished",
    "HandedOff",
    "Handoff",
    "HandoffRecord",
    "Happening",
    "HedgedRequest",
    "HierarchicalOrchestration",
    "Join",
    "LimitReached",
    "LoopOrchestration",
    "MapReduceOrchestration",
    "MissingInput",
    "Nestable",
    "NestedTooDeep",
    "NoRoute",
    "NotesUnavailable",
    "OrchestrationPattern",
    "Outcome",
    "ParallelOrchestration",
    "PartialList",
    "PartialResults",
    "PatternDefinition",
    "PatternEvent",
    "PatternFailed",
    "PatternTimedOut",
    "RateLimited",
    "RateLimiter",
    "Reaction",
    "ReflectionOrchestration",
    "Report",
    "Resolver",
    "Retried",
    "Retry",
    "Route",
    "RouterOrchestration",
    "SagaOrchestration",
    "SagaStep",
    "ScatterGatherOrchestration",
    "Scope",
    "SequentialOrchestration",
    "SharedNotes",
    "Skipped",
    "Started",
    "Step",
    "Tally",
    "Target",
    "TeamConfig",
    "TeamError",
    "TeamFull",
    "TeamIncomplete",
    "TeamMessage",
    "TeamResult",
    "TeamStep",
    "TimedOut",
    "UnexpectedAnswer",
    "UnknownMember",
    "UnretriableError",
    "Verdict",
    "VoteOrchestration",
    "Work",
    "WorkPolicy",
    "WrongHandoff",
    "compile_expression",
    "define",
    "describe_outcome",
    "outcome_to_dict",
    "pattern_from_dict",
    "pattern_kind",
    "pattern_kinds",
    "quorum",
    "send_chunk",
    "shared_notes",
    "target_name",
]
