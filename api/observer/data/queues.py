"""The queues of an engine's store: what stands in each, who serves it, and within which limits."""

from __future__ import annotations

from typing import Any

from agenticaiframework.patterns.engine import OrchestrationEngine, Queue

from .texts import text

Row = dict[str, Any]

MOST: int = 500
"""Queues that are listed, those with the most runs that wait first."""


async def list_queues(engine: OrchestrationEngine) -> list[Row]:
    """Return the queues in the store of *engine*; none for one that was given no store."""
    if not engine.config.stores_runs and not engine.config.queues:
        return []
    served = {queue.name: queue for queue in engine.config.queues}
    found = sorted(await engine.list_queues(), key=lambda one: (-one.waiting, one.name))
    return [
        {
            "name": text(one.name),
            "waiting": one.waiting,
            "taken": one.taken,
            "most_taken": served[one.name].concurrency if one.name in served else None,
            "oldest_at": one.oldest_at,
            "engines": [text(each) for each in one.engines],
            "served_here": one.name in served,
            "limits": limits_of(served[one.name]) if one.name in served else [],
        }
        for one in found[:MOST]
    ]


def limits_of(queue: Queue) -> list[str]:
    """Return the limits of a queue in words.

    >>> limits_of(Queue("gpu", concurrency=4, key_concurrency=1))
    ['4 at once', '1 of a key']
    """
    bounds = (
        (queue.concurrency, "at once"),
        (queue.worker_concurrency, "on one engine"),
        (queue.key_concurrency, "of a key"),
    )
    said = [f"{bound:,} {what}" for bound, what in bounds if bound is not None]
    if queue.rate is not None:
        said.append(f"{queue.rate.limit:,} in {queue.rate.per_s:g} s")
    return said


__all__ = ["list_queues"]
