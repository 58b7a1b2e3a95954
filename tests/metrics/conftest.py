"""What the tests of metrics share: reading a text as Prometheus does, and agents that can be held."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

pytest.importorskip("prometheus_client")

from prometheus_client.parser import text_string_to_metric_families

from agenticaiframework.metrics import Measures, metrics_text

Read = Callable[..., float | None]


def read(text: str, name: str, **labels: str) -> float | None:
    """Return the value of the sample of that name with these labels, and maybe others; None: there is none.

    Several are added up.
    """
    name = name if name.startswith("gen_ai") else f"agenticaiframework_{name}"
    found = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return sum(found) if found else None


def values(measures: Measures | None = None) -> Callable[..., float | None]:
    """Return what reads one value of the metrics as they are now."""
    text = metrics_text(measures)
    return lambda name, **labels: read(text, name, **labels)


class Gate:
    """A handler that waits until it is opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.entered = 0

    async def handle(self, payload: Any) -> Any:
        """Answer with the payload, once it may."""
        self.entered += 1
        await self.open.wait()
        return payload


async def until(true: Callable[[], Any]) -> None:
    """Return once *true* is."""
    async with asyncio.timeout(120):
        while not true():
            await asyncio.sleep(0.01)


Main = Callable[[], Awaitable[None]]
