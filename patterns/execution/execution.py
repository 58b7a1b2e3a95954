"""One run of a pattern: its input, its outcomes so far, and the means to ask agents.

A pattern's `coordinate` gets the `Execution` and decides what is asked, in which order. What all
patterns share is here and in the base classes: names, outcomes, events, the time limit of the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from agenticaiframework.actors import NO_USAGE, ActorSystem, Meter, Usage, WorkLimits

from ..definition.policy import NO_POLICY, WorkPolicy
from ..vocabulary.errors import (
    NO_OUTCOMES,
    CoordinatorLost,
    NotCompleted,
    PatternFailed,
    PatternTimedOut,
)
from ..vocabulary.events import Finished
from ..vocabulary.outcome import Completed, Failed, Outcome, TimedOut, describe_error
from ..vocabulary.report import Report
from ..vocabulary.target import Scope, Target
from . import attempts, fan_out
from .asking import Asker, Asking
from .turn import one_turn
from .work import Work

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorRef

    from ..definition.fields import Test


class Coordinated(Asker, Protocol):
    """What can be executed: it has a name, and asks its targets in an order of its own."""

    @property
    def metered_as(self) -> str:
        """What kind of work it is, in the errors of its limits."""
        ...

    async def coordinate(self, run: Execution) -> Any:
        """Return the result, or raise `PatternFailed`."""
        ...


class Execution(Asking):
    """One run of a pattern. Owned by its coordinator, on the loop of its system."""

    __slots__ = (
        "_holds",
        "_on_release",
        "coordinator",
        "ended_at",
        "error",
        "input",
        "limits",
        "meter",
        "over",
        "pattern",
        "started_at",
        "value",
    )

    def __init__(
        self,
        pattern: Coordinated,
        input_data: Any,
        scope: Scope,
        timeout_s: float | None,
        system: ActorSystem,
        limits: WorkLimits | None = None,
    ) -> None:
        self.pattern = pattern
        self.input = input_data
        self.limits = limits
        """What it may spend on models."""
        self.meter: Meter | None = None
        """What it spends on them, from when it begins."""
        self.coordinator: ActorRef[Any] | None = None
        """The ref of the actor that runs this."""
        self.over = False
        """Whether there is a result (``value``), or an ``error`` in its place."""
        self.value: Any = None
        self.error: PatternFailed | None = None
        self._holds = 0
        self._on_release: list[asyncio.Future[None]] | None = None
        super().__init__(pattern, scope, timeout_s, system)
        self.started_at = self.ended_at = self.clock()

    # -- for patterns --------------------------------------------------------------------------

    async def ask(self, name: str, target: Target, payload: Any) -> Any:
        """Return *target*'s answer, asked without a policy; raise `NotCompleted` with the outcome."""
        if self.emit is not None:
            outcome = await self.perform(name, target, payload)
            if isinstance(outcome, Completed):
                return outcome.value
            raise NotCompleted(outcome)
        askable = self.resolve(target)
        started = self.clock()
        try:
            value = await self.call(askable, name, payload)
        except asyncio.CancelledError:
            self.interrupted(name, askable, started, 1)
            raise
        except NO_OUTCOMES:
            raise
        except BaseException as error:
            outcome = self.settle(name, self.failure(askable, started, 1, error))
            raise NotCompleted(outcome) from error
        self.keep(name, askable, started, self.clock(), value)
        return value

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
        return await attempts.perform(self, Work(name, target, payload, policy, context))

    async def perform_all(
        self,
        works: Sequence[Work],
        *,
        limit: int | None = None,
        enough: Callable[[Outcome], str | None] | None = None,
    ) -> list[Outcome]:
        """Do all *works* at the same time, at most *limit* at once, and return the outcomes in order.

        *enough* sees each outcome as it comes; once it returns a text, what still runs is cancelled
        and the rest is not started, for that reason.
        """
        return await fan_out.perform_all(self, works, limit, enough)

    def holds(self, work: str, test: Test, scope: Mapping[str, Any]) -> bool:
        """Return whether the condition *test* of *work* holds; raise `PatternFailed` if it cannot say."""
        try:
            return bool(test(scope))
        except Exception as error:
            problem = f"failed: the condition of {work!r} cannot be told: {describe_error(error)}"
            raise PatternFailed(
                self.name, problem, self.outcomes, work=work, cause=error
            ) from error

    # -- for the coordinator -------------------------------------------------------------------

    def broken(self, error: BaseException) -> PatternFailed:
        """Return the failure of the whole when *error* came out of the pattern's own code."""
        problem = f"failed: {describe_error(error)}"
        return PatternFailed(self.name, problem, self.outcomes, cause=error)

    async def within_limit(self, timeout_s: float) -> Any:
        """Return the pattern's result; raise `PatternTimedOut` after *timeout_s* seconds."""
        if timeout_s <= 0:
            # Nothing may be left of an outer limit: then no agent is asked any more.
            raise PatternTimedOut(self.name, timeout_s, self.outcomes)
        try:
            async with asyncio.timeout(timeout_s) as self.limit:
                return await self.pattern.coordinate(self)
        except TimeoutError:
            if self.limit is None or not self.limit.expired():
                raise
            await self.released()
            await one_turn()
            raise PatternTimedOut(self.name, timeout_s, self.outcomes) from None

    def finish(self) -> None:
        """Note that there is a result, or an error in its place."""
        self.over = True
        self.ended_at = self.clock()
        if self.emit is not None:
            self.emit(Finished(self.ended_at, self.path, "", self.outcome))

    def lost(self, reason: Any) -> None:
        """Note that the coordinator is gone for *reason*, if that was before there was a result."""
        self.keeper = None
        if not self.over:
            self.error = CoordinatorLost(self.name, reason, self.outcomes)
            self.finish()

    @property
    def outcome(self) -> Outcome:
        """How the whole ended, once it has."""
        error = self.error
        if error is None:
            return Completed(self.name, self.started_at, self.ended_at, value=self.value)
        if isinstance(error, PatternTimedOut):
            return TimedOut(
                self.name, self.started_at, self.ended_at, cause=error, timeout_s=error.timeout_s
            )
        return Failed(self.name, self.started_at, self.ended_at, cause=error)

    @property
    def usage(self) -> Usage:
        """What it has spent on models so far, with all beneath it."""
        return NO_USAGE if self.meter is None else self.meter.spent

    def report(self) -> Report:
        """Return how the whole and each piece of work ended, once it has."""
        return Report(self.name, self.outcome, dict(self.outcomes), self.usage)

    def hold(self) -> None:
        """Keep the execution from counting as ended until `release`: there is something to undo.

        It keeps the executions around it too: waiting for the outermost includes all that is undone below.
        """
        self._holds += 1
        if isinstance(self.scope.owner, Execution):
            self.scope.owner.hold()

    def release(self) -> None:
        """Take back one `hold`."""
        if isinstance(self.scope.owner, Execution):
            self.scope.owner.release()
        self._holds -= 1
        if self._holds == 0 and self._on_release is not None:
            waiting, self._on_release = self._on_release, None
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    async def released(self) -> None:
        """Wait until nothing holds the end of this execution any more."""
        if self._holds:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._on_release = [*(self._on_release or ()), future]
            await future
