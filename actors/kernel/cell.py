# pyright: reportPrivateUsage=false
"""The cell: the kernel's part of one actor, and the path of every message to it.

Its underscored slots are the state that every message touches. They are shared by the files of this
package on purpose, and by no other: a method call in the place of each access would double the
price of a message. All cells are of one class, and the interpreter makes attribute accesses on
objects of one class cheap; spread over the users' many actor classes, the same accesses made an ask
twice as dear.

Here are `tell`, `request` and what an answer wakes; `Request.answer` and `Scheduler.run` are the two
other halves of the path. What is rare is called from here, and stands in `delivery`. The four lines
that queue an idle actor stand four times, where `Home.enqueue` would do: its call costs 28 ns of the 350
that a message costs (CPython 3.11).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..errors import ActorDied
from . import delivery
from .home import NOT_STARTED, Home
from .mailbox import FailingMailbox, Mailbox, MailboxClosed
from .phase import IDLE, PARKED, QUEUED, STOPPING
from .request import PENDING, Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextvars import Context

    from .base import ActorBase

append = deque[Any].append

R = TypeVar("R", bound=Request)


class LastingAddress(Protocol):
    """What stays when an incarnation ends: it gets what that had not handled, and may start another."""

    def take_back(self, items: Iterable[Any], never_started: Any, /) -> None:
        """Keep *items* for the next incarnation; *never_started* is why this one did not start."""
        ...

    def incarnation_ended(self) -> None:
        """An incarnation has ended, and its links and monitors have been told."""
        ...


class Ext:
    """What only some actors need: one object, made when the first of it is needed."""

    __slots__ = (
        "behaviors",
        "deferred",
        "deferred_limit",
        "grace",
        "job",
        "leftover",
        "listed",
        "mailbox_to",
        "monitors",
        "pipes",
        "pool",
        "receive_timeout",
        "start_ack",
        "stash",
        "stop_requests",
        "timers",
    )

    def __init__(self) -> None:
        self.behaviors: list[Any] | None = None
        self.deferred: dict[Any, None] | None = None
        self.deferred_limit = 16
        self.grace: Any = None
        self.job: Any = None
        self.leftover: Any = None
        self.listed = False
        self.mailbox_to: LastingAddress | None = None
        self.monitors: dict[Any, None] | None = None
        self.pipes: dict[Any, None] | None = None
        self.pool: Any = None
        self.receive_timeout: Any = None
        self.stash: list[Any] | None = None
        self.start_ack: Request | None = None
        self.stop_requests: list[Any] | None = None
        self.timers: dict[Any, None] | None = None


class Cell:
    """One incarnation of an actor: its mailbox, where it stands, and what runs in it.

    Owned by the loop's thread of its home. `tell`, `request` and `is_alive` are safe from any thread.
    """

    __slots__ = (
        "_actor",
        "_awaits",
        "_behavior",
        "_context",
        "_coro",
        "_current",
        "_doom",
        "_driver",
        "_ext",
        "_handled",
        "_links",
        "_mailbox",
        "_message",
        "_own_context",
        "_parent",
        "_phase",
        "_reason",
        "_sched",
        "_since",
        "_state",
        "_task",
        "_trap",
        "_urn",
        "_watchers",
        "actor_class",
        "incarnation",
        "name",
        "pid",
    )

    latest = None
    """The incarnation that an address stands for now; a ref stands for itself."""

    lasting = False
    """Whether it is an address, which lasts longer than an incarnation."""

    if TYPE_CHECKING:
        _since: float

    def __init__(self, actor: ActorBase, pid: int) -> None:
        self._actor: Any = actor
        self._state = IDLE
        self._phase = 0
        self._mailbox: Any = None
        self._behavior: Callable[[Any], Any] | None = None
        self._coro: Any = None
        self._driver: Any = None
        self._current: Any = None
        self._awaits: Any = None
        self._own_context: Context | None = None
        """The context of the hooks, and of the messages that carry none; made for the first of them."""
        self._context: Context | None = None
        """The context of what runs now: what the message in hand carries, else the actor's own."""
        self._handled = 0
        self._task: Any = None
        self._message: Any = None
        self._sched: Home = NOT_STARTED
        self._urn: str | None = None
        self._links: Any = None
        self._watchers: dict[Any, None] | None = None
        self._parent: Any = None
        self._trap = False
        self._ext: Ext | None = None
        self._reason: Any = None
        self._doom: Any = None
        self.actor_class: Any = actor.__class__
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
    def exit_reason(self) -> Any:
        """Why the actor ended; None while it lives."""
        return self._reason if self._actor is None else None

    def is_alive(self) -> bool:
        """Tell whether the actor still takes messages."""
        return self._actor is not None and not self._phase & STOPPING

    @property
    def ended(self) -> bool:
        """Whether the actor has ended, and its last hook too; one that is ending has not yet."""
        return self._actor is None

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
        home = self._sched
        if get_ident() != home.thread:
            delivery.tell_from_outside(self, home, message)
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
            home.ready.append(self)
            if not home.awake:
                home.wake()

    def request(self, message: Any, timeout: float | None = None) -> Request:
        """Return an awaitable for the answer to *message*. Safe from any thread.

        Awaiting it gives the answer, or raises what the handler raised, `ActorDied` at once if the
        actor is or becomes dead, or `RequestTimeout` (a `TimeoutError`) after *timeout* seconds of
        the system's time. Cancelling the awaiting code abandons the request.
        """
        home = self._sched
        # As `new_request`, whose call costs 27 ns.
        request = Request()
        request.message = message
        request._target = self
        request._home = home
        request._state = PENDING
        request._waiter = None
        request._result = None
        if get_ident() != home.thread:
            return delivery.request_from_outside(self, home, request, timeout)
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
            home.ready.append(self)
            if not home.awake:
                home.wake()
        if timeout is not None:
            request.start_timer(timeout)
        return request

    def handle_now(self, message: Any) -> bool:
        """Have the actor handle *message* at once, inside the caller's turn; tell whether it did.

        For a plain `on_receive`, and on the thread of the system's loop: it saves the way through the
        ready queue. Should it return a coroutine, that runs in turns of its own. False if the actor is
        not idle (busy, starting, ending, suspended, dead, or with messages before this one), and on
        other threads; `tell` it then. What the handler raises ends the actor as usual, in a turn of its own, and never comes here.
        """
        actor = self._actor
        if actor is None or actor._is_async or self._sched is NOT_STARTED:
            return False
        return self._sched.handle_now(self, message)

    def _reply_ready(self, _request: Any, /) -> None:
        """The request that the parked handler awaits is answered."""
        if self._state == PARKED:
            self._state = QUEUED
            home = self._sched
            home.ready.append(self)
            if not home.awake:
                home.wake()

    # -- who waits for whom (`circle`) -----------------------------------------------------------

    @property
    def circle_name(self) -> str | None:
        """What it is called among those that wait for one another; None: it is not mentioned."""
        actor = self._actor
        return self.label if actor is None else actor.circle_name(self)

    def awaited(self) -> tuple[Sequence[Any], bool]:
        """Return the pending requests that the handler is known to wait for, and whether some of them
        may be enough."""
        awaits = self._awaits
        return ((), False) if awaits is None else (awaits.pending(), awaits.race)

    # -- off the fast path ---------------------------------------------------------------------

    def _make_mailbox(self) -> Any:
        actor = self._actor
        assert actor is not None, "the mailbox of a dead actor is closed, not missing"
        mailbox = self._mailbox = actor.mailbox.make(self)
        return mailbox

    def _make_own_context(self) -> Context:
        """Return the actor's own context, made the first time."""
        context = self._own_context
        if context is None:
            context = self._own_context = self._sched.context.copy()
        return context

    def _append(self, item: Any) -> None:
        """Take *item* into the mailbox by its policy."""
        mailbox = self._mailbox
        if mailbox is None:
            mailbox = self._make_mailbox()
        mailbox.append(item)
        if self._state == IDLE:
            self._sched.enqueue(self)

    def _put(self, item: Any) -> None:
        """Take a message of the kernel's into the mailbox, whatever its bound."""
        if self._phase & STOPPING or self._actor is None:
            return
        mailbox = self._mailbox
        if mailbox is None:
            mailbox = self._make_mailbox()
        append(mailbox, item)
        if self._state == IDLE:
            self._sched.enqueue(self)

    def lose(self, item: Any, reason: Any, /) -> None:
        """*item* is not handled: fail it if it is a request, else make a dead letter of it."""
        delivery.lose_one(self, item, reason)

    def _own_ext(self) -> Ext:
        ext = self._ext
        if ext is None:
            ext = self._ext = Ext()
        return ext

    def _resume(self) -> None:
        """Give the parked handler a turn."""
        if self._state == PARKED:
            self._sched.enqueue(self)

    def _resume_now(self) -> None:
        """Give the parked handler its turn; called out of the loop's own callbacks."""
        if self._state == PARKED:
            home = self._sched
            self._state = QUEUED
            home.ready.append(self)
            if not home.awake:
                home.run()


