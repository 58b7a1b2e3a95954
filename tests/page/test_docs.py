"""Our own page has the page's blocks as they are, and the readme's example runs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from blocks import Block, read_blocks, run_block

ROOT = Path(__file__).parents[2]


def test_our_page_shows_every_block_as_it_is_tested() -> None:
    ours = {found.source for found in read_blocks(ROOT / "docs" / "orchestration.md")}
    missing = [found.title for found in read_blocks() if found.source not in ours]
    assert not missing


def test_the_readmes_example_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    (example, _) = read_blocks(ROOT / "README.md")
    source, _, run = example.source.rpartition("asyncio.run(main())")
    assert run == "\n"

    async def main() -> None:
        names = await run_block(Block(example.title, source, example.line))
        await names["main"]()

    asyncio.run(main())
    assert capsys.readouterr().out == "TEA, PLEASE\n"


def test_the_self_healing_example_shows_the_crash_and_the_return() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "self_healing.py")],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    assert "fetcher failed: https://broken.example does not answer" in done.stdout
    assert "and again: <page of https://example.org>" in done.stdout
    assert "running #2" in done.stdout
