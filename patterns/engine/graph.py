"""What waits for what: the graph that a workflow's steps form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ..expressions import Reference, compile_expression
from .templates import Template, compile_template

if TYPE_CHECKING:
    from .definition import StepDefinition, WorkflowDefinition

LOCALS: Final[Mapping[str, frozenset[str]]] = {
    "condition": frozenset(),
    "input": frozenset({"item", "index"}),
    "for_each": frozenset(),
    "until": frozenset({"output", "iteration"}),
    "wait_for.when": frozenset({"output"}),
    "compensate.input": frozenset({"output"}),
}
"""The names with a meaning of their own in each place that may refer to something."""


class Reading:
    """One place in a step that reads values: which field, its text, and what it refers to."""

    __slots__ = ("field", "optional", "references", "template", "text")

    def __init__(
        self,
        field: str,
        text: str,
        references: Sequence[Reference],
        template: Template | None = None,
    ) -> None:
        self.field = field
        self.text = text
        self.references = tuple(references)
        self.template = template
        self.optional: frozenset[Reference] = (
            template.optional if template is not None else frozenset(references)
        )
        """What may be missing: everything in an expression, and what ends in ``?`` elsewhere."""


def readings(step: StepDefinition) -> list[Reading]:
    """Return every place in *step* that reads values; raises ExpressionError, ValueError."""
    found: list[Reading] = []

    def expression(field: str, text: str | None) -> None:
        if text is not None:
            found.append(Reading(field, text, compile_expression(text).references))

    def template(field: str, value: object) -> None:
        compiled = compile_template(value)
        found.append(Reading(field, str(value), compiled.references, compiled))

    expression("condition", step.condition)
    if step.for_each is not None:
        template("for_each", step.for_each)
    if step.has_input:
        template("input", step.input)
    expression("until", step.until)
    if step.wait_for is not None:
        expression("wait_for.when", step.wait_for.when)
    if step.compensate is not None and "input" in step.compensate.model_fields_set:
        template("compensate.input", step.compensate.input)
    return found


def dependencies(
    definition: WorkflowDefinition, read: Mapping[str, Iterable[Reading]]
) -> dict[str, tuple[str, ...]]:
    """Return for each step the steps that it waits for, in page order, without what follows anyway.

    Names that are no steps are left out: they are reported elsewhere.
    """
    order = [step.id for step in definition.steps]
    known = set(order)
    wanted: dict[str, set[str]] = {}
    for position, step in enumerate(definition.steps):
        above = order[:position] if step.depends_on is None else step.depends_on
        direct = {name for name in above if name in known}
        for reading in read.get(step.id, ()):
            # A compensation runs when all is over, so it waits for nothing.
            if reading.field != "compensate.input":
                direct |= {r.root for r in reading.references if r.root in known}
        direct.discard(step.id)
        wanted[step.id] = direct
    return _reduce(order, wanted)


def _reduce(order: Sequence[str], wanted: Mapping[str, set[str]]) -> dict[str, tuple[str, ...]]:
    """Leave out what a step waits for anyway through another step that it waits for."""
    if find_cycle(wanted) is not None:
        return {step: tuple(name for name in order if name in wanted[step]) for step in order}
    behind: dict[str, set[str]] = {}

    def ancestors(step: str) -> set[str]:
        stack = [step]
        while stack:
            top = stack[-1]
            if top in behind:
                stack.pop()
                continue
            missing = [name for name in wanted[top] if name not in behind]
            if missing:
                stack.extend(missing)
                continue
            behind[top] = set(wanted[top]).union(*(behind[name] for name in wanted[top]))
            stack.pop()
        return behind[step]

    reduced: dict[str, tuple[str, ...]] = {}
    for step in order:
        direct = wanted[step]
        implied: set[str] = set()
        for name in direct:
            implied |= ancestors(name)
        reduced[step] = tuple(name for name in order if name in direct and name not in implied)
    return reduced


def find_cycle(edges: Mapping[str, Iterable[str]]) -> list[str] | None:
    """Return the steps of a cycle, the first one again at the end, or None.

    >>> find_cycle({"a": ["b"], "b": ["a"], "c": []})
    ['a', 'b', 'a']
    """
    done: set[str] = set()
    for start in edges:
        path: list[str] = []
        on_path: set[str] = set()
        stack: list[tuple[str, bool]] = [(start, True)]
        while stack:
            node, entering = stack.pop()
            if not entering:
                path.pop()
                on_path.discard(node)
                done.add(node)
                continue
            if node in on_path:
                return [*path[path.index(node) :], node]
            if node in done:
                continue
            path.append(node)
            on_path.add(node)
            stack.append((node, False))
            stack.extend((name, True) for name in edges.get(node, ()))
    return None


def descendants(edges: Mapping[str, Iterable[str]], step: str) -> set[str]:
    """Return the steps that wait for *step*, directly or through others."""
    found: set[str] = set()
    waiting: dict[str, list[str]] = {}
    for name, depends in edges.items():
        for depend in depends:
            waiting.setdefault(depend, []).append(name)
    stack = [step]
    while stack:
        for name in waiting.get(stack.pop(), ()):
            if name not in found:
                found.add(name)
                stack.append(name)
    return found
