"""Exit reasons: why an actor ended, as plain values that travel along links.

Source: Erlang's reference manual, "Processes". A reason is one of the words below, the pair
``("shutdown", detail)``, an exception instance (a crash), or any other value that the code which
ended the actor chose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

from .looks import is_a, text_of
from .secrets import line_of

NORMAL: Final = "normal"
SHUTDOWN: Final = "shutdown"
KILL: Final = "kill"
KILLED: Final = "killed"
NOPROC: Final = "noproc"
NOCONNECTION: Final = "noconnection"


NEVER_SENT: Final = "never_sent"
"""Why a message to a lost node is a dead letter: it had not left."""
MAYBE_DELIVERED: Final = "maybe_delivered"
"""Why a message to a lost node is a dead letter: it had left, and is not known to have arrived."""


class NoConnection(str):
    """The reason ``noconnection``: *node* is lost, and all that ran on it ends with this one reason.

    So it is one event for a restart budget, however many children it ends.
    """

    node: str
    cause_token: str

    def __new__(cls, node: str) -> NoConnection:
        self = super().__new__(cls, NOCONNECTION)
        self.node = node
        self.cause_token = f"the loss of {node}"
        return self

    def __repr__(self) -> str:
        return f"noconnection: node {self.node!r} is lost"

    def __reduce__(self) -> tuple[type[NoConnection], tuple[str]]:
        return NoConnection, (self.node,)


@dataclass(frozen=True, slots=True)
class CoolingDown:
    """Why an address takes no asks for now: its actor failed too often, lastly of *cause*.

    It is started afresh in *back_in_s* seconds.
    """

    cause: Any
    back_in_s: float

    def __str__(self) -> str:
        return (
            f"it failed too often, lastly of {describe_reason(self.cause)}, and is started afresh "
            f"in {self.back_in_s:.3g} s"
        )


def is_normal(reason: Any) -> bool:
    """Tell whether *reason* is an orderly end, after which a transient child stays down."""
    if is_shutdown(reason):
        return True
    return type(reason) is str and reason in (NORMAL, SHUTDOWN)


def describe_reason(reason: Any) -> str:
    """Return *reason* as one short line for logs and trees."""
    if is_a(reason, BaseException):
        text = line_of(reason)
        return f"{type(reason).__name__}: {text}" if text else type(reason).__name__
    if type(reason) is NoConnection:
        return repr(reason)
    if is_shutdown(reason):
        return f"shutdown ({text_of(reason[1])})"
    return text_of(reason)


def is_shutdown(reason: Any) -> bool:
    """Tell whether *reason* is the pair ``("shutdown", detail)``."""
    return cast(Any, type(reason)) is tuple and len(reason) == 2 and is_word(reason[0], SHUTDOWN)


def is_word(reason: Any, word: str) -> bool:
    """Tell whether *reason* is *word*; objects with a comparison of their own are not asked."""
    return reason is word or (type(reason) is str and reason == word)
