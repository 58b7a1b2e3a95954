"""How an actor starts, is told to end, ends, and what its end sets in motion.

Everything here runs on the loop's thread of the actor's system, and off the path of an ordinary
message. The order of an end is fixed:

1. the handler that runs is cancelled (it may finish its ``finally`` blocks within
   ``ActorSystem.cancel_grace_s``; a kill does not wait; whoever does not obey is abandoned);
2. from here on the actor is not alive: sends fail, its names are free;
3. `on_stop` (or `on_failure` after an exception) runs, once;
4. what it left in its mailbox fails, becomes dead letters, or goes back to its address;
5. hooks see the end, then exit signals go out along its links and downs to its monitors.

Source: Erlang's reference manual, "Processes" (links, monitors, exit signals), and pykka's
`Actor` for the hooks.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from pathlib import Path
from types import CoroutineType
from typing import TYPE_CHECKING, Any

import pykka
from pykka.messages import _ActorStop

from ..dispatch.workers import JOB_MESSAGES, Job
from ..errors import ActorDied, ActorExit, HandlerCancelled, Ignore, MailboxFull, StartFailed
from ..messages import ActorEnded
from ..reasons import NORMAL, is_normal
from . import links
from .mailbox import CLOSED
from .phase import (
    DEAD,
    DOOMED,
    ENDED,
    HELD,
    IDLE,
    OFFLOADED,
    PARKED,
    QUEUED,
    RUNNING,
    STARTING,
    STOPPING,
    SUSPENDED,
    UNWINDING,
    ZOMBIE,
)
from .task import ActorTask, swap_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from ..actor import Actor
    from ..ref import ActorRef
    from .scheduler import Scheduler

# pykka's own logger: raw actors log what pykka documents, where its users look for it.
logger = logging.getLogger("pykka")

KERNEL_FILES = frozenset(
    str(Path(__file__).with_name(name)) for name in ("scheduler.py", "lifecycle.py", "workers.py")
)
"""What stands in a traceback before the handler."""


# -- turns off the fast path ---------------------------------------------------------------------


def special_turn(scheduler: Scheduler, actor: Any) -> None:
    """Give *actor*, which is not in plain service, its turn."""
    ref = actor._ref
    phase = ref._phase
    if phase & DOOMED:
        obey_doom(scheduler, actor)
    elif ref._coro is not None:
        step(scheduler, actor)
    elif phase & UNWINDING:
        begin_stop(scheduler, actor, actor._doom[0])
    elif phase & SUSPENDED:
        ref._state = HELD
    elif phase & STARTING:
        run_hook(scheduler, actor, actor.on_start)
    elif phase & OFFLOADED:
        offload(scheduler, actor)
    elif phase & DEAD:
        ref._state = ENDED


def offload(scheduler: Scheduler, actor: Actor) -> None:
    """Hand messages of *actor* to its workers."""
    mailbox = actor._mailbox
    if not mailbox:
        actor._state = IDLE
        return
    actor._state = RUNNING
    first = mailbox[0]
    if isinstance(getattr(first, "message", first), _ActorStop):
        settle_offloaded(scheduler, actor)
        return
    taken: deque[Any] = deque()
    while mailbox and len(taken) < JOB_MESSAGES:
        taken.append(mailbox.popleft())
    scheduler.system._run_job(Job(actor, scheduler, taken))


def run_hook(scheduler: Scheduler, actor: Actor, hook: Callable[..., Any], *args: Any) -> None:
    """Run `on_start`, `on_stop` or `on_failure` where the actor's dispatcher says."""
    ref = actor._ref
    ref._state = RUNNING
    ref._since = scheduler.loop.time()
    if ref._phase & OFFLOADED:
        scheduler.system._run_job(Job(actor, scheduler, deque(), (hook, args)))
        return
    before, scheduler.current = scheduler.current, actor
    context = ref._context
    if context is None:
        context = ref._context = scheduler.context.copy()
    try:
        result = context.run(hook, *args)
    except BaseException as error:
        scheduler.current = before
        job_done(scheduler, actor, None, error)
        return
    scheduler.current = before
    if result.__class__ is CoroutineType:
        ref._coro = result
        ref._task = ActorTask()
        ref._task._cell = actor._ref
        step(scheduler, actor)
    else:
        job_done(scheduler, actor, result, None)


