"""docs/supervision.md names all that the package exports; tests/site runs its blocks."""

from __future__ import annotations

import re
from pathlib import Path

from agenticaiframework import supervision

PAGE = Path(__file__).parents[2] / "docs" / "supervision.md"


def test_every_public_name_is_documented() -> None:
    text = PAGE.read_text()
    missing = [name for name in supervision.__all__ if not re.search(rf"\b{name}\b", text)]
    assert not missing
