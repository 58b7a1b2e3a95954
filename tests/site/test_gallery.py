"""The gallery's page and pictures are what its script makes of the programs as they are."""

from __future__ import annotations

import pytest

pytest.importorskip("pydantic_ai")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from flowchart import draw, read
from gallery import ENTRIES, PAGE, PICTURES, PROGRAMS, Entry, page, pictures

again = "Make it anew: python docs/pictures/gallery.py"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.path.stem)
def test_a_picture_shows_the_program_as_it_is(entry: Entry) -> None:
    for name, drawn in pictures(entry).items():
        assert (PICTURES / name).read_text("utf-8") == drawn, again


def test_the_page_shows_the_programs_as_they_are() -> None:
    there = [path.name for path in sorted(PICTURES.glob("*.svg"))]
    names = {
        entry.file: sorted(
            (n for n in there if n.startswith(entry.path.stem)), key=lambda n: (len(n), n)
        )
        for entry in ENTRIES
    }
    assert PAGE.read_text("utf-8") == page(names), again


def test_every_program_of_the_gallery_stands_on_its_page() -> None:
    assert [entry.file for entry in ENTRIES] == [p.name for p in sorted(PROGRAMS.glob("*.py"))]


def test_a_label_is_shown_as_it_was_given() -> None:
    picture = draw('flowchart LR\n    n1["a #lt;b#gt; #quot;c#quot; #35;"]\n', "x")
    assert "a &lt;b&gt; &quot;c&quot; #" in picture


def test_a_line_that_is_not_known_is_an_error() -> None:
    with pytest.raises(ValueError, match="line 2 of the flowchart"):
        read("flowchart LR\n    a ==> b\n")


def test_what_goes_round_in_a_circle_is_drawn() -> None:
    picture = draw('flowchart TD\n    a["A"]\n    b["B"]\n    a --> b\n    b --> a\n', "x")
    assert picture.count('<path d="M') == 3  # the tip of arrows, and two arrows
