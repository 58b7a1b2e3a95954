"""What the agents of the observer's demo do: a module of its own, so that it can run on other nodes."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from agenticaiframework.actors import agent_context

CHANCE = random.Random(7)


class Draft:
    """What is handed from agent to agent."""


async def research(payload: Any) -> Any:
    """Look things up; now and then it takes long, and one in many fails."""
    await asyncio.sleep(CHANCE.uniform(0.05, 0.9))
    if CHANCE.random() < 0.004:
        raise TimeoutError("the library did not answer in 30 s")
    return payload


async def write(payload: Any) -> Any:
    """Write; one in many fails."""
    await asyncio.sleep(CHANCE.uniform(0.02, 0.4))
    if CHANCE.random() < 0.02:
        raise ConnectionError("the model's gateway answered 502")
    return payload


async def broken(_payload: Any) -> Any:
    """Fail always."""
    raise ValueError("the schema of the ledger has changed")


async def review(payload: Any) -> Any:
    """Ask a person."""
    return await agent_context().question("publish", {"title": "AI in healthcare", "words": 1840})


async def check(payload: Any) -> Any:
    """Be quick."""
    await asyncio.sleep(CHANCE.uniform(0.1, 1.2))
    return payload
