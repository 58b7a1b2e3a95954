# pyright: reportPrivateUsage=false
"""How an actor begins its service, is told to end, ends, and what becomes of what it leaves.

Everything here runs on the loop's thread of the actor's system, and off the path of an ordinary
message. The order of an end is fixed:

1. the handler that runs is cancelled (it may finish its ``finally`` blocks within
   ``ActorSystem.cancel_grace_s``; a kill does not wait; a handler that does not obey is abandoned);
2. from here on the actor is not alive: sends fail, its names are free;
3. `on_stop` (or `on_failure` after an exception) runs, once;
4. what it left in its mailbox fails, becomes dead letters, or goes back to its address;
5. hooks see the end, then exit signals go out along its links and downs to its monitors.

Source: Erlang's reference manual, "Processes" (links, monitors, exit signals), and pykka's
`Actor` for the hooks.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeVar

import pykka

from ..errors import ActorDied, ActorExit, HandlerCancelled, HandlerExited, Ignore, StartFailed
from ..looks import attribute_of, frames_of, is_a
from ..reasons import NORMAL, is_normal, is_word
from .cell import Cell, Ext
from .delivery import is_ask, is_system_message, lose
from .home import Home
from .in_hand import IN_HAND, Raised, Returned
from .job import JOB_MESSAGES, Job, job_of
from .link_table import remove_link
from .mailbox import CLOSED
from .phase import (
    DEAD,
    DOOMED,
    ENDED,
    FULL,
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
    YIELDED,
    ZOMBIE,
)
from .pykka_seam import (
    ActorStop,
    leave_registry,
    log_answered,
    log_end_of_program,
    log_failure,
    log_stop,
)
from .request import set_unless_done
from .self_sent import SelfSent
from .special import receive_special
from .task import new_task, step
from .zombie import Zombie

if TYPE_CHECKING:
    from types import TracebackType

E = TypeVar("E", bound=BaseException | None)

KERNEL_FILES = frozenset(
    str(Path(__file__).with_name(name))
    for name in ("job.py", "lifecycle.py", "scheduler.py", "special.py", "task.py")
)
"""What stands in a traceback before the handler."""


# -- turns off the fast path ---------------------------------------------------------------------


def special_turn(home: Home, cell: Any) -> None:
    """Give *cell*, which is not in plain service, its turn."""
    phase = cell._phase
    if phase & DOOMED:
        obey_doom(home, cell)
    elif cell._coro is not None:
        resume(home, cell)
    elif phase & UNWINDING:
        begin_stop(home, cell, cell._doom[0])
    elif phase & (SUSPENDED | FULL):
        cell._state = HELD
    elif phase & STARTING:
        run_hook(home, cell, cell._actor.on_start)
    elif phase & OFFLOADED:
        offload(home, cell)
    elif phase & DEAD:
        cell._state = ENDED


def resume(home: Home, cell: Any) -> None:
    """Let the coroutine of *cell* go on, and finish what it was doing when it ends."""
    outcome = step(home, cell)
    if outcome is not None:
        value, error = outcome
        error = as_crash(cell, error)
        task = cell._task
        job_done(home, cell, value, error)
        if cell._task is task:
            cell._task = None  # it has the outcome, which must not be kept
        if error is not None and is_a(error, KeyboardInterrupt, SystemExit):
            raise error


def offload(home: Home, cell: Cell) -> None:
    """Hand messages of *cell* to its workers."""
    mailbox = cell._mailbox
    if not mailbox:
        cell._state = IDLE
        return
    cell._state = RUNNING
    if is_stop(mailbox[0]):
        settle_offloaded(home, cell)
        return
    taken: deque[Any] = deque()
    while mailbox and len(taken) < JOB_MESSAGES:
        taken.append(mailbox.popleft())
    hand_over(cell, Job(cell, taken))


def hand_over(cell: Cell, job: Job) -> None:
    """Have *job* done by a worker; if there is no thread for it, its hook or its actor fails."""
    ext = cell._own_ext()
    ext.job = job
    try:
        ext.pool.submit(job)
    except RuntimeError as error:  # the operating system gives no more threads
        ext.job = None
        if job.hook is not None:
            job_done(job.home, cell, None, error)
        else:
            job.recall()
            crash(job.home, cell, error, None, told=True)


def job_finished(job: Job) -> None:
    """Take the actor of *job* back from its worker."""
    if job.grace is not None:
        job.grace.cancel()
    cell = job.cell
    ext = cell._ext
    if job.abandoned or ext is None or ext.job is not job:
        return
    ext.job = None
    if job.items:
        cell._mailbox.extendleft(reversed(job.items))
    # What still looks at the job later must not keep what it worked on.
    withdrawn = job.withdrawn is not None and job.withdrawn is job.item
    job.withdrawn = job.item = None
    if withdrawn and isinstance(job.error, asyncio.CancelledError):
        # The asker had withdrawn the work; the actor lives on.
        job.error = None
        cell._current = None
    if job.hook is None and job.error is None and not cell._phase & UNWINDING:
        settle_offloaded(job.home, cell)
    else:
        job_done(job.home, cell, job.value, job.error)


def run_hook(home: Home, cell: Cell, hook: Callable[..., Any], *args: Any) -> None:
    """Run `on_start`, `on_stop` or `on_failure` where the actor's dispatcher says."""
    cell._state = RUNNING
    cell._since = home.loop.time()
    if cell._phase & OFFLOADED:
        hand_over(cell, Job(cell, deque(), (hook, args)))
        return
    before, home.current = home.current, cell
    context = cell._context = cell._make_own_context()
    try:
        result = context.run(hook, *args)
    except BaseException as error:
        home.current = before
        job_done(home, cell, None, error)
        return
    home.current = before
    if type(result) is CoroutineType:
        cell._coro = result
        cell._task = new_task(cell)
        resume(home, cell)
    else:
        job_done(home, cell, result, None)


