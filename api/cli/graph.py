"""`agenticaiframework graph`: a workflow as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from agenticaiframework.patterns.engine import WorkflowDefinition

from .project import load_either
from .showing import say, say_json


def graph_command(file: Path, format: Literal["mermaid", "svg"], *, as_json: bool) -> int:
    """Print the workflow in *file*, drawn; raises the error that says what is wrong with it."""
    found = load_either(file)
    workflow = found if isinstance(found, WorkflowDefinition) else found.workflow
    drawn = workflow.to_mermaid() if format == "mermaid" else workflow.to_svg()
    if as_json:
        say_json({"workflow": workflow.name, format: drawn})
    else:
        say(drawn, end="")
    return 0
