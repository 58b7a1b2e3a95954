"""Makes the checkout's ``benchmarks`` importable: it is no part of what is installed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _load() -> None:
    if importlib.util.find_spec("benchmarks") is not None:
        return
    folder = ROOT / "benchmarks"
    spec = importlib.util.spec_from_file_location(
        "benchmarks", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["benchmarks"] = package
    spec.loader.exec_module(package)


_load()


@pytest.fixture(autouse=True)
def benchmarks_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep environments and scratch files of a test to itself."""
    home = tmp_path / "home"
    monkeypatch.setenv("AGENTICAI_BENCHMARKS_HOME", str(home))
    return home
