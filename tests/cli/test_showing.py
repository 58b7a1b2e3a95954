"""What agents say is shown as text: no terminal, table or file takes it as a command."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from agenticaiframework.actors import ActorSystem, printable
from agenticaiframework.cli.lines import Line, describe_error
from agenticaiframework.cli.main import main
from agenticaiframework.cli.progress import LiveProgress, PlainProgress
from agenticaiframework.cli.showing import json_text
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine, WorkflowFailed

NASTY = "[/INST] [link=http://x]a[/link] \x1b]52;c;aGk=\x07\x1b[31m\x9b2J \u202egnp.exe [bold]"


def test_commands_for_a_terminal_are_shown() -> None:
    shown = printable(NASTY)
    assert "[/INST]" in shown
    assert "\\u001b]52" in shown
    assert "\\u009b2J" in shown
    assert "\\u202e" in shown
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in shown)
    assert printable("tab\tand\nline, é, 日本") == "tab\tand\nline, é, 日本"


def test_an_error_is_one_line_that_says_what_is_wrong_and_no_key() -> None:
    class Order(BaseModel):
        word: str

    with pytest.raises(ValidationError) as wrong:
        Order.model_validate({"word": 1})
    assert describe_error(wrong.value) == (
        "1 validation error for Order: word: Input should be a valid string"
    )
    assert describe_error(ValueError("key sk-abcdefghijklmnop\nand more")) == "key sk-***"
    assert describe_error(ValueError()) == "ValueError"
    assert len(describe_error(ValueError("x" * 500))) == 100


def test_json_stays_json() -> None:
    value = {"a": [float("nan"), float("inf"), NASTY], "b": object}
    text = printable(json_text(value))
    assert json.loads(text)["a"] == ["nan", "inf", NASTY]


def test_a_progress_shows_texts_as_texts() -> None:
    from rich.console import Console

    plain, live = io.StringIO(), io.StringIO()
    line = Line(NASTY, NASTY, "bad")
    with PlainProgress(lambda: 0.0, plain, {}) as progress:
        progress.note(line)
    console = Console(file=live, force_terminal=True, color_system=None, width=200)
    with LiveProgress(lambda: 0.0, console, {NASTY: NASTY}) as table:
        table.note(line)
    for out in (plain.getvalue(), live.getvalue()):
        assert "[/INST]" in out
        assert "\x1b]52" not in out
        assert "\x9b" not in out
        assert "\u202e" not in out


@pytest.mark.parametrize("terminal", [False, True])
def test_a_list_shows_whatever_an_agent_has_said(
    terminal: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"

    def fail(payload: object) -> object:
        raise ValueError(NASTY)

    async def work() -> None:
        engine = OrchestrationEngine(EngineConfig(state_store=url))
        engine.register_agent("fail", fail)
        workflow = {"name": NASTY, "steps": [{"id": "a", "agent": "fail"}]}
        async with ActorSystem(), engine:
            with pytest.raises(WorkflowFailed):
                await engine.execute(workflow, {}, persist_state=True, workflow_id="w\x1b[31m")

    asyncio.run(work())
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", "400")
    assert main(["workflows", "list", "--store", url]) == 0
    assert main(["workflows", "show", "w\x1b[31m", "--store", url]) == 0
    out = capsys.readouterr().out
    assert "[/INST]" in out
    for command in ("\x1b]52", "\x9b", "\u202e", "w\x1b"):
        assert command not in out


@pytest.mark.parametrize(
    "tokens",
    [
        ["workflows", "list", "--limit", str(1 << 70)],
        ["workflows", "list", "--limit", "0"],
        ["workflows", "list", "--page", "9" * 5000],
        ["workflows", "list", "--page", "-1"],
        ["workflows", "signal", "w", "go", "--payload", "[" * 100_000],
        ["workflows", "signal", "w", "go", "--payload", "9" * 5000],
        ["workflows", "signal", "w", "go", "--payload", '{"a": 1, "a": 2}'],
        ["run", "DEEP.yaml"],
        ["run", "DEEP.json"],
        ["check", "HUGE.yaml"],
        ["check", "nul\0.yaml"],
        ["graph", "."],
        ["run", "DEEP.yaml", "--input", "@DEEP.json"],
        ["run", "DEEP.yaml", "--input", "x:=" + "[" * 100_000],
    ],
)
def test_no_argument_and_no_file_is_answered_with_a_traceback(
    tokens: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "DEEP.yaml").write_text("[" * 100_000)
    (tmp_path / "DEEP.json").write_text('{"a":' * 100_000)
    (tmp_path / "HUGE.yaml").write_text("a: " + "9" * 100_000 + "\nb: 2001-99-99\n")
    store = ["--store", f"sqlite:///{tmp_path}/jobs.db"] if tokens[0] == "workflows" else []
    if store:
        assert main(["store", "migrate", *store]) == 0
    capsys.readouterr()
    assert main([*tokens, *store]) == 2
    said = capsys.readouterr().err
    assert said.startswith("agenticaiframework: ")
    assert "Traceback" not in said
    assert len(said) < 250_000
