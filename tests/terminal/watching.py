"""The server of the tests, as a process, and what is seen on the screen of the app that watches it."""

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

from agenticaiframework.terminal import ObserverClient, TerminalObserver

from ..conftest import free_port

PROGRAM = Path(__file__).with_name("served.py")
TOKEN = "a-token-that-is-hard-to-guess"


class Server:
    """The observed service. May be killed, and begun anew at the same address."""

    def __init__(self, *options: str, token: str | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._options = options
        self._token = token
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Start it, and wait until it answers."""
        env = {**os.environ, **({"TOKEN": self._token} if self._token else {})}
        command = [sys.executable, str(PROGRAM), str(self.port), *self._options]
        self._process = subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def kill(self) -> None:
        """End it by force. Again: harmless."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(60)
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()


class Watching:
    """The app, and the hands and eyes of the one before it."""

    def __init__(self, app: TerminalObserver, pilot: Any) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def screen(self) -> str:
        """What is seen, line by line."""
        # There is no other way to the text of a screen than through a picture, which takes long.
        strips = self.app.screen._compositor.render_strips()  # pyright: ignore[reportPrivateUsage]
        return "\n".join(strip.text for strip in strips)

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        await self.pilot.press(*keys)

    async def until(self, holds: Callable[[str], object] | str) -> str:
        """Wait until the screen has a text, or until *holds* says yes; return what is seen."""
        try:
            async with asyncio.timeout(60):
                while True:
                    seen = self.screen
                    if holds in seen if isinstance(holds, str) else holds(seen):
                        return seen
                    await self.pilot.pause(0.1)
        except TimeoutError:
            raise AssertionError(f"never seen: {holds!r}, but:\n{self.screen}") from None


@asynccontextmanager
async def watching(
    server: Server,
    size: tuple[int, int] = (110, 40),
    *,
    token: str | None = None,
    theme: str | None = None,
) -> AsyncGenerator[Watching]:
    """Watch *server* in a terminal of a size."""
    client = ObserverClient(server.url, token, "ann")
    app = TerminalObserver(client, theme=theme, every_s=0.3)
    before = asyncio.all_tasks()
    async with app.run_test(size=size, notifications=True) as pilot:
        one = Watching(app, pilot)
        await one.until("live")
        yield one
    # Textual cancels what its workers do and does not wait for them.
    if left := asyncio.all_tasks() - before:
        await asyncio.wait(left, timeout=60)
