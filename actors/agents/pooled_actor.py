"""The actor that is one of several incarnations of an agent, which its pool hands messages to."""

from __future__ import annotations

from typing import Any, Final, Protocol

from ..kernel import handing_on
from ..kernel.mailbox import UNBOUNDED
from ..messages import OwnMessage
from .agent_actor import AgentActor, AgentSpec


class Place(Protocol):
    """What an incarnation tells of itself to its pool."""

    def enter(self, ref: Any, /) -> None:
        """It has been made, and is about to start."""
        ...

    def free(self) -> None:
        """It has nothing to do any more. Called on the thread that its handler runs on."""
        ...


class Freed(OwnMessage):
    """Stands in an incarnation's mailbox behind each message: what is before it is done.

    However the handling ends, by an answer, an error that is one, a cancellation, or by being left
    behind, the incarnation comes to this next, unless it ends itself. A wrapper around the handler
    would have to know all of these, and a handler that was left behind would still run it.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "<freed>"


FREED: Final = Freed()


class FreedActor(AgentActor):
    """An incarnation of an agent that says when it has nothing to do any more."""

    def __init__(self, spec: AgentSpec, place: Place) -> None:
        super().__init__(spec)
        self._place = place
        place.enter(self._ref)
        self.mailbox = UNBOUNDED  # which it never has more than one message in

    def on_receive(self, message: Any) -> Any:
        if message is FREED:
            handing_on.is_not_counted(self._ref)
            self._place.free()
            return None
        return super().on_receive(message)

    def _work_for_child(self, message: Any) -> bytes | None:
        return None if message is FREED else super()._work_for_child(message)


class PooledActor(FreedActor):
    """One incarnation of an agent in a pool. It has one message at a time, and its pool the others."""
