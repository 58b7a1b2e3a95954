"""How the progress of a run is shown: plain lines in a pipe, a live table in a terminal.

What agents say while they work is shown too: in a terminal its last lines under the table, and with
``streams`` all of it, above the table or among the plain lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import IO, TYPE_CHECKING, Protocol, Self

from agenticaiframework.actors import printable
from agenticaiframework.patterns.engine import EventKind, WorkflowEvent

from .answers import Answers, Saying
from .aside import Aside
from .lines import Line, restart_line, supervision_line, workflow_line
from .output import results
from .showing import say

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from agenticaiframework.supervision import SupervisorReport

Clock = Callable[[], float]

_STYLES = {
    "quiet": "dim",
    "good": "green",
    "bad": "red",
    "notice": "yellow",
    "said": "",
    "thought": "dim italic",
    "tool": "magenta",
}

_MARKS = {"said": " |", "thought": " ~"}
"""Between a subject and what is said, where that is not of the command itself."""
_INDENT = 10
"""Columns before a line: those of its time."""
_AT_ONCE = 3
"""Answers under way that are shown at once, the latest."""
_LAST_LINES = 3


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

    def __init__(
        self, clock: Clock, out: IO[str], steps: Mapping[str, str], *, streams: bool = False
    ) -> None:
        self._clock = clock
        self._out = out
        self._steps = steps
        self._answers = Answers(texts=True) if streams else None
        self._began = clock()

    def __enter__(self) -> Self:
        self._began = self._clock()
        return self

    def __exit__(self, *_: object) -> None:
        self._out.flush()

    def workflow(self, event: WorkflowEvent) -> None:
        """Print the event's line, and those of answers that it makes whole."""
        if self._answers is not None:
            for line in self._answers.take(event):
                self._print(line)
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
            mark = _MARKS.get(line.tone, ":")
            say(f"{seconds:7.1f}s  {line.subject}{mark} {line.said}", out=self._out)


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
    EventKind.STEP_PARKED: "waits for an answer",
    EventKind.STEP_SLEEPING: "sleeping",
    EventKind.STEP_CANCELLED: "cancelled",
}
_WORD_STYLES = {"done": "green", "failed": "red", "running": "cyan", "retrying": "yellow"}


class LiveProgress:
    """A table of the steps that is redrawn in place, with the lines of what happened above it.

    With *streams* what agents say stands above it too, else (unless that is False) its last lines
    below it, while it is being said. What others write to *aside* is shown above it as lines.
    """

    def __init__(
        self,
        clock: Clock,
        console: Console,
        steps: Mapping[str, str],
        *,
        streams: bool | None = None,
        aside: Aside | None = None,
    ) -> None:
        from rich.live import Live

        self._clock = clock
        self._console = console
        self._rows = {step: _Row(agent) for step, agent in steps.items()}
        self._began = clock()
        self._restarts = 0
        self._width = max(20, console.width - _INDENT)
        self._answers: Answers | None = None
        if streams is not False:
            self._answers = Answers(texts=streams is True, width=self._width)
        self._speaker: str | None = None
        self._aside = aside
        # Redrawn by `tick` on the loop's thread: no thread of its own that could outlive the run.
        self._live = Live(self._shown(), console=console, auto_refresh=False, redirect_stderr=False)

    def __enter__(self) -> Self:
        self._began = self._clock()
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.tick()
        self._live.stop()
        if self._aside is not None:
            self._aside.close()

    def workflow(self, event: WorkflowEvent) -> None:
        """Show the event as a line, and in its step's row."""
        if self._answers is not None:
            for line in self._answers.take(event):
                self._show(line)
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
        if self._aside is not None:
            self._print_aside(self._aside.read())
        self._live.update(self._shown(), refresh=True)

    def _print_aside(self, lines: list[str]) -> None:
        from rich.text import Text

        for line in lines:
            self._speaker = None
            self._live.console.print(Text(" " * _INDENT + printable(line), style="dim"))

    def _show(self, line: Line | None) -> None:
        if line is None:
            return
        from rich.text import Text

        says = line.tone in _MARKS
        said = Text(printable(line.said), style=_STYLES[line.tone])
        if says and line.subject == self._speaker:
            self._print_below(said)
            return
        self._speaker = line.subject if says else None
        text = Text().append(f"{self._clock() - self._began:7.1f}s  ", style="dim")
        text.append(f"{printable(line.subject)}:", style="bold")
        if says:
            self._live.console.print(text)
            self._print_below(said)
            return
        text.append(" ").append_text(said)
        first, *others = text.wrap(self._console, self._console.width)
        self._live.console.print(first)
        for folded in others:
            folded.rstrip()  # what was folded keeps its space
        rest = Text(" ").join(others)
        if rest:
            self._print_below(rest)
        else:
            self.tick()

    def _print_below(self, text: Text) -> None:
        """Print *text* under a line's subject, folded between words."""
        for line in text.wrap(self._console, self._width):
            line.pad_left(_INDENT)
            self._live.console.print(line)
        self.tick()

    def _shown(self) -> RenderableType:
        """Return the table, and under it the last lines of what is being said."""
        saying = [] if self._answers is None else self._answers.under_way[-_AT_ONCE:]
        if not saying:
            return self._table()
        from rich.console import Group

        return Group(self._table(), *(self._latest_of(one) for one in saying))

    def _latest_of(self, saying: Saying) -> RenderableType:
        from rich.text import Text

        begins = Text().append(f"{printable(saying.subject)} ", style="bold")
        begins.append("thinks" if saying.thinks else "says", style="dim")
        text = Text(printable(" ".join(saying.latest.split())), style="italic dim")
        lines = text.wrap(self._console, self._width)[-_LAST_LINES:]
        for line in lines:
            line.pad_left(2)
            begins.append("\n").append_text(line)
        return begins

    def _table(self) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

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
                Text(printable(step)),
                f"[{_WORD_STYLES.get(row.word, 'dim')}]{row.word}[/]",
                Text(printable(row.agent)),
                str(row.attempts or ""),
                spent,
            )
        return table


def make_progress(
    clock: Clock,
    steps: Mapping[str, str],
    out: IO[str] | None = None,
    *,
    streams: bool | None = None,
) -> Progress:
    """Return the progress that suits *out* (standard output): live in a terminal, else plain.

    *steps* has the workflow's steps in order, each with the agent that works on it. With *streams* all
    that agents say is shown while they say it; with None its last lines are, in a terminal.
    """
    stream = results() if out is None else out
    if not stream.isatty():
        return PlainProgress(clock, stream, steps, streams=bool(streams))
    from rich.console import Console

    aside = Aside(stream)
    console = Console(file=aside.terminal)
    return LiveProgress(clock, console, steps, streams=streams, aside=aside)
