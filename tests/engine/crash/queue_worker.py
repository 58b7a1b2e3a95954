"""An engine in a process of its own that serves one queue until it is killed.

``python -m tests.engine.crash.queue_worker URL CONCURRENCY KEY_CONCURRENCY EPOCH``, where *EPOCH* is the
date at which the machine's monotonic clock was 0: all engines share it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine, Queue


async def work(payload: Any) -> Any:
    await asyncio.sleep(0.05)
    return payload


def engine(url: str, concurrency: int, key_concurrency: int, epoch: float) -> OrchestrationEngine:
    queue = Queue(
        "gpu",
        concurrency=concurrency or None,
        worker_concurrency=1 if concurrency else 2,
        key_concurrency=key_concurrency or None,
    )
    made = OrchestrationEngine(
        EngineConfig(
            state_store=url,
            queues=[queue],
            lease_seconds=1.5,
            poll_seconds=0.1,
            max_recoveries=None,
            wall_clock=lambda: epoch + time.monotonic(),
        ),
        name="server",
    )
    made.register_agent("worker", work)
    return made


async def serve(url: str, concurrency: int, key_concurrency: int, epoch: float) -> None:
    async with engine(url, concurrency, key_concurrency, epoch):
        print("serves", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
