"""The addresses of one thing: one in each system, because a system's actors live on its loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..system.system import ActorSystem
from .address import Address

H = TypeVar("H", bound=Address)


class AddressBook(dict[int, H]):
    """The address of an agent or a team in each system, by the id of the system.

    Systems come and go while a module's agent stays: those that have ended are forgotten when a new
    one comes. Safe from any thread: other threads, with systems of their own, may be here too, so
    each step is a single one of the dict's. No new system takes the key of another, because an
    address holds its system.

    A path that must be fast looks with ``book.get(id(system))`` first.
    """

    def of(self, system: ActorSystem, make: Callable[[ActorSystem], H]) -> H:
        """Return the address in *system*; the first time, the one that *make* makes of it."""
        home = self.get(id(system))
        if home is None:
            for key, other in list(self.items()):
                if not other.system.running:
                    other.forget()
                    self.pop(key, None)
            made = make(system)
            home = self.setdefault(id(system), made)
            if home is not made:
                made.forget()
        return home
