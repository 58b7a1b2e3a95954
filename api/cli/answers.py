"""Answers that come in parts, as lines: what agents say, what they think, and the tools that they call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from agenticaiframework.actors import Answer, TextDelta, ThinkingDelta, ToolCall, ToolResult
from agenticaiframework.patterns import Chunk, Ended, Finished, Started
from agenticaiframework.patterns.engine import EventKind, WorkflowEvent

from .lines import Line
from .showing import json_text

LONGEST: Final = 100
"""Characters of a line, of a call's arguments and of its result."""

_KEPT: Final = 4_000
_ENDS: Final = frozenset(
    {
        *(EventKind.STEP_COMPLETED, EventKind.STEP_FAILED, EventKind.STEP_CANCELLED),
        *(EventKind.STEP_RETRYING, EventKind.STEP_PARKED, EventKind.STEP_ITERATED),
    }
)


@dataclass(slots=True)
class Saying:
    """What one piece of work says now: the text of which no line has been made, and its last characters."""

    subject: str
    thinks: bool = False
    rest: str = ""
    latest: str = ""


class Answers:
    """Makes lines of the parts of answers, each as soon as it is whole.

    Owned by the loop's thread. With *texts* what agents say and think becomes lines; else the lines
    are of tools alone, and what is said is in `under_way` until its work has ended.
    """

    def __init__(self, *, texts: bool, width: int = LONGEST) -> None:
        self._texts = texts
        self._width = width
        self._sayings: dict[tuple[str, tuple[str, ...], str], Saying] = {}

    @property
    def under_way(self) -> list[Saying]:
        """What is being said, the longest silent first."""
        return list(self._sayings.values())

    def take(self, event: WorkflowEvent) -> Iterator[Line]:
        """Yield the lines that *event* makes whole."""
        if event.kind is EventKind.WORK:
            yield from self._take_work(event.step, event.data)
        elif event.kind is EventKind.ITEM_COMPLETED:
            yield from self._end(event.step, f"{event.step}[{event.data.get('item')}]")
        elif event.kind in _ENDS:
            yield from self._end(event.step, None)

    def _take_work(self, step: str, event: Any) -> Iterator[Line]:
        match event:
            case Chunk(path=path, work=work, data=data):
                yield from self._take_part((step, path, work), data)
            case Started(work=work) | Ended(work=work) | Finished(work=work):
                yield from self._end(step, work)
            case _:
                return

    def _take_part(self, key: tuple[str, tuple[str, ...], str], part: Any) -> Iterator[Line]:
        subject = subject_of(key[0], key[2])
        match part:
            case TextDelta(text=text) | str(text):
                yield from self._say(key, subject, text, thinks=False)
            case ThinkingDelta(text=text):
                yield from self._say(key, subject, text, thinks=True)
            case Answer():
                return
            case _:
                saying = self._sayings.pop(key, None)
                if saying is not None:
                    yield from self._rest_of(saying)
                yield part_line(subject, part)

    def _say(
        self, key: tuple[str, tuple[str, ...], str], subject: str, text: str, *, thinks: bool
    ) -> Iterator[Line]:
        saying = self._sayings.pop(key, None)
        if saying is not None and saying.thinks is not thinks:
            yield from self._rest_of(saying)
            saying = None
        if saying is None:
            saying = Saying(subject, thinks)
        self._sayings[key] = saying  # last: the one that has spoken last
        saying.latest = (saying.latest + text)[-_KEPT:]
        if self._texts:
            lines, saying.rest = cut(saying.rest + text, self._width)
            yield from (_said(saying, line) for line in lines)

    def _end(self, step: str, work: str | None) -> Iterator[Line]:
        for key in [k for k in self._sayings if k[0] == step and work in (None, k[2])]:
            yield from self._rest_of(self._sayings.pop(key))

    def _rest_of(self, saying: Saying) -> Iterator[Line]:
        if saying.rest.strip():
            yield _said(saying, saying.rest)


def subject_of(step: str, work: str) -> str:
    """Return the name of a piece of work in a step, as lines begin with it."""
    if not work or work.startswith(step):
        return work or step
    return f"{step} > {work}"


def part_line(subject: str, part: Any) -> Line:
    """Return the line for a call of a tool, for what it returned, or for a part of a handler's own."""
    match part:
        case ToolCall(tool=tool, arguments=arguments):
            return Line(subject, f"calls {tool} {short(arguments)}", "tool")
        case ToolResult(tool=tool, error=str(error)):
            return Line(subject, f"{tool} failed: {short(error)}", "notice")
        case ToolResult(tool=tool, result=result):
            return Line(subject, f"{tool} returned {short(result)}", "tool")
        case _:
            return Line(subject, short(part), "said")


def short(value: Any) -> str:
    """Return *value* in one line, shortened."""
    text = value if isinstance(value, str) else json_text(value, indent=None)
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."


def cut(text: str, width: int) -> tuple[list[str], str]:
    """Return the lines of *text* that are whole, of at most *width* characters, and the rest.

    >>> cut("one two three four", 9)
    (['one two', 'three'], 'four')
    """
    lines: list[str] = []
    *whole, rest = text.split("\n")
    for paragraph in whole:
        cut_lines, last = _wrap(paragraph, width)
        lines += [*cut_lines, last]
    cut_lines, rest = _wrap(rest, width)
    return [*lines, *cut_lines], rest


def _wrap(text: str, width: int) -> tuple[list[str], str]:
    lines: list[str] = []
    while len(text) > width:
        at = text.rfind(" ", 1, width + 1)
        end, begin = (width, width) if at < 0 else (at, at + 1)
        lines.append(text[:end])
        text = text[begin:]
    return lines, text


def _said(saying: Saying, text: str) -> Line:
    return Line(saying.subject, text.rstrip(), "thought" if saying.thinks else "said")
