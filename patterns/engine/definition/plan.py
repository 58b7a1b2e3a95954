"""Plans: definitions compiled into what the engine runs, once, and shared by all runs.

A plan holds no state of a run, so it may be used by many at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ...definition.policy import Default, Fallback
from ...expressions.expression import Expression, compile_expression
from ...expressions.reference import MISSING, Reference, look_up
from ..errors import InputMismatch
from .graph import Dependencies, descendants, readings
from .model import StepDefinition, WorkflowFields
from .shapes import foreign
from .templates import Build, MissingValue, Template, compile_template

ASK: Final = 0
WAIT: Final = 1
PAUSE: Final = 2


class StepPlan:
    """One step, compiled."""

    __slots__ = (
        "build",
        "call",
        "checked",
        "condition",
        "definition",
        "delay_s",
        "dependents",
        "depends",
        "for_each",
        "foreign",
        "id",
        "index",
        "iterates",
        "input_model",
        "kind",
        "max_concurrency",
        "max_iterations",
        "output_key",
        "output_model",
        "plain",
        "queue_timeout_s",
        "quick",
        "session",
        "timeout_s",
        "until",
        "when",
    )

    def __init__(self, index: int, step: StepDefinition, depends: tuple[int, ...]) -> None:
        self.index = index
        self.id = step.id
        self.call: Mapping[str, Any] | None = None
        """What its first event says of it, in a workflow that is code: no definition has it."""
        self.definition = step
        self.depends = depends
        """The steps that must have ended before, by index."""
        self.dependents: tuple[int, ...] = ()
        kind = step.kind
        self.kind = WAIT if kind == "wait_for" else PAUSE if kind == "delay" else ASK
        self.build: Build | None = compile_template(step.input).build if step.has_input else None
        """The input's template; None: what the steps before returned."""
        self.session: Build | None = (
            None if step.session is None else compile_template(step.session).build
        )
        self.foreign = step.has_input and foreign(step.input)
        """Whether the template holds values that a stored definition has in another form."""
        self.condition = _expression(step.condition)
        self.for_each: Template | None = (
            None if step.for_each is None else compile_template(step.for_each)
        )
        self.max_concurrency = step.max_concurrency
        self.until = _expression(step.until)
        self.max_iterations = step.max_iterations or (DEFAULT_ITERATIONS if step.until else 1)
        self.iterates = self.max_iterations > 1
        self.when = _expression(step.wait_for.when if step.wait_for else None)
        self.delay_s = step.delay or 0.0
        self.timeout_s = step.timeout_seconds
        self.queue_timeout_s = step.queue_timeout_seconds
        self.input_model = step.input_model
        self.output_model = step.output_model
        self.output_key = step.output_key
        self.checked = step.output_key is not None or step.output_model is not None
        """Whether the output is looked at before it counts."""
        self.plain = (
            self.kind == ASK
            and self.condition is None
            and self.for_each is None
            and not self.iterates
            and not self.delay_s
        )
        """Whether the step is asked once, unconditionally and at once."""
        self.quick = self.kind == ASK and not self.checked and step.input_model is None
        self.quick = self.quick and self.for_each is None and not self.iterates
        """Whether nothing is to be looked at before and after it is asked."""

    def __repr__(self) -> str:
        return f"<StepPlan {self.index} {self.id!r}>"

    def output_name(self) -> str:
        """Return what its output is called in errors."""
        return f"the output of step {self.id!r}"

    @property
    def needed_later(self) -> tuple[str, ...]:
        """The names of agents that are asked if it fails, or is to be undone."""
        undoing = self.definition.compensate
        later = (
            None if self.fallback is None else self.fallback.fallback,
            None if undoing is None else undoing.agent,
        )
        return tuple(name for name in later if isinstance(name, str))

    @property
    def dispensable(self) -> bool:
        """Whether the workflow goes on without the step when it fails."""
        return self.definition.on_error == "skip"

    @property
    def default(self) -> Default | None:
        """The output of a failed step, if one is declared."""
        declared = self.definition.on_error
        return declared if isinstance(declared, Default) else None

    @property
    def fallback(self) -> Fallback | None:
        """The agent that is asked when the step has failed for good, if one is declared."""
        declared = self.definition.on_error
        return declared if isinstance(declared, Fallback) else None


DEFAULT_ITERATIONS: Final = 10
"""How often a step with ``until`` runs at most: a loop over a model must end by itself."""


def _expression(text: str | None) -> Expression | None:
    return None if text is None else compile_expression(text)


