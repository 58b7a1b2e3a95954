"""What the tests of faces share: the service as a process of its own, and what its handlers tell."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ..conftest import free_port

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("pydantic_ai")
httpx = pytest.importorskip("httpx")

PROGRAM = Path(__file__).parent / "faces_service.py"
DEADLINE_S = 60


class Service:
    """The program in one folder, which may be ended and begun again. Tells what its handlers did."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.folder = folder
        self._arguments = arguments
        self._environment = environment
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.log = ""

    async def begin(self) -> None:
        """Start the program, once an earlier one has ended, and return when its port answers."""
        if self.process is not None:
            # A client that has lost its connection may have cancelled the wait in `end`.
            await asyncio.to_thread(self.process.wait, DEADLINE_S)
        command = [sys.executable, str(PROGRAM), str(self.folder), str(self.port)]
        log = (self.folder / "log").open("ab")
        self.process = await asyncio.to_thread(
            subprocess.Popen,
            [*command, *self._arguments],
            env={**os.environ, **self._environment},
            stdout=log,
            stderr=log,
        )
        log.close()
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    assert self.process.poll() is None, (self.folder / "log").read_text()
                    await asyncio.sleep(0.05)
                    continue
                writer.close()
                await writer.wait_closed()
                return

    def end(self, number: int) -> int:
        """Send a signal, and return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)

    def times(self, name: str) -> int:
        """Return how often a handler has told *name*."""
        file = self.folder / name
        return len(file.read_text()) if file.exists() else 0

    async def until(self, name: str, times: int = 1) -> None:
        """Wait until a handler has told *name* so often."""
        async with asyncio.timeout(DEADLINE_S):
            while self.times(name) < times:
                await asyncio.sleep(0.02)

    def go(self) -> None:
        """Let the slow handler return."""
        (self.folder / "go").touch()


@pytest.fixture
def in_service(tmp_path: Path) -> Callable[..., None]:
    """Run a test against a running service, and end that."""

    def run(test: Callable[[Service], Any], *arguments: str, **environment: str) -> None:
        async def main() -> None:
            async with running(tmp_path, *arguments, **environment) as service:
                await test(service)

        asyncio.run(main())

    return run


@asynccontextmanager
async def running(
    folder: Path, *arguments: str, **environment: str
) -> AsyncGenerator[Service, None]:
    """Run the service as long as the block lasts."""
    service = Service(folder, *arguments, **environment)
    try:
        await service.begin()
        yield service
    finally:
        if service.process is not None and service.process.poll() is None:
            await asyncio.to_thread(service.end, signal.SIGKILL)
