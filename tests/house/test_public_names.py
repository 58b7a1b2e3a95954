"""What is exported stands in a page of the documentation; what no user needs is not exported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from library_files import ROOT, library, planted, short
from rooms import PUBLISHED

# Pages for those who work on the library: naming something there documents it for nobody else.
OTHERS = {"design.md", "benchmarks.md", "results.md"}

_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

DOCUMENTED = (
    *PUBLISHED,
    "agenticaiframework.models",
    "agenticaiframework.orchestration",
    "agenticaiframework.testing",
    "agenticaiframework.testing.strategies",
)


def words_in_code(text: str) -> set[str]:
    """Return the names that stand in a page's code: a word of its prose documents no name."""
    code = _FENCED.findall(text) + _INLINE.findall(_FENCED.sub("", text))
    return {word for part in code for word in _WORD.findall(part)}


def pages(folder: Path) -> set[str]:
    found: set[str] = set()
    for page in folder.rglob("*.md"):
        if page.name not in OTHERS:
            found |= words_in_code(page.read_text("utf-8"))
    return found


in_reach = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="the pages are not here")


@in_reach
@pytest.mark.parametrize("package", DOCUMENTED, ids=short)
def test_every_exported_name_stands_in_a_page(package: str) -> None:
    exported = set(library()[package].exported)
    assert exported
    missing = sorted(exported - pages(ROOT / "docs"))
    assert not missing, f"{len(missing)} of {len(exported)} stand in no page: {', '.join(missing)}"


def test_a_name_in_prose_is_not_documented() -> None:
    page = "We gather `Agent.ask` and near.\n\n```python\nSupervisor(x)\n```\nThen `tell`."
    assert words_in_code(page) == {"Agent", "ask", "python", "Supervisor", "x", "tell"}


def test_the_exported_names_are_read() -> None:
    (module,) = planted(actors__init='__all__ = ["Agent", "near"]\nx = 1').values()
    assert module.exported == ("Agent", "near")
