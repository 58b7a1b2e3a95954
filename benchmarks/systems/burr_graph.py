"""Peer: Burr, state machines of actions; the graph is built once, an application of it for each run."""

# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator

from burr.core import ApplicationBuilder, State, action
from burr.core.graph import GraphBuilder
from burr.core.parallelism import MapStates
from burr.integrations.persisters.b_aiosqlite import AsyncSQLitePersister

from benchmarks.flows import STEP_S, all_at_once, durably, fanned_out, one_after_the_other
from benchmarks.protocol import Job, Outcome

DISTRIBUTIONS = ("apache-burr", "aiosqlite")


@action(reads=["value"], writes=["value"])
async def agent(state: State) -> State:
    """Add one, at once."""
    return state.update(value=state["value"] + 1)


@action(reads=["value"], writes=["value"])
async def slow_agent(state: State) -> State:
    """Add one after ten milliseconds."""
    await asyncio.sleep(STEP_S)
    return state.update(value=state["value"] + 1)


class Fan(MapStates):
    """Run the agent on many states and add up."""

    @property
    def reads(self) -> list[str]:
        """What it reads."""
        return ["branches"]

    @property
    def writes(self) -> list[str]:
        """What it writes."""
        return ["total"]

    def is_async(self) -> bool:
        """Say that the branches are coroutines."""
        return True

    def action(self, state: State, inputs: dict) -> object:
        """Return what runs in each branch."""
        return agent

    async def states(
        self, state: State, context: object, inputs: dict
    ) -> AsyncGenerator[State, None]:
        """Give each branch its state."""
        for _ in range(state["branches"]):
            yield state.update(value=0)

    async def reduce(self, state: State, states: AsyncGenerator[State, None]) -> State:
        """Add up."""
        total = 0
        async for one in states:
            total += one["value"]
        return state.update(total=total)


def _graph(step):
    return (
        GraphBuilder()
        .with_actions(one=step, two=step, three=step)
        .with_transitions(("one", "two"), ("two", "three"))
        .build()
    )


async def _run(graph) -> int:
    application = (
        await ApplicationBuilder()
        .with_graph(graph)
        .with_state(value=0)
        .with_entrypoint("one")
        .abuild()
    )
    _, _, state = await application.arun(halt_after=["three"])
    return state["value"]


def sequential(job: Job) -> Outcome:
    """Three actions, one after the other."""
    graph = _graph(agent)
    return asyncio.run(one_after_the_other(job, lambda: _run(graph)))


def thousand(job: Job) -> Outcome:
    """Many applications at once, ten milliseconds an action."""
    graph = _graph(slow_agent)
    return asyncio.run(all_at_once(job, lambda: _run(graph)))


def fan_out(job: Job) -> Outcome:
    """One mapping action."""
    graph = GraphBuilder().with_actions(fan=Fan()).build()

    async def once() -> int:
        application = (
            await ApplicationBuilder()
            .with_graph(graph)
            .with_state(branches=job.actors)
            .with_entrypoint("fan")
            .abuild()
        )
        _, _, state = await application.arun(halt_after=["fan"])
        return state["total"]

    return asyncio.run(fanned_out(job, once))


def durable(job: Job) -> Outcome:
    """The state is saved after every action, by its SQLite persister."""
    graph = _graph(agent)
    numbers = itertools.count()

    async def main() -> Outcome:
        persister = await AsyncSQLitePersister.from_values(str(job.scratch / "burr.db"))
        await persister.initialize()

        async def once() -> int:
            application = await (
                ApplicationBuilder()
                .with_graph(graph)
                .with_identifiers(app_id=str(next(numbers)))
                .with_state(value=0)
                .with_entrypoint("one")
                .with_state_persister(persister)
                .abuild()
            )
            _, _, state = await application.arun(halt_after=["three"])
            return state["value"]

        outcome = await durably(job, once)
        await persister.close()
        return outcome

    return asyncio.run(main())


WORKLOADS = {
    "durable": durable,
    "durable-100": durable,
    "fan-out": fan_out,
    "fan-out-workflow": fan_out,
    "sequential": sequential,
    "steps": sequential,
    "thousand": thousand,
    "thousand-workflows": thousand,
}
