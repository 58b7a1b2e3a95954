"""The blocks of docs/operating.md about logs run, and print what stands below them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "operating.md"

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the pages are not here")

_PAIR = re.compile(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_TITLE = "## Logs\n"


def section() -> str:
    return PAGE.read_text("utf-8").partition(_TITLE)[2].partition("\n## ")[0]


def run(block: str, folder: Path) -> str:
    """Return what *block* prints as a program, without what differs from one run to the next."""
    (folder / "service.py").write_text(block, encoding="utf-8")
    # Where the checkout is found by its path, its parent's is all that the child has.
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "service.py"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return alike(done.stdout)


def alike(text: str) -> str:
    """Return *text* without what differs from one machine, and one moment, to the next."""
    text = re.sub(r'File ".*?service\.py"', 'File "service.py"', text)
    text = re.sub(r"(sqlite:///)?/[\w.-]+(?:/[\w.-]+)*/volume", r"\1/srv/volume", text)
    # Whichever notices it first: what reads the file, or what writes into it.
    text = re.sub(
        r"failed while committing: the file was deleted; stop its users and start them again",
        r"failed while opening: there is no folder '/srv/volume'",
        text,
    )
    text = _SUMS.sub(added_up, text)
    text = re.sub(r"after [\d.]+ s \(\d+ (try|tries) failed", "after 1.6 s (4 tries failed", text)
    return re.sub(r"more in [\d.]+ s", "more in 0.9 s", text)


_SUMS = re.compile(r"(?:^WARNING desk/editor: crash: \d+ more in .*\n)+", re.MULTILINE)


def added_up(sums: re.Match[str]) -> str:
    """Return one line for several: where a thousand crashes take long, they are summed up more often."""
    count = sum(map(int, re.findall(r"crash: (\d+) more", sums[0])))
    first = sums[0].partition("\n")[0]
    return re.sub(r"\d+ more in (.*): \d+ of", rf"{count} more in \1: {count} of", first) + "\n"


PAIRS = _PAIR.findall(section()) if PAGE.is_file() else []


@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_a_block_prints_the_log_below_it(number: int, tmp_path: Path) -> None:
    block, said = PAIRS[number]
    assert run(block, tmp_path) == alike(said)


def test_there_is_the_log_of_a_crash_of_an_outage_and_of_a_storm() -> None:
    said = [text for _block, text in PAIRS]
    assert ["child terminated" in text for text in said] == [True, False, True]
    assert "answers again" in said[1]
    assert "997 more in" in said[2]


def test_the_other_blocks_run(tmp_path: Path) -> None:
    told = {block for block, _said in PAIRS}
    for block in _BLOCK.findall(section()):
        if block not in told:
            run(block, tmp_path)


if __name__ == "__main__":  # writes what the blocks print into the page

    def written(found: re.Match[str]) -> str:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            said = run(found[1], Path(folder))
        return f"```python\n{found[1]}```\n\n```text\n{said}```"

    PAGE.write_text(_PAIR.sub(written, PAGE.read_text("utf-8")), encoding="utf-8")
