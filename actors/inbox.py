"""pykka's view of a mailbox, for code that was written against `pykka.Actor.actor_inbox`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import ActorDied

if TYPE_CHECKING:
    from .actor import Actor


class Inbox:
    """`put`, `get` and `empty` over an actor's mailbox, in pykka's envelopes."""

    __slots__ = ("_actor",)

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def put(self, envelope: Any, /) -> None:
        """Send the envelope's message; a future in it gets the reply. Safe from any thread."""
        actor = self._actor
        reply_to = envelope.reply_to
        if reply_to is None:
            actor.actor_ref.tell(envelope.message)
            return
        from .kernel.request import ActorFuture

        if not isinstance(reply_to, ActorFuture):
            reply_to = _Forward(reply_to)
        reply_to.message = envelope.message
        from .ref import arrive

        if not actor._sched.post_or_call(arrive, actor._ref, reply_to):
            reply_to.fail(ActorDied(actor._ref, "noproc"))

    def get(self) -> Any:
        """Take the oldest message, as an envelope; on the loop's thread."""
        from pykka._envelope import Envelope

        item = self._actor._mailbox.popleft()
        if hasattr(item, "asker_waiting"):
            return Envelope(item.message, reply_to=item)
        return Envelope(item)

    def empty(self) -> bool:
        """Tell whether no message waits."""
        return not self._actor._mailbox


def _Forward(future: Any) -> Any:
    """Return a reply object of ours that answers a foreign pykka future."""
    from .kernel.request import ActorFuture

    forward = ActorFuture()
    forward._forward_to = future
    return forward
