"""Chooses the node for a start, and has the actor started there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from ..errors import Ignore
from ..kernel.request import set_unless_done
from ..system.system import ActorSystem
from .entries import SPAWN, UNSPAWN
from .errors import NoNode, NotInCluster
from .peers import OtherNode
from .placement import ANYWHERE, Near, Placement, Spread
from .remote import Birth, RemoteActor
from .transport import NodeInfo, NodeLost

NODE_WAIT_S: Final = 10.0
"""How long a start waits for another node with its label, when the last one is lost."""

LOOK_S: Final = 0.1
"""How often a start looks for what it is to be near. A name may come from any node, which announces none."""


class Placing:
    """The starts on other nodes from here. Its state belongs to the loop's thread of the system.

    *members*, *peers* and *gone* are the node's own, and only read. *named* returns what has a name in
    the cluster, if this node knows it without asking; *whereis* asks.
    """

    def __init__(
        self,
        system: ActorSystem,
        info: NodeInfo,
        head_id: str,
        *,
        members: Mapping[str, NodeInfo],
        peers: Mapping[str, OtherNode],
        gone: Mapping[str, NodeInfo],
        node_of: Callable[[Any], NodeInfo],
        named: Callable[[str], Any],
        whereis: Callable[[str], Awaitable[Any]],
    ) -> None:
        self._system = system
        self._info = info
        self._head_id = head_id
        self._members = members
        self._peers = peers
        self._gone = gone
        self._node_of = node_of
        self._named = named
        self._whereis = whereis
        self._waiting: list[asyncio.Future[None]] = []
        """The starts that wait for a node to come up."""
        self._groups: dict[RemoteActor, tuple[OtherNode, str]] = {}
        """What counts for `spread`: where it is, or is being started, and of which group."""
        self.closed = False

    def node_came(self) -> None:
        """A node has come up: starts that wait for one look again."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            set_unless_done(future)

    def ended(self, stand_in: RemoteActor) -> None:
        """What *stand_in* stands for counts no more."""
        counted = self._groups.pop(stand_in, None)
        if counted is not None:
            peer, group = counted
            peer.groups[group] -= 1
            if not peer.groups[group]:
                del peer.groups[group]

    # -- which node ----------------------------------------------------------------------------

    def runs_here(self, placement: Placement) -> bool:
        """Tell whether *placement* means this node itself."""
        if isinstance(placement, Near):
            info = self._found(placement, self._known(placement))
            return info is not None and info.id == self._info.id
        label = placement.label if isinstance(placement, Spread) else placement
        return self._info.answers_to(label)

    def check(self, placement: Placement) -> None:
        """Raise `NoNode` if no node answers to *placement*, and none is expected to."""
        if not isinstance(placement, Near) and not self._is_lost(placement):
            self._choose(placement)

    def _choose(self, placement: str | Spread) -> OtherNode:
        """Return the node with that label that has the fewest actors of the group, and from here."""
        label = placement.label if isinstance(placement, Spread) else placement
        peers = [
            self._peers[info.id]
            for info in self._members.values()
            if info.id in self._peers
            if (info.id != self._head_id if label == ANYWHERE else info.answers_to(label))
        ]
        if not peers:
            raise NoNode(label, [_described(info) for info in self._members.values()])
        group = placement.group if isinstance(placement, Spread) else None

        def load(peer: OtherNode) -> tuple[int, int]:
            of_group = 0 if group is None else peer.groups[group]
            return of_group, len(peer.stand_ins) + len(peer.spawning)

        return min(peers, key=load)

    def _known(self, placement: Near) -> Any:
        """Return the ref of what *placement* is near, as far as this node knows it; or None."""
        other = placement.other
        if isinstance(other, str):
            return self._system.whereis(other) or self._named(other)
        if hasattr(other, "address"):
            return other.address(self._system).live
        return other

    def _found(self, placement: Near, ref: Any) -> NodeInfo | None:
        """Return the node that *ref* runs on; None if it runs nowhere."""
        if ref is None or ref.ended:
            return None
        info = self._node_of(ref)
        if ref.actor_class.stands_for_remote and info is self._info:
            return None  # it is being started itself
        return info

    async def _near(self, placement: Near, until: float) -> OtherNode:
        """Return the node that *placement* means, once there is one. Raises `NoNode`."""
        while True:
            ref = self._known(placement)
            if ref is None and isinstance(placement.other, str):
                ref = await self._whereis(placement.other)
            info = self._found(placement, ref)
            if info is not None and info.id == self._info.id:
                raise NoNode(
                    str(placement),
                    why=f"{placement.name!r} runs on the node that starts what is to be near it, and "
                    "its name is kept by another. Give its ref: node=near(ref).",
                )
            peer = None if info is None else self._peers.get(info.id)
            if peer is not None:
                return peer
            never: bool = ref is not None and placement.other is ref and ref.ended
            if never or self._system.clock() >= until:
                raise NoNode(
                    str(placement),
                    why=f"{placement.name!r} {'has ended' if never else 'runs nowhere'}, so nothing can "
                    "be started near it. Start it first: ask the agent, or put it into the same "
                    "supervisor, before what is to be near it.",
                )
            await self._wait_for(None, LOOK_S)

    def _is_lost(self, placement: Placement) -> bool:
        """Tell whether a node with that label has been lost."""
        label = placement.label if isinstance(placement, Spread) else placement
        return any(
            label == ANYWHERE or (isinstance(label, str) and info.answers_to(label))
            for info in self._gone.values()
        )

    # -- the start -----------------------------------------------------------------------------

    async def place(self, stand_in: RemoteActor, placement: Placement, birth: Birth, /) -> None:
        """Have *stand_in* stand for a new actor on a node that *placement* means.

        Raises `NoNode`, `CannotTravel`, and why it did not start.
        """
        until = self._system.clock() + NODE_WAIT_S
        while True:
            if self.closed:
                raise NotInCluster("A start on another node", "this node has left the cluster")
            try:
                if isinstance(placement, Near):
                    peer = await self._near(placement, until)
                else:
                    peer = self._choose(placement)
                await self._place_on(peer, stand_in, placement, birth)
                return
            except NodeLost:
                pass  # and what it may have started is lost with it: on the next
            except NoNode:
                # Of a label that there was, a node is expected back; another is a mistake.
                if isinstance(placement, Near) or not await self._node_up(placement, until):
                    raise

    async def _node_up(self, placement: str | Spread, until: float) -> bool:
        """Wait for a node to come up, if one with the label is lost; return False if none has in time."""
        left_s = until - self._system.clock()
        if not self._is_lost(placement) or left_s <= 0:
            return False
        await self._wait_for(self._waiting, left_s)
        return self._system.clock() < until

    async def _wait_for(self, waiting: list[asyncio.Future[None]] | None, limit_s: float) -> None:
        """Return after *limit_s* seconds, or when a future that is put into *waiting* is done."""
        future: asyncio.Future[None] = self._system.loop.create_future()
        if waiting is not None:
            waiting.append(future)
        timer = self._system.call_later(limit_s, set_unless_done, future)
        try:
            await future
        finally:
            timer.cancel()
            if future in self._waiting:
                self._waiting.remove(future)

    async def _place_on(
        self, peer: OtherNode, stand_in: RemoteActor, placement: Placement, birth: Birth
    ) -> None:
        data = peer.codec.encode("What {} is made of", birth, stand_in.actor_ref.label)
        number = peer.next_number()
        future: asyncio.Future[None] = self._system.loop.create_future()
        peer.spawning[number] = stand_in, future
        if isinstance(placement, Spread) and placement.group is not None:
            self._groups[stand_in] = peer, placement.group
            peer.groups[placement.group] += 1
        peer.out.put((SPAWN, number, data))
        try:
            await future
        except asyncio.CancelledError:
            peer.spawning.pop(number, None)
            peer.out.put((UNSPAWN, number))
            raise
        finally:
            if stand_in.peer is None:
                self.ended(stand_in)
        if stand_in.peer is None:
            raise Ignore(f"{stand_in.actor_ref.label} declined to start")


def _described(info: NodeInfo) -> str:
    labels = ", ".join(sorted(info.labels))
    return f"{info.name} ({labels})" if labels else info.name


__all__ = ["LOOK_S", "NODE_WAIT_S", "Placing"]
