"""What a node does with the entries that another has sent. All of it on the loop's thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from ..errors import ActorDied, AgenticError, MailboxFull
from ..kernel.cell import deliver, home_of
from ..kernel.exit_signals import receive_exit, send_exit
from ..kernel.lifecycle import cancel_work, end_as_parent
from ..kernel.link_table import add_link, remove_link
from ..kernel.pykka_seam import ActorStop
from ..kernel.request import Promise, Request, new_request
from ..kernel.starting import spawn
from ..looks import is_a
from ..messages import OwnMessage
from ..reasons import NOPROC
from . import entries as kinds
from .errors import CannotTravel
from .peers import OtherNode
from .remote import Birth
from .transport import Entry


class Here(Protocol):
    """The node that an entry has come to: a `ClusterNode`."""

    system: Any

    def own(self, pid: int, /) -> Any:
        """Return the ref of the live actor *pid* of this node that others know, or None."""
        ...

    def export(self, ref: Any, to: str, /) -> None:
        """Tell the node *to* when the actor of *ref* ends."""
        ...

    def stands_for(self, ref: Any, /) -> Any:
        """Return the `RemoteActor` of *ref*, or None."""
        ...

    def born(self, peer: OtherNode, number: int, ref: Any, /) -> None:
        """*peer* has had the actor of *ref* started."""
        ...

    def attached(self, stand_in: Any, peer: OtherNode, pid: int, /) -> None:
        """*stand_in* stands for the actor *pid* of *peer* from now on."""
        ...

    def member_entry(self, peer: OtherNode, entry: Entry, /) -> None:
        """Take what concerns nodes, leases and names."""
        ...


@dataclass(frozen=True, slots=True)
class Withdrawal(OwnMessage):
    """Told to an actor that answers later (`told_of_withdrawals`): *request* is not waited for any more."""

    request: Any
    timeout: BaseException | None


class Nobody:
    """The target of the request that waits for a start: it is never awaited, only notified."""

    label = "an actor that starts"
    lasting = False
    latest = None
    _awaits = None


NOBODY = Nobody()


class CallOfAnother(Request):
    """A request of another node, with which its asker and what handles it can say more than an answer.

    On the loop's thread. What is said in either direction arrives in order, before the answer.
    """

    __slots__ = ("_peer", "_ref", "number", "on_remark")

    _peer: OtherNode
    _ref: Any
    number: int
    on_remark: Callable[[Any, BaseException | None], object] | None
    """Called with what the asker says; set by what handles the request."""

    def opened(self, peer: OtherNode, number: int, ref: Any) -> None:
        """Let it be the request *number* of *peer* to *ref*."""
        self._peer, self.number, self._ref = peer, number, ref
        self.on_remark = None

    def note(self, word: Any, error: BaseException | None = None) -> None:
        """Say *word*, and *error*, to the asker. Nothing happens if that waits no more.

        Raises `CannotTravel`.
        """
        peer, number = self._peer, self.number
        if number in peer.incoming:
            data = peer.codec.encode("What {} says to its asker", word, self._ref.label)
            reason = None if error is None else peer.codec.encode_reason(error)
            peer.out.put((kinds.NOTE, number, data, reason))


class StepOfAnother(CallOfAnother):
    """A request of another node whose asker wants to hear when its work begins."""

    __slots__ = ("begins",)

    begins: Callable[[], object]

    def taken_up(self) -> None:
        """Tell the asker that the work begins."""
        self.begins()


class Answering:
    """Sends the answer to a request of another node, once it is there."""

    __slots__ = ("_number", "_peer", "_ref")

    def __init__(self, peer: OtherNode, number: int, ref: Any) -> None:
        self._peer = peer
        self._number = number
        self._ref = ref

    def _reply_ready(self, request: Any, /) -> None:
        peer, number = self._peer, self._number
        if peer.incoming.pop(number, None) is None:
            return  # withdrawn
        try:
            value = request.result()
        except BaseException as error:
            send_failure(peer, number, error, self._ref)
            return
        try:
            data = peer.codec.encode("The answer of {}", value, self._ref.label)
        except CannotTravel as error:
            send_failure(peer, number, error, self._ref)
        else:
            peer.out.put((kinds.ANSWER, number, data))


class Starting:
    """Tells another node that the actor it has had started here has begun its service, or has not."""

    __slots__ = ("_here", "_number", "_peer")

    def __init__(self, here: Here, peer: OtherNode, number: int) -> None:
        self._here = here
        self._peer = peer
        self._number = number

    def _reply_ready(self, ack: Any, /) -> None:
        peer, number = self._peer, self._number
        try:
            ref = ack.result()
        except BaseException as error:
            send_failure(peer, number, getattr(error, "reason", error), None)
            return
        pid = 0  # it has declined to start
        if ref is not None:
            pid = ref.pid
            self._here.export(ref, peer.info.id)
        peer.out.put((kinds.SPAWNED, number, pid))


def send_failure(peer: OtherNode, number: int, error: Any, ref: Any) -> None:
    """Send *error* as what answers the request *number*, which was made of *ref*."""
    if is_a(error, ActorDied) and ref is not None and error.ref is ref:
        peer.out.put((kinds.DIED, number, peer.codec.encode_reason(error.reason)))
    else:
        peer.out.put((kinds.FAILURE, number, peer.codec.encode_reason(error)))


class Incoming:
    """Handles entries for the actors of *here*."""

    def __init__(self, here: Here) -> None:
        self._here = here
        self._by_kind: dict[int, Callable[..., None]] = {
            kinds.TELL: self._tell,
            kinds.ASK: self._ask,
            kinds.ANSWER: self._answer,
            kinds.FAILURE: self._failure,
            kinds.DIED: self._died,
            kinds.TAKEN: self._taken,
            kinds.NOTE: self._noted,
            kinds.REMARK: self._remarked,
            kinds.WITHDRAW: self._withdraw,
            kinds.EXIT: self._exit_signal,
            kinds.END: self._end,
            kinds.STOP: self._stop,
            kinds.LINK: self._link,
            kinds.UNLINK: self._unlink,
            kinds.WATCH: self._watch,
            kinds.ENDED: self._ended,
            kinds.SPAWN: self._spawn,
            kinds.SPAWNED: self._spawned,
            kinds.UNSPAWN: self._unspawn,
        }

    def take(self, peer: OtherNode, entry: Entry) -> None:
        """Do what *entry* of *peer* says."""
        handle = self._by_kind.get(entry[0])
        if handle is None:
            self._here.member_entry(peer, entry)
        else:
            handle(peer, *entry[1:])

    # -- messages ------------------------------------------------------------------------------

    def _tell(self, peer: OtherNode, pid: int, label: str, data: Any) -> None:
        reason: Any = NOPROC
        message = data
        try:
            message = peer.codec.decode(data)
            ref = self._here.own(pid)
            if ref is not None:
                ref.tell(message)
                return
        except ActorDied:
            pass
        except MailboxFull:
            reason = "mailbox_full"
        except Exception as error:  # it cannot be read here
            reason = error
        self._here.system.dead_letter(message, label, reason)

    def _ask(self, peer: OtherNode, pid: int, number: int, data: Any, step: bool) -> None:
        ref = self._here.own(pid)
        if ref is None:
            peer.out.put((kinds.DIED, number, NOPROC))
            return
        try:
            message = peer.codec.decode(data)
            if step or getattr(message, "is_call", False):
                kind: Any = StepOfAnother if step else CallOfAnother
                request: Any = new_request(message, ref, home_of(ref), kind)
                request.opened(peer, number, ref)
                if step:
                    request.begins = partial(peer.out.put, (kinds.TAKEN, number))
                peer.incoming[number] = request, ref
                deliver(ref, request)
            else:
                request = ref.request(message)
                peer.incoming[number] = request, ref
        except Exception as error:
            peer.incoming.pop(number, None)
            send_failure(peer, number, error, ref)
            return
        request.notify(Answering(peer, number, ref))

    def _answer(self, peer: OtherNode, number: int, data: Any) -> None:
        item = peer.asked_under(number)
        if item is None:
            return
        as_received = getattr(item, "as_received", None)
        try:
            value = peer.codec.decode(data)
            if as_received is not None:
                value = as_received(value)
        except Exception as error:
            peer.take(number)
            item.fail(error)
        else:
            peer.take(number)
            item.reply(value)

    def _taken(self, peer: OtherNode, number: int) -> None:
        item = peer.asked_under(number)
        if item is not None:
            item.taken_up()

    def _noted(self, peer: OtherNode, number: int, data: Any, reason: Any) -> None:
        item = peer.asked_under(number)
        if item is None:
            return
        error: Any = None if reason is None else peer.codec.decode_reason(reason)
        try:
            word = peer.codec.decode(data)
        except Exception as unread:  # the asker would wait for it
            item.fail(unread)
            return
        item.noted(word, error, partial(self._remark, peer, number, item))

    def _remark(
        self, peer: OtherNode, number: int, item: Any, word: Any, error: BaseException | None = None
    ) -> None:
        """Say *word*, and *error*, to what handles the request *number* of this node."""
        if peer.asked_under(number) is item:
            data = peer.codec.encode("What the asker of {} says", word, item)
            reason = None if error is None else peer.codec.encode_reason(error)
            peer.out.put((kinds.REMARK, number, data, reason))

    def _remarked(self, peer: OtherNode, number: int, data: Any, reason: Any) -> None:
        found = peer.incoming.get(number)
        if found is None or found[0].on_remark is None:
            return
        error: Any = None if reason is None else peer.codec.decode_reason(reason)
        found[0].on_remark(peer.codec.decode(data), error)

    def _failure(self, peer: OtherNode, number: int, data: Any) -> None:
        error = peer.codec.decode_reason(data)
        if not isinstance(error, BaseException):
            error = AgenticError(str(error))
        starting = peer.spawning.pop(number, None)
        if starting is not None:
            if not starting[1].done():
                starting[1].set_exception(error)
            return
        found = peer.take(number)
        if found is not None:
            found[0].fail(error)

    def _died(self, peer: OtherNode, number: int, data: Any) -> None:
        found = peer.take(number)
        if found is not None:
            item, stand_in = found
            item.fail(ActorDied(stand_in.actor_ref, peer.codec.decode_reason(data)))

    def _withdraw(self, peer: OtherNode, number: int, data: Any) -> None:
        found = peer.incoming.pop(number, None)
        if found is None:
            return
        request, ref = found
        timeout = peer.codec.decode_reason(data)
        if getattr(ref.actor_class, "told_of_withdrawals", False):
            if ref.is_alive():
                ref.tell(Withdrawal(request, timeout))
        else:
            cancel_work(ref, request, timeout)
        request.abandon()

    # -- exits ---------------------------------------------------------------------------------

    def _exit_signal(self, peer: OtherNode, pid: int, sender: Any, data: Any) -> None:
        by = peer.codec.decode(sender)
        ref = self._here.own(pid)
        if ref is not None:
            send_exit(ref, by, peer.codec.decode_reason(data), False)

    def _end(self, peer: OtherNode, pid: int, data: Any) -> None:
        ref = self._here.own(pid)
        if ref is not None:
            end_as_parent(ref, peer.codec.decode_reason(data))

    def _stop(self, peer: OtherNode, pid: int) -> None:
        ref = self._here.own(pid)
        if ref is not None and ref.is_alive():
            ref.tell(ActorStop())

    def _link(self, peer: OtherNode, pid: int, sender: Any) -> None:
        by = peer.codec.decode(sender)
        stand_in = self._here.stands_for(by)
        ref = self._here.own(pid)
        if ref is None:
            return  # its end has been told, and is on the way
        add_link(ref, by)
        if stand_in is None or by.ended:
            receive_exit(ref, by, NOPROC, True)
        else:
            add_link(by, ref)
            stand_in.note_link(ref)

    def _unlink(self, peer: OtherNode, pid: int, sender: Any) -> None:
        by = peer.codec.decode(sender)
        ref = self._here.own(pid)
        stand_in = self._here.stands_for(by)
        if ref is not None:
            remove_link(ref, by)
            if stand_in is not None:
                remove_link(by, ref)
                stand_in.note_unlink(ref)

    def _watch(self, peer: OtherNode, pid: int) -> None:
        ref = self._here.own(pid)
        if ref is None:
            peer.out.put((kinds.ENDED, pid, NOPROC))
        else:
            self._here.export(ref, peer.info.id)

    def _ended(self, peer: OtherNode, pid: int, data: Any) -> None:
        stand_in = peer.stand_ins.get(pid)
        if stand_in is not None:
            stand_in.over(peer.codec.decode_reason(data))

    # -- starts --------------------------------------------------------------------------------

    def _spawn(self, peer: OtherNode, number: int, data: Any) -> None:
        here = self._here
        try:
            birth: Birth = peer.codec.decode(data)
            home = here.system.open_home()
            ack = new_request(None, NOBODY, home, Promise)
            ref = spawn(
                home,
                Maker(birth),
                birth.args,
                dict(birth.kwargs),
                birth.name,
                birth.parent,
                ack=ack,
                incarnation=birth.incarnation,
            )
        except Exception as error:
            send_failure(peer, number, error, None)
            return
        here.born(peer, number, ref)
        ack.notify(Starting(here, peer, number))

    def _spawned(self, peer: OtherNode, number: int, pid: int) -> None:
        starting = peer.spawning.pop(number, None)
        if starting is None:
            return
        stand_in, future = starting
        if pid:
            self._here.attached(stand_in, peer, pid)
        if not future.done():
            future.set_result(None)

    def _unspawn(self, peer: OtherNode, number: int) -> None:
        ref = peer.births.get(number)
        if ref is not None:
            ref.kill()


class Maker:
    """Makes the actor of a birth, with its supervisor's word about errors of asks."""

    def __init__(self, birth: Birth) -> None:
        self._birth = birth
        self.__name__ = getattr(birth.actor_class, "__name__", "actor")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        actor = self._birth.actor_class(*args, **kwargs)
        if actor.crash_on_ask_error is None and self._birth.crash_on_ask_error:
            actor.crash_on_ask_error = True
        return actor


__all__ = ["Here", "Incoming", "Withdrawal"]
