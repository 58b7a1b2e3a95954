"""Latencies of an event loop while something else floods it: requests, ticks and an HTTP client outside."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable

from benchmarks.measure import histogram, latency_figures, now
from benchmarks.protocol import Outcome

TICK_S = 0.001

# The client is a process of its own: a thread would wait for the very lock that the flood holds.
CLIENT = """
import json, socket, sys, time
port, duration = int(sys.argv[1]), float(sys.argv[2])
request = b"GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n"
latencies = []
with socket.create_connection(("127.0.0.1", port)) as connection:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    end = time.perf_counter() + duration
    while time.perf_counter() < end:
        started = time.perf_counter()
        connection.sendall(request)
        reply = b""
        while not reply.endswith(b"ok"):
            part = connection.recv(4096)
            if not part:
                raise SystemExit("the server closed the connection")
            reply += part
        latencies.append(time.perf_counter() - started)
        time.sleep(0.001)
print(json.dumps(latencies))
"""

REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(REPLY)
            await writer.drain()
    except asyncio.IncompleteReadError:
        writer.close()


async def observe(
    duration_s: float, probe: Callable[[], Awaitable[object]], flooded: Callable[[], int]
) -> Outcome:
    """Return latency figures and histograms of the running loop over *duration_s*.

    *probe* is one round trip to something idle; *flooded* says how many messages the flood has handled so far.
    """
    ticks: list[float] = []
    probes: list[float] = []
    over = asyncio.Event()

    async def tick() -> None:
        while not over.is_set():
            started = now()
            await asyncio.sleep(TICK_S)
            ticks.append(now() - started - TICK_S)

    async def ask() -> None:
        while not over.is_set():
            started = now()
            await probe()
            probes.append(now() - started)
            await asyncio.sleep(TICK_S)

    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-c",
        CLIENT,
        str(port),
        str(duration_s),
        stdout=asyncio.subprocess.PIPE,
    )
    observers = [asyncio.create_task(tick()), asyncio.create_task(ask())]
    started, handled = now(), flooded()
    output, _ = await client.communicate()
    flood_per_s = (flooded() - handled) / (now() - started)
    over.set()
    await asyncio.gather(*observers)
    server.close()
    if client.returncode:
        raise RuntimeError(
            f"The HTTP client ended with exit code {client.returncode}; see its message above."
        )
    requests: list[float] = json.loads(output)
    return Outcome(
        {
            **latency_figures("http", requests),
            **latency_figures("tick", ticks),
            **latency_figures("probe", probes),
            "flood_per_s": flood_per_s,
        },
        {"http": histogram(requests), "tick": histogram(ticks), "probe": histogram(probes)},
    )
