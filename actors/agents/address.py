"""Addresses: where messages for a name go, whichever incarnation of its actor lives.

A ref names one incarnation and dies with it. An `Address` stays: supervised children and agents
have one per system. Between two incarnations it keeps what is sent, in order, and hands it to the
next; the mailbox that a crashed incarnation leaves comes back here too. What crashed an incarnation
is never sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from threading import get_ident
from typing import Any

from ..errors import ActorDied, MailboxFull
from ..kernel.cell import deliver, put
from ..kernel.delivery import fence, is_ask, refuse
from ..kernel.request import Request, new_request
from ..reasons import SHUTDOWN
from ..ref import ActorRef
from ..system.system import ActorSystem


class Address:
    """The lasting address of what is restarted under one name.

    Owned by the loop's thread of *system*; `tell` and `request` are safe from any thread. *capacity*
    bounds what is kept between incarnations.
    """

    __slots__ = (
        "__weakref__",
        "_closed",
        "_kept",
        "capacity",
        "incarnation",
        "name",
        "ref",
        "system",
    )

    def __init__(
        self,
        name: str,
        system: ActorSystem,
        *,
        capacity: int | None = None,
    ) -> None:
        self.name = name
        self.system = system
        self.capacity = capacity
        self.ref: ActorRef[Any] | None = None
        """The latest incarnation; it may have ended."""
        self.incarnation = 0
        # A list: an empty deque is ten times as large, and most addresses never keep anything.
        self._kept: list[Any] = []
        self._closed: Any = None

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

    @property
    def room(self) -> int:
        """How many more incarnations could be started beside them."""
        return 0

    @property
    def closed(self) -> Any:
        """Why this was stopped for good; None while another incarnation may come."""
        return self._closed

    @property
    def waiting(self) -> int:
        """How many messages are kept for the next incarnation."""
        return len(self._kept)

    @property
    def kept(self) -> list[Any]:
        """What is kept for the next incarnation, oldest first."""
        return list(self._kept)

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
        if isinstance(item, Request):
            item.fail(error)
        else:
            self.system.dead_letter(item, self.name, error)

    def _keep(self, item: Any) -> None:
        if self.capacity is not None and len(self._kept) >= self.capacity:
            raise MailboxFull(self, self.capacity)
        if not self.system.running:
            raise ActorDied(self, SHUTDOWN)
        self._kept.append(item)
        self.system.keeping[self] = None
        self.start_on_demand()

    # -- incarnations --------------------------------------------------------------------------

    def bind(self, ref: ActorRef[Any]) -> None:
        """Let *ref* be the live incarnation: it gets what was kept, in order."""
        self.ref = ref
        self.incarnation += 1
        ref.incarnation = self.incarnation
        self._closed = None
        kept, self._kept = self._kept, []
        for item in kept:
            if isinstance(item, Request) and not item.asker_waiting:
                continue
            if not ref.is_alive():
                self._kept.append(item)  # it has ended before it was bound: for the next, then
            else:
                put(ref, item)
        if not self._kept:
            self.system.keeping.pop(self, None)

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
        self._closed = None

    def drop(self, reason: Any) -> None:
        """Lose what is kept, as dead letters and failed requests that give *reason*."""
        kept, self._kept = self._kept, []
        self.system.keeping.pop(self, None)
        for item in kept:
            self._lose(item, reason)

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
            items += self._kept
            self._kept.clear()
        if reason is not None:
            for item in items:
                self._lose(item, reason)
            return
        self._kept[:0] = items
        if self._kept:
            self.system.keeping[self] = None

    def incarnation_ended(self) -> None:
        """An incarnation is gone, and its links and monitors have been told: start the next."""
        if self._kept:
            self.start_on_demand()

    def _lose(self, item: Any, reason: Any) -> None:
        if is_ask(item):
            item.fail(ActorDied(self, reason))
        else:
            self.system.dead_letter(item, self.name, reason)
