"""What a project file says of its model agents is what they do: run from YAML by the command."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cyclopts")
pytest.importorskip("pydantic_ai")
yaml = pytest.importorskip("yaml")

from agenticaiframework.cli import main
from agenticaiframework.testing import scripted_model

SERVER = """
import sys
from mcp.server.mcpserver import MCPServer

server = MCPServer("shelf", log_level="CRITICAL")
print("shelf is up \\x1b[31m", file=sys.stderr, flush=True)


@server.tool()
def shelf_of(title: str) -> str:
    \"\"\"Tell where a book stands.\"\"\"
    return f"{title} stands on shelf 7"


server.run()
"""

PARTS = """
from dataclasses import dataclass
from pydantic import BaseModel
from agenticaiframework import Guardrail
from agenticaiframework.models import History

memory = History(max_messages=2)


class Report(BaseModel):
    title: str
    pages: int


def count_pages(title: str) -> int:
    \"\"\"Count a book's pages.\"\"\"
    return len(title) * 10


def no_secrets(answer):
    if "secret" in str(answer):
        return False


late = Guardrail(no_secrets, when="after")
"""


class Folder:
    """A project file with its Python module and its MCP server, run by the command."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.module = f"parts_of_{path.name.replace('-', '_')}"
        (path / "server.py").write_text(SERVER, encoding="utf-8")
        (path / f"{self.module}.py").write_text(textwrap.dedent(PARTS), encoding="utf-8")
        self.file = path / "project.yaml"

    def write(self, *steps: dict[str, Any], **agent: Any) -> str:
        """Write a project of the one agent `clerk`, which each of *steps* asks."""
        data = {
            "agents": {"clerk": {"model": "scripted", **agent}},
            "workflow": {
                "name": "books",
                "steps": [{"agent": "clerk", **step} for step in steps or [{"id": "only"}]],
            },
        }
        text = yaml.safe_dump(data, sort_keys=False).replace("parts:", f"{self.module}:")
        self.file.write_text(text, encoding="utf-8")
        return str(self.file)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def run(file: str, script: Callable[[Any], Any], *options: str) -> int:
    with scripted_model(script):
        return main(["run", file, *options])


def test_functions_and_mcp_servers_are_tools(
    folder: Folder, capfd: pytest.CaptureFixture[str]
) -> None:
    server = {"command": sys.executable, "args": [str(folder.path / "server.py")]}
    file = folder.write(tools=["parts:count_pages"], mcp={"shelf": server})

    def script(request: Any) -> Any:
        if not request.results:
            return [
                request.call("count_pages", title="Emma"),
                request.call("shelf_of", title="Emma"),
            ]
        return " and ".join(str(each.result) for each in request.results)

    assert run(file, script, "--json") == 0
    said = capfd.readouterr()
    assert json.loads(said.out) == {"only": "40 and Emma stands on shelf 7"}
    assert "shelf is up" not in said.out + said.err, "a server's log is not the command's"