def job_done(home: Home, cell: Any, value: Any, error: BaseException | None) -> None:
    """Go on after a hook, or a handler off the fast path, has ended."""
    error = as_crash(cell, error)
    phase = cell._phase
    if phase & ZOMBIE:
        cell.coroutine_ended()
    elif phase & STOPPING:
        if error is not None:
            log_failure(cell._actor, error)
            if is_normal(cell._reason):
                # An exception in `terminate` replaces the reason (OTP, gen_server).
                cell._reason = error
        finish(home, cell)
    elif phase & UNWINDING:
        reason = cell._doom[0]
        request = cell._current
        if request is not None and error is None and not phase & STARTING:
            cell._current = None
            request.reply(value)
        if is_a(error, asyncio.CancelledError):
            cut_off(cell, reason)
        elif error is not None and not is_a(error, ActorExit):
            log_failure(cell._actor, error)
            cut_off(cell, error)
        begin_stop(home, cell, reason)
    elif phase & STARTING:
        if error is None:
            started(home, cell)
        else:
            start_failed(home, cell, error)
    elif error is not None:
        cell._state = RUNNING
        handler_failed(home, cell, cell._current, cell._message, error)
        settle(home, cell)
    else:
        request = cell._current
        if request is not None:
            cell._current = None
            request.reply(value)
        cell._handled += 1
        settle(home, cell)


def settle(home: Home, cell: Cell) -> None:
    """Queue *cell* if it has work, else let it idle; nothing if it is parked or ended."""
    if cell._state == RUNNING:
        if cell._mailbox or cell._phase & DOOMED:
            home.enqueue(cell)
        else:
            cell._state = IDLE
            cell._message = None
            cell._context = cell._own_context


def settle_offloaded(home: Home, cell: Cell) -> None:
    """A worker has handled what it was given: hand it more, or let the actor idle."""
    mailbox = cell._mailbox
    if mailbox and not cell._phase & (DOOMED | SUSPENDED) and is_stop(mailbox[0]):
        first = mailbox.popleft()
        cell._current = first if type(first) is not ActorStop else None
        stop_after_messages(cell)
    settle(home, cell)


def is_stop(item: Any) -> bool:
    """Tell whether *item* of a mailbox asks the actor to stop."""
    return is_a(item.message if is_ask(item) else item, ActorStop)


def receive(cell: Cell, message: Any) -> Any:
    """Handle a message that is not simply a user's."""
    if type(message) is ActorStop:
        cell._handled -= 1  # it is not a message to the actor
        return stop_after_messages(cell)
    if type(message) is Raised:
        cell._message = message.message
        raise message.take()
    if type(message) is Returned:
        cell._message = message.message
        return message.work
    return receive_special(cell, message)


