"""Steps that are undone, in reverse, when a later one fails."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, TypeAlias, cast

from pydantic import BeforeValidator, Field

from agenticaiframework.actors import (
    Actor,
    ActorRef,
    SystemStopped,
    with_context,
)

from ..definition.drawing import Drawing
from ..definition.fields import Seconds
from ..definition.policy import WorkPolicy
from ..definition.step import Ask, AskField, coerce_ask, unique_names
from ..execution.execution import Execution
from ..execution.pattern import OrchestrationPattern, PatternDefinition
from ..vocabulary.errors import PatternFailed, work_failed
from ..vocabulary.outcome import (
    Completed,
    Outcome,
    Skipped,
    TimedOut,
    describe_error,
    describe_outcome,
)
from ..vocabulary.target import Target, target_name

_UNDO: Final = "undo"
_RESULT: Final = "result"


class SagaStep(Ask):
    """One step of a saga, and the agent that undoes it (*compensate*), if it has to be undone."""

    compensate: AskField | None = None


SagaStepField: TypeAlias = Annotated[SagaStep, BeforeValidator(coerce_ask)]


class SagaDefinition(PatternDefinition):
    """A saga: its steps, and how long undoing all of them may take when it was cancelled."""

    steps: tuple[SagaStepField, ...] = Field(min_length=1)
    compensation_timeout: Seconds | None = None


class CompensationFailed(PatternFailed):
    """A step failed, and not all that was done before could be undone.

    ``not_undone`` are the steps whose compensation failed, with the outcome; the error that started
    it all is the cause.
    """

    def __init__(
        self,
        pattern: str,
        problem: str,
        not_undone: Mapping[str, Outcome],
        outcomes: Mapping[str, Outcome],
        cause: BaseException | None,
    ) -> None:
        listed = ", ".join(f"{n!r} {describe_outcome(o)}" for n, o in not_undone.items())
        super().__init__(
            pattern,
            f"{problem}; and what was done is not all undone: {listed}",
            outcomes,
            cause=cause,
        )
        self.not_undone = dict(not_undone)
        self.expected = False  # What is left done has to be seen to.


@dataclass(frozen=True, slots=True)
class _Undo:
    """A completed step that can be undone."""

    step: str
    target: Target
    policy: WorkPolicy
    payload: Any


class SagaOrchestration(OrchestrationPattern):
    """A sequence of steps with side effects; when one fails, those before it are undone in reverse.

    Each step, an agent or a mapping with ``agent`` and ``compensate``, gets the output of the one
    before, the first one the input. Its ``compensate`` gets
    ``{"input", "output", "error"}``: what the step got, what it returned, what failed later. The step that failed
    is not undone: its effects are its own agent's to clean up. A compensation that fails does not
    keep the others from running; `CompensationFailed` then lists what is still done. A saga that is
    cancelled, times out, or loses its coordinator is undone too, by an actor that outlives it; the
    caller waits for that, at most *compensation_timeout* seconds.
    """

    kind: ClassVar[str] = "saga"
    definition_type = SagaDefinition
    example = (
        'SagaOrchestration(name="trip", steps=['
        '{"agent": "book_flight", "compensate": "cancel_flight"}, {"agent": "book_hotel"}])'
    )

    def __init__(
        self,
        name: str,
        steps: Sequence[Target | SagaStep | Mapping[str, Any]],
        *,
        compensation_timeout: float | None = None,
        timeout: float | None = None,
        usage_limits: Any = None,
    ) -> None:
        super().__init__(
            self._define(
                {
                    "name": name,
                    "steps": steps,
                    "compensation_timeout": compensation_timeout,
                    "timeout": timeout,
                    "usage_limits": usage_limits,
                }
            )
        )

    def _prepare(self) -> None:
        names = unique_names(step.label for step in self._spec.steps)
        self._steps = tuple(zip(names, self._spec.steps, strict=True))

    @property
    def _spec(self) -> SagaDefinition:
        return cast(SagaDefinition, self._definition)

    def targets(self) -> Iterable[Target]:
        for step in self._spec.steps:
            yield from step.targets()
            if step.compensate is not None:
                yield from step.compensate.targets()

    async def coordinate(self, run: Execution) -> Any:
        done: list[_Undo] = []
        caller = Context()
        output = run.input
        for name, step in self._steps:
            try:
                outcome = await run.perform(name, step.agent, output, step.policy)
            except BaseException as error:
                # Cancelled, timed out or killed: this coroutine must not wait any more, and one that
                # was killed starts no actor either.
                if done:
                    run.system.call_later(0, self._undo_later, run, done, error, caller)
                raise
            if isinstance(outcome, Completed):
                # What a declared value stands in for has failed, and was not done.
                if step.compensate is not None and outcome.via != "default":
                    if not done:
                        # From here on, and not only when it is too late to say so: a caller that waits
                        # for a coordinator that is killed may look before this sees its end.
                        run.hold()
                        caller = copy_context()
                    given = {"input": output, "output": outcome.value}
                    done.append(_Undo(name, step.compensate.agent, step.compensate.policy, given))
                output = outcome.value
            elif not isinstance(outcome, Skipped):
                await self._undo(run, done, name, outcome, caller)
        if done:
            run.release()
        return output

    async def _undo(
        self, run: Execution, done: list[_Undo], name: str, failed: Outcome, caller: Context
    ) -> None:
        where = f"step {len(run.outcomes)} of {len(self._steps)}"
        problem = work_failed(self.name, name, failed, run.outcomes, where)
        not_undone: dict[str, Outcome] = {}
        if done:
            not_undone = await self._start_undo(run, done, failed.cause, caller).request(_RESULT)
        for later, step in self._steps:
            if later not in run.outcomes:
                run.skip(later, step.agent, f"{name!r} failed")
        if not_undone:
            not_all = CompensationFailed(
                self.name, problem.problem, not_undone, run.outcomes, failed.cause
            )
            not_all.instead_of = problem.instead_of
            raise not_all
        raise work_failed(self.name, name, failed, run.outcomes, where)

    def _start_undo(
        self, run: Execution, done: list[_Undo], error: BaseException | None, caller: Context
    ) -> ActorRef[_Compensator]:
        """Start the actor that undoes *done* in a copy of *caller*, whatever becomes of the coordinator.

        Its end, whatever it is, releases *run*.
        """
        limit = self._spec.compensation_timeout
        try:
            ref = run.system.start(_Compensator, run, list(reversed(done)), error, limit)
            ref.tell(with_context(_UNDO, caller))
        except SystemStopped:
            run.release()
            raise

        # Not in its `on_stop`, which an actor that is stopped before it has started does not run.
        def ended(actor: Any, _reason: Any) -> None:
            if actor is ref:
                remove()
                run.release()

        remove = run.system.on_actor_end(ended)
        return ref

    def _undo_later(
        self, run: Execution, done: list[_Undo], error: BaseException, caller: Context
    ) -> None:
        with suppress(SystemStopped):
            self._start_undo(run, done, error, caller)

    def draw(self, drawing: Drawing) -> None:
        last = drawing.node("input", "end")
        last_undo: str | None = None
        for _, step in self._steps:
            node = drawing.target(step.agent)
            drawing.edge(last, node)
            last = node
            if step.compensate is not None:
                undo = drawing.target(step.compensate.agent)
                drawing.edge(node, undo, "undone by", dotted=True)
                if last_undo is not None:
                    drawing.edge(undo, last_undo, "then", dotted=True)
                last_undo = undo
        drawing.edge(last, drawing.node("result", "end"))


def undo_name(step: str) -> str:
    """Return the name of a step's compensation in the outcomes."""
    return f"undo {step}"