def test_calls_of_tools_and_what_they_return_are_streamed(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder.write(tools=["parts:count_pages"])

    def script(request: Any) -> Any:
        if not request.results:
            return request.call("count_pages", title="\x1b]0;mine\x07[bold]")
        return iter(["Emma has ", "40 pages.\n", "That is\x1b[2J short.\n", "The end"])

    assert run(file, script, "--stream") == 0
    said = capsys.readouterr()
    assert said.out == "Emma has 40 pages.\nThat is\\u001b[2J short.\nThe end\n"
    lines = [line[10:] for line in said.err.splitlines()]
    begin = lines.index("only: clerk at work")
    assert lines[begin + 1 : begin + 7] == [
        'only: calls count_pages {"title": "\\u001b]0;mine\\u0007[bold]"}',
        "only: count_pages returned 150",
        "only | Emma has 40 pages.",
        "only | That is\\u001b[2J short.",
        "only | The end",
        "only: done",
    ]
    assert lines[-1].startswith("run: spent 2 requests")


def test_an_output_type_is_a_class_of_the_projects(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder.write(output_type="parts:Report")
    answers = iter([{"title": "Emma", "pages": "many"}, {"title": "Emma", "pages": 40}])
    assert run(file, lambda request: next(answers), "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"only": {"title": "Emma", "pages": 40}}


def test_guardrails_of_the_project_stop_an_answer(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder.write(guardrails=["parts:no_secrets", "parts:late"])
    assert run(file, lambda request: "no news", "--json") == 0
    assert run(file, lambda request: "a secret") == 1
    assert "no_secrets" in capsys.readouterr().err


def test_usage_limits_stop_a_run(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder.write(tools=["parts:count_pages"], usage_limits={"request_limit": 2})
    assert run(file, lambda request: request.call("count_pages", title="Emma")) == 1
    assert "request_limit" in capsys.readouterr().err


@pytest.mark.parametrize("history", ["parts:memory", {"max_messages": 2}])
@pytest.mark.parametrize("named", [True, False])
def test_a_session_goes_on_in_the_next_step(
    history: Any, named: bool, folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    session = {"session": "user-1"} if named else {}
    steps = [{"id": name, "input": {"n": name}, **session} for name in ("a", "b", "c")]
    file = folder.write(*steps, history=history)
    options = [] if named else ["--session", "user-1"]
    assert run(file, lambda request: f"saw {len(request.history)}", "--json", *options) == 0
    assert json.loads(capsys.readouterr().out) == {"a": "saw 0", "b": "saw 2", "c": "saw 2"}


def test_fallback_models_are_asked_where_the_first_does_not_answer(
    folder: Folder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1")
    file = folder.write(model="openai:gpt-4o-mini", fallback_models=["scripted"])
    assert main(["run", file, "--json"]) == 0
    assert "[clerk]" in json.loads(capsys.readouterr().out)["only"]


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        ({"tools": ["parts:count_page"]}, ["agents.clerk.tools", "'count_pages'"]),
        ({"tools": ["clrk:x:y"]}, ["line", "agents.clerk.tools", "my_tools:search"]),
        ({"tools": ["clerc"]}, ["agents.clerk.tools", "'clerc'", "'clerk'"]),
        ({"tools": [{"functoin": "parts:count_pages"}]}, ["'functoin'", "'function'"]),
        ({"mcp": {"comand": "python"}}, ["agents.clerk.mcp", "line"]),
        ({"mcp": {"a": {"command": "x", "arg": []}}}, ["line", "'arg'", "'args'"]),
        ({"output_type": "parts:Reprot"}, ["agents.clerk.output_type", "'Report'"]),
        ({"guardrails": ["parts:no_secret"]}, ["agents.clerk.guardrails", "'no_secrets'"]),
        ({"guardrail": ["parts:no_secrets"]}, ["line", "'guardrail'", "'guardrails'"]),
        ({"usage_limits": {"request_limits": 2}}, ["line", "'request_limit'"]),
        ({"usage_limits": {"request_limit": "two"}}, ["line", "usage_limits", "two"]),
        ({"history": {"max_message": 2}}, ["line", "'max_messages'"]),
        ({"history": "parts:memry"}, ["agents.clerk.history", "'memory'"]),
        ({"fallback_models": ["gpt5x"]}, ["line", "fallback_models", "'gpt5x'"]),
        ({"model_settings": {"temprature": 1}}, ["line", "'temperature'"]),
        ({"session": "x"}, ["line", "'session'"]),
    ],
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_what_is_wrong_is_told_with_its_place_and_what_is_near(
    agent: dict[str, Any],
    said: list[str],
    command: str,
    folder: Folder,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([command, folder.write(**agent)]) == 2
    told = capsys.readouterr().err
    for part in said:
        assert part in told, told
    assert "Traceback" not in told