def stop_after_messages(cell: Cell) -> None:
    """Stop the actor, which has come to a message that asks for it; the waits for its end are told then."""
    current, cell._current = cell._current, None
    if current is not None:
        ext = cell._own_ext()
        if ext.stop_requests is None:
            ext.stop_requests = list[Any]()
        ext.stop_requests.append(current)
    doom(cell, NORMAL, soft=True)


# -- the beginning -------------------------------------------------------------------------------


def started(home: Home, cell: Cell) -> None:
    """`on_start` has succeeded."""
    cell._phase &= ~STARTING
    ext = cell._ext
    if ext is not None and ext.start_ack is not None:
        ack, ext.start_ack = ext.start_ack, None
        ack.reply(cell)
    if cell._state != IDLE:
        cell._state = RUNNING
        settle(home, cell)


def start_failed(home: Home, cell: Cell, error: BaseException) -> None:
    """`on_start` has raised: the actor never lived."""
    ignored = is_a(error, Ignore)
    reason: Any = NORMAL if ignored else error
    if is_a(error, ActorExit):
        reason = error.reason
    elif is_a(error, asyncio.CancelledError):
        reason = HandlerCancelled(cell.label)
        reason.__cause__ = error
    elif not ignored and cell._parent is None:
        home.host.start_failed(cell, error)
        log_failure(cell._actor, error, has_record=True)
    refuse_start(cell, reason, ignored)
    cell._phase |= STOPPING
    cell._reason = reason
    not_alive(home, cell)
    finish(home, cell)
    if is_a(error, KeyboardInterrupt, SystemExit):
        raise error


def refuse_start(cell: Cell, reason: Any, ignored: bool) -> None:
    """Fail the request that waits for the start; an exit signal does not say it again."""
    ext = cell._ext
    if ext is None or ext.start_ack is None:
        return
    parent = cell._parent
    if parent is not None and remove_link(cell, parent):
        remove_link(parent, cell)
    ack, ext.start_ack = ext.start_ack, None
    if ignored:
        ack.reply(None)
    else:
        failure = StartFailed(cell.label, reason)
        failure.__cause__ = reason if is_a(reason, BaseException) else None
        ack.fail(failure)


# -- being told to end -----------------------------------------------------------------------------


def doom(cell: Cell, reason: Any, *, kill: bool = False, soft: bool = False) -> None:
    """Make *cell* end with *reason*.

    *kill* waits for nothing. *soft* lets the running handler finish: so ends a trapping actor whose
    parent asks it to, and one that was told to stop by a message.
    """
    phase = cell._phase
    if phase & DEAD:
        return
    if phase & STOPPING:
        # A second kill changes nothing: the last hook of a killed actor has its grace.
        if kill and not (cell._doom is not None and cell._doom[1]):
            abandon(cell)
            cell._reason = reason
            finish(cell._sched, cell)
        return
    if phase & (DOOMED | UNWINDING) and not (kill and (cell._trap or busy(cell))):
        # The first signal that reaches an actor which traps none decides why it ends.
        return
    cell._doom = (reason, kill)
    if soft and busy(cell):
        cell._phase |= UNWINDING
        return
    cell._phase |= DOOMED
    state = cell._state
    if state == RUNNING:
        if phase & OFFLOADED and cell._ext is not None and cell._ext.job is not None:
            obey_doom(cell._sched, cell)
    elif state not in (QUEUED, YIELDED):
        cell._sched.enqueue(cell)


def busy(cell: Cell) -> bool:
    """Tell whether a handler or hook of *cell* is under way and off the stack."""
    return cell._coro is not None or (cell._ext is not None and cell._ext.job is not None)


def end_as_parent(cell: Cell, reason: Any) -> None:
    """Make *cell* end as if its parent had told it to: after its handler if it traps exits.

    One that starts is cancelled: its `on_start` may never end, and there is nothing to finish.
    """
    if cell._actor is not None:
        doom(cell, reason, soft=cell._trap and not cell._phase & STARTING)


