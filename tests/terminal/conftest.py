"""Servers for the tests: one to look at, shared, and one that can be steered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

for needed in ("textual", "httpx", "starlette", "jinja2", "uvicorn"):
    pytest.importorskip(needed)

from .watching import TOKEN, Server


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
