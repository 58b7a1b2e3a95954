"""Questions: whatever is cut off when, each is answered once, and its handler gets just that answer."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from agenticaiframework.actors import Agent, agent_context
from agenticaiframework.actors.simulation import Simulation
from agenticaiframework.patterns.engine import (
    AlreadyAnswered,
    EngineConfig,
    EventKind,
    OrchestrationEngine,
    WorkflowEnded,
    WorkflowExists,
)
from agenticaiframework.patterns.engine.store.grouped.store import GroupedStore
from agenticaiframework.patterns.engine.store.memory import MemoryBackend, MemoryDisk
from agenticaiframework.patterns.engine.store.simulated import simulated_store

EPOCH_S = 1_700_000_000.0


class World:
    """What survives the machine beside its disk: what was asked, done and answered."""

    def __init__(self, rng: random.Random) -> None:
        self.calls = [rng.choice(["ask", "ask", "do", "both"]) for _ in range(rng.randint(1, 4))]
        self.asks = rng.random() < 0.4
        self.items = rng.choice([0, 0, 3])
        self.at_once = rng.choice([1, 2])
        self.code = rng.random() < 0.3 and not self.items
        self.fails = rng.randint(0, 1)
        self.stored = rng.random() < 0.8
        self.plain = rng.random() < 0.4
        """Whether a function is asked, and no agent."""
        self.every_s = rng.choice([0.02, 0.1, 0.3])
        self.answerers = rng.choice([1, 1, 2])
        self.patient = rng.random() < 0.5
        """Whether answers come only to a run that waits."""
        self.staggered = rng.random() < 0.5
        """Whether items ask one after the other, so that one is answered while another works."""
        self.lingers_s = rng.choice([0.0, 0.0, 0.03])
        """How long a handler that is put away needs to end: an answer may come meanwhile."""
        self.attempts = 0
        self.begun = 0
        self.answers = 0
        self.kept: dict[str, list[int]] = {}
        """The answers that were kept, by the question's id."""
        self.perhaps: dict[str, list[int]] = {}
        """Those of which it is not known."""
        self.got: list[tuple[str, int]] = []
        self.made: list[tuple[str, float]] = []

    def flow(self) -> dict[str, Any]:
        retry = {"attempts": 30, "initial_delay_s": 0.5}
        step: dict[str, Any] = {"id": "work", "agent": "agent-outer", "retry": retry}
        if self.items:
            items = {"for_each": list(range(self.items)), "max_concurrency": self.at_once}
            step |= {**items, "input": "$item"}
        return {"name": "flow", "steps": [step]}


