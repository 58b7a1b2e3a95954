"""A root that delegates to children, which may delegate further."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import BeforeValidator, ConfigDict, Field, create_model

from agenticaiframework.actors import TurnShape, near_names

from ..definition.cycles import find_cycle
from ..definition.definition import Definition
from ..definition.drawing import Drawing
from ..definition.fields import ConditionField, TargetField, Test
from ..definition.fields import compile_condition as compiled
from ..definition.step import Ask, AskField, as_list, unique_names
from ..execution.choices import choice, one_of, part_of, plain, turn_for
from ..execution.execution import Execution
from ..execution.pattern import OrchestrationPattern, PatternDefinition
from ..execution.task_bag import TaskBag
from ..expressions.expression import compile_expression
from ..vocabulary.errors import LimitReached, UnexpectedAnswer, work_failed
from ..vocabulary.outcome import Completed, Outcome, Skipped
from ..vocabulary.report import PartialResults
from ..vocabulary.target import Target, target_name
from .aggregation import aggregate
from .delegation import Delegate, Delegation, read_delegations, speaks_of


class DelegationRule(Definition):
    """When *parent* has answered and *condition* holds, its *children* get the task.

    The condition is evaluated over the fields of the task, overlaid with the fields that the root
    and the parent returned; without one the rule always fires. A task that is text has no fields:
    where no agent returned a field that the parent's rules ask for, ``task.requires_report`` holds if the
    text speaks of a report. With ``pick`` the children are asked
    only if the parent's answer picks them: ``Delegate({"writer": "the introduction"})``, or a mapping
    with ``"delegate"``. A `Delegate` picks among the children of its rules without it too.
    """

    parent: TargetField
    children: Annotated[tuple[AskField, ...], BeforeValidator(as_list)] = Field(min_length=1)
    condition: ConditionField | None = None
    pick: bool = False


class HierarchicalDefinition(PatternDefinition):
    """A hierarchy: its root and its rules."""

    root_agent: AskField
    delegation_rules: tuple[DelegationRule, ...] = ()
    aggregator: AskField | None = None
    join: Literal["all", "collect"] = "all"
    max_delegations: int = Field(default=100, ge=1)
    max_depth: int = Field(default=10, ge=1)
    max_concurrency: int | None = Field(default=None, ge=1)

    also_known_as: ClassVar[Mapping[str, str]] = {
        **PatternDefinition.also_known_as,
        "root": "root_agent",
    }


@dataclass(frozen=True, slots=True)
class _Rule:
    children: Mapping[str, Ask]
    condition: Test | None
    text: str
    pick: bool
    asks: tuple[str, ...]
    """The fields of the task that the condition is about."""


class HierarchicalOrchestration(OrchestrationPattern):
    """The root sees the task first; each rule that holds passes it to its children.

    Every true rule fires; when none does, the root's answer is everything. A child that is itself a
    parent delegates further as soon as it has answered. Children get the task as the root did, or
    the sub-task that their parent picked for them. The result is a mapping from agent to output, the
    root's included; *aggregator*, an agent or a function, makes the result of that mapping. With
    ``join="all"`` a failed child makes the whole an error once the others have ended, with
    ``"collect"`` it is missing from the result. A cycle in the rules is refused.
    """

    kind: ClassVar[str] = "hierarchical"
    definition_type = HierarchicalDefinition
    example = (
        'HierarchicalOrchestration(name="research", root_agent="director", delegation_rules=['
        '{"parent": "director", "children": ["writer"], "condition": "task.requires_report"}])'
    )

    def __init__(
        self,
        name: str,
        root_agent: Target | Ask | Mapping[str, Any],
        delegation_rules: Sequence[DelegationRule | Mapping[str, Any]] = (),
        *,
        aggregator: Target | Ask | Mapping[str, Any] | None = None,
        join: Literal["all", "collect"] = "all",
        max_delegations: int = 100,
        max_depth: int = 10,
        max_concurrency: int | None = None,
        timeout: float | None = None,
        usage_limits: Any = None,
    ) -> None:
        super().__init__(
            self._define(
                {
                    "name": name,
                    "root_agent": root_agent,
                    "delegation_rules": delegation_rules,
                    "aggregator": aggregator,
                    "join": join,
                    "max_delegations": max_delegations,
                    "max_depth": max_depth,
                    "max_concurrency": max_concurrency,
                    "timeout": timeout,
                    "usage_limits": usage_limits,
                }
            )
        )

    def _prepare(self) -> None:
        spec = self._spec
        rules: dict[str, list[_Rule]] = {}
        for rule in spec.delegation_rules:
            children = unique_names(child.label for child in rule.children)
            condition = rule.condition
            rules.setdefault(target_name(rule.parent), []).append(
                _Rule(
                    dict(zip(children, rule.children, strict=True)),
                    None if condition is None else compiled(condition),
                    condition if isinstance(condition, str) else "",
                    rule.pick,
                    _fields_asked(condition),
                )
            )
        self._rules = rules
        self._shapes = {
            parent: _picks(parent, own)
            for parent, own in rules.items()
            if all(rule.pick and rule.condition is None for rule in own)
        }
        self._check_tree()
        asks = [spec.root_agent, *(c for rule in spec.delegation_rules for c in rule.children)]
        if spec.aggregator is not None:
            asks.append(spec.aggregator)
        self._targets = tuple(target for ask in asks for target in ask.targets())

    def _check_tree(self) -> None:
        root = self._spec.root_agent.label
        edges = {
            parent: [child for rule in rules for child in rule.children]
            for parent, rules in self._rules.items()
        }
        cycle = find_cycle(edges)
        if cycle is not None:
            raise self._wrong(f"the rules delegate in a cycle: {' -> '.join(cycle)}")
        depth = 0
        reached = {root}
        level = [root]
        while level:
            level = [child for parent in level for child in edges.get(parent, ())]
            level = list(dict.fromkeys(level))
            reached.update(level)
            depth += bool(level)
        problems = [
            f"the parent {parent!r} is neither the root nor a child. {near_names(parent, reached)}"
            for parent in edges
            if parent not in reached
        ]
        if depth > self._spec.max_depth:
            problems.append(
                f"the rules are {depth} levels deep, and max_depth is {self._spec.max_depth}"
            )
        if problems:
            raise self._wrong(*problems)

    @property
    def _spec(self) -> HierarchicalDefinition:
        return cast(HierarchicalDefinition, self._definition)

    def targets(self) -> Iterable[Target]:
        return self._targets

    def shape(self, parent: str) -> TurnShape | None:
        """Return what *parent* is asked for if it has a model: where all it does is pick, its picks."""
        return self._shapes.get(parent)

    def spoken_of(self, parent: str, task: Any, fields: Mapping[str, Any]) -> dict[str, bool]:
        """Return what a task that is text says about the fields that *parent*'s rules ask for."""
        asked = {name for rule in self._rules.get(parent, ()) for name in rule.asks}
        if asked & fields.keys():
            return {}
        return {name: True for name in asked if speaks_of(task, name)}

    async def coordinate(self, run: Execution) -> Any:
        spec = self._spec
        async with TaskBag() as bag:
            descent = _Descent(self, run, bag)
            await descent.visit(spec.root_agent.label, spec.root_agent, run.input, {})
            await bag.settled()
            if descent.problem is not None:
                raise descent.problem
        failed = [
            (n, o) for n, o in run.outcomes.items() if not isinstance(o, (Completed, Skipped))
        ]
        root_failed = spec.root_agent.label in dict(failed)
        if failed and (spec.join == "all" or root_failed):
            work, outcome = failed[0]
            raise work_failed(self.name, work, outcome, run.outcomes)
        results: Any = PartialResults(run.outcomes)
        for name, answer in results.items():
            if isinstance(answer, Delegate):
                results[name] = answer.answer
            else:
                results[name] = part_of(answer, "answer")
        if spec.join == "all":
            results = dict(results)
        return await aggregate(run, spec.aggregator, results)

    def delegations(
        self, parent: str, run: Execution, answer: Any, fields: Mapping[str, Any], task: Any
    ) -> list[Delegation]:
        """Return the children that *parent*, having answered, delegates to."""
        chosen: dict[str, Delegation] = {}
        picked: list[Delegation] = []
        scope: dict[str, Any] | None = None
        candidates: dict[str, Ask] = {}
        holding: list[_Rule] = []
        for rule in self._rules.get(parent, ()):
            if scope is None:
                scope = {**fields, "input": run.input, "output": answer, "task": fields}
            if rule.condition is not None and not run.holds(
                f"{parent} -> {', '.join(rule.children)}", rule.condition, scope
            ):
                continue
            holding.append(rule)
        # A parent that names children has picked, also where no rule asks it to.
        picks = isinstance(answer, Delegate) and not any(rule.pick for rule in holding)
        for rule in holding:
            if rule.pick or picks:
                candidates.update(rule.children)
                continue
            for name, child in rule.children.items():
                chosen.setdefault(name, Delegation(name, child, task, rule.text))
        if candidates:
            for name, subtask in read_delegations(answer):
                if name not in candidates:
                    raise UnexpectedAnswer(
                        self.name, parent, "children of its own", name, run.outcomes,
                        known=candidates,
                    )  # fmt: skip
                work = task if subtask is None else subtask
                picked.append(Delegation(name, candidates[name], work, "picked"))
        return [*chosen.values(), *picked]

    def draw(self, drawing: Drawing) -> None:
        drawing.direction = "TB"
        nodes: dict[str, str] = {}

        def node(target: Target) -> str:
            name = target_name(target)
            if name not in nodes:
                nodes[name] = drawing.target(target)
            return nodes[name]

        node(self._spec.root_agent.agent)
        for rule in self._spec.delegation_rules:
            label = rule.condition if isinstance(rule.condition, str) else ""
            for child in rule.children:
                drawing.edge(node(rule.parent), node(child.agent), "picked" if rule.pick else label)
        if self._spec.aggregator is not None:
            merge = node(self._spec.aggregator.agent)
            for name in list(nodes):
                if nodes[name] != merge:
                    drawing.edge(nodes[name], merge, dotted=True)


