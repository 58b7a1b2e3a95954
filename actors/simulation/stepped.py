"""A simulation that is driven from outside, a step at a time: for state machines and consoles."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from .report import Report
from .simulation import Check, Simulation

T = TypeVar("T")


class SteppedSimulation(Simulation):
    """Holds a live system between calls: `open`, then `drive` and `settle`, then `close`.

    Time stands still between the calls. Takes what `Simulation` takes; machines do not stop here.
    """

    def open(self) -> None:
        """Enter the actor system."""
        self._logs.__enter__()
        self._context = contextvars.copy_context()
        system, lanes = self.make_system()

        async def enter() -> None:
            await system.__aenter__()
            self.watch(system, lanes)

        self.drive(enter)

    def drive(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run ``await call()`` inside the system, and return or raise what comes of it.

        Raises `SimulationStalled` where it would wait for ever.
        """
        task = self.loop.create_task(call(), context=self._context, name="drive")
        return self.loop.run_until_complete(task)

    def settle(self, for_s: float = 0.0) -> None:
        """Let *for_s* seconds pass, with everything that happens in them."""
        until = self.loop.time() + for_s
        self.loop.settle(until=until)
        self.loop.advance_to(until)

    def close(self, checks: Iterable[Check] = ()) -> Report:
        """Stop the system, check what must always hold, and return the report."""
        report = Report(self.seed, self.plan)
        system = self.system

        async def leave() -> None:
            await system.__aexit__(None, None, None)
            await self.stopped(system)

        try:
            self.drive(leave)
            self.clear_up()
        finally:
            self._logs.__exit__(None, None, None)
        return self.complete(report, checks)
