"""Actors on pykka: mailboxes, links, monitors, exit signals, dispatchers, systems, and agents.

The layers above use what stands in ``__all__``, and nothing else. This layer knows none of them.
State belongs to the loop's thread of the actor system that it is part of.
"""

from .actor import Actor
from .agents.address import Address
from .agents.address_book import AddressBook
from .agents.agent import (
    Agent,
    agent_names,
    agent_or_none,
    agents_from_here,
    alias_agent,
    find_agent,
)
from .agents.agent_actor import AgentActor, InboxMessage
from .agents.agent_context import (
    IDEMPOTENCY_KEY,
    SESSION,
    AgentContext,
    agent_context,
    enter_agent_context,
    given_context,
    handed_context,
    in_agent_context,
    is_runtime,
    key_part,
    nested_context,
    stand_in_context,
)
from .agents.agent_pool import IncarnationFailed
from .agents.agent_request import AgentRequest
from .agents.agent_result import WHOLE_RESULT, AgentResult
from .agents.agent_stream import AgentStream
from .agents.errors import (
    AgentDefinitionError,
    AgentError,
    AgentFailed,
    AgentStopped,
    AgentTimeout,
    QueueTimeout,
)
from .agents.guarded import GuardedRequest, Guards, guarded_request
from .agents.guardrails import (
    Guardrail,
    GuardrailTripped,
    GuardrailVerdict,
    Repair,
    RepairWanted,
    Replace,
    Stop,
    read_guardrails,
)
from .agents.handler_adapters import AdaptedHandler, HandlerAdapter, set_handler_adapter
from .agents.inner_steps import InnerJournal, call_step, call_step_blocking, strand_here
from .agents.meter import Meter
from .agents.metering import (
    TRACE_CONTENT,
    current_meter,
    enter_meter,
    leave_meter,
    metered,
    open_meter,
)
from .agents.model_errors import is_model_error
from .agents.model_events import ModelRequestEnded
from .agents.model_spec import ModelSpec
from .agents.model_turn import (
    MODEL_TURN,
    Conversation,
    HandedOver,
    HandoffTool,
    ModelTurn,
    Spoken,
    TurnShape,
    TurnState,
    model_turn,
)
from .agents.models import (
    AnswerCheck,
    ModelAnswer,
    ModelFields,
    ModelRequest,
    ModelRunner,
    ModelRunnerFactory,
    ModelUnavailable,
    as_mapping,
    check_spec,
    override_model_runner,
    read_answer,
    resolve_model_runner,
    run_model,
    set_answer_check,
    set_model_runner_factory,
    set_spec_check,
)
from .agents.name_errors import AmbiguousAgent, UnknownAgent
from .agents.owner_link import OwnerLink
from .agents.parts import (
    CHUNKS,
    Answer,
    NoSink,
    Part,
    PartSink,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolResult,
    part_sink,
    room_for_parts,
    send_chunk,
)
from .agents.questions import ApprovalNeeded, PendingCall, QuestionOpen
from .agents.sessions import (
    AgentSession,
    KeptSessions,
    NoSessions,
    set_sessions_factory,
)
from .agents.standing import standing_here
from .agents.step_request import StepRequest
from .agents.talks import (
    Converse,
    Talk,
    TalkItem,
    TalkKeeper,
    TalkKeeperFactory,
    set_talk_keeper,
    talk_keeper,
)
from .agents.trace_parent import (
    current_traceparent,
    enter_traceparent,
    make_current,
    tracing_in_use,
)
from .agents.usage import NO_USAGE, Usage
from .agents.usage_limits import (
    BadUsageLimits,
    UsageLimitReached,
    WorkLimits,
    read_usage_limits,
)
from .agents.which_agent import agent_name_of, hands_on, is_incarnation_in_pool
from .as_data import as_data, fields_of
from .as_html import HtmlState, html_table
from .cluster.errors import CannotTravel, ClusterError, NoNode, NotInCluster
from .cluster.node import ClusterNode, elsewhere
from .cluster.node_events import NodeDown, NodeState, NodeUp
from .cluster.placement import (
    ANYWHERE,
    Near,
    Placement,
    Spread,
    is_placement,
    near,
    spread,
)
from .cluster.transport import NodeInfo
from .dead_letters import DeadLetters
from .dispatch.process_child import NotInChild, NotPicklable, RemoteError
from .dispatch.processes import ProcessDied
from .dispatch.watchdog import LoopBlocked, Watchdog
from .errors import (
    DISTRIBUTION,
    ActorDied,
    ActorExit,
    ActorNotAsked,
    AgenticError,
    CallingSelf,
    ForkedSystem,
    HandlerCancelled,
    HandlerExited,
    Ignore,
    MailboxFull,
    MissingExtra,
    NameTaken,
    NoSystem,
    NotRegistered,
    PoolExhausted,
    RequestTimeout,
    SeveralSystems,
    StartFailed,
    StillAlive,
    SystemStopped,
    WouldBlock,
    WrongUse,
    install_command,
    near_names,
    read_twice,
)
from .expected import RequestRejected, is_expected
from .function_actor import CALL, FunctionActor, is_coroutine_function
from .function_exits import FunctionExited, contained, exit_of
from .kernel.carried import with_context
from .kernel.circle import circle_of, refuse_if_circle
from .kernel.exit_signals import send_exit
from .kernel.future import ActorFuture
from .kernel.handler_watch import HandlerWatch, watch_handlers
from .kernel.here import Parts
from .kernel.look import Glance, glance
from .kernel.mailbox import Mailbox
from .kernel.patience import has_timed_out, request_here, time_left_s
from .kernel.pykka_seam import HAS_RECORD
from .kernel.request import Request, gather
from .kernel.running import running_here
from .kernel.timers import Timer
from .key_registry import KeyRegistered, KeyUnregistered, Registry, RegistryEntry, Via
from .log import Log, LogWriter, set_log_writer
from .looks import attribute_of, is_a, shown, text_of, traceback_of
from .messages import ActorEnded, DeadLetter, Down, Exit, Monitor, PipedFailure, ReceiveTimeout
from .one_package import ForeignPackage, TwoDistributions, check_package
from .printable import printable
from .ray_cluster.ray_cluster import RayCluster
from .ray_cluster.ray_module import WrongVersion
from .reasons import (
    KILL,
    KILLED,
    MAYBE_DELIVERED,
    NEVER_SENT,
    NOCONNECTION,
    NOPROC,
    NORMAL,
    SHUTDOWN,
    CoolingDown,
    describe_reason,
    is_normal,
    is_word,
)
from .ref import ActorRef
from .refusals import causes_of, http_status_of, retry_after_of
from .secrets import line_of, message_of
from .system.drain_signals import Drainable, drain_on_signal
from .system.from_threads import in_this_thread, refuse_on_a_loop, run_sync
from .system.giving_up import GaveUp
from .system.health import (
    CheckState,
    Degraded,
    HealthCheck,
    SystemHealth,
    Unhealthy,
    set_health_check,
)
from .system.inspection import ActorInfo
from .system.os_signals import NotMainThread, run_until_signal
from .system.routers import NoRoutee, Router
from .system.stopping import StopReport
from .system.system import ActorSystem
from .wrong_calls import explained, no_attribute, wrong_call

