"""Answers by HTTP whose client may leave: as a whole, or as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

from .calls import Call, Following
from .items import Item

PING = b": ping\n\n"
"""A comment, which readers of events skip."""


def event(data: Any) -> bytes:
    """Return *data* as a server-sent event."""
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


@asynccontextmanager
async def leaving_with(receive: Any, call: Call) -> AsyncGenerator[None]:
    """Leave *call* when the client has gone, and at the end of the block."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        call.leave()

    watching = asyncio.create_task(watch(), name="faces: client")
    try:
        async with call:
            yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


class Opened:
    """The items of a call whose first has come, or is late: a call that fails at once is told before a stream begins."""

    def __init__(self, following: Following, first: Item | None, ping_s: float) -> None:
        self._following = following
        self._first = first
        self._ping_s = ping_s

    @classmethod
    async def of(cls, call: Call, ping_s: float) -> Opened:
        """Return them once the first is there; raises `CallFailed` if the call has failed before."""
        following = call.follow()
        return cls(following, await following.within(ping_s), ping_s)

    async def items(self) -> AsyncIterator[Item | None]:
        """Yield the items; None where there was none for a while. Raises `CallFailed`."""
        yield self._first
        while True:
            try:
                yield await self._following.within(self._ping_s)
            except StopAsyncIteration:
                return


async def send_events(
    send: Any, chunks: AsyncGenerator[bytes], headers: Mapping[str, str] | None = None
) -> None:
    """Send *chunks* as a stream of events."""
    said = {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-store",
        "x-accel-buffering": "no",
        **(headers or {}),
    }
    raw = [(name.encode(), value.encode()) for name, value in said.items()]
    async with aclosing(chunks):
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
