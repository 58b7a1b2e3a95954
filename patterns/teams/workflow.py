"""A workflow of a team: steps in order, each by a member of its role."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from pydantic import Field

from ..definition.definition import Definition, define
from ..definition.fields import ConditionField, compile_condition
from ..definition.policy import Fallback, WorkPolicy
from ..definition.step import input_scope
from ..execution.execution import Execution
from ..vocabulary.errors import NotCompleted
from ..vocabulary.target import Target
from .guarding import guarded
from .handoff import contribution
from .job import TeamJob
from .result import TeamResult
from .roster import Roster


class TeamStep(WorkPolicy):
    """A step: a member of *role* does *action*.

    *condition* is over the input (``input`` and its fields), the ``output`` so far, and the outputs
    by action and by role. ``timeout``, ``retry`` and ``on_error`` are for this step; without any of them the
    team's own hold.
    """

    role: str = Field(min_length=1)
    action: str = Field(min_length=1)
    condition: ConditionField | None = None


class TeamWorkflow(Definition):
    """The steps of a team's workflow."""

    workflow: tuple[TeamStep, ...] = Field(min_length=1)


def read_workflow(
    team: str, workflow: Iterable[TeamStep | Mapping[str, Any]]
) -> tuple[TeamStep, ...]:
    """Return *workflow* as checked steps; raises `DefinitionError`."""
    example = '[{"role": "researcher", "action": "gather"}, {"role": "writer", "action": "draft"}]'
    return define(
        TeamWorkflow, f"the workflow of team {team!r}", {"workflow": workflow}, example
    ).workflow


class WorkflowJob(TeamJob):
    """Runs the steps, each fed with the input and what came before.

    A member gets the input's fields (or ``"input"``, if that is not a mapping), its ``action`` and
    ``role``, and the ``previous`` output. A handoff to the role whose step is next merges into that
    step: it runs once, and the handed data, transformed, is its previous output, with its fields
    beside the input's. A handoff to another role runs a turn of that role in between.
    """

    def __init__(self, roster: Roster, steps: Sequence[TeamStep]) -> None:
        super().__init__(roster)
        self._steps = steps
        self._by_role: dict[str, Any] = {}
        """The latest output of each role."""
        self._given_by: dict[str, str] = {}
        """Which role each name in the result is from: no other role's field takes its place."""
        # Names and roles are checked before any member works.
        for step in steps:
            roster.of_role(step.role)

    def targets(self) -> Iterable[Target]:
        yield from super().targets()
        for step in self._steps:
            if isinstance(step.on_error, Fallback):
                yield step.on_error.fallback

    async def coordinate(self, run: Execution) -> TeamResult:
        return await guarded(self.guards, run, lambda: self.sharing(run, lambda: self._work(run)))

    async def _work(self, run: Execution) -> TeamResult:
        previous: Any = None
        merged = False
        for index, step in enumerate(self._steps):
            if step.condition is not None and not self._holds(step, run, previous):
                run.skip(self.work_name(step.action), step.role, "its condition does not hold")
                continue
            name, member, outcome = await self.turn(
                run,
                self.roster.of_role(step.role),
                _payload(run.input, step, previous, merged),
                label=step.action,
                policy=self._policy if step.plain else step,
                context={"action": step.action},
            )
            merged = False
            what = f"step {index + 1} of {len(self._steps)}, by {member.name!r}"
            try:
                answer = self.needed(run, name, outcome, what)
            except NotCompleted:
                continue
            handed = self.fired(member.role, answer)
            previous = contribution(answer, handed)
            self._add_output(step, previous)
            if handed is not None:
                following = self._steps[index + 1].role if index + 1 < len(self._steps) else None
                previous, merged = await self.follow(run, member, handed, until=following)
        return await self.result(run)

    def _holds(self, step: TeamStep, run: Execution, previous: Any) -> bool:
        test = compile_condition(cast(Any, step.condition))
        around = {**_names(self._by_role), **_names(self.values)}
        return test(input_scope(run.input, around, output=previous))

    def _add_output(self, step: TeamStep, output: Any) -> None:
        """Add an output under its action, and its fields where no other role's stand."""
        self.add(step.action, output)
        self._by_role[step.role] = output
        self._given_by[step.action] = step.role
        if isinstance(output, Mapping):
            taken = {name for each in self._steps for name in (each.action, each.role)}
            for key, value in cast(Mapping[Any, Any], output).items():
                name = str(key)
                if name in taken and name not in (step.action, step.role):
                    continue  # an output of that name is there, or will be
                if self._given_by.setdefault(name, step.role) == step.role:
                    self.values[name] = value


def _names(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key.isidentifier()}


def _payload(data: Any, step: TeamStep, previous: Any, merged: bool) -> dict[str, Any]:
    payload: dict[str, Any] = {}
    if isinstance(data, Mapping):
        payload.update(cast(Mapping[str, Any], data))
    elif data is not None:
        payload["input"] = data
    if merged and isinstance(previous, Mapping):
        payload.update(cast(Mapping[str, Any], previous))
    payload["action"] = step.action
    payload["role"] = step.role
    payload["previous"] = previous
    return payload
