"""Each package says in some three lines what lives there, what it may know, and who owns its state."""

from __future__ import annotations

import ast

import pytest
from library_files import Module, library, planted, short

# The published packages are also read as their users' first page.
MOST_LINES = 25


def unsaid(module: Module) -> str | None:
    """Return what a package's docstring leaves out, or None."""
    text = ast.get_docstring(module.tree) or ""
    lines = [line for line in text.splitlines() if line.strip()]
    if not 3 <= len(lines) <= MOST_LINES:
        return f"{short(module.name)}: {len(lines)} lines; three say it"
    words = text.lower()
    if not any(word in words for word in ("know", "import")):
        return f"{short(module.name)} does not say what it may know"
    if not any(word in words for word in ("state", "own", "belong")):
        return f"{short(module.name)} does not say who owns its state"
    return None


def test_each_package_says_what_it_is() -> None:
    packages = [module for module in library().values() if module.is_package]
    said = [text for module in packages if (text := unsaid(module)) is not None]
    assert not said, "\n".join(said)


@pytest.mark.parametrize(
    "text",
    [
        "",
        '"""The machine."""',
        '"""The machine.\n\nIt knows the vocabulary.\nAnd more."""',
        '"""The machine.\n\nThe scheduler owns its state.\nAnd more."""',
    ],
)
def test_a_package_that_does_not_say_it_is_found(text: str) -> None:
    (module,) = planted(actors__kernel__init=text).values()
    assert unsaid(module)


def test_three_lines_are_enough() -> None:
    text = '"""The machine of actors.\n\nKnows the vocabulary alone.\nState: the cell\'s loop."""'
    (module,) = planted(actors__kernel__init=text).values()
    assert unsaid(module) is None
