"""Names, process groups, and pykka's registry at any size.

pykka keeps its actors in a list and removes from it in O(n). `PykkaIndex` stands in that list's
place: the same operations, in a dictionary. Ours are in it like any others, so
`pykka.ActorRegistry` finds and stops them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, SupportsIndex, cast, overload

import pykka

from .errors import NameTaken, check_ref

if TYPE_CHECKING:
    from .actor import Ext
    from .ref import ActorRef


class PykkaIndex(list["pykka.ActorRef[Any]"]):
    """What `pykka.ActorRegistry` keeps its refs in: ordered by registration, O(1) to remove."""

    def __init__(self, refs: list[pykka.ActorRef[Any]]) -> None:
        super().__init__()
        self.refs: dict[pykka.ActorRef[Any], None] = dict.fromkeys(refs)

    def append(self, ref: pykka.ActorRef[Any], /) -> None:
        self.refs[ref] = None

    def remove(self, ref: pykka.ActorRef[Any], /) -> None:
        del self.refs[ref]

    def __contains__(self, ref: object) -> bool:
        return ref in self.refs

    def __iter__(self) -> Iterator[pykka.ActorRef[Any]]:
        return iter(list(self.refs))

    def __len__(self) -> int:
        return len(self.refs)

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> pykka.ActorRef[Any]: ...
    @overload
    def __getitem__(self, index: slice, /) -> list[pykka.ActorRef[Any]]: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> Any:
        return list(self.refs)[index]


def pykka_index() -> PykkaIndex:
    """Return the index of `pykka.ActorRegistry`, put in the list's place on the first call."""
    with pykka.ActorRegistry._actor_refs_lock:
        refs = cast("Any", pykka.ActorRegistry._actor_refs)
        if not isinstance(refs, PykkaIndex):
            refs = PykkaIndex(refs)
            pykka.ActorRegistry._actor_refs = refs
        return refs


class Names:
    """The names of one system: each belongs to one live actor. Owned by the loop's thread."""

    def __init__(self) -> None:
        self._refs: dict[str, ActorRef[Any]] = {}

    def register(self, name: str, ref: ActorRef[Any]) -> None:
        """Give *name* to *ref*. Raises `NameTaken` if another live actor has it."""
        holder = self._refs.get(name)
        if holder is not None and holder is not ref and holder._actor is not None:
            raise NameTaken(name, holder.label)
        actor = ref._actor
        if actor is None:
            return
        if name != ref.name:
            # The name that it was started with is in the ref, and needs no list.
            ext = actor._own_ext()
            if ext.names is None:
                ext.names = dict[str, None]()
            ext.names[name] = None
        self._refs[name] = ref

    def unregister(self, name: str) -> None:
        """Free *name*."""
        ref = self._refs.pop(name, None)
        if ref is not None and ref._actor is not None and ref._actor._ext is not None:
            names = ref._actor._ext.names
            if names is not None:
                names.pop(name, None)

    def whereis(self, name: str) -> ActorRef[Any] | None:
        """Return the live actor of that name, or None."""
        return self._refs.get(name)

    def all(self) -> list[str]:
        """Return the names in use, sorted."""
        return sorted(self._refs)

    def release(self, ref: ActorRef[Any], ext: Ext | None) -> None:
        """Free every name of an actor that has ended."""
        own = ref.name
        if own is not None and self._refs.get(own) is ref:
            del self._refs[own]
        if ext is not None and ext.names is not None:
            for name in ext.names:
                if self._refs.get(name) is ref:
                    del self._refs[name]
            ext.names = None


class Groups:
    """Process groups: any number of actors under a name, for routers and broadcasts.

    Members leave by themselves when they end. Owned by the loop's thread. Source: OTP's ``pg``.
    """

    def __init__(self) -> None:
        self._groups: dict[str, dict[ActorRef[Any], None]] = {}

    def join(self, group: str, ref: ActorRef[Any]) -> None:
        """Add *ref* to *group*. One that is dead is not added."""
        check_ref("groups.join", ref)
        actor = ref._actor
        if actor is None:
            return
        ext = actor._own_ext()
        if ext.groups is None:
            ext.groups = dict[str, None]()
        ext.groups[group] = None
        self._groups.setdefault(group, {})[ref] = None

    def leave(self, group: str, ref: ActorRef[Any]) -> None:
        """Take *ref* out of *group*."""
        members = self._groups.get(group)
        if members is not None:
            members.pop(ref, None)
            if not members:
                del self._groups[group]
        actor = ref._actor
        if actor is not None and actor._ext is not None and actor._ext.groups is not None:
            actor._ext.groups.pop(group, None)

    def members(self, group: str) -> list[ActorRef[Any]]:
        """Return the live members, in the order they joined."""
        return list(self._groups.get(group, ()))

    def all(self) -> list[str]:
        """Return the names of the groups that have members, sorted."""
        return sorted(self._groups)

    def release(self, ref: ActorRef[Any], ext: Ext) -> None:
        """Take an actor that has ended out of every group."""
        groups, ext.groups = ext.groups, None
        for group in groups or ():
            self.leave(group, ref)
