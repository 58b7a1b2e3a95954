"""The actor system: where actors live, what time it is for them, and how all of it ends."""

from __future__ import annotations

import asyncio
import atexit
import os
import random
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import ContextVar, Token, copy_context
from dataclasses import dataclass, field
from itertools import count
from threading import get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from loguru import logger as loguru_logger

from ..dead_letters import DeadLetters
from ..dispatch.workers import Job, JobRunner, ThreadPool
from ..errors import (
    DISPATCHERS,
    ActorDied,
    BadName,
    BadPoolSize,
    ForkedSystem,
    NoSystem,
    NotAnActorClass,
    RequestTimeout,
    StartFailed,
    SystemStopped,
    UnknownDispatcher,
    WouldBlock,
    check_ref,
)
from ..events import EventStream, check_subscriber
from ..kernel import lifecycle, links
from ..kernel.phase import DEAD, HELD, IDLE, OFFLOADED, STARTING, SUSPENDED
from ..kernel.request import Promise, Request, new_request
from ..kernel.running import running_here
from ..kernel.scheduler import ReadyQueue, Scheduler
from ..reasons import NOPROC, SHUTDOWN
from ..registry import Groups, Names, pykka_index

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ..actor import Actor
    from ..agents.address import Address
    from ..ref import ActorRef
    from .inspection import ActorInfo

A = TypeVar("A", bound="Actor")

NO_THREAD = -2
"""The thread of a scheduler whose loop is gone."""

_current: ContextVar[ActorSystem | None] = ContextVar("agenticaiframework_system", default=None)
_defaults: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, ActorSystem] = (
    weakref.WeakKeyDictionary()
)
_all: weakref.WeakSet[ActorSystem] = weakref.WeakSet()
_background_lock = threading.Lock()
_background: ActorSystem | None = None
_numbers = count(1)


def system_here() -> ActorSystem | None:
    """Return the system of the running handler, or of the enclosing ``async with``, if any."""
    return _current.get()


def enter_system(system: ActorSystem | None) -> None:
    """Let *system* be the one of this context."""
    _current.set(system)


@dataclass(frozen=True, slots=True)
class StopReport:
    """What stopping a system met: nothing, if all went well.

    *killed* had to be killed because their time was up; *abandoned* are handlers that did not end
    even so (a thread that blocks, a coroutine that swallows its cancellation).
    """

    duration_s: float = 0.0
    killed: list[str] = field(default_factory=list[str])
    abandoned: list[str] = field(default_factory=list[str])

    @property
    def clean(self) -> bool:
        """Whether everything ended by itself."""
        return not self.killed and not self.abandoned


