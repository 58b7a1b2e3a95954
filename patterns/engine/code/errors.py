"""What a call on a run raises in the code of a workflow."""

from __future__ import annotations

from ..errors import EngineError


class CallFailed(EngineError):
    """A call on a run has failed for good; what the code does about it is its own affair.

    ``step`` is the call's id in the status and the journal, ``reason`` the error as one line, ``kind`` the
    name of its class. It says the same whether the call failed just now or before a crash; only when it
    failed just now the error itself is the cause.
    """

    def __init__(self, step: str, reason: str, kind: str) -> None:
        super().__init__(f"{step!r} failed: {reason}")
        self.step = step
        self.reason = reason
        self.kind = kind

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.step, self.reason, self.kind)


class CallTimedOut(CallFailed, TimeoutError):
    """A call took longer than it was given, or a signal did not come in time."""


class CodeChanged(EngineError):
    """The code of a workflow does not do what the journal of one of its runs tells.

    ``place`` is where they part, ``recorded`` what the journal has there and ``found`` what the code does.
    """

    def __init__(self, workflow: str, place: str, recorded: str, found: str) -> None:
        super().__init__(
            f"The code of workflow {workflow!r} no longer matches this run's journal: at place {place} "
            f"the journal has {recorded}, and the code {found}. Let old runs take the old way: "
            'if run.changed("name"): ... else: ...'
        )
        self.workflow = workflow
        self.place = place
        self.recorded = recorded
        self.found = found


class PutAway(BaseException):
    """Raised at the await of code whose run only waits: it is run again when the run goes on."""
