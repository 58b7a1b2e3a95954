"""The kernel: actors on pykka, with mailboxes, links, monitors, exit signals and dispatchers."""

from .actor import Actor, ActorNotAsked
from .address import Address
from .agent import Agent
from .agent_actor import AgentActor, InboxMessage
from .agent_errors import (
    AgentDefinitionError,
    AgentError,
    AgentFailed,
    AgentStopped,
    AgentTimeout,
)
from .agent_request import AgentRequest, agent_context, enter_agent_context
from .carried import with_context
from .dead_letters import DeadLetters
from .directory import UnknownAgent, agent_names, find_agent
from .errors import (
    ActorDied,
    ActorExit,
    AgenticError,
    BadDelay,
    BadName,
    BadPoolSize,
    CallingSelf,
    ForkedSystem,
    HandlerCancelled,
    Ignore,
    MailboxFull,
    MissingExtra,
    NameTaken,
    NoSystem,
    NotAnActorClass,
    NotARef,
    NotAwaitable,
    NotCallable,
    RequestTimeout,
    StartFailed,
    StillAlive,
    SystemStopped,
    UnknownDispatcher,
    WouldBlock,
    near,
)
from .events import BadSubscriber
from .inspection import ActorInfo
from .links import Monitor
from .mailbox import Mailbox
from .messages import ActorEnded, DeadLetter, Down, Exit, PipedFailure, ReceiveTimeout
from .models import (
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
from .process_child import NotInChild, NotPicklable, RemoteError
from .processes import ProcessDied
from .reasons import (
    KILL,
    KILLED,
    NOCONNECTION,
    NOPROC,
    NORMAL,
    SHUTDOWN,
    describe_reason,
    is_normal,
)
from .ref import ActorRef
from .request import ActorFuture, Request, gather
from .routers import NoRoutee, Router
from .signals import NotMainThread, run_until_signal
from .system import ActorSystem, StopReport
from .timers import Timer
from .watchdog import LoopBlocked, Watchdog

__all__ = [
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
    "Agent",
    "AgentActor",
    "AgentDefinitionError",
    "AgentError",
    "AgentFailed",
    "AgentRequest",
    "AgentStopped",
    "AgentTimeout",
    "AgenticError",
    "BadDelay",
    "BadName",
    "BadPoolSize",
    "BadSubscriber",
    "CallingSelf",
    "DeadLetter",
    "DeadLetters",
    "Down",
    "Exit",
    "ForkedSystem",
    "HandlerCancelled",
    "Ignore",
    "InboxMessage",
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
    "NotARef",
    "NotAnActorClass",
    "NotAwaitable",
    "NotCallable",
    "NotInChild",
    "NotMainThread",
    "NotPicklable",
    "PipedFailure",
    "ProcessDied",
    "ReceiveTimeout",
    "RemoteError",
    "Request",
    "RequestTimeout",
    "Router",
    "StartFailed",
    "StillAlive",
    "StopReport",
    "SystemStopped",
    "Timer",
    "UnknownAgent",
    "UnknownDispatcher",
    "Watchdog",
    "WouldBlock",
    "agent_context",
    "agent_names",
    "as_mapping",
    "describe_reason",
    "enter_agent_context",
    "find_agent",
    "gather",
    "is_normal",
    "near",
    "override_model_runner",
    "read_answer",
    "resolve_model_runner",
    "run_model",
    "run_until_signal",
    "set_model_runner_factory",
    "with_context",
]
