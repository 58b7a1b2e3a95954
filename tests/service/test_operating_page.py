"""The page about operating a service: its blocks run as programs of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "operating.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = list(re.finditer(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("block", BLOCKS, ids=lambda b: f"line {TEXT.count(chr(10), 0, b.start())}")
def test_a_block_runs(block: re.Match[str], tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(block[1], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
