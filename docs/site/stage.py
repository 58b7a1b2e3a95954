"""Puts all pages of the site into one folder, as zensical wants them.

In the repository a page may link to any file of it, so that the links work in a viewer of git. On the
site such a file gets a page of its own under `source/`, and the link leads there.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from posixpath import normpath, relpath

from reference import leave_out_of_search, write_reference

# The same drawing as in the gallery, which is made before it is committed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pictures"))

from flowchart import draw
from sequence import draw as draw_messages

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

# What stands in docs/ and is no part of the site.
LEFT_OUT = {"site"}
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}
SHOWN = {".md", ".svg", ".png"}

# A search gives what says how something is done. These speak of the same words at length.
NOT_SEARCHED = (
    "design.md",
    "contributing/blocks.md",
    "contributing/otp.md",
    "reference/commands.md",
    "reference/project-files.md",
)

_FENCE = re.compile(r"^(?P<fence>`{3,}).*?^(?P=fence)$", re.MULTILINE | re.DOTALL)
_MERMAID = re.compile(r"^```mermaid\n(?P<chart>.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (?:\[)?([^\]\n]+)", re.MULTILINE)
_LINK = re.compile(r"\]\((?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")


def stage(pages: Path) -> set[str]:
    """Write the pages into the folder *pages*; return those that need no place in the navigation."""
    for path in sorted(DOCS.rglob("*")):
        name = path.relative_to(DOCS)
        if name.parts[0] in LEFT_OUT or path.suffix not in SHOWN:
            continue
        (pages / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, pages / name)
    shutil.copytree(Path(__file__).parent / "style", pages / "style")
    write_reference(pages / "reference")
    draw_charts(pages)
    sources = link_sources(pages)
    for name in (*NOT_SEARCHED, *sources):
        page = pages / name
        page.write_text(leave_out_of_search(page.read_text("utf-8")), "utf-8")
    return sources


def draw_charts(pages: Path) -> None:
    """Put pictures in the place of Mermaid's charts, which a browser would draw by a script from outside."""
    for page in sorted(pages.rglob("*.md")):
        name = page.relative_to(pages).with_suffix("").as_posix().replace("/", "-")
        text = page.read_text("utf-8")
        charts = list(_MERMAID.finditer(text))
        for number, chart in reversed(list(enumerate(charts, 1))):
            file = pages / "diagrams" / f"{name}-{number}.svg"
            file.parent.mkdir(exist_ok=True)
            title = _HEADING.findall(text[: chart.start()])[-1]
            messages = "sequenceDiagram\n" in chart["chart"]
            kind = "the messages in their order" if messages else "a flow chart"
            picture = draw_messages(chart["chart"]) if messages else draw(chart["chart"], title)
            file.write_text(picture, "utf-8")
            address = relpath(file, page.parent)
            text = f"{text[: chart.start()]}![{title}: {kind}]({address}){text[chart.end() :]}"
        if charts:
            page.write_text(text, "utf-8")


def link_sources(pages: Path) -> set[str]:
    """Give each file outside docs/ that a page links to a page, and return these pages' names."""
    made: dict[str, str] = {}
    waiting = sorted(pages.rglob("*.md"))
    while waiting:
        page = waiting.pop()
        name = page.relative_to(pages).as_posix()
        # Where the page stands in the repository.
        home = name.removeprefix("source/") if name.startswith("source/") else f"docs/{name}"
        text = page.read_text("utf-8")

        def moved(link: re.Match[str], home: str = home, name: str = name) -> str:
            target = link["target"]
            if "://" in target or target.startswith(("mailto:", "/")):
                return link[0]
            file = normpath(f"{Path(home).parent.as_posix()}/{target}")
            if file.startswith("docs/"):
                new = file.removeprefix("docs/")
                if not (pages / new).exists() or not name.startswith("source/"):
                    return link[0]
            elif (ROOT / file).is_file() and (ROOT / file).suffix not in {".svg", ".png"}:
                new = f"source/{file}" if file.endswith(".md") else f"source/{file}.md"
                if new not in made:
                    made[new] = file
                    write_source(pages / new, file)
                    waiting.append(pages / new)
            else:
                return link[0]
            return f"]({relpath(new, Path(name).parent.as_posix())}{link['anchor'] or ''})"

        page.write_text(outside_code(text, moved), "utf-8")
    return set(made)


def outside_code(text: str, moved: object) -> str:
    """Rewrite the links of *text* that do not stand in a block of code."""
    parts: list[str] = []
    end = 0
    for fence in _FENCE.finditer(text):
        parts += [_LINK.sub(moved, text[end : fence.start()]), fence[0]]  # type: ignore[call-overload]
        end = fence.end()
    return "".join([*parts, _LINK.sub(moved, text[end:])])  # type: ignore[call-overload]


def write_source(page: Path, file: str) -> None:
    """Write the page that shows *file*, a path in the repository."""
    text = (ROOT / file).read_text("utf-8")
    page.parent.mkdir(parents=True, exist_ok=True)
    if not file.endswith(".md"):
        language = LANGUAGES.get(Path(file).suffix, "text")
        text = f"# {file}\n\n````{language}\n{text.rstrip()}\n````\n"
    page.write_text(text, "utf-8")
