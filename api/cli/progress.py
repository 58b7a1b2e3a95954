"""How the progress of a run is shown: plain lines in a pipe, a live table in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import IO, TYPE_CHECKING, Protocol, Self

from agenticaiframework.patterns.engine import EventKind, WorkflowEvent

from .lines import Line, restart_line, supervision_line, workflow_line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from agenticaiframework.supervision import SupervisorReport

Clock = Callable[[], float]

_STYLES = {"quiet": "dim", "good": "green", "bad": "red", "notice": "yellow"}


class Progress(Protocol):
    """Shows what happens. Used as a context manager; called on the event loop's thread only."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

    def workflow(self, event: WorkflowEvent) -> None:
        """Show an event of the run."""
        ...

    def supervision(self, report: SupervisorReport) -> None:
        """Show what a supervisor did."""
        ...

    def restarted(self, agent: str, incarnation: int) -> None:
        """Show that an agent has been started again."""
        ...

    def note(self, line: Line) -> None:
        """Show a line of the command itself."""
        ...

    def tick(self) -> None:
        """Bring what depends on the time up to date."""
        ...


class PlainProgress:
    """One line for each event, with the seconds since the start: for pipes and logs."""

    def __init__(self, clock: Clock, out: IO[str], steps: Mapping[str, str]) -> None:
        self._clock = clock
        self._out = out
        self._steps = steps
        self._began = clock()

    def __enter__(self) -> Self:
        self._began = self._clock()
        return self

    def __exit__(self, *_: object) -> None:
        self._out.flush()

    def workflow(self, event: WorkflowEvent) -> None:
        """Print the event's line."""
        self._print(workflow_line(event, self._steps.get(event.step, "")))

    def supervision(self, report: SupervisorReport) -> None:
        """Print the report's line."""
        self._print(supervision_line(report))

    def restarted(self, agent: str, incarnation: int) -> None:
        """Print the restart's line."""
        self._print(restart_line(agent, incarnation))

    def note(self, line: Line) -> None:
        """Print *line*."""
        self._print(line)

    def tick(self) -> None:
        """Do nothing: a line that is printed stays."""

    def _print(self, line: Line | None) -> None:
        if line is not None:
            seconds = self._clock() - self._began
            print(f"{seconds:7.1f}s  {line.subject}: {line.said}", file=self._out, flush=True)


class _Row:
    """One step in the table."""

    __slots__ = ("agent", "attempts", "began", "ended", "word")

    def __init__(self, agent: str) -> None:
        self.word = "waiting"
        self.agent = agent
        self.attempts = 0
        self.began: float | None = None
        self.ended: float | None = None


_WORDS = {
    EventKind.STEP_STARTED: "running",
    EventKind.STEP_COMPLETED: "done",
    EventKind.STEP_FAILED: "failed",
    EventKind.STEP_SKIPPED: "skipped",
    EventKind.STEP_RETRYING: "retrying",
    EventKind.STEP_WAITING: "waits for a signal",
    EventKind.STEP_SLEEPING: "sleeping",
    EventKind.STEP_CANCELLED: "cancelled",
}
_WORD_STYLES = {"done": "green", "failed": "red", "running": "cyan", "retrying": "yellow"}


class LiveProgress:
    """A table of the steps that is redrawn in place, with the lines of what happened above it."""

    def __init__(self, clock: Clock, console: Console, steps: Mapping[str, str]) -> None:
        from rich.live import Live

        self._clock = clock
        self._console = console
        self._rows = {step: _Row(agent) for step, agent in steps.items()}
        self._began = clock()
        self._restarts = 0
        # Redrawn by `tick` on the loop's thread: no thread of its own that could outlive the run.
        self._live = Live(self._table(), console=console, auto_refresh=False, redirect_stderr=False)

    def __enter__(self) -> Self:
        self._began = self._clock()
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.tick()
        self._live.stop()

    def workflow(self, event: WorkflowEvent) -> None:
        """Show the event as a line, and in its step's row."""
        row = self._rows.get(event.step)
        if row is not None:
            word = _WORDS.get(event.kind)
            if word is not None:
                row.word = word
                if word == "running":
                    row.attempts = event.attempt
                    row.began = self._clock() if row.began is None else row.began
                row.ended = None if word in ("running", "retrying") else self._clock()
            elif event.kind is EventKind.WORK:
                row.agent = str(getattr(event.data, "agent", "") or row.agent)
        self._show(workflow_line(event, "" if row is None else row.agent))

    def supervision(self, report: SupervisorReport) -> None:
        """Show the report as a line."""
        self._show(supervision_line(report))

    def restarted(self, agent: str, incarnation: int) -> None:
        """Show the restart as a line, and count it."""
        self._restarts += 1
        self._show(restart_line(agent, incarnation))

    def note(self, line: Line) -> None:
        """Show *line*."""
        self._show(line)

    def tick(self) -> None:
        """Redraw the table with the seconds that have passed."""
        self._live.update(self._table(), refresh=True)

    def _show(self, line: Line | None) -> None:
        if line is None:
            return
        from rich.text import Text

        seconds = self._clock() - self._began
        text = Text(f"{seconds:7.1f}s  ", style="dim")
        text.append(f"{line.subject}: ", style="bold")
        text.append(line.said, style=_STYLES[line.tone])
        self._live.console.print(text)
        self.tick()

    def _table(self) -> RenderableType:
        from rich.table import Table

        now = self._clock()
        restarts = f", restarts: {self._restarts}" if self._restarts else ""
        table = Table(title=f"{now - self._began:.1f} s{restarts}", title_justify="left", box=None)
        for heading in ("step", "state", "agent", "attempts", "time"):
            table.add_column(
                heading, justify="right" if heading in ("agent", "attempts", "time") else "left"
            )
        for step, row in self._rows.items():
            spent = "" if row.began is None else f"{(row.ended or now) - row.began:.1f} s"
            table.add_row(
                step,
                f"[{_WORD_STYLES.get(row.word, 'dim')}]{row.word}[/]",
                row.agent,
                str(row.attempts or ""),
                spent,
            )
        return table


def make_progress(clock: Clock, steps: Mapping[str, str], out: IO[str] | None = None) -> Progress:
    """Return the progress that suits *out* (standard output): live in a terminal, else plain.

    *steps* has the workflow's steps in order, each with the agent that works on it.
    """
    stream = sys.stdout if out is None else out
    if not stream.isatty():
        return PlainProgress(clock, stream, steps)
    from rich.console import Console

    return LiveProgress(clock, Console(file=stream), steps)
