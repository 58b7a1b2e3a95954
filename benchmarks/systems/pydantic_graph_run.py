"""Peer: pydantic-graph, typed steps; in memory only."""

# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import asyncio

from pydantic_graph import GraphBuilder, StepContext, reduce_sum

from benchmarks.flows import STEP_S, all_at_once, fanned_out, one_after_the_other
from benchmarks.protocol import Job, Outcome

DISTRIBUTIONS = ("pydantic-graph",)


def _sequence(wait_s: float):
    graph = GraphBuilder(input_type=int, output_type=int)
    steps = []
    for name in ("one", "two", "three"):

        async def step(ctx: StepContext[None, None, int]) -> int:
            if wait_s:
                await asyncio.sleep(wait_s)
            return ctx.inputs + 1

        steps.append(graph.step(step, node_id=name))
    graph.add(graph.edge_from(graph.start_node).to(steps[0]))
    graph.add(graph.edge_from(steps[0]).to(steps[1]))
    graph.add(graph.edge_from(steps[1]).to(steps[2]))
    graph.add(graph.edge_from(steps[2]).to(graph.end_node))
    return graph.build()


def _fan():
    graph = GraphBuilder(input_type=int, output_type=int)

    async def spread(ctx: StepContext[None, None, int]) -> list[int]:
        return [1] * ctx.inputs

    async def branch(ctx: StepContext[None, None, int]) -> int:
        return ctx.inputs

    spreading = graph.step(spread, node_id="spread")
    branching = graph.step(branch, node_id="branch")
    joining = graph.join(reduce_sum, initial=0)
    graph.add(graph.edge_from(graph.start_node).to(spreading))
    graph.add(graph.edge_from(spreading).map().to(branching))
    graph.add(graph.edge_from(branching).to(joining))
    graph.add(graph.edge_from(joining).to(graph.end_node))
    return graph.build()


def sequential(job: Job) -> Outcome:
    """Three steps, one after the other."""
    graph = _sequence(0)
    return asyncio.run(one_after_the_other(job, lambda: graph.run(inputs=0)))


def thousand(job: Job) -> Outcome:
    """Many runs at once, ten milliseconds a step."""
    graph = _sequence(STEP_S)
    return asyncio.run(all_at_once(job, lambda: graph.run(inputs=0)))


def fan_out(job: Job) -> Outcome:
    """One map and one join."""
    graph = _fan()
    return asyncio.run(fanned_out(job, lambda: graph.run(inputs=job.actors)))


WORKLOADS = {
    "fan-out": fan_out,
    "fan-out-workflow": fan_out,
    "sequential": sequential,
    "steps": sequential,
    "thousand": thousand,
    "thousand-workflows": thousand,
}