def end_at_stop(cell: Cell, reason: Any) -> bool:
    """End *cell* because its system stops; return whether it has to be waited for."""
    slow = cell._actor._has_on_stop or cell._coro is not None or cell._links is not None
    if cell._state == IDLE and not cell._phase:
        begin_stop(cell._sched, cell, reason)
    else:
        end_as_parent(cell, reason)
    return slow


def obey_doom(home: Home, cell: Cell) -> None:
    """Cancel what *cell* is doing, and stop it when nothing runs any more."""
    reason, kill = cell._doom
    cell._phase &= ~DOOMED
    if not busy(cell):
        begin_stop(home, cell, reason)
        return
    first = not cell._phase & UNWINDING
    cell._phase |= UNWINDING
    if kill:
        cut_off(cell, reason)
        abandon(cell)
        begin_stop(home, cell, reason)
        return
    if not first:
        return
    job = cell._ext.job if cell._ext is not None else None
    if job is not None and job.withdraw():
        cell._own_ext().job = None
        begin_stop(home, cell, reason)
        return
    give_grace(home, cell)
    if job is not None:
        job.interrupt()
    if cell._coro is not None:
        cell._state = PARKED
        cell._task.cancel("actor is being stopped")


def cut_off(cell: Cell, reason: Any) -> None:
    """Make a dead letter of the told message whose handling comes to no end; an asker is told."""
    if cell._phase & STARTING:
        return
    job = cell._ext.job if cell._ext is not None else None
    if job is not None:
        job.fence()  # or it might be done with it now, and take up another
    item = cell._message if job is None else job.item
    if item is not None and not is_ask(item):
        lose(cell, (item,), reason)


def abandon(cell: Cell) -> None:
    """Leave the running handler behind: fenced off, cancelled, and no part of *cell* any more."""
    ext = cell._ext
    cell._awaits = None
    if ext is not None and ext.job is not None:
        job, ext.job = ext.job, None
        stays, told = job.abandon()
        if stays:
            if told:
                _give_job_grace(job, _left_behind, cell, job)
            else:
                cell._sched.host.left_behind(cell)
            if cell._own_context is not None:
                # The handler may be in it still, and one context cannot be entered twice.
                cell._own_context = cell._own_context.copy()
    if cell._coro is not None:
        Zombie(cell)


def give_grace(home: Home, cell: Cell) -> None:
    """Have what runs in *cell* abandoned if it has not ended in ``cancel_grace_s``."""
    cell._own_ext().grace = home.loop.call_later(
        home.host.cancel_grace_s, abandon_after_grace, cell, context=home.context
    )


def _left_behind(cell: Cell, job: Job) -> None:
    """Report the handler of *job*, which its grace is over for, if it has not ended."""
    if not job.over:
        cell._sched.host.left_behind(cell)


def _give_job_grace(job: Job, then: Callable[..., object], *args: Any) -> None:
    """Call ``then(*args)`` if the worker of *job* has not let go of it in ``cancel_grace_s``."""
    home = job.home
    if job.grace is not None:
        job.grace.cancel()
    job.grace = home.loop.call_later(home.host.cancel_grace_s, then, *args, context=home.context)


def hurry(cell: Cell) -> None:
    """Give the last hook of *cell*, if one runs, the grace of a cancelled handler and no more."""
    if cell._actor is not None and cell._phase & STOPPING and cell._own_ext().grace is None:
        give_grace(cell._sched, cell)


def abandon_after_grace(cell: Cell) -> None:
    """The time is over in which a cancelled handler, or a killed actor's last hook, may clean up."""
    if cell._phase & DEAD:
        return
    if cell._phase & STOPPING:
        abandon(cell)
        finish(cell._sched, cell)
    elif cell._phase & UNWINDING:
        cut_off(cell, cell._doom[0])
        abandon(cell)
        begin_stop(cell._sched, cell, cell._doom[0])


# -- a handler fails -------------------------------------------------------------------------------


def as_crash(cell: Any, error: E) -> E | HandlerExited:
    """Return *error*, or the crash that it is: `SystemExit` in a thread, or of an actor that says so."""
    if is_a(error, SystemExit) and (cell._phase & OFFLOADED or cell.actor_class.exit_is_crash):
        return HandlerExited.of(cell.label, error)
    return error


