"""The tutorial, walked through as its reader does: files written, commands typed, outputs compared."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from shown_blocks import DOCS, read_blocks, says
from walking import TUTORIAL, Walk

for needed in ("cyclopts", "fastapi", "jinja2", "prometheus_client", "pydantic_ai", "uvicorn"):
    pytest.importorskip(needed)

typed = pytest.mark.skipif(
    not (shutil.which("bash") and shutil.which("curl")), reason="bash and curl are typed"
)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """Return one folder for all chapters, which is empty at first."""
    with Walk(tmp_path_factory.mktemp("tea")) as walk:
        yield walk


@typed
@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIAL, ids=lambda page: page.stem)
def test_a_chapter_does_what_it_shows(stranger: Walk, page: Path) -> None:
    blocks = read_blocks(page)
    assert any(block.title for block in blocks)
    assert any(block.language == "console" for block in blocks)
    for block in blocks:
        stranger.take(block)


def test_the_index_names_every_chapter() -> None:
    text = (DOCS / "tutorial" / "index.md").read_text("utf-8")
    assert len(TUTORIAL) == 8
    assert not [page.name for page in TUTORIAL if f"({page.name})" not in text]


@pytest.mark.parametrize(
    ("said", "shown", "same"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\nb\n", "a\n", False),
        ("a\nb\nc\n", "a\n...\nc\n", True),
        ("a\nc\n", "a\n...\nc\n", True),
        ("a\nb\nd\n", "a\n...\nc\n", False),
        ('{"id": 7}\n', '{..."id"...}\n', True),
        ("2026-01-01 10:00:00.123 x\n", "2025-02-02 11:11:11.1 x\n", True),
        ("in 0.31 s\n", "in 2.0 s\n", True),
        ("back in 4.97 s\n", "back in 5 s\n", True),
        ("", "a\n", False),
        ("a.b\n", "axb\n", False),
    ],
)
def test_an_output_is_compared_with_what_is_shown(said: str, shown: str, same: bool) -> None:
    assert says(said, shown) is same
