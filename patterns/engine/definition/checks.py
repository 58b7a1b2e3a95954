"""The checks of a workflow's definition as a whole, made before anything runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from agenticaiframework.actors import near_names

from ...expressions.reference import Reference
from .graph import LOCALS, Dependencies, Reading, readings
from .model import StepDefinition, WorkflowFields
from .shapes import Shape, fits
from .templates import compile_template

MAX_STEPS: Final = 10_000
"""Steps in one workflow; more are data, and belong into for_each."""

MAX_HINTS: Final = 5
"""Mistakes for which near names are looked for: that takes a look at every name there is."""

Known = Mapping[str, None]
"""The ids of the steps, in order."""


class Hints:
    """Gives hints for the first few mistakes."""

    def __init__(self) -> None:
        self._left = MAX_HINTS

    def near(self, name: str, *known: Iterable[str]) -> str:
        """Return a hint that lists the known names nearest to *name*; empty after the first few."""
        if not self._left:
            return ""
        self._left -= 1
        return near_names(name, [each for some in known for each in some])


def find_problems(definition: WorkflowFields) -> list[str]:
    """Return everything that is wrong with *definition*, each with its place and the right form."""
    if not 1 <= len(definition.steps) <= MAX_STEPS:
        return [f"steps: there are {len(definition.steps)}, and must be 1 to {MAX_STEPS:,}"]
    problems: list[str] = []
    names = [step.id for step in definition.steps]
    known = dict.fromkeys(names)
    hints = Hints()
    problems += [
        f"two steps are called {name!r}: a step's id names its output, so choose another"
        for name, times in Counter(names).items()
        if times > 1
    ]
    read: dict[str, list[Reading]] = {}
    for step in definition.steps:
        try:
            read[step.id] = readings(step)
        except ValueError as error:
            problems.append(f"step {step.id!r}: {error}")
            continue
        problems += _check_names(step, read[step.id], known, hints)
        problems += _check_for_each(step, read[step.id])
    problems += _check_depends_on(definition, known, hints)
    output = _output_reading(definition, problems)
    if output is not None:
        problems += _unknown_roots("output", output, known, frozenset(), "", hints)
    if not problems:
        problems += _check_order(definition, read)
        problems += _check_shapes(definition, read, output, hints)
    return problems


def _output_reading(definition: WorkflowFields, problems: list[str]) -> Reading | None:
    if not definition.has_output:
        return None
    try:
        template = compile_template(definition.output)
    except ValueError as error:
        problems.append(f"output: {error}")
        return None
    return Reading("output", str(definition.output), template.references, template)


def _check_names(
    step: StepDefinition, read: Iterable[Reading], known: Known, hints: Hints
) -> list[str]:
    problems: list[str] = []
    for reading in read:
        allowed = LOCALS[reading.field]
        if reading.field in ("input", "session") and step.for_each is None:
            allowed = LOCALS["for_each"]
        if reading.field == "compensate.input" and step.for_each is None:
            allowed = allowed - {"item", "index"}
        if reading.field == "until":
            allowed |= {step.id}
        problems += _unknown_roots(reading.field, reading, known, allowed, step.id, hints)
    return problems


def _unknown_roots(
    field: str,
    reading: Reading,
    known: Known,
    allowed: frozenset[str],
    step: str,
    hints: Hints,
) -> list[str]:
    where = f"step {step!r}: {field}" if step else field
    problems: list[str] = []
    for root in dict.fromkeys(reference.root for reference in reading.references):
        if root == "input" or root in allowed:
            continue
        if root == step and root in known:
            problems.append(f"{where} reads ${root}, its own output, which is not there yet")
        elif root not in known:
            if root in ("item", "index"):
                hint = 'It is there in the input of a step with for_each: "$input.items".'
            elif root in ("output", "iteration"):
                hint = "It is there in until."
            else:
                hint = hints.near(root, ("input",), known, allowed)
                if reading.template is None:
                    hint += f" A text is written in quotes: '{root}'."
            problems.append(f"{where} refers to {root!r}, which is not a step. {hint}".rstrip())
    return problems


def _check_for_each(step: StepDefinition, read: Iterable[Reading]) -> list[str]:
    if isinstance(step.for_each, str) and not any(
        r.references for r in read if r.field == "for_each"
    ):
        return [
            f"step {step.id!r}: for_each is a reference to a list, or a list: "
            f'"$input.items", not {step.for_each!r}'
        ]
    return []


def _check_depends_on(definition: WorkflowFields, known: Known, hints: Hints) -> list[str]:
    problems: list[str] = []
    for step in definition.steps:
        for name in step.depends_on or ():
            if name == step.id:
                problems.append(f"step {step.id!r}: depends_on names the step itself")
            elif name not in known:
                hint = hints.near(name, (other for other in known if other != step.id))
                problems.append(
                    f"step {step.id!r}: depends_on names {name!r}, which is not a step. {hint}".rstrip()
                )
    return problems


def _check_order(definition: WorkflowFields, read: dict[str, list[Reading]]) -> list[str]:
    """Find references to steps that run later, and cycles."""
    order = {step.id: n for n, step in enumerate(definition.steps)}
    problems: list[str] = []
    for step in definition.steps:
        if step.depends_on is not None:
            continue
        for reading in read[step.id]:
            if reading.field == "compensate.input":
                continue
            for reference in reading.references:
                later = order.get(reference.root, -1)
                if later > order[step.id]:
                    problems.append(
                        f"step {step.id!r}: {reading.field} reads {reference}, but "
                        f"{reference.root!r} comes after it. Move {reference.root!r} up, or give "
                        f"{step.id!r} depends_on: [{reference.root!r}]"
                    )
    if not problems:
        cycle = Dependencies(definition, read).cycle()
        if cycle is not None:
            problems.append(
                f"the steps wait for each other in a circle: {' -> '.join(cycle)}. "
                "Take one of these out of depends_on, or its reference out of the input"
            )
    return problems


# --------------------------------------------------------------------------- declared shapes


def _check_shapes(
    definition: WorkflowFields,
    read: dict[str, list[Reading]],
    output: Reading | None,
    hints: Hints,
) -> list[str]:
    shapes: dict[str, Shape] = {
        step.id: step.output_model
        for step in definition.steps
        if step.output_model is not None and step.for_each is None
    }
    if definition.input_model is not None:
        shapes["input"] = definition.input_model
    problems: list[str] = []
    for step in definition.steps:
        for reading in read[step.id]:
            at = f"step {step.id!r}: {reading.field}"
            problems += _undeclared(at, reading.references, shapes, hints)
            if reading.field == "input" and step.input_model is not None:
                problems += _mismatches(step, step.input_model, reading, shapes)
    if output is not None:
        problems += _undeclared("output", output.references, shapes, hints)
    return problems


def _undeclared(
    where: str, references: Iterable[Reference], shapes: dict[str, Shape], hints: Hints
) -> list[str]:
    problems: list[str] = []
    for reference in references:
        shape = shapes.get(reference.root)
        if shape is None or not reference.path:
            continue
        field = str(reference.path[0])
        if field not in shape.fields:
            whose = (
                "the workflow's input_model"
                if reference.root == "input"
                else f"the output_model of {reference.root!r}"
            )
            problems.append(
                f"{where} reads {reference}, and {whose} has no {field!r}. "
                f"{hints.near(field, shape.fields)}".rstrip()
            )
    return problems


def _mismatches(
    step: StepDefinition, wanted: Shape, reading: Reading, shapes: dict[str, Shape]
) -> list[str]:
    template = reading.template
    if template is None or not isinstance(step.input, dict):
        return []
    problems: list[str] = []
    given: dict[str, object] = {str(k): v for k, v in step.input.items()}  # pyright: ignore
    for name, field in wanted.fields.items():
        if name not in given:
            if field.required:
                problems.append(
                    f"step {step.id!r}: its input_model needs {name!r}, which input does not give"
                )
            continue
        reference = (template.fields or {}).get(name)
        source = shapes.get(reference.root) if reference is not None else None
        if reference is None or source is None or len(reference.path) != 1:
            continue
        found = source.fields.get(str(reference.path[0]))
        if found is not None and not fits(found.kind, field.kind):
            problems.append(
                f"step {step.id!r}: input[{name!r}] is {reference}, which is {found.kind}, "
                f"and should be {field.kind}"
            )
    return problems
