"""The blocks of code of a page: what each is, what it shows, and whether it is run.

A block is run as shown unless a comment above it says why not::

    <!-- not run: it needs a key -->

A block with a title is a file with that name. A console's lines that begin with ``$`` are commands, the others
what they print; in it ``...`` stands for anything, and alone on a line for any number of lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

RUN = ("python", "yaml", "json", "toml", "sh", "console")

_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<why>[^\n]+?) -->\n)?"
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?[^\n]*\n"
    r"(?P<source>.*?)^(?P=indent)(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One block of a page."""

    page: str
    line: int
    language: str
    title: str
    source: str
    not_run: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    def commands(self) -> list[tuple[str, str]]:
        """Return a console's commands, each with what it prints."""
        found: list[tuple[str, str]] = []
        for line in self.source.splitlines(keepends=True):
            if line.startswith("$ "):
                found.append((line[2:].rstrip("\n"), ""))
            else:
                command, said = found.pop()
                found.append((command, said + line))
        return found


def read_blocks(path: Path) -> list[Block]:
    """Return the blocks of the page *path*, in order."""
    text = path.read_text("utf-8")
    return [
        Block(
            page=path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name,
            line=text.count("\n", 0, found.start("fence")) + 1,
            language=found["language"],
            title=found["title"] or "",
            source=found["source"],
            not_run=found["why"] or "",
        )
        for found in _BLOCK.finditer(text)
    ]


_UNLIKE = (
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?"), "<time>"),
    (re.compile(r"\| [\w.]+:\w+:\d+ - "), "| <place> - "),
    (re.compile(r"process \[\d+\]"), "process [<number>]"),
    (re.compile(r'File "[^"]*?([\w.-]+)"'), r'File "\1"'),
    (re.compile(r"in \d+(?:\.\d+)? ?s\b"), "in <time> s"),
    (re.compile(r"^ *[~^]+ *\n", re.MULTILINE), ""),
    (re.compile(r"[ \t]+$", re.MULTILINE), ""),
)


def alike(text: str) -> str:
    """Return *text* without what differs from one run to the next."""
    for unlike, same in _UNLIKE:
        text = unlike.sub(same, text)
    return text.strip("\n") + "\n"


def says(said: str, shown: str) -> bool:
    """Tell whether a command that printed *said* did what the page has *shown*."""
    parts: list[str] = []
    for line in alike(shown).splitlines():
        if line.strip() == "...":
            parts.append(r"(?:[^\n]*\n)*?")
        else:
            pieces = (re.escape(piece) for piece in line.split("..."))
            parts.append(r"[^\n]*".join(pieces) + r"\n")
    return re.fullmatch("".join(parts), alike(said)) is not None
