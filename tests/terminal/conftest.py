"""Servers for the tests: one to look at, shared, and one that can be steered."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

for needed in ("textual", "httpx", "starlette", "jinja2", "uvicorn"):
    pytest.importorskip(needed)

from watching import TOKEN, Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    one = Server()
    one.begin()
    try:
        yield one
    finally:
        one.kill()


@pytest.fixture
def steered() -> Iterator[Server]:
    one = Server("actions", token=TOKEN)
    one.begin()
    try:
        yield one
    finally:
        one.kill()
