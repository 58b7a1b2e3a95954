"""The system of this place: of the running handler, or of the enclosing ``async with``."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .host import Host

current_host: ContextVar[Host | None] = ContextVar("agenticaiframework_system", default=None)
"""Set in every actor's context, and by ``async with ActorSystem()``."""


def host_here() -> Host | None:
    """Return the system of the running handler, or of the enclosing ``async with``, if any."""
    return current_host.get()