async def questions(sim: Simulation) -> str:
    """One run whose handlers ask, and another program that answers, over faults of everything."""
    if "world" not in sim.disk:
        sim.disk["world"] = World(sim.random)
    world: World = sim.disk["world"]
    active: set[object] = set()

    async def do() -> int:
        world.made.append((agent_context()["idempotency_key"], sim.time()))
        await asyncio.sleep(0.1)
        return len(world.made)

    async def ask(name: str) -> int:
        context = agent_context()
        answer: int = await context.question(name)
        world.got.append((f"{context.get('item')}/{name}", answer))
        return answer

    async def handler(_: Any) -> list[int]:
        token = object()
        world.begun += 1
        active.add(token)
        try:
            got: list[int] = []
            if world.staggered:
                await asyncio.sleep(0.15 * (agent_context().get("item") or 0))
            for number, call in enumerate(world.calls):
                if call == "do":
                    got.append(await agent_context().step(f"do{number}", do))
                elif call == "ask":
                    got.append(await ask(f"q{number}"))
                else:
                    got += await asyncio.gather(
                        agent_context().step(f"do{number}", do),
                        ask(f"q{number}"),
                        ask(f"r{number}"),
                    )
            world.attempts += 1
            if world.attempts <= world.fails:
                raise RuntimeError("cut off")
            return got
        finally:
            await asyncio.sleep(world.lingers_s)
            active.discard(token)

    inner = Agent("agent-inner", handler=handler, concurrency=4)

    async def outer(payload: Any) -> Any:
        return await (inner.ask(payload) if world.asks else handler(payload))

    engine = OrchestrationEngine(
        EngineConfig(
            state_store=simulated_store(sim),
            persist_state=world.stored,
            recover_on_start=True,
            recover_every_seconds=1,
            lease_seconds=3,
            wall_clock=lambda: EPOCH_S + sim.time(),
        )
    )
    agent = Agent("agent-outer", handler=outer, concurrency=4)
    engine.register_agent("agent-outer", outer if world.plain else agent)

    async def answer() -> None:
        """Answer what is open, now and then twice."""
        while True:
            await asyncio.sleep(world.every_s)
            try:
                status = await engine.get_workflow_status("r")
                open_ = [one.id for one in status.questions]
                if status.state == "waiting" and open_:
                    before = world.begun
                    await asyncio.sleep(0.05)  # what is cut off is on its way to its end
                    late = active and world.begun == before
                    sim.expect(not late, "a run that waits has no handler", f"{open_}")
                elif world.patient:
                    continue
                for known in open_:
                    one = [_answer_one(engine, world, known) for _ in range(world.answerers)]
                    await asyncio.gather(*one, return_exceptions=True)
                    if world.stored and world.answerers == 1 and not sim.injector.landed:
                        kept = [name for name in _pending(sim) if name.endswith(known)]
                        sim.expect(
                            len(kept) <= 1, "an answer that is refused is not kept", f"{kept}"
                        )
            except Exception:
                continue  # the store refuses for a while, or the run has ended

    async def one() -> Any:
        async with engine:
            for _ in range(20):
                try:
                    await engine.start_workflow(workflow=world.flow(), workflow_id="r")
                    break
                except WorkflowExists:
                    break
                except Exception:
                    await asyncio.sleep(1)  # the store refuses for a while
            answering = asyncio.create_task(answer())
            try:
                return await asyncio.wait_for(engine.wait("r"), 2000)
            finally:
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)

    outcome = await sim.attempt(one())
    if not sim.injector.landed:
        sim.expect(outcome.ok, "a workflow without faults completes", repr(outcome.error))
    if outcome.ok:
        results = outcome.value["work"]
        whole = sum(3 if call == "both" else 1 for call in world.calls)
        for one_of_them in results if world.items else [results]:
            sim.expect(
                isinstance(one_of_them, list) and len(one_of_them) == whole,
                "what each handler has returned is in the result",
                f"{results}",
            )
    made = [key for key, _ in world.made]
    sim.expect(
        bool(sim.injector.landed) or len(set(made)) == len(made),
        "a question cuts off no inner step",
        f"{made}",
    )
    if world.stored:
        await _check_journal(sim, world)
    return "completed" if outcome.ok else type(outcome.error).__name__


def _pending(sim: Simulation) -> list[str]:
    """Return the names of the signals that lie in the store and were not taken yet."""
    backend = MemoryBackend(clock=sim.time, disk=sim.disk["store"])
    return [name for _, (_, name, *_) in backend.signals_of(["r"])]


async def _answer_one(engine: OrchestrationEngine, world: World, known: str) -> None:
    world.answers += 1
    value = world.answers
    try:
        await engine.answer("r", known, value)
    except (AlreadyAnswered, WorkflowEnded, LookupError):
        return
    except BaseException:
        world.perhaps.setdefault(known, []).append(value)
        raise
    world.kept.setdefault(known, []).append(value)


async def _check_journal(sim: Simulation, world: World) -> None:
    disk: MemoryDisk = sim.disk["store"]
    reader = GroupedStore(MemoryBackend(clock=sim.time, disk=disk), clock=sim.time, inline=True)
    await reader.open()
    for entries in (await reader.read_journals(["r"])).values():
        asked: set[str] = set()
        answered: dict[str, int] = {}
        by_name: dict[str, int] = {}
        recorded: dict[str, float] = {}
        for entry in entries:
            data = entry.data or {}
            if entry.kind == EventKind.QUESTION_ASKED:
                sim.expect(data["question"] not in asked, "a question is recorded once", f"{data}")
                asked.add(data["question"])
            elif entry.kind == EventKind.QUESTION_ANSWERED:
                sim.expect(data["question"] in asked, "what is answered was asked", f"{data}")
                sim.expect(data["question"] not in answered, "an answer is taken once", f"{data}")
                answered[data["question"]] = data["output"]
                by_name[f"{data.get('item')}/{data['name']}"] = data["output"]
            elif entry.kind == EventKind.INNER_COMPLETED:
                recorded[f"{data.get('item')}{data['place']}"] = entry.at - EPOCH_S
        for known, value in answered.items():
            kept, perhaps = world.kept.get(known, []), world.perhaps.get(known, [])
            sim.expect(value in kept + perhaps, "an answer is one that was given", f"{known}")
            sim.expect(
                len(kept) <= 1 and (not kept or value == kept[0] or bool(perhaps)),
                "of several answers the first counts, and the others are told",
                f"{known}: {kept}, perhaps {perhaps}, and it got {value}",
            )
        for where, value in world.got:
            sim.expect(
                by_name.get(where) == value, "a handler gets the recorded answer",
                f"{where} got {value}, and {by_name.get(where)} is recorded",
            )  # fmt: skip
    await reader.close()
