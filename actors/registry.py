"""Names, process groups and lists of one system."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from .entries import Entries
from .errors import NameTaken, check_ref
from .kernel.cell import mark_listed

if TYPE_CHECKING:
    from .ref import ActorRef


class Names:
    """The names of one system: each belongs to one live actor. Owned by the loop's thread."""

    def __init__(self) -> None:
        self._refs: dict[str, ActorRef[Any]] = {}
        self._more: dict[Any, dict[str, None]] = {}
        """The names of an actor besides the one that it was started with, which is in its ref."""

    def register(self, name: str, ref: ActorRef[Any]) -> None:
        """Give *name* to *ref*. Raises `NameTaken` if another live actor has it."""
        holder = self._refs.get(name)
        if holder is not None and holder is not ref and not holder.ended:
            raise NameTaken(name, holder)
        if ref.ended:
            return
        if name != ref.name:
            mark_listed(ref)
            self._more.setdefault(ref, {})[name] = None
        self._refs[name] = ref

    def unregister(self, name: str) -> None:
        """Free *name*."""
        ref = self._refs.pop(name, None)
        more = self._more.get(ref)
        if more is not None:
            more.pop(name, None)
            if not more:
                del self._more[ref]

    def whereis(self, name: str) -> ActorRef[Any] | None:
        """Return the live actor of that name, or None."""
        return self._refs.get(name)

    def all(self) -> list[str]:
        """Return the names in use, sorted."""
        return sorted(self._refs)

    def release(self, ref: Any) -> None:
        """Free every name of an actor that has ended."""
        own = ref.name
        if own is not None and self._refs.get(own) is ref:
            del self._refs[own]
        if self._more:
            for name in self._more.pop(ref, ()):
                if self._refs.get(name) is ref:
                    del self._refs[name]


class Groups:
    """Process groups: any number of actors under a name, for routers and broadcasts.

    Members leave by themselves when they end. Owned by the loop's thread. Source: OTP's ``pg``.
    """

    def __init__(self) -> None:
        self._entries = Entries()

    def join(self, group: str, ref: ActorRef[Any]) -> None:
        """Add *ref* to *group*. One that is dead is not added."""
        check_ref("groups.join", ref)
        if ref.ended:
            return
        mark_listed(ref)
        if not self._entries.values(group, ref):
            self._entries.add(group, ref)

    def leave(self, group: str, ref: Any) -> None:
        """Take *ref* out of *group*."""
        self._entries.remove(group, ref)

    def members(self, group: str) -> list[ActorRef[Any]]:
        """Return the live members, in the order they joined."""
        return self._entries.refs(group)

    def all(self) -> list[str]:
        """Return the names of the groups that have members, sorted."""
        return sorted(str(group) for group in self._entries.all())

    def release(self, ref: Any) -> None:
        """Take an actor that has ended out of every group."""
        self._entries.release(ref)


class Listing(Protocol):
    """A list of actors that wants to know when one of them has ended."""

    def released(self, ref: Any, reason: Any, /) -> None: ...


class Listings:
    """Which lists the actors of one system stand in. Owned by the loop's thread."""

    def __init__(self) -> None:
        self._of: dict[Any, dict[Listing, None]] = {}

    def enter(self, ref: Any, listing: Listing) -> None:
        """Have *listing* told when *ref* ends."""
        mark_listed(ref)
        self._of.setdefault(ref, {})[listing] = None

    def release(self, ref: Any, reason: Any) -> None:
        """Tell the lists of an actor that it has ended."""
        for listing in self._of.pop(ref, ()):
            listing.released(ref, reason)
