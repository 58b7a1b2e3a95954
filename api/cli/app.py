"""The commands and their options; what they do stands in modules of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from agenticaiframework import __version__

app = App(
    name="agenticaiframework",
    help="Run supervised teams of AI agents from project files.",
    version=__version__,
)

File = Annotated[Path, Parameter(help="A project file: YAML or JSON.")]


@app.command
def run(
    file: File,
    /,
    *,
    input: Annotated[
        list[str] | None,
        Parameter(
            name=["--input", "-i"],
            negative="",
            help="A value for the workflow: key=text, key:=JSON, or @file.json. May be repeated.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        Parameter(
            help="Use this model for every model agent: local, scripted, openai:gpt-4o-mini."
        ),
    ] = None,
    crash: Annotated[
        str | None,
        Parameter(help="Crash an agent on purpose: researcher@2, at its second message."),
    ] = None,
    as_json: Annotated[
        bool, Parameter(name="--json", negative="", help="Print the result alone, as JSON.")
    ] = False,
) -> int:
    """Run a project's workflow.

    Exit codes: 0 done, 1 the workflow failed, 2 bad input (nothing was run), 3 a crash asked for
    with --crash never happened, 130 interrupted.
    """
    from .run import run_command

    return run_command(file, inputs=input or [], model=model, crash=crash, as_json=as_json)


@app.command
def check(
    file: File,
    /,
    *,
    as_json: Annotated[
        bool, Parameter(name="--json", negative="", help="Print what is in it as JSON.")
    ] = False,
) -> int:
    """Check a project file without running anything."""
    from .check import check_command

    return check_command(file, as_json=as_json)


@app.command
def graph(
    file: File,
    /,
    *,
    format: Annotated[
        Literal["mermaid", "svg"], Parameter(name=["--format", "-f"], help="What to draw it as.")
    ] = "mermaid",
) -> int:
    """Draw a project's workflow: as a Mermaid flowchart, or as an SVG picture."""
    from .project import load_project

    workflow = load_project(file).workflow
    if format == "mermaid":
        print(workflow.to_mermaid(), end="")
        return 0
    from .svg import draw_svg

    print(draw_svg(workflow), end="")
    return 0


@app.command
def schema() -> int:
    """Print the JSON schema of project files, for editors that complete and check them."""
    from .project import project_schema

    print(json.dumps(project_schema(), indent=2))
    return 0
