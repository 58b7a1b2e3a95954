"""Whatever happens to a supervised tree, nobody waits for ever and nobody lives twice."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agenticaiframework.actors import ActorSystem, Agent, AgentError
from agenticaiframework.actors.simulation import run_sim
from agenticaiframework.supervision import (
    AgentSupervisor,
    ChildState,
    RestartPolicy,
    SupervisionError,
)

NAMES = ("a", "b", "io/x", "io/y")
REASONS = ("normal", "shutdown", "oops")

steps = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from(NAMES), st.sampled_from(("fine", "boom", "slow"))),
    st.tuples(st.just("tell"), st.sampled_from(NAMES), st.sampled_from(("fine", "boom"))),
    st.tuples(st.just("end"), st.sampled_from(NAMES), st.sampled_from((*REASONS, "kill"))),
    st.tuples(st.just("stop_child"), st.sampled_from(NAMES)),
    st.tuples(st.just("restart_child"), st.sampled_from(NAMES)),
    st.tuples(st.just("remove_child"), st.sampled_from(NAMES)),
    st.tuples(st.just("add_child"), st.sampled_from(NAMES)),
    st.tuples(st.just("kill supervisor"), st.sampled_from(("root", "io"))),
    st.tuples(st.just("start")),
    st.tuples(st.just("pause"), st.sampled_from((0.01, 0.5, 3.0))),
)

policies = st.builds(
    RestartPolicy,
    type=st.sampled_from(("permanent", "transient", "temporary")),
    max_restarts=st.integers(0, 4),
    within_seconds=st.sampled_from((1.0, 30.0)),
    initial_delay_ms=st.sampled_from((0.0, 200.0)),
)


class Tree:
    """A root with two agents and a supervisor of two more, and what was asked of them."""

    def __init__(self, strategy: str, policy: RestartPolicy, handlers: bool, mailbox: Any) -> None:
        self.io = AgentSupervisor("io", strategy, policy, mailbox=mailbox)
        self.root = AgentSupervisor("root", strategy, RestartPolicy(max_restarts=5))
        self.live: dict[str, int] = {}
        self.twice: list[str] = []
        self.asks: list[asyncio.Future[Any]] = []
        for name in NAMES:
            owner, short = self.owner(name)
            owner.add_child(short, self.agent(name))
        self.root.add_supervisor("io", self.io)
        if handlers:
            self.io.on_failure(self.think)
            self.root.on_max_restarts(lambda name: None)

    async def think(self, name: str, error: Exception, count: int) -> bool:
        await asyncio.sleep(0.3)
        return count < 3

    def owner(self, name: str) -> tuple[AgentSupervisor, str]:
        return (self.io, name[3:]) if name.startswith("io/") else (self.root, name)

    def agent(self, name: str) -> Agent:
        """An agent that notes when two of its incarnations live at the same time."""
        agent_name = f"{name} {len(self.live)}"
        self.live[agent_name] = 0

        async def handle(payload: str) -> str:
            if payload == "boom":
                raise ValueError("boom")
            if payload == "slow":
                await asyncio.sleep(1)
            return payload

        def began() -> None:
            self.live[agent_name] += 1
            if self.live[agent_name] > 1:
                self.twice.append(agent_name)

        def ended(_reason: Any) -> None:
            self.live[agent_name] -= 1

        return Agent(agent_name, handler=handle, on_start=began, on_stop=ended)

    async def ask(self, name: str, payload: str) -> Any:
        return await self.root.ask(name, payload)

    async def step(self, step: tuple[Any, ...]) -> None:
        what, *rest = step
        owner, short = self.owner(rest[0]) if rest and rest[0] in NAMES else (self.root, "")
        match what:
            case "ask":
                ask = asyncio.ensure_future(self.ask(*rest))
                ask.add_done_callback(lambda done: done.cancelled() or done.exception())
                self.asks.append(ask)
            case "tell":
                self.root.tell(*rest)
            case "end":
                ref = self.root.child(rest[0]).ref
                if ref is not None:
                    ref.exit(rest[1])
            case "kill supervisor":
                ref = (self.root if rest[0] == "root" else self.io).ref
                if ref is not None:
                    ref.kill()
            case "add_child":
                owner.add_child(short, self.agent(rest[0]))
            case "start":
                await self.root.start()
            case "pause":
                await asyncio.sleep(rest[0])
            case _:
                await getattr(owner, what)(short)


@settings(max_examples=150, report_multiple_bugs=False)
@given(
    strategy=st.sampled_from(("one_for_one", "one_for_all", "rest_for_one", "simple_one_for_one")),
    policy=policies,
    handlers=st.booleans(),
    mailbox=st.sampled_from(("keep", "drop")),
    plan=st.lists(steps, max_size=25),
    seed=st.integers(0, 2**16),
)
def test_nobody_waits_for_ever_and_nobody_lives_twice(
    strategy: str,
    policy: RestartPolicy,
    handlers: bool,
    mailbox: str,
    plan: list[tuple[Any, ...]],
    seed: int,
) -> None:
    async def main() -> None:
        async with ActorSystem(seed=seed) as system:
            tree = Tree(strategy, policy, handlers, mailbox)
            await tree.root.start()
            for step in plan:
                try:
                    await asyncio.wait_for(tree.step(step), 60)
                except (SupervisionError, AgentError):
                    pass  # refused, and said so
            await asyncio.sleep(60)
            # Everybody is up, down for good, or gone: nothing is still being decided.
            states = {c.state for s in (tree.root, tree.io) for c in s}
            assert states <= {
                ChildState.NEW,
                ChildState.RUNNING,
                ChildState.STOPPED,
                ChildState.GAVE_UP,
                ChildState.FAILED,
            }
            str(tree.root.tree())
            await asyncio.wait_for(tree.root.stop(), 60)
            await asyncio.sleep(1)
            unanswered = [ask for ask in tree.asks if not ask.done()]
            assert unanswered == []
            for ask in tree.asks:
                error = ask.exception()
                assert error is None or isinstance(error, SupervisionError | AgentError)
            assert tree.twice == []
            assert [ref for ref in system.actors() if ref.name in tree.live] == []

    run_sim(main, seed=seed)
