"""The actor: pykka's hooks, Erlang's links and exits, and an asynchronous handler that costs little."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Sequence
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar

import pykka

from .dispatch.processes import actor_work
from .errors import ActorExit, NoSystem, RequestTimeout, StillAlive, not_a_ref
from .inbox import Inbox
from .kernel import behavior as behaviors
from .kernel import exit_signals as signals
from .kernel.base import ActorBase
from .kernel.cell import (
    LastingAddress,
    adopt_orphan,
    current_request,
    exit_reason_of,
    home_of,
    leftover_of,
    parent_of,
    set_trap,
    traps,
)
from .kernel.future import ActorFuture
from .kernel.pykka_seam import ActorStop
from .kernel.request import Promise, Request, new_request
from .kernel.running import on_loop, refuse_abandoned
from .kernel.starting import next_pid, spawn, spawn_unique, start_link
from .kernel.timers import Timer, check_seconds, set_receive_timeout
from .messages import Down, Monitor
from .reasons import NORMAL
from .ref import ActorRef
from .system.system import ActorSystem

A = TypeVar("A", bound="Actor")

_lazy = threading.Lock()


def _checked(actor: Actor, operation: str, ref: pykka.ActorRef[Any]) -> pykka.ActorRef[Any]:
    """Return *ref* if it is one: a link with anything else would break the end of *actor*."""
    if not isinstance(ref, pykka.ActorRef):  # pyright: ignore[reportUnnecessaryIsInstance]
        _ = actor.system  # In a child process there is none, and that is what has to be said.
        raise not_a_ref(f"self.{operation}", ref)
    return ref


class Actor(ActorBase):
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

    if TYPE_CHECKING:
        _ref: ActorRef[Any]

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        # Not pykka's: it would make a UUID, a queue and an event for every actor.
        self._ref = ActorRef(self, next_pid())

    # -- starting ------------------------------------------------------------------------------

    @classmethod
    def start(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls: type[A], *args: Any, **kwargs: Any
    ) -> ActorRef[A]:
        """Start the actor in the current system and return its ref.

        The current system is that of the running actor, that of ``async with ActorSystem()``, the
        default system of the running loop, or, where no loop runs, one in a background thread.
        """
        return ActorSystem.current().start(cls, *args, **kwargs)

    def spawn(
        self,
        actor_class: type[A],
        *args: Any,
        name: str | None = None,
        link: bool = True,
        monitor: bool = False,
        unique: bool = False,
        **kwargs: Any,
    ) -> ActorRef[A]:
        """Start an actor in this actor's system, linked to this one, and return its ref.

        Nothing is awaited: if its `on_start` fails, the exit signal says so. A *name* that a live
        actor has stays with that one; with *unique* the start fails instead: `NameTaken`.
        """
        me = self._ref
        home = home_of(me)
        if get_ident() != home.thread:
            _ = self.system  # which an actor that was not started has not
            refuse_abandoned(me)
        start = spawn_unique if unique else spawn
        ref: ActorRef[A]
        if link:
            ref = start(home, actor_class, args, kwargs, name, me)
        else:
            home = self.system.open_home()
            ref = start(home, actor_class, args, kwargs, name)
        if monitor:
            self.monitor(ref)
        return ref

    async def start_link(
        self,
        actor_class: type[A],
        *args: Any,
        name: str | None = None,
        timeout: float | None = None,
        mailbox_to: LastingAddress | None = None,
        unique: bool = False,
        **kwargs: Any,
    ) -> ActorRef[A] | None:
        """Start a linked actor and return its ref once its `on_start` has succeeded.

        Returns None if `on_start` raised `Ignore`. Raises `StartFailed` if it failed, also when the
        constructor did, or when it took longer than *timeout* seconds (it is killed then). What the
        actor has not handled when it ends abnormally goes back to *mailbox_to*. With *unique*, raises
        `NameTaken` at once if a live actor has the *name*; else the name stays with that one.
        """
        ref: ActorRef[A] | None = await start_link(
            self._ref,
            actor_class,
            args,
            kwargs,
            name,
            timeout,
            mailbox_to=mailbox_to,
            unique=unique,
        )
        return ref

    def adopt(self, ref: ActorRef[Any]) -> None:
        """Become the parent of *ref*, an actor that has none, and link with it."""
        adopt_orphan(ref, self._ref)
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
        return self._ref.actor_urn

    @property
    def actor_inbox(self) -> Inbox:  # type: ignore[override]
        """pykka's view of the mailbox: `put`, `get`, `empty`."""
        return Inbox(self._ref)

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
            if not self._ref.is_alive():
                event.set()
        return event

    @property
    def system(self) -> ActorSystem:
        """The system that this actor runs in."""
        system: ActorSystem | None = self._ref.system
        if system is None:
            raise NoSystem(f"{self._ref.label} has not been started, and")
        return system

    @property
    def parent(self) -> ActorRef[Any] | None:
        """The actor that started this one with a link."""
        parent: ActorRef[Any] | None = parent_of(self._ref)
        return parent

    @property
    def exit_reason(self) -> Any:
        """Why this actor is ending; for `on_stop`."""
        return exit_reason_of(self._ref)

    # -- links, monitors, exits ----------------------------------------------------------------

    @property
    def trap_exit(self) -> bool:
        """Whether exit signals become messages (`Exit`) instead of ending this actor."""
        return traps(self._ref)

    @trap_exit.setter
    def trap_exit(self, value: bool) -> None:
        set_trap(self._ref, bool(value))

    def link(self, ref: pykka.ActorRef[Any]) -> None:
        """Link with *ref*: when one of the two ends, the other gets an exit signal.

        Linking twice is the same as once. A dead *ref* sends the signal ``noproc`` at once.
        """
        on_loop(self._ref, signals.link, self._ref, _checked(self, "link", ref))

    def unlink(self, ref: pykka.ActorRef[Any]) -> None:
        """Undo the link with *ref*: its exit signal does not arrive any more."""
        on_loop(self._ref, signals.unlink, self._ref, _checked(self, "unlink", ref))

    def monitor(self, ref: pykka.ActorRef[Any]) -> Monitor:
        """Watch *ref*: a message `Down` comes when it ends, once for each call of this."""
        return on_loop(self._ref, signals.monitor, self._ref, _checked(self, "monitor", ref))

    def demonitor(self, monitor: Monitor | pykka.ActorRef[Any], *, flush: bool = True) -> None:
        """Stop watching: *monitor* as `monitor` gave it, or a ref for all monitors of it.

        With *flush* a `Down` that is in the mailbox already is taken out.
        """
        on_loop(self._ref, self._demonitor, monitor, flush)

    def _demonitor(self, monitor: Monitor | pykka.ActorRef[Any], flush: bool) -> None:
        single = monitor if isinstance(monitor, Monitor) else None
        if isinstance(monitor, Monitor):
            watches, target = [monitor], monitor.target
        else:
            target = _checked(self, "demonitor", monitor)
            watches = signals.monitors_of(self._ref, target)
        for watch in watches:
            signals.demonitor(self._ref, watch)
        if flush:
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
        home = home_of(self._ref)
        request = new_request(None, self._ref, home, Promise)
        watch = on_loop(self._ref, signals.monitor, self._ref, ref, request)
        if timeout is not None:
            home.post_or_call(request.start_timer, timeout)
        try:
            return await request
        except RequestTimeout as error:
            raise StillAlive(ref, error.timeout_s or 0.0) from None
        finally:
            home.post_or_call(signals.demonitor, self._ref, watch)

    def exit(self, reason: Any = NORMAL) -> None:
        """End this actor with *reason*: raises `ActorExit` out of the handler."""
        raise ActorExit(reason)

    def stop(self) -> None:
        """Stop after the messages that are in the mailbox now, with the reason ``normal``."""
        self._ref.tell(ActorStop())

    # -- the mailbox ---------------------------------------------------------------------------

    def flush(self, predicate: Callable[[Any], bool]) -> list[Any]:
        """Take the messages that fit *predicate* out of this actor's mailbox and return them."""
        return on_loop(self._ref, behaviors.flush, self._ref, predicate)

    @property
    def unhandled(self) -> Sequence[Any]:
        """The messages that wait and will not be handled any more: for `on_stop` and `on_failure`."""
        return leftover_of(self._ref)

    def become(self, behavior: Callable[[Any], Any] | None, *, discard: bool = True) -> None:
        """Handle the next messages with *behavior* instead of `on_receive` (None: with it again).

        With ``discard=False`` the behaviour before is kept for `unbecome`.
        """
        behaviors.become(self._ref, behavior, discard=discard)

    def unbecome(self) -> None:
        """Go back to the behaviour before the last ``become(..., discard=False)``."""
        behaviors.unbecome(self._ref)

    def stash(self) -> None:
        """Put the message that is being handled aside, until `unstash_all`.

        Of an ask, the asker goes on waiting.
        """
        behaviors.stash(self._ref)

    def unstash_all(self) -> None:
        """Put what was stashed at the front of the mailbox, in its order."""
        on_loop(self._ref, behaviors.unstash_all, self._ref)

    # -- answers -------------------------------------------------------------------------------

    @property
    def current_request(self) -> Request | ActorFuture | None:
        """The request that is being answered; None for a told message."""
        current: Request | ActorFuture | None = current_request(self._ref)
        return current

    def defer_reply(self) -> Request | ActorFuture:
        """Take over the answering: the handler's return value is not the reply.

        Call ``reply(value)`` or ``fail(error)`` on what this returns, from any thread. If this actor
        ends before, the asker gets `ActorDied`.
        """
        request: Request | ActorFuture = behaviors.defer_reply(self._ref)
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
        behaviors.check_awaitable(awaitable)
        target = self._ref if to is None else to
        on_loop(self._ref, behaviors.pipe, self._ref, awaitable, target, convert)

    # -- timers --------------------------------------------------------------------------------

    def send_after(self, delay_s: float, message: Any) -> Timer:
        """Send *message* to this actor in *delay_s* seconds; the timer dies with the actor."""
        check_seconds("send_after", delay_s)
        return on_loop(self._ref, Timer, self._ref, delay_s, message, repeat=False)

    def send_interval(self, period_s: float, message: Any) -> Timer:
        """Send *message* to this actor every *period_s* seconds; the timer dies with the actor."""
        check_seconds("send_interval", period_s, positive=True)
        return on_loop(self._ref, Timer, self._ref, period_s, message, repeat=True)

    def set_receive_timeout(self, after_s: float | None) -> None:
        """Send this actor a `ReceiveTimeout` whenever no message came for *after_s* seconds.

        It comes up to a quarter of that late. None ends it.
        """
        if after_s is not None:
            check_seconds("set_receive_timeout", after_s, positive=True)
        on_loop(self._ref, set_receive_timeout, self._ref, after_s)

    # -- the kernel's side ---------------------------------------------------------------------

    def _enter_current_system(self) -> None:
        ActorSystem.current().adopt(self._ref)

    def _work_for_child(self, message: Any) -> bytes | None:
        return actor_work(self._ref, self, message)
