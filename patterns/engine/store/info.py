"""What is in a store, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["EngineInfo", "StoreInfo"]


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """An engine that is registered with a store. Times are seconds since the epoch."""

    engine_id: str
    alive: bool
    seen_at: float | None
    runs: int
    """Unfinished runs that it holds."""


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What is in a store."""

    store: str
    """Its URL, without a password."""
    version: int
    """Of its schema; 0 for a store that is not set up."""
    newest: int
    """The version that this program makes."""
    runs: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many runs are in each state."""
    records: int = 0
    """Rows of the journal; an estimate where counting takes long."""
    bytes: int = 0
    engines: tuple[EngineInfo, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, fit for JSON."""
        return asdict(self)