def step(scheduler: Scheduler, actor: Any) -> None:
    """Resume the coroutine of *actor* once, and park it again or finish what it was doing."""
    ref = actor._ref
    from .scheduler import DONE, park

    ref._state = RUNNING
    coro = ref._driver or ref._coro
    task = ref._task
    before, scheduler.current = scheduler.current, actor
    task_before = swap_task(scheduler.loop, task)
    thread = scheduler.thread
    if ref._phase & ZOMBIE:
        # Sends from here take the slow path, which drops and counts what a fenced handler sends.
        scheduler.thread = -1
    error: BaseException | None = None
    value = yielded = None
    parked = False
    try:
        if task._must_cancel:
            yielded = ref._context.run(coro.throw, task._cancelled_error())
        else:
            yielded = ref._context.run(coro.send, None)
        parked = True
    except StopIteration as stop:
        value = stop.value
    except BaseException as caught:
        error = caught
    finally:
        scheduler.thread = thread
        swap_task(scheduler.loop, task_before)
        scheduler.current = before
    if parked:
        if yielded is not DONE:
            park(scheduler, ref, task, yielded)
            return
        value, scheduler.result = scheduler.result, None
        scheduler.drivers.append(coro)
    ref._coro = ref._driver = None
    task._finish()
    job_done(scheduler, actor, value, error)
    if isinstance(error, KeyboardInterrupt | SystemExit):
        raise error


def job_done(scheduler: Scheduler, actor: Any, value: Any, error: BaseException | None) -> None:
    """Go on after a hook, or a handler off the fast path, has ended."""
    ref = actor._ref
    phase = ref._phase
    if phase & ZOMBIE:
        actor._ended()
    elif phase & STOPPING:
        if error is not None:
            log_failure(actor, error)
            if is_normal(actor._exit_reason):
                # An exception in `terminate` replaces the reason (OTP, gen_server).
                actor._exit_reason = error
        finish(scheduler, actor)
    elif phase & UNWINDING:
        reason = actor._doom[0]
        request = ref._current
        if request is not None and error is None and not phase & STARTING:
            ref._current = None
            request.reply(value)
        if isinstance(error, asyncio.CancelledError):
            cut_off(actor, reason)
        elif error is not None and not isinstance(error, ActorExit):
            log_failure(actor, error)
            cut_off(actor, error)
        begin_stop(scheduler, actor, reason)
    elif phase & STARTING:
        if error is None:
            started(scheduler, actor)
        else:
            start_failed(scheduler, actor, error)
    elif error is not None:
        ref._state = RUNNING
        handler_failed(scheduler, actor, ref._current, ref._message, error)
        settle(scheduler, actor)
    else:
        request = ref._current
        if request is not None:
            ref._current = None
            request.reply(value)
        ref._handled += 1
        settle(scheduler, actor)


def job_refused(job: Job, error: BaseException) -> None:
    """There is no thread for *job*: a hook has failed with *error*, or its actor crashes with it."""
    if job.hook is not None:
        job_done(job.scheduler, job.actor, None, error)
    else:
        job.recall()
        crash(job.scheduler, job.actor, error, told=True)


def settle(scheduler: Scheduler, actor: Actor) -> None:
    """Queue *actor* if it has work, else let it idle; nothing if it is parked or ended."""
    ref = actor._ref
    if ref._state == RUNNING:
        if ref._mailbox or ref._phase & DOOMED:
            scheduler.enqueue(ref)
        else:
            ref._state = IDLE
            ref._message = None


