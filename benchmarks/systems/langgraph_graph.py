"""Peer: LangGraph, graphs run in supersteps; durable runs use its SQLite checkpointer with ``durability="sync"``."""

# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import asyncio
import itertools
import operator
from typing import Annotated, TypedDict

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from benchmarks.flows import STEP_S, all_at_once, durably, fanned_out, one_after_the_other
from benchmarks.protocol import Job, Outcome

DISTRIBUTIONS = ("langgraph", "langgraph-checkpoint-sqlite")


class Value(TypedDict):
    """What flows through the sequence."""

    value: int


class Total(TypedDict):
    """What the branches add to."""

    branches: int
    total: Annotated[int, operator.add]


async def agent(state):
    """Add one, at once."""
    return {"value": state["value"] + 1}


async def slow_agent(state):
    """Add one after ten milliseconds."""
    await asyncio.sleep(STEP_S)
    return {"value": state["value"] + 1}


async def branch(state):
    """Add one to the total."""
    return {"total": 1}


def _sequence(step):
    graph = StateGraph(Value)
    for name in ("one", "two", "three"):
        graph.add_node(name, step)
    graph.add_edge(START, "one")
    graph.add_edge("one", "two")
    graph.add_edge("two", "three")
    graph.add_edge("three", END)
    return graph


def sequential(job: Job) -> Outcome:
    """Three nodes, one after the other."""
    app = _sequence(agent).compile()

    async def once() -> int:
        return (await app.ainvoke({"value": 0}))["value"]

    return asyncio.run(one_after_the_other(job, once))


def thousand(job: Job) -> Outcome:
    """Many invocations at once, ten milliseconds a node."""
    app = _sequence(slow_agent).compile()

    async def once() -> int:
        return (await app.ainvoke({"value": 0}))["value"]

    return asyncio.run(all_at_once(job, once))


def fan_out(job: Job) -> Outcome:
    """As many sends to one node."""
    graph = StateGraph(Total)
    graph.add_node("branch", branch)
    graph.add_conditional_edges(
        START, lambda state: [Send("branch", state) for _ in range(state["branches"])]
    )
    graph.add_edge("branch", END)
    app = graph.compile()

    async def once() -> int:
        return (await app.ainvoke({"branches": job.actors, "total": 0}))["total"]

    return asyncio.run(fanned_out(job, once))


def durable(job: Job) -> Outcome:
    """A checkpoint is on disk before the next superstep."""
    numbers = itertools.count()

    async def main() -> Outcome:
        async with AsyncSqliteSaver.from_conn_string(str(job.scratch / "langgraph.db")) as saver:
            app = _sequence(agent).compile(checkpointer=saver)

            async def once() -> int:
                config = {"configurable": {"thread_id": str(next(numbers))}}
                return (await app.ainvoke({"value": 0}, config, durability="sync"))["value"]

            return await durably(job, once)

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
