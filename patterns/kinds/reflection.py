"""A maker and a reviewer, round after round."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final, Literal, cast

from pydantic import Field

from agenticaiframework.actors import TurnShape, shown

from ..definition.drawing import Drawing
from ..definition.fields import ConditionField, Test, compile_verdict
from ..definition.step import Ask, AskField, input_scope
from ..execution.choices import choice, part_of, plain, turn_for
from ..execution.execution import Execution
from ..execution.pattern import OrchestrationPattern, PatternDefinition
from ..vocabulary.errors import LimitReached, PatternFailed, work_failed
from ..vocabulary.outcome import Completed, Outcome, Skipped
from ..vocabulary.target import Target

_NONE_YET: Final = object()

ACCEPT = "output == true or output.approved == true or output.done == true"


def _verdict_of(said: Any) -> Any:
    """Return what a word or a yes says: words are feedback, and approve nothing."""
    if isinstance(said, bool):
        return {"approved": said}
    return {"approved": False, "feedback": said} if isinstance(said, str) else said


_VERDICT: Final = choice(
    "Verdict",
    "What a reviewer says of a draft.",
    reads=_verdict_of,
    approved=(bool, "Whether the draft is good as it is."),
    feedback=(str, "What has to change, for the author of the next draft; empty if nothing.", ""),
)


class NotAccepted(LimitReached):
    """The last round is over, and its draft was not accepted.

    *draft* is that draft, *feedback* what the reviewer said of it, *rounds* how many there were.
    """

    def __init__(
        self, pattern: str, rounds: int, draft: Any, feedback: Any, outcomes: Mapping[str, Outcome]
    ) -> None:
        said = f"the draft is not accepted yet ({shown(feedback, 200)})"
        super().__init__(pattern, "rounds", rounds, said, "max_rounds", outcomes)
        self.draft = draft
        self.feedback = feedback
        self.rounds = rounds


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
    the last draft: the accepted one, or after *max_rounds* the latest, or with ``exhausted="fail"`` the
    error `NotAccepted`, which has the draft and the feedback. A reviewer with a model and without an
    output type is asked for ``approved`` and ``feedback``, unless *accept* is given.
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
        usage_limits: Any = None,
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
                    "usage_limits": usage_limits,
                }
            )
        )

    def _prepare(self) -> None:
        self._accept = compile_verdict(self._spec.accept)
        self._shape = _VERDICT if self._spec.accept == ACCEPT else None

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
        feedback: Any = None
        for round_ in range(1, spec.max_rounds + 1):
            draft = await self._ask(run, "maker", spec.maker, payload, round_, draft, None)
            if draft is _NONE_YET:
                continue  # the maker may be left out, and there is nothing to review
            review = {"input": task, "draft": draft, "round": round_}
            said = await self._ask(
                run, "reviewer", spec.reviewer, review, round_, None, self._shape
            )
            scope = input_scope(task, output=plain(said), draft=draft, round=round_)
            feedback = part_of(said, "feedback")
            if run.holds(f"reviewer {spec.reviewer.label}[{round_}]", self._accept, scope):
                return draft
            payload = {"input": task, "draft": draft, "feedback": feedback, "round": round_ + 1}
        if draft is _NONE_YET:
            raise PatternFailed(
                self.name, f"failed: no draft was made in {spec.max_rounds} rounds", run.outcomes
            )
        if spec.exhausted == "fail":
            raise NotAccepted(self.name, spec.max_rounds, draft, feedback, run.outcomes)
        return draft

    async def _ask(
        self,
        run: Execution,
        part: str,
        ask: Ask,
        payload: Any,
        round_: int,
        skipped: Any,
        shape: TurnShape | None,
    ) -> Any:
        work = f"{part} {ask.label}[{round_}]"
        turn = turn_for(run, ask.agent, shape)
        outcome = await run.perform(work, ask.agent, payload, ask.policy, turn)
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
