"""One system as a node of a cluster: the nodes that it knows, what they know of it, and what a loss means."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from ..errors import ActorDied, Ignore, StartFailed, WrongUse
from ..kernel.base import ActorBase
from ..kernel.lifecycle import end_as_parent
from ..kernel.request import Promise, new_request
from ..kernel.starting import spawn
from ..looks import shown
from ..reasons import NOPROC, NoConnection
from ..ref import ActorRef
from ..system.system import ActorSystem
from .codec import Codec, check_importable
from .entries import ENDED, GRANT, NODE_DOWN, NODE_UP, RENEW, WATCH, WELCOME
from .errors import CannotTravel, ClusterError, NotInCluster
from .incoming import NOBODY, Incoming
from .leases import LeaseWatch, OwnLease
from .names import Join, Members, NameServer, Register, Unregister, WhereIs
from .node_events import NodeDown, NodeState, NodeUp
from .peer import Outgoing
from .peers import OtherNode
from .placement import ANYWHERE, Near, Placement, Spread, is_placement
from .placing import Placing
from .remote import Birth, RemoteActor
from .transport import Batch, Entry, NodeInfo, NodeLost, Transport

QUEUE_LIMIT: Final = 10_000
LEASE_S: Final = 10.0
NAME_TIMEOUT_S: Final = 10.0

LOSSES_KEPT: Final = 100
"""How many lost nodes are told of, those lost last."""

NOWHERE: Final = ""
"""The node of an actor that is dead."""


class ClusterNode:
    """A system in a cluster: ``system.cluster``. Its state belongs to the loop's thread of the system.

    *head* is None for the head itself, which decides who is a member and keeps the names. *queue_limit*
    bounds the messages that wait for one other node. *lease_s* is how long a node that has lost the
    head goes on (see `leases`), and so how long after a cut its children start elsewhere.
    """

    def __init__(
        self,
        system: ActorSystem,
        info: NodeInfo,
        transport: Transport,
        head: NodeInfo | None = None,
        *,
        lease_s: float = LEASE_S,
        queue_limit: int = QUEUE_LIMIT,
        by_value: Any = None,
        cut_off: Callable[[], object] | None = None,
    ) -> None:
        self.system = system
        self.info = info
        self.lease_s = lease_s
        self._transport = transport
        self._queue_limit = queue_limit
        self.by_value = by_value
        """The class of picklers that sends code which has no import name; None: such code is refused."""
        self._cut_off = cut_off
        self._peers: dict[str, OtherNode] = {}
        self._members: dict[str, NodeInfo] = {info.id: info}
        self._gone: dict[str, NodeInfo] = {}
        self._losses: deque[NodeState] = deque(maxlen=LOSSES_KEPT)
        self._head_id = info.id if head is None else head.id
        self._exported: dict[int, tuple[Any, set[str]]] = {}
        """Own actors that other nodes know, by number, and which nodes those are."""
        self._births: dict[Any, tuple[OtherNode, int]] = {}
        self._stand_ins: dict[Any, RemoteActor] = {}
        self._incoming = Incoming(self)
        self._reading = NOWHERE
        self._lease: OwnLease | None = None
        self._watch: LeaseWatch | None = None
        self._names: Any = None
        self._named: dict[str, Any] = {}
        """Where this is the head: the names of the cluster, which the name server alone changes."""
        self._placing = Placing(
            system, info, self._head_id, members=self._members, peers=self._peers, gone=self._gone,
            node_of=self.node_of, named=self._named.get, whereis=self.whereis,
        )  # fmt: skip
        system.cluster = self
        self.closed = False
        self._leaving = False
        self._unhook = system.on_actor_end(self._ended)
        if head is None:
            self._names = system.start(NameServer, self._named)
            self._watch = LeaseWatch(system.loop, lease_s, self._look_at_leases)
        else:
            self._members[head.id] = head
            self._peer(head.id)

    def __repr__(self) -> str:
        return f"<ClusterNode {self.info.name} of {len(self._members)}>"

    # -- for users -----------------------------------------------------------------------------

    @property
    def is_head(self) -> bool:
        """Whether this node decides on the members, and keeps the names."""
        return self._head_id == self.info.id

    @property
    def nodes(self) -> list[NodeInfo]:
        """The nodes of the cluster as far as this one knows, itself first, in the order they joined."""
        return list(self._members.values())

    @property
    def lease_until(self) -> float:
        """When this node's lease ends, by its loop's clock; infinite for the head. From any thread."""
        return math.inf if self._lease is None else self._lease.until

    def states(self) -> list[NodeState]:
        """Return what is known of each node: the members as in `nodes`, then the lost, the last first."""
        found: list[NodeState] = []
        for info in self.nodes:
            head, peer = info.id == self._head_id, self._peers.get(info.id)
            if info.id == self.info.id:
                found.append(NodeState(info, head, True, len(self.system.actors())))
            elif peer is not None:
                out = peer.out
                found.append(
                    NodeState(
                        info, head, False, len(peer.stand_ins), out.waits, out.acknowledged
                    )
                )  # fmt: skip
            else:
                found.append(NodeState(info, head))
        return [*found, *reversed(self._losses)]

    def actors_on(self, node: str) -> list[ActorRef[Any]]:
        """Return the refs that stand here for actors of the node with that name or id."""
        return [
            stand_in.actor_ref
            for peer in self._peers.values()
            if node in (peer.info.id, peer.info.name)
            for stand_in in peer.stand_ins.values()
        ]

    def node_of(self, ref: ActorRef[Any]) -> NodeInfo:
        """Return the node that the actor of *ref* runs on."""
        stand_in = self._stand_ins.get(ref)
        peer: Any = None if stand_in is None else stand_in.peer
        return self.info if peer is None else peer.info

    def waiting_for(self, node: str) -> int:
        """Return how many entries have not been taken by the node with that name or id."""
        return sum(
            peer.out.waits
            for peer in self._peers.values()
            if node in (peer.info.id, peer.info.name)
        )

    async def start(
        self,
        actor_class: type[ActorBase],
        *args: Any,
        node: Placement = ANYWHERE,
        name: str | None = None,
        **kwargs: Any,
    ) -> ActorRef[Any]:
        """Start an actor on a node that answers to the label *node*, and return its ref.

        *node* may also be `near` or `spread`. Raises `NoNode`, `CannotTravel`, and what its constructor or `on_start` raises.
        """
        if not self.by_value:
            check_importable(f"The class {actor_class.__qualname__}", actor_class)
        node = placed(node, name or actor_class.__name__)
        self._placing.check(node)
        home = self.system.open_home()
        ack = new_request(None, NOBODY, home, Promise)
        if isinstance(node, Near) and self.runs_here(node):
            spawn(home, actor_class, args, kwargs, name, ack=ack)
        else:
            birth = Birth(actor_class, args, tuple(kwargs.items()), name)
            spawn(home, RemoteActor, (self, node, birth), {}, name, ack=ack)
        try:
            ref: ActorRef[Any] | None = await ack
        except StartFailed as failed:
            if isinstance(failed.reason, ClusterError):
                raise failed.reason from None
            raise
        if ref is None:
            raise Ignore(f"{actor_class.__name__} declined to start on {str(node)!r}")
        return ref

    async def register(self, name: str, ref: ActorRef[Any]) -> None:
        """Give *name* to *ref* in the whole cluster.

        Raises `NameTaken` if another live actor has it, and `NotInCluster` where the head is lost.
        """
        await self._ask_names(Register(name, ref))

    async def unregister(self, name: str) -> None:
        """Free *name* in the whole cluster."""
        await self._ask_names(Unregister(name))

    async def whereis(self, name: str) -> ActorRef[Any] | None:
        """Return the live actor that has *name* in the cluster, on whichever node; or None."""
        ref: ActorRef[Any] | None = await self._ask_names(WhereIs(name))
        return ref

    async def join(self, group: str, ref: ActorRef[Any]) -> None:
        """Add *ref* to the cluster's *group*; it leaves by itself when it ends."""
        await self._ask_names(Join(group, ref))

    async def leave(self, group: str, ref: ActorRef[Any]) -> None:
        """Take *ref* out of the cluster's *group*."""
        await self._ask_names(Join(group, ref, True))

    async def members(self, group: str) -> list[ActorRef[Any]]:
        """Return the live members of the cluster's *group*, in the order they joined."""
        refs: list[ActorRef[Any]] = await self._ask_names(Members(group))
        return refs

    async def _ask_names(self, question: Any) -> Any:
        if self._names is None or self.closed:
            raise NotInCluster("A name", "this node has no connection to the cluster's head")
        try:
            return await self._names.request(question, NAME_TIMEOUT_S)
        except ActorDied as error:
            raise NotInCluster("A name", "this node has lost the cluster's head") from error

    # -- members -------------------------------------------------------------------------------

    def admit(self, info: NodeInfo) -> None:
        """A node has come up, as the head's transport says: tell it and all others the members."""
        peer = self._peer(info.id)
        if peer is None:
            return
        peer.info = info
        # Its first lease counts from when it is welcomed, which may be later than this by as much again.
        peer.granted_at = self.system.clock() + self.lease_s
        peer.out.put((WELCOME, self._names.pid, self.lease_s))
        self.export(self._names, info.id)
        for other in self._members.values():
            if other.id != self.info.id:
                peer.out.put((NODE_UP, other.id, other.name, tuple(sorted(other.labels))))
        self._tell_hosts((NODE_UP, info.id, info.name, tuple(sorted(info.labels))), but=info.id)
        self._member_up(info)

    def lose(self, node: str, *, certain: bool = True) -> None:
        """A node is gone, as the head's transport says. If that is not *certain*, its lease decides."""
        if certain:
            self._lose(node)

    def _look_at_leases(self, oldest: float) -> None:
        for peer in list(self._peers.values()):
            if peer.granted_at < oldest:
                self._lose(peer.info.id)

    def _tell_hosts(self, entry: Entry, *, but: str) -> None:
        for peer in self._peers.values():
            if peer.info.id != but:
                peer.out.put(entry)

    def _member_up(self, info: NodeInfo) -> None:
        if info.id not in self._members and info.id not in self._gone:
            self._members[info.id] = info
            self._placing.node_came()
            self.system.publish(NodeUp(info))

    def _lose(self, node: str) -> None:
        peer = self._peers.pop(node, None)
        if peer is None:
            self._gone.setdefault(node, NodeInfo(node, node))
            return
        self._gone[node] = peer.info
        if self.is_head:
            self._tell_hosts((NODE_DOWN, node), but=node)
        elif node == self._head_id:
            self.cut_off("the cluster's head is lost")
        reason = NoConnection(peer.info.name)
        for ref in list(peer.births.values()):
            if not ref.ended:
                end_as_parent(ref, reason)
        never, maybe = peer.lose(reason)
        for _, known_by in self._exported.values():
            known_by.discard(node)
        if self._members.pop(node, None) is not None:
            down = NodeDown(peer.info, never, maybe)
            self._losses.append(
                NodeState(
                    peer.info,
                    node == self._head_id,
                    sent=peer.out.acknowledged,
                    lost=down,
                    lost_at=self.system.clock(),
                )
            )
            self.system.publish(down)

    def cut_off(self, why: str) -> None:
        """This node has left the cluster: end its actors, for they are started elsewhere."""
        if self.closed or self._leaving:
            return
        self._leaving = True
        self.system.log.report(
            "cut_off", self.info.name, "WARNING",
            f"Node {self.info.name} has left the cluster ({why}): its actors end.",
            reason=why, next="its actors end",
        )  # fmt: skip
        for peer in list(self._peers.values()):
            self._lose(peer.info.id)
        self.close()
        for ref in self.system.actors():
            ref.kill()
        if self._cut_off is not None:
            self._cut_off()

    async def flushed(self, timeout_s: float) -> None:
        """Return once all other nodes have taken what this one has sent, or after *timeout_s* seconds."""
        outs = [peer.out.flushed() for peer in self._peers.values()]
        if outs:
            await asyncio.wait(outs, timeout=timeout_s)

    def close(self) -> None:
        """Send and take nothing any more."""
        self.closed = self._placing.closed = True
        self._unhook()
        if self._lease is not None:
            self._lease.close()
        if self._watch is not None:
            self._watch.close()
        for peer in self._peers.values():
            peer.out.close()

    # -- batches -------------------------------------------------------------------------------

    def receive(self, batch: Batch) -> None:
        """Take a batch that the transport brings; on the loop's thread.

        Raises `NodeLost` for what a lost node sends,
        """
        if self.closed or batch.sender in self._gone:
            raise NodeLost(batch.sender)
        peer = self._peer(batch.sender)
        if peer is None or batch.number <= peer.seen:
            return
        peer.seen = batch.number
        self._reading = batch.sender
        with self.system.use():
            for entry in batch.entries:
                if self.closed:
                    break
                try:
                    self._incoming.take(peer, entry)
                except Exception as error:
                    self.system.log.error("An entry of a batch failed", error=error)
        self._reading = NOWHERE

    def member_entry(self, peer: OtherNode, entry: Entry) -> None:
        """Take what concerns nodes, leases and names."""
        match entry:
            case (int(kind), float(when)) if kind == RENEW:
                peer.granted_at = self.system.clock()
                peer.out.put((GRANT, when))
            case (int(kind), float(when)) if kind == GRANT:
                if self._lease is not None:
                    self._lease.granted(when)
            case (int(kind), int(pid), float(lease_s)) if kind == WELCOME:
                self._welcome(peer, pid, lease_s)
            case (int(kind), str(node), str(name), labels) if kind == NODE_UP:
                info = NodeInfo(node, name, frozenset(labels))
                other = self._peer(node)
                if other is not None:
                    other.info = info
                self._member_up(info)
            case (int(kind), str(node)) if kind == NODE_DOWN:
                self._lose(node)
            case _:
                self.system.log.error("A batch had an entry of the unknown kind {}", entry[0])

    def _welcome(self, head: OtherNode, pid: int, lease_s: float) -> None:
        self.lease_s = lease_s
        self._names = self.ref_of(head.info.id, pid, "the names of the cluster")
        self._lease = OwnLease(
            self.system.loop,
            lease_s,
            lambda when: head.out.put((RENEW, when)),
            lambda: self.cut_off("its lease was not prolonged"),
        )

    def _peer(self, node: str) -> OtherNode | None:
        peer = self._peers.get(node)
        if peer is None and node not in self._gone and node != self.info.id:
            info = self._members.get(node) or NodeInfo(node, node)
            home: Any = self.system.home
            out = Outgoing(
                info, self.info.id, self._transport, home.loop, home.context,
                lambda: self._lose(node), self._queue_limit,
            )  # fmt: skip
            peer = OtherNode(info, out, Codec(self, node, self.by_value))
            self._peers[node] = peer
        return peer

    # -- refs ----------------------------------------------------------------------------------

    def name_of(self, ref: Any, to: str, /) -> tuple[str, int, str | None]:
        """Return node, number and label of the actor of *ref*, for the node *to*, which will watch it."""
        stand_in = self._stand_ins.get(ref)
        if stand_in is not None:
            peer: Any = stand_in.peer
            return peer.info.id, stand_in.pid, ref.label
        if ref.ended:
            return NOWHERE, 0, ref.label
        if ref.system is not self.system or ref.actor_class.stands_for_remote:
            raise CannotTravel(
                f"The ref of {ref.label}", "its actor has not started, or is of another system"
            )
        self.export(ref, to)
        return self.info.id, ref.pid, ref.label

    def ref_of(self, node: str, pid: int, label: str | None, /) -> Any:
        """Return the ref of that actor on this node."""
        if node == self.info.id:
            own = self.own(pid)
            return self._dead(label) if own is None else own
        peer = None if node == NOWHERE else self._peer(node)
        if peer is None:
            return self._dead(label)
        known = peer.stand_ins.get(pid)
        if known is not None:
            return known.actor_ref
        stand_in = self._new_stand_in(label)
        self.attached(stand_in, peer, pid)
        if node != self._reading:
            peer.out.put((WATCH, pid))  # else it has noted it when it wrote the ref
        return stand_in.actor_ref

    def _new_stand_in(self, label: str | None) -> RemoteActor:
        stand_in = RemoteActor()
        stand_in.actor_ref.name = label
        self.system.adopt(stand_in.actor_ref)
        return stand_in

    def _dead(self, label: str | None) -> Any:
        stand_in = self._new_stand_in(label)
        stand_in.over(NOPROC)
        return stand_in.actor_ref

    def stands_for(self, ref: Any, /) -> RemoteActor | None:
        """Return the `RemoteActor` of *ref*, or None."""
        return self._stand_ins.get(ref)

    def attached(self, stand_in: RemoteActor, peer: OtherNode, pid: int, /) -> None:
        """*stand_in* stands for the actor *pid* of *peer* from now on."""
        self._stand_ins[stand_in.actor_ref] = stand_in
        peer.stand_ins[pid] = stand_in
        stand_in.attach(peer, pid)

    def own(self, pid: int, /) -> Any:
        """Return the ref of the live actor *pid* of this node that others know, or None."""
        found = self._exported.get(pid)
        return None if found is None else found[0]

    def export(self, ref: Any, to: str, /) -> None:
        """Tell the node *to* when the actor of *ref* ends."""
        found = self._exported.get(ref.pid)
        if found is None:
            found = self._exported[ref.pid] = ref, set[str]()
        found[1].add(to)

    def _ended(self, ref: Any, reason: Any) -> None:
        """An actor of this system has ended, and no watcher has been told yet."""
        known = self._exported.pop(ref.pid, None)
        if known is not None:
            for node in sorted(known[1]):
                peer = self._peers.get(node)
                if peer is not None:
                    peer.out.put((ENDED, ref.pid, peer.codec.encode_reason(reason)))
        birth = self._births.pop(ref, None)
        if birth is not None:
            birth[0].births.pop(birth[1], None)
        stand_in = self._stand_ins.pop(ref, None)
        if stand_in is not None:
            stand_in.left()
            self._placing.ended(stand_in)

    # -- starts --------------------------------------------------------------------------------

    def born(self, peer: OtherNode, number: int, ref: Any, /) -> None:
        """*peer* has had the actor of *ref* started."""
        if not ref.ended:
            peer.births[number] = ref
            self._births[ref] = peer, number

    def runs_here(self, node: Placement) -> bool:
        """Tell whether ``node=node`` means this node itself."""
        return self._placing.runs_here(node)

    async def place(self, stand_in: RemoteActor, node: Placement, birth: Birth, /) -> None:
        """Have *stand_in* stand for a new actor on a node that *node* means.

        Raises `NoNode`, `CannotTravel`, and why it did not start.
        """
        await self._placing.place(stand_in, node, birth)


