"""`agenticaiframework run`: a project's workflow, from its input to its result."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

from agenticaiframework.actors import SESSION, ActorSystem, AgenticError, printable, running_here
from agenticaiframework.models import close_local_models
from agenticaiframework.patterns import target_name
from agenticaiframework.patterns.engine import (
    EventKind,
    OrchestrationEngine,
    StepDefinition,
    WorkflowResult,
    WorkflowStream,
)
from agenticaiframework.supervision import SupervisorReport

from .inputs import check_input, read_inputs
from .interrupts import run_interruptible
from .lines import Line, spent_line
from .output import results, results_alone
from .progress import Progress, make_progress
from .project import ProjectDefinition, load_project
from .project.build import Project, build_from_file, check_models
from .project.crash import Crash, read_crash
from .queueing import BadPlace, Place, left_lines, waiting_lines
from .showing import json_text, say, say_json

Begin = Callable[[OrchestrationEngine], Awaitable[WorkflowStream]]
"""Starts or resumes a run in an engine, and returns its events."""

EXIT_OK = 0
EXIT_NO_CRASH = 3

# Fast enough for seconds with one decimal, slow enough to cost nothing.
_TICK_S = 0.1
# Longer than a reader of events needs to catch up, too short to be seen.
_MOMENT_S = 0.03


@results_alone()
def run_command(
    file: Path,
    *,
    inputs: list[str],
    model: str | None,
    crash: str | None,
    persist: bool | None,
    as_json: bool,
    session: str | None = None,
    stream: bool | None = None,
    place: Place = Place(),  # noqa: B008  (it is immutable)
) -> int:
    """Run the project in *file*, print its progress and result, and return the exit code.

    With a *place* in a queue the run is put in there, and followed wherever it is taken.
    """
    place.check(persist)
    definition = load_project(file)
    given = read_inputs(inputs)
    check_input(definition.workflow, given)

    async def begin(engine: OrchestrationEngine) -> WorkflowStream:
        try:
            return engine.stream(
                workflow=definition.workflow,
                input_data=dict(given),
                persist_state=persist,
                context=None if session is None else {SESSION: session},
                **place._asdict(),
            )
        except ValueError as error:
            raise BadPlace(str(error)) from error

    return run_to_the_end(
        file,
        definition,
        begin,
        model=model,
        crash=crash,
        as_json=as_json,
        stream=stream,
        queue=place.queue,
    )


def run_to_the_end(
    file: Path,
    definition: ProjectDefinition,
    begin: Begin,
    *,
    model: str | None = None,
    crash: str | None = None,
    as_json: bool = False,
    stream: bool | None = None,
    queue: str | None = None,
) -> int:
    """Run what *begin* starts or resumes, with the project's agents; return the exit code.

    With *stream* answers are shown while they are made. In *queue* the run waits first. Standard output
    is for the result alone, unless it is a terminal: ``run ... > report.txt`` writes the report.
    """
    fault = None if crash is None else read_crash(crash, definition.agents)
    check_models(definition, model)
    starts = Starts()
    project = build_from_file(definition, file, model=model, crash=fault, on_start=starts)
    steps = {step.id: _agent_of(step) for step in definition.workflow.steps}
    out = sys.stderr if as_json or not results().isatty() else results()
    progress = make_progress(time.monotonic, steps, out, streams=stream)

    def say(text: str) -> None:
        progress.note(Line("run", text, "notice"))

    try:
        with progress:
            result = run_interruptible(
                lambda: run_project(project, begin, progress, starts, queue), say
            )
            landed = fault is None or fault.landed
            if fault is not None and not landed:
                progress.note(_never_happened(fault))
    finally:
        close_local_models()
    print_result(result, as_json)
    return EXIT_OK if landed else EXIT_NO_CRASH


class Starts:
    """Tells of every agent that is back: that one has started which takes the place of another.

    Called in whatever thread the agent runs; it tells on the event loop's.
    """

    def __init__(self) -> None:
        self._latest: dict[str, int] = {}
        self._tell: Callable[[str, int], object] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def tell(self, loop: asyncio.AbstractEventLoop, tell: Callable[[str, int], object]) -> None:
        """Call *tell* on *loop* with the agent and its incarnation, from now on."""
        self._loop, self._tell = loop, tell

    def __call__(self, agent: str) -> None:
        # An agent that handles several at once starts more of the same incarnation when it is busy.
        ref = running_here()
        incarnation = 1 if ref is None else ref.incarnation
        back = incarnation > self._latest.get(agent, 1)
        self._latest[agent] = incarnation
        if back and self._loop is not None and self._tell is not None:
            self._loop.call_soon_threadsafe(self._tell, agent, incarnation)


class Told:
    """Shows what the supervisors did a moment after it happened.

    A stream's events are read later than they happen; told at once, a crash would be shown before
    the work that it ended. Owned by the loop's thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], object]] = deque()

    def later(self, show: Callable[..., object], *what: object) -> None:
        """Call ``show(*what)`` in a moment, after what was to be shown earlier."""
        self._waiting.append(partial(show, *what))
        self._loop.call_later(_MOMENT_S, self._next)

    def flush(self) -> None:
        """Show at once whatever is left."""
        while self._waiting:
            self._next()

    def _next(self) -> None:
        if self._waiting:
            self._waiting.popleft()()


