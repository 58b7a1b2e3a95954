"""The tests of this folder share how the library's files are read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True, scope="package")
def _forgets_what_it_read() -> Iterator[None]:
    """Let go of the syntax trees of all files: a million objects, which every collection would look at."""
    yield
    from library_files import library

    for module in library().values():
        module.forget()