ORIGIN: Final = "origin"
"""The key of a stored definition that says where it comes from; no definition has such a field."""
TEXT: Final = "text"


def digest(form: Any) -> str:
    """Return the digest of a definition in its stored form, whatever the order of its keys."""
    text = json.dumps(form, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Plan:
    """A workflow, compiled: steps by index, their dependencies, and the checks of the input."""

    __slots__ = (
        "_hash",
        "_text",
        "bound",
        "by_id",
        "compensates",
        "definition",
        "depends",
        "foreign",
        "labels",
        "name",
        "names",
        "needed",
        "output",
        "roots",
        "steps",
        "timeout_s",
        "told",
        "waits_for",
    )

    grows = False
    """Whether its steps become known while it runs: it is code."""

    def __init__(self, definition: WorkflowFields) -> None:
        self.definition = definition
        self.name = definition.name
        self.labels = definition.labels
        self.timeout_s = definition.timeout_seconds
        read = {step.id: readings(step) for step in definition.steps}
        self.depends: Mapping[str, tuple[str, ...]] = Dependencies(definition, read).reduced()
        position = {step.id: n for n, step in enumerate(definition.steps)}
        self.steps: Sequence[StepPlan] = tuple(
            StepPlan(n, step, tuple(position[name] for name in self.depends[step.id]))
            for n, step in enumerate(definition.steps)
        )
        self.by_id: Mapping[str, StepPlan] = {step.id: step for step in self.steps}
        waiting: list[list[int]] = [[] for _ in self.steps]
        for step in self.steps:
            for index in step.depends:
                waiting[index].append(step.index)
        for step, dependents in zip(self.steps, waiting, strict=True):
            step.dependents = tuple(dependents)
        self.waits_for = [len(step.depends) for step in self.steps]
        """How many steps each one waits for; a run counts a copy of it down."""
        self.roots: tuple[int, ...] = tuple(step.index for step in self.steps if not step.depends)
        self.names: tuple[str, ...] = tuple(step.id for step in self.steps)
        self.output: Build | None = (
            compile_template(definition.output).build if definition.has_output else None
        )
        self.foreign = definition.has_output and foreign(definition.output)
        self.compensates = any(step.compensate is not None for step in definition.steps)
        # A conditional step may never run, so its references demand nothing of the input.
        self.needed: tuple[Reference, ...] = tuple(
            dict.fromkeys(
                reference
                for step in definition.steps
                if step.condition is None
                for reading in read[step.id]
                if reading.template is not None
                and reading.field in ("input", "for_each", "session")
                for reference in reading.references
                if reference.root == "input"
                and reference.path
                and reference not in reading.optional
            )
        )
        self.bound: tuple[Any, int, tuple[Any, ...]] | None = None
        """The cached targets of the steps: the engine that bound them, the version of its directory, the targets."""
        self.told = False
        """Whether it has been logged what it promises and its agents cannot keep."""
        self._text: str | None = None
        self._hash: str | None = None

    @property
    def text(self) -> str:
        """The definition as compact JSON, as it is stored with a run: with where it comes from, if that
        is a text."""
        if self._text is None:
            form = self.definition.to_dict()
            if self.definition.from_text:
                form[ORIGIN] = TEXT
            self._text = json.dumps(form, ensure_ascii=False, separators=(",", ":"))
        return self._text

    @property
    def hash(self) -> str:
        """What tells definitions apart: a digest of the JSON with its keys in order."""
        if self._hash is None:
            self._hash = digest(json.loads(self.text))
        return self._hash

    def for_run(self) -> Plan:
        """Return the plan that one run has: this one, which all runs share."""
        return self

    def take_input(self, given: Any) -> Any:
        """Return *given* as its code declares it, if it is code; raises `InputMismatch`."""
        return given

    def check_input(self, given: Any) -> None:
        """Raise `InputMismatch` when the input lacks a value that every run reads."""
        shape = self.definition.input_model
        if shape is not None:
            problem = shape.problem(given)
            if problem is not None:
                raise InputMismatch(self.name, problem)
        for reference in self.needed:
            value = given
            for key in reference.path:
                found = look_up(value, key)
                if found is MISSING:
                    missing = MissingValue(str(reference), "input", key, value)
                    raise InputMismatch(self.name, str(missing))
                value = found

    def after(self, step_id: str) -> set[str]:
        """Return the steps that wait for *step_id*, directly or through others."""
        return descendants(self.depends, step_id)
