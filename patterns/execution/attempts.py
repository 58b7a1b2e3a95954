"""One piece of work under its policy: attempts, the waits between them, and what stands in at the end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from ..definition.policy import Default, Fallback, WorkPolicy
from ..vocabulary.errors import NO_OUTCOMES
from ..vocabulary.events import AgentRestarted, HandedOff, Retried, Started
from ..vocabulary.outcome import Completed, Failed, Outcome, Skipped, TimedOut
from .asking import Asking
from .turn import one_turn
from .work import Work

if TYPE_CHECKING:
    from ..vocabulary.target import Askable


async def perform(run: Asking, work: Work) -> Outcome:
    """Do *work* within *run*, and return the outcome, which *run* keeps under the work's name."""
    askable = run.resolve(work.target)
    progress = _Progress(run, work, askable)
    try:
        outcome: Outcome = await progress.attempts(askable, work.policy)
        if isinstance(outcome, (Failed, TimedOut)):
            outcome = await progress.stand_in(askable, outcome)
    except asyncio.CancelledError:
        run.interrupted(work.name, askable, progress.started, progress.attempt)
        raise
    return run.settle(work.name, outcome)


class _Progress:
    """How far one piece of work has come. Owned by the coordinator."""

    __slots__ = ("_run", "_work", "attempt", "incarnation", "started")

    def __init__(self, run: Asking, work: Work, askable: Askable) -> None:
        self._run = run
        self._work = work
        self.attempt = 0
        self.started = run.clock()
        self.incarnation = run.incarnation(askable)

    async def attempts(
        self, askable: Askable, policy: WorkPolicy, *, stands_in: bool = False
    ) -> Completed | Failed | TimedOut:
        """Ask until there is an answer or the policy allows no other attempt."""
        run, work = self._run, self._work
        first = self.attempt
        while True:
            self.attempt += 1
            answer = run.call(
                askable, work.name, work.payload, policy, work.context, stands_in=stands_in
            )
            if run.emit is not None:
                # An agent without a supervisor is started anew by being asked.
                self._look_for_restart(askable)
                run.emit(
                    Started(run.clock(), run.path, work.name, askable.name, self.attempt - first)
                )
            try:
                value = await answer
            except NO_OUTCOMES:
                raise
            except BaseException as failed:
                error = failed
                if isinstance(error, TimeoutError):
                    await one_turn()
            else:
                self._look_for_restart(askable)
                return Completed(
                    askable.name, self.started, run.clock(), self.attempt,
                    run.incarnation(askable), None, value,
                )  # fmt: skip
            retry = policy.retry
            delay_s = None
            if retry is not None:
                chance = run.system.random.random
                delay_s = retry.pause_s(error, self.attempt - first, chance, run.time_left_s())
            if delay_s is None:
                return run.failure(askable, self.started, self.attempt, error, policy.timeout)
            if run.emit is not None:
                run.emit(
                    Retried(
                        run.clock(), run.path, work.name, askable.name, self.attempt - first,
                        delay_s, error,
                    )
                )  # fmt: skip
            del error
            await asyncio.sleep(delay_s)

    async def stand_in(self, askable: Askable, failed: Failed | TimedOut) -> Outcome:
        """Return what stands in for what *failed* for good, as the policy's ``on_error`` says."""
        run, policy = self._run, self._work.policy
        match policy.on_error:
            case "skip":
                return Skipped(
                    failed.agent, failed.started_at, run.clock(), failed.attempts,
                    failed.incarnation, failed.cause, "failed, and may be left out",
                )  # fmt: skip
            case Default(default=value):
                return Completed(
                    failed.agent, failed.started_at, run.clock(), failed.attempts,
                    failed.incarnation, failed.cause, value, "default",
                )  # fmt: skip
            case Fallback(fallback=target):
                other = run.resolve(target)
                if run.emit is not None:
                    run.emit(
                        HandedOff(
                            run.clock(), run.path, self._work.name, askable.name, other.name,
                            "on_error",
                        )
                    )  # fmt: skip
                self.incarnation = run.incarnation(other)
                outcome = await self.attempts(other, policy.limits_alone(), stands_in=True)
                if isinstance(outcome, Completed):
                    return Completed(
                        other.name, failed.started_at, outcome.ended_at, outcome.attempts,
                        outcome.incarnation, failed.cause, outcome.value, "fallback",
                    )  # fmt: skip
                return replace(outcome, instead_of=failed.cause)
            case _:
                return failed

    def _look_for_restart(self, askable: Askable) -> None:
        """Emit an event when another incarnation of the agent is in service now."""
        run = self._run
        if run.emit is None:
            return
        before, self.incarnation = self.incarnation, run.incarnation(askable)
        if before and self.incarnation is not None and self.incarnation > before:
            run.emit(
                AgentRestarted(
                    run.clock(), run.path, self._work.name, askable.name, self.incarnation
                )
            )
