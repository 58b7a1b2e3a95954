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
SomeId = Annotated[str | None, Parameter(name="id", help="The run's id, if it is one run.")]
StoreUrl = Annotated[
    str | None,
    Parameter(name="--store", help="sqlite:///path or postgresql://..., if not the default one."),
]
Changed = Annotated[
    Literal["old", "new"] | None,
    Parameter(help="If the definition has changed: go on with the old or the new one."),
]
Model = Annotated[
    str | None,
    Parameter(help="Use this model for every model agent: local, scripted, openai:gpt-4o-mini."),
]
Stream = Annotated[
    bool | None,
    Parameter(
        negative="--no-stream",
        help="Show answers while they are made, whole; in a terminal their last lines are shown anyway.",
    ),
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
    session: Annotated[
        str | None,
        Parameter(help="The conversation that the run belongs to: its agents go on with it."),
    ] = None,
    queue: Annotated[
        str | None,
        Parameter(
            help="Put the run into this queue, and wait until it has ended, wherever it runs."
        ),
    ] = None,
    key: Annotated[
        str | None,
        Parameter(help="Whose run it is, for a queue that bounds the runs of one key."),
    ] = None,
    priority: Annotated[
        int, Parameter(help="Its priority in the queue: the larger, the sooner.")
    ] = 0,
    stream: Stream = None,
    as_json: Json = False,
) -> int:
    """Run a project's workflow.

    Exit codes: 0 done, 1 the workflow failed, 2 bad input (nothing was run), 3 a crash asked for
    with --crash never happened, 130 interrupted.
    """
    from .queueing import Place
    from .run import run_command

    return run_command(
        file,
        inputs=input or [],
        model=model,
        crash=crash,
        persist=persist,
        as_json=as_json,
        session=session,
        stream=stream,
        place=Place(queue, key, priority),
    )