async def run_project(
    project: Project, begin: Begin, progress: Progress, starts: Starts, queue: str | None = None
) -> Any:
    """Return the result of the run whose events *begin* gives, showing *progress*.

    Its supervisors run meanwhile; at the end, whatever way it comes, everything that was started is
    stopped, the engine first.
    """
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(
            ActorSystem(name=project.definition.name or "project")
        )
        loop = asyncio.get_running_loop()
        told = Told(loop)
        stack.callback(told.flush)
        stack.callback(
            system.subscribe(
                lambda report: told.later(progress.supervision, report), SupervisorReport
            )
        )
        starts.tell(loop, partial(told.later, progress.restarted))
        ticking = asyncio.create_task(_tick(progress))
        stack.push_async_callback(_end, ticking)
        for supervisor in project.roots:
            stack.push_async_callback(supervisor.stop)
            await supervisor.start()
        engine = project.engine
        stack.push_async_callback(engine.stop)
        stream = await begin(engine)
        try:
            async for event in stream:
                if event.kind is EventKind.WORKFLOW_STARTED and queue is None:
                    progress.note(Line("run", event.workflow_id))
                progress.workflow(event)
                if event.kind is EventKind.WORKFLOW_QUEUED and queue is not None:
                    for line in await waiting_lines(engine, event.workflow_id, queue):
                        progress.note(line)
                spent = spent_line(event)
                if spent is not None:
                    progress.note(spent)
        except asyncio.CancelledError:
            if queue is not None and stream.workflow_id is not None:
                with suppress(AgenticError):  # it was interrupted, whatever else there is to say
                    for line in await left_lines(engine, stream.workflow_id):
                        progress.note(line)
            raise
        assert stream.workflow_id is not None, "a stream that has been read has its run"
        return await engine.wait(stream.workflow_id)


async def _tick(progress: Progress) -> None:
    while True:
        await asyncio.sleep(_TICK_S)
        progress.tick()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _agent_of(step: StepDefinition) -> str:
    return "" if step.target is None else target_name(step.target)


def _never_happened(fault: Crash) -> Line:
    times = "1 message" if fault.seen == 1 else f"{fault.seen} messages"
    said = f"--crash {fault} never happened: {fault.agent!r} got {times}"
    return Line("run", said, "bad")


def print_result(result: Any, as_json: bool) -> None:
    """Print the whole result as JSON, or for reading: that of the workflow's ``output``, or what the
    last step returned.
    """
    if as_json:
        say_json(result)
        return
    text = readable(result.output if isinstance(result, WorkflowResult) else result)
    if not results().isatty():
        say(text)
        return
    from rich.console import Console
    from rich.text import Text

    Console().print(Text(f"\n{printable(text)}"))  # folded between words


def readable(value: Any) -> str:
    """Return *value* for reading: the text of a mapping with one text, else indented JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        # `approved` is what ends a step's repetitions, and no part of what is read.
        values = [v for k, v in cast("Mapping[str, object]", value).items() if k != "approved"]
        if len(values) == 1 and isinstance(values[0], str):
            return values[0]
    return json_text(value)
