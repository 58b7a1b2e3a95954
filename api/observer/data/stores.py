"""The store of an engine: where it is, what is in it, and the sessions of agents that it keeps."""

from __future__ import annotations

from typing import Any

from agenticaiframework.actors import ActorSystem, AgenticError
from agenticaiframework.patterns.engine import OrchestrationEngine, engine_sessions
from agenticaiframework.patterns.engine.store import administer

from .texts import text

Row = dict[str, Any]


def look_at_store(engine: OrchestrationEngine) -> Row:
    """Return what is in the store of *engine*. Blocks: for a thread that is not the loop's."""
    config = engine.config
    url = config.state_store
    base: Row = {"engine": text(engine.name), "stores_runs": config.stores_runs, "problem": None}
    if not isinstance(url, str):
        return {**base, "url": text(type(url).__name__), "info": None}
    try:
        there = administer(url)
    except AgenticError:
        return {**base, "url": "in memory", "info": None}
    base["url"] = text(there.label, 240)
    try:
        absence = there.absence()
        if absence is not None:
            return {**base, "info": None, "problem": text(absence, 300)}
        return {**base, "info": there.info().to_dict()}
    except AgenticError as error:
        return {**base, "info": None, "problem": text(error, 300)}


async def list_sessions(system: ActorSystem, *, agent: str | None, limit: int) -> list[Row]:
    """Return the sessions that are kept, those used last first."""
    store = await engine_sessions(system)
    if store is None:
        return []
    return [
        {
            "agent": text(row.agent),
            "session": text(row.session),
            "turns": row.turns,
            "messages": row.messages,
            "bytes": row.bytes,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
            "expires_at": row.expires_at,
        }
        for row in await store.list_sessions(agent, limit=limit)
    ]
