"""Addresses: where messages for a name go, whichever incarnation of its actor lives.

A ref names one incarnation and dies with it. An `Address` stays: supervised children and agents
have one per system. Between two incarnations it keeps what is sent, in order, and hands it to the
next; the mailbox that a crashed incarnation leaves comes back here too. What crashed an incarnation
is never sent again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from threading import get_ident
from typing import Any

from ..errors import ActorDied, MailboxFull
from ..kernel.cell import deliver, put
from ..kernel.delivery import fence, is_ask, refuse
from ..kernel.mailbox import UNBOUNDED, Mailbox
from ..kernel.request import Request, new_request
from ..looks import is_a
from ..reasons import SHUTDOWN, CoolingDown, is_word
from ..ref import ActorRef
from ..system.system import ActorSystem


class Address:
    """The lasting address of what is restarted under one name.

    Owned by the loop's thread of *system*; `tell` and `request` are safe from any thread. *mailbox* is
    the policy of its actors' mailboxes, and bounds what is kept between two of them, too.
    """

    __slots__ = (
        "__weakref__",
        "_closed",
        "_kept",
        "_paused",
        "incarnation",
        "mailbox",
        "name",
        "ref",
        "system",
    )

    def __init__(
        self,
        name: str,
        system: ActorSystem,
        *,
        mailbox: Mailbox = UNBOUNDED,
    ) -> None:
        self.name = name
        self.system = system
        self.mailbox = mailbox
        self.ref: ActorRef[Any] | None = None
        """The latest incarnation; it may have ended."""
        self.incarnation = 0
        # Most addresses never keep anything, and an empty deque has 600 bytes.
        self._kept: deque[Any] | None = None
        self._closed: Any = None
        self._paused: tuple[Any, float] | None = None
        """Why and until when no incarnation comes, while that is known."""

    _awaits = _ext = None
    """As of a handler that waits for nothing: there is none before the first incarnation."""

    lasting = True
    """Whether it is an address, which lasts longer than an incarnation."""

    def __repr__(self) -> str:
        return f"<Address {self.name} incarnation {self.incarnation}>"

    def __str__(self) -> str:
        return self.name

    @property
    def label(self) -> str:
        """The name, as a ref has one."""
        return self.name

    @property
    def latest(self) -> ActorRef[Any] | None:
        """The latest incarnation; it may have ended."""
        return self.ref

    @property
    def live(self) -> ActorRef[Any] | None:
        """The incarnation that takes messages now, or None between two."""
        ref = self.ref
        return ref if ref is not None and ref.is_alive() else None

    def handlers(self) -> Sequence[ActorRef[Any]]:
        """Return the incarnations that handle its messages now."""
        ref = self.live
        return () if ref is None else (ref,)

    def handlers_of(self, request: Any) -> Sequence[ActorRef[Any]]:
        """Return the actors of which one has to become free before *request* is answered; () if unknown."""
        return self.handlers()

    @property
    def room(self) -> int:
        """How many more incarnations could be started beside them."""
        return 0

    @property
    def closed(self) -> Any:
        """Why this was stopped for good; None while another incarnation may come."""
        return self._closed

    @property
    def cools_down(self) -> bool:
        """Whether it is known that no incarnation comes for a while; what is asked fails meanwhile."""
        return self._paused is not None

    @property
    def waiting(self) -> int:
        """How many messages are kept for the next incarnation."""
        return len(self._kept or ())

    @property
    def kept(self) -> list[Any]:
        """What is kept for the next incarnation, oldest first."""
        return list(self._kept or ())

    # -- messages ------------------------------------------------------------------------------

    def tell(self, message: Any) -> None:
        """Send *message* to the live incarnation, or keep it for the next. Safe from any thread.

        Raises `ActorDied` if it was stopped for good, and `MailboxFull`.
        """
        if self._closed is not None:
            raise ActorDied(self, self._closed)
        scheduler = self.system.scheduler
        if get_ident() != scheduler.thread:
            if not fence(scheduler, self, message) and not scheduler.post(self._arrive, message):
                raise ActorDied(self, "noproc")
            return
        ref = self.ref
        if ref is not None and ref.is_alive():
            ref.tell(message)
        else:
            self._keep(message)

    def request(self, message: Any, timeout: float | None = None) -> Request:
        """Return an awaitable for the answer of this incarnation or, between two, of the next.

        Raises in the awaiting code as `ActorRef.request` does; `ActorDied` at once if it was stopped
        for good.
        """
        ref = self.ref
        scheduler = self.system.scheduler
        if ref is not None and ref.is_alive() and get_ident() == scheduler.thread:
            return ref.request(message, timeout)
        request: Request = new_request(message, self, scheduler)
        closed = self._closed is not None or self._fenced(message)
        if closed or not scheduler.post_or_call(self._arrive, request):
            refuse(request, ActorDied(self, self._closed or "noproc"))
        elif timeout is not None:
            scheduler.post_or_call(request.start_timer, timeout)
        return request

    def _fenced(self, message: Any) -> bool:
        scheduler = self.system.scheduler
        return get_ident() != scheduler.thread and fence(scheduler, self, message)

    def _arrive(self, item: Any) -> None:
        error: Exception
        try:
            if self._closed is not None:
                raise ActorDied(self, self._closed)
            ref = self.ref
            if ref is not None and ref.is_alive():
                deliver(ref, item)
            else:
                self._keep(item)
            return
        except (ActorDied, MailboxFull) as caught:
            error = caught
        if is_a(item, Request):
            item.fail(error)
        else:
            self.system.dead_letter(item, self.name, error)

    def _keep(self, item: Any) -> None:
        if self._paused is not None and is_ask(item):
            raise ActorDied(self, self._rest(self._paused))
        if not self.system.running:
            raise ActorDied(self, SHUTDOWN)
        self._keeping().append(item)
        self.system.keeping[self] = None
        self.start_on_demand()

    def _keeping(self) -> deque[Any]:
        if self._kept is None:
            self._kept = self.mailbox.make(self)
        return self._kept

    def _take(self) -> list[Any]:
        """Return what is kept, and keep it no more; those that wait for room come last."""
        kept, self._kept = self._kept, None
        self.system.keeping.pop(self, None)
        return [*(kept or ()), *getattr(kept, "waiting", ())]

    def lose(self, item: Any, reason: Any, /) -> None:
        """*item* is not handled: fail it if it is a request, else make a dead letter of it."""
        if not is_ask(item):
            self.system.dead_letter(item, self.name, reason)
        elif is_word(reason, "mailbox_full"):
            item.fail(MailboxFull(self, self.mailbox.capacity or 0))
        else:
            item.fail(ActorDied(self, reason))

    # -- incarnations --------------------------------------------------------------------------

    def bind(self, ref: ActorRef[Any]) -> None:
        """Let *ref* be the live incarnation: it gets what was kept, in order."""
        self.ref = ref
        self.incarnation += 1
        ref.incarnation = self.incarnation
        self.reopen()
        for item in self._take():
            if is_a(item, Request) and not item.asker_waiting:
                continue
            if not ref.is_alive():
                # It has ended before it was bound: for the next, then.
                deque[Any].append(self._keeping(), item)
                self.system.keeping[self] = None
            else:
                put(ref, item.admit() if is_a(item, Request) else item)

    def release(self, *, kept: bool = True) -> None:
        """No incarnation runs for now; what was kept stays, or is lost with ``kept=False``."""
        self.ref = None
        if not kept:
            self.drop("dropped")

    def close(self, reason: Any) -> None:
        """Stop for good: what was kept becomes dead letters, and its askers get `ActorDied`."""
        self._closed = "shutdown" if reason is None else reason
        self.drop(self._closed)

    def reopen(self) -> None:
        """Take messages again, for an incarnation to come."""
        self._closed = self._paused = None

    def pause(self, cause: Any, back_at: float) -> None:
        """No incarnation comes before *back_at*, by the system's time, because of *cause*.

        What waits to be answered fails, and so does what is asked until then, with `CoolingDown`;
        what is told is kept.
        """
        self._paused = (cause, back_at)
        self._fail_asks(self._rest(self._paused))

    def _rest(self, paused: tuple[Any, float]) -> CoolingDown:
        cause, back_at = paused
        return CoolingDown(cause, max(0.0, back_at - self.system.clock()))

    def _fail_asks(self, reason: Any) -> None:
        for item in self._take():
            if is_ask(item):
                self.lose(item, reason)
            else:
                self._keeping().append(item)
                self.system.keeping[self] = None

    def drop(self, reason: Any) -> None:
        """Lose what is kept, as dead letters and failed requests that give *reason*."""
        for item in self._take():
            self.lose(item, reason)

    @property
    def owned(self) -> bool:
        """Whether an owner decides about the next incarnation, so that messages may wait for it."""
        return True

    def start_on_demand(self) -> None:
        """Start an incarnation for the messages that wait; nothing where a supervisor does that."""

    def forget(self) -> None:
        """The system has ended, and its address book forgets this."""

    def take_back(self, items: Iterable[Any], never_started: Any = None) -> None:
        """Keep what an incarnation that crashed had not handled, before what came since.

        *never_started* is the reason of one that did not even start: unless a supervisor tries
        again, what waits for it fails with that reason, because the next try would fail as well.
        """
        items = list(items)
        reason = self._closed
        if not self.system.running:
            reason = SHUTDOWN
        if never_started is not None and not self.owned:
            reason = never_started
            items += self._take()
        if reason is not None:
            for item in items:
                self.lose(item, reason)
            return
        if items:
            self._keeping().extendleft(reversed(items))
            self.system.keeping[self] = None
        if self._paused is not None:
            self._fail_asks(self._rest(self._paused))

    def incarnation_ended(self) -> None:
        """An incarnation is gone, and its links and monitors have been told: start the next."""
        if self._kept:
            self.start_on_demand()
