"""Workflows from files, and the JSON Schema for the editors in which they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .parsing import parse_text, read_source
from .workflow import WorkflowDefinition, loaded_workflow


def load_workflow(source: str | Path) -> WorkflowDefinition:
    """Return the workflow that a file (``.json``, ``.yaml``, ``.yml``) or a text defines.

    A `Path`, or a text of one line that ends like a file's name, is read as a file. Raises
    `DefinitionError` that names the file and, for bad syntax, line and column.
    """
    text, name = read_source(source)
    return loaded_workflow(parse_text(text, name))


def workflow_schema() -> dict[str, Any]:
    """Return the JSON Schema of workflow files, for editors that complete and check them."""
    schema = WorkflowDefinition.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Workflow",
        **{key: value for key, value in schema.items() if key != "title"},
    }