# Where another project's `__init__` lies over ours, this is the first of ours that runs.
check_package(warn=False)

__all__ = [
    "ANYWHERE",
    "CALL",
    "CHUNKS",
    "DISTRIBUTION",
    "HAS_RECORD",
    "IDEMPOTENCY_KEY",
    "KILL",
    "KILLED",
    "MAYBE_DELIVERED",
    "MODEL_TURN",
    "NEVER_SENT",
    "NOCONNECTION",
    "NOPROC",
    "NORMAL",
    "NO_USAGE",
    "SESSION",
    "SHUTDOWN",
    "TRACE_CONTENT",
    "WHOLE_RESULT",
    "Actor",
    "ActorDied",
    "ActorEnded",
    "ActorExit",
    "ActorFuture",
    "ActorInfo",
    "ActorNotAsked",
    "ActorRef",
    "ActorSystem",
    "AdaptedHandler",
    "Address",
    "AddressBook",
    "Agent",
    "AgentActor",
    "AgentContext",
    "AgentDefinitionError",
    "AgentError",
    "AgentFailed",
    "AgentRequest",
    "AgentResult",
    "AgentSession",
    "AgentStopped",
    "AgentStream",
    "AgentTimeout",
    "AgenticError",
    "AmbiguousAgent",
    "Answer",
    "AnswerCheck",
    "ApprovalNeeded",
    "BadUsageLimits",
    "CallingSelf",
    "CannotTravel",
    "CheckState",
    "ClusterError",
    "ClusterNode",
    "Conversation",
    "Converse",
    "CoolingDown",
    "DeadLetter",
    "DeadLetters",
    "Degraded",
    "Down",
    "Drainable",
    "Exit",
    "ForeignPackage",
    "ForkedSystem",
    "FunctionActor",
    "FunctionExited",
    "GaveUp",
    "Glance",
    "GuardedRequest",
    "Guardrail",
    "GuardrailTripped",
    "GuardrailVerdict",
    "Guards",
    "HandedOver",
    "HandlerAdapter",
    "HandlerCancelled",
    "HandlerExited",
    "HandlerWatch",
    "HandoffTool",
    "HealthCheck",
    "HtmlState",
    "Ignore",
    "InboxMessage",
    "IncarnationFailed",
    "InnerJournal",
    "KeptSessions",
    "KeyRegistered",
    "KeyUnregistered",
    "Log",
    "LogWriter",
    "LoopBlocked",
    "Mailbox",
    "MailboxFull",
    "Meter",
    "MissingExtra",
    "ModelAnswer",
    "ModelFields",
    "ModelRequest",
    "ModelRequestEnded",
    "ModelRunner",
    "ModelRunnerFactory",
    "ModelSpec",
    "ModelTurn",
    "ModelUnavailable",
    "Monitor",
    "NameTaken",
    "Near",
    "NoNode",
    "NoRoutee",
    "NoSessions",
    "NoSink",
    "NoSystem",
    "NodeDown",
    "NodeInfo",
    "NodeState",
    "NodeUp",
    "NotInChild",
    "NotInCluster",
    "NotMainThread",
    "NotPicklable",
    "NotRegistered",
    "OwnerLink",
    "Part",
    "PartSink",
    "Parts",
    "PendingCall",
    "PipedFailure",
    "Placement",
    "PoolExhausted",
    "ProcessDied",
    "QuestionOpen",
    "QueueTimeout",
    "RayCluster",
    "ReceiveTimeout",
    "Registry",
    "RegistryEntry",
    "RemoteError",
    "Repair",
    "RepairWanted",
    "Replace",
    "Request",
    "RequestRejected",
    "RequestTimeout",
    "Router",
    "SeveralSystems",
    "Spoken",
    "Spread",
    "StartFailed",
    "StepRequest",
    "StillAlive",
    "Stop",
    "StopReport",
    "SystemHealth",
    "SystemStopped",
    "Talk",
    "TalkItem",
    "TalkKeeper",
    "TalkKeeperFactory",
    "TextDelta",
    "ThinkingDelta",
    "Timer",
    "ToolCall",
    "ToolResult",
    "TurnShape",
    "TurnState",
    "TwoDistributions",
    "Unhealthy",
    "UnknownAgent",
    "Usage",
    "UsageLimitReached",
    "Via",
    "Watchdog",
    "WorkLimits",
    "WouldBlock",
    "WrongUse",
    "WrongVersion",
    "agent_context",
    "agent_name_of",
    "agent_names",
    "agent_or_none",
    "agents_from_here",
    "alias_agent",
    "as_data",
    "as_mapping",
    "attribute_of",
    "call_step",
    "call_step_blocking",
    "causes_of",
    "check_package",
    "check_spec",
    "circle_of",
    "contained",
    "current_meter",
    "current_traceparent",
    "describe_reason",
    "drain_on_signal",
    "elsewhere",
    "enter_agent_context",
    "enter_meter",
    "enter_traceparent",
    "exit_of",
    "explained",
    "fields_of",
    "find_agent",
    "gather",
    "given_context",
    "glance",
    "guarded_request",
    "handed_context",
    "hands_on",
    "has_timed_out",
    "html_table",
    "http_status_of",
    "in_agent_context",
    "in_this_thread",
    "install_command",
    "is_a",
    "is_coroutine_function",
    "is_expected",
    "is_incarnation_in_pool",
    "is_model_error",
    "is_normal",
    "is_placement",
    "is_runtime",
    "is_word",
    "key_part",
    "leave_meter",
    "line_of",
    "make_current",
    "message_of",
    "metered",
    "model_turn",
    "near",
    "near_names",
    "nested_context",
    "no_attribute",
    "open_meter",
    "override_model_runner",
    "part_sink",
    "printable",
    "read_answer",
    "read_guardrails",
    "read_twice",
    "read_usage_limits",
    "refuse_if_circle",
    "refuse_on_a_loop",
    "request_here",
    "resolve_model_runner",
    "retry_after_of",
    "room_for_parts",
    "run_model",
    "run_sync",
    "run_until_signal",
    "running_here",
    "send_chunk",
    "send_exit",
    "set_answer_check",
    "set_handler_adapter",
    "set_health_check",
    "set_log_writer",
    "set_model_runner_factory",
    "set_sessions_factory",
    "set_spec_check",
    "set_talk_keeper",
    "shown",
    "spread",
    "stand_in_context",
    "standing_here",
    "strand_here",
    "talk_keeper",
    "text_of",
    "time_left_s",
    "traceback_of",
    "tracing_in_use",
    "watch_handlers",
    "with_context",
    "wrong_call",
]
