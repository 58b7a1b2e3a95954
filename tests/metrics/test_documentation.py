"""docs/metrics.md names all that there is; tests/site runs its blocks."""

from __future__ import annotations

from pathlib import Path

import pytest

from agenticaiframework import metrics

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"

for needed in ("fastapi", "opentelemetry.sdk", "prometheus_client", "pydantic_ai"):
    pytest.importorskip(needed)


def test_every_name_is_in_the_page() -> None:
    text = PAGE.read_text("utf-8")
    assert not [name for name in metrics.__all__ if f"`{name}" not in text]
