"""The graph that a workflow's steps form: which step waits for which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from ...definition.cycles import find_cycle
from ...expressions.expression import compile_expression
from ...expressions.reference import Reference
from .model import StepDefinition, WorkflowFields
from .templates import Template, compile_template

_NOTHING: Final[frozenset[str]] = frozenset()

LOCALS: Final[Mapping[str, frozenset[str]]] = {
    "condition": _NOTHING,
    "input": frozenset({"item", "index"}),
    "for_each": _NOTHING,
    "session": frozenset({"item", "index"}),
    "until": frozenset({"output", "iteration"}),
    "wait_for.when": frozenset({"output"}),
    "compensate.input": frozenset({"output", "item", "index"}),
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
    if step.session is not None:
        template("session", step.session)
    expression("until", step.until)
    if step.wait_for is not None:
        expression("wait_for.when", step.wait_for.when)
    if step.compensate is not None and "input" in step.compensate.model_fields_set:
        template("compensate.input", step.compensate.input)
    return found


class Dependencies:
    """What each step waits for.

    A step without ``depends_on`` waits for all above it. Written out, that is half a million edges
    for a thousand steps, so it is one edge to a barrier, which waits for the step above it and for
    the barrier before. Sets of steps are bits of an integer.
    """

    def __init__(self, definition: WorkflowFields, read: Mapping[str, Iterable[Reading]]) -> None:
        self.order = [step.id for step in definition.steps]
        self._count = len(self.order)
        self._position = {name: n for n, name in enumerate(self.order)}
        self._given: list[tuple[int, ...]] = []
        """The steps that each one names, in its ``depends_on`` and in its references."""
        self._waits_for_all_above: list[bool] = []
        for n, step in enumerate(definition.steps):
            named = {self._position[x] for x in step.depends_on or () if x in self._position}
            for reading in read.get(step.id, ()):
                # A compensation runs when all is over, so it waits for nothing.
                if reading.field != "compensate.input":
                    roots = (reference.root for reference in reading.references)
                    named |= {self._position[root] for root in roots if root in self._position}
            named.discard(n)
            self._given.append(tuple(sorted(named)))
            self._waits_for_all_above.append(step.depends_on is None)

    def _edges(self, node: int) -> tuple[int, ...]:
        """Return what *node* waits for; nodes from ``_count`` on are the barriers."""
        if node >= self._count:
            above = node - self._count
            return () if not above else (above - 1, node - 1)
        given = self._given[node]
        return (self._count + node, *given) if self._waits_for_all_above[node] else given

    def cycle(self) -> list[str] | None:
        """Return the steps of a cycle, the first one again at the end, or None."""
        edges = {node: self._edges(node) for node in range(2 * self._count)}
        found = find_cycle(edges)
        if found is None:
            return None
        names = [self.order[node] for node in found if node < self._count]
        return names if names[0] == names[-1] else [*names, names[0]]

    def reduced(self) -> dict[str, tuple[str, ...]]:
        """Return the direct dependencies of each step, in definition order, without those that others imply.

        There must be no cycle.
        """
        count = self._count
        # For a step, all that it waits for; for a barrier, the steps above, and all those wait for.
        ancestors: dict[int, int] = {}
        implied: dict[int, int] = {}
        for start in range(count):
            stack = [start]
            while stack:
                node = stack[-1]
                if node in ancestors:
                    stack.pop()
                    continue
                edges = self._edges(node)
                missing = [edge for edge in edges if edge not in ancestors]
                if missing:
                    stack.extend(missing)
                    continue
                stack.pop()
                if node >= count:
                    above = node - count
                    before = implied[node - 1] if above else 0
                    implied[node] = before | (ancestors[above - 1] if above else 0)
                    ancestors[node] = implied[node] | ((1 << above) - 1)
                    continue
                behind = 0
                for edge in edges:
                    behind |= ancestors[edge] | (1 << edge if edge < count else 0)
                ancestors[node] = behind
        reduced: dict[str, tuple[str, ...]] = {}
        for node, name in enumerate(self.order):
            direct = 0
            follows = 0
            if self._waits_for_all_above[node]:
                direct = (1 << node) - 1
                follows = implied[count + node]
            for edge in self._given[node]:
                direct |= 1 << edge
                follows |= ancestors[edge]
            reduced[name] = tuple(self.order[bit] for bit in _bits(direct & ~follows))
        return reduced


def _bits(number: int) -> Iterator[int]:
    """Yield the positions of the ones in *number*, the lowest first."""
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest


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
