"""Patterns: ways of coordinating agents, as coordinator actors, and teams."""

from .choreography import ChoreographyOrchestration
from .chunks import send_chunk
from .debate import DebateOrchestration, Verdict, VoteOrchestration
from .definition import Definition, DefinitionError
from .delegation import Delegate
from .errors import (
    CallingSelf,
    CoordinatorLost,
    LimitReached,
    MissingInput,
    NestedTooDeep,
    PatternFailed,
    PatternTimedOut,
    UnexpectedAnswer,
)
from .event_chain import WrongEvent
from .events import (
    AgentRestarted,
    Chunk,
    Ended,
    Finished,
    HandedOff,
    PatternEvent,
    Retried,
    Started,
)
from .execution import Execution, Work
from .expressions import ExpressionError, compile_expression
from .hierarchical import DelegationRule, HierarchicalOrchestration
from .join import Join, quorum
from .kinds import pattern_from_dict, pattern_kind, pattern_kinds
from .loop import LoopOrchestration
from .map_reduce import MapReduceOrchestration
from .outcome import (
    Cancelled,
    Completed,
    Failed,
    Outcome,
    Skipped,
    TimedOut,
    describe_outcome,
    outcome_to_dict,
)
from .parallel import ParallelOrchestration
from .pattern import OrchestrationPattern, PatternDefinition
from .policy import Default, Fallback, Retry, UnretriableError, WorkPolicy
from .reaction import Happening, Reaction
from .reflection import ReflectionOrchestration
from .report import PartialList, PartialResults, Report
from .resilience import (
    Bulkhead,
    BulkheadFull,
    CircuitBreaker,
    CircuitChanged,
    CircuitOpen,
    GuardConflict,
    HedgedRequest,
    RateLimited,
    RateLimiter,
)
from .router import NoRoute, Route, RouterOrchestration
from .saga import CompensationFailed, SagaOrchestration, SagaStep
from .scatter_gather import ScatterGatherOrchestration
from .sequential import SequentialOrchestration
from .step import Ask, Branch, Step
from .stream import EventStream, StreamNotFinished
from .target import Askable, Nestable, Resolver, Scope, Target, target_name
from .teams import (
    AgentHandoff,
    AgentRole,
    AgentTeam,
    Contribution,
    Discussion,
    HandoffRecord,
    MemberLost,
    NotesUnavailable,
    RoleFull,
    SeveralHandoffs,
    SharedNotes,
    TeamConfig,
    TeamError,
    TeamFull,
    TeamIncomplete,
    TeamMessage,
    TeamResult,
    TeamStep,
    UnknownMember,
    UnknownRole,
    UnknownTrigger,
    shared_notes,
)
from .values import Emit, Handoff
from .voting import Tally

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
    "GuardConflict",
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
    "MemberLost",
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
    "RoleFull",
    "Route",
    "RouterOrchestration",
    "SagaOrchestration",
    "SagaStep",
    "ScatterGatherOrchestration",
    "Scope",
    "SequentialOrchestration",
    "SeveralHandoffs",
    "SharedNotes",
    "Skipped",
    "Started",
    "Step",
    "StreamNotFinished",
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
    "UnknownRole",
    "UnknownTrigger",
    "UnretriableError",
    "Verdict",
    "VoteOrchestration",
    "Work",
    "WorkPolicy",
    "WrongEvent",
    "compile_expression",
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
