"""Whose context a handler runs in: its caller's, from its first step to its last, and nobody else's."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import Any

from agenticaiframework.actors import (
    Actor,
    ActorDied,
    ActorRef,
    Agent,
    MailboxFull,
    agent_context,
    with_context,
)
from agenticaiframework.actors.simulation import Simulation
from agenticaiframework.patterns import ParallelOrchestration, SequentialOrchestration
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.patterns.engine.store.simulated import EPOCH_S
from agenticaiframework.supervision import AgentSupervisor, RestartPolicy

user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")

LIMIT_S = 5_000.0

Way = Callable[[str], Awaitable[Any]]


class Watch:
    """Looks whether handlers see whom they work for, and notes the keys of what they are asked."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.keys: dict[str, set[str]] = {}
        """Which work each idempotency key stood for."""

    def sees(self, name: str, where: str) -> None:
        """Hold this place to seeing *name*."""
        seen = user.get()
        self.sim.expect(
            seen == name, "a handler sees who asks, and nobody else", f"{where}: {seen}, not {name}"
        )

    def key(self, work: str) -> None:
        """Note that the running handler does *work* under its key."""
        key = agent_context().get("idempotency_key")
        if key is not None:
            done = self.keys.setdefault(key, set())
            done.add(work)
            self.sim.expect(len(done) == 1, "a key stands for one piece of work", f"{key}: {done}")

    async def handle(self, name: str) -> str:
        """Look, wait, and look again; in a task too; set what nobody may see."""
        self.sees(name, "a handler")
        mine = f"set for {name}"
        user.set(mine)
        await asyncio.sleep(self.sim.random.choice([0, 0, 0.01, 1]))
        self.sees(mine, "a handler after its wait")
        user.set(name)
        await asyncio.create_task(self.later(name))
        self.sees(name, "a handler after its task")
        return name

    async def later(self, name: str) -> None:
        await asyncio.sleep(0)
        self.sees(name, "a task of a handler")

    def handle_plain(self, name: str) -> str:
        self.sees(name, "a plain handler")
        user.set(f"set for {name}")
        return name

    async def worker(self, work: tuple[str, str]) -> str:
        name, what = work
        self.key(what)
        self.sees(name, "a nested handler")
        await asyncio.sleep(self.sim.random.choice([0, 0.01]))
        self.sees(name, "a nested handler after its wait")
        return what


class Own(Actor):
    """A raw actor: plain messages and hooks find its own context, carried ones their sender's."""

    def __init__(self, watch: Watch, asynchronous: bool) -> None:
        super().__init__()
        self.watch = watch
        self.asynchronous = asynchronous

    def on_start(self) -> None:
        self.watch.sees("nobody", "on_start")
        user.set("the actor")

    def on_receive(self, message: tuple[str, str]) -> Any:
        kind, name = message
        if kind == "crash":
            user.set(f"set for {name}")
            raise ValueError(name)
        expected = name if kind == "carried" else "the actor"
        if self.asynchronous:
            return self.work(kind, expected)
        self.watch.sees(expected, f"a {kind} message")
        if kind == "carried":
            user.set(f"set for {name}")
        return kind

    async def work(self, kind: str, expected: str) -> str:
        self.watch.sees(expected, f"a {kind} message")
        if kind == "carried":
            expected = f"set for {expected}"
            user.set(expected)
        await asyncio.sleep(0.01)
        self.watch.sees(expected, f"a {kind} message after a wait")
        return kind

    def on_stop(self) -> None:
        self.watch.sees("the actor", "on_stop")

    def on_failure(self, *error: Any) -> None:
        self.watch.sees("the actor", "on_failure")


class Nudges(Actor):
    """Has an idle actor handle a message inside its own turn."""

    def on_receive(self, message: tuple[ActorRef[Any], Any]) -> bool:
        target, inner = message
        return target.handle_now(inner)


