"""The actors of a system: all counted, and those shown that are asked for."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from agenticaiframework.actors import (
    ActorInfo,
    ActorRef,
    ActorSystem,
    attribute_of,
    is_incarnation_in_pool,
)

from .nodes import node_name
from .slices import SLICE, sliced
from .texts import form, reason_text, text

MOST_ROWS: Final = 10_000
"""How deep a sorted list can be turned over."""

Row = dict[str, Any]


@dataclass(slots=True)
class Census:
    """What all actors do, in numbers, at one moment. Made and owned by `take_census`."""

    total: int = 0
    states: Counter[str] = field(default_factory=Counter[str])
    mailbox: int = 0
    handled: int = 0
    handling: int = 0
    longest_s: float = 0.0

    def to_dict(self) -> Row:
        """Return the numbers as plain data, for JSON."""
        return {
            "total": self.total,
            "states": dict(self.states),
            "mailbox": self.mailbox,
            "handled": self.handled,
            "handling": self.handling,
            "longest_s": self.longest_s,
        }


async def take_census(system: ActorSystem) -> Census:
    """Return the numbers of all actors of *system*; the loop is not held meanwhile."""
    census = Census()
    async for ref in sliced(system.actors()):
        info = system.info(ref)
        census.total += 1
        census.states[state_shown(info)] += 1
        census.mailbox += waiting(info)
        if not is_incarnation_in_pool(ref):  # its pool has counted them
            census.handled += info.handled
        if info.busy_s is not None:
            census.handling += info.busy or 1
            census.longest_s = max(census.longest_s, info.busy_s)
    return census


def waiting(info: ActorInfo) -> int:
    """Return how many messages wait for an actor: none for an incarnation in a pool, which has them all.

    What stands in an incarnation's mailbox is the one message that it was handed, and the pool's own mark.
    """
    return 0 if is_incarnation_in_pool(info.ref) else info.mailbox_length


def _load(info: ActorInfo) -> Any:
    return (waiting(info) + (info.busy or 0), info.busy_s or 0.0, info.handled)


ORDERS: Final[Mapping[str, Callable[[ActorInfo], Any]]] = {
    "load": _load,
    "mailbox": waiting,
    "busy": lambda info: info.busy_s or 0.0,
    "handled": lambda info: info.handled,
    "newest": lambda info: attribute_of(info.ref, "pid", 0),
}
"""What a list of actors can be sorted by, the largest first."""


async def list_actors(
    system: ActorSystem,
    *,
    order: str = "load",
    state: str | None = None,
    query: str = "",
    start: int = 0,
    limit: int = 50,
    payloads: bool = False,
) -> Row:
    """Return a page of actors, the largest of *order* first, and how many there are in all."""
    key = ORDERS[order]
    start = max(0, min(start, MOST_ROWS))
    wanted = query.casefold()
    found: list[tuple[Any, int, ActorInfo]] = []
    depth = start + limit
    matched = 0
    async for ref in sliced(system.actors()):
        if wanted and wanted not in ref.label.casefold():
            continue
        info = system.info(ref)
        if info.state == "dead" or (state and state_shown(info) != state):
            continue
        matched += 1
        entry = (key(info), -matched, info)
        if len(found) < depth:
            heapq.heappush(found, entry)
        elif entry > found[0]:
            heapq.heapreplace(found, entry)
    found.sort(reverse=True)
    rows = [actor_row(system, info, payloads) for _, _, info in found[start:]]
    return {"rows": rows, "total": matched, "start": start, "limit": limit}


def state_shown(info: ActorInfo) -> str:
    """Return what an actor does, in a word: one that handles as many messages as it may is ``full``."""
    if info.state == "suspended" and info.busy and info.busy == info.concurrency:
        return "full"
    return info.state


def actor_row(system: ActorSystem, info: ActorInfo, payloads: bool) -> Row:
    """Return an actor as a row of a list."""
    ref = info.ref
    parent = info.parent
    return {
        "pid": pid_of(ref),
        "name": text(ref.label),
        "kind": text(attribute_of(attribute_of(ref, "actor_class"), "__name__", "Actor")),
        "node": node_name(system, ref),
        "state": state_shown(info),
        "busy_s": info.busy_s,
        "mailbox": waiting(info),
        "handled": info.handled,
        "message": message_shown(info.current_message, payloads),
        "incarnation": info.incarnation,
        "dispatcher": text(info.dispatcher),
        "busy": info.busy,
        "concurrency": info.concurrency,
        "parent": None if parent is None else related(parent),
    }


def actor_details(system: ActorSystem, info: ActorInfo, payloads: bool) -> Row:
    """Return everything that is known of one actor."""
    reason = info.exit_reason
    return {
        **actor_row(system, info, payloads),
        "links": [related(one) for one in info.links[:SLICE]],
        "links_total": len(info.links),
        "monitors": [related(one) for one in info.monitors[:SLICE]],
        "monitors_total": len(info.monitors),
        "monitored_by": [related(one) for one in info.monitored_by[:SLICE]],
        "monitored_by_total": len(info.monitored_by),
        "trap_exit": info.trap_exit,
        "timers": info.timers,
        "exit_reason": None if info.state != "dead" else reason_text(reason, 1_000),
    }


def related(ref: Any) -> Row:
    """Return another actor as what a row says of it: who, and where it is found."""
    return {"pid": pid_of(ref), "name": text(attribute_of(ref, "label") or type(ref).__name__)}


def pid_of(ref: Any) -> int | None:
    """Return the number of *ref*'s actor; None for a plain pykka actor."""
    pid = attribute_of(ref, "pid")
    return pid if isinstance(pid, int) else None


def message_shown(message: Any, payloads: bool) -> str | None:
    """Return what an actor handles: its class, and with *payloads* what is in it."""
    if message is None:
        return None
    return form(message) if payloads else text(type(message).__name__)


async def find_actor(system: ActorSystem, pid: int) -> ActorRef[Any] | None:
    """Return the live actor with that number, or None."""
    refs = system.actors()
    for begin in range(0, len(refs), SLICE * 5):
        for ref in refs[begin : begin + SLICE * 5]:
            if ref.pid == pid:
                return ref
        await asyncio.sleep(0)
    return None
