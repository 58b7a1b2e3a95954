"""The pictures of the explanations are what their script draws, and stand in pages."""

from __future__ import annotations

import pytest
from explanations import HERE, PICTURES
from shown_blocks import DOCS


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_what_the_script_draws(name: str) -> None:
    drawn = (HERE / name).read_text("utf-8")
    assert drawn == PICTURES[name](), "Make it anew: python docs/pictures/explanations.py"


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_stands_in_a_page(name: str) -> None:
    assert any(f"pictures/{name})" in page.read_text("utf-8") for page in DOCS.rglob("*.md"))
