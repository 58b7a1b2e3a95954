"""The same agent again and again, until its work is good enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, cast

from pydantic import Field

from ..definition.drawing import Drawing
from ..definition.fields import ConditionField, Test, compile_verdict
from ..definition.step import Ask, AskField, input_scope
from ..execution.execution import Execution
from ..execution.pattern import OrchestrationPattern, PatternDefinition
from ..vocabulary.errors import LimitReached, work_failed
from ..vocabulary.outcome import Completed, Skipped
from ..vocabulary.target import Target


class LoopDefinition(PatternDefinition):
    """A loop: its body, when it ends, and how often it runs at most."""

    body: AskField
    until: ConditionField
    max_iterations: int = Field(default=10, ge=1)
    exhausted: Literal["return", "fail"] = "return"


class LoopOrchestration(OrchestrationPattern):
    """*body* runs until *until* holds over its output, each time fed with its previous output.

    *until* is an expression over ``output``, ``input`` and ``iteration`` (from 1), or a function of
    that mapping; an expression holds with the boolean true alone. After *max_iterations* the last output is the result, or an error with
    ``exhausted="fail"``. An iteration that is skipped (``on_error="skip"``) keeps the output so far.
    """

    kind: ClassVar[str] = "loop"
    definition_type = LoopDefinition
    example = 'LoopOrchestration(name="polish", body="editor", until="output.score >= 0.9")'

    def __init__(
        self,
        name: str,
        body: Target | Ask | Mapping[str, Any],
        until: str | Test,
        *,
        max_iterations: int = 10,
        exhausted: Literal["return", "fail"] = "return",
        timeout: float | None = None,
        usage_limits: Any = None,
    ) -> None:
        super().__init__(
            self._define(
                {
                    "name": name,
                    "body": body,
                    "until": until,
                    "max_iterations": max_iterations,
                    "exhausted": exhausted,
                    "timeout": timeout,
                    "usage_limits": usage_limits,
                }
            )
        )

    def _prepare(self) -> None:
        self._until = compile_verdict(self._spec.until)

    @property
    def _spec(self) -> LoopDefinition:
        return cast(LoopDefinition, self._definition)

    def targets(self) -> Iterable[Target]:
        return self._spec.body.targets()

    async def coordinate(self, run: Execution) -> Any:
        body = self._spec.body
        output = run.input
        for iteration in range(1, self._spec.max_iterations + 1):
            work = f"{body.label}[{iteration}]"
            outcome = await run.perform(work, body.agent, output, body.policy)
            if isinstance(outcome, Completed):
                output = outcome.value
            elif not isinstance(outcome, Skipped):
                raise work_failed(self.name, work, outcome, run.outcomes, f"iteration {iteration}")
            scope = input_scope(run.input, output=output, iteration=iteration)
            if run.holds(work, self._until, scope):
                return output
        if self._spec.exhausted == "fail":
            raise LimitReached(
                self.name, "iterations", self._spec.max_iterations,
                f"{self._spec.until!r} does not hold yet", "max_iterations", run.outcomes,
            )  # fmt: skip
        return output

    def draw(self, drawing: Drawing) -> None:
        until = self._spec.until if isinstance(self._spec.until, str) else "done?"
        body = drawing.target(self._spec.body.agent)
        test = drawing.node(until, "choice")
        drawing.edge(drawing.node("input", "end"), body)
        drawing.edge(body, test)
        drawing.edge(test, body, f"no, at most {self._spec.max_iterations} times")
        drawing.edge(test, drawing.node("result", "end"), "yes")