class _Descent:
    """One walk down the hierarchy. Owned by the coordinator of the execution."""

    def __init__(self, pattern: HierarchicalOrchestration, run: Execution, bag: TaskBag) -> None:
        self._pattern = pattern
        self._spec = cast(HierarchicalDefinition, pattern.definition)
        self._run = run
        self._bag = bag
        self._spent = 0
        self._counts: dict[str, int] = {}
        self.problem: Exception | None = None
        width = self._spec.max_concurrency
        self._turn = None if width is None else asyncio.Semaphore(width)

    async def visit(self, name: str, ask: Ask, task: Any, inherited: Mapping[str, Any]) -> Outcome:
        """Ask *name*, then start those that it delegates to."""
        run = self._run
        async with self._turn or nullcontext():
            turn = turn_for(run, ask.agent, self._pattern.shape(name))
            outcome = await run.perform(self._unique(name), ask.agent, task, ask.policy, turn)
        if isinstance(outcome, Completed):
            answer = plain(outcome.value)
            fields = {**(inherited or _fields(run.input)), **_fields(task), **_fields(answer)}
            fields.update(self._pattern.spoken_of(name, task, fields))
            try:
                children = self._pattern.delegations(name, run, answer, fields, task)
                self._spend(name, len(children))
            except Exception as error:
                self.problem = self.problem or error
                self._bag.stop()
                return outcome
            for child in children:
                run.handed_off(name, child.name, child.why or "always")
                self._bag.start(self.visit(child.name, child.ask, child.task, fields))
        return outcome

    def _spend(self, parent: str, children: int) -> None:
        self._spent += children
        if self._spent > self._spec.max_delegations:
            raise LimitReached(
                self._pattern.name, "delegations", self._spec.max_delegations,
                f"{parent!r} would make it {self._spent}", "max_delegations", self._run.outcomes,
            )  # fmt: skip

    def _unique(self, name: str) -> str:
        count = self._counts[name] = self._counts.get(name, 0) + 1
        return name if count == 1 else f"{name}#{count}"


