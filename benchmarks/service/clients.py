"""The clients, in a process of their own: ``python -m benchmarks.service.clients OPTIONS``.

Each client starts one run after the other over HTTP, and goes on until it knows how the run ended. Ends the
process with SIGTERM: no new runs are begun then, and those that were are followed to their end. Everything that
happened is in the file *log*, one line of JSON each.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.service.flows import SHARES, flow_of

SILENT_S = 90.0
"""A stream of events that tells nothing for longer is taken for one that hangs."""
ENDS = {"workflow_completed", "workflow_failed", "workflow_cancelled"}
"""The last events of runs."""
REQUEST_S = 30.0
"""A request that takes longer is taken for one that is never answered; the longest wait is 5 s."""


@dataclass(frozen=True)
class ClientOptions:
    """What the process of clients is told."""

    ports: list[int]
    log: str
    clients: int = 48
    per_second: float = 50.0
    seed: int = 1
    watched: float = 0.25
    """The share of runs of which a client also watches the events, and asks again from the last on."""
    settle_s: float = 60.0
    """How long a client waits, after the end of the load, for the outcome of its run."""


class Clients:
    """All clients of the process, and the log of what they were answered."""

    def __init__(self, options: ClientOptions) -> None:
        self.options = options
        self.random = random.Random(options.seed)
        self.log = Path(options.log).open("a", encoding="utf-8")  # noqa: SIM115 - closed at the end
        self.ending = asyncio.Event()
        self.last_s = float("inf")
        self.begun = 0
        self.next_at = time.monotonic()
        limits = httpx.Limits(max_connections=None, keepalive_expiry=60)
        self.http = httpx.AsyncClient(timeout=REQUEST_S, limits=limits)

    def note(self, kind: str, **facts: Any) -> None:
        """Write one line."""
        self.log.write(json.dumps({"kind": kind, "at": time.time(), **facts}) + "\n")

    async def call(self, method: str, what: str, path: str, **more: Any) -> httpx.Response | None:
        """Make one request and note how it ended; None if the connection broke."""
        port = self.random.choice(self.options.ports)
        began = time.time()
        try:
            answer = await self.http.request(method, f"http://127.0.0.1:{port}{path}", **more)
        except httpx.TransportError as error:
            self.note("broken", what=what, began=began, error=type(error).__name__, port=port)
            # The process is on its way down or up: no use in asking it a thousand times a second.
            await asyncio.sleep(0.25 + 0.25 * self.random.random())
            return None
        took_s = round(time.time() - began, 6)
        code = answer.status_code
        why = {"path": path, "said": answer.text[:300]} if code >= 400 else {}
        self.note("answer", what=what, began=began, took_s=took_s, code=code, port=port, **why)
        if code not in (200, 202, 409, 504):
            await asyncio.sleep(0.05 + 0.1 * self.random.random())
        return answer

    async def client(self) -> None:
        """Start runs, one after the other, at the rate that all clients have together."""
        while True:
            now = time.monotonic()
            self.next_at = max(self.next_at, now - 1) + 1 / self.options.per_second
            if self.next_at > now:
                try:
                    await asyncio.wait_for(self.ending.wait(), self.next_at - now)
                except TimeoutError:
                    pass
            if self.ending.is_set():
                return
            self.begun += 1
            kinds = list(SHARES)
            kind = self.random.choices(kinds, [SHARES[kind] for kind in kinds])[0]
            await self.one(f"r{self.options.seed}-{self.begun}", kind)

    async def until(
        self, done: Callable[[httpx.Response], bool], ask: Callable[[], Awaitable[Any]]
    ) -> httpx.Response | None:
        """Ask until the answer is *done*; None when the time after the end of the load is over."""
        while time.monotonic() < self.last_s:
            answer = await ask()
            if answer is not None and done(answer):
                return answer
        return None

    async def one(self, run_id: str, kind: str) -> None:
        """Start a run, do what its kind needs, and follow it to its end."""
        n = self.random.randrange(1_000)
        body = {"id": run_id, "flow": flow_of(kind), "input": {"n": n}}
        began = time.time()
        self.note("asked", id=run_id, run=kind, n=n)
        taken = await self.until(
            lambda answer: answer.status_code == 202,
            lambda: self.call("POST", "start", "/runs", json=body),
        )
        if taken is None:
            return
        self.note("accepted", id=run_id, run=kind, n=n)
        if self.random.random() < self.options.watched:
            async with asyncio.TaskGroup() as both:
                both.create_task(self.watch(run_id))
                both.create_task(self.see_through(run_id, kind, n, began))
        else:
            await self.see_through(run_id, kind, n, began)

    async def see_through(self, run_id: str, kind: str, n: int, began: float) -> None:
        """Do what a run of its kind needs, and note its outcome."""
        if kind in ("letter", "dropped"):
            await asyncio.sleep(self.random.random() * 0.1)
            what, method, path = {
                "letter": ("approve", "POST", f"/runs/{run_id}/approve"),
                "dropped": ("cancel", "DELETE", f"/runs/{run_id}"),
            }[kind]
            # A conflict says that it has ended before.
            await self.until(
                lambda answer: answer.status_code in (200, 409),
                lambda: self.call(method, what, path),
            )
        answer = await self.until(
            lambda answer: answer.status_code == 200,
            lambda: self.call("GET", "result", f"/runs/{run_id}/result?wait_s=5"),
        )
        if answer is not None:
            took_s = round(time.time() - began, 6)
            self.note("outcome", id=run_id, run=kind, n=n, took_s=took_s, **answer.json())

    async def watch(self, run_id: str) -> None:
        """Read the events of a run to the last one, over as many connections as that takes."""
        numbers: list[int] = []
        connections = 0
        ended = ""
        while not ended and time.monotonic() < self.last_s:
            port = self.random.choice(self.options.ports)
            began = time.time()
            last = str(numbers[-1] if numbers else 0)
            connections += 1
            try:
                async with self.http.stream(
                    "GET",
                    f"http://127.0.0.1:{port}/runs/{run_id}/events",
                    headers={"last-event-id": last},
                    timeout=httpx.Timeout(REQUEST_S, read=SILENT_S),
                ) as answer:
                    took_s = round(time.time() - began, 6)
                    code = answer.status_code
                    why = {"path": f"/runs/{run_id}/events"} if code >= 400 else {}
                    self.note(
                        "answer",
                        what="events",
                        began=began,
                        took_s=took_s,
                        code=code,
                        port=port,
                        **why,
                    )
                    if code == 200:
                        ended = await read_events(answer, numbers)
            except httpx.TransportError as error:
                self.note(
                    "broken", what="events", began=began, error=type(error).__name__, port=port
                )
            if not ended:
                await asyncio.sleep(0.1 + 0.2 * self.random.random())
        self.note("watched", id=run_id, numbers=numbers, ended=ended, connections=connections)

    async def probe(self, what: str, path: str, every_s: float) -> None:
        """Ask for something small, again and again."""
        while not self.ending.is_set():
            await self.call("GET", what, path)
            try:
                await asyncio.wait_for(self.ending.wait(), every_s)
            except TimeoutError:
                pass

    def end(self) -> None:
        """Begin nothing more."""
        self.last_s = time.monotonic() + self.options.settle_s
        self.ending.set()

    async def main(self) -> None:
        """Make requests until told to end."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.end)
        async with self.http, asyncio.TaskGroup() as group:
            for _ in range(self.options.clients):
                group.create_task(self.client())
            for what, path in (
                ("echo", "/echo"),
                ("live", "/health/live"),
                ("ready", "/health/ready"),
            ):
                group.create_task(self.probe(what, path, 0.1))
        self.log.close()


async def read_events(answer: httpx.Response, numbers: list[int]) -> str:
    """Add the numbers of the events that come; return the kind of the run's last one, if that comes."""
    kind = ""
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if name == "id":
            numbers.append(int(value))
        elif name == "event":
            kind = value
        elif not line and kind in ENDS:
            return kind
    return ""


async def _main() -> None:
    await Clients(ClientOptions(**json.loads(sys.argv[1]))).main()


if __name__ == "__main__":
    asyncio.run(_main())
