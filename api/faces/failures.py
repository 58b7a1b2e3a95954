"""What a call can end with beside an answer: one vocabulary, which each protocol has its own words for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from agenticaiframework.actors import (
    AgenticError,
    AgentStopped,
    MailboxFull,
    PoolExhausted,
    RequestRejected,
    SystemStopped,
    causes_of,
    message_of,
    retry_after_of,
)
from agenticaiframework.patterns import BulkheadFull, CircuitOpen, RateLimited, TeamFull
from agenticaiframework.patterns.engine import (
    EngineStopped,
    InputMismatch,
    TooManyWorkflows,
    UnknownWorkflow,
    WorkflowCancelled,
    WorkflowLost,
)
from agenticaiframework.patterns.engine.store import StoreError, ValueNotStorable, ValueTooLarge


class FailureKind(StrEnum):
    """Why there is no answer."""

    BAD_INPUT = "bad_input"
    """What was given cannot be meant, or was rejected: asking the same again does not help."""
    NOT_FOUND = "not_found"
    BUSY = "busy"
    """Too much is asked at once: later it may be taken."""
    UNAVAILABLE = "unavailable"
    """It does not answer for now, or this server is about to stop."""
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call has no answer. ``run_id`` is that of the workflow's run, if there is one."""

    kind: FailureKind
    message: str
    retry_after_s: float | None = None
    run_id: str | None = None


class CallFailed(AgenticError):
    """A call ended without an answer; ``failure`` says why."""

    def __init__(
        self, kind: FailureKind, message: str, *, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.failure = Failure(kind, message, retry_after_s)


_KINDS: Final[tuple[tuple[tuple[type[BaseException], ...], FailureKind], ...]] = (
    (
        (InputMismatch, RequestRejected, ValueNotStorable, ValueTooLarge),
        FailureKind.BAD_INPUT,
    ),
    ((UnknownWorkflow,), FailureKind.NOT_FOUND),
    (
        (TooManyWorkflows, MailboxFull, PoolExhausted, BulkheadFull, TeamFull, RateLimited),
        FailureKind.BUSY,
    ),
    (
        (EngineStopped, WorkflowLost, StoreError, SystemStopped, AgentStopped, CircuitOpen),
        FailureKind.UNAVAILABLE,
    ),
    ((WorkflowCancelled,), FailureKind.CANCELLED),
    ((TimeoutError,), FailureKind.TIMED_OUT),
)

_RETRY_S: Final = {FailureKind.BUSY: 1.0, FailureKind.UNAVAILABLE: 1.0}


def failure_of(error: BaseException, run_id: str | None = None) -> Failure:
    """Return what *error* means to the caller: its kind and its reason, without logins and keys."""
    if isinstance(error, CallFailed):
        found = error.failure
        return Failure(found.kind, found.message, found.retry_after_s, found.run_id or run_id)
    kind = _kind_of(error)
    message = message_of(error) or type(error).__name__
    if not isinstance(error, AgenticError):
        message = f"{type(error).__name__}: {message}"
    wait_s = retry_after_of(error)
    return Failure(kind, message, _RETRY_S.get(kind) if wait_s is None else wait_s, run_id)


def refusal_of(error: AgenticError) -> CallFailed:
    """Return the error of a call that gives a run something, and that the run did not take.

    It is bad input if the run cannot take it as it stands; the kind of *error*, if it did not get that far.
    """
    failure = failure_of(error)
    kind = FailureKind.BAD_INPUT if failure.kind is FailureKind.FAILED else failure.kind
    return CallFailed(kind, failure.message, retry_after_s=failure.retry_after_s)


def _kind_of(error: BaseException) -> FailureKind:
    for classes, kind in _KINDS:
        if isinstance(error, classes):
            return kind
    # A handler that rejects what it was given is the cause of the error of its agent; the causes of
    # other kinds are what an agent met on its own way, and the agent's failure.
    if any(isinstance(cause, RequestRejected) for cause in causes_of(error)):
        return FailureKind.BAD_INPUT
    return FailureKind.FAILED
