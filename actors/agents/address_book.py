"""The addresses of one thing: one in each system, because a system's actors live on its loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..errors import SeveralSystems
from ..system.system import ActorSystem
from .address import Address

H = TypeVar("H", bound=Address)


class AddressBook(dict[int, H]):
    """The address of an agent or a team in each system, by the id of the system.

    Systems come and go while a module's agent stays: those that have ended are forgotten when a new
    one comes. Safe from any thread: other threads, with systems of their own, may be here too, so
    each step is a single one of the dict's. No new system takes the key of another, because an
    address holds its system.

    A path that must be fast looks with ``book.get(id(system))`` first, where nothing is in
    *supervised*: what a supervisor owns is one actor for all who ask it, from whatever system.
    """

    supervised: tuple[H, ...] = ()
    """The addresses that have an owner, or had one that has ended since."""

    def owner_changed(self, home: H, owned: bool) -> None:
        """Note that a supervisor owns *home* from now on, or none does."""
        others = tuple(it for it in self.supervised if it is not home and it.system.running)
        self.supervised = (*others, home) if owned else others

    def owned(self, system: ActorSystem | None) -> H | None:
        """Return the address that a supervisor owns, in whatever system; None if none does.

        Of several, that in *system* (the current one, if None). Raises `SeveralSystems`.
        """
        owned = [home for home in self.supervised if home.owned]
        if len(owned) < 2:
            return owned[0] if owned else None
        wanted = ActorSystem.current_or_none() if system is None else system
        for home in owned:
            if home.system is wanted:
                return home
        raise SeveralSystems(
            [home.system.name for home in owned],
            f"{owned[0].name!r}, which has a supervisor in each, was asked by code that",
        )

    def meant(self, system: ActorSystem | None, make: Callable[[ActorSystem], H]) -> H:
        """Return the address that messages from *system* (the current one, if None) go to."""
        home = self.owned(system) if self.supervised else None
        if home is not None:
            return home
        return self.of(ActorSystem.current() if system is None else system, make)

    def of(self, system: ActorSystem, make: Callable[[ActorSystem], H]) -> H:
        """Return the address in *system*; the first time, the one that *make* makes of it."""
        home = self.get(id(system))
        if home is None:
            for key, other in list(self.items()):
                if not other.system.running:
                    other.forget()
                    self.pop(key, None)
            self.supervised = tuple(it for it in self.supervised if it.system.running)
            made = make(system)
            home = self.setdefault(id(system), made)
            if home is not made:
                made.forget()
        return home
