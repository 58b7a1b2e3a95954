"""Work over very many things that does not hold the loop: a slice, then all others, then a slice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

T = TypeVar("T")

SLICE = 200
"""So many actors are looked at in about a millisecond."""


async def sliced(things: Sequence[T], size: int = SLICE) -> AsyncIterator[T]:
    """Yield *things*; after each *size* of them the loop does everything else that is ready."""
    for index, thing in enumerate(things):
        if index and index % size == 0:
            await asyncio.sleep(0)
        yield thing
