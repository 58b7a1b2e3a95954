"""How a piece of work ended, as a value.

Every agent that a pattern asks ends in exactly one of five ways: `Completed`, `Failed`, `TimedOut`,
`Cancelled` or `Skipped`. A failure is never turned into a text or a None that flows on as a result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from agenticaiframework.actors import AgenticError, QueueTimeout, is_word, line_of, text_of


@dataclass(frozen=True, slots=True)
class _Ended:
    """The fields of every outcome: the agent, times on the system's clock in seconds, attempts.

    *agent* is the name of the agent that was asked last. *incarnation* is the incarnation of that agent
    which gave the answer, where it is known. *cause* is the error behind the outcome; a `Completed`
    has one when a fallback or a default stands in for what failed.
    """

    agent: str
    started_at: float = 0.0
    ended_at: float = 0.0
    attempts: int = 1
    incarnation: int | None = None
    cause: BaseException | None = None

    @property
    def duration_s(self) -> float:
        """Seconds from the first attempt's start to the end."""
        return self.ended_at - self.started_at


@dataclass(frozen=True, slots=True)
class Completed(_Ended):
    """The work was done, and *value* is its result.

    *via* says who made the value: the ``agent`` that was asked, its ``fallback``, or the declared
    ``default``.
    """

    value: Any = None
    via: Literal["agent", "fallback", "default"] = "agent"


@dataclass(frozen=True, slots=True)
class Failed(_Ended):
    """The work failed for good, with *cause*.

    If that is the error of a fallback, *instead_of* is the error that it stood in for.
    """

    instead_of: BaseException | None = None


@dataclass(frozen=True, slots=True)
class TimedOut(_Ended):
    """The work took longer than it was given, and has been stopped.

    If that was a fallback, *instead_of* is the error that it stood in for.
    """

    timeout_s: float | None = None
    instead_of: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Cancelled(_Ended):
    """The work was stopped because its result was not needed any more; *reason* says why."""

    reason: str = "cancelled"


@dataclass(frozen=True, slots=True)
class Skipped(_Ended):
    """The work was not needed (*reason* says why), or failed and was declared dispensable."""

    reason: str = "skipped"
    attempts: int = 0


Outcome: TypeAlias = Completed | Failed | Cancelled | TimedOut | Skipped
"""What became of one piece of work."""


def describe_outcome(outcome: Outcome) -> str:
    """Return *outcome* as a short phrase for messages: ``failed (ValueError: no text)``."""
    match outcome:
        case Completed(via="agent"):
            return "completed"
        case Completed(via=via):
            return f"completed by its {via}"
        case Failed(cause=cause):
            return f"failed ({describe_error(cause)})" + _after(outcome)
        case TimedOut(cause=QueueTimeout() as cause):
            waited = f"timed out after {cause.timeout_s:g} s in the queue of agent {cause.agent!r}"
            return waited + _after(outcome)
        case TimedOut(timeout_s=None):
            return "timed out" + _after(outcome)
        case TimedOut(timeout_s=timeout_s):
            return f"timed out after {timeout_s:g} s" + _after(outcome)
        case Cancelled(reason=reason):
            return "cancelled" if is_word(reason, "cancelled") else f"cancelled ({text_of(reason)})"
        case Skipped(reason=reason):
            return "skipped" if is_word(reason, "skipped") else f"skipped ({text_of(reason)})"


def _after(outcome: Failed | TimedOut) -> str:
    """Say what a fallback that has failed too stood in for."""
    first = outcome.instead_of
    return "" if first is None else f" as the fallback, after {describe_error(first)}"


LONGEST: Final = 400
"""How many characters of an error another error's message repeats; the error itself is its cause."""


def describe_error(error: BaseException | None) -> str:
    """Return *error* as one line: its type, where the message does not say, and the message.

    A long one is shown by its beginning and its end, which is where nested executions say why.
    """
    if error is None:
        return "no cause"
    text = line_of(error)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2 - 5]} ... {text[-LONGEST // 2 :]}"
    if isinstance(error, AgenticError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


_KINDS: dict[type, str] = {
    Completed: "completed",
    Failed: "failed",
    Cancelled: "cancelled",
    TimedOut: "timed_out",
    Skipped: "skipped",
}


def outcome_to_dict(outcome: Outcome) -> dict[str, Any]:
    """Return *outcome* as plain data: its kind, fields, and the cause as text.

    A completed outcome's value is passed as it is.
    """
    data: dict[str, Any] = {
        "outcome": _KINDS[type(outcome)],
        "agent": outcome.agent,
        "started_at": outcome.started_at,
        "ended_at": outcome.ended_at,
        "attempts": outcome.attempts,
        "incarnation": outcome.incarnation,
    }
    match outcome:
        case Completed(value=value, via=via):
            data |= {"value": value, "via": via}
        case TimedOut(timeout_s=timeout_s):
            data["timeout_s"] = timeout_s
        case Cancelled(reason=reason) | Skipped(reason=reason):
            data["reason"] = reason
        case Failed():
            pass
    if isinstance(outcome, (Failed, TimedOut)) and outcome.instead_of is not None:
        data["instead_of"] = describe_error(outcome.instead_of)
    if outcome.cause is not None:
        data["cause"] = describe_error(outcome.cause)
    return data
