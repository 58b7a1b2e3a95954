"""A registry: actors under keys of any kind, alone or several to a key, each with a value.

Source: Elixir's ``Registry``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import pykka

from .entries import Entries
from .errors import ActorDied, NameTaken, NotRegistered, WrongUse, check_ref
from .kernel.request import Request
from .kernel.running import on_loop, running_here
from .ref import ActorRef


class RegistryEntry(NamedTuple):
    """One entry of a `Registry`: the actor *ref* under *key*, with *value*."""

    key: Any
    ref: ActorRef[Any]
    value: Any


@dataclass(frozen=True, slots=True)
class KeyRegistered:
    """To the listeners of a `Registry`: *ref* was entered under *key* with *value*."""

    registry: str
    key: Any
    ref: ActorRef[Any]
    value: Any


@dataclass(frozen=True, slots=True)
class KeyUnregistered:
    """To the listeners of a `Registry`: *ref* is not under *key* any more.

    *reason* is its exit reason if it has ended, None if it was taken out.
    """

    registry: str
    key: Any
    ref: ActorRef[Any]
    reason: Any = None


class Registry:
    """Actors under keys: any hashable key, any value, of actors of any system.

        sessions = Registry("sessions")                       # one actor to a key

        class Session(Actor):
            def __init__(self, user):
                super().__init__()
                self.user = user

            def on_start(self):
                sessions.register(("session", self.user), value="new")

        sessions.via(("session", "ann")).tell("hello")        # wherever it lives now

    With ``keys="duplicate"`` any number of actors stand under a key, and an actor may do so several
    times. Entries go with their actor. *listeners* (refs, or names in the system of the actor that is
    entered) are told of each entry that comes or goes, as `KeyRegistered` and `KeyUnregistered`.

    It is made anywhere, and safe to use from any thread; its table is written under its lock.
    """

    def __init__(
        self,
        name: str = "registry",
        keys: Literal["unique", "duplicate"] = "unique",
        *,
        listeners: Iterable[ActorRef[Any] | str] = (),
    ) -> None:
        if keys not in ("unique", "duplicate"):
            raise WrongUse(
                f"keys={keys!r} is neither 'unique' nor 'duplicate'. "
                "For example: Registry('sessions', keys='duplicate')"
            )
        self.name = name
        self.is_unique = keys == "unique"
        self.listeners: list[ActorRef[Any] | str] = list(listeners)
        self._entries = Entries()
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        kind = "unique" if self.is_unique else "duplicate"
        return f"<Registry {self.name!r} ({kind}, {len(self)} entries)>"

    def __len__(self) -> int:
        return self.count()

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return bool(self._entries.refs(key))

    # -- entering and leaving ------------------------------------------------------------------

    def register(
        self, key: Hashable, value: Any = None, ref: ActorRef[Any] | None = None
    ) -> ActorRef[Any]:
        """Enter the running actor, or *ref*, under *key* with *value*; return its ref.

        Raises `NameTaken` if the keys are unique and *key* has its actor, also if that is the same
        one; `ActorDied` if *ref* is dead; `WrongUse`.
        """
        hash(key)  # a key that cannot be one raises TypeError here, before anything is done
        target = self._actor("register", ref)
        on_loop(target, self._enter, key, target, value)
        self._tell_listeners(target, KeyRegistered(self.name, key, target, value))
        return target

    def _enter(self, key: Hashable, ref: ActorRef[Any], value: Any) -> None:
        if not ref.is_alive():
            raise ActorDied(ref, "noproc")
        with self._lock:
            if self.is_unique:
                for holder in self._entries.refs(key):
                    raise NameTaken(key, holder)
            self._entries.add(key, ref, value)
            ref.system.listings.enter(ref, self)

    def unregister(self, key: Hashable, ref: ActorRef[Any] | None = None) -> None:
        """Take all entries of the running actor, or *ref*, out from under *key*."""
        target = self._actor("unregister", ref)
        with self._lock:
            gone = self._entries.remove(key, target)
        if gone:
            self._tell_listeners(target, KeyUnregistered(self.name, key, target))

    def unregister_match(
        self, key: Hashable, fits: Callable[[Any], bool], ref: ActorRef[Any] | None = None
    ) -> None:
        """Take those entries of the running actor, or *ref*, out whose value *fits*."""
        target = self._actor("unregister_match", ref)
        with self._lock:
            values = self._entries.values(key, target)
            taken: list[Any] = []
            kept: list[Any] = []
            for value in values:
                (taken if fits(value) else kept).append(value)
            values[:] = kept
            if taken and not kept:
                self._entries.remove(key, target)
        for _ in taken:
            self._tell_listeners(target, KeyUnregistered(self.name, key, target))

    def update_value(self, key: Hashable, change: Callable[[Any], Any]) -> tuple[Any, Any]:
        """Replace the value under *key* by ``change(value)``, in one step; return the new and the old.

        Raises `NotRegistered` if no actor is under *key*, and `WrongUse` unless the keys are unique.
        """
        self._want_unique("update_value")
        with self._lock:
            for ref in self._entries.refs(key):
                values = self._entries.values(key, ref)
                old = values[0]
                values[0] = new = change(old)
                return new, old
        raise NotRegistered(self.name, key)

    def released(self, ref: ActorRef[Any], reason: Any) -> None:
        """Take an actor that has ended out; its system calls this."""
        with self._lock:
            keys = self._entries.release(ref)
        for key in keys:
            self._tell_listeners(ref, KeyUnregistered(self.name, key, ref, reason))

    # -- looking -------------------------------------------------------------------------------

    def lookup(self, key: Hashable) -> list[tuple[ActorRef[Any], Any]]:
        """Return the actors under *key*, each with its value, in the order of their entry."""
        return self.match(key)

    def whereis(self, key: Hashable) -> ActorRef[Any] | None:
        """Return the actor under *key*, or None. Raises `WrongUse` unless the keys are unique."""
        self._want_unique("whereis")
        with self._lock:
            refs = self._entries.refs(key)
        return refs[0] if refs else None

    def match(
        self, key: Hashable, fits: Callable[[Any], bool] | None = None
    ) -> list[tuple[ActorRef[Any], Any]]:
        """Return the actors under *key* whose value *fits*, each with that value."""
        with self._lock:
            found = [
                (ref, value)
                for ref in self._entries.refs(key)
                for value in self._entries.values(key, ref)
            ]
        return found if fits is None else [entry for entry in found if fits(entry[1])]

    def keys(self, ref: ActorRef[Any] | None = None) -> list[Any]:
        """Return the keys of the running actor, or of *ref*: once for each of its entries."""
        target = self._actor("keys", ref)
        with self._lock:
            table = self._entries
            return [key for key in table.keys_of(target) for _ in table.values(key, target)]

    def values(self, key: Hashable, ref: ActorRef[Any] | None = None) -> list[Any]:
        """Return the values of the running actor, or of *ref*, under *key*."""
        target = self._actor("values", ref)
        with self._lock:
            return list(self._entries.values(key, target))

    def select(self, fits: Callable[[RegistryEntry], bool] | None = None) -> list[RegistryEntry]:
        """Return all entries, or those that *fits* says True to."""
        return [entry for entry in self if fits is None or fits(entry)]

    def count(self, fits: Callable[[RegistryEntry], bool] | None = None) -> int:
        """Return how many entries there are, or how many *fits* says True to."""
        return len(self.select(fits))

    def __iter__(self) -> Iterator[RegistryEntry]:
        with self._lock:
            return iter([RegistryEntry(*entry) for entry in self._entries])

    # -- sending -------------------------------------------------------------------------------

    def via(self, key: Hashable) -> Via:
        """Return an address: the actor that is under *key* when a message is sent."""
        self._want_unique("via")
        return Via(self, key)

    def tell(self, key: Hashable, message: Any) -> int:
        """Send *message* to each actor under *key*, once; return how many there were."""
        told = 0
        with self._lock:
            refs = self._entries.refs(key)
        for ref in refs:
            try:
                ref.tell(message)
            except pykka.ActorDeadError:
                continue  # It ended a moment ago.
            told += 1
        return told

    # -- inside --------------------------------------------------------------------------------

    def _actor(self, operation: str, ref: ActorRef[Any] | None) -> ActorRef[Any]:
        found: Any = running_here() if ref is None else ref
        if found is None:
            raise WrongUse(
                f"{operation} is not called by an actor, so it has to be told which one is meant. "
                f"For example: registry.{operation}(key, ref=ref)"
            )
        check_ref(f"registry.{operation}", found)
        actor: ActorRef[Any] = found
        return actor

    def _want_unique(self, operation: str) -> None:
        if not self.is_unique:
            raise WrongUse(
                f"{operation} needs one actor to a key, and the registry {self.name!r} has "
                "keys='duplicate'. Use lookup(key), tell(key, message) or select(...) there."
            )

    def _tell_listeners(self, ref: ActorRef[Any], event: Any) -> None:
        for listener in list(self.listeners):
            target = ref.system.whereis(listener) if isinstance(listener, str) else listener
            try:
                if target is not None:
                    target.tell(event)
            except pykka.ActorDeadError:
                pass  # A listener that has ended listens to nothing.


@dataclass(frozen=True, slots=True)
class Via:
    """The address of the actor under a key of a `Registry`, looked up at each message."""

    registry: Registry
    key: Any

    def __str__(self) -> str:
        return f"{self.registry.name}[{self.key!r}]"

    @property
    def ref(self) -> ActorRef[Any] | None:
        """The actor under the key now, or None."""
        return self.registry.whereis(self.key)

    def _found(self) -> ActorRef[Any]:
        ref = self.ref
        if ref is None:
            raise ActorDied(self, "noproc")
        return ref

    def tell(self, message: Any) -> None:
        """Send *message*. Raises `ActorDied` if no actor is under the key."""
        self._found().tell(message)

    def request(self, message: Any, timeout: float | None = None) -> Request:
        """Send *message* and return the awaitable of its answer. Raises `ActorDied` as `tell`."""
        return self._found().request(message, timeout)

    def ask(self, message: Any, timeout: float | None = None) -> Any:
        """Send *message* and block this thread for its answer, as `ActorRef.ask` does."""
        return self._found().ask(message, timeout=timeout)


__all__ = ["KeyRegistered", "KeyUnregistered", "Registry", "RegistryEntry", "Via"]
