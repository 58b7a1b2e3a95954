"""What is wrong in a built site is found: dead links, missing headings, addresses outside the site."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from check import entries, problems


def site(folder: Path, body: str) -> list[str]:
    (folder / "deep").mkdir()
    (folder / "index.html").write_text(f'<h1 id="top">Top</h1>{body}', "utf-8")
    (folder / "deep" / "page.html").write_text('<h2 id="part">Part</h2>', "utf-8")
    return problems(folder)


@pytest.mark.parametrize(
    "body",
    [
        '<a href="deep/page.html#part">x</a>',
        '<a href="#top">x</a>',
        '<a href="deep/page.html">x</a>',
        '<a href="https://example.org/not/looked/at">x</a>',
        '<a href="mailto:someone@example.org">x</a>',
        '<img src="data:image/png;base64,AAAA">',
    ],
)
def test_a_good_link_is_no_problem(tmp_path: Path, body: str) -> None:
    assert site(tmp_path, body) == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<a href="gone.html">x</a>', "index.html: gone.html: there is no such file"),
        ('<a href="#gone">x</a>', "index.html: #gone: there is no such heading"),
        ('<a href="deep/page.html#gone">x</a>', "deep/page.html#gone: there is no such heading"),
        ('<img src="gone.svg">', "index.html: gone.svg: there is no such file"),
        ('<a href="../outside.md">x</a>', "../outside.md: there is no such file"),
        ('<script src="https://cdn.example/x.js"></script>', "from outside the site"),
        ('<link rel="stylesheet" href="//fonts.example/x.css">', "from outside the site"),
        ('<link rel="preconnect" href="https://fonts.example">', "from outside the site"),
        ('<img src="https://badge.example/x.svg">', "from outside the site"),
    ],
)
def test_a_bad_link_is_told(tmp_path: Path, body: str, problem: str) -> None:
    (told,) = site(tmp_path, body)
    assert told.endswith(problem)


def test_a_style_that_loads_a_font_from_elsewhere_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.css").write_text("@import url('https://fonts.example/a.css');", "utf-8")
    assert problems(tmp_path) == [
        "x.css: loads https://fonts.example/a.css from outside the site",
    ]


def test_a_chart_that_a_script_would_draw_is_told(tmp_path: Path) -> None:
    (told,) = site(tmp_path, '<pre class="mermaid"><code>flowchart LR</code></pre>')
    assert told.endswith("a script from outside would draw")


def test_a_reference_to_a_name_without_an_entry_is_told(tmp_path: Path) -> None:
    (told,) = site(tmp_path, "[<code>Gone</code>][agenticaiframework.actors.Gone]")
    assert told == "index.html: agenticaiframework.actors.Gone has no entry in the reference"


def test_the_inventory_names_what_has_an_entry(tmp_path: Path) -> None:
    lines = b"agenticaiframework.actors.Agent py:class 1 reference/api/actors.html#$ -\n"
    head = b"# Sphinx inventory version 2\n# The remainder of this file is compressed using zlib.\n"
    (tmp_path / "objects.inv").write_bytes(head + zlib.compress(lines))
    assert entries(tmp_path) == {"agenticaiframework.actors.Agent"}
