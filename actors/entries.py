"""Which actors stand under which keys: the table behind groups and registries."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ref import ActorRef


class Entries:
    """Any number of actors under a key, each with its values there, in the order of their entry.

    One writer at a time: the object that it belongs to sees to that.
    """

    def __init__(self) -> None:
        self._under: dict[Hashable, dict[ActorRef[Any], list[Any]]] = {}
        self._of: dict[ActorRef[Any], dict[Hashable, None]] = {}
        """The keys of each actor."""

    def add(self, key: Hashable, ref: ActorRef[Any], value: Any = None) -> None:
        """Enter *ref* under *key* with *value*, once more if it is there already."""
        self._under.setdefault(key, {}).setdefault(ref, []).append(value)
        self._of.setdefault(ref, {})[key] = None

    def remove(self, key: Hashable, ref: ActorRef[Any]) -> bool:
        """Take *ref* out from under *key*; return whether it was there."""
        refs = self._under.get(key)
        if refs is None or refs.pop(ref, None) is None:
            return False
        if not refs:
            del self._under[key]
        keys = self._of[ref]
        del keys[key]
        if not keys:
            del self._of[ref]
        return True

    def release(self, ref: ActorRef[Any]) -> list[Hashable]:
        """Take *ref* out from under every key; return the keys."""
        keys = list(self._of.get(ref, ()))
        for key in keys:
            self.remove(key, ref)
        return keys

    def values(self, key: Hashable, ref: ActorRef[Any]) -> list[Any]:
        """Return the values of *ref* under *key*: the list itself, empty if it is not there."""
        refs = self._under.get(key)
        return [] if refs is None else refs.get(ref, [])

    def refs(self, key: Hashable) -> list[ActorRef[Any]]:
        """Return the actors under *key*."""
        return list(self._under.get(key, ()))

    def all(self) -> list[Hashable]:
        """Return the keys that have actors."""
        return list(self._under)

    def keys_of(self, ref: ActorRef[Any]) -> list[Hashable]:
        """Return the keys under which *ref* stands."""
        return list(self._of.get(ref, ()))

    def __iter__(self) -> Iterator[tuple[Hashable, ActorRef[Any], Any]]:
        for key in self.all():
            for ref in self.refs(key):
                for value in list(self.values(key, ref)):
                    yield key, ref, value
