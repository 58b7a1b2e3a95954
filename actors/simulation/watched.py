"""One actor as a simulated run sees it."""

from __future__ import annotations

from typing import Any

from .armed import Armed
from .mailboxes import Ledger


class Watched:
    """One actor as the observer sees it: an incarnation of a label. Written by the observer alone."""

    __slots__ = (
        "address",
        "alive",
        "armed",
        "handled",
        "label",
        "ledger",
        "number",
        "of_pool",
        "place",
        "ref",
    )

    def __init__(self, label: str, ref: Any, number: int) -> None:
        self.label = label
        self.ref = ref
        self.number = number
        self.ledger = Ledger()
        self.armed: list[Armed] | None = None
        #: Where what it leaves unhandled goes, if it has such a place.
        self.address: Any = None
        #: What it must be the only live incarnation of.
        self.place: tuple[int, Any] | None = None
        #: Whether a pool hands it its messages.
        self.of_pool = False
        self.alive = True
        self.handled = 0
