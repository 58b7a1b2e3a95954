"""The health check of the mailboxes: messages that pile up are told before the timeouts of their senders."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

from ..kernel.look import waiting_at
from .health import Degraded

MANY: Final = 10_000
"""Messages in one mailbox that are told."""

_SHOWN: Final = 3
_AT_ONCE: Final = 5_000


class Crowd(Protocol):
    """What has actors; `ActorSystem` is one."""

    def actors(self) -> list[Any]: ...


async def check_mailboxes(system: Crowd) -> Degraded | None:
    """Return the longest of the mailboxes that are full, or in which very many messages wait."""
    found: list[tuple[int, bool, Any]] = []
    refs = system.actors()
    for first in range(0, len(refs), _AT_ONCE):
        for ref in refs[first : first + _AT_ONCE]:
            count, capacity = waiting_at(ref)
            full = capacity is not None and count >= capacity
            if full or count >= MANY:
                found.append((count, full, ref))
        await asyncio.sleep(0)
    if not found:
        return None
    found.sort(key=lambda one: one[0], reverse=True)
    told = [
        f"{count:,} messages wait at {ref.label}" + (", whose mailbox is full" if full else "")
        for count, full, ref in found[:_SHOWN]
    ]
    more = len(found) - len(told)
    return Degraded("; ".join(told) + (f"; and {more} more" if more else ""))


__all__ = ["check_mailboxes"]
