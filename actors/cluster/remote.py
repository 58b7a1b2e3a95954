"""What stands for an actor on another node: an actor of this node, whose ref is used like any other.

Links, monitors, supervision, names and askers are with it, by the kernel's own means, and its mailbox
passes messages on. It ends when the other actor ends, with the same reason, or when that one's node is
lost, with ``noconnection``. So a message between two actors of one node takes no step more than
without a cluster, and a supervisor does not know that its child is elsewhere.

Lost: a ref of a class of its own, because every place that touches a ref would meet two classes, which
makes an ask twice as dear (`kernel.cell`); and a queue between the two that an actor's turn empties, since
one message would then be handled twice and a stop would end the wrong actor.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..actor import Actor
from ..errors import ActorDied, AgenticError, MailboxFull
from ..kernel import lifecycle
from ..kernel.cell import home_of
from ..kernel.delivery import is_ask
from ..kernel.lifecycle import is_stop
from ..kernel.mailbox import Mailbox
from ..looks import is_a
from ..messages import Down, Exit, OwnMessage
from ..reasons import KILL, KILLED, NEVER_SENT, NoConnection, is_word
from .entries import ASK, END, EXIT, LINK, STOP, TELL, UNLINK, WITHDRAW
from .errors import CannotTravel
from .placement import Near, Placement

if TYPE_CHECKING:
    from .codec import Codec
    from .peer import Outgoing

_put = deque[Any].append

ENDLESS: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Birth:
    """What another node makes an actor of."""

    actor_class: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()
    name: str | None = None
    parent: Any = None
    incarnation: int = 1
    crash_on_ask_error: bool = False
    """What None as the actor's own attribute of that name means: its supervisor's word."""


class Peer(Protocol):
    """Another node, as those that stand for its actors see it."""

    out: Outgoing
    codec: Codec

    def asked(self, item: Any, stand_in: RemoteActor, /) -> int:
        """Return the number under which *item* is to be answered."""
        ...

    def number_of(self, item: Any, /) -> int | None:
        """Return that number of a request that is under way, or None."""
        ...

    def take(self, number: int, /) -> Any:
        """Forget what was asked under *number*."""
        ...

    def forget(self, pid: int, /) -> None:
        """Nothing stands for the actor *pid* here any more."""
        ...


class Places(Protocol):
    """What has an actor started on another node: a `ClusterNode`."""

    async def place(self, stand_in: RemoteActor, node: Placement, birth: Birth, /) -> None:
        """Have *stand_in* stand for a new actor on a node that *node* means."""
        ...


class OutgoingMailbox(deque[Any]):
    """The mailbox of what stands for a remote actor: what enters goes out. On the loop's thread.

    Before it is known where the actor is, messages wait in it.
    """

    __slots__ = ("_owner",)

    overflow = "backpressure"

    def __init__(self, owner: RemoteActor) -> None:
        super().__init__()
        self._owner = owner

    @property
    def capacity(self) -> int:
        """0 while senders have to wait: what `ActorRef.send` compares with."""
        peer = self._owner.peer
        return 0 if peer is not None and peer.out.full else ENDLESS

    def append(self, item: Any, /) -> None:
        owner = self._owner
        peer = owner.peer
        if is_a(owner.gone, NoConnection) and not is_ask(item) and not is_stop(item):
            owner.undelivered(item, NEVER_SENT)
        elif peer is None or owner.gone is not None:
            _put(self, item)  # of one that ends, it is left over, as in any mailbox
        elif is_stop(item):
            if is_ask(item):
                owner.stops.append(item)
            peer.out.put((STOP, owner.pid))
        elif not peer.out.full:
            owner.pass_on(peer, item)
        elif getattr(item, "waits_for_room", False):
            self._wait(peer, item)
        else:
            raise MailboxFull(owner.actor_ref, peer.out.limit)

    @property
    def waiting(self) -> OutgoingMailbox:
        """Where the kernel enters a sender that waits for room (`ActorRef.send`): here."""
        return self

    def _wait(self, peer: Peer, item: Any) -> None:
        def enter() -> None:
            if item.asker_waiting:
                if self._owner.gone is not None:
                    item.fail(ActorDied(self._owner.actor_ref, self._owner.gone))
                else:
                    self.append(item.admit())

        peer.out.waiting.append(enter)


@dataclass(frozen=True)
class OutgoingPolicy(Mailbox):
    """The policy of one such mailbox: bounded by what waits for its node."""

    box: Any = None

    def make(self, owner: Any) -> Any:
        return self.box


class RemoteActor(Actor):
    """Stands for one incarnation of an actor on another node. Its state belongs to the loop's thread.

    With a *birth* it has that actor started, and owns it: when it is told to end, that one ends.
    """

    stands_for_remote = True

    def __init__(
        self, cluster: Places | None = None, node: Placement = "", birth: Birth | None = None
    ) -> None:
        super().__init__()
        self._box = OutgoingMailbox(self)
        self.mailbox = OutgoingPolicy(box=self._box)
        self._cluster = cluster
        self._node = node
        self._birth = birth
        self.peer: Peer | None = None
        self.pid = 0
        """The number of the actor on its node."""
        self.asks: dict[int, Any] = {}
        """What it has been asked and not answered, by number."""
        self.stops: list[Any] = []
        """The requests to stop it, which wait for its end."""
        self.gone: Any = None
        """Why the actor has ended; None while that is not known."""
        self._over: asyncio.Event | None = None
        self._linked: dict[Any, None] = {}
        self._owns = birth is not None
        self._begun = birth is None

    @property
    def is_near(self) -> bool:
        """Whether it was placed near something."""
        return isinstance(self._node, Near)

    # -- its life ------------------------------------------------------------------------------

    async def on_start(self) -> None:  # type: ignore[override]
        birth, self._birth = self._birth, None
        if birth is None or self._cluster is None:
            return
        await self._cluster.place(self, self._node, birth)
        self._begun = True
        if self.gone is not None:
            # It ended as soon as it had started: an exit, and no failed start.
            home = home_of(self._ref)
            home.loop.call_soon(lifecycle.doom, self._ref, self.gone, context=home.context)

    def attach(self, peer: Peer, pid: int) -> None:
        """It is known where the actor is: pass on what has waited."""
        self.peer, self.pid = peer, pid
        held = list(self._box)
        self._box.clear()
        for item in held:
            try:
                self._box.append(item)
            except AgenticError as error:
                if is_ask(item):
                    item.fail(error)
                else:
                    self.system.dead_letter(item, self._ref.label, error)

    async def on_stop(self, reason: Any = None) -> None:  # type: ignore[override]
        peer = self.peer
        if self.gone is None and self._owns and peer is not None:
            # It has ended when that one has, so that there are never two incarnations of a child.
            self._over = asyncio.Event()
            if is_word(reason, KILLED):
                self.signal(None, KILL)
            else:
                peer.out.put((END, self.pid, peer.codec.encode_reason(reason)))
            await self._over.wait()
        for request in self.stops:
            request.reply(None)

    def over(self, reason: Any) -> None:
        """The actor has ended with *reason*, or its node is lost."""
        if self.gone is not None:
            return
        self.gone = reason
        peer = self.peer
        if peer is not None:
            peer.forget(self.pid)
        asks, self.asks = self.asks, {}
        for request in asks.values():
            request.fail(ActorDied(self._ref, reason))
        if self._over is not None:
            self._over.set()
        elif self._begun:
            lifecycle.doom(self._ref, reason)

    def left(self) -> None:
        """This actor has ended. If that was not waited for, the other one ends now."""
        if self.gone is None and self._owns:
            self.signal(None, KILL)
        if self.gone is None and self.peer is not None:
            self.peer.forget(self.pid)

    # -- what it passes on ---------------------------------------------------------------------

    def on_receive(self, message: Any) -> None:
        """Let a message that is not passed on be a dead letter: none is known, and none is dropped in silence."""
        self.system.dead_letter(message, self._ref.label, "not passed on")

    def pass_on(self, peer: Peer, item: Any) -> None:
        """Send *item*, a message or a request, to the actor. Raises `CannotTravel` of a message."""
        label = self._ref.label
        if is_ask(item):
            try:
                as_sent = getattr(item, "as_sent", None)
                message = item.message if as_sent is None else as_sent()
                data = peer.codec.encode("The message to {}", message, label)
            except CannotTravel as error:
                item.fail(error)
                return
            number = peer.asked(item, self)
            # A step's own time counts from when it is taken up, which the other node says.
            step = hasattr(item, "taken_up")
            peer.out.put((ASK, self.pid, number, data, step), self, item)
            return
        if is_a(item, Exit, Down, OwnMessage):
            return
        data = peer.codec.encode("The message to {}", item, label)
        peer.out.put((TELL, self.pid, label, data), self, item)

    def _put_in(self, item: Any) -> None:
        peer = self.peer
        if peer is None or is_stop(item) or not peer.out.full:
            self._box.append(item)
        else:
            self.pass_on(peer, item)

    def undelivered(self, item: Any, why: str, /) -> None:
        """The node is lost, and *item* was never sent to it, or may have been delivered."""
        if not is_ask(item):
            self.system.dead_letter(item, self._ref.label, why)

    def signal(self, sender: Any, reason: Any) -> None:
        """Send the actor the exit signal *reason*, of *sender*."""
        peer = self.peer
        if peer is not None:
            codec = peer.codec
            by = None if sender is None else codec.encode("A ref", sender)
            peer.out.put((EXIT, self.pid, by, codec.encode_reason(reason)))

    def _signalled(self, sender: Any, reason: Any, via_link: bool) -> None:
        # By a link, the other node learns of the end of *sender* itself.
        if via_link:
            self._linked.pop(sender, None)
        elif self.peer is None:
            kill = is_word(reason, KILL)
            lifecycle.doom(self._ref, KILLED if kill else reason, kill=kill)
        else:
            self.signal(sender, reason)

    def _link_made(self, ref: Any) -> None:
        self._tell_link(LINK, ref)
        self._linked[ref] = None

    def _link_undone(self, ref: Any) -> None:
        if ref in self._linked:
            del self._linked[ref]
            self._tell_link(UNLINK, ref)

    def note_link(self, ref: Any) -> None:
        """The actor has linked itself with *ref*, as its node says."""
        self._linked[ref] = None

    def note_unlink(self, ref: Any) -> None:
        """The actor has undone its link with *ref*, as its node says."""
        self._linked.pop(ref, None)

    def _tell_link(self, kind: int, ref: Any) -> None:
        if self.peer is not None:
            self.peer.out.put((kind, self.pid, self.peer.codec.encode("A ref", ref)))

    def _withdrawn(self, request: Any, timeout: BaseException | None) -> None:
        peer = self.peer
        number = None if peer is None else peer.number_of(request)
        if peer is not None and number is not None:
            peer.take(number)
            why = None if timeout is None else peer.codec.encode_reason(timeout)
            peer.out.put((WITHDRAW, number, why))


__all__ = ["Birth", "OutgoingMailbox", "Peer", "Places", "RemoteActor"]