def settle_offloaded(scheduler: Scheduler, actor: Actor) -> None:
    """A worker has handled what it was given: hand it more, or let the actor idle."""
    mailbox = actor._mailbox
    if mailbox and not actor._phase & (DOOMED | SUSPENDED):
        first = mailbox[0]
        if isinstance(getattr(first, "message", first), _ActorStop):
            mailbox.popleft()
            actor._current = first if first.__class__ is not _ActorStop else None
            actor._receive_special(_ActorStop())
    settle(scheduler, actor)


# -- the beginning -------------------------------------------------------------------------------


def started(scheduler: Scheduler, actor: Actor) -> None:
    """`on_start` has succeeded."""
    ref = actor._ref
    ref._phase &= ~STARTING
    ext = actor._ext
    if ext is not None and ext.start_ack is not None:
        ack, ext.start_ack = ext.start_ack, None
        ack.reply(ref)
    if ref._state != IDLE:
        ref._state = RUNNING
        settle(scheduler, actor)


def start_failed(scheduler: Scheduler, actor: Actor, error: BaseException) -> None:
    """`on_start` has raised: the actor never lived."""
    ignored = isinstance(error, Ignore)
    reason: Any = NORMAL if ignored else error
    if isinstance(error, ActorExit):
        reason = error.reason
    elif isinstance(error, asyncio.CancelledError):
        reason = HandlerCancelled(actor._ref.label)
        reason.__cause__ = error
    elif not ignored and actor._parent is None:
        log_failure(actor, error)
    refuse_start(actor, reason, ignored)
    actor._phase |= STOPPING
    actor._exit_reason = reason
    not_alive(scheduler, actor)
    finish(scheduler, actor)
    if isinstance(error, KeyboardInterrupt | SystemExit):
        raise error


def refuse_start(actor: Actor, reason: Any, ignored: bool) -> None:
    """Tell whoever waits for the start that it failed; an exit signal does not say it again."""
    ext = actor._ext
    if ext is None or ext.start_ack is None:
        return
    if actor._parent is not None:
        links.unlink(actor._parent._actor, actor._ref)
    ack, ext.start_ack = ext.start_ack, None
    if ignored:
        ack.reply(None)
    else:
        failure = StartFailed(actor._ref.label, reason)
        failure.__cause__ = reason if isinstance(reason, BaseException) else None
        ack.fail(failure)


# -- being told to end -----------------------------------------------------------------------------


def doom(actor: Actor, reason: Any, *, kill: bool = False, soft: bool = False) -> None:
    """Make *actor* end with *reason*.

    *kill* waits for nothing. *soft* lets the running handler finish: so ends a trapping actor whose
    parent asks it to, and one that was told to stop by a message.
    """
    ref = actor._ref
    phase = ref._phase
    if phase & DEAD:
        return
    if phase & STOPPING:
        # A second kill changes nothing: the last hook of a killed actor has its grace.
        if kill and not (actor._doom is not None and actor._doom[1]):
            abandon(actor)
            actor._exit_reason = reason
            finish(actor._sched, actor)
        return
    if phase & (DOOMED | UNWINDING) and not (kill and (actor._trap or busy(actor))):
        # The first signal that reaches an actor which traps none decides why it ends.
        return
    actor._doom = (reason, kill)
    if soft and busy(actor):
        ref._phase |= UNWINDING
        return
    ref._phase |= DOOMED
    state = ref._state
    if state == RUNNING:
        if phase & OFFLOADED and actor._ext is not None and actor._ext.job is not None:
            obey_doom(actor._sched, actor)
    elif state != QUEUED:
        actor._sched.enqueue(ref)


def busy(actor: Actor) -> bool:
    """Tell whether a handler or hook of *actor* is under way and off the stack."""
    ref = actor._ref
    return ref._coro is not None or (actor._ext is not None and actor._ext.job is not None)


