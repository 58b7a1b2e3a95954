"""The actor: pykka's hooks, Erlang's links and exits, and an asynchronous handler that costs little."""

from __future__ import annotations

import inspect
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import count
from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pykka
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop

from .errors import (
    ActorExit,
    AgenticError,
    NoSystem,
    NotARef,
    NotAwaitable,
    NotCallable,
    RequestTimeout,
    StillAlive,
)
from .inbox import Inbox
from .kernel import lifecycle, links
from .kernel.carried import Carried, receive_carried
from .kernel.mailbox import UNBOUNDED, Mailbox, MailboxPolicyError
from .kernel.phase import IDLE, STOPPING
from .kernel.raised import Raised
from .kernel.request import ActorFuture, Promise, Request, new_request
from .kernel.running import on_loop, refuse_abandoned
from .messages import PipedFailure, ReceiveTimeout
from .reasons import NORMAL
from .ref import ActorRef

if TYPE_CHECKING:
    from asyncio import Future
    from types import TracebackType

    from .agents.address import Address
    from .kernel.links import Monitor
    from .kernel.timers import Timer
    from .system.system import ActorSystem

A = TypeVar("A", bound="Actor")

_next_pid = count(1).__next__
KERNEL_STATE = frozenset(
    {
        "_doom",
        "_exit_reason",
        "_ext",
        "_links",
        "_parent",
        "_ref",
        "_stopped_event",
        "_trap",
        "_watchers",
    }
)
"""The attributes of an actor that are the kernel's; all others are its class's and its user's."""
_lazy = threading.Lock()