def handler_failed(
    home: Home, cell: Cell, request: Any, message: Any, error: BaseException
) -> None:
    """Decide what an exception out of a handler means: an answer, an exit, or a crash."""
    expected = False
    # As BaseException has it: a frozen dataclass, say, lets none of its attributes be set.
    BaseException.with_traceback(error, without_kernel(frames_of(error)))
    error = as_crash(cell, error)
    if cell._current is not request:
        request = None  # deferred: the reply is no longer this handler's business
    cell._current = None
    task, cell._task = cell._task, None  # it has the error, which must not be kept
    if is_a(error, ActorExit):
        if request is not None:
            request.fail(ActorDied(cell, error.reason))
        begin_stop(home, cell, error.reason)
        return
    if is_a(error, asyncio.CancelledError):
        if task is not None and task.work_cancelled:
            # The asker has withdrawn the work; the actor lives on.
            if request is not None:
                request.fail(error)
            return
        cancelled = HandlerCancelled(cell.label)
        cancelled.__cause__ = error
        error = cancelled
    elif not is_a(error, Exception):
        _end_of_program(home, cell, request, error)
        return
    else:
        expected = expects(cell, error)
    if request is not None:
        request.fail(error)
        lives = expected or not (crashes_on_ask_error(cell) or ends_actor(error))
    else:
        # A crash has a record of its own.
        home.host.dead_letter(message, cell.label, error, quietly=not expected)
        lives = expected
    if not lives:
        crash(home, cell, error, message, told=request is None)
        return
    log_answered(cell._actor, error, asked=request is not None)


def _end_of_program(home: Home, cell: Cell, request: Any, error: BaseException) -> None:
    """A handler has raised what is not an `Exception`: pykka stops all actors then."""
    if request is not None:
        request.fail(error)
    log_end_of_program(cell._actor, error)
    crashes = crashes_on_ask_error(cell)
    begin_stop(home, cell, error)
    if is_a(error, KeyboardInterrupt, SystemExit):
        raise error
    if not crashes:
        pykka.ActorRegistry.stop_all(block=False)


def expects(cell: Cell, error: Exception) -> bool:
    """Tell whether *error* is the failure of one request, after which the actor of *cell* is well."""
    try:
        # What decides may be a class of the user's: its metaclass, or a property of the error.
        return cell._actor._expects(error) is True and not ends_actor(error)
    except Exception:
        return False


def ends_actor(error: BaseException) -> bool:
    """Tell whether *error* says that its actor cannot go on (the child process has died)."""
    return attribute_of(error, "ends_actor") is True


def crashes_on_ask_error(cell: Cell) -> bool:
    """Tell whether an error that its asker gets is the end of *cell* too."""
    own: bool | None = cell._actor.crash_on_ask_error
    if own is not None:
        return own
    parent = cell._parent
    return parent is not None and parent.actor_class.children_crash_on_ask_error


def without_kernel(traceback: TracebackType | None) -> TracebackType | None:
    """Return *traceback* from the handler on.

    The frame of the ready queue holds whatever it last handled, and an exit reason may be kept long.
    """
    first = traceback
    while first is not None and first.tb_frame.f_code.co_filename in KERNEL_FILES:
        first = first.tb_next
    return traceback if first is None else first


def crash(home: Home, cell: Cell, error: BaseException, message: Any, *, told: bool) -> None:
    """End *cell* because of *error*: `on_failure` instead of `on_stop`, and an exit signal."""
    actor = cell._actor
    has_record = home.host.crashed(cell, error, message, asked=not told)
    if told and cell._parent is None:
        log_failure(actor, error, has_record=has_record)
    cell._phase |= STOPPING
    cell._phase &= ~(DOOMED | UNWINDING)
    cell._reason = error
    not_alive(home, cell)
    if actor._has_on_failure:
        home.ending[cell] = None
        run_hook(home, cell, actor.on_failure, type(error), error, frames_of(error))
    else:
        finish(home, cell)


# -- ending ----------------------------------------------------------------------------------------


