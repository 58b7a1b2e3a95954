"""Several agents at the same time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias, cast

from pydantic import Field

from ..definition.drawing import Drawing
from ..definition.fields import Test, compile_condition
from ..definition.policy import NO_POLICY, WorkPolicy
from ..definition.step import Ask, AskField, Branch, BranchField, input_scope, unique_names
from ..execution.execution import Execution
from ..execution.fan_out import agents_of, ask_all
from ..execution.pattern import OrchestrationPattern, PatternDefinition
from ..execution.promises import Demand
from ..execution.work import Work
from ..vocabulary.errors import MissingInput, PatternFailed, UnexpectedAnswer, work_failed
from ..vocabulary.outcome import Cancelled, Completed, Outcome
from ..vocabulary.report import PartialList, PartialResults
from ..vocabulary.target import Target
from .aggregation import aggregate
from .join import ALL, Join, JoinField, JoinProgress, joined


class ParallelDefinition(PatternDefinition):
    """A fan-out: its branches, how they are joined, and the agent that merges."""

    branches: tuple[BranchField, ...] = Field(min_length=1)
    aggregator: AskField | None = None
    join: JoinField = ALL
    max_concurrency: int | None = Field(default=None, ge=1)
    for_each: str | None = Field(default=None, min_length=1)


@dataclass(frozen=True, slots=True)
class _Planned:
    name: str
    target: Target
    policy: WorkPolicy
    input_key: str | None
    condition: Test | None


_Piece: TypeAlias = tuple[_Planned, str, Any]
"""A branch, the name of its work, and what it gets."""


class ParallelOrchestration(OrchestrationPattern):
    """A fan-out: all branches run at once, and the result is a mapping from agent to output.

    *branches* are agents, or mappings with ``agent`` and, as needed, ``name``, ``input_key``,
    ``condition``, ``timeout``, ``retry``, ``on_error``. *join* says what a failed branch does (see
    `Join`). *aggregator*, an agent or a function, gets the mapping and makes the result of it; it
    never sees a failure in it. With *max_concurrency* at most that many run at once. With *for_each*
    the only branch runs once for each item of the list that the input has under that key, and the
    result is the list of outputs in the items' order. *timeout* is for the whole.
    """

    kind: ClassVar[str] = "parallel"
    definition_type = ParallelDefinition
    example = (
        'ParallelOrchestration(name="views", branches=["lawyer", "engineer"], '
        'join="all", aggregator="editor")'
    )

    def __init__(
        self,
        name: str,
        branches: Sequence[Target | Branch | Mapping[str, Any]],
        *,
        aggregator: Target | Ask | Mapping[str, Any] | None = None,
        join: Join | str | Mapping[str, int] = ALL,
        max_concurrency: int | None = None,
        for_each: str | None = None,
        timeout: float | None = None,
        usage_limits: Any = None,
    ) -> None:
        super().__init__(
            self._define(
                {
                    "name": name,
                    "branches": branches,
                    "aggregator": aggregator,
                    "join": join,
                    "max_concurrency": max_concurrency,
                    "for_each": for_each,
                    "timeout": timeout,
                    "usage_limits": usage_limits,
                }
            )
        )

    def _prepare(self) -> None:
        definition = self._spec
        branches = definition.branches
        problems: list[str] = []
        labels = [branch.label for branch in branches]
        twice = sorted(label for label, count in Counter(labels).items() if count > 1)
        if twice:
            problems.append(
                f"{twice[0]!r} stands in several branches, and the result has one entry for each "
                'name. Give them names: {"agent": ' + repr(twice[0]) + ', "name": "second"}'
            )
        if definition.for_each is not None and len(branches) != 1:
            problems.append(
                "for_each runs one branch over a list, and there are "
                f"{len(branches)}. Put them into a ParallelOrchestration that is the branch"
            )
        if definition.for_each is not None and branches[0].condition is not None:
            problems.append(
                "for_each runs its branch for every item, and a condition would be ignored. Leave "
                "items out of the list, or skip them inside the branch"
            )
        count = definition.join.count
        if count is not None and definition.for_each is None and count > len(branches):
            problems.append(f"join={definition.join} can never be met by {len(branches)} branches")
        if problems:
            raise self._wrong(*problems)
        self._branches = tuple(
            _Planned(
                name,
                branch.agent,
                branch.policy,
                branch.input_key,
                None if branch.condition is None else compile_condition(branch.condition),
            )
            for name, branch in zip(unique_names(labels), branches, strict=True)
        )
        bare = definition.join.kind == "all" and definition.max_concurrency is None
        self._bare = bare and all(branch.policy is NO_POLICY for branch in self._branches)
        """Whether a failure of one changes nothing for the others, so that all may be asked directly."""
        asks: list[Ask] = [*branches]
        if definition.aggregator is not None:
            asks.append(definition.aggregator)
        self._targets = tuple(target for ask in asks for target in ask.targets())

    @property
    def _spec(self) -> ParallelDefinition:
        return cast(ParallelDefinition, self._definition)

    def targets(self) -> Iterable[Target]:
        return self._targets

    def demands(self) -> Iterable[Demand]:
        spec = self._spec
        width = spec.max_concurrency
        if spec.for_each is not None:
            if width is not None:
                yield Demand(spec.branches[0].agent, width, f"for_each, max_concurrency={width}")
            return
        # Branches with conditions may exclude each other, and a bound may hold them all apart.
        always = [branch for branch in spec.branches if branch.condition is None]
        for branch in always[:width]:
            yield Demand(branch.agent, 1, "branches")

    async def coordinate(self, run: Execution) -> Any:
        spec = self._spec
        pieces = self._pieces(run) if spec.for_each is None else self._items(run, spec.for_each)
        result = await self._ask_directly(run, pieces) if self._bare else None
        if result is None:
            result = await self._perform(run, pieces)
        return await aggregate(run, spec.aggregator, result)

    async def _ask_directly(self, run: Execution, pieces: list[_Piece]) -> Any:
        """Return the result, if all that are asked are agents, else None; raise if one fails."""
        agents = agents_of(run, [branch.target for branch, _, _ in pieces])
        if agents is None:
            return None
        names = [name for _, name, _ in pieces]
        answers, failed = await ask_all(run, names, agents, [part for _, _, part in pieces])
        if failed is not None:
            raise self._failed(run, failed, run.outcomes[failed], len(pieces))
        return dict(zip(names, answers, strict=True)) if self._spec.for_each is None else answers

    async def _perform(self, run: Execution, pieces: list[_Piece]) -> Any:
        spec = self._spec
        works = [Work(name, branch.target, part, branch.policy) for branch, name, part in pieces]
        progress = JoinProgress(spec.join, len(works))
        outcomes = await run.perform_all(
            works,
            limit=spec.max_concurrency,
            enough=None if spec.join.kind in ("all", "collect") else progress.see,
        )
        self._check(run, works, outcomes)
        return self._result(run, works, outcomes)

    def _pieces(self, run: Execution) -> list[_Piece]:
        """Return the branches that are asked."""
        data = run.input
        pieces: list[_Piece] = []
        for branch in self._branches:
            if branch.condition is not None and not run.holds(
                branch.name, branch.condition, input_scope(data)
            ):
                run.skip(branch.name, branch.target, "its condition does not hold")
                continue
            part = data if branch.input_key is None else self._part(run, branch, branch.input_key)
            pieces.append((branch, branch.name, part))
        return pieces

    def _part(self, run: Execution, branch: _Planned, key: str) -> Any:
        """Return what *branch* gets of the input; one that is not a mapping has no parts."""
        data: Any = run.input
        if not isinstance(data, Mapping):
            return data
        if key not in data:
            raise MissingInput(self.name, branch.name, key, data, run.outcomes)
        return cast(Mapping[str, Any], data)[key]

    def _items(self, run: Execution, key: str) -> list[_Piece]:
        """Return the only branch once for each item."""
        data = run.input
        branch = self._branches[0]
        items: Any = data
        if isinstance(data, Mapping):
            if key not in data:
                raise MissingInput(self.name, branch.name, key, data, run.outcomes)
            items = cast(Mapping[str, Any], data)[key]
        if isinstance(items, (str, bytes, Mapping)) or not isinstance(items, Iterable):
            raise UnexpectedAnswer(
                self.name, "input", f"a list under {key!r}, for for_each", items, run.outcomes
            )
        return [
            (branch, f"{branch.name}[{index}]", self._item(branch, item))
            for index, item in enumerate(cast("Iterable[Any]", items))
        ]

    @staticmethod
    def _item(branch: _Planned, item: Any) -> Any:
        if branch.input_key is not None and isinstance(item, Mapping):
            return cast(Mapping[str, Any], item).get(branch.input_key, item)
        return item

    def _failed(self, run: Execution, name: str, outcome: Outcome, of: int) -> PatternFailed:
        return work_failed(self.name, name, outcome, run.outcomes, f"one of {of} branches")

    def _check(self, run: Execution, works: list[Work], outcomes: list[Outcome]) -> None:
        problem = joined(self._spec.join, outcomes)
        if problem is None:
            return
        if isinstance(problem, str):
            causes = [o.cause for o in outcomes if o.cause is not None]
            raise PatternFailed(
                self.name, problem, run.outcomes, cause=causes[0] if causes else None
            )
        work = works[outcomes.index(problem)]
        raise self._failed(run, work.name, problem, len(works))

    def _result(self, run: Execution, works: list[Work], outcomes: list[Outcome]) -> Any:
        if self._spec.join.kind == "all":
            if self._spec.for_each is not None:
                # A skipped item (on_error="skip") keeps its place, and the list its reason.
                found = PartialList(outcomes)
                return found if found.missing else list(found)
            return {
                work.name: outcome.value
                for work, outcome in zip(works, outcomes, strict=True)
                if isinstance(outcome, Completed)
            }
        if self._spec.join.kind == "first":
            # Others may have completed in the same instant; the race has one winner.
            first = next(n for n, o in run.outcomes.items() if isinstance(o, Completed))
            outcomes = [
                outcome
                if work.name == first or not isinstance(outcome, Completed)
                else _late(outcome)
                for work, outcome in zip(works, outcomes, strict=True)
            ]
        if self._spec.for_each is not None:
            return PartialList(outcomes)
        return PartialResults({w.name: o for w, o in zip(works, outcomes, strict=True)})

    def draw(self, drawing: Drawing) -> None:
        spec = self._spec
        start = drawing.node("input", "end")
        merge = (
            drawing.node(f"join: {spec.join}", "join")
            if spec.aggregator is None
            else drawing.target(spec.aggregator.agent, f"join: {spec.join}")
        )
        for branch in spec.branches:
            node = drawing.target(branch.agent)
            condition = branch.condition if isinstance(branch.condition, str) else ""
            each = f"for each of {spec.for_each}" if spec.for_each else ""
            drawing.edge(start, node, each or condition or branch.input_key or "")
            drawing.edge(node, merge)
        drawing.edge(merge, drawing.node("result", "end"))


def _late(outcome: Completed) -> Cancelled:
    """Return *outcome* as that of a loser that was over the line before it could be stopped."""
    return Cancelled(
        outcome.agent, outcome.started_at, outcome.ended_at, outcome.attempts,
        outcome.incarnation, reason="another was first",
    )  # fmt: skip
