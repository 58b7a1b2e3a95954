"""What a node keeps of another: what stands here for its actors, and what is under way between the two."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from ..errors import ActorDied
from .codec import Codec
from .peer import Outgoing
from .transport import NodeInfo, NodeLost

if TYPE_CHECKING:
    from .remote import RemoteActor


class OtherNode:
    """One peer of a node. Owned by the loop's thread of that node's system."""

    def __init__(self, info: NodeInfo, out: Outgoing, codec: Codec) -> None:
        self.info = info
        self.out = out
        self.codec = codec
        self.seen = 0
        """The number of the last batch that came from it."""
        self.stand_ins: dict[int, RemoteActor] = {}
        """What stands here for its actors, by their numbers there."""
        self.groups = Counter[str]()
        """How many actors of each group of `spread` are there, or are being started."""
        self.spawning: dict[int, tuple[RemoteActor, asyncio.Future[None]]] = {}
        """What is being started there, by number."""
        self.births: dict[int, Any] = {}
        """The refs of the actors that it has started here, by its numbers."""
        self.incoming: dict[int, Any] = {}
        """The requests to actors here that it waits for, with the ref that was asked, by its numbers."""
        self.granted_at = 0.0
        """When the head has last prolonged its lease, by the head's clock."""
        self._asks: dict[int, tuple[Any, RemoteActor]] = {}
        self._numbers: dict[Any, int] = {}
        self._last = 0

    def next_number(self) -> int:
        """Return a number that nothing else between the two nodes has."""
        self._last += 1
        return self._last

    def asked(self, item: Any, stand_in: RemoteActor, /) -> int:
        """Return the number under which *item* is to be answered."""
        number = self.next_number()
        self._asks[number] = item, stand_in
        self._numbers[item] = number
        stand_in.asks[number] = item
        return number

    def number_of(self, item: Any, /) -> int | None:
        """Return that number of a request that is under way, or None."""
        return self._numbers.get(item)

    def asked_under(self, number: int) -> Any:
        """Return what was asked under *number*; None if it is not waited for any more."""
        found = self._asks.get(number)
        return None if found is None else found[0]

    def take(self, number: int) -> tuple[Any, RemoteActor] | None:
        """Take what was asked under *number*; None if it is not waited for any more."""
        found = self._asks.pop(number, None)
        if found is not None:
            del self._numbers[found[0]]
            found[1].asks.pop(number, None)
            _over(found[0])
        return found

    def forget(self, pid: int, /) -> None:
        """Nothing stands for its actor *pid* here any more."""
        stand_in = self.stand_ins.pop(pid, None)
        if stand_in is not None:
            for number in list(stand_in.asks):
                item, _ = self._asks.pop(number)
                del self._numbers[item]
                _over(item)

    def lose(self, reason: Any) -> tuple[int, int]:
        """The node is lost: end all that depends on it. Return what its queue knows (`Outgoing.close`)."""
        counts = self.out.close()
        for _, future in self.spawning.values():
            if not future.done():
                future.set_exception(NodeLost(self.info.name))
        self.spawning.clear()
        for item, stand_in in list(self._asks.values()):
            _over(item)
            item.fail(ActorDied(stand_in.actor_ref, reason))
        for request, _ in self.incoming.values():
            request.abandon()
        self.incoming.clear()
        # What is near something ends last, so that a supervisor first starts what it is near.
        for stand_in in sorted(self.stand_ins.values(), key=lambda stand_in: stand_in.is_near):
            stand_in.over(reason)
        self._asks.clear()
        self._numbers.clear()
        return counts


def _over(item: Any) -> None:
    """Tell a request that what handles it says nothing more."""
    over = getattr(item, "call_over", None)
    if over is not None:
        over()


__all__ = ["OtherNode"]
