"""Peer: Microsoft Agent Framework, executors in supersteps; a workflow object runs one thing at a time.

Durable runs write a checkpoint file after every superstep; nothing is synced to the disk.
"""

# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import asyncio
from typing import Never

from agent_framework import (
    Executor,
    FileCheckpointStorage,
    WorkflowBuilder,
    WorkflowContext,
    handler,
)

from benchmarks.flows import STEP_S, all_at_once, durably, fanned_out, one_after_the_other
from benchmarks.protocol import Job, Outcome

DISTRIBUTIONS = ("agent-framework-core",)


class Step(Executor):
    """Add one and pass it on."""

    def __init__(self, id: str, wait_s: float = 0.0) -> None:
        super().__init__(id=id)
        self.wait_s = wait_s

    @handler
    async def run(self, value: int, ctx: WorkflowContext[int]) -> None:
        """Pass on."""
        if self.wait_s:
            await asyncio.sleep(self.wait_s)
        await ctx.send_message(value + 1)


class Last(Step):
    """Add one and end."""

    @handler
    async def run(self, value: int, ctx: WorkflowContext[Never, int]) -> None:
        """End."""
        if self.wait_s:
            await asyncio.sleep(self.wait_s)
        await ctx.yield_output(value + 1)


class Start(Executor):
    """Give every branch its input."""

    @handler
    async def run(self, value: int, ctx: WorkflowContext[int]) -> None:
        """Send to all."""
        await ctx.send_message(value)


class Join(Executor):
    """Add up what the branches gave."""

    @handler
    async def run(self, values: list[int], ctx: WorkflowContext[Never, int]) -> None:
        """End."""
        await ctx.yield_output(sum(values))


async def _sequence(wait_s: float = 0.0, storage: FileCheckpointStorage | None = None) -> int:
    one, two, three = Step("one", wait_s), Step("two", wait_s), Last("three", wait_s)
    workflow = (
        WorkflowBuilder(start_executor=one, checkpoint_storage=storage)
        .add_chain([one, two, three])
        .build()
    )
    return (await workflow.run(0)).get_outputs()[0]


def sequential(job: Job) -> Outcome:
    """Three executors, one after the other; the workflow is built for each run, as it keeps state."""
    return asyncio.run(one_after_the_other(job, _sequence))


def thousand(job: Job) -> Outcome:
    """Many workflows at once, ten milliseconds an executor."""
    return asyncio.run(all_at_once(job, lambda: _sequence(STEP_S)))


def fan_out(job: Job) -> Outcome:
    """One fan-out group and one fan-in group."""

    async def once() -> int:
        start, join = Start(id="start"), Join(id="join")
        branches = [Step(f"branch-{i}") for i in range(job.actors)]
        workflow = (
            WorkflowBuilder(start_executor=start)
            .add_fan_out_edges(start, branches)
            .add_fan_in_edges(branches, join)
            .build()
        )
        return (await workflow.run(0)).get_outputs()[0]

    return asyncio.run(fanned_out(job, once))


def durable(job: Job) -> Outcome:
    """A checkpoint file after every superstep."""
    storage = FileCheckpointStorage(str(job.scratch / "checkpoints"))
    return asyncio.run(durably(job, lambda: _sequence(storage=storage)))


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
