"""Names of the whole cluster: an actor on its head keeps them, so that a name is one actor.

Nodes ask it as any other actor. One that has lost the head gets no answer but the loss, and so it
serves no names: it cannot give one away a second time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..actor import Actor
from ..errors import NameTaken
from ..messages import Down


@dataclass(frozen=True, slots=True)
class Register:
    """Give *name* to *ref*."""

    name: str
    ref: Any


@dataclass(frozen=True, slots=True)
class Unregister:
    """Free *name*."""

    name: str


@dataclass(frozen=True, slots=True)
class WhereIs:
    """Ask for the ref of *name*; None: no actor has it."""

    name: str


@dataclass(frozen=True, slots=True)
class Join:
    """Add *ref* to *group*, or take it out again."""

    group: str
    ref: Any
    leaves: bool = False


@dataclass(frozen=True, slots=True)
class Members:
    """Ask for the refs of *group*, in the order they joined."""

    group: str


class NameServer(Actor):
    """Keeps the names and groups of a cluster; names are free, and groups left, when an actor ends.

    *refs* is where it keeps the names. The head looks them up there, and changes nothing.
    """

    crash_on_ask_error = False

    def __init__(self, refs: dict[str, Any]) -> None:
        super().__init__()
        self._refs = refs
        self._groups: dict[str, dict[Any, None]] = {}
        self._watched: dict[Any, None] = {}

    def on_receive(self, message: Any) -> Any:
        match message:
            case Register(name, ref):
                holder = self._refs.get(name)
                if holder is not None and holder is not ref and not holder.ended:
                    raise NameTaken(name, holder)
                self._refs[name] = ref
                self._watch(ref)
            case Unregister(name):
                self._refs.pop(name, None)
            case WhereIs(name):
                return self._refs.get(name)
            case Join(group, ref, False):
                self._groups.setdefault(group, {})[ref] = None
                self._watch(ref)
            case Join(group, ref, True):
                self._groups.get(group, {}).pop(ref, None)
            case Members(group):
                return list(self._groups.get(group, ()))
            case Down(ref):
                self._forget(ref)
            case _:
                pass
        return None

    def _watch(self, ref: Any) -> None:
        if ref not in self._watched:
            self._watched[ref] = None
            self.monitor(ref)

    def _forget(self, ref: Any) -> None:
        self._watched.pop(ref, None)
        for name in [name for name, holder in self._refs.items() if holder is ref]:
            del self._refs[name]
        for members in self._groups.values():
            members.pop(ref, None)


__all__ = ["Join", "Members", "NameServer", "Register", "Unregister", "WhereIs"]
