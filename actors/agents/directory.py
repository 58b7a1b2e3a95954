"""A directory of named things: weak, so that a service may make agents for ever."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from ..errors import AgenticError, near


class Named(Protocol):
    """What a directory holds."""

    name: str


N = TypeVar("N", bound=Named)


class UnknownAgent(AgenticError, LookupError):
    """A name that no agent has."""

    def __init__(self, name: str, known: Iterable[str], where: str | None = None) -> None:
        place = f"{where}: " if where else ""
        super().__init__(
            f"{place}no agent is called {name!r}. {near(name, known)} "
            f"Make one with Agent({name!r}, handler=...) and keep a reference to it, "
            "or register it with the engine."
        )
        self.name = name


class Directory(Generic[N]):
    """The agents of the process by name; the latest of a name wins. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_name: weakref.WeakValueDictionary[str, N] = weakref.WeakValueDictionary()

    def enter(self, agent: N) -> None:
        """Enter *agent* under its name."""
        with self._lock:
            self._by_name[agent.name] = agent

    def find(self, name: str, *, where: str | None = None) -> N:
        """Return the agent of that name. Raises `UnknownAgent`, with the near names, if none lives."""
        with self._lock:
            agent = self._by_name.get(name)
            if agent is None:
                raise UnknownAgent(name, list(self._by_name), where)
            return agent

    def names(self) -> list[str]:
        """Return the names of the agents that exist, sorted."""
        with self._lock:
            return sorted(self._by_name)