def end(target: ActorRef[Any], reason: Any) -> None:
    """Make the actor of *target* end as if its parent had told it to."""
    actor = target._actor
    if actor is not None:
        doom(actor, reason, soft=actor._trap)


def obey_doom(scheduler: Scheduler, actor: Actor) -> None:
    """Cancel what *actor* is doing, and stop it when nothing runs any more."""
    ref = actor._ref
    reason, kill = actor._doom
    ref._phase &= ~DOOMED
    if not busy(actor):
        begin_stop(scheduler, actor, reason)
        return
    first = not ref._phase & UNWINDING
    ref._phase |= UNWINDING
    if kill:
        cut_off(actor, reason)
        abandon(actor)
        begin_stop(scheduler, actor, reason)
        return
    if not first:
        return
    job = actor._ext.job if actor._ext is not None else None
    if job is not None and job.withdraw():
        actor._own_ext().job = None
        begin_stop(scheduler, actor, reason)
        return
    scheduler.system._grace(actor)
    if ref._coro is not None:
        ref._state = PARKED
        ref._task.cancel("actor is being stopped")


def cut_off(actor: Actor, reason: Any) -> None:
    """Make a dead letter of the told message whose handling comes to no end; an asker is told."""
    ref = actor._ref
    if ref._phase & STARTING:
        return
    job = actor._ext.job if actor._ext is not None else None
    if job is not None:
        job.fence()  # or it might be done with it now, and take up another
    item = ref._message if job is None else job.item
    if item is not None and not hasattr(item, "asker_waiting"):
        lose(actor, (item,), reason)


def abandon(actor: Actor) -> None:
    """Leave the running handler behind: fenced off, cancelled, and no part of *actor* any more."""
    ext = actor._ext
    if ext is not None and ext.job is not None:
        job, ext.job = ext.job, None
        if job.abandon():
            actor._sched.system._abandoned(actor._ref)
    if actor._coro is not None:
        from .zombie import Zombie

        Zombie(actor)


def abandon_work(actor: Actor) -> None:
    """Leave the handling of the current message behind; the actor goes on with the next."""
    abandon(actor)
    actor._current = None
    actor._state = RUNNING
    settle(actor._sched, actor)


def abandon_after_grace(actor: Actor) -> None:
    """The time is over in which a cancelled handler, or a killed actor's last hook, may clean up."""
    if actor._phase & DEAD:
        return
    if actor._phase & STOPPING:
        abandon(actor)
        finish(actor._sched, actor)
    elif actor._phase & UNWINDING:
        cut_off(actor, actor._doom[0])
        abandon(actor)
        begin_stop(actor._sched, actor, actor._doom[0])


# -- a handler fails -------------------------------------------------------------------------------


def handler_failed(
    scheduler: Scheduler, actor: Actor, request: Any, message: Any, error: BaseException
) -> None:
    """Decide what an exception out of a handler means: an answer, an exit, or a crash."""
    error.__traceback__ = without_kernel(error.__traceback__)
    ref = actor._ref
    if ref._current is not request:
        request = None  # deferred: the reply is no longer this handler's business
    ref._current = None
    if isinstance(error, ActorExit):
        if request is not None:
            request.fail(ActorDied(ref, error.reason))
        begin_stop(scheduler, actor, error.reason)
        return
    if isinstance(error, asyncio.CancelledError):
        task = ref._task
        if task is not None and task.work_cancelled:
            # The asker has withdrawn the work; the actor lives on.
            if request is not None:
                request.fail(error)
            return
        cancelled = HandlerCancelled(ref.label)
        cancelled.__cause__ = error
        error = cancelled
    elif not isinstance(error, Exception):
        if request is not None:
            request.fail(error)
        logger.debug(f"{error!r} in {actor}. Stopping all actors.")
        begin_stop(scheduler, actor, error)
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise error
        if not crashes_on_ask_error(actor):
            pykka.ActorRegistry.stop_all(block=False)
        return
    if request is not None:
        request.fail(error)
        if not crashes_on_ask_error(actor) and not getattr(error, "ends_actor", False):
            logger.info(
                f"Exception returned from {actor} to caller:",
                exc_info=(type(error), error, error.__traceback__),
            )
            return
    else:
        scheduler.system.dead_letter(message, ref.label, error)
    crash(scheduler, actor, error, told=request is None)


