"""One agent after another, each fed with what came before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

from pydantic import Field

from ..definition.drawing import Drawing
from ..definition.fields import Test, compile_condition, compile_verdict
from ..definition.policy import NO_POLICY, WorkPolicy
from ..definition.step import Step, StepField, input_scope, unique_names
from ..execution.execution import Execution
from ..execution.pattern import OrchestrationPattern, PatternDefinition
from ..vocabulary.errors import MissingInput, NotCompleted, work_failed
from ..vocabulary.outcome import Completed, Skipped
from ..vocabulary.target import Target

_NOTHING: Final = object()


class SequentialDefinition(PatternDefinition):
    """A sequence: its name and its steps, in order."""

    steps: tuple[StepField, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class _Planned:
    """A step, ready to run."""

    name: str
    target: Target
    policy: WorkPolicy
    input_key: str | None
    output_key: str | None
    condition: Test | None
    stop_if: Test | None


class SequentialOrchestration(OrchestrationPattern):
    """A pipeline: the result of a step is the input of the next; the last output is the result.

    Each step is an agent (its name, an Agent, a pattern, a team, an async or plain function), or a
    mapping with ``agent`` and, as needed, ``name``, ``input_key``, ``output_key``, ``condition``,
    ``stop_if``, ``timeout``, ``retry``, ``on_error`` (see `Step`). A step that is skipped hands its
    input on. A failed step ends the sequence with `PatternFailed`; later steps are not run.
    """

    kind: ClassVar[str] = "sequential"
    definition_type = SequentialDefinition
    example = (
        'SequentialOrchestration(name="report", steps=['
        '{"agent": "extractor", "input_key": "document"}, "summarizer"])'
    )

    def __init__(
        self,
        name: str,
        steps: Sequence[Target | Step | Mapping[str, Any]],
        *,
        timeout: float | None = None,
        usage_limits: Any = None,
    ) -> None:
        super().__init__(
            self._define(
                {"name": name, "steps": steps, "timeout": timeout, "usage_limits": usage_limits}
            )
        )

    def _prepare(self) -> None:
        definition = cast(SequentialDefinition, self._definition)
        steps = definition.steps
        names = unique_names(step.label for step in steps)
        self._steps = tuple(
            _Planned(
                name,
                step.agent,
                step.policy,
                step.input_key,
                step.output_key,
                None if step.condition is None else compile_condition(step.condition),
                None if step.stop_if is None else compile_verdict(step.stop_if),
            )
            for name, step in zip(names, steps, strict=True)
        )
        self._targets = tuple(target for step in steps for target in step.targets())

    def targets(self) -> Iterable[Target]:
        return self._targets

    async def coordinate(self, run: Execution) -> Any:
        data: Any = run.input
        kept: dict[str, Any] = {}
        # Input that is not a mapping has no keys: the first step gets it whole, as if it were an output.
        previous: Any = _NOTHING if isinstance(run.input, Mapping) else data
        for index, step in enumerate(self._steps):
            if step.condition is not None and not run.holds(
                step.name, step.condition, _scope(data, previous, kept)
            ):
                run.skip(step.name, step.target, "its condition does not hold")
                continue
            if step.input_key is None:
                payload: Any = data if previous is _NOTHING else previous
            else:
                payload = self._input(step.name, step.input_key, run, previous, kept)
            try:
                if step.policy is NO_POLICY:
                    output = await run.ask(step.name, step.target, payload)
                else:
                    output = await self._under_policy(run, step, payload)
            except NotCompleted as failed:
                self._leave_out(run, index + 1, "an earlier step failed")
                where = f"step {index + 1} of {len(self._steps)}"
                raise work_failed(
                    self.name, step.name, failed.outcome, run.outcomes, where
                ) from failed.outcome.cause
            if output is not _NOTHING:
                previous = output
                if step.output_key is not None:
                    kept[step.output_key] = output
            if step.stop_if is not None and run.holds(
                step.name, step.stop_if, _scope(data, previous, kept)
            ):
                self._leave_out(run, index + 1, f"{step.name!r} ended the sequence")
                break
        return data if previous is _NOTHING else previous

    @staticmethod
    async def _under_policy(run: Execution, step: _Planned, payload: Any) -> Any:
        outcome = await run.perform(step.name, step.target, payload, step.policy)
        if isinstance(outcome, Completed):
            return outcome.value
        if isinstance(outcome, Skipped):
            return _NOTHING
        raise NotCompleted(outcome)

    def _input(
        self, step: str, key: str, run: Execution, previous: Any, kept: Mapping[str, Any]
    ) -> Any:
        data = run.input
        if key in kept:
            return kept[key]
        if isinstance(data, Mapping) and key in data:
            return cast(Mapping[str, Any], data)[key]
        if previous is _NOTHING:
            raise MissingInput(self.name, step, key, data, run.outcomes)
        if isinstance(previous, Mapping) and key in previous:
            return cast(Mapping[str, Any], previous)[key]
        return cast(Any, previous)

    def _leave_out(self, run: Execution, first: int, reason: str) -> None:
        for step in self._steps[first:]:
            run.skip(step.name, step.target, reason)

    def draw(self, drawing: Drawing) -> None:
        definition = cast(SequentialDefinition, self._definition)
        last = drawing.node("input", "end")
        label = ""
        for step in definition.steps:
            node = drawing.target(step.agent)
            condition = step.condition if isinstance(step.condition, str) else ""
            drawing.edge(last, node, condition or step.input_key or label)
            last, label = node, step.output_key or ""
        drawing.edge(last, drawing.node("result", "end"), label)


def _scope(data: Any, previous: Any, kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a step's conditions see: the input, what was kept, and the latest ``output``."""
    return input_scope(data, kept, output=None if previous is _NOTHING else previous)
