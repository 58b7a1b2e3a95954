"""Refs: the address of one actor, safe to pass around and to use from any thread."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import Any, Generic, Literal, TypeVar, overload

import pykka

from .errors import ActorDied, CallingSelf, WouldBlock
from .kernel.base import ActorBase
from .kernel.cell import Cell
from .kernel.delivery import arrive, dead_request, fence, send
from .kernel.exit_signals import send_exit
from .kernel.future import ActorFuture
from .kernel.home import NOT_STARTED
from .kernel.pykka_seam import PykkaRef, future_for
from .kernel.request import HeldPromise, Promise, Request, new_request
from .kernel.running import running_here
from .messages import Exit
from .reasons import KILL, NORMAL

A = TypeVar("A", bound=ActorBase)

_lazy = threading.Lock()


class ActorRef(Cell, PykkaRef[A], Generic[A]):
    """Reference to one incarnation of an actor.

    It is a `pykka.ActorRef`: `tell`, `ask`, `stop` and `proxy` work as pykka documents. Added are the
    awaitable `request` and `send`, exit signals (`exit`, `kill`) and identity (`pid`, `name`,
    `incarnation`). A ref keeps its actor alive only while the actor runs.
    """

    # One object with the kernel's part of the actor: a ref that pointed to it would cost every actor
    # the bytes of another object, and every message a look-up more.
    __slots__ = ()

    # -- identity ------------------------------------------------------------------------------

    @property
    def actor_urn(self) -> str:  # type: ignore[override]
        """A UUID-based URN, made when first asked for."""
        urn = self._urn
        return self._new_urn() if urn is None else urn

    def _new_urn(self) -> str:
        with _lazy:
            urn = self._urn
            if urn is None:
                if self._actor is None:
                    urn = f"urn:dead:{self.pid}"
                elif self._sched is NOT_STARTED:
                    urn = uuid.uuid4().urn
                else:
                    bits = self._sched.host.random.getrandbits(128)
                    urn = uuid.UUID(int=bits, version=4).urn
                self._urn = urn
            return urn

    @property
    def system(self) -> Any:
        """The `ActorSystem` that the actor runs in; None before it has started."""
        return self._sched.host

    # -- what pykka's own code looks for -------------------------------------------------------

    def _live_actor(self) -> Any:
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
            event: threading.Event = actor.actor_stopped
            return event
        event = threading.Event()
        event.set()
        return event

    # -- messages ------------------------------------------------------------------------------

    def send(self, message: Any) -> Request:
        """Return an awaitable that is done when *message* is in the mailbox.

        With the policy ``backpressure`` that is how a sender waits for room; with the others, and
        with an unbounded mailbox, it is done at once.
        """
        if self._actor is None:
            return dead_request(self, message)
        home = self._sched
        return send(self, home, message, here=get_ident() == home.thread)

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
        home = None if self._actor is None else self._sched
        if block and timeout != 0 and running_here() is self:
            raise CallingSelf(self)
        if block and timeout != 0 and home is not None and home.is_here():
            raise WouldBlock("ref.ask(message)", "await ref.request(message)")
        future = future_for(self.actor_class)
        if home is None or home is NOT_STARTED:
            future.fail(ActorDied(self, "noproc"))
        else:
            future.message = message
            future.target = self
            future.home = home
            if get_ident() == home.thread:
                arrive(self, future)
            elif fence(home, self, message) or not home.post(arrive, self, future):
                future.fail(ActorDied(self, "noproc"))
        return future.get(timeout=timeout) if block else future

    @overload
    def promise(self) -> Request: ...
    @overload
    def promise(self, holders: Callable[[], Sequence[Any]], advice: str = "") -> Request: ...
    def promise(
        self, holders: Callable[[], Sequence[Any]] | None = None, advice: str = ""
    ) -> Request:
        """Return a request that is never delivered: its holder completes it, on the actor's behalf.

        *holders* returns the actors that must get on before that: an asker that one of these waits for, and
        so could never get an answer, gets `CallingSelf`, with *advice*.

        With ``reply`` or ``fail``. So an actor that answers many callers at once needs no message,
        and no task, for each of them.
        """
        if holders is None:
            return new_request(None, self, self._sched, Promise)
        promise = new_request(None, self, self._sched, HeldPromise)
        promise.holders = holders
        promise.advice = advice
        return promise

    # -- exits ---------------------------------------------------------------------------------

    def exit(self, reason: Any = NORMAL) -> None:
        """Send the actor the exit signal *reason*. Safe from any thread; a dead actor ignores it.

        An actor that traps exits gets it as a message `Exit`. Otherwise it ends with *reason*, and
        its running handler is cancelled; ``normal`` is ignored. ``kill`` cannot be trapped.
        """
        if self._actor is not None and not fence(self._sched, self, Exit(None, reason)):
            send_exit(self, running_here(), reason, False)

    def kill(self) -> None:
        """End the actor now, whatever it is doing; linked actors see the reason ``killed``."""
        self.exit(KILL)


__all__ = ["ActorRef"]
