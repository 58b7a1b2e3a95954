"""The store of the engine that works in a system, for what its agents are to remember."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from .core import cores_of
from .cores import open_keeper

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorSystem

    from ..store import SessionStore
    from .core import EngineCore

__all__ = ["engine_sessions"]


async def engine_sessions(system: ActorSystem) -> SessionStore | None:
    """Return the store of the engine that stores runs in *system*; None where there is none.

    That is the one that was first used of those that were given a store, or store their runs, or have
    stored one. It is opened if it is not, and closed with its engine. Raises StoreErrors.
    """
    for core in tuple(cores_of(system).values()):
        if core.actor_ref.is_alive() and not core.ending and _stores(core):
            store = (await open_keeper(core)).store
            if hasattr(store, "append_turn"):
                return cast("SessionStore", store)
    return None


def _stores(core: EngineCore) -> bool:
    return core.gate.keeper is not None or core.setup.config.stores_runs
