# pyright: reportPrivateUsage=false
"""The ready queue of a system: it decides which actor runs next, and drives its handler.

One `Scheduler` belongs to one event loop thread, and all mutable state of a system's actors belongs
to that thread. An actor with work stands in the ready queue once; its turn handles a bounded batch
of messages. The queue is drained inside a loop callback, for about a millisecond at a time, so that
whatever else lives on the loop keeps its latency. An asynchronous handler is a coroutine that is
stepped here (see `task` for what asyncio sees meanwhile); while it waits, its actor is parked and
others run.

`run` is the path of every message and is written out flat on purpose: every message would pay for a
helper's call. Whatever is rare (starting, stopping, exit signals, threads) leaves it at one test of
``cell._phase`` and continues in `lifecycle`.
"""

from __future__ import annotations

from functools import partial
from sys import getrefcount
from threading import get_ident
from types import CoroutineType
from typing import Any, cast
from weakref import getweakrefcount

from . import exit_signals, lifecycle
from .carried import handled_in, opened, take_variables
from .home import CHECK_EVERY, SLICE_S, Home
from .in_hand import Raised, Returned
from .phase import DOOMED, IDLE, PARKED, QUEUED, RUNNING
from .request import ASKED, CARRIES, KINDS, WRAPS
from .self_sent import OWN
from .task import DONE, OWN_AWAITABLES, UNSHARED, ActorTask, new_driver, park, swap_task


