"""`agenticaiframework workflows queues`: the queues of a store, seen from outside."""

from __future__ import annotations

from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine, QueueStatus
from agenticaiframework.patterns.engine.store import sqlite_file

from .showing import say, say_json
from .stored import print_table, when, with_engine


def list_command(store: str | None, *, as_json: bool) -> int:
    """Print the queues of a store."""
    default = sqlite_file(EngineConfig().state_store)
    found: tuple[QueueStatus, ...] = ()
    if store is not None or default is None or default.exists():
        found = with_engine(store, _queues)
    if as_json:
        say_json({"queues": [each.to_dict() for each in found]})
    elif not found:
        say("No queues.")
    else:
        print_table(
            ("queue", "waiting", "oldest", "taken", "served by"),
            [
                (
                    *(each.name, str(each.waiting), when(each.oldest_at), str(each.taken)),
                    ", ".join(each.engines) or "no living engine",
                )
                for each in found
            ],
        )
    return 0


async def _queues(engine: OrchestrationEngine) -> tuple[QueueStatus, ...]:
    return await engine.list_queues()
