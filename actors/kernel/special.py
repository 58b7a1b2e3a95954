# pyright: reportPrivateUsage=false
"""Messages that are not handed to `on_receive` as they are: those of proxies, and carried ones."""

from __future__ import annotations

from typing import Any

from ..shown import is_a
from .carried import Carried, receive_carried
from .cell import Cell
from .in_hand import IN_HAND
from .pykka_seam import HANDLE, PROXY_MESSAGES, ActorStop
from .request import KINDS, SPECIAL

for _kind in (ActorStop, Carried, *IN_HAND, *PROXY_MESSAGES):
    KINDS[_kind] = SPECIAL


def receive_special(cell: Cell, message: Any) -> Any:
    """Handle *message*, which is one of pykka's proxies or carries the context of its sender."""
    actor = cell._actor
    if is_a(message, *PROXY_MESSAGES):
        return getattr(actor, HANDLE)(message)
    if type(message) is Carried:
        if is_a(message.message, *PROXY_MESSAGES):
            return receive_carried(message, getattr(actor, HANDLE))
        return receive_carried(message, cell._behavior or actor.on_receive)
    return actor.on_receive(message)
