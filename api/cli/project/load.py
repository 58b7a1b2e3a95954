"""Reading project files, and the JSON schema by which editors check them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from agenticaiframework.patterns import DefinitionError, define
from agenticaiframework.patterns.engine import WorkflowDefinition, define_workflow, parse_text

from .definition import EXAMPLE, ProjectDefinition


def load_project(path: Path) -> ProjectDefinition:
    """Return the project that the file at *path* defines.

    Raises `DefinitionError` that names the file and lists everything that is wrong in it; for bad
    syntax with line and column.
    """
    data = _read(path)
    if _is_workflow(data):
        problem = 'is a workflow alone, and running it takes agents: put it under "workflow"'
        raise DefinitionError(str(path), [problem], EXAMPLE)
    return define(ProjectDefinition, str(path), data)


def load_either(path: Path) -> ProjectDefinition | WorkflowDefinition:
    """Return the project, or the workflow alone, that the file at *path* defines.

    Raises `DefinitionError` as `load_project` does.
    """
    data = _read(path)
    if not _is_workflow(data):
        return define(ProjectDefinition, str(path), data)
    try:
        return define_workflow(data)
    except DefinitionError as error:
        raise DefinitionError(str(path), error.problems) from None


def _is_workflow(data: Mapping[str, Any]) -> bool:
    return "steps" in data and "workflow" not in data


def _read(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DefinitionError(str(path), [f"cannot be read: {error.strerror or error}"]) from None
    except UnicodeDecodeError:
        raise DefinitionError(str(path), ["is not text in UTF-8"]) from None
    data = parse_text(text, str(path))
    if not isinstance(data, Mapping):
        raise DefinitionError(str(path), [f"is not a mapping but {type(data).__name__}"], EXAMPLE)
    return cast("Mapping[str, Any]", data)


def project_schema() -> dict[str, Any]:
    """Return the JSON schema of project files."""
    schema = ProjectDefinition.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "agenticaiframework project",
    }
