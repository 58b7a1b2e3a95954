"""The model faults of one run's plan: which requests and calls of tools they strike."""

from __future__ import annotations

import asyncio
from typing import Any

from agenticaiframework.actors.simulation import HangTool, ModelFault, Simulation


class BadDay:
    """The model faults of one run's plan, with the requests and calls counted so far. One for each run."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self._faults: list[tuple[int, Any]] = list(enumerate(sim.plan.faults))
        self._counts: dict[int, int] = {}

    def at_request(self, agent: str) -> list[tuple[int, Any]]:
        """Count a request of *agent* to its model; return the faults, with their places, that strike it."""
        counts = self.sim.model_requests
        counts[agent] = counts.get(agent, 0) + 1
        return [
            (index, fault)
            for index, fault in self._faults
            if isinstance(fault, ModelFault)
            and fault.means(agent)
            and self._due(index, fault.at_request, fault.times)
        ]

    def at_call(self, agent: str, tool: str) -> list[tuple[int, Any]]:
        """Count a call of *tool* by *agent*; return the faults, with their places, that strike it."""
        counts = self.sim.tool_calls
        counts[agent, tool] = counts.get((agent, tool), 0) + 1
        return [
            (index, fault)
            for index, fault in self._faults
            if isinstance(fault, HangTool)
            and fault.means(agent, tool)
            and self._due(index, fault.at_call, fault.times)
        ]

    def land(self, index: int, fault: Any, where: str) -> None:
        """Note that a fault did its harm."""
        self.sim.injector.land(index, fault, where)

    async def hang(self) -> None:
        """Wait for ever."""
        await asyncio.get_running_loop().create_future()

    def _due(self, index: int, first: int, times: int) -> bool:
        count = self._counts[index] = self._counts.get(index, 0) + 1
        return first <= count < first + times
