"""`agenticaiframework check`: everything about a project file that can be known without running it."""

from __future__ import annotations

from pathlib import Path

from agenticaiframework.patterns.engine import WorkflowDefinition

from .output import results_alone
from .project import ProjectDefinition, load_either
from .project.build import build_from_file
from .showing import say, say_json


@results_alone()
def check_command(file: Path, *, as_json: bool) -> int:
    """Print what the project in *file* consists of; raises the error that says what is wrong.

    Of a workflow alone only the workflow is checked: its file does not say what the names stand for.
    """
    definition = load_either(file)
    warnings: list[str] = []
    if isinstance(definition, ProjectDefinition):
        engine = build_from_file(definition, file, only_look=True).engine
        warnings = engine.unkept(definition.workflow)
    contents = _contents(definition)
    if warnings:
        contents["warnings"] = warnings
    if as_json:
        say_json(contents)
    else:
        say(f"{file}: good")
        for what, names in contents.items():
            if what == "warnings":
                for warning in names:
                    say(f"  warning: {warning}")
            elif names:
                say(f"  {what}: {', '.join(names)}")
    return 0


def _contents(definition: ProjectDefinition | WorkflowDefinition) -> dict[str, list[str]]:
    if isinstance(definition, WorkflowDefinition):
        return {"steps": [step.id for step in definition.steps]}
    return {
        "agents": list(definition.agents),
        "supervisors": list(definition.supervisors),
        "teams": list(definition.teams),
        "steps": [step.id for step in definition.workflow.steps],
    }
