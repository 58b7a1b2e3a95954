"""`agenticaiframework run`: a project's workflow, from its input to its result."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from agenticaiframework.actors import ActorSystem
from agenticaiframework.models import close_local_models
from agenticaiframework.patterns.engine import WorkflowResult
from agenticaiframework.supervision import SupervisorReport

from .inputs import read_inputs
from .interrupts import run_interruptible
from .lines import Line
from .progress import Progress, make_progress
from .project import load_project
from .project.build import Project, build_project, check_models
from .project.crash import Crash, read_crash

EXIT_OK = 0
EXIT_NO_CRASH = 3

# Fast enough for seconds with one decimal, slow enough to cost nothing.
_TICK_S = 0.1


def run_command(
    file: Path,
    *,
    inputs: list[str],
    model: str | None,
    crash: str | None,
    as_json: bool,
) -> int:
    """Run the project in *file*, print its progress and result, and return the exit code."""
    definition = load_project(file)
    given = read_inputs(inputs)
    fault = None if crash is None else read_crash(crash, definition.agents)
    check_models(definition, model)
    project = build_project(definition, file.resolve().parent, model=model, crash=fault)
    steps = [step.id for step in definition.workflow.steps]
    # With --json standard output is for the result alone.
    progress = make_progress(time.monotonic, steps, sys.stderr if as_json else sys.stdout)

    def say(text: str) -> None:
        progress.note(Line("run", text, "notice"))

    try:
        with progress:
            result = run_interruptible(lambda: run_project(project, given, progress), say)
            landed = fault is None or fault.landed
            if fault is not None and not landed:
                progress.note(_never_happened(fault))
    finally:
        close_local_models()
    print_result(result, as_json)
    return EXIT_OK if landed else EXIT_NO_CRASH


async def run_project(
    project: Project, given: Mapping[str, Any], progress: Progress
) -> WorkflowResult:
    """Return the result of the project's workflow, showing *progress*.

    Its supervisors run meanwhile; at the end, whatever way it comes, everything that was started is
    stopped, the engine first.
    """
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(
            ActorSystem(name=project.definition.name or "project")
        )
        stack.callback(system.subscribe(progress.supervision, SupervisorReport))
        ticking = asyncio.create_task(_tick(progress))
        stack.push_async_callback(_end, ticking)
        for supervisor in project.roots:
            stack.push_async_callback(supervisor.stop)
            await supervisor.start()
        engine = project.engine
        stack.push_async_callback(engine.stop)
        stream = engine.stream(workflow=project.definition.workflow, input_data=dict(given))
        async for event in stream:
            progress.workflow(event)
        assert stream.workflow_id is not None, "a stream that has been read has its run"
        return await engine.wait(stream.workflow_id)


async def _tick(progress: Progress) -> None:
    while True:
        await asyncio.sleep(_TICK_S)
        progress.tick()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _never_happened(fault: Crash) -> Line:
    times = "1 message" if fault.seen == 1 else f"{fault.seen} messages"
    said = f"--crash {fault} never happened: {fault.agent!r} got {times}"
    return Line("run", said, "bad")


def print_result(result: WorkflowResult, as_json: bool) -> None:
    """Print the whole result as JSON, or what the last step returned for reading."""
    if as_json:
        print(json.dumps(dict(result), ensure_ascii=False, indent=2, default=str))
        return
    print(f"\n{readable(result.output)}")


def readable(value: Any) -> str:
    """Return *value* for reading: the text of a mapping with one text, else indented JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and len(value) == 1:
        (only,) = value.values()
        if isinstance(only, str):
            return only
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)
