"""Actors on pykka: mailboxes, links, monitors, exit signals, dispatchers, systems, and agents.

The layers above use what stands in ``__all__``, and nothing else. This layer knows none of them.
State belongs to the loop's thread of the actor system that it is part of.
"""

from .actor import Actor
from .agents.address import Address
from .agents.address_book import AddressBook
from .agents.agent import Agent, agent_names, find_agent
from .agents.agent_actor import AgentActor, InboxMessage
from .agents.agent_context import agent_context, enter_agent_context
from .agents.agent_pool import IncarnationFailed
from .agents.agent_request import AgentRequest
from .agents.directory import UnknownAgent
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
    Ignore,
    MailboxFull,
    MissingExtra,
    NameTaken,
    NoSystem,
    RequestTimeout,
    StartFailed,
    StillAlive,
    SystemStopped,
    WouldBlock,
    WrongUse,
    install_command,
    near,
)
from .function_actor import CALL, FunctionActor, is_coroutine_function
from .kernel.carried import with_context
from .kernel.exit_signals import send_exit
from .kernel.future import ActorFuture
from .kernel.mailbox import Mailbox
from .kernel.request import Request, gather
from .kernel.running import running_here
from .kernel.timers import Timer
from .messages import ActorEnded, DeadLetter, Down, Exit, Monitor, PipedFailure, ReceiveTimeout
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
from .system.inspection import ActorInfo
from .system.os_signals import NotMainThread, run_until_signal
from .system.routers import NoRoutee, Router
from .system.stopping import StopReport
from .system.system import ActorSystem

__all__ = [
    "CALL",
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
    "CallingSelf",
    "DeadLetter",
    "DeadLetters",
    "Down",
    "Exit",
    "ForkedSystem",
    "FunctionActor",
    "HandlerCancelled",
    "Ignore",
    "InboxMessage",
    "IncarnationFailed",
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
    "OwnerLink",
    "PipedFailure",
    "ProcessDied",
    "QueueTimeout",
    "ReceiveTimeout",
    "RemoteError",
    "Request",
    "RequestTimeout",
    "Router",
    "StartFailed",
    "StepRequest",
    "StillAlive",
    "StopReport",
    "SystemStopped",
    "Timer",
    "UnknownAgent",
    "Watchdog",
    "WouldBlock",
    "WrongUse",
    "agent_context",
    "agent_names",
    "as_mapping",
    "describe_reason",
    "enter_agent_context",
    "find_agent",
    "gather",
    "install_command",
    "is_coroutine_function",
    "is_normal",
    "near",
    "override_model_runner",
    "read_answer",
    "resolve_model_runner",
    "run_model",
    "run_until_signal",
    "running_here",
    "send_exit",
    "set_model_runner_factory",
    "with_context",
]
