"""Reading project files, and the JSON schema by which editors check them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agenticaiframework.patterns.definition import DefinitionError, define
from agenticaiframework.patterns.engine.forms import parse

from .definition import EXAMPLE, ProjectDefinition


def load_project(path: Path) -> ProjectDefinition:
    """Return the project that the file at *path* defines.

    Raises `DefinitionError` that names the file and lists everything that is wrong in it; for bad
    syntax with line and column.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DefinitionError(str(path), [f"cannot be read: {error.strerror or error}"]) from None
    except UnicodeDecodeError:
        raise DefinitionError(str(path), ["is no text in UTF-8"]) from None
    data = parse(text, str(path))
    if not isinstance(data, Mapping):
        raise DefinitionError(str(path), [f"is no mapping but {type(data).__name__}"], EXAMPLE)
    return define(ProjectDefinition, str(path), data)


def project_schema() -> dict[str, Any]:
    """Return the JSON schema of project files."""
    schema = ProjectDefinition.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "agenticaiframework project",
    }
