"""The log records of an engine's runs and of its store: who, why, how often, what happens next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import describe_reason

from ..errors import WorkflowFailed, describe
from ..state.status import WorkflowState

if TYPE_CHECKING:
    from collections.abc import Collection

    from agenticaiframework.actors import Log

    from ..state.live import LiveRun
    from .outage import Outage

SHOWN: Final = 5
"""Runs of one recovery that are named."""


class RunLog:
    """Writes the records of one engine. It has no state; the log counts what comes in storms."""

    def __init__(self, engine: str, log: Log) -> None:
        self._engine = engine
        self._log = log

    def _report(self, kind: str, subject: str, level: str, text: str, **fields: Any) -> None:
        self._log.report(
            kind, subject, level, f"engine {self._engine}: {text}", engine=self._engine, **fields
        )

    # -- runs ----------------------------------------------------------------------------------

    def ended(self, live: LiveRun) -> None:
        """Tell of a run that has failed, and of no other."""
        if live.run.state is not WorkflowState.FAILED:
            return
        run, error = live.run, live.error
        name = run.plan.name
        step = agent = ""
        attempts, cause, expected = 1, error, False
        if isinstance(error, WorkflowFailed):
            step, agent, attempts = error.step, error.agent, error.attempts
            cause, expected = error.__cause__, error.expected is True
        reason = error.reason if isinstance(error, WorkflowFailed) else run.last_error or error
        who = f" (agent {agent!r}, attempt {attempts})" if agent else ""
        where = f" at step {step!r}{who}" if step else ""
        then = _after(live)
        self._report(
            "failed_workflow",
            name,
            "WARNING" if expected or live.around is not None else "ERROR",
            f"workflow {name!r} ({run.id}) failed{where}: {describe_reason(reason)}; {then}",
            reason=reason,
            error=cause,
            next=then,
            **_of(live),
            **({"step": step, "attempt": attempts} if step else {}),
            **({"agent": agent} if agent else {}),
        )

    def died_too_often(self, name: str, run_id: str, reason: str) -> None:
        """Tell of a run that has failed without being run: it cannot be, or ends its processes."""
        then = "nothing of it is undone"
        self._report(
            "failed_workflow",
            name,
            "ERROR",
            f"workflow {name!r} ({run_id}) failed: {reason}; {then}",
            reason=reason,
            workflow=name,
            run=run_id,
            next=then,
        )

    def coordinator_crashed(self, live: LiveRun, reason: Any, most: int) -> None:
        """Tell that what coordinates a stored run has ended before it, and is started again."""
        then = "it goes on from its journal"
        self._report(
            "crash",
            f"the coordinator of {live.run.plan.name}",
            "WARNING",
            f"the coordinator of {live.id} ended: {describe_reason(reason)} "
            f"(restart {live.restarts} of {most}); {then}",
            reason=reason,
            error=reason,
            restart=live.restarts,
            limit=most,
            next=then,
            **_of(live),
        )

    def taken_over(self, live: LiveRun) -> None:
        """Tell that another engine has taken a run that was here."""
        then = "it goes on there"
        self._report(
            "taken_over",
            live.run.plan.name,
            "WARNING",
            f"workflow {live.run.plan.name!r} ({live.id}) was taken over by another engine; {then}",
            reason="another engine has taken it over",
            next=then,
            **_of(live),
        )

    def blocked(self, name: str | None, run_id: str, reason: str) -> None:
        """Tell that a run cannot go on as things are."""
        what = f"the workflow {name!r}" if name else "a workflow"
        then = "it waits, and goes on once an engine that can run it recovers it"
        self._report(
            "blocked_workflow",
            name or self._engine,
            "WARNING",
            f"the run {run_id} of {what} is blocked: {reason}; {then}",
            reason=reason,
            workflow=name,
            run=run_id,
            next=then,
        )

    def schedule(self, name: str, kind: str, level: str, said: str, reason: str) -> None:
        """Tell what became of a schedule, or of its starts."""
        text = f"schedule {name!r} {said}" if name else said
        about = {"schedule": name} if name else {}
        self._report(kind, name or self._engine, level, text, reason=reason, **about)

    def recovered(self, runs: Collection[LiveRun], failed: int, blocked: int) -> None:
        """Tell which runs go on here that no living engine held."""
        if not runs:
            return
        names = sorted({live.run.plan.name for live in runs})
        ids = [live.id for live in runs]
        more = f" and {len(ids) - SHOWN:,} more" if len(ids) > SHOWN else ""
        rest = f"; {blocked} blocked, {failed} failed" if blocked or failed else ""
        some = ", ".join(f"{live.id} (of {live.run.plan.name!r})" for live in [*runs][:SHOWN])
        only = {"run": ids[0], "attempt": next(iter(runs)).run.takeovers} if len(ids) == 1 else {}
        then = "each goes on from its journal"
        self._report(
            "recovery",
            self._engine,
            "INFO",
            f"recovered {counted(len(ids), 'run', 'runs')} that no engine held: {some}{more}{rest}; {then}",
            reason="no living engine held them",
            recovered=len(ids),
            blocked=blocked,
            failed=failed,
            workflow=", ".join(names[:SHOWN]),
            next=then,
            **only,
        )

    # -- the store -----------------------------------------------------------------------------

    def outage_began(self, store: str, error: Exception) -> None:
        """Tell that the store does not answer."""
        then = "runs that need it are interrupted, and go on once it does; it is asked until then"
        self._report(
            "outage",
            self._engine,
            "WARNING",
            f"its store {store} does not answer: {describe(error)}; {then}",
            reason=error,
            store=store,
            next=then,
        )

    def outage_over(self, store: str, outage: Outage, now: float) -> None:
        """Tell that the store answers again."""
        took_s = round(now - outage.began_at, 3)
        waited = len(outage.runs)
        then = "what waited goes on"
        self._report(
            "outage_over",
            self._engine,
            "WARNING",
            f"its store {store} answers again, after {took_s:.1f} s "
            f"({counted(outage.probes, 'try', 'tries')} failed, {counted(waited, 'run', 'runs')} waited); "
            f"{then}",
            reason=outage.error,
            store=store,
            outage_s=took_s,
            tries=outage.probes,
            runs=waited,
            next=then,
        )

    def keeper_crashed(self, reason: Any) -> None:
        """Tell that what connects the engine with its store has ended."""
        then = "another one takes its place"
        self._report(
            "crash",
            f"the keeper of {self._engine}",
            "ERROR",
            f"the keeper of its store ended: {describe_reason(reason)}; {then}",
            reason=reason,
            error=reason,
            next=then,
        )


def _of(live: LiveRun) -> dict[str, Any]:
    span = live.span
    fields: dict[str, Any] = {"workflow": live.run.plan.name, "run": live.id}
    return fields if span is None else {**fields, "trace_id": span.trace_id}


def counted(number: int, one: str, more: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "run", "runs"), counted(1_200, "run", "runs")
    ('1 run', '1,200 runs')
    """
    return f"{number:,} {one if number == 1 else more}"


def _after(live: LiveRun) -> str:
    """Return what becomes of a run that has failed."""
    run = live.run
    undone = ""
    if run.undo_failed:
        undone = f"{counted(len(run.undo_failed), 'step', 'steps')} could not be undone; "
    elif run.compensated:
        undone = f"{counted(len(run.compensated), 'step', 'steps')} undone; "
    if live.around is not None:
        return f"{undone}the run around it ({live.around.id}) has the error"
    if run.persist and not live.never_stored:
        return f"{undone}`resume_workflow` lets it go on after the steps that had finished"
    return f"{undone}its caller has the error"
