"""Refs: the address of one actor, safe to pass around and to use from any thread."""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

import pykka

from .errors import ActorDied, CallingSelf, RequestTimeout, WouldBlock
from .kernel import links
from .kernel.mailbox import MailboxClosed
from .kernel.phase import IDLE, PARKED, QUEUED, STOPPING
from .kernel.request import PENDING, ActorFuture, Promise, Request, Send, new_request
from .kernel.running import running_here
from .messages import Exit
from .reasons import KILL, NORMAL

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from contextvars import Context

    from .actor import Actor
    from .kernel.scheduler import Scheduler
    from .system.system import ActorSystem

A = TypeVar("A", bound="Actor")


class _NotStarted:
    """Stands for the scheduler of an actor that was constructed and never started."""

    thread = -2
    system = None
    forked = False

    def post(self, *_: Any) -> bool:
        """Refuse: nothing runs this actor."""
        return False


_NOT_STARTED: Any = _NotStarted()


class ActorRef(pykka.ActorRef[A], Generic[A]):
    """Reference to one incarnation of an actor.

    It is a `pykka.ActorRef`: `tell`, `ask`, `stop` and `proxy` work as pykka documents. Added are the
    awaitable `request` and `send`, exit signals (`exit`, `kill`) and identity (`pid`, `name`,
    `incarnation`). A ref keeps its actor alive only while the actor runs.
    """

    # The state that every message touches lives here and not in the actor: all refs are of one
    # class, and the interpreter makes attribute accesses on objects of one class cheap. Spread over
    # the users' many actor classes, the same accesses made an ask twice as dear.
    __slots__ = (
        "_actor",
        "_behavior",
        "_context",
        "_coro",
        "_current",
        "_driver",
        "_handled",
        "_mailbox",
        "_message",
        "_phase",
        "_reason",
        "_sched",
        "_since",
        "_state",
        "_task",
        "_urn",
        "actor_class",
        "incarnation",
        "name",
        "pid",
    )

    _latest: ActorRef[Any] | None = None
    """An `Address` has one; both are asked alike."""

    if TYPE_CHECKING:
        _reason: Any
        _since: float
        _sched: Scheduler

    def __init__(self, actor: A, pid: int) -> None:
        # Not pykka's: it would make a UUID, an event and a weak reference for every actor.
        self._actor: A | None = actor
        self._state = IDLE
        self._phase = 0
        self._mailbox: Any = None
        self._behavior: Callable[[Any], Any] | None = None
        self._coro: Any = None
        self._driver: Any = None
        self._current: Any = None
        self._context: Context | None = None
        self._handled = 0
        self._task: Any = None
        self._message: Any = None
        self._sched = _NOT_STARTED
        self._urn: str | None = None
        self.actor_class = actor.__class__
        self.pid = pid
        """A number unique in this process, rising with creation."""
        self.name: str | None = None
        """The name given at the start, if any."""
        self.incarnation = 1
        """How often what this ref stands for has been started under its supervisor."""

    # -- identity ------------------------------------------------------------------------------

    @property
    def label(self) -> str:
        """The name for people: the actor's name, or its class and pid."""
        return self.name or f"{self.actor_class.__name__}#{self.pid}"

    @property
    def actor_urn(self) -> str:  # type: ignore[override]
        """A UUID-based URN, made when first asked for."""
        if self._urn is None:
            actor = self._actor
            self._urn = actor._new_urn() if actor is not None else f"urn:dead:{self.pid}"
        return self._urn

    @property
    def exit_reason(self) -> Any:
        """Why the actor ended; None while it lives."""
        return getattr(self, "_reason", None)

    @property
    def system(self) -> ActorSystem | None:
        """The system that the actor runs in."""
        return self._sched.system

    # -- what pykka's own code looks for -------------------------------------------------------

    def _actor_weakref(self) -> A | None:  # type: ignore[override]
        return self._actor

    @property
    def actor_inbox(self) -> Any:  # type: ignore[override]
        """pykka's view of the mailbox: `put`, `get`, `empty`."""
        actor = self._actor
        if actor is None:
            raise pykka.ActorDeadError(f"{self} not found")
        return actor.actor_inbox

    @property
    def actor_stopped(self) -> threading.Event:  # type: ignore[override]
        """An event that is set once the actor has stopped."""
        actor = self._actor
        if actor is not None:
            return actor.actor_stopped
        from threading import Event

        event = Event()
        event.set()
        return event

    def is_alive(self) -> bool:
        """Tell whether the actor still takes messages."""
        return self._actor is not None and not self._phase & STOPPING

    @property
    def in_service(self) -> bool:
        """Whether the actor handles messages in the ordinary way: it has started, nothing has told
        it to end, and its handlers run on the loop."""
        return self._actor is not None and not self._phase

    # -- messages ------------------------------------------------------------------------------

    def tell(self, message: Any) -> None:
        """Send *message* and wait for nothing. Safe from any thread.

        Raises `pykka.ActorDeadError` if the actor is dead, and `MailboxFull` if its mailbox is
        bounded, full, and refuses.
        """
        scheduler = self._sched
        if get_ident() != scheduler.thread:
            _tell_from_outside(self, scheduler, message)
            return
        mailbox = self._mailbox
        if mailbox is None:
            mailbox = self._make_mailbox()
        try:
            mailbox.append(message)
        except MailboxClosed:
            raise ActorDied(self, "noproc") from None
        if self._state == IDLE:
            self._state = QUEUED
            scheduler.ready.append(self)
            if not scheduler.awake:
                scheduler.wake()

    def request(self, message: Any, timeout: float | None = None) -> Request:
        """Return an awaitable for the answer to *message*. Safe from any thread.

        Awaiting it gives the answer, or raises what the handler raised, `ActorDied` at once if the
        actor is or becomes dead, or `RequestTimeout` (a `TimeoutError`) after *timeout* seconds of
        the system's time. Cancelling the awaiting code abandons the request.
        """
        scheduler = self._sched
        request = Request()
        request.message = message
        request._target = self
        request._home = scheduler
        request._state = PENDING
        request._waiter = None
        request._result = None
        if get_ident() != scheduler.thread:
            if fence(scheduler, self, message) or not scheduler.post(arrive, self, request):
                return _dead_request(self, message)
            if timeout is not None:
                scheduler.post(request.start_timer, timeout)
            return request
        mailbox = self._mailbox
        if mailbox is None:
            mailbox = self._make_mailbox()
        try:
            mailbox.append(request)
        except MailboxClosed:
            request.fail(ActorDied(self, "noproc"))
            return request
        if self._state == IDLE:
            self._state = QUEUED
            scheduler.ready.append(self)
            if not scheduler.awake:
                scheduler.wake()
        if timeout is not None:
            request.start_timer(timeout)
        return request

    def send(self, message: Any) -> Request:
        """Return an awaitable that is done when *message* is in the mailbox.

        With the policy ``backpressure`` that is how a sender waits for room; with the others, and
        with an unbounded mailbox, it is done at once.
        """
        actor = self._actor
        if actor is None:
            return _dead_request(self, message)
        scheduler = actor._sched
        request = new_request(message, self, scheduler, Send)
        if get_ident() != scheduler.thread:
            fenced = fence(scheduler, self, message)
            if fenced or not scheduler.post(_arrive_send, self, request):
                return _dead_request(self, message)
        else:
            _arrive_send(self, request)
        return request

    @overload
    def ask(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, message: Any, *, block: Literal[False], timeout: float | None = None
    ) -> ActorFuture: ...
    @overload
    def ask(
        self, message: Any, *, block: Literal[True] = True, timeout: float | None = None
    ) -> Any: ...
    @overload
    def ask(
        self, message: Any, *, block: bool = True, timeout: float | None = None
    ) -> Any | ActorFuture: ...
    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:  # pyright: ignore
        """Send *message* and block this thread until the answer is there, as pykka's `ask` does.

        With ``block=False`` the future is returned, which can also be awaited. On the thread of the
        loop that has to produce the answer, blocking raises `WouldBlock`: use `request` there.
        """
        actor = self._actor
        scheduler = None if actor is None else actor._sched
        if block and timeout != 0 and scheduler is not None and get_ident() == scheduler.thread:
            raise WouldBlock("ref.ask(message)", "await ref.request(message)")
        if block and timeout != 0 and running_here() is self:
            raise CallingSelf(self)
        future = self.actor_class._create_future()
        if scheduler is None:
            future.fail(ActorDied(self, "noproc"))
        else:
            future.message = message
            future._home = scheduler
            if get_ident() == scheduler.thread:
                arrive(self, future)
            elif fence(scheduler, self, message) or not scheduler.post(arrive, self, future):
                future.fail(ActorDied(self, "noproc"))
        if block:
            return future.get(timeout=timeout)
        return future

    def promise(self) -> Request:
        """Return a request that is never delivered: its holder completes it, on the actor's behalf.

        With ``reply`` or ``fail``. An actor that answers many callers at once needs no message, and
        no task, for each of them. On the thread of the system's loop.
        """
        return new_request(None, self, self._sched, Promise)

    def handle_now(self, message: Any) -> bool:
        """Have the actor handle *message* at once, inside the caller's turn; tell whether it did.

        For a plain `on_receive` that never waits, and on the thread of the system's loop: it saves
        the way through the ready queue. False if the actor is not idle (busy, starting, ending,
        suspended, dead, or with messages before this one), and on other threads; `tell` it then.
        What the handler raises ends the actor as usual, in a turn of its own, and never comes here.
        """
        scheduler = self._sched
        actor = self._actor
        if actor is None or actor._is_async or scheduler.system is None:
            return False
        return scheduler.handle_now(self, message)

    def _make_mailbox(self) -> Any:
        actor = self._actor
        assert actor is not None, "the mailbox of a dead actor is closed, not missing"
        mailbox = self._mailbox = actor.mailbox.make(actor)
        return mailbox

    def _reply_ready(self, _request: Any, /) -> None:
        """The request that the parked handler awaits is answered."""
        if self._state == PARKED:
            self._state = QUEUED
            scheduler = self._sched
            scheduler.ready.append(self)
            if not scheduler.awake:
                scheduler.wake()

    def _resume(self) -> None:
        """Give the parked handler a turn."""
        if self._state == PARKED:
            self._sched.enqueue(self)

    def _resume_now(self) -> None:
        """Give the parked handler its turn; called out of the loop's own callbacks."""
        if self._state == PARKED:
            scheduler = self._sched
            self._state = QUEUED
            scheduler.ready.append(self)
            if not scheduler.awake:
                scheduler.run()

    # -- exits ---------------------------------------------------------------------------------

    def exit(self, reason: Any = NORMAL) -> None:
        """Send the actor the exit signal *reason*. Safe from any thread; a dead actor ignores it.

        An actor that traps exits gets it as a message `Exit`. Otherwise it ends with *reason*, and
        its running handler is cancelled; ``normal`` is ignored. ``kill`` cannot be trapped.
        """
        actor = self._actor
        if actor is not None and not fence(actor._sched, self, Exit(None, reason)):
            links.send_exit(self, running_here(), reason, False)

    def kill(self) -> None:
        """End the actor now, whatever it is doing; linked actors see the reason ``killed``."""
        self.exit(KILL)


