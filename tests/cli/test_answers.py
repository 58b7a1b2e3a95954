"""What agents say while they work, in a pipe and in a terminal."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cyclopts")

from agenticaiframework.actors import TextDelta, ThinkingDelta, ToolCall, ToolResult
from agenticaiframework.cli.answers import Answers, cut, part_line
from agenticaiframework.cli.progress import LiveProgress
from agenticaiframework.patterns import Chunk
from agenticaiframework.patterns.engine import EventKind, WorkflowEvent


def chunk(part: Any, step: str = "write", work: str = "write") -> WorkflowEvent:
    return WorkflowEvent(EventKind.WORK, "w", step, 1, Chunk(0.0, ("flow",), work, part))


def ended(step: str = "write") -> WorkflowEvent:
    return WorkflowEvent(EventKind.STEP_COMPLETED, "w", step, 1)


def lines_of(answers: Answers, *events: WorkflowEvent) -> list[tuple[str, str, str]]:
    return [
        (line.subject, line.said, line.tone) for event in events for line in answers.take(event)
    ]


def test_a_line_is_made_as_soon_as_it_is_whole() -> None:
    answers = Answers(texts=True, width=20)
    assert lines_of(answers, chunk(TextDelta("one ")), chunk(TextDelta("two\nthr"))) == [
        ("write", "one two", "said")
    ]
    assert lines_of(answers, chunk(TextDelta("ee four five six seven"))) == [
        ("write", "three four five six", "said")
    ]
    assert lines_of(answers, ended()) == [("write", "seven", "said")]
    assert answers.under_way == []


def test_thoughts_and_tools_end_what_was_being_said() -> None:
    answers = Answers(texts=True)
    parts = [
        ThinkingDelta("hm"),
        TextDelta("so"),
        ToolCall("find", {"q": "x\ny"}, "c1"),
        ToolResult("find", "c1", [1, 2]),
        ToolResult("find", "c2", error="no\nluck"),
        {"own": 1},
    ]
    assert lines_of(answers, *map(chunk, parts)) == [
        ("write", "hm", "thought"),
        ("write", "so", "said"),
        ("write", 'calls find {"q": "x\\ny"}', "tool"),
        ("write", "find returned [1, 2]", "tool"),
        ("write", "find failed: no luck", "notice"),
        ("write", '{"own": 1}', "said"),
    ]


def test_items_and_roles_are_told_apart() -> None:
    answers = Answers(texts=True)
    said = lines_of(
        answers,
        chunk(TextDelta("a"), work="write[0]"),
        chunk(TextDelta("b"), work="write[1]"),
        chunk(TextDelta("c"), work="draft"),
        WorkflowEvent(EventKind.ITEM_COMPLETED, "w", "write", 1, {"item": 1}),
        ended(),
    )
    assert said == [
        ("write[1]", "b", "said"),
        ("write[0]", "a", "said"),
        ("write > draft", "c", "said"),
    ]


def test_long_words_and_values_are_cut() -> None:
    assert cut("x" * 25, 10) == (["x" * 10, "x" * 10], "x" * 5)
    assert len(part_line("s", ToolResult("t", "c", "y" * 5_000)).said) < 120


@pytest.mark.parametrize("streams", [True, None, False])
@pytest.mark.parametrize("width", [120, 40])
def test_a_terminal_shows_what_is_being_said(streams: bool | None, width: int) -> None:
    from rich.console import Console

    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system=None, width=width)
    with LiveProgress(lambda: 0.0, console, {"write": "writer"}, streams=streams) as progress:
        progress.workflow(chunk(TextDelta("rivers bend \x1b[2J[bold]" + " and bend" * 20)))
        progress.tick()
        shown = out.getvalue()
        progress.workflow(ended())
    assert ("write says" in shown) is (streams is not False)
    assert ("rivers bend" in out.getvalue().partition("write says")[0]) is (streams is True)
    assert "\x1b[2J" not in out.getvalue()
    if streams:
        assert "\\u001b[2J[bold]" in out.getvalue()


@pytest.mark.skipif(os.name == "nt", reason="pseudo-terminals are POSIX's")
def test_what_others_write_to_standard_error_stands_above_the_table(tmp_path: Path) -> None:
    module = f"noisy_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(
        "import os\n"
        "async def work(payload):\n"
        "    os.write(2, b'a warning\\x1b[2J of a library\\n')\n"
        "    return 'well done'\n"
    )
    (tmp_path / "p.yaml").write_text(
        f"agents: {{a: {{handler: '{module}:work'}}}}\n"
        "workflow: {name: w, steps: [{id: only, agent: a}]}\n"
    )
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "agenticaiframework", "run", str(tmp_path / "p.yaml")]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # the other end is closed
            pass
    os.close(ours)
    assert running.returncode == 0
    assert b"          a warning\\u001b[2J of a library" in shown
    assert b"well done" in shown
    assert b"\x1b[2J" not in shown
