"""What docs/command-line.md shows is what the command does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("cyclopts")

from agenticaiframework.cli import main
from agenticaiframework.cli.app import app

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"


def test_the_pages_project_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    file = tmp_path / "project.yaml"
    file.write_text(project, encoding="utf-8")
    (tmp_path / "my_agents.py").write_text("def answer(payload):\n    return payload\n")
    assert main(["run", str(file), "--input", "query=tea", "--json"]) == 0
    assert '"billing"' in capsys.readouterr().out


def test_the_page_names_every_command() -> None:
    rows = re.findall(r"^\| `([a-z]+(?: [a-z]+)?)", PAGE.read_text("utf-8"), re.MULTILINE)
    commands = {name for name in app if not name.startswith("-")} - {"workflows"}
    commands |= {f"workflows {name}" for name in app["workflows"] if not name.startswith("-")}
    assert set(rows) == commands


def test_the_pages_code_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    text = PAGE.read_text("utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (said,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    names = {"__name__": "page"}
    exec(compile(block, str(PAGE), "exec"), names)
    assert capsys.readouterr().out == said
