"""The actor system: where actors live, what time it is for them, and how all of it ends."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import contextmanager
from contextvars import Context, Token
from functools import partial
from itertools import count
from threading import get_ident
from types import TracebackType
from typing import Any, TypeVar

from ..dead_letters import DeadLetters
from ..dispatch.circle_watch import CircleWatch
from ..dispatch.pools import Pools, check_pools
from ..dispatch.watchdog import Watchdog, check_threshold
from ..errors import (
    ActorDied,
    NoSystem,
    SystemStopped,
    WouldBlock,
    check_name,
    check_ref,
)
from ..events import EventStream, check_subscriber
from ..kernel import lifecycle
from ..kernel.base import ActorBase
from ..kernel.carried import handled_in
from ..kernel.cell import Cell, exit_reason_of
from ..kernel.current import current_host
from ..kernel.home import Home, ReadyQueue
from ..kernel.host import Host
from ..kernel.scheduler import Scheduler
from ..kernel.starting import adopt, spawn, spawn_unique
from ..log import Log
from ..messages import ActorEnded
from ..reasons import SHUTDOWN
from ..ref import ActorRef
from ..registry import Groups, Listings, Names
from . import current as default_systems
from .crashes import CrashLog, CrashNotes
from .crowding import check_mailboxes
from .drain_signals import DRAIN_S, Drainable
from .giving_up import GaveUp, explained
from .health import CHECK_TIMEOUT_S, HealthBoard, SystemHealth
from .inspection import ActorInfo, inspect_actor
from .joining import Joinable, checked_cluster
from .os_signals import until_signal
from .shutdown import shut_down
from .stopping import Stopper, StopReport

A = TypeVar("A", bound=ActorBase)

_numbers = count(1)


class ActorSystem:
    """The home of actors on one event loop.

    ``async with ActorSystem() as system:`` starts it on the running loop and stops it at the end.
    `ActorSystem.in_background()` gives it a loop in a thread of its own, for programs without one.
    `ActorSystem.current()` is what `Actor.start` uses.

    Parameters: *name* is what logs, health and metrics call it; *seed* makes `random` repeatable; *ready_queue* replaces the order in which ready
    actors take their turns (simulation); *threads* bounds the pool for blocking handlers, and
    *max_threads* counts those too that only wait for answers of the system, or are stuck (256 or more, if None);
    *cancel_grace_s* is how long a cancelled handler may clean up before it is abandoned;
    *stop_timeout_s* is how long ``async with`` gives everything to end; *processes* bounds the child
    processes for actors with that dispatcher (one for each processor, if None); *watchdog_s* has a
    `Watchdog` name whatever blocks the loop for so long; *deadlock_s* is how long handlers may wait for
    one another in a circle, or for a thread of the pool, before that is reported, and the circle ended
    (None: never); *cluster* makes the system the head of a cluster of machines (`RayCluster`);
    *context* is what every actor's own context begins as a copy of (nothing but the
    system is in it, if None); *log_payloads* has log records show what was being handled.

    All state belongs to the thread of the loop. Safe from any thread: `start`, and everything on
    refs.
    """

    cluster: Any = None
    """What the system is in its cluster, a `ClusterNode`; None without one."""

    def __init__(
        self,
        name: str | None = None,
        *,
        seed: int | None = None,
        ready_queue: ReadyQueue | None = None,
        threads: int = 32,
        max_threads: int | None = None,
        processes: int | None = None,
        cancel_grace_s: float = 5.0,
        stop_timeout_s: float = 10.0,
        watchdog_s: float | None = None,
        context: Context | None = None,
        deadlock_s: float | None = 2.0,
        log_payloads: bool = False,
        cluster: Joinable | None = None,
    ) -> None:
        max_threads = check_pools(threads, max_threads, processes)
        if deadlock_s is not None:
            check_threshold(deadlock_s, "deadlock_s")
        if watchdog_s is not None:
            check_threshold(watchdog_s)
        self.name = name or f"system-{next(_numbers)}"
        self.random = random.Random(seed)
        self.cancel_grace_s = cancel_grace_s
        self.stop_timeout_s = stop_timeout_s
        self.threads = threads
        self.max_threads = max_threads
        self.processes = processes
        self.watchdog_s = watchdog_s
        self.deadlock_s = deadlock_s
        self.log = Log(system=self.name).of_system(self, log_payloads)
        self._crashes = CrashLog(self.log)
        self.names = Names()
        self.groups = Groups()
        self.listings = Listings()
        self.dead_letters = DeadLetters(self.log)
        self.events = EventStream(self.log)
        self.abandoned = 0
        """How many handlers were left behind because they did not end."""
        self.gave_up: GaveUp | None = None
        """Who gave up first, so that the program should end; None while all is well."""
        self._ready_queue = ready_queue
        self._context = Context() if context is None else context
        self._scheduler: Scheduler | None = None
        self._stopper = Stopper(self.name, cancel_grace_s, self._shut_down)
        self._end_hooks: list[Callable[[Any, Any], object]] = []
        self.last_steps: list[Callable[[], Any]] = []
        """What `at_stop` was given."""
        self.keeping: dict[Any, None] = {}
        """Addresses at which messages wait for the next incarnation. Written by them."""
        self.pools = Pools(self.name, threads, processes, max_threads, deadlock_s)
        self._tokens: list[Token[Host | None]] = []
        self._guard: AsyncGenerator[None, None] | None = None
        self._thread: threading.Thread | None = None
        self.data: dict[Any, Any] = {}
        """Per-system state of the layers above, by a key of theirs."""
        self._health = HealthBoard(self)
        self._health.add("mailboxes", partial(check_mailboxes, self))
        self._joins = checked_cluster(cluster)

    def __repr__(self) -> str:
        stopping = self._stopper.begun
        state = "new" if self._scheduler is None else "stopped" if stopping else "running"
        return f"<ActorSystem {self.name} ({state}, {self.actor_count} actors)>"

    # -- which system is this ------------------------------------------------------------------

    @classmethod
    def current(cls) -> ActorSystem:
        """Return the system of this place.

        That is the system of the running handler or of the enclosing ``async with``; else the one
        system that was started on the running loop, be it by another task (several: `SeveralSystems`);
        else the default system of that loop, which is made now and stops when the loop shuts down.
        Where no loop runs it is the only system that runs in another thread, else one in a background
        thread, which stops with the interpreter. A system that is stopping is none of these.
        """
        # The variable holds what this class has put into it.
        system: Any = current_host.get()
        if system is None or not system.running:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                system = default_systems.of_thread(cls._in_the_background)
            else:
                system = default_systems.of_loop(loop, lambda: cls._default_on(loop))
        here: ActorSystem = system
        return here

    @classmethod
    def current_or_none(cls) -> ActorSystem | None:
        """Return the system of this place if there is one already; make none, and raise nothing."""
        system: ActorSystem | None = default_systems.find()
        return system

    @contextmanager
    def use(self) -> Generator[ActorSystem, None, None]:
        """Make this running system the current one within a ``with`` block.

        For code that has not inherited it, where several systems run. Nothing is started or stopped.
        """
        token = current_host.set(self)
        try:
            yield self
        finally:
            current_host.reset(token)

    @classmethod
    def _default_on(cls, loop: asyncio.AbstractEventLoop) -> ActorSystem:
        system = cls("default")
        system._attach(loop, chosen=False)
        system._tie_to_loop()
        return system

    @classmethod
    def in_background(cls, name: str | None = None, **options: Any) -> ActorSystem:
        """Return a running system whose loop runs in a daemon thread of its own.

        Use it as ``with ActorSystem.in_background() as system:``, or call `stop_blocking`.
        """
        return cls(name, **options)._run_in_background(chosen=True)

    @classmethod
    def _in_the_background(cls) -> ActorSystem:
        return cls("background")._run_in_background(chosen=False)

    def _run_in_background(self, *, chosen: bool) -> ActorSystem:
        system = self
        started = threading.Event()

        def main() -> None:
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
            loop.call_soon(lambda: system._attach(loop, chosen=chosen))
            loop.call_soon(started.set)
            try:
                loop.run_forever()
            finally:
                loop.run_until_complete(loop.shutdown_asyncgens())
                loop.close()
                system.scheduler.close()
                # The next thread may be given this one's number.
                system.scheduler.cut_off()

        system._thread = threading.Thread(target=main, name=f"{system.name}-loop", daemon=True)
        system._thread.start()
        started.wait()
        if self._joins is not None:
            asyncio.run_coroutine_threadsafe(self._join(), self.loop).result()
        return system

    # -- starting and stopping -----------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether actors can be started."""
        scheduler = self._scheduler
        return (
            scheduler is not None
            and not self._stopper.begun
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
    def home(self) -> Home | None:
        """The ready queue of this system, None before it has started."""
        return self._scheduler

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of this system."""
        return self.scheduler.loop

    def _attach(self, loop: asyncio.AbstractEventLoop, *, chosen: bool = True) -> None:
        context = handled_in(self._context, self)
        self._scheduler = Scheduler(self, loop, self._ready_queue, context)
        default_systems.enter(self, chosen=chosen)
        if self.deadlock_s is not None:
            CircleWatch(self, self.deadlock_s)
        if self.watchdog_s is not None:
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
                if self._stopper.begun
                else NoSystem(f"{self.name!r} is running already, and a second `async with`")
            )
        self._attach(asyncio.get_running_loop())
        self._tokens.append(current_host.set(self))
        await self._join()
        return self

    async def _join(self) -> None:
        """Become a node of the cluster that was given, if one was."""
        if self._joins is None:
            return
        self.at_stop(self._joins.leave)
        try:
            self.cluster = await self._joins.join(self)
        except BaseException:
            if self._tokens:
                current_host.reset(self._tokens.pop())
            await self.stop(self.stop_timeout_s)
            raise

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        try:
            current_host.reset(self._tokens.pop())
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
            self._stopper.begun = True
            return StopReport()
        limit_s = self.stop_timeout_s if timeout is None else timeout
        if asyncio.get_running_loop() is not scheduler.loop:
            return await asyncio.to_thread(
                self._stopper.stop_from_outside, scheduler, limit_s, self._thread
            )
        return await self._stopper.stop(scheduler, limit_s)

    async def until_signal(
        self,
        timeout: float | None = None,
        *,
        drain: Drainable | Iterable[Drainable] | None = None,
        drain_s: float = DRAIN_S,
    ) -> StopReport:
        """Wait for SIGTERM or SIGINT, then stop in order; a second one ends everything at once.

        *drain*, an engine or several, is drained first, for at most *drain_s* seconds: it takes no new
        work, and what is not finished by then goes on in another process.

        Returns too when a supervisor without a parent has given up. For services; in the main
        thread. The report says why it ended: ``sys.exit(report.exit_code)``.
        """
        return await until_signal(self, timeout=timeout, drain=drain, drain_s=drain_s)

    async def _shut_down(self, limit_s: float) -> StopReport:
        scheduler = self.scheduler
        try:
            return explained(await shut_down(self, limit_s), self.gave_up)
        finally:
            scheduler.close()
            for ref in self.actors():
                ref.kill()  # another thread started it in the last moment
            default_systems.forget(self, scheduler.loop)

    def stop_blocking(self, timeout: float | None = None) -> StopReport:
        """Stop a system that runs in the background, from another thread, and join its thread.

        Stopping twice waits for the first and gives its report.
        """
        if self._thread is None or self._scheduler is None:
            raise NoSystem("stop_blocking() works on a system in the background, and this")
        if threading.current_thread() is self._thread:
            raise WouldBlock("system.stop_blocking()", "await system.stop()")
        limit_s = self.stop_timeout_s if timeout is None else timeout
        return self._stopper.stop_from_outside(self._scheduler, limit_s, self._thread)

    def at_stop(self, fn: Callable[[], Any]) -> None:
        """Call *fn* (plain or async) after the actors have ended; the last given is called first."""
        self.last_steps.append(fn)

    def give_up(self, who: str, reason: Any) -> None:
        """Note that *who*, on which the program depends, has ended for good, and why.

        `until_signal` and `run_until_signal` return then, and `gave_up` says so; the first counts.
        Supervisors without a parent call this. On the loop's thread.
        """
        if not self.running:
            return  # the system ends already, and all actors with it
        gave_up = GaveUp(who, reason)
        if self.gave_up is None:
            self.gave_up = gave_up
        self.publish(gave_up)

    # -- health --------------------------------------------------------------------------------

    async def health(self, *, only_live: bool = False) -> SystemHealth:
        """Return how the system is: each check with its state, why, and since when. On any loop.

        Always returns within the time limits of its checks: what does not answer has failed. *only_live*
        asks those alone whose failure a restart of the process would mend.
        """
        return await self._health.look(only_live=only_live)

    def health_blocking(self, *, only_live: bool = False) -> SystemHealth:
        """Return what `health` does, in a thread without a loop. Raises `WrongUse` on the system's own."""
        return self._health.look_blocking(only_live=only_live)

    def add_health_check(
        self,
        name: str,
        fn: Callable[[], Any],
        *,
        live: bool = False,
        timeout_s: float = CHECK_TIMEOUT_S,
    ) -> Callable[[], None]:
        """Have *fn* called at every look at the system's health; returns a function that ends that.

        An async one runs on the system's loop, a plain one in a thread. It has failed when it raises,
        returns False or `Unhealthy(reason)`, or does not answer within *timeout_s* seconds; it is degraded when
        it returns `Degraded(reason)`. With *live* its failure says that a restart would help. One of the
        same name is replaced. Raises `WrongUse`.
        """
        return self._health.add(name, fn, live=live, timeout_s=timeout_s)

    # -- time and randomness -------------------------------------------------------------------

    def clock(self) -> float:
        """Return the system's time in seconds: that of its loop, and virtual in simulation."""
        return self.scheduler.loop.time()

    def call_later(
        self, delay_s: float, fn: Callable[..., object], *args: Any
    ) -> asyncio.TimerHandle:
        """Call ``fn(*args)`` in *delay_s* seconds of the system's time."""
        return self.scheduler.loop.call_later(delay_s, fn, *args)

    def call_aside(
        self, delay_s: float, fn: Callable[..., object], *args: Any
    ) -> asyncio.TimerHandle:
        """Call ``fn(*args)`` as `call_later` does; a simulated run is over without it.

        For what looks at the system and changes nothing in it.
        """
        return self.scheduler.call_aside(delay_s, fn, *args)

    # -- actors --------------------------------------------------------------------------------

    def start(
        self,
        actor_class: type[A],
        *args: Any,
        _name: str | None = None,
        _unique: bool = False,
        **kwargs: Any,
    ) -> ActorRef[A]:
        """Start an actor without a parent and return its ref. Safe from any thread.

        A *_name* that a live actor has stays with that one; with *_unique* the start fails instead:
        `NameTaken`.
        """
        home = self.open_home()
        start = spawn_unique if _unique else spawn
        ref: ActorRef[A] = start(home, actor_class, args, kwargs, _name)
        return ref

    def open_home(self) -> Home:
        """Return where an actor without a parent is started. Raises `SystemStopped`."""
        scheduler = self._scheduler
        if scheduler is None or self._stopper.begun or scheduler.closed:
            raise SystemStopped(self.name)
        return scheduler

    def adopt(self, ref: Cell) -> None:
        """Take an actor that was constructed and not started into this system, and let it start."""
        adopt(self.open_home(), ref)

    def end_actor(self, ref: ActorRef[Any], reason: Any = SHUTDOWN) -> None:
        """Tell the actor to end with *reason*, as its parent would. Safe from any thread.

        One that traps exits ends too, after the handler that runs; any other is cancelled.
        """
        self.scheduler.post_or_call(lifecycle.end_as_parent, ref, reason)

    def actors(self) -> list[ActorRef[Any]]:
        """Return the refs of the live actors, in the order of their start."""
        scheduler = self._scheduler
        return [] if scheduler is None else list(scheduler.live)

    @property
    def actor_count(self) -> int:
        """How many actors live, or still run their last hook."""
        scheduler = self._scheduler
        return 0 if scheduler is None else len(scheduler.live) + len(scheduler.ending)

    def info(self, ref: ActorRef[Any]) -> ActorInfo:
        """Return what *ref*'s actor is doing: state, current message, queue, links, counters."""
        return inspect_actor(ref)

    def suspend(self, ref: ActorRef[Any]) -> None:
        """Let the actor handle no message until `resume`; exit signals still act. For tests."""
        lifecycle.suspend(ref)

    def resume(self, ref: ActorRef[Any]) -> None:
        """Let a suspended actor handle messages again."""
        lifecycle.unsuspend(ref)

    # -- names, groups, events -----------------------------------------------------------------

    def register(self, name: str, ref: ActorRef[Any]) -> None:
        """Give *name* to *ref*.

        Raises `NameTaken` if another live actor has it, `ActorDied` if *ref* is dead, `WrongUse`.
        """
        check_name(name)
        check_ref("system.register", ref)
        if ref.ended:
            raise ActorDied(ref, "noproc")
        self.names.register(name, ref)

    def unregister(self, name: str) -> None:
        """Free *name*."""
        self.names.unregister(name)

    def whereis(self, name: str) -> ActorRef[Any] | None:
        """Return the live actor of that name, or None."""
        return self.names.whereis(name)

    def publish(self, event: Any) -> None:
        """Hand *event* to the subscribers to its type."""
        if self.events.active:
            self.events.publish(event)

    def subscribe(
        self, fn: Callable[[Any], object], event_type: type = object
    ) -> Callable[[], None]:
        """Call *fn* with every event of *event_type*; returns a function that ends it."""
        return self.events.subscribe(fn, event_type)

    def dead_letter(
        self, message: Any, recipient: str, reason: Any, *, quietly: bool = False
    ) -> None:
        """Record that *message* to *recipient* was not handled, and why. Safe from any thread.

        *quietly* keeps it out of the log, where another record tells of it.
        """
        quietly = quietly or not self.running
        if get_ident() == self.scheduler.home_thread:
            self.dead_letters.add(message, recipient, reason, quietly)
        else:
            self.scheduler.post(self.dead_letters.add, message, recipient, reason, quietly)

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
        loop = self.loop
        if asyncio.get_running_loop() is loop:
            return await lifecycle.wait_ended(ref, timeout)
        waiting = lifecycle.wait_ended(ref, timeout)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(waiting, loop))

    # -- what the kernel wants of its host -----------------------------------------------------

    def check_dispatcher(self, cell: Any, actor: Any, /) -> None:
        """Raise an error if the handlers of *cell* could not run."""
        self.pools.check(cell.label, actor, self.loop)

    def choose_pool(self, cell: Any, dispatcher: str, /) -> Any:
        """Return the pool for the handlers of *cell*."""
        return self.pools.choose(cell.label, dispatcher, self.loop)

    def leave_pool(self, pool: Any, /) -> None:
        """An actor that used *pool* has ended."""
        self.pools.leave(pool)

    def launched(self, cell: Any, /) -> None:
        """Register the name of *cell*, if it is free: a label needs not be unique, an address does."""
        if self.names.whereis(cell.name) is None:
            self.names.register(cell.name, cell)

    def released(self, cell: Any, /) -> None:
        """Free the names of *cell*, and take it out of its groups and lists."""
        self.names.release(cell)
        self.groups.release(cell)
        self.listings.release(cell, exit_reason_of(cell))

    def ended(self, cell: Any, reason: Any, /) -> None:
        """Tell the hooks and the subscribers that *cell* has ended."""
        for hook in list(self._end_hooks):
            try:
                hook(cell, reason)
            except Exception as caught:
                self.log.error("A hook failed on the end of {}", cell.label, error=caught)
        if self.events.active:
            self.events.publish(ActorEnded(cell, reason))

    def crashed(self, cell: Any, error: BaseException, message: Any, /, *, asked: bool) -> bool:
        """Write a record of the crash of *cell*, unless what is above it does."""
        return self._crashes.crashed(cell, error, message, asked=asked)

    def incarnation_crashed(self, cell: Any, error: Any, /, *, started: bool, asked: bool) -> None:
        """Write a record of the end of one of several incarnations that no supervisor is above."""
        self._crashes.incarnation_crashed(cell, error, started=started, asked=asked)

    def start_failed(self, cell: Any, error: BaseException, /) -> None:
        """Write a record of an actor that has not started."""
        self._crashes.start_failed(cell, error)

    def crash_notes(self, ref: ActorRef[Any]) -> CrashNotes:
        """Return, once, what is known of the crash of *ref* beside its reason, for a record of it."""
        return self._crashes.notes_of(ref)

    def left_behind(self, cell: Any, /) -> None:
        """Count and report a handler that did not end when told to."""
        self.abandoned += 1
        label = cell.label
        self.log.report(
            "abandoned_handler",
            str(cell.name or cell.actor_class.__name__),
            "WARNING",
            f"A handler of {label} did not end when told to; it is fenced off and left behind: what it "
            f"still sends is dropped ({self.abandoned} in {self.name} so far).",
            reason="did not end when told to",
            actor=label,
            incarnation=cell.incarnation,
            abandoned=self.abandoned,
            next="it is fenced off and left behind",
        )


__all__ = ["ActorSystem", "StopReport"]
