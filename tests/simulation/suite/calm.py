"""Waiting until faults have had their time."""

from __future__ import annotations

import asyncio

from agenticaiframework.actors.simulation import Simulation


async def until_calm(sim: Simulation, quiet_s: float) -> None:
    """Wait until no fault has landed for *quiet_s* virtual seconds: its effects are over then."""
    landed = sim.injector.landed
    while landed and sim.time() - landed[-1].time_s < quiet_s:
        await asyncio.sleep(quiet_s)
