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
    groups = {"workflows", "store"}
    commands = {name for name in app if not name.startswith("-")} - groups
    for group in groups:
        commands |= {f"{group} {name}" for name in app[group] if not name.startswith("-")}
    assert set(rows) == commands