class Ext:
    """What only some actors need: one object, made when the first of it is needed."""

    __slots__ = (
        "behaviors",
        "deferred",
        "deferred_limit",
        "grace",
        "groups",
        "job",
        "leftover",
        "mailbox_to",
        "monitors",
        "names",
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
        self.groups: dict[str, None] | None = None
        self.job: Any = None
        self.leftover: Any = None
        self.mailbox_to: Any = None
        self.monitors: dict[Monitor, None] | None = None
        self.names: dict[str, None] | None = None
        self.pipes: dict[Any, None] | None = None
        self.pool: Any = None
        self.receive_timeout: Any = None
        self.stash: list[Any] | None = None
        self.start_ack: Any = None
        self.stop_requests: list[Any] | None = None
        self.timers: dict[Any, None] | None = None


def _checked(actor: Actor, operation: str, ref: pykka.ActorRef[Any]) -> pykka.ActorRef[Any]:
    """Return *ref* if it is one: a link with anything else would break the end of *actor*."""
    if not isinstance(ref, pykka.ActorRef):  # pyright: ignore[reportUnnecessaryIsInstance]
        _ = actor.system  # In a child process there is none, and that is what has to be said.
        raise NotARef(f"self.{operation}", ref)
    return ref


def _forward(name: str) -> Any:
    """Return a property for what lives in the ref; off the path of messages it reads better here."""

    def get(self: Actor) -> Any:
        return getattr(self._ref, name)

    def put(self: Actor, value: Any) -> None:
        setattr(self._ref, name, value)

    return property(get, put)


class Actor(pykka.Actor):
    """An actor of ours: a `pykka.Actor` with links, monitors, exits, timers and awaitable requests.

    Subclass it, and give it `on_receive`, plain or ``async``. The other hooks, `on_start`, `on_stop`
    and `on_failure`, may be ``async`` too. One message is handled at a time; while an asynchronous
    handler waits, other actors run and this one's messages queue.

    Class attributes say how it runs:

    - `dispatcher`: ``event_loop`` (on the loop of its system), ``thread`` (blocking code, in the
      system's bounded pool), ``pinned`` (a thread of its own), ``process``;
    - `crash_on_ask_error`: False is pykka's contract: an error while answering an ask goes to the
      caller, and the actor lives. True is OTP's: the caller gets the error and the actor crashes.
      None (the default): OTP's for what a supervisor started, pykka's for everything else;
    - `mailbox`: a `Mailbox` policy;
    - `obey_parent`: an actor that traps exits still ends when its parent tells it to, as a
      gen_server does.

    All of an actor's state belongs to the loop thread of its system; handlers of ``thread``,
    ``pinned`` and ``process`` actors run elsewhere, one at a time.
    """

    # No __slots__: on 3.13 a class that has both them and a dictionary pays 300 bytes for the first
    # attribute that a user adds, and reads each more slowly.

    dispatcher: ClassVar[str] = "event_loop"
    crash_on_ask_error: bool | None = None
    mailbox: Mailbox = UNBOUNDED
    obey_parent: ClassVar[bool] = True
    children_crash_on_ask_error: ClassVar[bool] = False
    """What None as a child's own `crash_on_ask_error` means. A supervisor says True."""

    _stopped_event: threading.Event | None = None
    """pykka's `actor_stopped`; an attribute of the few instances that are asked for it."""

    _behavior: Any = _forward("_behavior")
    _context: Any = _forward("_context")
    _coro: Any = _forward("_coro")
    _current: Any = _forward("_current")
    _driver: Any = _forward("_driver")
    _handled: Any = _forward("_handled")
    _mailbox: Any = _forward("_mailbox")
    _message: Any = _forward("_message")
    _phase: Any = _forward("_phase")
    _sched: Any = _forward("_sched")
    _state: Any = _forward("_state")
    _task: Any = _forward("_task")

    _is_async: ClassVar[bool] = False
    _has_on_start: ClassVar[bool] = False
    _has_on_stop: ClassVar[bool] = False
    _has_on_failure: ClassVar[bool] = False
    _stop_takes_reason: ClassVar[bool] = False

    if TYPE_CHECKING:
        _ref: ActorRef[Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        mailbox: Any = cls.__dict__.get("mailbox", UNBOUNDED)
        if not isinstance(mailbox, Mailbox) and not hasattr(mailbox, "__get__"):
            raise MailboxPolicyError(f"{cls.__name__}.mailbox is {mailbox!r}, which is no Mailbox")
        cls._is_async = inspect.iscoroutinefunction(cls.on_receive)
        cls._has_on_start = cls.on_start not in _NO_START
        cls._has_on_stop = cls.on_stop not in _NO_STOP
        cls._has_on_failure = cls.on_failure not in _NO_FAILURE
        cls._stop_takes_reason = cls._has_on_stop and _takes_an_argument(cls.on_stop)

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        # Not pykka's: it would make a UUID, a queue and an event for every actor.
        self._links: Any = None
        self._watchers: dict[Monitor, None] | None = None
        self._parent: ActorRef[Any] | None = None
        self._trap = False
        self._ext: Ext | None = None
        self._exit_reason: Any = None
        self._doom: Any = None
        self._ref = ActorRef(self, _next_pid())

    # -- starting ------------------------------------------------------------------------------

    @classmethod
    def start(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls: type[A], *args: Any, **kwargs: Any
    ) -> ActorRef[A]:
        """Start the actor in the current system and return its ref.

        The current system is that of the running actor, that of ``async with ActorSystem()``, the
        default system of the running loop, or, where no loop runs, one in a background thread.
        """
        from .system.system import ActorSystem

        return ActorSystem.current().start(cls, *args, **kwargs)

    def spawn(
        self,
        actor_class: type[A],
        *args: Any,
        name: str | None = None,
        link: bool = True,
        monitor: bool = False,
        **kwargs: Any,
    ) -> ActorRef[A]:
        """Start an actor in this actor's system, linked to this one, and return its ref.

        Nothing is awaited: if its `on_start` fails, the exit signal says so.
        """
        system = self.system
        if get_ident() != self._ref._sched.thread:
            refuse_abandoned(self)
        ref = system._spawn(actor_class, args, kwargs, name, self if link else None)
        if monitor:
            self.monitor(ref)
        return ref

    async def start_link(
        self,
        actor_class: type[A],
        *args: Any,
        name: str | None = None,
        timeout: float | None = None,
        mailbox_to: Address | None = None,
        **kwargs: Any,
    ) -> ActorRef[A] | None:
        """Start a linked actor and return its ref once its `on_start` has succeeded.

        Returns None if `on_start` raised `Ignore`. Raises `StartFailed` if it failed, also when the
        constructor did, or when it took longer than *timeout* seconds (it is killed then). What the
        actor has not handled when it ends abnormally goes back to *mailbox_to*.
        """
        ref: ActorRef[A] | None = await self.system._start_link(
            self, actor_class, args, kwargs, name, timeout, mailbox_to=mailbox_to
        )
        return ref

    def adopt(self, ref: ActorRef[Any]) -> None:
        """Become the parent of *ref*, an actor that has none, and link with it."""
        actor = ref._actor
        if actor is not None and actor._parent is None:
            actor._parent = self._ref
        self.link(ref)

    # -- identity ------------------------------------------------------------------------------

    @property
    def actor_ref(  # pyright: ignore
        self: A,
    ) -> ActorRef[A]:
        """This actor's ref."""
        return self._ref

    @property
    def actor_urn(self) -> str:  # type: ignore[override]
        """A UUID-based URN, made when first asked for."""
        if self._ref._urn is None:
            self._ref._urn = self._new_urn()
        return self._ref._urn

    def _new_urn(self) -> str:
        import uuid

        with _lazy:
            if self._ref._urn is not None:
                return self._ref._urn
            system = self._ref.system
            if system is None:
                return uuid.uuid4().urn
            bits = system.random.getrandbits(128)
            return uuid.UUID(int=bits, version=4).urn

    @property
    def actor_inbox(self) -> Inbox:  # type: ignore[override]
        """pykka's view of the mailbox: `put`, `get`, `empty`."""
        return Inbox(self)

    @property
    def actor_stopped(self) -> threading.Event:  # type: ignore[override]
        """An event that is set once the actor has stopped; made when first asked for."""
        event = self._stopped_event
        if event is None:
            with _lazy:
                event = self._stopped_event
                if event is None:
                    event = threading.Event()
                    self._stopped_event = event
            if self._phase & STOPPING or self._ref._actor is None:
                event.set()
        return event

    @property
    def system(self) -> ActorSystem:
        """The system that this actor runs in."""
        system = self._ref._sched.system
        if system is None:  # pyright: ignore[reportUnnecessaryComparison]
            raise NoSystem(f"{self._ref.label} has not been started, and")
        return system

    @property
    def parent(self) -> ActorRef[Any] | None:
        """The actor that started this one with a link."""
        return self._parent

    @property
    def exit_reason(self) -> Any:
        """Why this actor is ending; for `on_stop`."""
        return self._exit_reason

    # -- links, monitors, exits ----------------------------------------------------------------

    @property
    def trap_exit(self) -> bool:
        """Whether exit signals become messages (`Exit`) instead of ending this actor."""
        return self._trap

    @trap_exit.setter
    def trap_exit(self, value: bool) -> None:
        self._trap = bool(value)

    def link(self, ref: pykka.ActorRef[Any]) -> None:
        """Link with *ref*: when one of the two ends, the other gets an exit signal.

        Linking twice is the same as once. A dead *ref* sends the signal ``noproc`` at once.
        """
        on_loop(self, links.link, self, _checked(self, "link", ref))

    def unlink(self, ref: pykka.ActorRef[Any]) -> None:
        """Undo the link with *ref*: its exit signal does not arrive any more."""
        on_loop(self, links.unlink, self, _checked(self, "unlink", ref))

    def monitor(self, ref: pykka.ActorRef[Any]) -> Monitor:
        """Watch *ref*: a message `Down` comes when it ends, once for each call of this."""
        return on_loop(self, links.monitor, self, _checked(self, "monitor", ref))

    def demonitor(self, monitor: Monitor | pykka.ActorRef[Any], *, flush: bool = True) -> None:
        """Stop watching: *monitor* as `monitor` gave it, or a ref for all monitors of it.

        With *flush* a `Down` that is in the mailbox already is taken out.
        """
        on_loop(self, self._demonitor, monitor, flush)

    def _demonitor(self, monitor: Monitor | pykka.ActorRef[Any], flush: bool) -> None:
        from .kernel.links import Monitor as MonitorClass
        from .messages import Down

        ext = self._ext
        if isinstance(monitor, MonitorClass):
            watches = [monitor]
        else:
            watches = [m for m in (ext.monitors or ()) if m.target is monitor] if ext else []
            _checked(self, "demonitor", monitor)
        target = monitor.target if isinstance(monitor, MonitorClass) else monitor
        for watch in watches:
            links.demonitor(self, watch)
        if flush:
            single = monitor if isinstance(monitor, MonitorClass) else None
            self.flush(
                lambda m: (
                    isinstance(m, Down)
                    and m.ref is target
                    and (single is None or m.monitor is single)
                )
            )

    async def wait_down(self, ref: pykka.ActorRef[Any], timeout: float | None = None) -> Any:
        """Wait until *ref* has ended, and return its exit reason (``noproc``: it was dead already).

        Raises `StillAlive`, a `TimeoutError`, after *timeout* seconds. Other messages stay queued, in
        order.
        """
        _checked(self, "wait_down", ref)
        request = new_request(None, self._ref, self._sched, Promise)
        watch = on_loop(self, links.monitor, self, ref, request)
        if timeout is not None:
            self._sched.post_or_call(request.start_timer, timeout)
        try:
            return await request
        except RequestTimeout as error:
            raise StillAlive(ref, error.timeout_s or 0.0) from None
        finally:
            self._sched.post_or_call(links.demonitor, self, watch)

    def exit(self, reason: Any = NORMAL) -> None:
        """End this actor with *reason*: raises `ActorExit` out of the handler."""
        raise ActorExit(reason)

    def stop(self) -> None:
        """Stop after the messages that are in the mailbox now, with the reason ``normal``."""
        self._ref.tell(_ActorStop())

    # -- the mailbox ---------------------------------------------------------------------------

    def flush(self, predicate: Callable[[Any], bool]) -> list[Any]:
        """Take the messages that fit *predicate* out of this actor's mailbox and return them."""
        return on_loop(self, self._flush, predicate)

    @property
    def unhandled(self) -> list[Any]:
        """The messages that this actor will not handle any more: for `on_stop` and `on_failure`."""
        ext = self._ext
        return [] if ext is None or ext.leftover is None else list(ext.leftover)

    def _recall(self) -> None:
        ext = self._ext
        if ext is not None and ext.job is not None:
            ext.job.recall()

    def _flush(self, predicate: Callable[[Any], bool]) -> list[Any]:
        self._recall()
        mailbox = self._mailbox
        if not mailbox:
            return []
        fits = [(item, predicate(item)) for item in mailbox]
        taken = [item for item, fit in fits if fit]
        if taken:
            mailbox.clear()
            mailbox.extend(item for item, fit in fits if not fit)
            getattr(mailbox, "admit", int)()
        return taken

    def become(self, behavior: Callable[[Any], Any] | None, *, discard: bool = True) -> None:
        """Handle the next messages with *behavior* instead of `on_receive` (None: with it again).

        With ``discard=False`` the behaviour before is kept for `unbecome`.
        """
        if behavior is not None and not callable(behavior):
            raise NotCallable(behavior)
        if not discard:
            ext = self._own_ext()
            if ext.behaviors is None:
                ext.behaviors = []
            ext.behaviors.append(self._behavior)
        self._behavior = behavior

    def unbecome(self) -> None:
        """Go back to the behaviour before the last ``become(..., discard=False)``."""
        ext = self._ext
        self._behavior = ext.behaviors.pop() if ext is not None and ext.behaviors else None

    def stash(self) -> None:
        """Put the message that is being handled aside, until `unstash_all`.

        Of an ask, the asker goes on waiting.
        """
        ext = self._own_ext()
        if ext.stash is None:
            ext.stash = []
        job = ext.job
        ext.stash.append(self._message if job is None else job.item)
        self._current = None

    def unstash_all(self) -> None:
        """Put what was stashed at the front of the mailbox, in its order."""
        on_loop(self, self._unstash_all)

    def _unstash_all(self) -> None:
        ext = self._ext
        if ext is None or not ext.stash:
            return
        stashed, ext.stash = ext.stash, None
        if self._mailbox is None:
            self._mailbox = self.mailbox.make(self)
        self._recall()
        self._mailbox.extendleft(reversed(stashed))

    # -- answers -------------------------------------------------------------------------------

    @property
    def current_request(self) -> Request | ActorFuture | None:
        """The request that is being answered; None for a told message."""
        current: Request | ActorFuture | None = self._current
        return current

    def defer_reply(self) -> Request | ActorFuture:
        """Take over the answering: the handler's return value is not the reply.

        Call ``reply(value)`` or ``fail(error)`` on what this returns, from any thread. If this actor
        ends before, the asker gets `ActorDied`.
        """
        request: Request | ActorFuture | None = self._current
        if request is None:
            raise ActorNotAsked(self._ref.label)
        ext = self._own_ext()
        if ext.deferred is None:
            ext.deferred = {}
        if len(ext.deferred) >= ext.deferred_limit:
            # Only now and then, so that many who wait cost no more each than a few.
            ext.deferred = {r: None for r in ext.deferred if r.asker_waiting}
            ext.deferred_limit = max(16, 2 * len(ext.deferred))
        ext.deferred[request] = None
        self._current = None
        return request

    def pipe_to(
        self,
        awaitable: Awaitable[Any],
        to: ActorRef[Any] | None = None,
        *,
        convert: Callable[[Any], Any] | None = None,
    ) -> None:
        """Let the outcome of *awaitable* become a message to *to* (this actor, if not given).

        A failure arrives as `PipedFailure`. The awaitable is cancelled when this actor ends.
        """
        if not inspect.isawaitable(awaitable):
            raise NotAwaitable(awaitable)
        on_loop(self, self._pipe, awaitable, self._ref if to is None else to, convert)

    def _pipe(
        self,
        awaitable: Awaitable[Any],
        target: ActorRef[Any],
        convert: Callable[[Any], Any] | None,
    ) -> None:
        ext = self._own_ext()
        if ext.pipes is None:
            ext.pipes = {}
        pipes = ext.pipes

        async def run() -> None:
            try:
                outcome = await awaitable
                message = outcome if convert is None else convert(outcome)
            except Exception as error:
                message = PipedFailure(error)
            try:
                target.tell(message)
            except pykka.ActorDeadError:
                self.system.dead_letter(message, target.label, "noproc")

        def forget(task: Future[None]) -> None:
            pipes.pop(task, None)

        task = self._sched.loop.create_task(run(), name=f"{self._ref.label}: pipe_to")
        pipes[task] = None
        task.add_done_callback(forget)

    # -- timers --------------------------------------------------------------------------------

    def send_after(self, delay_s: float, message: Any) -> Timer:
        """Send *message* to this actor in *delay_s* seconds; the timer dies with the actor."""
        from .kernel.timers import Timer, check_seconds

        check_seconds("send_after", delay_s)
        return on_loop(self, Timer, self, delay_s, message, repeat=False)

    def send_interval(self, period_s: float, message: Any) -> Timer:
        """Send *message* to this actor every *period_s* seconds; the timer dies with the actor."""
        from .kernel.timers import Timer, check_seconds

        check_seconds("send_interval", period_s, positive=True)
        return on_loop(self, Timer, self, period_s, message, repeat=True)

    def set_receive_timeout(self, after_s: float | None) -> None:
        """Send this actor a `ReceiveTimeout` whenever no message came for *after_s* seconds.

        It comes up to a quarter of that late. None ends it.
        """
        if after_s is not None:
            from .kernel.timers import check_seconds

            check_seconds("set_receive_timeout", after_s, positive=True)
        on_loop(self, self._set_receive_timeout, after_s)

    def _set_receive_timeout(self, after_s: float | None) -> None:
        from .kernel.timers import IdleTimer

        ext = self._own_ext()
        if ext.receive_timeout is not None:
            ext.receive_timeout.cancel()
            ext.receive_timeout = None
        if after_s is not None:
            ext.receive_timeout = IdleTimer(self, after_s, ReceiveTimeout(after_s))

    # -- the kernel's side ---------------------------------------------------------------------

    def _own_ext(self) -> Ext:
        ext = self._ext
        if ext is None:
            ext = self._ext = Ext()
        return ext

    def _append(self, item: Any) -> None:
        """Take *item* into the mailbox by its policy; on the loop's thread."""
        ref = self._ref
        mailbox = ref._mailbox
        if mailbox is None:
            mailbox = ref._mailbox = self.mailbox.make(self)
        mailbox.append(item)
        if ref._state == IDLE:
            self._sched.enqueue(ref)

    def _put(self, item: Any) -> None:
        """Take a message of the kernel's into the mailbox, whatever its bound."""
        mailbox = self._mailbox
        if mailbox is None:
            mailbox = self._mailbox = self.mailbox.make(self)
        if self._phase & STOPPING:
            return
        deque.append(mailbox, item)  # pyright: ignore
        if self._state == IDLE:
            self._sched.enqueue(self._ref)

    def _lost(self, item: Any, reason: Any) -> None:
        lifecycle.lose_one(self, item, reason)

    def _resume(self) -> None:
        """Give the parked handler a turn."""
        self._ref._resume()

    def _receive_special(self, message: Any) -> Any:
        """Handle pykka's own messages."""
        kind = message.__class__
        if kind is _ActorStop:
            current, self._current = self._current, None
            if current is not None:
                ext = self._own_ext()
                if ext.stop_requests is None:
                    ext.stop_requests = list[Any]()
                ext.stop_requests.append(current)
            lifecycle.doom(self, NORMAL, soft=True)
            return None
        if kind is ProxyCall or kind is ProxyGetAttr or kind is ProxySetAttr:
            return self._handle_receive(message)
        if kind is Carried:
            special = isinstance(message.message, ProxyCall | ProxyGetAttr | ProxySetAttr)
            receive = self._receive_special if special else self._behavior or self.on_receive
            return receive_carried(message, receive)
        if kind is Raised:
            self._ref._message = message.message
            raise message.take()
        return self.on_receive(message)

    def _work_for_child(self, message: Any) -> bytes | None:
        """Return what a child process needs in order to handle *message*; None: handle it here."""
        from .dispatch.processes import actor_work

        return actor_work(self, message)

    def _stop_hook(self) -> Any:
        if self._stop_takes_reason:
            return self.on_stop(self._exit_reason)  # type: ignore[call-arg]
        return self.on_stop()

    # -- pykka's abstract methods ----------------------------------------------------------------

    @staticmethod
    def _create_actor_inbox() -> Any:
        return None

    @staticmethod
    def _create_future() -> ActorFuture:
        return ActorFuture()

    def _start_actor_loop(self) -> None:
        from .system.system import ActorSystem

        ActorSystem.current()._adopt(self, self._ref)

    # -- hooks -----------------------------------------------------------------------------------

    def on_start(self) -> Any:
        """Run before the first message. May be ``async``; an exception means that it did not start."""

    def on_stop(self) -> Any:
        """Run at the end, unless it ends by an exception. May be ``async``, and may take the reason.

        It runs exactly once: here after every orderly end, exit signal and kill; for an exception it
        is `on_failure` that runs.
        """

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Any:
        """Run at the end by an exception, instead of `on_stop`. May be ``async``."""


class ActorNotAsked(AgenticError, RuntimeError):
    """`defer_reply` outside of an ask."""

    def __init__(self, actor: str) -> None:
        super().__init__(
            f"{actor} is handling a told message, which wants no reply. "
            "Test self.current_request before defer_reply()."
        )


_NO_START = (Actor.on_start, pykka.Actor.on_start)
_NO_STOP = (Actor.on_stop, pykka.Actor.on_stop)
_NO_FAILURE = (Actor.on_failure, pykka.Actor.on_failure)


def _takes_an_argument(hook: Callable[..., Any]) -> bool:
    """Tell whether *hook*, a function of a class, takes something besides ``self``."""
    try:
        parameters = list(inspect.signature(hook).parameters.values())
    except (TypeError, ValueError):
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return len([p for p in parameters if p.kind in positional]) > 1
