"""docs/observer.md names all that there is; tests/site runs its blocks."""

from __future__ import annotations

import re
from pathlib import Path

from agenticaiframework.observer.actions import ACTIONS
from agenticaiframework.observer.json_api import QUESTIONS

PAGE = Path(__file__).parents[2] / "docs" / "observer.md"


def test_every_action_and_every_question_is_in_the_page() -> None:
    text = PAGE.read_text("utf-8")
    assert not [name for name in ACTIONS if f"`{name}`" not in text]
    assert not [name for name in QUESTIONS if not re.search(rf"`{name}\b", text)]


def test_the_pictures_of_the_page_are_there() -> None:
    pictures = re.findall(r"\]\((pictures/[^)]+)\)", PAGE.read_text("utf-8"))
    assert pictures
    assert not [one for one in pictures if not (PAGE.parent / one).exists()]
