"""Each example is run as a process of its own, and prints what its docstring says."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("pydantic_ai")

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = [
    path
    for folder in ("models", "gallery")
    for path in sorted((EXAMPLES / folder).glob("*.py"))
    if path.stem != "loopback"
]


def said_of(program: Path) -> tuple[str, str]:
    """Return the first line of the docstring, and the output that stands at its end."""
    text = ast.get_docstring(ast.parse(program.read_text("utf-8"))) or ""
    first, _, rest = text.partition("\n")
    command = f"python examples/{program.parent.name}/{program.name}"
    assert f"{command}\n\n" in rest, f"{program.name} does not say how it is run"
    return first, textwrap.dedent(rest.split(f"{command}\n\n", 1)[1])


def beyond_warnings(stderr: str) -> list[str]:
    """Return the lines that belong to no record of a usual level: a crash has its traceback in it."""
    left: list[str] = []
    level = ""
    for line in stderr.splitlines():
        record = re.match(r"\d{4}-\d\d-\d\d \S+ \| (\w+) +\|", line)
        level = record[1] if record else level
        if level not in ("INFO", "WARNING"):
            left.append(line)
    return left


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_an_example_prints_what_its_docstring_says(program: Path, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}
    ran = subprocess.run(
        [sys.executable, str(program)],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=tmp_path,
        env=environment,
    )
    logged = beyond_warnings(ran.stderr)
    assert (ran.returncode, logged) == (0, [])
    assert ran.stdout.strip() == said_of(program)[1].strip()
    assert list(tmp_path.iterdir()) == [], "an example leaves nothing behind"


def test_the_index_has_each_example_with_its_output() -> None:
    index = (EXAMPLES / "README.md").read_text("utf-8")
    sections = re.findall(
        r"### \[(\S+)\]\(\1\)\n\n([^\n]+)\n\n```text\n(.*?)\n```", index, re.DOTALL
    )
    wanted = [
        (f"{program.parent.name}/{program.name}", said_of(program)[0], said_of(program)[1].rstrip())
        for program in PROGRAMS
        if program.parent.name == "models"  # the gallery has a page of its own
    ]
    assert sections == wanted
