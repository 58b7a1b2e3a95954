"""The incarnations of an agent that handles several messages at once, and what happened to an actor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast

from agenticaiframework.actors import (
    ActorInfo,
    ActorRef,
    ActorSystem,
    hands_on,
    is_incarnation_in_pool,
)

from .census import actor_row

Row = dict[str, Any]

MOST: Final = 200
"""Incarnations that are listed; how many there are is said."""


def look_at_incarnations(system: ActorSystem, pool: ActorInfo, payloads: bool) -> Row | None:
    """Return what each incarnation of *pool* does, by its place, and how many more may be started.

    None for an actor that handles its messages itself.
    """
    if not hands_on(pool.ref):
        return None
    links = cast("tuple[ActorRef[Any], ...]", pool.links)
    refs = [ref for ref in links if _is_incarnation(ref)]
    refs.sort(key=_place)
    found = [system.info(ref) for ref in refs[:MOST]]
    alive = [info for info in found if info.state != "dead" and info.parent is pool.ref]
    total = len(refs) - len(found) + len(alive)
    return {
        "rows": [actor_row(system, info, payloads) for info in alive],
        "total": total,
        "room": max(0, (pool.concurrency or 0) - total),
    }


def entries_about(row: Row, entries: Iterable[Row]) -> list[Row]:
    """Return of the feed's *entries* those about the actor of *row* or an incarnation of it, the newest first."""
    # A supervisor's report has the number of the supervisor, because the child's changes with a restart.
    whole = f"{row['parent']['name']} / {row['name']}" if row["parent"] else None
    found = [
        one
        for one in entries
        if one.get("pid") == row["pid"]
        or (whole is not None and _is_about(str(one["subject"]), whole))
    ]
    return found[::-1]


def _is_about(subject: str, whole: str) -> bool:
    return subject == whole or (subject.startswith(f"{whole}[") and subject.endswith("]"))


def _is_incarnation(ref: Any) -> bool:
    # Not a plain pykka actor that is linked to it.
    return isinstance(ref, ActorRef) and is_incarnation_in_pool(cast("ActorRef[Any]", ref))


def _place(ref: ActorRef[Any]) -> int:
    # As an `AgentPool` calls them: worker[1], worker[2].
    number = ref.label.rpartition("[")[2].rstrip("]")
    return int(number) if number.isdecimal() else 0


__all__ = ["entries_about", "look_at_incarnations"]
