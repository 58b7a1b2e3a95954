"""Every block of every page runs as it is shown, or says why it is not run."""

from __future__ import annotations

import gc
import json
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import run_page
from shown_blocks import DOCS, ROOT, RUN, Block, read_blocks
from walking import Astray

NEEDS = ("cyclopts", "fastapi", "jinja2", "prometheus_client", "psycopg", "pydantic_ai")

# Pages whose blocks are run in a way of their own, and the test that does so.
ELSEWHERE = {
    "docs/cluster.md": "tests/cluster/test_ray.py",
    "docs/gallery.md": "tests/models/test_examples.py",
    "docs/how-to/": "tests/site/test_guides.py",
    "docs/migrate/": "tests/site/test_guides.py",
    "docs/operating.md": "tests/service/test_operating_page.py",
    "docs/patterns/": "tests/patterns/test_gallery.py",
    "docs/simulation.md": "tests/simulation/test_example.py",
    "docs/tutorial/": "tests/site/test_tutorial.py",
}

# Languages of blocks that are shown and not run: outputs, charts, and commands for a machine of your own.
SHOWN = {"text", "txt", "mermaid", "sh", "bash", ""}

PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def runner_of(page: Path) -> str | None:
    """Return the test that runs the blocks of *page*, if it is not this one."""
    name = name_of(page)
    return next((test for begin, test in ELSEWHERE.items() if name.startswith(begin)), None)


def has_python(page: Path) -> bool:
    return any(block.language == "python" for block in read_blocks(page))


HERE = [page for page in PAGES if runner_of(page) is None and has_python(page)]


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be in an empty folder, and forget the page afterwards."""
    monkeypatch.chdir(tmp_path)
    yield
    forget_page()


def forget_page() -> None:
    stop_exporters()
    sys.modules.pop("page", None)
    gc.collect()  # the agents of a page are known by their names as long as they are there


def stop_exporters() -> None:
    """The process's tracer provider refers to a page's exporter for ever: it is to keep no spans of others."""
    for one in list(vars(sys.modules.get("page", object)).values()):
        if type(one).__name__ == "InMemorySpanExporter":
            one.shutdown()
            one.clear()


@pytest.mark.parametrize("page", HERE, ids=name_of)
def test_the_blocks_of_a_page_run_in_order(page: Path, session: None) -> None:
    for needed in NEEDS:
        pytest.importorskip(needed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_page(read_blocks(page))


def test_every_block_is_run_shown_or_says_why_not() -> None:
    strange = [
        f"{block.place}: a block of {block.language!r}"
        for page in PAGES
        for block in read_blocks(page)
        if block.language not in {*RUN, *SHOWN}
    ]
    assert not strange
    for test in set(ELSEWHERE.values()) - {"tests/site/test_guides.py"}:
        assert (ROOT / test).exists(), test


def test_files_of_pages_can_be_read() -> None:
    yaml = pytest.importorskip("yaml")
    for page in PAGES:
        for block in read_blocks(page):
            if block.language == "yaml":
                assert yaml.safe_load(block.source) is not None, block.place
            elif block.language == "json":
                json.loads(block.source)


def test_a_block_that_is_not_run_says_why() -> None:
    marks = []
    for page in PAGES:
        text = page.read_text("utf-8")
        found = re.finditer(r"^<!-- not run.*$", text, re.MULTILINE)
        # One that stands in a block is shown, and marks nothing.
        marks += [m[0] for m in found if text.count("```", 0, m.start()) % 2 == 0]
    assert marks
    whys = [why for page in PAGES for block in read_blocks(page) if (why := block.not_run)]
    assert len(whys) == len(marks), "a mark stands right above its block: <!-- not run: why -->"


def block(language: str, source: str, not_run: str = "") -> Block:
    return Block("page.md", 1, language, "", source, not_run)


def test_blocks_share_names_and_a_loop() -> None:
    run_page(
        [
            block("python", "import asyncio\nawait asyncio.sleep(0)\nlater = asyncio.Future()\n"),
            block("python", "later.set_result(7)\nprint(await later)\n"),
            block("text", "7\n"),
            block("python", "raise ValueError\n", not_run="it fails"),
            block("python", "asyncio.run(asyncio.sleep(0))\n"),
        ]
    )


def test_an_output_that_is_not_the_one_shown_fails() -> None:
    with pytest.raises(Astray, match="--- shown\n2\n--- said\n1\n"):
        run_page([block("python", "print(1)\n"), block("text", "2\n")])


def test_a_test_that_a_page_shows_is_called() -> None:
    with pytest.raises(ZeroDivisionError):
        run_page([block("python", "def test_it():\n    1 / 0\n")])