# -- for the packages above --------------------------------------------------------------------


def deliver(cell: Cell, item: Any) -> None:
    """Take *item* into the mailbox by its policy; on the loop's thread.

    Raises `MailboxFull`, and `ActorDied` if the actor takes no messages.
    """
    if cell._actor is None:
        raise ActorDied(cell, "noproc")
    try:
        cell._append(item)
    except MailboxClosed:
        raise ActorDied(cell, "noproc") from None


def request_bounded(cell: Cell, message: Any, target: Any, kind: type[R]) -> R | None:
    """Return a request of *kind* to *target*, whose incarnation is *cell*, and let it be in the mailbox.

    For an actor in plain service whose mailbox fails its senders, on the loop's thread and with room
    in the mailbox; return None, and do nothing, otherwise. All in one, because each call that it is
    made of would cost an ask of an agent a hundredth.
    """
    mailbox = cell._mailbox
    home = cell._sched
    if (
        cell._phase
        or (mailbox.__class__ is not FailingMailbox and not isinstance(mailbox, FailingMailbox))
        or len(mailbox) >= mailbox.capacity
        or get_ident() != home.thread
    ):
        return None
    request = kind()
    request.message = message
    request._target = target
    request._home = home
    request._state = PENDING
    request._waiter = None
    request._result = None
    mailbox.enter(request)
    if cell._state == IDLE:
        cell._state = QUEUED
        home.ready.append(cell)
        if not home.awake:
            home.wake()
    return request


