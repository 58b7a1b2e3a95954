"""The page on semantics names its tests: they are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "semantics.md"

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="only in the source tree")


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(tests/[\w/.]+)`", PAGE.read_text()))
    assert len(named) > 10
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_section_names_tests_or_is_a_table() -> None:
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    unheld = [s.splitlines()[0] for s in sections if "Held by" not in s and "| --" not in s]
    assert unheld == ["Exit reasons"], "its rows are in the sections that follow"


def test_the_page_has_one_sentence_a_line() -> None:
    for line in PAGE.read_text().splitlines():
        if line and line[0].isalpha():
            assert not re.search(r"[a-z`)]\. [A-Z`]", line), line