def crashes_on_ask_error(actor: Actor) -> bool:
    """Tell whether an error that its asker gets is the end of *actor* too."""
    own = actor.crash_on_ask_error
    if own is not None:
        return own
    parent = actor._parent
    return parent is not None and parent.actor_class.children_crash_on_ask_error


def without_kernel(traceback: TracebackType | None) -> TracebackType | None:
    """Return *traceback* from the handler on.

    The frame of the ready queue holds whatever it last handled, and an exit reason may be kept long.
    """
    first = traceback
    while first is not None and first.tb_frame.f_code.co_filename in KERNEL_FILES:
        first = first.tb_next
    return traceback if first is None else first


def crash(scheduler: Scheduler, actor: Actor, error: BaseException, *, told: bool) -> None:
    """End *actor* because of *error*: `on_failure` instead of `on_stop`, and an exit signal."""
    if told and actor._parent is None:
        log_failure(actor, error)
    actor._phase |= STOPPING
    actor._phase &= ~(DOOMED | UNWINDING)
    actor._exit_reason = error
    not_alive(scheduler, actor)
    if actor._has_on_failure:
        scheduler.system._ending[actor._ref] = None
        run_hook(scheduler, actor, actor.on_failure, type(error), error, error.__traceback__)
    else:
        finish(scheduler, actor)


# -- ending ----------------------------------------------------------------------------------------


def begin_stop(scheduler: Scheduler, actor: Actor, reason: Any) -> None:
    """Nothing runs in *actor* any more: close it, and run its `on_stop`."""
    ref = actor._ref
    starting = ref._phase & STARTING
    ref._phase |= STOPPING
    ref._phase &= ~(DOOMED | UNWINDING | STARTING)
    actor._exit_reason = reason
    not_alive(scheduler, actor)
    if starting:
        refuse_start(actor, reason, False)
    elif actor._has_on_stop:
        scheduler.system._ending[ref] = None
        if actor._doom is not None and actor._doom[1]:
            scheduler.system._grace(actor)
        run_hook(scheduler, actor, actor._stop_hook)
        return
    finish(scheduler, actor)


def not_alive(scheduler: Scheduler, actor: Actor) -> None:
    """Close the mailbox and give the names back: from here on sends fail."""
    ref = actor._ref
    left = ref._mailbox
    ref._mailbox = CLOSED
    ext = actor._ext
    if ref.name is not None or (ext is not None and ext.names is not None):
        scheduler.system.names.release(ref, ext)
    if ext is not None:
        if ext.groups is not None:
            scheduler.system.groups.release(ref, ext)
        for timer in list(ext.timers or ()):
            timer.cancel()
        if ext.grace is not None:
            ext.grace.cancel()
            ext.grace = None
    if left:
        actor._own_ext().leftover = left
    scheduler.system._unregister(actor)
    event = actor._stopped_event
    if event is not None:
        event.set()


