"""Exit reasons: why an actor ended, as plain values that travel along links.

Source: Erlang's reference manual, "Processes". A reason is one of the words below, the pair
``("shutdown", detail)``, an exception instance (a crash), or any other value that the code which
ended the actor chose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

NORMAL: Final = "normal"
SHUTDOWN: Final = "shutdown"
KILL: Final = "kill"
KILLED: Final = "killed"
NOPROC: Final = "noproc"
NOCONNECTION: Final = "noconnection"


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
    return reason.__class__ is str and reason in (NORMAL, SHUTDOWN)


def describe_reason(reason: Any) -> str:
    """Return *reason* as one short line for logs and trees."""
    if isinstance(reason, BaseException):
        text = str(reason).strip().split("\n", 1)[0]
        return f"{type(reason).__name__}: {text}" if text else type(reason).__name__
    if is_shutdown(reason):
        return f"shutdown ({reason[1]})"
    return str(reason)


def is_shutdown(reason: Any) -> bool:
    """Tell whether *reason* is the pair ``("shutdown", detail)``."""
    return reason.__class__ is tuple and len(reason) == 2 and reason[0] == SHUTDOWN
