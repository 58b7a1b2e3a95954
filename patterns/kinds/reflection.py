"""A maker and a reviewer, round after round."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final, Literal, cast

from pydantic import Field

from ..definition.drawing import Drawing
from ..definition.fields import ConditionField, Test, compile_condition
from ..definition.step import Ask, AskField, input_scope
from ..execution.execution import Execution
from ..execution.pattern import OrchestrationPattern, PatternDefinition
from ..vocabulary.errors import LimitReached, PatternFailed, work_failed
from ..vocabulary.outcome import Completed, Skipped
from ..vocabulary.target import Target

_NONE_YET: Final = object()

ACCEPT = "output == true or output.approved == true or output.done == true"


class ReflectionDefinition(PatternDefinition):
    """A maker, a reviewer, when the work is accepted, and how many rounds there are at most."""

    maker: AskField
    reviewer: AskField
    accept: ConditionField = ACCEPT
    max_rounds: int = Field(default=3, ge=1)
    exhausted: Literal["return", "fail"] = "return"


class ReflectionOrchestration(OrchestrationPattern):
    """The *maker*'s draft goes to the *reviewer*, whose feedback goes back, until it is accepted.

    The maker gets the input first, then ``{"input", "draft", "feedback", "round"}``. The reviewer
    gets ``{"input", "draft", "round"}``; its answer is the feedback. *accept* is an expression over
    that answer as ``output`` (by default true, or its ``approved`` or ``done`` field). The result is
    the last draft: the accepted one, or after *max_rounds* the latest, or an error with
    ``exhausted="fail"``.
    """

    kind: ClassVar[str] = "reflection"
    definition_type = ReflectionDefinition
    example = 'ReflectionOrchestration(name="essay", maker="writer", reviewer="critic")'

    def __init__(
        self,
        name: str,
        maker: Target | Ask | Mapping[str, Any],
        reviewer: Target | Ask | Mapping[str, Any],
        *,
        accept: str | Test = ACCEPT,
        max_rounds: int = 3,
        exhausted: Literal["return", "fail"] = "return",
        timeout: float | None = None,
    ) -> None:
        super().__init__(
            self._define(
                {
                    "name": name,
                    "maker": maker,
                    "reviewer": reviewer,
                    "accept": accept,
                    "max_rounds": max_rounds,
                    "exhausted": exhausted,
                    "timeout": timeout,
                }
            )
        )

    def _prepare(self) -> None:
        self._accept = compile_condition(self._spec.accept)

    @property
    def _spec(self) -> ReflectionDefinition:
        return cast(ReflectionDefinition, self._definition)

    def targets(self) -> Iterable[Target]:
        yield from self._spec.maker.targets()
        yield from self._spec.reviewer.targets()

    async def coordinate(self, run: Execution) -> Any:
        spec = self._spec
        task = run.input
        payload: Any = task
        draft: Any = _NONE_YET
        for round_ in range(1, spec.max_rounds + 1):
            draft = await self._ask(run, "maker", spec.maker, payload, round_, draft)
            if draft is _NONE_YET:
                continue  # the maker may be left out, and there is nothing to review
            review = {"input": task, "draft": draft, "round": round_}
            feedback = await self._ask(run, "reviewer", spec.reviewer, review, round_, None)
            scope = input_scope(task, output=feedback, draft=draft, round=round_)
            if run.holds(f"reviewer {spec.reviewer.label}[{round_}]", self._accept, scope):
                return draft
            payload = {"input": task, "draft": draft, "feedback": feedback, "round": round_ + 1}
        if draft is _NONE_YET:
            raise PatternFailed(
                self.name, f"failed: no draft was made in {spec.max_rounds} rounds", run.outcomes
            )
        if spec.exhausted == "fail":
            raise LimitReached(
                self.name, "rounds", spec.max_rounds, "the draft is not accepted yet",
                "max_rounds", run.outcomes,
            )  # fmt: skip
        return draft

    async def _ask(
        self, run: Execution, part: str, ask: Ask, payload: Any, round_: int, skipped: Any
    ) -> Any:
        work = f"{part} {ask.label}[{round_}]"
        outcome = await run.perform(work, ask.agent, payload, ask.policy)
        if isinstance(outcome, Completed):
            return outcome.value
        if isinstance(outcome, Skipped):
            return skipped
        raise work_failed(self.name, work, outcome, run.outcomes, f"round {round_}")

    def draw(self, drawing: Drawing) -> None:
        maker = drawing.target(self._spec.maker.agent)
        reviewer = drawing.target(self._spec.reviewer.agent)
        drawing.edge(drawing.node("input", "end"), maker)
        drawing.edge(maker, reviewer, "draft")
        drawing.edge(reviewer, maker, f"feedback, at most {self._spec.max_rounds} rounds")
        drawing.edge(reviewer, drawing.node("result", "end"), "accepted")