def finish(scheduler: Scheduler, actor: Actor) -> None:
    """The actor is dead: settle what it leaves, and tell everybody who is to know."""
    ref = actor._ref
    if ref._phase & DEAD:
        return
    reason = actor._exit_reason
    system = scheduler.system
    never_started = bool(ref._phase & STARTING)
    ref._phase = DEAD
    ref._state = ENDED
    ref._actor = None
    ref._reason = reason
    ext = actor._ext
    current = ref._current
    if current is not None:
        ref._current = None
        current.fail(ActorDied(ref, reason))
    if ext is not None:
        actor._ext = None
        if ext.grace is not None:
            ext.grace.cancel()
        if ext.pool is not None:
            system._leave_pool(ext.pool)
        settle_leftovers(actor, ext, reason, never_started)
    if scheduler.observer is not None:
        scheduler.observer.on_end(ref, reason)
    if system._end_hooks:
        for hook in list(system._end_hooks):
            try:
                hook(ref, reason)
            except Exception as caught:
                system.log.opt(exception=caught).error("A hook failed on the end of {}", ref.label)
    if system.events.active:
        system.events.publish(ActorEnded(ref, reason))
    links.announce_end(actor, ref, reason, ext)
    ref._mailbox = CLOSED
    ref._coro = ref._driver = ref._task = ref._behavior = ref._message = ref._context = None
    if ext is not None and ext.stop_requests is not None:
        for request in ext.stop_requests:
            request.reply(None)
    system._ended(ref)
    if ext is not None and ext.mailbox_to is not None:
        # Last, so that nobody ever sees two incarnations of one address.
        ext.mailbox_to._ended()


def settle_leftovers(actor: Actor, ext: Any, reason: Any, never_started: bool) -> None:
    """Give back, fail, or dead-letter what the actor had not handled."""
    ref = actor._ref
    if ext.pipes:
        for task in list(ext.pipes):
            task.cancel()
    if ext.deferred:
        for request in ext.deferred:
            request.fail(ActorDied(ref, reason))
    left: list[Any] = list(ext.leftover or ())
    if ext.stash:
        left[:0] = ext.stash
    waiting = getattr(ext.leftover, "waiting", None)
    if waiting:
        left.extend(waiting)
    for item in left:
        if item.__class__ is not _ActorStop and isinstance(
            getattr(item, "message", None), _ActorStop
        ):
            if ext.stop_requests is None:
                ext.stop_requests = list[Any]()
            ext.stop_requests.append(item)
    address = ext.mailbox_to
    if address is not None and reason != NORMAL:
        items = [item for item in left if not is_system_message(item)]
        address._take_back(items, reason if never_started else None)
        return
    lose(actor, left, reason)


def is_system_message(item: Any) -> bool:
    """Tell whether *item* concerns only the incarnation that it was sent to."""
    from ..messages import Down, Exit, ReceiveTimeout

    if isinstance(item, _ActorStop | Exit | Down | ReceiveTimeout):
        return True
    return isinstance(getattr(item, "message", None), _ActorStop)


def lose(actor: Actor, items: Iterable[Any], reason: Any) -> None:
    """Fail the requests among *items*, and make dead letters of the other messages."""
    for item in items:
        if not is_system_message(item):
            lose_one(actor, item, reason)


def lose_one(actor: Actor, item: Any, reason: Any) -> None:
    """Fail *item* if it is a request, else make it a dead letter."""
    ref = actor._ref
    fail = getattr(item, "fail", None)
    if fail is not None and hasattr(item, "asker_waiting"):
        if reason == "mailbox_full":
            capacity = getattr(actor._mailbox, "capacity", 0)
            fail(MailboxFull(ref, capacity))
        else:
            fail(ActorDied(ref, reason))
    else:
        actor._sched.system.dead_letter(item, ref.label, reason)


def log_failure(actor: Actor, error: BaseException) -> None:
    """Log an exception that nobody else is told about, as pykka does."""
    logger.error(
        f"Unhandled exception in {actor}:", exc_info=(type(error), error, error.__traceback__)
    )


__all__ = [
    "begin_stop",
    "crash",
    "doom",
    "finish",
    "handler_failed",
    "job_done",
    "log_failure",
    "obey_doom",
    "run_hook",
    "settle",
    "special_turn",
    "start_failed",
    "started",
    "step",
]
