"""Agents that handle several messages at once: never more than declared, and each failure alone."""

from __future__ import annotations

import asyncio
from typing import Any

from agenticaiframework.actors import Agent, AgentTimeout
from agenticaiframework.actors.simulation import Simulation
from agenticaiframework.supervision import AgentSupervisor, RestartPolicy, SupervisionStrategy

from .calm import until_calm

LONG_S = 5000.0


class _Watch:
    """What happened at one agent."""

    def __init__(self, sim: Simulation, name: str, concurrency: int, slow_start: bool) -> None:
        self.sim = sim
        self.agent = Agent(
            name,
            handler=self._handle,
            concurrency=concurrency,
            on_start=self._start if slow_start else None,
        )
        self.handled: dict[int, int] = {}
        self.finished: set[int] = set()
        self._meeting = 0
        self._met = asyncio.Event()

    @property
    def incarnations(self) -> int:
        """How many there are, by the system's own list."""
        prefix = f"{self.agent.name}["
        return sum(ref.label.startswith(prefix) for ref in self.sim.system.actors())

    def look(self) -> None:
        """Hold the rule that there are never more than declared."""
        agent = self.agent
        for count in (self.incarnations, agent.busy, len(agent.address().handlers())):
            self.sim.expect(
                count <= agent.concurrency,
                "never more incarnations than declared",
                f"{count} of {agent.name}, which has {agent.concurrency}",
            )

    async def _start(self) -> None:
        self.look()
        await asyncio.sleep(0.05)

    async def _handle(self, payload: tuple[int, str, float]) -> int:
        number, what, seconds = payload
        self.look()
        if what == "meet":
            self._meeting += 1
            if self._meeting >= self.agent.concurrency:
                self._met.set()
            await self._met.wait()
            return number
        self.handled[number] = self.handled.get(number, 0) + 1
        await asyncio.sleep(seconds)
        self.finished.add(number)
        if what == "crash":
            raise ValueError("a request that crashes its incarnation")
        return number

    async def all_can_meet(self) -> bool:
        """Tell whether as many as declared are handled at once."""
        self._meeting = 0
        self._met.clear()
        asks = [
            self.agent.request((-1, "meet", 0.0), timeout=LONG_S)
            for _ in range(self.agent.concurrency)
        ]
        outcomes = [await self.sim.attempt(ask) for ask in asks]
        return all(outcome.ok for outcome in outcomes)


async def pools(sim: Simulation) -> None:
    """Never more incarnations than declared, no request lost, and a crash costs its own request only."""
    rng = sim.random
    watches = [_Watch(sim, f"agent{n}", rng.randint(2, 4), rng.random() < 0.5) for n in range(2)]
    supervisor: AgentSupervisor | None = None
    if rng.random() < 0.6:
        supervisor = AgentSupervisor(
            "pool",
            SupervisionStrategy.ONE_FOR_ONE,
            RestartPolicy(
                max_restarts=1000, within_seconds=60, initial_delay_ms=rng.choice([0, 100])
            ),
        )
        for watch in watches:
            supervisor.add_child(watch.agent.name, watch.agent)
        await supervisor.start()
    dead: list[Any] = []
    sim.system.dead_letters.subscribe(dead.append)
    asked: list[tuple[int, str, Any]] = []
    withdrawn: dict[int, Any] = {}
    told: list[tuple[int, str]] = []
    for number in range(30):
        watch = rng.choice(watches)
        what = "crash" if rng.random() < 0.15 else "work"
        payload = (number, what, rng.choice([0.0, 0.01, 0.3]))
        chance = rng.random()
        if chance < 0.5:
            asked.append((number, what, watch.agent.request(payload, timeout=LONG_S)))
        elif chance < 0.7:
            withdrawn[number] = watch.agent.request((number, "work", 0.3), timeout=0.1)
        else:
            watch.agent.tell(payload)
            told.append((number, what))
        if rng.random() < 0.3:
            await asyncio.sleep(rng.choice([0, 0.01, 1]))
    failed = 0
    for number, what, request in asked:
        outcome = await sim.attempt(request)
        if outcome.ok:
            right = outcome.value == number
            sim.expect(right, "the answer is that to the question", f"{outcome.value!r}")
            sim.expect(what == "work", "a request that crashed has no answer", f"{number}")
        else:
            failed += what == "work"
            hung = isinstance(outcome.error, AgentTimeout)
            sim.expect(not hung, "no request is lost", f"{number}: {outcome.error!r}")
    for request in withdrawn.values():
        await sim.attempt(request)
    await asyncio.sleep(LONG_S)
    finished = {n for watch in watches for n in watch.finished}
    landed_kinds = {landed.fault.kind for landed in sim.injector.landed}
    if not landed_kinds & {"swallow_cancel", "slow", "block_loop"}:
        left = sorted(finished.intersection(withdrawn))
        sim.expect(not left, "work that was withdrawn is cancelled", f"{left} went on")
    # A fault that strikes one incarnation costs what that has, one that strikes the pool all it has.
    cost = sum(
        1 if "[" in landed.where else max(watch.agent.concurrency for watch in watches)
        for landed in sim.injector.landed
    )
    sim.expect(
        failed <= cost,
        "a failure costs only its own request",
        f"{failed} innocent requests failed, and what went wrong accounts for {cost}",
    )
    handled = {n: times for watch in watches for n, times in watch.handled.items()}
    for number, times in handled.items():
        sim.expect(times == 1, "no message is handled twice", f"{number}: {times} times")
    lost = {getattr(letter.message, "payload", (None,))[0] for letter in dead}
    for number, _what in told:
        known = number in handled or number in lost
        sim.expect(known, "no told message vanishes", f"{number} is nowhere")
    await until_calm(sim, 100)
    for watch in watches:
        sim.expect(watch.agent.busy == 0, "what is done is not busy", f"{watch.agent.busy}")
        before = len(sim.injector.landed)
        met = await watch.all_can_meet()
        sim.expect(
            met or len(sim.injector.landed) > before,
            "what failed is replaced",
            f"{watch.agent.name} does not handle {watch.agent.concurrency} at once any more",
        )
        await asyncio.sleep(1000)
        if len(sim.injector.landed) == before:
            sim.expect(
                watch.incarnations <= 1, "idle incarnations end", f"{watch.incarnations} are left"
            )
    if supervisor is not None:
        for watch in watches:
            child = supervisor.child(watch.agent.name)
            sim.expect(child.is_alive, "an agent within its budget is running", f"{child!r}")
        await supervisor.stop()
    for watch in watches:
        await watch.agent.stop()
        sim.expect(watch.incarnations == 0, "they end with their pool", f"{watch.incarnations}")
