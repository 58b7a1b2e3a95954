"""The way from an address to what it is an address of, which may go before the address does."""

from __future__ import annotations

import weakref
from typing import Any

from .address import Address


class OwnerLink(weakref.ref[Any]):
    """A weak reference from an address to its agent or team, and back once that is gone.

    ``OwnerLink(owner, on_gone)`` calls *on_gone* with itself, in the thread that dropped the owner
    last; `take` then gives the address. One object, where a `weakref.finalize` is six that stay until
    the owner goes, however many systems come and end before. The address has to be reachable while
    its actor lives: a weak reference that goes together with its target is not called.
    """

    __slots__ = ("home",)

    home: Address | None

    def take(self) -> Any:
        """Return the address, once: None from then on."""
        home, self.home = self.home, None
        return home
