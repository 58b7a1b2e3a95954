"""Workflow definitions, checked as a whole when they are made.

Python, dictionaries, JSON and YAML are one form: ``WorkflowDefinition(**data)`` and `define_workflow`
read what ``to_dict()`` writes. All that is wrong is reported at once, where, and with the right form.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self, cast

from pydantic import model_validator

from ...definition.definition import define
from ...definition.errors import DefinitionError, Problems
from .checks import find_problems
from .mermaid import draw, draw_svg
from .model import WorkflowFields
from .parsing import EXAMPLE
from .plan import Plan


class WorkflowDefinition(WorkflowFields):
    """A workflow: steps that form a directed graph without cycles.

    ``output`` is a template for the result; without it the result is a mapping of step id to
    output. ``on_failure`` says what happens to steps that run while another one fails: ``finish``
    (the default: their results are kept, so that a resumed run need not repeat them) or ``cancel``.

    A name of an agent is bound when a program makes one, to the agent that `find_agent` returns there
    and then. What was loaded, or comes from a store, is looked up at each run.
    """

    @model_validator(mode="after")
    def _check_as_a_whole(self) -> Self:
        problems = find_problems(self)
        if problems:
            raise Problems(problems)
        return self

    @cached_property
    def plan(self) -> Plan:
        """What the engine runs, compiled once."""
        return Plan(self)

    def to_mermaid(self, direction: str = "TD") -> str:
        """Return the definition as a Mermaid flowchart."""
        return draw(self.plan, direction)

    def to_svg(self) -> str:
        """Return the definition drawn as an SVG file; a notebook shows it so."""
        return draw_svg(self.plan)

    def _repr_svg_(self) -> str:
        return self.to_svg()


def draw_mermaid(
    definition: WorkflowDefinition,
    direction: str = "TD",
    states: Mapping[str, str] | None = None,
) -> str:
    """Return *definition* as a flowchart: a node a step, an arrow where one waits for another.

    *states* (step id to state) colours the steps of a run. Raises ValueError for a direction that
    Mermaid does not have.
    """
    return draw(definition.plan, direction, states)


def define_workflow(data: Any) -> WorkflowDefinition:
    """Return *data* (a mapping, or a definition) as a checked workflow.

    Raises `DefinitionError` that lists everything that is wrong.
    """
    if isinstance(data, WorkflowDefinition):
        return data
    what = "The workflow"
    if isinstance(data, Mapping):
        name = cast("Mapping[str, Any]", data).get("name")
        if isinstance(name, str) and name:
            what = f"The workflow {name!r}"
    else:
        raise DefinitionError(
            what, [f"is a mapping or a WorkflowDefinition, not {data!r}"], EXAMPLE
        )
    try:
        return define(WorkflowDefinition, what, data)
    except DefinitionError as error:
        raise DefinitionError(what, error.problems, EXAMPLE) from None


def loaded_workflow(data: Any) -> WorkflowDefinition:
    """Return what `define_workflow` does, for a mapping that was read from a text: it says so from then on."""
    definition = define_workflow(data)
    definition.mark_loaded()
    return definition


def make_workflow(data: Any) -> WorkflowDefinition:
    """Return what `define_workflow` does, for a program's own mapping: the names in it are bound."""
    definition = define_workflow(data)
    if definition is not data:
        definition.bind_names()
    return definition
