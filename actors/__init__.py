"""Actors on pykka: mailboxes, links, monitors, exit signals, dispatchers, systems, and agents.

The layers above use what stands in ``__all__``, and nothing else. This layer knows none of them.
State belongs to the loop's thread of the actor system that it is part of.
"""

from .actor import Actor
from .agents.address import Address
from .agents.address_book import AddressBook
from .agents.agent import Agent, agent_names, agent_or_none, agents_from_here, find_agent
from .agents.agent_actor import AgentActor, InboxMessage
from .agents.agent_context import (
    IDEMPOTENCY_KEY,
    agent_context,
    enter_agent_context,
    is_runtime,
    nested_context,
)
from .agents.agent_pool import IncarnationFailed
from .agents.agent_request import AgentRequest
from .agents.errors import (
    AgentDefinitionError,
    AgentError,
    AgentFailed,
    AgentStopped,
    AgentTimeout,
    QueueTimeout,
)
from .agents.models import (
    ModelAnswer,
    ModelRequest,
    ModelRunner,
    ModelRunnerFactory,
    ModelUnavailable,
    as_mapping,
    override_model_runner,
    read_answer,
    resolve_model_runner,
    run_model,
    set_model_runner_factory,
)
from .agents.name_errors import AmbiguousAgent, UnknownAgent
from .agents.owner_link import OwnerLink
from .agents.step_request import StepRequest
from .dead_letters import DeadLetters
from .dispatch.process_child import NotInChild, NotPicklable, RemoteError
from .dispatch.processes import ProcessDied
from .dispatch.watchdog import LoopBlocked, Watchdog
from .errors import (
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
    near,
)
from .expected import RequestRejected, is_expected
from .function_actor import CALL, FunctionActor, is_coroutine_function
from .kernel.carried import with_context
from .kernel.circle import circle_of, refuse_if_circle
from .kernel.exit_signals import send_exit
from .kernel.future import ActorFuture
from .kernel.here import Parts
from .kernel.mailbox import Mailbox
from .kernel.request import Request, gather
from .kernel.running import running_here
from .kernel.timers import Timer
from .key_registry import KeyRegistered, KeyUnregistered, Registry, RegistryEntry, Via
from .log import Log
from .looks import attribute_of, is_a, shown, text_of, traceback_of
from .messages import ActorEnded, DeadLetter, Down, Exit, Monitor, PipedFailure, ReceiveTimeout
from .reasons import (
    KILL,
    KILLED,
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
from .system.giving_up import GaveUp
from .system.inspection import ActorInfo
from .system.os_signals import NotMainThread, run_until_signal
from .system.routers import NoRoutee, Router
from .system.stopping import StopReport
from .system.system import ActorSystem

__all__ = [
    "CALL",
    "IDEMPOTENCY_KEY",
    "KILL",
    "KILLED",
    "NOCONNECTION",
    "NOPROC",
    "NORMAL",
    "SHUTDOWN",
    "Actor",
    "ActorDied",
    "ActorEnded",
    "ActorExit",
    "ActorFuture",
    "ActorInfo",
    "ActorNotAsked",
    "ActorRef",
    "ActorSystem",
    "Address",
    "AddressBook",
    "Agent",
    "AgentActor",
    "AgentDefinitionError",
    "AgentError",
    "AgentFailed",
    "AgentRequest",
    "AgentStopped",
    "AgentTimeout",
    "AgenticError",
    "AmbiguousAgent",
    "CallingSelf",
    "CoolingDown",
    "DeadLetter",
    "DeadLetters",
    "Down",
    "Exit",
    "ForkedSystem",
    "FunctionActor",
    "GaveUp",
    "HandlerCancelled",
    "HandlerExited",
    "Ignore",
    "InboxMessage",
    "IncarnationFailed",
    "KeyRegistered",
    "KeyUnregistered",
    "Log",
    "LoopBlocked",
    "Mailbox",
    "MailboxFull",
    "MissingExtra",
    "ModelAnswer",
    "ModelRequest",
    "ModelRunner",
    "ModelRunnerFactory",
    "ModelUnavailable",
    "Monitor",
    "NameTaken",
    "NoRoutee",
    "NoSystem",
    "NotInChild",
    "NotMainThread",
    "NotPicklable",
    "NotRegistered",
    "OwnerLink",
    "Parts",
    "PipedFailure",
    "PoolExhausted",
    "ProcessDied",
    "QueueTimeout",
    "ReceiveTimeout",
    "Registry",
    "RegistryEntry",
    "RemoteError",
    "Request",
    "RequestRejected",
    "RequestTimeout",
    "Router",
    "SeveralSystems",
    "StartFailed",
    "StepRequest",
    "StillAlive",
    "StopReport",
    "SystemStopped",
    "Timer",
    "UnknownAgent",
    "Via",
    "Watchdog",
    "WouldBlock",
    "WrongUse",
    "agent_context",
    "agent_names",
    "agent_or_none",
    "agents_from_here",
    "as_mapping",
    "attribute_of",
    "causes_of",
    "circle_of",
    "describe_reason",
    "enter_agent_context",
    "find_agent",
    "gather",
    "http_status_of",
    "install_command",
    "is_a",
    "is_coroutine_function",
    "is_expected",
    "is_normal",
    "is_runtime",
    "is_word",
    "near",
    "nested_context",
    "override_model_runner",
    "read_answer",
    "refuse_if_circle",
    "resolve_model_runner",
    "retry_after_of",
    "run_model",
    "run_until_signal",
    "running_here",
    "send_exit",
    "set_model_runner_factory",
    "shown",
    "text_of",
    "traceback_of",
    "with_context",
]
