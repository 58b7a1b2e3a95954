"""Builds the documentation site: `python3 dev.py docs` writes build/site/html/.

    python docs/site/make_site.py [--serve]

The pages are staged first: what stands in docs/, pages for files of the repository that a page links
to, and the reference, which is made from the code. Then zensical builds them strictly, and what it
wrote is checked: every link, anchor and picture is there, and nothing is loaded from elsewhere.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from check import entries, problems
from public import homes
from reference import names_nav
from stage import ROOT, stage

HERE = Path(__file__).resolve().parent
OUT = ROOT / "build" / "site"


def listed(nav: object) -> Iterator[str]:
    """Return the pages that a navigation names."""
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        for each in nav.values():
            yield from listed(each)
    elif isinstance(nav, list):
        for each in nav:
            yield from listed(each)


def configuration() -> str:
    """Return the site's configuration, its navigation with the pages of names."""
    text = (HERE / "zensical.toml").read_text("utf-8")
    return text.replace('{ "Names" = [] }', f'{{ "Names" = [\n{names_nav()}\n] }}')


def misplaced(pages: Path, own: set[str]) -> list[str]:
    """Say which pages the navigation lacks, names twice, or names in vain."""
    names = list(listed(tomllib.loads(configuration())["project"]["nav"]))
    there = {page.relative_to(pages).as_posix() for page in pages.rglob("*.md")} - own
    return [
        *(f"zensical.toml: nav does not have {name}" for name in sorted(there - set(names))),
        *(f"zensical.toml: nav names {name}, which is not there" for name in names if name not in there),
        *(f"zensical.toml: nav names {name} twice" for name in sorted(names) if names.count(name) > 1),
    ]  # fmt: skip


def without_entry(there: set[str]) -> list[str]:
    """Say which public names the reference lacks."""
    return [
        f"{module}.{name} has no entry in the reference"
        for name, module in homes().items()
        if f"{module}.{name}" not in there
    ]


def main(arguments: list[str]) -> int:
    """Build the site and return 1 if anything about it is wrong."""
    shutil.rmtree(OUT, ignore_errors=True)
    pages = OUT / "pages"
    own = stage(pages)
    (OUT / "zensical.toml").write_text(configuration(), "utf-8")
    wrong = misplaced(pages, own)
    task = ["serve"] if "--serve" in arguments else ["build", "--strict", "--clean"]
    if not wrong:
        command = [sys.executable, "-m", "zensical", *task, "-f", str(OUT / "zensical.toml")]
        # mkdocstrings imports docstrings.py by its name.
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)])}
        code = subprocess.run(command, cwd=OUT, env=env, check=False).returncode
        if code != 0:
            return code
        wrong = [*without_entry(entries(OUT / "html")), *problems(OUT / "html")]
    for line in wrong:
        print(line, file=sys.stderr)
    if not wrong:
        print(f"{len(list((OUT / 'html').rglob('*.html')))} pages: {OUT / 'html' / 'index.html'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