def _tell_from_outside(ref: ActorRef[Any], scheduler: Scheduler, message: Any) -> None:
    if not ref.is_alive():
        raise ActorDied(ref, "noproc")
    if fence(scheduler, ref, message):
        return
    actor = ref._actor
    mailbox = None if actor is None else actor._mailbox
    capacity = getattr(mailbox, "capacity", None)
    if capacity is not None and mailbox is not None and len(mailbox) >= capacity:
        # The sender's thread learns of it here; the policies that drop are applied on arrival.
        overflow = mailbox.overflow
        if overflow in ("fail", "backpressure"):
            from .errors import MailboxFull

            raise MailboxFull(ref, capacity)
    if not scheduler.post(arrive, ref, message):
        raise ActorDied(ref, "noproc")


def fence(scheduler: Scheduler, target: Any, message: Any) -> bool:
    """Tell whether an abandoned handler is sending; if so the message goes no further."""
    if scheduler.fenced():
        scheduler.fenced_sends += 1
        scheduler.system.dead_letter(message, target.label, "fenced")
        return True
    return False


def arrive(ref: ActorRef[Any], item: Any) -> None:
    """Put what came from another thread into the mailbox; runs on the loop's thread."""
    from .errors import MailboxFull

    actor = ref._actor
    try:
        if actor is None:
            raise MailboxClosed
        actor._append(item)
    except MailboxClosed:
        error: Exception = ActorDied(ref, "noproc")
    except MailboxFull as full:
        error = full
    else:
        return
    fail = getattr(item, "fail", None)
    if fail is not None and isinstance(item, Request | ActorFuture):
        fail(error)
    elif ref._sched.system is not None:  # pyright: ignore[reportUnnecessaryComparison]
        reason = "noproc" if isinstance(error, ActorDied) else "mailbox_full"
        ref._sched.system.dead_letter(item, ref.label, reason)


def _arrive_send(ref: ActorRef[Any], send: Request) -> None:
    actor = ref._actor
    if actor is None or actor._phase & STOPPING:
        send.fail(ActorDied(ref, "noproc"))
        return
    mailbox: Any = actor._mailbox
    waits = getattr(mailbox, "overflow", "") == "backpressure"
    if waits and len(mailbox) >= mailbox.capacity:
        mailbox.waiting.append(send)
        return
    try:
        actor._append(send.message)
    except Exception as error:
        send.fail(error)
    else:
        send.reply(None)


def _dead_request(ref: ActorRef[Any], message: Any) -> Request:
    """Return a request that has failed already."""
    from .kernel.request import FAILED

    scheduler = ref._sched
    assert scheduler is not None, "a ref gets its scheduler when its actor is started"
    request = new_request(message, ref, scheduler)
    request._state = FAILED
    request._result = ActorDied(ref, "noproc")
    return request


__all__ = ["ActorRef", "RequestTimeout"]
