"""The tests that pass in a task and not in a handler, each with the reason."""

from __future__ import annotations

from typing import Final

DIFFERENCES: Final[dict[str, str]] = {}
"""By a part of the test's name that tells it from all others."""


def reason_of(test: str) -> str | None:
    """Return why *test* differs in a handler, or None if nothing says that it may."""
    return next((why for name, why in DIFFERENCES.items() if name in test), None)
