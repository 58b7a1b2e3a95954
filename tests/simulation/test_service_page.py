"""The page about a service under faults: its files as they stand, what they print, and its picture."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "service-under-faults.md"


def _in_order(shown: str, said: str) -> None:
    """Each line that is shown was printed, in this order; ``...`` stands for anything."""
    place = 0
    for line in shown.splitlines():
        for part in line.split("..."):
            if part.strip():
                found = said.find(part.strip(), place)
                assert found >= 0, f"{line!r} is not in\n{said}"
                place = found + len(part.strip())


def test_the_service_passes_its_race_is_found_and_the_picture_is_drawn(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    for title, source in re.findall(r'```python title="(.*?)"\n(.*?)```', text, re.DOTALL):
        (tmp_path / title).write_text(source, encoding="utf-8")
    consoles = re.findall(r"```console\n\$ python -m (.*?)\n(.*?)```", text, re.DOTALL)
    assert len(consoles) == 2
    for command, shown in consoles:
        done = subprocess.run(
            [sys.executable, "-m", *command.split(), "-p", "no:cacheprovider"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        _in_order(shown, done.stdout)
    (picture,) = re.findall(r"```mermaid\n(.*?)```", text, re.DOTALL)
    (drawn,) = (tmp_path / ".simulation").glob("*.mmd")
    assert drawn.read_text(encoding="utf-8") == picture
