"""Patterns: ways of coordinating agents, as coordinator actors, and teams.

Knows actors and supervision by what they export; the engine stands above the other packages here.
A pattern is immutable data; the state of a run is owned by its coordinator, an actor.
"""

from agenticaiframework.actors import CallingSelf, send_chunk

from .definition.cycles import find_cycle
from .definition.definition import Definition, define
from .definition.errors import DefinitionError, Problems
from .definition.policy import Default, Fallback, Retry, WorkPolicy
from .definition.step import Ask, Branch, Step
from .execution.coordinator import coordinated_by
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
from .kinds.reflection import NotAccepted, ReflectionOrchestration
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
    HandingOver,
    HandoffRecord,
    NotesUnavailable,
    SharedNotes,
    StateUnavailable,
    TeamConfig,
    TeamError,
    TeamFull,
    TeamIncomplete,
    TeamMessage,
    TeamResult,
    TeamStep,
    TeamStopped,
    UnknownMember,
    Utterance,
    WrongHandoff,
    shared_notes,
    team_state,
)
from .vocabulary.causes import UnretriableError
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
    "HandingOver",
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
    "NotAccepted",
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
    "Problems",
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
    "StateUnavailable",
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
    "TeamStopped",
    "TimedOut",
    "UnexpectedAnswer",
    "UnknownMember",
    "UnretriableError",
    "Utterance",
    "Verdict",
    "VoteOrchestration",
    "Work",
    "WorkPolicy",
    "WrongHandoff",
    "compile_expression",
    "coordinated_by",
    "define",
    "describe_outcome",
    "find_cycle",
    "outcome_to_dict",
    "pattern_from_dict",
    "pattern_kind",
    "pattern_kinds",
    "quorum",
    "send_chunk",
    "shared_notes",
    "target_name",
    "team_state",
]
