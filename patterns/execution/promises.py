"""What a definition promises to run at once, held against what its agents can handle at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from agenticaiframework.actors import Agent

from ..vocabulary.target import Target


class Demand(NamedTuple):
    """A target that one execution asks *at_once* times at the same time, because of the field *where*."""

    target: Target
    at_once: int
    where: str


@dataclass(slots=True)
class Load:
    """How often an agent may be asked at the same time, and the fields that say so."""

    agent: Agent
    at_once: int
    where: dict[str, None]

    @property
    def exceeds(self) -> bool:
        """Whether that is more than the agent handles at once."""
        return self.at_once > self.agent.concurrency

    def told(self, what: str) -> str:
        """Return in words what *what* promises, what the agent keeps of it, and what to do."""
        name, at_once = self.agent.name, self.at_once
        return (
            f"{what} asks agent {name!r} up to {at_once} times at once ({', '.join(self.where)}), and "
            f"it handles {self.agent.concurrency} at a time: the others wait. Make it "
            f"Agent({name!r}, ..., concurrency={at_once}), or promise less."
        )


Resolve = Callable[[str], Any]
"""Finds what a name stands for; raises an error for an unknown one."""


def unkept(what: str, demands: Iterable[Demand], resolve: Resolve) -> list[str]:
    """Return what *what* promises with *demands* and its agents cannot keep, a sentence each.

    Work that exceeds what its agent handles at once is not refused: it waits for its turn. It is said,
    because an author who writes 10 expects 10.
    """
    return [load.told(what) for load in loads_of(demands, resolve) if load.exceeds]


def loads_of(demands: Iterable[Demand], resolve: Resolve) -> list[Load]:
    """Return how often *demands*, all at the same time, may ask each agent."""
    loads: dict[int, Load] = {}
    for demand in demands:
        for key, load in _loads(demand.target, demand.at_once, resolve, ()).items():
            found = loads.setdefault(key, Load(load.agent, 0, {}))
            found.at_once += load.at_once
            found.where[demand.where] = None
    return list(loads.values())


def _loads(
    target: Target, times: int, resolve: Resolve, around: tuple[int, ...]
) -> dict[int, Load]:
    """Return how often *times* simultaneous asks of *target* may ask each agent at the same time."""
    found: Any = target
    if isinstance(target, str):
        try:
            found = resolve(target)
        except LookupError:
            return {}  # said elsewhere, with the near names
    if isinstance(found, Agent):
        return {id(found): Load(found, times, {})}
    if not hasattr(found, "demands") or id(found) in around:
        return {}
    around = (*around, id(found))
    # What it asks one after another counts once for each execution, what it asks together is added up.
    together: dict[int, Load] = {}
    for demand in cast("Iterable[Demand]", found.demands()):
        for key, load in _loads(demand.target, times * demand.at_once, resolve, around).items():
            if key in together:
                together[key].at_once += load.at_once
            else:
                together[key] = load
    for part in cast("Iterable[Target]", found.targets()):
        for key, load in _loads(part, times, resolve, around).items():
            if key not in together or together[key].at_once < load.at_once:
                together[key] = load
    return together
