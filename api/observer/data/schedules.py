"""The schedules of an engine: what each starts and when, and what came of it."""

from __future__ import annotations

from typing import Any

from agenticaiframework.patterns.engine import OrchestrationEngine

from .texts import text

Row = dict[str, Any]


async def list_schedules(engine: OrchestrationEngine) -> list[Row]:
    """Return the schedules in the store of *engine*, by name; none for one that was given no store."""
    if not engine.config.stores_runs:
        return []
    return [
        {
            "name": text(each.name),
            "id": each.name,
            "workflow": text(each.workflow),
            "when": text(each.when),
            "paused": each.paused,
            "reason": text(each.reason or ""),
            "next_at": each.next_at,
            "last_due": each.last_due,
            "last_run": each.last_run,
            "counts": dict(each.counts),
            "error": text(each.error or "", 300),
        }
        for each in await engine.schedules()
    ]


__all__ = ["list_schedules"]