def _picks(parent: str, rules: Sequence[_Rule]) -> TurnShape:
    """Return what *parent* is asked for if it has a model: its own answer, and who gets which part."""
    children = {name: child for rule in rules for name, child in rule.children.items()}
    said = [
        f"{name}: {text}" if (text := getattr(child.agent, "description", "")) else name
        for name, child in children.items()
    ]
    pick = create_model(
        "Pick",
        __config__=ConfigDict(extra="forbid"),
        agent=(one_of(list(children)), Field(description="; ".join(said))),
        task=(str | None, Field(default=None, description="Its part; without one, the whole.")),
    )
    return choice(
        "Delegation",
        "The own answer to the task, and who else is to work on it.",
        answer=(str, f"What {parent} itself says to the task."),
        delegate=(list[pick], "Who works on it next; empty if nobody has to."),  # type: ignore[valid-type]
    )


def _fields_asked(condition: Any) -> tuple[str, ...]:
    """Return the names in ``task.name`` of a condition that is an expression."""
    if not isinstance(condition, str):
        return ()
    references = compile_expression(condition).references
    return tuple(str(r.path[0]) for r in references if r.root == "task" and r.path)


def _fields(value: Any) -> dict[str, Any]:
    """Return the fields of a task or an answer; the task inside ``{"task": {...}}`` counts too."""
    if not isinstance(value, Mapping):
        return {}
    fields = dict(cast(Mapping[str, Any], value))
    inner = fields.get("task")
    return {**fields, **cast(Mapping[str, Any], inner)} if isinstance(inner, Mapping) else fields
