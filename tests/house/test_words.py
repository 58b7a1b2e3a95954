"""Words that made readers stop, with what engineers write instead; they must not come back."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from library_files import ROOT, library, short

# What is found, and what to write. Each is looked for in the code and in the pages.
WORDS: dict[str, str] = {
    r"(?<!\bthere )\bis no (?!longer\b|more\b)": "is not a ...",
    r"\bwhoever\b": "name it: the caller, the holder, the actor that ...",
    r"\bsomebody\b": "name it: another actor, the caller ...",
    r"\bshort[ _]way\b": "fast path",
    r"\bnobody gets\b": "never delivered",
    r"\bface_errors\b|\bthe face\b": "the public classes",
    r"\bwhat is put in\b": "messages to ...",
    r"\bwho (has )?ask(s|ed)\b": "the caller, the asker",
}

# The specification of the public classes is a page to its tests (tests/page) and to nothing else.
IN_CODE: dict[str, str] = {
    r"\bthe page\b|\bthe page's\b|\bpage's own\b": "the specification, or what it says",
}

# Listings of stored runs have pages.
LISTINGS = ("cli.stored", "patterns.engine")

# The public contract, word for word.
VERBATIM = {"orchestration.md"}

_LINE_END = re.compile(r"""["']?\s*\n\s*(?:\#+:?\s*|[rf]?["'](?!["']))?""")


def prose(text: str) -> str:
    """Return *text* in one line, so that what is wrapped in it is still found."""
    return " ".join(_LINE_END.sub(" ", text).split())


def found(text: str, words: dict[str, str]) -> Iterator[str]:
    line = prose(text)
    for pattern, instead in words.items():
        for match in re.finditer(pattern, line, re.IGNORECASE):
            around = line[max(0, match.start() - 30) : match.end() + 20]
            yield f"...{around}... -> {instead}"


def test_the_code_is_written_in_plain_words() -> None:
    said: list[str] = []
    for module in library().values():
        name = short(module.name)
        words = WORDS if name.startswith(LISTINGS) else {**WORDS, **IN_CODE}
        said += [f"{name}: {text}" for text in found(module.text, words)]
    assert not said, "\n".join(said)


def test_the_names_of_modules_are_plain_words() -> None:
    names = [short(name) for name in library()]
    assert not [name for name in names if list(found(name.replace(".", " "), WORDS))]


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="the pages are not here")
def test_the_pages_are_written_in_plain_words() -> None:
    said: list[str] = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        if page.name not in VERBATIM:
            said += [f"{page.name}: {text}" for text in found(page.read_text("utf-8"), WORDS)]
    assert not said, "\n".join(said)


@pytest.mark.parametrize(
    "text",
    [
        "raise TypeError(f'{value!r} is no number')",
        "# What is left\n    # is no number.",
        "raise E(\n    f'the value is '\n    f'no shape')",
        "Whoever holds it answers it.",
        "the short way",
        "import face_errors",
        "The name of who asks.",
    ],
)
def test_a_riddle_is_found(text: str) -> None:
    assert list(found(text, WORDS))


@pytest.mark.parametrize(
    "text",
    [
        "There is no number.",
        "# As there\n    # is no number,",
        "raise E('there '\n    'is no shape')",
        "It is no longer there.",
        "It is not a number.",
        "The interface.",
    ],
)
def test_plain_words_are_allowed(text: str) -> None:
    assert not list(found(text, WORDS))
