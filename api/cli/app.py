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
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON alone.")]
Id = Annotated[str, Parameter(name="id", help="The run's id, as `workflows list` shows it.")]
StoreUrl = Annotated[
    str | None,
    Parameter(name="--store", help="sqlite:///path or postgresql://..., if not the default one."),
]
Model = Annotated[
    str | None,
    Parameter(help="Use this model for every model agent: local, scripted, openai:gpt-4o-mini."),
]


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
    persist: Annotated[
        bool | None,
        Parameter(negative="--no-persist", help="Store the run, so that it can be resumed."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Run a project's workflow.

    Exit codes: 0 done, 1 the workflow failed, 2 bad input (nothing was run), 3 a crash asked for
    with --crash never happened, 130 interrupted.
    """
    from .run import run_command

    return run_command(
        file, inputs=input or [], model=model, crash=crash, persist=persist, as_json=as_json
    )


@app.command
def check(
    file: File,
    /,
    *,
    as_json: Json = False,
) -> int:
    """Check a project file, or a workflow alone, without running anything."""
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
    as_json: Json = False,
) -> int:
    """Draw a workflow, of a project or alone: as a Mermaid flowchart, or as an SVG picture."""
    from .graph import graph_command

    return graph_command(file, format, as_json=as_json)


@app.command
def schema(*, as_json: Json = False) -> int:  # what it prints is JSON anyway
    """Print the JSON schema of project files, for editors that complete and check them."""
    from .project import project_schema

    print(json.dumps(project_schema(), indent=2))
    return 0


workflows = App(name="workflows", help="See and steer stored runs.")
app.command(workflows)


@workflows.command(name="list")
def list_(
    *,
    state: Annotated[
        list[str] | None,
        Parameter(
            negative="", help="Only runs in this state: failed, running, ... May be repeated."
        ),
    ] = None,
    name: Annotated[str | None, Parameter(help="Only runs of this workflow.")] = None,
    limit: Annotated[int, Parameter(help="How many, the newest first.")] = 20,
    page: Annotated[str | None, Parameter(help="What the previous page said comes next.")] = None,
    store: StoreUrl = None,
    as_json: Json = False,
) -> int:
    """List stored runs."""
    from .stored import list_command

    return list_command(store, states=state, name=name, limit=limit, page=page, as_json=as_json)


@workflows.command
def show(workflow_id: Id, /, *, store: StoreUrl = None, as_json: Json = False) -> int:
    """Show one stored run: its state, its steps, what went wrong."""
    from .stored import show_command

    return show_command(store, workflow_id, as_json=as_json)


@workflows.command
def cancel(
    workflow_id: Id,
    /,
    *,
    reason: Annotated[str, Parameter(help="Why; it can be read back.")] = "cancelled by hand",
    project: Annotated[
        Path | None,
        Parameter(help="The run's project file; needed if the process that ran it is gone."),
    ] = None,
    store: StoreUrl = None,
    as_json: Json = False,
) -> int:
    """Cancel a stored run, wherever it runs. Harmless when it has ended."""
    from .stored import cancel_command

    return cancel_command(store, workflow_id, reason=reason, file=project, as_json=as_json)


@workflows.command
def signal(
    workflow_id: Id,
    name: Annotated[str, Parameter(name="signal", help="The signal's name.")],
    /,
    *,
    payload: Annotated[str, Parameter(help="What it says, as JSON.")] = "null",
    store: StoreUrl = None,
    as_json: Json = False,
) -> int:
    """Send a stored run the signal that a step of it waits for."""
    from .stored import signal_command

    return signal_command(store, workflow_id, name, payload, as_json=as_json)


@workflows.command
def resume(
    workflow_id: Id,
    file: File,
    /,
    *,
    model: Model = None,
    store: StoreUrl = None,
    as_json: Json = False,
) -> int:
    """Let a run that failed or was cut off go on, with the agents of a project file."""
    from .stored import resume_command

    return resume_command(store, workflow_id, file, model=model, as_json=as_json)


@workflows.command
def retry(
    workflow_id: Id,
    step: Annotated[str, Parameter(name="step", help="The step to run again.")],
    file: File,
    /,
    *,
    model: Model = None,
    store: StoreUrl = None,
    as_json: Json = False,
) -> int:
    """Run a step, and all that depends on it, again; with the agents of a project file."""
    from .stored import resume_command

    return resume_command(store, workflow_id, file, step=step, model=model, as_json=as_json)