@app.command
def serve(
    file: File,
    /,
    *,
    mcp: Annotated[
        bool,
        Parameter(
            negative="", help="As an MCP server on standard input and output, for one client."
        ),
    ] = False,
    offer: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            help="An agent, a team or the workflow to offer; the workflow alone if not given. May be repeated.",
        ),
    ] = None,
    model: Model = None,
    persist: Annotated[
        bool,
        Parameter(
            negative="--no-persist",
            help="Store the workflow's runs, so that clients find them again.",
        ),
    ] = True,
    timeout_s: Annotated[
        float | None, Parameter(help="For one call, in seconds: 300 if not given.")
    ] = None,
) -> int:
    """Serve a project's workflow, agents and teams to other programs, until interrupted.

    Exit codes: 0 the client has gone, 2 bad input, 130 interrupted.
    """
    from .serve import serve_command

    return serve_command(
        file, mcp=mcp, offer=offer or [], model=model, persist=persist, timeout_s=timeout_s
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


@app.command
def observe(
    url: Annotated[
        str, Parameter(help="Where its observer is: http://127.0.0.1:4040, http://host/observer.")
    ],
    /,
    *,
    token: Annotated[
        str | None, Parameter(env_var="OBSERVER_TOKEN", help="Its token, if it has one.")
    ] = None,
    user: Annotated[
        str | None,
        Parameter(name="--as", help="Who you are: actions are recorded as done by that name."),
    ] = None,
    theme: Annotated[
        Literal["dark", "light"] | None, Parameter(help="The colours, if not those that fit.")
    ] = None,
) -> int:
    """Watch a running service in this terminal, live: its tree, actors, workflows, events, health.

    Steers it too, where its observer has actions enabled. The keys stand at the bottom; ? shows all.
    """
    from .observing import observe_command

    return observe_command(url, token, user=user, theme=theme)


State = Annotated[
    list[str] | None,
    Parameter(negative="", help="Only runs in this state: failed, running, ... May be repeated."),
]
Name = Annotated[str | None, Parameter(help="Only runs of this workflow.")]
Label = Annotated[
    list[str] | None,
    Parameter(negative="", help="Only runs with this label: key=value. May be repeated."),
]
QueueName = Annotated[str | None, Parameter(help="Only runs that were started in this queue.")]
Parent = Annotated[str | None, Parameter(help="Only the parts of this run.")]
Moment = Annotated[
    str | None,
    Parameter(help="A date, as 2026-01-31 or 2026-01-31T12:00, or an age: 90s, 12h, 7d."),
]
Yes = Annotated[bool, Parameter(name=["--yes", "-y"], negative="", help="Do not ask first.")]

workflows = App(name="workflows", help="See and steer stored runs.")
app.command(workflows)


@workflows.command(name="list")
def list_(
    *,
    state: State = None,
    name: Name = None,
    label: Label = None,
    queue: QueueName = None,
    parent: Parent = None,
    created_after: Moment = None,
    created_before: Moment = None,
    finished_after: Moment = None,
    finished_before: Moment = None,
    limit: Annotated[int, Parameter(help="How many, the newest first.")] = 20,
    page: Annotated[str | None, Parameter(help="What the previous page said comes next.")] = None,
    store: StoreUrl = None,
    as_json: Json = False,
) -> int:
    """List stored runs."""
    from .selection import read_where
    from .stored import list_command

    where = read_where(
        *(state, name, label, parent),
        *(created_after, created_before, finished_after, finished_before),
        queue=queue,
    )
    return list_command(store, where, limit=limit, page=page, as_json=as_json)


@workflows.command
def show(
    workflow_id: Id,
    /,
    *,
    outputs: Annotated[
        bool, Parameter(negative="", help="Show what the steps have returned, too.")
    ] = False,
    store: StoreUrl = None,
    as_json: Json = False,
) -> int:
    """Show one stored run: its state, its steps, which engine has it, what went wrong."""
    from .stored import show_command

    return show_command(store, workflow_id, outputs=outputs, as_json=as_json)


@workflows.command
def cancel(
    workflow_id: SomeId = None,
    /,
    *,
    state: State = None,
    name: Name = None,
    label: Label = None,
    queue: QueueName = None,
    parent: Parent = None,
    created_after: Moment = None,
    created_before: Moment = None,
    yes: Yes = False,
    reason: Annotated[str, Parameter(help="Why; it can be read back.")] = "cancelled by hand",
    project: Annotated[
        Path | None,
        Parameter(help="The runs' project file: undoes what was done by processes that are gone."),
    ] = None,
    store: StoreUrl = None,
    as_json: Json = False,
) -> int:
    """Cancel a stored run, wherever it runs, or all that --state, --name, ... name.

    Harmless for runs that have ended.
    """
    from .bulk import cancel_all_command
    from .selection import read_where
    from .stored import cancel_command

    where = read_where(state, name, label, parent, created_after, created_before, queue=queue)
    if workflow_id is None or where:
        return cancel_all_command(
            store, workflow_id, where, reason=reason, file=project, yes=yes, as_json=as_json
        )
    return cancel_command(store, workflow_id, reason=reason, file=project, as_json=as_json)


@workflows.command
def signal(
    workflow_id: Id,
    name: Annotated[str, Parameter(name="signal", help="The signal's name.")],
    /,
    *,
    payload: Annotated[str, Parameter(help="What it says, as JSON.")] = "null",
    early: Annotated[
        bool,
        Parameter(negative="", help="Send it also if the run waits for another: it is kept."),
    ] = False,
    store: StoreUrl = None,
    as_json: Json = False,
) -> int:
    """Send a stored run the signal that a step of it waits for."""
    from .stored import signal_command

    return signal_command(store, workflow_id, name, payload, early=early, as_json=as_json)


@workflows.command
def answer(
    workflow_id: Id,
    question: Annotated[
        str, Parameter(name="question", help="The question's id, as `workflows show` shows it.")
    ],
    /,
    *,
    value: Annotated[str, Parameter(help="The answer, as JSON.")] = "null",
    store: StoreUrl = None,
    as_json: Json = False,
) -> int:
    """Answer a question that a step of a stored run has asked."""
    from .questions import answer_command

    return answer_command(store, workflow_id, question, value, as_json=as_json)


@workflows.command
def approve(
    workflow_id: Id,
    call: Annotated[
        str, Parameter(name="call", help="The call's id, or its question's, as `show` shows it.")
    ],
    /,
    *,
    ok: Annotated[
        bool | None,
        Parameter(name="--yes", negative="--no", help="Whether the tool may be called."),
    ] = None,
    arguments: Annotated[
        str | None, Parameter(help="Call it with these arguments instead, as a JSON object.")
    ] = None,
    reason: Annotated[str | None, Parameter(help="What the model is told, if not.")] = None,
    store: StoreUrl = None,
    as_json: Json = False,
) -> int:
    """Say whether a tool may be called that a model asks for in a stored run."""
    from .questions import approve_command

    return approve_command(
        store, workflow_id, call, ok=ok, arguments=arguments, reason=reason, as_json=as_json
    )


@workflows.command
def resume(
    workflow_id: Annotated[
        str, Parameter(name="id", help="The run's id, or the project file alone, for many runs.")
    ],
    file: Annotated[Path | None, Parameter(help="A project file: YAML or JSON.")] = None,
    /,
    *,
    definition: Changed = None,
    state: State = None,
    name: Name = None,
    label: Label = None,
    queue: QueueName = None,
    created_after: Moment = None,
    created_before: Moment = None,
    finished_after: Moment = None,
    finished_before: Moment = None,
    yes: Yes = False,
    model: Model = None,
    store: StoreUrl = None,
    as_json: Json = False,
) -> int:
    """Let a run that failed, is blocked or was cut off go on, with the agents of a project file.

    With the file alone, all that --state, --name, ... name (those that failed, if --state is not given).
    They run here: it ends when they have.
    """
    from .bulk import resume_all_command
    from .selection import read_where
    from .stored import resume_command

    where = read_where(
        *(state, name, label, None),
        *(created_after, created_before, finished_after, finished_before),
        queue=queue,
    )
    if file is None or where:
        return resume_all_command(
            store, workflow_id, file, where, model=model, yes=yes, as_json=as_json
        )
    return resume_command(store, workflow_id, file, choice=definition, model=model, as_json=as_json)


@workflows.command
def purge(
    *,
    state: State = None,
    name: Name = None,
    label: Label = None,
    queue: QueueName = None,
    created_after: Moment = None,
    created_before: Moment = None,
    finished_after: Moment = None,
    finished_before: Moment = None,
    yes: Yes = False,
    store: StoreUrl = None,
    as_json: Json = False,
) -> int:
    """Forget finished runs for good: those that --state, --name, --finished-before, ... name."""
    from .bulk import purge_command
    from .selection import read_where

    where = read_where(
        *(state, name, label, None),
        *(created_after, created_before, finished_after, finished_before),
        queue=queue,
    )
    return purge_command(store, where, yes=yes, as_json=as_json)


@workflows.command
def retry(
    workflow_id: Id,
    step: Annotated[str, Parameter(name="step", help="The step to run again.")],
    file: File,
    /,
    *,
    definition: Changed = None,
    model: Model = None,
    store: StoreUrl = None,
    as_json: Json = False,
) -> int:
    """Run a step, and all that depends on it, again; with the agents of a project file."""
    from .stored import resume_command

    return resume_command(
        store, workflow_id, file, step=step, choice=definition, model=model, as_json=as_json
    )


@workflows.command
def fork(
    workflow_id: Id,
    step: Annotated[
        str, Parameter(name="step", help="The step from which on it goes another way.")
    ],
    file: File,
    /,
    *,
    edit: Annotated[
        str,
        Parameter(help="Other outputs of steps that are kept, or another input, as JSON."),
    ] = "{}",
    model: Model = None,
    store: StoreUrl = None,
    as_json: Json = False,
) -> int:
    """Start a new run with the outcomes of another one, and run a step and what depends on it."""
    from .stored import fork_command

    return fork_command(store, workflow_id, step, file, edit, model=model, as_json=as_json)


@workflows.command
def query(workflow_id: Id, /, *, store: StoreUrl = None) -> int:
    """Print what a stored run wants known, as JSON."""
    from .stored import query_command

    return query_command(store, workflow_id)


@workflows.command(name="queues")
def list_queues(*, store: StoreUrl = None, as_json: Json = False) -> int:
    """List the queues: how many runs wait, how many are under way, which engines serve them."""
    from .queues import list_command

    return list_command(store, as_json=as_json)


schedules = App(name="schedules", help="See and steer the schedules that start workflows.")
workflows.command(schedules)

ScheduleName = Annotated[
    str, Parameter(name="name", help="The schedule's name, as `schedules list` shows it.")
]


@schedules.command(name="list")
def list_schedules(*, store: StoreUrl = None, as_json: Json = False) -> int:
    """List the schedules: what each starts and when, the last time and the next."""
    from .schedules import list_command

    return list_command(store, as_json=as_json)


@schedules.command(name="show")
def show_schedule(name: ScheduleName, /, *, store: StoreUrl = None, as_json: Json = False) -> int:
    """Show one schedule, and its latest runs."""
    from .schedules import show_command

    return show_command(store, name, as_json=as_json)


@schedules.command(name="pause")
def pause_schedule(
    name: ScheduleName,
    /,
    *,
    reason: Annotated[str, Parameter(help="Why; it can be read back.")] = "paused by hand",
    store: StoreUrl = None,
    as_json: Json = False,
) -> int:
    """Have a schedule start nothing until it is resumed. Its runs go on."""
    from .schedules import pause_command

    return pause_command(store, name, reason=reason, as_json=as_json)


@schedules.command(name="resume")
def resume_schedule(name: ScheduleName, /, *, store: StoreUrl = None, as_json: Json = False) -> int:
    """Have a paused schedule go on. What was due meanwhile was missed."""
    from .schedules import resume_command

    return resume_command(store, name, as_json=as_json)


@schedules.command(name="trigger")
def trigger_schedule(
    name: ScheduleName, /, *, store: StoreUrl = None, as_json: Json = False
) -> int:
    """Have a schedule start a run now, in a process of the service that has its workflow."""
    from .schedules import trigger_command

    return trigger_command(store, name, as_json=as_json)


@schedules.command(name="delete")
def delete_schedule(name: ScheduleName, /, *, store: StoreUrl = None, as_json: Json = False) -> int:
    """Forget a schedule. Its runs stay."""
    from .schedules import delete_command

    return delete_command(store, name, as_json=as_json)


store_app = App(name="store", help="Set up, check and clean the store of workflows.")
app.command(store_app)


@store_app.command(name="migrate")
def migrate_store(*, store: StoreUrl = None, as_json: Json = False) -> int:
    """Make the store's tables, or bring them up to date. Refused while older engines use them."""
    from .store import migrate_command

    return migrate_command(store, as_json=as_json)


@store_app.command(name="check")
def check_store(*, store: StoreUrl = None, as_json: Json = False) -> int:
    """Tell whether engines can work with the store. Changes nothing.

    Exit codes: 0 ready, 1 not ready, 2 bad input or no connection.
    """
    from .store import check_command

    return check_command(store, as_json=as_json)


@store_app.command(name="info")
def info_of_store(*, store: StoreUrl = None, as_json: Json = False) -> int:
    """Count the runs, engines and bytes in the store. Changes nothing."""
    from .store import info_command

    return info_command(store, as_json=as_json)


@store_app.command(name="sql")
def sql_of_store(
    *,
    store: StoreUrl = None,
    role: Annotated[str | None, Parameter(help="Print the grants for this role, too.")] = None,
) -> int:
    """Print the SQL that sets the store up, for its owner to read and run. Connects to nothing."""
    from .store import sql_command

    return sql_command(store, role)


@store_app.command(name="purge")
def purge_store(
    *,
    older_than_days: Annotated[
        float | None, Parameter(help="Forget runs that ended longer ago than this.")
    ] = None,
    keep: Annotated[
        int | None, Parameter(help="Keep at most this many ended runs, the latest.")
    ] = None,
    state: Annotated[
        list[str] | None,
        Parameter(negative="", help="Only runs in this state: completed, ... May be repeated."),
    ] = None,
    store: StoreUrl = None,
    as_json: Json = False,
) -> int:
    """Forget ended runs. Those that have not ended are never touched."""
    from .store import purge_command

    return purge_command(
        store, older_than_days=older_than_days, keep=keep, states=state, as_json=as_json
    )
