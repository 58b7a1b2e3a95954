"""`EngineHost`: the engine's actor, as the parts of this package that look at its runs know it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorSystem

    from .gate import StoreGate
    from .roster import Roster
    from .setup import Setup


class EngineHost(Protocol):
    """The engine's actor. A part that needs more of it extends this."""

    @property
    def home(self) -> ActorSystem:
        """The system that it lives in."""
        ...

    @property
    def setup(self) -> Setup:
        """The configuration and the names."""
        ...

    @property
    def roster(self) -> Roster:
        """The runs that are here."""
        ...

    @property
    def gate(self) -> StoreGate:
        """The way to the store."""
        ...
