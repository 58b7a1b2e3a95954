"""Runs a test in a small service that is observed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

pytest.importorskip("starlette")
pytest.importorskip("jinja2")
pytest.importorskip("uvicorn")

from observed_service import Service, running_service


@pytest.fixture
def in_service() -> Callable[[Callable[[Service], Awaitable[None]]], None]:
    def run(test: Callable[[Service], Awaitable[None]]) -> None:
        async def main() -> None:
            async with running_service() as service:
                await test(service)

        asyncio.run(main())

    return run
