"""Async generators that a loop must close: in the order of their first use, so repeatably."""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator
from typing import Any


class OpenAsyncGenerators:
    """The async generators that began under one loop and have not ended; weakly held.

    asyncio keeps a weak set of them, whose order is that of their addresses.
    """

    __slots__ = ("_refs",)

    def __init__(self) -> None:
        self._refs: dict[int, weakref.ref[AsyncGenerator[Any, Any]]] = {}

    def add(self, agen: AsyncGenerator[Any, Any]) -> None:
        self._refs[id(agen)] = weakref.ref(agen)

    def discard(self, agen: AsyncGenerator[Any, Any]) -> None:
        self._refs.pop(id(agen), None)

    def take(self) -> list[AsyncGenerator[Any, Any]]:
        """Return those still alive, and forget them."""
        alive = [agen for ref in self._refs.values() if (agen := ref()) is not None]
        self._refs.clear()
        return alive

    def __len__(self) -> int:
        return len(self._refs)
