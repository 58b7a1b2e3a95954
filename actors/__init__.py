"""The kernel: actors on pykka, with mailboxes, links, monitors, exit signals and dispatchers."""

from .actor import Actor, ActorNotAsked
from .address import Address
from .dead_letters import DeadLetters
from .errors import (
    ActorDied,
    ActorExit,
    AgenticError,
    ForkedSystem,
    HandlerCancelled,
    Ignore,
    MailboxFull,
    MissingExtra,
    NameTaken,
    NoSystem,
    RequestTimeout,
    StartFailed,
    SystemStopped,
    UnknownDispatcher,
    WouldBlock,
    near,
)
from .inspection import ActorInfo
from .links import Monitor
from .mailbox import Mailbox
from .messages import ActorEnded, DeadLetter, Down, Exit, PipedFailure, ReceiveTimeout
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
from .system import ActorSystem, StopReport
from .timers import Timer

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
    "AgenticError",
    "DeadLetter",
    "DeadLetters",
    "Down",
    "Exit",
    "ForkedSystem",
    "HandlerCancelled",
    "Ignore",
    "Mailbox",
    "MailboxFull",
    "MissingExtra",
    "Monitor",
    "NameTaken",
    "NoSystem",
    "PipedFailure",
    "ReceiveTimeout",
    "Request",
    "RequestTimeout",
    "StartFailed",
    "StopReport",
    "SystemStopped",
    "Timer",
    "UnknownDispatcher",
    "WouldBlock",
    "describe_reason",
    "gather",
    "is_normal",
    "near",
]
