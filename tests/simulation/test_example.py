"""The example and the tests in the documentation do what they say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    not (ROOT / "examples" / "simulation").exists(), reason="needs the source tree"
)


def pytest_in(folder: Path, *arguments: str) -> str:
    plugin = ["-p", "agenticaiframework.testing.pytest_plugin", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugin, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.stdout + done.stderr


def test_the_example_finds_shrinks_saves_and_replays_its_race(tmp_path: Path) -> None:
    for file in (ROOT / "examples" / "simulation").glob("*.py"):
        shutil.copy(file, tmp_path)
    found = pytest_in(tmp_path)
    assert "1 failed, 1 passed" in found, found
    assert "no seat is sold twice" in found
    assert "the smallest run that shows it has 1 faults" in found
    saved = tmp_path / ".simulation" / "test_booking.test_nobody_flies_without_a_seat.json"
    assert "sequenceDiagram" in saved.with_suffix(".mmd").read_text()
    replayed = pytest_in(tmp_path, "--sim-replay", str(saved))
    assert "1 failed, 1 deselected" in replayed, replayed
    assert "no seat is sold twice" in replayed


@pytest.mark.parametrize(
    ("block", "says"), [(0, "200 schedules"), (1, "1 passed"), (2, "1 passed")]
)
def test_the_tests_on_the_page_pass(tmp_path: Path, block: int, says: str) -> None:
    page = (ROOT / "docs" / "simulation.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 3
    (tmp_path / "test_page.py").write_text(blocks[block], encoding="utf-8")
    said = pytest_in(tmp_path)
    assert "1 passed" in said, said
    assert says in said, said
