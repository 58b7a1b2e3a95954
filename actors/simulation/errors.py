"""What can go wrong in a simulated run, as errors that say what to do about it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agenticaiframework.actors.errors import AgenticError


class SimulationError(AgenticError, RuntimeError):
    """What a simulated run cannot do, or what went wrong in it. The base of the others here."""


class RealIORefused(SimulationError):
    """Code under simulation reached for the real world."""

    def __init__(self, operation: str, instead: str) -> None:
        super().__init__(
            f"{operation} reaches outside the simulation, whose runs must be repeatable. {instead}"
        )
        self.operation = operation


class BadSimulation(SimulationError, ValueError):
    """A simulation was asked for in a way that cannot work: a wrong option, fault, or scenario."""


def refuse_running_loop(what: str) -> None:
    """Raise `BadSimulation` in asynchronous code, whose loop a simulation would hold up."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise BadSimulation(
        f"{what} runs on an event loop of its own, and in this thread one is running already. "
        "Call it in plain code, or in another thread: await asyncio.to_thread(simulate_once, "
        "scenario)."
    )


class SimulationStalled(SimulationError):
    """Nothing is runnable, no timer is set, and what was awaited is still not done.

    A real loop would wait for ever here.
    """

    def __init__(self, now_s: float, waiting: Sequence[str]) -> None:
        shown = "".join(f"\n  - {line}" for line in waiting[:20])
        more = f"\n  ... and {len(waiting) - 20} more" if len(waiting) > 20 else ""
        super().__init__(
            f"Nothing can happen any more at t={now_s:g} s: no callback is ready and no timer is "
            f"set. Still waiting:{shown or ' nothing that the loop knows of'}{more}\n"
            "Give the wait a timeout, or let something answer it."
        )
        self.now_s = now_s
        self.waiting = tuple(waiting)


class SimulationLivelock(SimulationError):
    """Callbacks kept running without the clock ever moving."""

    def __init__(self, now_s: float, steps: int, last: str) -> None:
        super().__init__(
            f"{steps} callbacks ran at t={now_s:g} s and more are ready; the last was {last}. "
            "Code that spins until time passes needs SimLoop(tick_s=1e-6), "
            "a long burst needs SimLoop(max_steps=...)."
        )
        self.now_s = now_s
        self.steps = steps


class SimulationTimeLimit(SimulationError):
    """The scenario was not done when its virtual time was up."""

    def __init__(self, limit_s: float, waiting: Sequence[str]) -> None:
        shown = "".join(f"\n  - {line}" for line in waiting[:20])
        super().__init__(
            f"The run is not done after {limit_s:g} virtual seconds. Still waiting:{shown}\n"
            "Raise limit_s if it may take so long."
        )
        self.limit_s = limit_s
        self.waiting = tuple(waiting)


class MachineStopped(SimulationError):
    """The simulated machine lost its power: nothing of the process goes on from here."""

    def __init__(self, step: int, now_s: float) -> None:
        super().__init__(f"the machine stops at step {step}, t={now_s:g} s")
        self.step = step


class InjectedCrash(Exception):
    """The error of a `Crash`, or of a `FailStart`: not a bug of the code under test."""