class ActorSystem:
    """The home of actors on one event loop.

    ``async with ActorSystem() as system:`` starts it on the running loop and stops it at the end.
    `ActorSystem.in_background()` gives it a loop in a thread of its own, for programs without one.
    `ActorSystem.current()` is what `Actor.start` uses.

    Parameters: *seed* makes `random` repeatable; *ready_queue* replaces the order in which ready
    actors take their turns (simulation); *threads* bounds the pool for blocking handlers;
    *cancel_grace_s* is how long a cancelled handler may clean up before it is abandoned;
    *stop_timeout_s* is how long ``async with`` gives everything to end; *processes* bounds the child
    processes for actors with that dispatcher (one for each processor, if None); *watchdog_s* has a
    `Watchdog` name whatever blocks the loop for so long.

    All state belongs to the thread of the loop. Safe from any thread: `start`, and everything on
    refs.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        seed: int | None = None,
        ready_queue: ReadyQueue | None = None,
        threads: int = 32,
        processes: int | None = None,
        cancel_grace_s: float = 5.0,
        stop_timeout_s: float = 10.0,
        watchdog_s: float | None = None,
    ) -> None:
        if threads < 1:
            raise BadPoolSize("threads", threads)
        if processes is not None and processes < 1:
            raise BadPoolSize("processes", processes)
        if watchdog_s is not None:
            from ..dispatch.watchdog import check_threshold

            check_threshold(watchdog_s)
        self.name = name or f"system-{next(_numbers)}"
        self.random = random.Random(seed)
        self.cancel_grace_s = cancel_grace_s
        self.stop_timeout_s = stop_timeout_s
        self.threads = threads
        self.processes = processes
        self.watchdog_s = watchdog_s
        self.log: Any = loguru_logger.bind(system=self.name)
        self.names = Names()
        self.groups = Groups()
        self.dead_letters = DeadLetters(self.log)
        self.events = EventStream(self.log)
        self.abandoned = 0
        """How many handlers were left behind because they did not end."""
        self._ready_queue = ready_queue
        self._scheduler: Scheduler | None = None
        self._stopping = False
        self._stopped: asyncio.Task[StopReport] | None = None
        self._end_hooks: list[Callable[[Any, Any], object]] = []
        self._end_waiters: dict[Any, list[asyncio.Future[bool]]] = {}
        self._at_stop: list[Callable[[], Any]] = []
        self._live = 0
        self._ending: dict[ActorRef[Any], None] = {}
        """Actors that are no longer alive, and whose `on_stop` or `on_failure` still runs."""
        self._zombies: dict[Any, None] = {}
        self._keeping: dict[Address, None] = {}
        """Addresses at which messages wait for the next incarnation."""
        self._pool: JobRunner | None = None
        self._process_pool: JobRunner | None = None
        self._pools: list[JobRunner] = []
        self._tokens: list[Token[ActorSystem | None]] = []
        self._guard: AsyncGenerator[None, None] | None = None
        self._thread: threading.Thread | None = None
        self._stop_lock = threading.Lock()
        self._outside_report: StopReport | None = None
        self._outside_stop: asyncio.Task[None] | None = None
        self._index = pykka_index()
        self.data: dict[Any, Any] = {}
        """Per-system state of the layers above, by a key of theirs."""

    def __repr__(self) -> str:
        state = "new" if self._scheduler is None else "stopped" if self._stopping else "running"
        return f"<ActorSystem {self.name} ({state}, {self._live} actors)>"

    # -- which system is this ------------------------------------------------------------------

    @classmethod
    def current(cls) -> ActorSystem:
        """Return the system of this place.

        That is the system of the running handler or of the enclosing ``async with``; else the
        default system of the running loop, which is made now and stops when the loop shuts down;
        else, where no loop runs, one in a background thread, which stops with the interpreter.
        """
        system = _current.get()
        if system is not None and system.running:
            return system
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return cls._default_in_background()
        system = _defaults.get(loop)
        if system is None or not system.running:
            system = cls("default")
            system._attach(loop)
            system._tie_to_loop()
            _defaults[loop] = system
        return system

    @classmethod
    def current_or_none(cls) -> ActorSystem | None:
        """Return the system of this place if there is one already; make none."""
        system = _current.get()
        if system is not None and system.running:
            return system
        try:
            system = _defaults.get(asyncio.get_running_loop())
        except RuntimeError:
            system = _background
        return system if system is not None and system.running else None

    @classmethod
    def _default_in_background(cls) -> ActorSystem:
        global _background
        with _background_lock:
            if _background is None or not _background.running:
                _background = cls.in_background("background")
            return _background

    @classmethod
    def in_background(cls, name: str | None = None, **options: Any) -> ActorSystem:
        """Return a running system whose loop runs in a daemon thread of its own.

        Use it as ``with ActorSystem.in_background() as system:``, or call `stop_blocking`.
        """
        system = cls(name, **options)
        started = threading.Event()

        def main() -> None:
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
            loop.call_soon(system._attach, loop)
            loop.call_soon(started.set)
            try:
                loop.run_forever()
            finally:
                loop.run_until_complete(loop.shutdown_asyncgens())
                loop.close()
                system.scheduler.close()
                # The next thread may be given this one's number.
                system.scheduler.thread = system.scheduler.home_thread = NO_THREAD

        system._thread = threading.Thread(target=main, name=f"{system.name}-loop", daemon=True)
        system._thread.start()
        started.wait()
        return system

    # -- starting and stopping -----------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether actors can be started."""
        scheduler = self._scheduler
        return (
            scheduler is not None
            and not self._stopping
            and not scheduler.closed
            and not scheduler.forked
            and not scheduler.loop.is_closed()
        )

    @property
    def scheduler(self) -> Scheduler:
        """The ready queue of this system."""
        if self._scheduler is None:
            raise NoSystem(f"{self.name!r} has not been started, and this")
        return self._scheduler

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of this system."""
        return self.scheduler.loop

    def _attach(self, loop: asyncio.AbstractEventLoop) -> None:
        context = copy_context()
        context.run(_current.set, self)
        self._scheduler = Scheduler(self, loop, self._ready_queue, context)
        _all.add(self)
        if self.watchdog_s is not None:
            from ..dispatch.watchdog import Watchdog

            Watchdog(self, self.watchdog_s)

    def _tie_to_loop(self) -> None:
        """Have this system stopped when its loop shuts down.

        `asyncio.run` and every other runner of loops close the asynchronous generators that were
        started on the loop. So a generator that waits for its end is a hook there, and the only one
        that asyncio has.
        """

        async def guard() -> AsyncGenerator[None, None]:
            try:
                yield
            finally:
                await self.stop(self.stop_timeout_s)

        self._guard = guard()
        try:
            self._guard.__anext__().send(None)
        except StopIteration:
            pass

    async def __aenter__(self) -> ActorSystem:
        if self._scheduler is not None:
            raise (
                SystemStopped(self.name)
                if self._stopping
                else NoSystem(f"{self.name!r} is running already, and a second `async with`")
            )
        self._attach(asyncio.get_running_loop())
        self._tokens.append(_current.set(self))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        try:
            _current.reset(self._tokens.pop())
        except ValueError:
            pass  # it was entered in another context: in a fixture, say, or by an exit stack
        await self.stop(self.stop_timeout_s)

    def __enter__(self) -> ActorSystem:
        if self._thread is None:
            raise NoSystem("`with` over a system of the running loop")
        return self

    def __exit__(self, *_exc: object) -> None:
        if not self.scheduler.forked:  # else it is the parent's, who goes on with it
            self.stop_blocking(self.stop_timeout_s)

    async def stop(self, timeout: float | None = None) -> StopReport:
        """End every actor, and return what had to be killed or abandoned. Always returns.

        Actors without a parent get the exit signal ``shutdown``, the youngest first; supervisors
        stop their children in their order. What has not ended after *timeout* seconds (as given to
        the system, if None) is killed. Stopping twice waits for the first and gives its report.
        On another loop than the system's own it does what `stop_blocking` does, in a thread.
        """
        scheduler = self._scheduler
        if scheduler is None:
            self._stopping = True
            return StopReport()
        if asyncio.get_running_loop() is not scheduler.loop:
            return await asyncio.to_thread(self._stop_from_outside, timeout)
        if self._stopped is None:
            self._stopping = True
            limit = self.stop_timeout_s if timeout is None else timeout
            # A task of its own: who gives up waiting, or is an actor and ends by this very stop,
            # must not leave it half done.
            self._stopped = scheduler.loop.create_task(
                self._stop(scheduler, limit), name=f"{self.name}: stop"
            )
        return await asyncio.shield(self._stopped)

    async def until_signal(self, timeout: float | None = None) -> StopReport:
        """Wait for SIGTERM or SIGINT, then stop in order; a second one ends everything at once.

        For services; in the main thread. Returns the report of the end. See `signals`.
        """
        from .os_signals import until_signal

        return await until_signal(self, timeout=timeout)

    async def _stop(self, scheduler: Scheduler, timeout_s: float) -> StopReport:
        from .shutdown import shut_down

        try:
            return await shut_down(self, timeout_s)
        finally:
            scheduler.close()
            for ref in self.actors():
                ref.kill()  # another thread started it in the last moment
            if _defaults.get(scheduler.loop) is self:
                # The key is weak, but the system holds its loop.
                del _defaults[scheduler.loop]

    def stop_blocking(self, timeout: float | None = None) -> StopReport:
        """Stop a system that runs in the background, from another thread, and join its thread.

        Stopping twice waits for the first and gives its report.
        """
        if self._thread is None or self._scheduler is None:
            raise NoSystem("stop_blocking() works on a system in the background, and this")
        if threading.current_thread() is self._thread:
            raise WouldBlock("system.stop_blocking()", "await system.stop()")
        return self._stop_from_outside(timeout)

    def _stop_from_outside(self, timeout: float | None) -> StopReport:
        """Stop the system, whose loop is another thread's, and end that thread if it is our own."""
        scheduler = self.scheduler
        if scheduler.forked:
            raise ForkedSystem(self.name)
        loop = scheduler.loop
        limit = self.stop_timeout_s if timeout is None else timeout
        with self._stop_lock:
            if self._outside_report is not None:
                return self._outside_report
            stopped = self._stopped
            if loop.is_closed() and stopped is not None and not stopped.cancelled():
                return stopped.result()
            if loop.is_closed():
                # Nobody stopped it in time, and now its actors cannot do anything any more.
                self._stopping = scheduler.closed = True
                scheduler.thread = scheduler.home_thread = NO_THREAD
                left = self.actors()
                for ref in left:
                    self._index.refs.pop(ref, None)
                self._outside_report = StopReport(abandoned=[ref.label for ref in left])
                return self._outside_report
            future: Future[StopReport] = Future()
            try:
                loop.call_soon_threadsafe(self._stop_for, future, limit)
                report = future.result(limit + self.cancel_grace_s)
                if self._thread is not None:
                    loop.call_soon_threadsafe(loop.stop)
                    self._thread.join(limit + self.cancel_grace_s)
            except (TimeoutError, RuntimeError):
                # The loop is blocked, does not run, or has just been closed.
                self._stopping = scheduler.closed = True
                return StopReport(abandoned=[f"{self.name}: the loop's thread is blocked"])
            self._outside_report = report
            return report

    def _stop_for(self, waiting: Future[StopReport], timeout_s: float) -> None:
        """Stop, and tell *waiting*, somebody in another thread; on the loop's thread."""

        async def stop() -> None:
            try:
                waiting.set_result(await self.stop(timeout_s))
            except BaseException as error:
                waiting.set_exception(error)
                raise

        self._outside_stop = self.loop.create_task(stop(), name=f"{self.name}: stop_blocking")

    def at_stop(self, fn: Callable[[], Any]) -> None:
        """Call *fn* (plain or async) after the actors have ended; the last given is called first."""
        self._at_stop.append(fn)

    # -- time and randomness -------------------------------------------------------------------

    def clock(self) -> float:
        """Return the system's time in seconds: that of its loop, and virtual in simulation."""
        return self.scheduler.loop.time()

    def call_later(
        self, delay_s: float, fn: Callable[..., object], *args: Any
    ) -> asyncio.TimerHandle:
        """Call ``fn(*args)`` in *delay_s* seconds of the system's time."""
        return self.scheduler.loop.call_later(delay_s, fn, *args)

    # -- actors --------------------------------------------------------------------------------

    def start(
        self, actor_class: type[A], *args: Any, _name: str | None = None, **kwargs: Any
    ) -> ActorRef[A]:
        """Start an actor without a parent and return its ref. Safe from any thread."""
        return self._spawn(actor_class, args, kwargs, name=_name)

    def _spawn(
        self,
        actor_class: type[A],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None = None,
        parent: Actor | None = None,
        *,
        ack: Request | None = None,
        mailbox_to: Any = None,
        incarnation: int = 1,
    ) -> ActorRef[A]:
        """Make and launch an actor: the one way in which every actor starts."""
        if parent is None and not self._takes_actors():
            raise SystemStopped(self.name)
        try:
            actor = actor_class(*args, **kwargs) if args or kwargs else actor_class()
        except TypeError:
            _check_class(actor_class)
            raise
        try:
            ref = actor._ref
        except AttributeError:
            _check_class(actor_class)
            raise TypeError(
                f"{actor_class.__name__}.__init__ does not call super().__init__(). Add it first."
            ) from None
        if name is not None:
            ref.name = name
        if incarnation != 1:
            ref.incarnation = incarnation
        if mailbox_to is not None:
            actor._own_ext().mailbox_to = mailbox_to
        if ack is not None:
            actor._own_ext().start_ack = ack
        self._adopt(actor, ref, parent)
        return ref

    def _takes_actors(self) -> bool:
        scheduler = self._scheduler
        return scheduler is not None and not self._stopping and not scheduler.closed

    def _adopt(self, actor: Actor, ref: ActorRef[Any], parent: Actor | None = None) -> None:
        """Take a constructed actor into this system, and let it start."""
        scheduler = self._scheduler
        if scheduler is None:
            raise SystemStopped(self.name)
        if actor.dispatcher != "event_loop":
            self._check_dispatcher(actor)
        ref._sched = scheduler
        if parent is not None:
            actor._parent = parent._ref
            actor._links = parent._ref
        self._index.refs[ref] = None
        self._live += 1
        if get_ident() == scheduler.thread:
            self._launch(actor, ref, scheduler, parent)
        elif scheduler.fenced():
            self._unregister(actor)
            self._live -= 1
            raise ActorDied(running_here() or self.name, "abandoned")
        elif not scheduler.post(self._launch, actor, ref, scheduler, parent):
            self._unregister(actor)
            self._live -= 1
            raise SystemStopped(self.name)

    def _launch(
        self, actor: Actor, ref: ActorRef[Any], scheduler: Scheduler, parent: Actor | None
    ) -> None:
        if parent is not None:
            # Here, because a parent in a thread must not touch its links itself.
            if parent._ref._phase & DEAD:
                links.receive_exit(ref, parent._ref, NOPROC, True)
            else:
                links._add(parent, ref)
        name = ref.name
        # A label needs not be unique; an address does.
        if name is not None and self.names.whereis(name) is None:
            self.names.register(name, ref)
        if scheduler.observer is not None:
            scheduler.observer.on_spawn(ref, actor._parent)
        if actor.dispatcher != "event_loop":
            self._choose_pool(actor)
        if actor._has_on_start:
            ref._phase |= STARTING
            scheduler.enqueue(ref)
            return
        ext = actor._ext
        if ext is not None and ext.start_ack is not None:
            lifecycle.started(scheduler, actor)
        if ref._mailbox:
            # It wrote to itself in its constructor, or another thread did meanwhile.
            scheduler.enqueue(ref)

    async def _start_link(
        self,
        parent: Actor,
        actor_class: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None,
        timeout: float | None,
        *,
        mailbox_to: Any = None,
        incarnation: int = 1,
    ) -> Any:
        """Start an actor linked to *parent*, and wait until it has started. See `start_link`."""
        ack = new_request(None, parent._ref, parent._sched, Promise)
        try:
            ref = self._spawn(
                actor_class,
                args,
                kwargs,
                name=name,
                parent=parent,
                ack=ack,
                mailbox_to=mailbox_to,
                incarnation=incarnation,
            )
        except Exception as error:
            raise StartFailed(getattr(actor_class, "__name__", str(actor_class)), error) from error
        if timeout is not None:
            self.scheduler.post_or_call(ack.start_timer, timeout)
        try:
            return await ack
        except (RequestTimeout, asyncio.CancelledError) as error:
            self.scheduler.post_or_call(links.unlink, parent, ref)
            ref.kill()
            if isinstance(error, RequestTimeout):
                raise StartFailed(ref.label, "timeout") from error
            raise

    def end_actor(self, ref: ActorRef[Any], reason: Any = SHUTDOWN) -> None:
        """Tell the actor to end with *reason*, as its parent would. Safe from any thread.

        One that traps exits ends too, after the handler that runs; any other is cancelled.
        """
        self.scheduler.post_or_call(lifecycle.end, ref, reason)

    def actors(self) -> list[ActorRef[Any]]:
        """Return the refs of the live actors, in the order of their start."""
        scheduler = self._scheduler
        refs: list[Any] = list(self._index.refs)
        # pykka's own refs have no scheduler.
        return [ref for ref in refs if getattr(ref, "_sched", None) is scheduler]

    @property
    def actor_count(self) -> int:
        """How many actors live."""
        return self._live

    def info(self, ref: ActorRef[Any]) -> ActorInfo:
        """Return what *ref*'s actor is doing: state, current message, queue, links, counters."""
        from .inspection import inspect_actor

        return inspect_actor(ref)

    def suspend(self, ref: ActorRef[Any]) -> None:
        """Let the actor handle no message until `resume`; exit signals still act. For tests."""
        if ref._actor is not None:
            ref._actor._phase |= SUSPENDED

    def resume(self, ref: ActorRef[Any]) -> None:
        """Let a suspended actor handle messages again."""
        actor = ref._actor
        if actor is not None:
            actor._phase &= ~SUSPENDED
            if actor._state == HELD or (actor._state == IDLE and actor._mailbox):
                self.scheduler.enqueue(actor._ref)

    # -- names, groups, events -----------------------------------------------------------------

    def register(self, name: str, ref: ActorRef[Any]) -> None:
        """Give *name* to *ref*.

        Raises `NameTaken` if another live actor has it, `ActorDied` if *ref* is dead, `BadName`.
        """
        given: Any = name
        if not isinstance(given, str) or not given.strip():
            raise BadName(given)
        check_ref("system.register", ref)
        if ref._actor is None:
            raise ActorDied(ref, "noproc")
        self.names.register(name, ref)

    def unregister(self, name: str) -> None:
        """Free *name*."""
        self.names.unregister(name)

    def whereis(self, name: str) -> ActorRef[Any] | None:
        """Return the live actor of that name, or None."""
        return self.names.whereis(name)

    def publish(self, event: Any) -> None:
        """Hand *event* to those who subscribed to its type."""
        if self.events.active:
            self.events.publish(event)

    def subscribe(
        self, fn: Callable[[Any], object], event_type: type = object
    ) -> Callable[[], None]:
        """Call *fn* with every event of *event_type*; returns a function that ends it."""
        return self.events.subscribe(fn, event_type)

    def dead_letter(self, message: Any, recipient: str, reason: Any) -> None:
        """Record that *message* to *recipient* was not handled, and why. Safe from any thread."""
        if get_ident() == self.scheduler.home_thread:
            self.dead_letters.add(message, recipient, reason)
        else:
            self.scheduler.post(self.dead_letters.add, message, recipient, reason)

    def on_actor_end(self, fn: Callable[[Any, Any], object]) -> Callable[[], None]:
        """Call ``fn(ref, reason)`` at the moment an actor ends; returns a function that stops it."""
        check_subscriber(fn)
        self._end_hooks.append(fn)

        def remove() -> None:
            if fn in self._end_hooks:
                self._end_hooks.remove(fn)

        return remove

    async def wait_ended(self, ref: ActorRef[Any], timeout: float | None = None) -> bool:
        """Wait until the actor has ended; return False if it still lives after *timeout* seconds."""
        if ref._actor is None:
            return True
        # Not by `asyncio.wait_for`: its steps differ from one Python to the next, and with them what
        # a seed of a simulated run means.
        loop = self.loop
        future: asyncio.Future[bool] = loop.create_future()
        waiting = self._end_waiters.setdefault(ref, [])
        waiting.append(future)
        timer = None
        if timeout is not None:
            timer = loop.call_later(timeout, _set_unless_done, future, False)
        try:
            return await future
        finally:
            if timer is not None:
                timer.cancel()
            if future in waiting:
                waiting.remove(future)
            if not waiting and self._end_waiters.get(ref) is waiting:
                del self._end_waiters[ref]

    # -- the kernel's side ---------------------------------------------------------------------

    def _unregister(self, actor: Actor) -> None:
        self._index.refs.pop(actor._ref, None)
        logger = lifecycle.logger
        if logger.isEnabledFor(10):
            logger.debug(f"Unregistered {actor._ref}")
            logger.debug(f"Stopped {actor}")

    def _ended(self, ref: ActorRef[Any]) -> None:
        self._live -= 1
        if self._ending:
            self._ending.pop(ref, None)
        if self._end_waiters:
            for future in self._end_waiters.pop(ref, ()):
                _set_unless_done(future, True)

    def _grace(self, actor: Actor) -> None:
        ext = actor._own_ext()
        ext.grace = self.call_later(self.cancel_grace_s, lifecycle.abandon_after_grace, actor)

    def _abandoned(self, ref: ActorRef[Any]) -> None:
        self.abandoned += 1
        self.log.bind(actor=ref.label).warning(
            "A handler of {} did not end when told to; it is fenced off and left behind.",
            ref.label,
        )

    def _check_dispatcher(self, actor: Actor) -> None:
        """Raise what would keep the handlers of *actor* from running, before it is anywhere."""
        kind = actor.dispatcher
        if kind not in DISPATCHERS:
            raise UnknownDispatcher(actor._ref.label, kind)
        if kind == "process" and not hasattr(self.loop, "inline_pool"):
            from ..dispatch.processes import check_portable

            check_portable(f"The class {type(actor).__qualname__}", type(actor))

    def _choose_pool(self, actor: Actor) -> None:
        actor._phase |= OFFLOADED
        ext = actor._own_ext()
        kind = actor.dispatcher
        simulated = hasattr(self.loop, "inline_pool") and kind in ("pinned", "process")
        if kind == "thread" or simulated:
            ext.pool = self._thread_pool()
        elif kind == "pinned":
            ext.pool = ThreadPool(actor._ref.label, 1)
            self._pools.append(ext.pool)
        else:
            from ..dispatch.processes import process_pool

            ext.pool = process_pool(self)

    def _leave_pool(self, pool: JobRunner) -> None:
        """End the thread of a pinned actor that has ended; a stuck one is reported at the stop."""
        if pool is self._pool or pool is self._process_pool or not isinstance(pool, ThreadPool):
            return
        if pool.close():
            self._pools.remove(pool)

    def _thread_pool(self) -> JobRunner:
        if self._pool is None:
            make: Callable[[], JobRunner] | None = getattr(self.loop, "inline_pool", None)
            pool = make() if make is not None else ThreadPool(self.name, self.threads)
            self._pool = pool
            self._pools.append(pool)
        return self._pool

    def _run_job(self, job: Job) -> None:
        ext = job.actor._own_ext()
        ext.job = job
        try:
            ext.pool.submit(job)
        except RuntimeError as error:  # the operating system gives no more threads
            ext.job = None
            lifecycle.job_refused(job, error)


def _set_unless_done(future: asyncio.Future[bool], value: bool) -> None:
    if not future.done():
        future.set_result(value)


def _check_class(given: Any) -> None:
    """Raise `NotAnActorClass` unless *given* is a class of actors of ours."""
    from ..actor import Actor

    if not isinstance(given, type) or not issubclass(given, Actor):
        raise NotAnActorClass(given) from None


def _after_fork_in_child() -> None:
    global _background_lock
    _background_lock = threading.Lock()  # another thread of the parent may have held it
    for system in list(_all):
        scheduler = system._scheduler
        if scheduler is not None:
            scheduler.forked = True
            scheduler.thread = NO_THREAD


def _stop_background() -> None:
    system = _background
    if system is not None and system.running and not sys.is_finalizing():
        system.stop_blocking(2.0)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_stop_background)


__all__ = ["ActorSystem", "StopReport"]
