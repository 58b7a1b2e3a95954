"""Another project's distribution has the same import name: what happens where both are installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import agenticaiframework
from agenticaiframework.actors import DISTRIBUTION

OURS = Path(agenticaiframework.__file__).parent


def foreign(folder: Path) -> None:
    """Install the other project's metadata into *folder*."""
    info = folder / "agenticaiframework-9.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: agenticaiframework\nVersion: 9.9\n", encoding="utf-8"
    )


def run(folder: Path, line: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", line],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_beside_the_other_distribution_an_import_warns_with_the_way_out(tmp_path: Path) -> None:
    foreign(tmp_path)
    done = run(tmp_path, "import agenticaiframework, agenticaiframework.orchestration")
    assert done.returncode == 0
    assert done.stderr.count("TwoDistributions") == 1
    assert "agenticaiframework 9.9" in done.stderr
    assert f"pip uninstall agenticaiframework {DISTRIBUTION}" in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "from agenticaiframework.orchestration import AgentSupervisor",
        "from agenticaiframework.actors import ActorSystem",
        "import agenticaiframework.testing.pytest_plugin",
        "import sys; from agenticaiframework.cli import main; sys.exit(main(['--version']))",
    ],
)
def test_under_the_other_package_it_does_not_start_and_says_why(tmp_path: Path, line: str) -> None:
    foreign(tmp_path)
    package = tmp_path / "agenticaiframework"
    package.mkdir()
    for each in OURS.iterdir():
        if each.name not in ("__init__.py", "__pycache__"):
            (package / each.name).symlink_to(each)
    (package / "__init__.py").write_text("class Agent: pass\n", encoding="utf-8")
    done = run(tmp_path, line)
    assert done.returncode != 0
    said = done.stderr.splitlines()[-1]
    assert f"does not give this library ({DISTRIBUTION})" in said
    assert f"pip uninstall agenticaiframework {DISTRIBUTION}" in said


def test_alone_nothing_is_said(tmp_path: Path) -> None:
    done = run(tmp_path, "import agenticaiframework as a; print(a.__distribution__)", "-W", "error")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", f"{DISTRIBUTION}\n")