class World:
    """The agents and actors of one schedule, and the ways to ask them."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.watch = watch = Watch(sim)
        rng = sim.random
        self.agents = [
            Agent("agent-async", handler=watch.handle),
            Agent("agent-plain", handler=watch.handle_plain),
            Agent("agent-loop", handler=watch.handle_plain, dispatcher="event_loop"),
        ]
        self.inner = [Agent(f"agent-inner{n}", handler=watch.worker) for n in range(2)]
        self.outer = Agent("agent-outer", handler=self.ask_inner)
        self.raw = [sim.system.start(Own, watch, rng.random() < 0.5) for _ in range(2)]
        self.nudges = sim.system.start(Nudges)
        config = EngineConfig(wall_clock=lambda: EPOCH_S + sim.time())
        self.engine = OrchestrationEngine(config)
        self.ways: tuple[Way, ...] = (
            self.ask, self.ask, self.tell, self.tell, self.raw_messages, self.raw_messages,
            self.nested, self.pattern, self.workflow,
        )  # fmt: skip

    async def ask_inner(self, name: str) -> None:
        self.watch.sees(name, "an outer handler")
        first, second = self.inner
        await asyncio.gather(first.ask((name, f"{name}: one")), second.ask((name, f"{name}: two")))
        # Not beside the first: of two that are asked at once either may be the first.
        await first.ask((name, f"{name}: three"))

    async def ask(self, name: str) -> None:
        agent = self.sim.random.choice(self.agents)
        answer = await agent.ask(name, timeout=self.sim.random.choice([None, 0.5, 60]))
        self.sim.expect(answer == name, "an answer is that to the question", f"{answer}")

    async def tell(self, name: str) -> None:
        for agent in self.sim.random.sample(self.agents, 2):
            agent.tell(name)

    async def raw_messages(self, name: str) -> None:
        live = [ref for ref in self.raw if ref.is_alive()]
        carried: Any = with_context(("carried", name))
        for ref in live:
            ref.tell(("plain", name))
            ref.tell(carried)  # the same to several
            if self.sim.random.random() < 0.5:
                self.nudges.tell((ref, carried))
        for ref in live:
            await ref.request(("plain", name), timeout=600)
        if live and self.sim.random.random() < 0.2:
            live[0].tell(with_context(("crash", name)))

    async def nested(self, name: str) -> None:
        await self.outer.ask(name, timeout=600, context={"idempotency_key": f"key of {name}"})

    async def pattern(self, name: str) -> None:
        steps = [self.agents[0], self.watch.handle, self.watch.handle_plain, self.agents[2]]
        line = SequentialOrchestration(name="line", steps=steps)
        fan = ParallelOrchestration(name="fan", branches=[line, self.agents[1], self.outer])
        await fan.execute(name, timeout=600)

    async def workflow(self, name: str) -> None:
        agents: list[Any] = [self.agents[0], self.watch.handle, self.watch.handle_plain]
        flow = [
            {"id": f"s{n}", "agent": agent, "input": "$input"} for n, agent in enumerate(agents)
        ]
        flow.insert(1, {"id": "pause", "wait_for": "go"})
        run_id = await self.engine.start_workflow({"name": "flow", "steps": flow}, name)
        user.set("who signals")
        await asyncio.sleep(self.sim.random.choice([0, 0.01, 3]))
        await self.engine.signal_workflow(run_id, "go")
        await self.engine.wait(run_id, timeout=600)


async def callers(sim: Simulation) -> None:
    """Several users at once, over every way to a handler, each seen by their own handlers alone."""
    user.set("who started the system")
    world = World(sim)
    rng = sim.random

    async def visit(name: str) -> None:
        user.set(name)
        for _ in range(rng.choice([1, 2, 3])):
            await sim.attempt(rng.choice(world.ways)(name))
            user.set(name)
            await asyncio.sleep(rng.choice([0, 0, 0.01]))

    async def visits() -> None:
        names = [f"user {n}" for n in range(rng.choice([2, 4, 6]))]
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(*map(visit, names))
        await asyncio.sleep(LIMIT_S)

    if rng.random() < 0.4:
        async with AgentSupervisor(
            "supervisor", restart_policy=RestartPolicy(max_restarts=100)
        ) as supervisor:
            for agent in (*world.agents, *world.inner):
                await supervisor.add_child(agent.name, agent)
            await visits()
    else:
        await visits()
    for ref in sim.system.actors():
        own = ref._own_context  # pyright: ignore[reportPrivateUsage]
        kept = ref._context is not own  # pyright: ignore[reportPrivateUsage]
        busy = sim.system.info(ref).state != "idle"
        sim.expect(busy or not kept, "an idle actor keeps nobody's context", ref.label)
    for ref in world.raw:
        try:
            ref.tell(("plain", "last"))
            ref.exit("done")
        except (ActorDied, MailboxFull):
            pass
    await world.engine.stop()
