"""`agenticaiframework graph`: a workflow as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from agenticaiframework.patterns.engine import WorkflowDefinition

from .project import load_either
from .svg import draw_svg


def graph_command(file: Path, format: Literal["mermaid", "svg"], *, as_json: bool) -> int:
    """Print the workflow in *file*, drawn; raises the error that says what is wrong with it."""
    found = load_either(file)
    workflow = found if isinstance(found, WorkflowDefinition) else found.workflow
    drawn = workflow.to_mermaid() if format == "mermaid" else draw_svg(workflow)
    if as_json:
        print(json.dumps({"workflow": workflow.name, format: drawn}, ensure_ascii=False, indent=2))
    else:
        print(drawn, end="")
    return 0
