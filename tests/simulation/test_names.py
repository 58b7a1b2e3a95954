"""Every name that the testing kit exports stands in its page of the docs."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

import agenticaiframework.actors.simulation as simulation
import agenticaiframework.testing as testing

PAGE = Path(__file__).resolve().parents[2] / "docs" / "simulation.md"


@pytest.mark.skipif(not PAGE.is_file(), reason="the tests run outside a checkout")
@pytest.mark.parametrize("module", [simulation, testing], ids=lambda module: module.__name__)
def test_every_exported_name_is_documented(module: ModuleType) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in module.__all__ if not re.search(rf"\b{name}\b", text)] == []
    assert module.__all__ == sorted(module.__all__, key=_as_ruff_sorts)


def _as_ruff_sorts(name: str) -> tuple[int, str]:
    constant, kind = name.isupper(), name[0].isupper()
    return (0 if constant else 1 if kind else 2, name)