def placed(node: Any, name: str) -> Placement:
    """Return *node* as where something called *name* is to run. Raises `WrongUse` for what is not one."""
    if not is_placement(node):
        raise WrongUse(
            f"node={shown(node)} is not the name or a label of a node, near(...) or spread(...); for "
            'example node="gpu", or node="*" for any'
        )
    return node.for_name(name) if isinstance(node, Spread) else node


def elsewhere(
    parent: Any, node: Placement, name: str, actor_class: type[Any], args: tuple[Any, ...]
) -> tuple[type[Any], tuple[Any, ...]]:
    """Return the class and arguments of what *parent* has to start for its child *name* on *node*.

    That is what stands for it here, or *actor_class* itself where *node* means this very node. Raises
    `NotInCluster`, and `CannotTravel` for a class without an import name.
    """
    cluster: ClusterNode | None = parent.system.cluster
    if cluster is None:
        raise NotInCluster(f"A child {actor_class.__qualname__} with node={str(node)!r}")
    if cluster.runs_here(node):
        return actor_class, args
    if not cluster.by_value:
        check_importable(f"The class {actor_class.__qualname__}", actor_class)
    word = bool(parent.actor_class.children_crash_on_ask_error)
    birth = Birth(actor_class, args, parent=parent, crash_on_ask_error=word)
    return RemoteActor, (cluster, placed(node, name), birth)


__all__ = ["LEASE_S", "QUEUE_LIMIT", "ClusterNode", "elsewhere"]
