"""Actors that set themselves timers: what they send themselves is for one incarnation."""

from __future__ import annotations

import asyncio
from typing import Any

from agenticaiframework.actors import Actor, ActorDied, MailboxFull
from agenticaiframework.actors.simulation import Simulation
from agenticaiframework.supervision import AgentSupervisor, ChildStopped, RestartPolicy


class Session(Actor):
    """Tells itself its number by timers and by `pipe_to`, and crashes when asked to."""

    def __init__(self, sim: Simulation, starts: list[int]) -> None:
        super().__init__()
        self.sim = sim
        self.starts = starts

    def on_start(self) -> None:
        self.starts.append(len(self.starts))
        self.number = self.starts[-1]
        self.send_after(0.25, ("timer", self.number))
        self.send_interval(0.2, ("tick", self.number))
        self.pipe_to(asyncio.sleep(0.25, ("piped", self.number)))

    async def on_receive(self, message: Any) -> None:
        if isinstance(message, tuple):
            what, number = message
            self.sim.expect(
                number == self.number, "what an actor sends itself dies with it",
                f"{what} of {number} at {self.number}",
            )  # fmt: skip
            return
        await asyncio.sleep(0.3)
        if message == ["crash"]:
            raise RuntimeError("told to")


async def own_messages(sim: Simulation) -> None:
    """A supervised session crashes while its own messages wait in its mailbox."""
    policy = RestartPolicy(max_restarts=1000, initial_delay_ms=100, max_delay_ms=100)
    starts: list[int] = []
    async with AgentSupervisor("sessions", restart_policy=policy) as supervisor:
        supervisor.add_child("session", (Session, sim, starts))
        for _ in range(sim.random.randint(2, 5)):
            await asyncio.sleep(sim.random.choice([0.1, 0.3, 0.7]))
            try:
                supervisor.tell("session", [sim.random.choice(["crash", "crash", "work"])])
            except (ActorDied, MailboxFull, ChildStopped):
                return
        await asyncio.sleep(3)
    await asyncio.sleep(0.1)  # what was piped is being cancelled
