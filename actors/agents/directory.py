"""The directory of agents by name: weak, so that a service may make agents for ever."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

from ..errors import AgenticError, near

if TYPE_CHECKING:
    from collections.abc import Iterable

_lock = threading.Lock()
_agents: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()


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


def enter(agent: Any) -> None:
    """Enter *agent* under its name; the latest of a name wins. Safe from any thread."""
    with _lock:
        _agents[agent.name] = agent


def find_agent(name: str, *, where: str | None = None) -> Any:
    """Return the agent of that name. Raises `UnknownAgent`, with the near names, if none lives."""
    with _lock:
        agent = _agents.get(name)
        if agent is None:
            raise UnknownAgent(name, list(_agents), where)
        return agent


def agent_names() -> list[str]:
    """Return the names of the agents that exist, sorted."""
    with _lock:
        return sorted(_agents)