class Scheduler(Home):
    """Drives the actors of one system on one loop. Owned by the loop's thread, but for `post`."""

    __slots__ = ()

    announce_end = exit_signals.announce_end

    def run(self) -> None:
        """Let ready actors take their turns, for about `SLICE_S`."""
        self.awake = True
        self.runs += 1
        ready = self.ready
        next_ready = ready.popleft
        loop = self.loop
        host = self.host
        observer = self.observer
        batch_size = self.batch
        kind_of = KINDS.get
        clock = loop.time
        began = clock()
        deadline = began + SLICE_S
        credits = CHECK_EVERY
        entered: ActorTask | None = None
        task: Any = cast(Any, None)
        driver: Any = None
        coro: Any
        message: Any
        result: Any
        drivers = self.drivers
        callbacks = self.callbacks
        try:
            while ready or callbacks:
                if credits <= 0:
                    now = clock()
                    # A clock that stands still is a simulated one: the loop must get its turn there
                    # too, or two actors that keep each other busy would shut out everything else.
                    if now > deadline or now == began:
                        break
                    credits = CHECK_EVERY
                if not ready:
                    # Tasks that wait for answers go on here, and not by the loop: a trip round it
                    # costs more than the rest of an ask. After the actors, so that what an answer
                    # or a crash has led to among them has happened when its asker sees it.
                    if entered is not None:
                        swap_task(loop, None)
                        entered = None
                    self.current = None
                    credits -= 1
                    callbacks.popleft().call()
                    continue
                cell = next_ready()
                if cell._state != QUEUED:
                    continue
                if cell._phase:
                    if entered is not None:
                        swap_task(loop, None)
                        entered = None
                    credits -= 1
                    lifecycle.special_turn(self, cell)
                    continue
                self.current = cell
                cell._state = RUNNING
                coro = cell._coro

                if coro is not None:
                    # The handler that was parked goes on.
                    credits -= 1
                    run_in_context = cell._context.run
                    task = cell._task
                    if entered is not task:
                        swap_task(loop, task)
                        entered = task
                    resumed = cell._driver
                    try:
                        if task._must_cancel:
                            yielded = run_in_context(resumed.throw, task._cancelled_error())
                        else:
                            yielded = run_in_context(resumed.send, None)
                        if yielded is DONE and task._must_cancel:
                            drivers.append(resumed)
                            raise task._cancelled_error()
                    except BaseException as error:
                        task._finish(None, error)
                        cell._coro = cell._driver = None
                        lifecycle.handler_failed(self, cell, cell._current, cell._message, error)
                    else:
                        if yielded is DONE:
                            result, self.result = self.result, None
                            drivers.append(resumed)
                            if getrefcount(task) != UNSHARED or getweakrefcount(task):
                                task._finish(result)
                                cell._task = None
                            cell._coro = cell._driver = None
                            request = cell._current
                            if request is not None:
                                cell._current = None
                                request.answer(result)
                            cell._handled += 1
                        elif type(yielded) in OWN_AWAITABLES and not task._must_cancel:
                            cell._state = PARKED
                            if cell._phase & DOOMED:
                                self.enqueue(cell)
                        else:
                            park(self, cell, task, yielded)
                else:
                    own_context = cell._own_context
                    if own_context is None:
                        own_context = cell._make_own_context()
                    context = cell._context = own_context
                    run_in_context = context.run
                    actor = cell._actor
                    behavior = cell._behavior
                    on_receive = actor.on_receive if behavior is None else behavior
                    direct: Any = on_receive if actor._is_async and behavior is None else None
                    if direct is None and entered is not None:
                        # A log record of a plain handler must not carry another actor's name.
                        swap_task(loop, None)
                        entered = None
                    mailbox = cell._mailbox
                    batch = batch_size
                    while mailbox:
                        message = cell._message = mailbox.popleft()
                        request = None
                        receive = on_receive
                        kind = kind_of(type(message))  # pyright: ignore
                        wanted = own_context
                        if kind is not None:
                            if kind == ASKED:
                                request = cell._current = message
                                message = request.message
                                kind = kind_of(type(message))  # pyright: ignore
                            elif kind == OWN:
                                message = message.message
                                kind = kind_of(type(message))  # pyright: ignore
                            if kind is not None:
                                if kind == CARRIES:
                                    wanted = message.variables
                                    message.variables = None
                                elif (
                                    kind == WRAPS
                                    and observer is None
                                    and type(message.message) not in KINDS
                                ):
                                    wanted = handled_in(message.variables, host)
                                    message = message.message
                                else:
                                    wanted = opened(message, self, own_context)
                                    receive = partial(lifecycle.receive, cell)
                        if wanted is not context:
                            context = cell._context = wanted
                            run_in_context = context.run
                        if observer is not None:
                            receive = observer.on_deliver(cell, message, request, receive)
                        try:
                            if direct is receive:
                                result = receive(message)
                            else:
                                result = run_in_context(receive, message)
                            if type(result) is CoroutineType:
                                coro = cell._coro = result  # pyright: ignore
                                task = cell._task
                                if task is None or task._done:
                                    task = cell._task = ActorTask()
                                    task._cell = cell
                                if entered is not task:
                                    swap_task(loop, task)
                                    entered = task
                                if driver is None:
                                    driver = drivers.pop() if drivers else new_driver(self)
                                yielded = run_in_context(driver.send, coro)
                                if yielded is not DONE:
                                    cell._driver = driver
                                    cell._since = began
                                    driver = None
                                    if type(yielded) in OWN_AWAITABLES and not task._must_cancel:
                                        cell._state = PARKED
                                        if cell._phase & DOOMED:
                                            self.enqueue(cell)
                                    else:
                                        park(self, cell, task, yielded)
                                    break
                                result = self.result
                                if getrefcount(task) != UNSHARED or getweakrefcount(task):
                                    # This task is kept: it is done, and the next message
                                    # gets another.
                                    if task._must_cancel:
                                        raise task._cancelled_error()
                                    task._finish(result)
                                    cell._task = None
                                coro = cell._coro = None
                        except BaseException as error:
                            if coro is not None:
                                task._finish(None, error)  # pyright: ignore
                                cell._coro = driver = None
                            lifecycle.handler_failed(self, cell, request, cell._message, error)
                            break
                        if request is not None and cell._current is request:
                            cell._current = None
                            request.answer(result)
                        batch -= 1
                        if cell._phase or batch == 0:
                            break
                        if cell._behavior is not behavior:
                            behavior = cell._behavior
                            on_receive = actor.on_receive if behavior is None else behavior
                            direct = None
                    handled = batch_size - batch
                    cell._handled += handled
                    credits -= handled or 1
                # Whatever happened above may have stopped the actor, or it may be parked.
                if cell._state == RUNNING:
                    if cell._phase or cell._mailbox:
                        cell._state = QUEUED
                        ready.append(cell)
                    else:
                        # Nothing of what was handled is kept.
                        cell._state = IDLE
                        cell._message = None
                        cell._context = cell._own_context
            if callbacks and ready:
                # Actors that are never idle must not shut out the tasks that wait for answers.
                if entered is not None:
                    swap_task(loop, None)
                    entered = None
                self.current = None
                for _ in range(len(callbacks)):
                    callbacks.popleft().call()
        finally:
            if entered is not None:
                swap_task(loop, None)
            self.current = None
            self.result = None
            # An error that is kept holds this frame, and with it what was handled last.
            request = message = result = yielded = wanted = context = run_in_context = None
            task = entered = None
            if driver is not None:
                drivers.append(driver)
            if ready or callbacks:
                loop.call_soon(self.run, context=self.context)
            else:
                self.awake = False

    def handle_now(self, cell: Any, message: Any) -> bool:
        """Let the idle actor of *cell* handle *message* inside another's turn (`Cell.handle_now`)."""
        observer = self.observer
        if (
            cell._state != IDLE
            or cell._phase
            or cell._mailbox
            or get_ident() != self.thread
            or (observer is not None and not observer.may_handle_now())
        ):
            return False
        mailbox = cell._mailbox
        if mailbox is None:
            mailbox = cell._make_mailbox()
        cell._state = RUNNING
        mailbox.append(message)
        if not mailbox:
            cell._state = IDLE
            return True  # it was dropped, by the mailbox's policy or by a planted fault
        message = cell._message = mailbox.popleft()
        receive = cell._behavior or cell._actor.on_receive
        context = cell._own_context
        if context is None:
            context = cell._make_own_context()
        kind = KINDS.get(cast(Any, type(message)))
        if kind is not None:
            if kind == CARRIES:
                context = take_variables(message)
            else:
                context = opened(message, self, context)
                receive = partial(lifecycle.receive, cell)
        cell._context = context
        if observer is not None:
            receive = observer.on_deliver(cell, message, None, receive)
        before, self.current = self.current, cell
        task = swap_task(self.loop, None)
        try:
            result: Any = context.run(receive, message)
            if type(result) is CoroutineType:
                mailbox.appendleft(Returned(message, cast(Any, result), context))
        except BaseException as error:
            # A handler fails, waits, and an actor ends, in a turn of its own.
            mailbox.appendleft(Raised(message, error))
        finally:
            if task is not None:
                swap_task(self.loop, task)
            self.current = before
        cell._handled += 1
        lifecycle.settle(self, cell)
        return True


__all__ = ["Scheduler"]
