"""One run of a pattern: its input, its outcomes so far, and the means to ask agents.

A pattern's `coordinate` gets the `Execution` and says what is asked, in which order; everything that
all patterns share happens here: names, policies, outcomes, events, the whole time limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from agenticaiframework.actors import ActorSystem

from .chunks import CHUNKS, ChunkSink
from .errors import CoordinatorLost, NestedTooDeep, PatternFailed, PatternTimedOut
from .events import (
    AgentRestarted,
    Ended,
    Finished,
    HandedOff,
    PatternEvent,
    Retried,
    Started,
)
from .function import FunctionTarget
from .outcome import Cancelled, Completed, Failed, Outcome, Skipped, TimedOut
from .policy import NO_POLICY, Default, Fallback, WorkPolicy
from .report import Report
from .target import Askable, Nestable, Scope, Target, target_name
from .task_bag import TaskBag

if TYPE_CHECKING:
    from .coordinator import Coordinator

MAX_NESTING = 64
"""Executions in one another; a pattern that contains itself by name would have no end."""

IDEMPOTENCY_KEY = "idempotency_key"


class Coordinated(Protocol):
    """What can be executed: it has a name, and says who is asked in which order."""

    @property
    def name(self) -> str:
        """The name that outcomes, events and errors carry."""
        ...

    def targets(self) -> Iterable[Target]:
        """Return all who may be asked, so that wrong names are found before anything runs."""
        ...

    async def coordinate(self, run: Execution) -> Any:
        """Return the result, or raise `PatternFailed`."""
        ...


@dataclass(frozen=True, slots=True)
class Work:
    """One piece of work: who is asked what, under which policy; *name* is unique in its execution.

    *context* is added to what the handlers find in `agent_context`.
    """

    name: str
    target: Target
    payload: Any
    policy: WorkPolicy = NO_POLICY
    context: Mapping[str, Any] | None = None


class Execution:
    """One run of a pattern. Owned by its coordinator, on the loop of its system."""

    __slots__ = (
        "_emit",
        "_holds",
        "_is_over",
        "_limit",
        "_on_end",
        "_on_release",
        "_path",
        "_resolved",
        "coordinator",
        "input",
        "outcomes",
        "pattern",
        "report",
        "scope",
        "started_at",
        "stopping",
        "system",
        "timeout_s",
    )

    def __init__(
        self,
        pattern: Coordinated,
        input_data: Any,
        scope: Scope,
        timeout_s: float | None,
        system: ActorSystem,
    ) -> None:
        self.pattern = pattern
        self.input = input_data
        self.scope = scope
        self.timeout_s = timeout_s
        self.system = system
        self.outcomes: dict[str, Outcome] = {}
        """What became of each piece of work so far, by name, in the order in which they ended."""
        self.report: Report | None = None
        self.coordinator: Coordinator | None = None
        self.stopping = "cancelled"
        """Why work that is cancelled from now on is cancelled."""
        self.started_at = system.clock()
        self._emit = scope.emit
        self._path = (*scope.path, pattern.name)
        self._limit: asyncio.Timeout | None = None
        self._resolved: dict[str, Askable] = {}
        self._holds = 0
        self._is_over = False
        self._on_end: list[Callable[[], object]] = []
        self._on_release: list[Callable[[], object]] = []
        if len(self._path) > MAX_NESTING:
            raise NestedTooDeep(self._path)
        for target in pattern.targets():
            if isinstance(target, str):
                self.resolve(target)

    # -- for patterns --------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name of the pattern that runs."""
        return self.pattern.name

    def resolve(self, target: Target) -> Askable:
        """Return who *target* stands for; raises the resolver's error for an unknown name."""
        if isinstance(target, str):
            found = self._resolved.get(target)
            if found is None:
                found = self._resolved[target] = self.scope.resolver(target)
            return found
        if isinstance(target, Askable):
            return target
        return FunctionTarget(target)

    async def perform(
        self,
        name: str,
        target: Target,
        payload: Any,
        policy: WorkPolicy = NO_POLICY,
        context: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Ask *target*, under *policy*, and return the outcome, which is also kept under *name*.

        Raises nothing but the resolver's error and CancelledError.
        """
        askable = self.resolve(target)
        if self._emit is None and policy is NO_POLICY:
            started = self.system.clock()
            try:
                value = await self._ask(askable, name, payload, None, context)
            except asyncio.CancelledError:
                self._interrupted(name, askable, started, 1)
                raise
            except Exception as error:
                outcome = self._failure(askable, started, 1, error, None)
            else:
                outcome = Completed(
                    askable.name, started, self.system.clock(), 1, _incarnation(askable), None, value
                )
            self.outcomes[name] = outcome
            return outcome
        return await self._perform_with(name, askable, payload, policy, context)

    async def perform_work(self, work: Work) -> Outcome:
        """Do *work*; see `perform`."""
        return await self.perform(work.name, work.target, work.payload, work.policy, work.context)

    async def perform_all(
        self,
        works: Iterable[Work],
        *,
        limit: int | None = None,
        enough: Callable[[Outcome], str | None] | None = None,
    ) -> list[Outcome]:
        """Do all *works* at the same time, at most *limit* at once, and return the outcomes in order.

        *enough* sees each outcome as it comes; once it returns a text, what still runs is cancelled
        and the rest is not started, for that reason.
        """
        todo = list(works)
        async with TaskBag(limit) as bag:

            async def do(work: Work) -> None:
                outcome = await self.perform_work(work)
                if enough is not None and not bag.stopped:
                    reason = enough(outcome)
                    if reason is not None:
                        self.stopping = reason
                        bag.stop()

            for work in todo:
                if limit is not None and not await bag.room():
                    break
                bag.start(do(work))
            await bag.settled()
        for work in todo:
            if work.name not in self.outcomes:
                now = self.system.clock()
                self.settle(
                    work.name,
                    Cancelled(target_name(work.target), now, now, 0, reason=self.stopping),
                )
        self.stopping = "cancelled"
        return [self.outcomes[work.name] for work in todo]

    def settle(self, name: str, outcome: Outcome) -> Outcome:
        """Keep *outcome* as what became of the work *name*, and tell who streams."""
        self.outcomes[name] = outcome
        if self._emit is not None:
            self._emit(Ended(outcome.ended_at, self._path, name, outcome))
        return outcome

    def skip(self, name: str, target: Target, reason: str) -> Outcome:
        """Note that the work *name* is not needed, because of *reason*."""
        now = self.system.clock()
        return self.settle(name, Skipped(target_name(target), now, now, reason=reason))

    def handed_off(self, source: str, to: str, trigger: str) -> None:
        """Tell who streams that the turn goes from *source* to *to*."""
        if self._emit is not None:
            self._emit(HandedOff(self.system.clock(), self._path, to, source, to, trigger))

    # -- asking --------------------------------------------------------------------------------

    def _ask(
        self,
        askable: Askable,
        name: str,
        payload: Any,
        timeout_s: float | None,
        context: Mapping[str, Any] | None,
    ) -> Awaitable[Any]:
        inherited = self.scope.context
        if context is not None or inherited is not None or self._emit is not None:
            context = self._context(name, context)
        if isinstance(askable, Nestable):
            scope = Scope(self.scope.resolver, context, self._emit, (*self._path, name))
            return askable.ask_within(payload, timeout_s, scope)
        return askable.ask(payload, timeout_s, context=context)

    def _context(self, name: str, added: Mapping[str, Any] | None) -> dict[str, Any]:
        context = {**(self.scope.context or {}), **(added or {})}
        key = context.get(IDEMPOTENCY_KEY)
        if key is not None:
            # Each piece of work has its own key, the same for all its attempts.
            context[IDEMPOTENCY_KEY] = f"{key}/{self.name}/{name}"
        if self._emit is not None:
            context[CHUNKS] = ChunkSink(self._emit, self.system.clock, self._path, name)
        return context

    async def _perform_with(
        self,
        name: str,
        askable: Askable,
        payload: Any,
        policy: WorkPolicy,
        context: Mapping[str, Any] | None,
    ) -> Outcome:
        outcome = await self._attempts(name, askable, payload, policy, context)
        if isinstance(outcome, (Failed, TimedOut)):
            outcome = await self._stand_in(name, askable, payload, policy, context, outcome)
        return self.settle(name, outcome)

    async def _attempts(
        self,
        name: str,
        askable: Askable,
        payload: Any,
        policy: WorkPolicy,
        context: Mapping[str, Any] | None,
    ) -> Outcome:
        clock = self.system.clock
        started = clock()
        incarnation = _incarnation(askable)
        attempt = 0
        while True:
            attempt += 1
            if self._emit is not None:
                self._emit(Started(clock(), self._path, name, askable.name, attempt))
            try:
                value = await self._ask(askable, name, payload, policy.timeout, context)
            except asyncio.CancelledError:
                self._interrupted(name, askable, started, attempt)
                raise
            except Exception as failure:
                error = failure
            else:
                incarnation = self._restarted(name, askable, incarnation)
                return Completed(
                    askable.name, started, clock(), attempt, incarnation, None, value
                )
            retry = policy.retry
            if retry is None or not retry.allows(error, attempt):
                return self._failure(askable, started, attempt, error, policy.timeout)
            chance = self.system.random.random() if retry.jitter else 0.0
            delay_s = retry.delay_s(error, attempt, chance)
            if self._emit is not None:
                self._emit(
                    Retried(clock(), self._path, name, askable.name, attempt, delay_s, error)
                )
            del error
            try:
                await asyncio.sleep(delay_s)
            except asyncio.CancelledError:
                self._interrupted(name, askable, started, attempt)
                raise
            incarnation = self._restarted(name, askable, incarnation)

    async def _stand_in(
        self,
        name: str,
        askable: Askable,
        payload: Any,
        policy: WorkPolicy,
        context: Mapping[str, Any] | None,
        failed: Failed | TimedOut,
    ) -> Outcome:
        """Return what stands in for what *failed* for good, as the policy's ``on_error`` says."""
        now = self.system.clock
        match policy.on_error:
            case "skip":
                return Skipped(
                    failed.agent, failed.started_at, now(), failed.attempts,
                    failed.incarnation, failed.cause, "failed, and may be left out",
                )  # fmt: skip
            case Default(default=value):
                return Completed(
                    failed.agent, failed.started_at, now(), failed.attempts,
                    failed.incarnation, failed.cause, value, "default",
                )  # fmt: skip
            case Fallback(fallback=target):
                other = self.resolve(target)
                if self._emit is not None:
                    self._emit(
                        HandedOff(now(), self._path, name, askable.name, other.name, "on_error")
                    )
                limit = WorkPolicy(timeout=policy.timeout)
                outcome = await self._attempts(name, other, payload, limit, context)
                attempts = failed.attempts + outcome.attempts
                if isinstance(outcome, Completed):
                    return Completed(
                        other.name, failed.started_at, outcome.ended_at, attempts,
                        outcome.incarnation, failed.cause, outcome.value, "fallback",
                    )  # fmt: skip
                if outcome.cause is not None and outcome.cause.__cause__ is None:
                    outcome.cause.__cause__ = failed.cause
                return Failed(
                    other.name, failed.started_at, outcome.ended_at, attempts,
                    outcome.incarnation, outcome.cause,
                )  # fmt: skip
            case _:
                return failed

    def _failure(
        self,
        askable: Askable,
        started: float,
        attempts: int,
        error: Exception,
        timeout_s: float | None,
    ) -> Failed | TimedOut:
        now = self.system.clock()
        incarnation = _incarnation(askable)
        if isinstance(error, TimeoutError):
            return TimedOut(askable.name, started, now, attempts, incarnation, error, timeout_s)
        return Failed(askable.name, started, now, attempts, incarnation, error)

    def _interrupted(self, name: str, askable: Askable, started: float, attempts: int) -> None:
        """Note that the work *name* was stopped from outside before it had ended."""
        now = self.system.clock()
        if self._limit is not None and self._limit.expired():
            outcome: Outcome = TimedOut(
                askable.name, started, now, attempts, timeout_s=self.timeout_s
            )
        else:
            outcome = Cancelled(askable.name, started, now, attempts, reason=self.stopping)
        self.settle(name, outcome)

    def _restarted(self, name: str, askable: Askable, before: int | None) -> int | None:
        now = _incarnation(askable)
        if self._emit is not None and before is not None and now is not None and now > before:
            self._emit(AgentRestarted(self.system.clock(), self._path, name, askable.name, now))
        return now

    # -- for the coordinator -------------------------------------------------------------------

    async def conduct(self) -> Report:
        """Run the pattern to its end, within the whole time limit, and return the report."""
        try:
            if self.timeout_s is None:
                value = await self.pattern.coordinate(self)
            else:
                value = await self._within_limit(self.timeout_s)
        except PatternTimedOut as error:
            outcome: Outcome = TimedOut(
                self.name, self.started_at, self.system.clock(), cause=error,
                timeout_s=error.timeout_s,
            )  # fmt: skip
        except PatternFailed as error:
            outcome = Failed(self.name, self.started_at, self.system.clock(), cause=error)
        except Exception as error:
            failed = PatternFailed(
                self.name, f"failed: {type(error).__name__}: {error}", self.outcomes, cause=error
            )
            outcome = Failed(self.name, self.started_at, self.system.clock(), cause=failed)
        else:
            outcome = Completed(
                self.name, self.started_at, self.system.clock(), 1, None, None, value
            )
        return self._finish(outcome)

    async def _within_limit(self, timeout_s: float) -> Any:
        try:
            async with asyncio.timeout(timeout_s) as self._limit:
                return await self.pattern.coordinate(self)
        except TimeoutError:
            if self._limit is None or not self._limit.expired():
                raise
            await self._released()
            raise PatternTimedOut(self.name, timeout_s, self.outcomes) from None

    async def _released(self) -> None:
        """Wait until nothing holds the end of this execution any more."""
        if self._holds:
            released: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._on_release.append(lambda: released.done() or released.set_result(None))
            await released

    def _finish(self, outcome: Outcome) -> Report:
        report = self.report = Report(self.name, outcome, self.outcomes)
        if self._emit is not None:
            self._emit(Finished(self.system.clock(), self._path, "", outcome))
        return report

    def ended(self, reason: Any) -> Report:
        """Note that the coordinator has ended, and return the report, which there is always one of."""
        report = self.report
        if report is None:
            error = CoordinatorLost(self.name, reason, self.outcomes)
            report = self._finish(
                Failed(self.name, self.started_at, self.system.clock(), cause=error)
            )
        self._is_over = True
        self._tell_end()
        return report

    def on_end(self, call: Callable[[], object]) -> None:
        """Have *call* called once the coordinator has ended, and nothing holds the end back."""
        self._on_end.append(call)
        self._tell_end()

    def hold_end(self) -> None:
        """Keep the execution from counting as ended until `release_end`: it is being undone."""
        self._holds += 1

    def release_end(self) -> None:
        """Take back one `hold_end`."""
        self._holds -= 1
        if self._holds == 0:
            calls, self._on_release = self._on_release, []
            for call in calls:
                call()
        self._tell_end()

    def _tell_end(self) -> None:
        if self._is_over and self._holds == 0:
            calls, self._on_end = self._on_end, []
            for call in calls:
                call()


def _incarnation(askable: Askable) -> int | None:
    return getattr(askable, "incarnation", None)