def begin_stop(home: Home, cell: Cell, reason: Any) -> None:
    """Nothing runs in *cell* any more: close it, and run its `on_stop`."""
    starting = cell._phase & STARTING
    cell._phase |= STOPPING
    cell._phase &= ~(DOOMED | UNWINDING | STARTING)
    cell._reason = reason
    not_alive(home, cell)
    actor = cell._actor
    if starting:
        refuse_start(cell, reason, False)
    elif actor._has_on_stop:
        home.ending[cell] = None
        if cell._doom is not None and cell._doom[1]:
            give_grace(home, cell)
        args = (reason,) if actor._stop_takes_reason else ()
        run_hook(home, cell, actor.on_stop, *args)
        return
    finish(home, cell)


def not_alive(home: Home, cell: Cell) -> None:
    """Close the mailbox and give the names back: from here on sends fail."""
    left = cell._mailbox
    cell._mailbox = CLOSED
    ext = cell._ext
    if ext is not None:
        for timer in list(ext.timers or ()):
            timer.cancel()
        if ext.grace is not None:
            ext.grace.cancel()
            ext.grace = None
    if left:
        cell._own_ext().leftover = left
    home.live.pop(cell, None)
    leave_registry(cell)
    if cell.name is not None or (ext is not None and ext.listed):
        home.host.released(cell)
    actor = cell._actor
    log_stop(actor, cell)
    event = actor._stopped_event
    if event is not None:
        event.set()


def finish(home: Home, cell: Cell) -> None:
    """The actor is dead: settle what it leaves, and tell all that are to know."""
    if cell._phase & DEAD:
        return
    reason = cell._reason
    never_started = bool(cell._phase & STARTING)
    cell._phase = DEAD
    cell._state = ENDED
    cell._actor = None
    ext, cell._ext = cell._ext, None
    current, cell._current = cell._current, None
    if current is not None:
        current.fail(ActorDied(cell, reason))
    if ext is not None:
        if ext.grace is not None:
            ext.grace.cancel()
        if ext.pool is not None:
            home.host.leave_pool(ext.pool)
        settle_leftovers(cell, ext, reason, never_started)
    if home.observer is not None:
        home.observer.on_end(cell, reason)
    home.host.ended(cell, reason)
    home.announce_end(cell, reason, ext)
    cell._mailbox = CLOSED
    cell._coro = cell._driver = cell._task = cell._behavior = cell._message = None
    cell._context = cell._own_context = None
    if ext is not None and ext.stop_requests is not None:
        for request in ext.stop_requests:
            request.reply(None)
    if home.ending:
        home.ending.pop(cell, None)
    if home.end_waiters:
        for future in home.end_waiters.pop(cell, ()):
            if not future.done():
                future.set_result(True)
    if ext is not None and ext.mailbox_to is not None:
        # Last, so that two incarnations of one address are never seen.
        ext.mailbox_to.incarnation_ended()


def settle_leftovers(cell: Cell, ext: Ext, reason: Any, never_started: bool) -> None:
    """Give back, fail, or dead-letter what the actor had not handled."""
    if ext.pipes:
        for task in list(ext.pipes):
            task.cancel()
    if ext.deferred:
        for request in list(ext.deferred):  # an abandoned handler may defer one more
            request.fail(ActorDied(cell, reason))
    left: list[Any] = list(ext.leftover or ())
    if ext.stash:
        left[:0] = ext.stash
    waiting = getattr(ext.leftover, "waiting", None)
    if waiting and waiting is not ext.leftover:
        left.extend(waiting)
    if left and is_a(left[0], *IN_HAND):
        begun = left.pop(0)  # as a message that was in hand when its actor ended: not for the next
        begun.drop()
        lose(cell, (begun.message,), reason)
    for item in left:
        if type(item) is not ActorStop and is_stop(item):
            if ext.stop_requests is None:
                ext.stop_requests = list[Any]()
            ext.stop_requests.append(item)
    address = ext.mailbox_to
    if address is not None and not is_word(reason, NORMAL):
        own = [item for item in left if is_a(item, SelfSent)]
        items = [item for item in left if not (is_a(item, SelfSent) or is_system_message(item))]
        lose(cell, own, reason)
        address.take_back(items, reason if never_started else None)
        return
    lose(cell, left, reason)


