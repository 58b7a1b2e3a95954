"""The names in a pattern, a team or a workflow, bound to the agents that they meant when it was made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from agenticaiframework.actors import Agent, agent_or_none, find_agent

from .target import Askable, Resolver, Target


class BoundNames:
    """Which agent a name means here, decided when it was written. Owned by what the names stand in.

    The agents are held: what names one keeps it alive. A name that meant nothing yet, or several
    agents, stays open, and is looked up at each execution. What an engine has registered under a name
    comes before what is bound.
    """

    __slots__ = ("_agents", "loaded", "open")

    def __init__(self, loaded: bool = False) -> None:
        self._agents: dict[str, Agent] = {}
        self.open = True
        """Whether a name may have to be looked up at execution."""
        self.loaded = loaded
        """Whether the names stand in a text: a file, or a store."""

    def bind(self, targets: Iterable[Target]) -> None:
        """Bind the names among *targets*, and those that stay open in the patterns among them."""
        self.open = False
        for target in targets:
            for name in open_names(target):
                if name not in self._agents:
                    agent = agent_or_none(name)
                    if agent is None:
                        self.open = True
                    else:
                        self._agents[name] = agent
            self.open = self.open or not isinstance(target, str | Agent)

    def keep(self, targets: Iterable[Target]) -> None:
        """Forget the names that do not stand in *targets* any more."""
        used = {name for target in targets for name in open_names(target)}
        for name in [name for name in self._agents if name not in used]:
            del self._agents[name]

    def __reduce__(self) -> tuple[type[BoundNames], tuple[bool]]:
        # Agents stay in their process; what was copied is looked up where it is executed.
        return BoundNames, (self.loaded,)

    def __len__(self) -> int:
        return len(self._agents)

    def get(self, name: str) -> Agent | None:
        """Return the agent that is bound to *name*, if one is."""
        return self._agents.get(name)

    def within(self, outer: Resolver) -> Resolver:
        """Return what finds the names here, where *outer* finds those of what is around it."""
        if not self._agents:
            return outer
        return self if outer is find_agent else BoundResolver(self._agents, outer)

    def __call__(self, name: str) -> Askable:
        """Return the agent that is bound to *name*, or what `find_agent` finds: where nothing is around."""
        agent = self._agents.get(name)
        return find_agent(name) if agent is None else agent

    def registered(self, name: str) -> None:
        """Return None: nothing is registered where nothing is around."""


class BoundResolver:
    """Finds names: those registered with an engine, those bound here, and then those around it."""

    __slots__ = ("_agents", "_outer")

    def __init__(self, agents: dict[str, Agent], outer: Resolver) -> None:
        self._agents = agents
        self._outer = outer

    def __call__(self, name: str) -> Askable:
        agent = self._agents.get(name)
        if agent is None:
            return self._outer(name)
        found = registered_with(self._outer, name)
        return agent if found is None else found

    def registered(self, name: str) -> Askable | None:
        """Return what *name* has been registered for, with the execution around it."""
        return registered_with(self._outer, name)


def registered_with(resolver: Resolver, name: str) -> Askable | None:
    """Return what *resolver* finds before it looks for an agent that was made: None for the default one.

    A resolver of a user's own decides alone: what it returns counts as registered.
    """
    if resolver is find_agent:
        return None
    registered: Any = getattr(resolver, "registered", resolver)
    found: Askable | None = registered(name)
    return found


def open_names(target: Any) -> Iterator[str]:
    """Yield the names that *target* is, or that stand in it without being bound there."""
    if isinstance(target, str):
        yield target
    elif hasattr(target, "open_names"):
        yield from target.open_names()
