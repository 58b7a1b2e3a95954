# pyright: reportPrivateUsage=false
"""Messages that are not handed to `on_receive` as they are: those of proxies, and carried ones."""

from __future__ import annotations

from typing import Any

from ..looks import is_a
from .carried import Carried
from .cell import Cell
from .in_hand import IN_HAND
from .pykka_seam import HANDLE, PROXY_MESSAGES, ActorStop
from .request import KINDS, SPECIAL

for _kind in (ActorStop, *IN_HAND, *PROXY_MESSAGES):
    KINDS[_kind] = SPECIAL


def receive_special(cell: Cell, message: Any) -> Any:
    """Handle *message*, which is one of pykka's proxies, or carries what this is handled in."""
    actor = cell._actor
    if type(message) is Carried:
        message = message.message
        if not is_a(message, *PROXY_MESSAGES):
            return (cell._behavior or actor.on_receive)(message)
    if is_a(message, *PROXY_MESSAGES):
        return getattr(actor, HANDLE)(message)
    return actor.on_receive(message)