async def wait_ended(cell: Cell, timeout_s: float | None) -> bool:
    """Wait until the actor has ended; return False if it has not after *timeout_s* seconds."""
    if cell._actor is None:
        return True
    # Not by `asyncio.wait_for`: its steps differ from one Python to the next, and with them what
    # a seed of a simulated run means.
    home = cell._sched
    future: asyncio.Future[bool] = home.loop.create_future()
    waiting = home.end_waiters.setdefault(cell, [])
    waiting.append(future)
    timer = None
    if timeout_s is not None:
        timer = home.loop.call_later(
            timeout_s, set_unless_done, future, False, context=home.context
        )
    try:
        return await future
    finally:
        if timer is not None:
            timer.cancel()
        if future in waiting:
            waiting.remove(future)
        if not waiting and home.end_waiters.get(cell) is waiting:
            del home.end_waiters[cell]


def leave_all(home: Home) -> list[Cell]:
    """The loop of *home* is gone, and its actors can do nothing any more: forget and return them."""
    home.cut_off()
    left = list(home.live)
    for cell in left:
        home.live.pop(cell, None)
        leave_registry(cell)
    return left


# -- for the packages above ----------------------------------------------------------------------


def abandon_work(cell: Cell) -> None:
    """Leave the handling of the current message behind; the actor goes on with the next."""
    abandon(cell)
    cell._current = None
    cell._state = RUNNING
    settle(cell._sched, cell)


def cancel_work(cell: Cell, request: Any, timeout: BaseException | None) -> None:
    """The asker has withdrawn *request*: if it is being handled, cancel that.

    A handler that does not obey, or that blocks a thread, is left behind; with *timeout* its actor
    is killed then, with that as the reason.
    """
    if cell._actor is None or cell._current is not request:
        if cell._actor is not None and cell._actor.stands_for_remote:
            cell._actor._withdrawn(request, timeout)
        return
    job = cell._ext.job if cell._ext is not None else None
    if job is not None:
        obeys = job.interrupt(request)
        job.withdrawn = request
        if obeys:
            _give_job_grace(job, _leave_job, cell, job, timeout)
        else:
            _leave_job(cell, job, timeout)  # a blocked thread cannot be cancelled
        return
    task = cell._task
    if cell._coro is None or task is None:
        return
    task.work_cancelled = True
    task.cancel("the asker does not wait any more")
    home = cell._sched
    grace_s = home.host.cancel_grace_s
    # Weakly: the task of a handler that has ended has what it worked on.
    task = weakref.ref(task)
    home.loop.call_later(grace_s, _check_cancelled, cell, task, timeout, context=home.context)


def _check_cancelled(cell: Cell, its_task: weakref.ref[Any], timeout: BaseException | None) -> None:
    task = its_task()
    if task is None or cell._task is not task or task._done or cell._phase & (DEAD | STOPPING):
        return
    if timeout is not None or cell._state in (PARKED, YIELDED):
        _leave_work(cell, timeout)


def _leave_job(cell: Cell, job: Job, timeout: BaseException | None) -> None:
    """Leave a withdrawn request behind, unless its thread is done with it by now."""
    withdrawn, job.withdrawn = job.withdrawn, None
    if withdrawn is not None and job_of(cell) is job and job.fence(withdrawn):
        _leave_work(cell, timeout)


def leave_work(cell: Cell, request: Any, timeout: BaseException | None) -> None:
    """Do what `cancel_work` does after its grace, now: others wait for the place of *request*."""
    if cell._current is request and cell._state == PARKED and not cell._phase & (DEAD | STOPPING):
        _leave_work(cell, timeout)


def _leave_work(cell: Cell, timeout: BaseException | None) -> None:
    if timeout is not None:
        doom(cell, timeout, kill=True)
    else:
        abandon_work(cell)


def suspend(cell: Cell) -> None:
    """Let *cell* handle no message until `unsuspend`; exit signals still act."""
    if cell._actor is not None:
        cell._phase |= SUSPENDED


def unsuspend(cell: Cell, flag: int = SUSPENDED) -> None:
    """Let a suspended actor handle messages again; *flag* is what holds it up."""
    if cell._actor is not None:
        cell._phase &= ~flag
        if cell._state == HELD or (cell._state == IDLE and cell._mailbox):
            cell._sched.enqueue(cell)


def fail_start(cell: Cell, on_start: Callable[[], Any]) -> None:
    """Run *on_start* in the place of the actor's own; before it has started (an `Observer` does)."""
    cell._actor.on_start = on_start
    cell._actor._has_on_start = True