def put(cell: Cell, item: Any) -> None:
    """Take *item* into the mailbox, whatever its bound; on the loop's thread."""
    if cell._actor is not None and cell._actor.stands_for_remote:
        if cell._mailbox is None:
            cell._make_mailbox()  # or what waits there when it does not start would not be found
        cell._actor._put_in(item)
    else:
        cell._put(item)


def is_empty(cell: Cell) -> bool:
    """Tell whether no message waits in the mailbox of *cell*."""
    return not cell._mailbox


def take_oldest(cell: Cell) -> Any:
    """Take the message out of the mailbox that has waited longest; on the loop's thread."""
    return cell._mailbox.popleft()


def home_of(cell: Cell) -> Home:
    """Return the home that *cell* runs in."""
    return cell._sched


def parent_of(cell: Cell) -> Any:
    """Return the ref of the actor that started *cell* with a link, or adopted it; else None."""
    return cell._parent


def exit_reason_of(cell: Cell) -> Any:
    """Return why *cell* ends, or has ended; None while nothing has told it to."""
    return cell._reason


def traps(cell: Cell) -> bool:
    """Tell whether *cell* traps exits."""
    return cell._trap


def set_trap(cell: Cell, value: bool) -> None:
    """Let *cell* trap exits, or not."""
    cell._trap = value


def adopt_orphan(cell: Cell, parent: Any) -> bool:
    """Make *parent* the parent of *cell* if it lives and has none; return whether that was so."""
    if cell._actor is None or cell._parent is not None:
        return False
    cell._parent = parent
    return True


def context_of(cell: Cell) -> Context | None:
    """Return the context of what *cell* handles, or has handled last; None if it has none."""
    return cell._context


def lasting_address(cell: Cell) -> LastingAddress | None:
    """Return where what *cell* leaves unhandled goes, if it has such a place."""
    ext = cell._ext
    return None if ext is None else ext.mailbox_to


def current_request(cell: Cell) -> Any:
    """Return the request that *cell* is answering; None for a told message."""
    return cell._current


def dispatcher_of(cell: Cell) -> str:
    """Return where the handlers of *cell* run."""
    dispatcher: str = (cell._actor or cell.actor_class).dispatcher
    return dispatcher


def mailbox_policy_of(cell: Cell) -> Mailbox:
    """Return the policy that the mailbox of *cell*, which has not ended, is made with."""
    policy: Mailbox = cell._actor.mailbox
    return policy


def leftover_of(cell: Cell) -> Sequence[Any]:
    """Return what waited for *cell* when it stopped taking messages: for its `on_stop` to look at."""
    ext = cell._ext
    return () if ext is None or ext.leftover is None else tuple(ext.leftover)


def mark_listed(cell: Cell) -> None:
    """Have the host told when *cell* takes no more messages, because it stands in a list of it."""
    cell._own_ext().listed = True


def replace_mailbox(cell: Cell, mailbox: Any) -> None:
    """Put *mailbox* in the place of that of *cell*, with what waits there (an `Observer` does)."""
    for item in cell._mailbox or ():
        mailbox.append(item)
    cell._mailbox = mailbox


__all__ = [
    "Cell",
    "Ext",
    "LastingAddress",
    "adopt_orphan",
    "current_request",
    "deliver",
    "dispatcher_of",
    "exit_reason_of",
    "home_of",
    "is_empty",
    "lasting_address",
    "leftover_of",
    "mailbox_policy_of",
    "mark_listed",
    "parent_of",
    "put",
    "replace_mailbox",
    "request_bounded",
    "set_trap",
    "take_oldest",
    "traps",
]
