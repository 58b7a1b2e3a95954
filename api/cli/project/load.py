"""Reading project files, and the JSON schema by which editors check them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from agenticaiframework.patterns import DefinitionError, define
from agenticaiframework.patterns.engine import (
    WorkflowDefinition,
    define_workflow,
    parse_text,
    read_file,
)

from .definition import EXAMPLE, ProjectDefinition
from .lines import with_lines


def load_project(path: Path) -> ProjectDefinition:
    """Return the project that the file at *path* defines.

    Raises `DefinitionError` that names the file and lists everything that is wrong in it, with
    its line; for bad syntax with line and column.
    """
    text, data = _read(path)
    if _is_workflow(data):
        problem = 'is a workflow alone, and running it takes agents: put it under "workflow"'
        raise DefinitionError(str(path), [problem], EXAMPLE)
    return _project(path, text, data)


def load_either(path: Path) -> ProjectDefinition | WorkflowDefinition:
    """Return the project, or the workflow alone, that the file at *path* defines.

    Raises `DefinitionError` as `load_project` does.
    """
    text, data = _read(path)
    if not _is_workflow(data):
        return _project(path, text, data)
    try:
        definition = define_workflow(data)
    except DefinitionError as error:
        raise DefinitionError(str(path), with_lines(error.problems, text)) from None
    definition.mark_loaded()
    return definition


def _project(path: Path, text: str, data: Mapping[str, Any]) -> ProjectDefinition:
    try:
        project = define(ProjectDefinition, str(path), data)
    except DefinitionError as error:
        raise DefinitionError(str(path), with_lines(error.problems, text)) from None
    project.workflow.mark_loaded()
    return project


def _is_workflow(data: Mapping[str, Any]) -> bool:
    return "steps" in data and "workflow" not in data


def _read(path: Path) -> tuple[str, Mapping[str, Any]]:
    text = read_file(path)
    data = parse_text(text, str(path))
    if not isinstance(data, Mapping):
        raise DefinitionError(str(path), [f"is not a mapping but {type(data).__name__}"], EXAMPLE)
    return text, cast("Mapping[str, Any]", data)


def located(path: Path, *problems: str) -> DefinitionError:
    """Return *problems* of the file at *path* as one error, each with the line that it is about."""
    with suppress(DefinitionError):  # it has gone meanwhile
        problems = tuple(with_lines(problems, read_file(path)))
    return DefinitionError(str(path), problems)


def project_schema() -> dict[str, Any]:
    """Return the JSON schema of project files."""
    schema = ProjectDefinition.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "agenticaiframework project",
    }
