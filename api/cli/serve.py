"""`agenticaiframework serve`: a project's workflow, agents and teams for other programs."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, redirect_stdout
from pathlib import Path
from typing import Any, TextIO, cast

from agenticaiframework.actors import ActorSystem, near_names
from agenticaiframework.faces import FaceLimits, serve, serve_mcp_stdio, serve_workflow
from agenticaiframework.models import close_local_models

from .interrupts import run_interruptible
from .output import results, results_alone
from .project import ProjectDefinition, load_project
from .project.build import Project, build_from_file, check_models
from .showing import say
from .stored import BadRequest

_RECOVER_S = 1.0
"""How often runs of servers that have died are looked for, where the project does not say."""


@results_alone()
def serve_command(
    file: Path,
    *,
    mcp: bool,
    offer: Sequence[str],
    model: str | None,
    persist: bool,
    timeout_s: float | None,
) -> int:
    """Serve the project in *file* until it is interrupted, or its client has gone."""
    definition = load_project(file)
    if not mcp:
        raise BadRequest("Say by which protocol: serve project.yaml --mcp")
    check_models(definition, model)
    if persist:
        definition = _recovering(definition)
    project = build_from_file(definition, file, model=model)
    if definition.schedules and not persist:
        raise BadRequest(f"{file}: schedules: their runs are stored; leave --no-persist out")
    targets = _targets(project, offer, persist)
    limits = FaceLimits() if timeout_s is None else FaceLimits(timeout_s=timeout_s)
    name = definition.name or definition.workflow.name

    async def answer() -> None:
        await serve_mcp_stdio(*targets, name=name, limits=limits, output=_wire())

    try:
        # Before anything runs: a run that is taken up again may print at once.
        with redirect_stdout(sys.stderr):
            run_interruptible(
                lambda: _serve(project, answer), lambda text: say(text, out=sys.stderr)
            )
    finally:
        close_local_models()
    return 0


def _wire() -> TextIO | None:
    """Return the command's output as the protocol's end; None where the protocol has to claim it."""
    own = results()
    if own is sys.stdout or not isinstance(own, io.TextIOWrapper):
        return None
    wire = cast("TextIO", own)
    own.reconfigure(encoding="utf-8", newline="\n")
    return wire


def _recovering(definition: ProjectDefinition) -> ProjectDefinition:
    """Return *definition*, with an engine that goes on with what a server before it has left."""
    given = {"recover_on_start": True, "recover_every_seconds": _RECOVER_S, **definition.engine}
    return definition.model_copy(update={"engine": given})


def _targets(project: Project, offer: Sequence[str], persist: bool) -> list[Any]:
    workflow = project.definition.workflow
    known: dict[str, Any] = {**project.agents, **project.teams}
    project.engine.register_workflow(workflow.name, workflow)
    known[workflow.name] = serve_workflow(project.engine, workflow.name, durable=persist)
    names = list(offer) or [workflow.name]
    for name in names:
        if name not in known:
            raise BadRequest(
                f"--offer {name}: the project has no agent, team or workflow of that name. "
                f"{near_names(name, known)}"
            )
    return [
        known[name] if name == workflow.name else serve(known[name], name=None) for name in names
    ]


async def _serve(project: Project, answer: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(ActorSystem(name=project.definition.name or "project"))
        for supervisor in project.roots:
            stack.push_async_callback(supervisor.stop)
            await supervisor.start()
        await stack.enter_async_context(project.engine)
        await _make_schedules(project)
        await answer()


async def _make_schedules(project: Project) -> None:
    """Have the schedules of the project in its store; those that it does not name stay as they are."""
    workflow = project.definition.workflow.name
    for name, rules in project.definition.schedules.items():
        await project.engine.schedule(
            name,
            workflow,
            rules.input,
            cron=rules.cron,
            every_s=rules.every_s,
            timezone=rules.timezone,
            missed=rules.missed,
            overlap=rules.overlap,
            labels=rules.labels,
            context=rules.context,
        )


__all__ = ["serve_command"]
