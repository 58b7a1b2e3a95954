"""A process of the service as the run holds it: begun, looked at, and ended."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.service.app import AppOptions
from benchmarks.service.ports import free_port

ROOT = Path(__file__).parents[2]
READY_S = 60.0
END_S = 60.0


@dataclass
class Window:
    """A time in which the connections to a port may break: from the end of a process to the next one's start."""

    port: int
    why: str
    began: float
    ended: float = float("inf")


class DoesNotServe(Exception):
    """A process of the service did not become ready, or ended by itself."""

    def __init__(self, life: int, why: str, log: str) -> None:
        super().__init__(f"Process {life} of the service {why}. The end of its log:\n{log}")


def run_module(module: str, options: Mapping[str, Any], log: Path) -> subprocess.Popen[bytes]:
    """Begin ``python -m MODULE OPTIONS``, whose output goes to *log*."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", module, json.dumps(options)],
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )


@dataclass
class Server:
    """One port, behind which one process after the other serves."""

    url: str
    folder: Path
    port: int = field(default_factory=free_port)
    more: dict[str, Any] = field(default_factory=dict[str, Any])
    """Further `AppOptions`."""
    lives: list[int] = field(default_factory=list[int])
    windows: list[Window] = field(default_factory=list[Window])
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What the processes say."""
        return self.folder / f"service-{self.port}.log"

    async def begin(self, life: int) -> None:
        """Begin a process, and return once it says that it is ready."""
        options = AppOptions(
            url=self.url,
            port=self.port,
            life=life,
            effects=str(self.folder / "effects"),
            log=str(self.log),
            **self.more,
        )
        if not self.windows:
            self.windows.append(Window(self.port, "first start", time.time()))
        self.lives.append(life)
        self.process = run_module("benchmarks.service.app", asdict(options), self.log)
        until = time.monotonic() + READY_S
        async with httpx.AsyncClient(timeout=5) as http:
            while True:
                try:
                    answer = await http.get(f"http://127.0.0.1:{self.port}/health/ready")
                    if answer.status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                if self.process.poll() is not None:
                    raise DoesNotServe(
                        life, f"ended with {self.process.returncode}", self.last_words()
                    )
                if time.monotonic() > until:
                    raise DoesNotServe(life, f"was not ready in {READY_S:g} s", self.last_words())
                await asyncio.sleep(0.05)
        self.windows[-1].ended = time.time()

    def last_words(self) -> str:
        """Return the end of the log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-2_000:]

    async def end(self, number: signal.Signals) -> float:
        """Send a signal, wait for the end, and return how long that took."""
        assert self.process is not None
        began = time.monotonic()
        if self.process.poll() is not None:
            raise DoesNotServe(
                self.lives[-1],
                f"had ended by itself with {self.process.returncode}",
                self.last_words(),
            )
        self.windows.append(Window(self.port, number.name, time.time()))
        self.process.send_signal(number)
        try:
            await asyncio.to_thread(self.process.wait, END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise DoesNotServe(
                self.lives[-1], f"did not end in {END_S:g} s after {number.name}", self.last_words()
            ) from None
        return time.monotonic() - began

    async def figures(self, *, rest: bool = False) -> dict[str, Any] | None:
        """Return what the process holds; None if it does not answer now."""
        query = "?rest=1" if rest else ""
        try:
            async with httpx.AsyncClient(timeout=5) as http:
                answer = await http.get(f"http://127.0.0.1:{self.port}/figures{query}")
        except httpx.TransportError:
            return None
        got: dict[str, Any] = answer.json()
        return got

    def close(self) -> None:
        """Leave no process behind."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
