"""What stands for an agent in its system: its one incarnation, or the pool of several."""

from __future__ import annotations

from typing import Any

from ..kernel.cell import parent_of
from ..kernel.running import running_here
from .pooled_actor import PooledActor


def standing_here() -> Any:
    """Return the ref of what stands for the agent whose handler makes this call; None outside of one.

    It lives as long as the agent does in this system, from a start to the next: an incarnation in a
    pool comes and goes, and its pool stays. To be called in the handler's own coroutine, and not in a
    task that it has made.
    """
    ref: Any = running_here()
    return parent_of(ref) if ref is not None and ref.actor_class is PooledActor else ref


__all__ = ["standing_here"]
