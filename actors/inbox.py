"""pykka's view of a mailbox, for code that was written against `pykka.Actor.actor_inbox`."""

from __future__ import annotations

from typing import Any

from .errors import ActorDied
from .kernel.cell import Cell, home_of, is_empty, take_oldest
from .kernel.delivery import arrive, is_ask
from .kernel.future import ActorFuture
from .kernel.pykka_seam import Envelope


class Inbox:
    """`put`, `get` and `empty` over an actor's mailbox, in pykka's envelopes."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def put(self, envelope: Any, /) -> None:
        """Send the envelope's message; a future in it gets the reply. Safe from any thread."""
        cell = self._cell
        reply_to = envelope.reply_to
        if reply_to is None:
            cell.tell(envelope.message)
            return
        if not isinstance(reply_to, ActorFuture):
            forward = ActorFuture()
            forward.forward_to = reply_to
            reply_to = forward
        reply_to.message = envelope.message
        if not home_of(cell).post_or_call(arrive, cell, reply_to):
            reply_to.fail(ActorDied(cell, "noproc"))

    def get(self) -> Any:
        """Take the oldest message, as an envelope; on the loop's thread."""
        item = take_oldest(self._cell)
        if is_ask(item):
            return Envelope(item.message, reply_to=item)
        return Envelope(item)

    def empty(self) -> bool:
        """Tell whether no message waits."""
        return is_empty(self._cell)