class _Compensator(Actor):
    """Undoes what a saga has done, one step after another, and ends.

    An actor of its own, without links, because the coordinator may be cancelled or killed before
    or while this happens. It is told to undo; its answer is what could not be undone.
    """

    exit_is_crash = True

    def __init__(
        self,
        run: Execution,
        undos: list[_Undo],
        error: BaseException | None,
        timeout_s: float | None,
    ) -> None:
        super().__init__()
        self._run = run
        self._undos = undos
        self._error = error
        self._timeout_s = timeout_s
        self._not_undone: dict[str, Outcome] = {}

    def on_receive(self, message: Any) -> Any:
        return self._undo_all() if message == _UNDO else self._not_undone

    async def _undo_all(self) -> None:
        left = deque(self._undos)
        try:
            async with asyncio.timeout(self._timeout_s):
                while left:
                    undo = left[0]
                    outcome = await self._undo(undo)
                    left.popleft()
                    if not isinstance(outcome, (Completed, Skipped)):
                        self._not_undone[undo.step] = outcome
        except TimeoutError as error:
            now = self._run.system.clock()
            for undo in left:
                late = TimedOut(target_name(undo.target), now, now, 0, cause=error)
                self._not_undone[undo.step] = self._run.settle(undo_name(undo.step), late)
        self.stop()

    async def _undo(self, undo: _Undo) -> Outcome:
        error = None if self._error is None else describe_error(self._error)
        if isinstance(self._error, asyncio.CancelledError):
            error = self._run.why_stopped()
        payload = {**undo.payload, "error": error}
        return await self._run.perform(undo_name(undo.step), undo.target, payload, undo.policy)
