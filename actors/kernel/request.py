# pyright: reportPrivateUsage=false
"""Requests: a message that wants an answer, and the awaitable that gives it.

One object is both the envelope in the receiver's mailbox and the reply in the asker's hands, so
that an ask costs one allocation. How it wakes its asker depends on what that is:

- an actor parks its handler on the request itself, and the reply puts the actor back into the
  ready queue of its system: no asyncio future, no callback, no trip round the event loop;
- for anything else (a task, `asyncio.gather`, `asyncio.wait_for`) the request is a future of its own:
  it speaks asyncio's protocol for futures, so no task and no second future are made.

State is owned by the loop thread of the receiver's system; a reply from another thread is posted
to it.
"""

from __future__ import annotations

import asyncio
import operator
from asyncio import InvalidStateError, current_task
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from contextvars import Context, copy_context
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast, overload

from ..errors import RequestTimeout
from .circle import calling_self, find_circle, take_out
from .here import HERE, PARTS, enter_outside, is_main
from .task import OWN_AWAITABLES, ActorTask

if TYPE_CHECKING:
    from .home import Home

PENDING: Final = 0
ANSWERED: Final = 1
FAILED: Final = 2
ABANDONED: Final = 3

ASKED: Final = 1
SPECIAL: Final = 2

CARRIES: Final = 4
WRAPS: Final = SPECIAL | CARRIES

KINDS: Final[dict[type, int]] = {}
"""What in a mailbox is not simply a user's message, by exact class: one look-up tells. `ASKED` is a
request, which enters itself; what is `SPECIAL` is not handed to `on_receive` as it is; what `CARRIES`
has the context of its sender in ``variables``, and is handled in that. One that `WRAPS` another message
may be sent several times, and is handled in a copy (`carried.opened`)."""


class Target(Protocol):
    """What a request was sent to: an actor's ref, or an address over its incarnations."""

    lasting: bool

    @property
    def label(self) -> str: ...
    @property
    def latest(self) -> Any: ...
    @property
    def _awaits(self) -> Any: ...


class Waiter(Protocol):
    """What a request wakes: a parked actor, a `Gathering`, or the callbacks of asyncio code."""

    def _reply_ready(self, request: Request, /) -> None: ...


class Request:
    """A message under way and the answer to it.

    Await it, or use it where asyncio takes a future: `asyncio.gather`, `wait_for`, `shield`. It raises
    what the handler raised, `ActorDied` at once when the receiver is or becomes dead, and
    `RequestTimeout` after the timeout given to `ActorRef.request`. Cancelling the waiting code, or
    the request itself, abandons it: the receiver can see that no one waits (`asker_waiting`), and its
    answer is dropped.
    """

    # No constructor: one is made for each ask, and `new_request` sets the slots for half its price.
    # While the request is pending, `_result` holds its timer, if any.
    __slots__ = ("_home", "_result", "_state", "_steps", "_target", "_waiter", "message")

    message: Any
    _target: Target
    _home: Home
    _state: int
    _waiter: Waiter | None
    _result: Any
    _steps: Generator[Any, None, Any]

    waits_for_room = True
    delivered = True
    """Whether its target gets it as a message."""
    race = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        KINDS[cls] = ASKED
        OWN_AWAITABLES.add(cls)

    def __repr__(self) -> str:
        state = ("pending", "answered", "failed", "abandoned")[self._state]
        return f"<Request to {self._target.label} ({state})>"

    def done(self) -> bool:
        """Tell whether the answer or the error is there, or the request was abandoned."""
        return self._state != PENDING

    @property
    def asker_waiting(self) -> bool:
        """Whether the asker still waits for the answer."""
        return self._state == PENDING

    def pending(self) -> Sequence[Request]:
        """Return it, if it is pending: what a handler that awaits it waits for."""
        return (self,) if self._state == PENDING else ()

    def admit(self) -> Any:
        """Return what enters the mailbox when a full one has room again."""
        return self

    # -- the receiver's side -------------------------------------------------------------------

    def reply(self, value: Any = None) -> None:
        """Give the answer. Safe from any thread; later answers are ignored."""
        if get_ident() != self._home.thread:
            self._home.post(self._settle, ANSWERED, value)
        else:
            self.answer(value)

    def answer(self, value: Any) -> None:
        """Give the answer, on the loop's thread."""
        if self._state == PENDING:
            if self._result is not None:
                self._result.cancel()
            # In this order: a task on another loop may look at any moment.
            self._result = value
            self._state = ANSWERED
            waiter = self._waiter
            if waiter is not None:
                waiter._reply_ready(self)
        elif self._state == ABANDONED:
            self._home.late_replies += 1

    def fail(self, error: BaseException) -> None:
        """Make the asker's call raise *error*. Safe from any thread."""
        if get_ident() != self._home.thread:
            self._home.post(self._settle, FAILED, error)
        else:
            self._settle(FAILED, error)

    def _settle(self, state: int, result: Any) -> None:
        if self._state != PENDING:
            if self._state == ABANDONED:
                self._home.late_replies += 1
            return
        if self._result is not None:
            self._result.cancel()
        self._result = result
        self._state = state
        if self._waiter is not None:
            self._waiter._reply_ready(self)

    # -- the asker's side ----------------------------------------------------------------------

    def start_timer(self, timeout_s: float) -> None:
        """Let the request expire in *timeout_s* seconds of the system's time."""
        if self._state == PENDING:
            home = self._home
            self._result = home.loop.call_later(
                timeout_s, self._expire, timeout_s, context=home.context
            )

    def expire(self, timeout_s: float) -> None:
        """Let the request expire now, as it does by itself after *timeout_s* seconds."""
        self._expire(timeout_s)

    def _expire(self, timeout_s: float) -> None:
        if self._state == PENDING:
            waiter = self._waiter
            self._result = RequestTimeout(self._target, timeout_s)
            self._state = ABANDONED
            if waiter is not None:
                waiter._reply_ready(self)

    def refuse(self, error: BaseException) -> None:
        """Let the asker see *error* in the place of an answer that cannot come; on the loop's thread."""
        if self._state == PENDING:
            if self._result is not None:
                self._result.cancel()
            self._result = error
            self._state = ABANDONED
            if self._waiter is not None:
                self._waiter._reply_ready(self)

    def abandon(self) -> None:
        """Stop waiting: the receiver sees `asker_waiting` turn false; its answer is dropped."""
        if self._state == PENDING:
            self._state = ABANDONED
            if self._result is not None:
                self._result.cancel()
            self._result = asyncio.CancelledError()
        self._waiter = None

    def _exception(self) -> BaseException:
        """Return the error of a request that failed, as the asker is to see it."""
        error: BaseException = self._result
        return error

    def _outcome(self) -> Any:
        """Return the answer or raise the error of a request that is done."""
        if self._state == ANSWERED:
            return self._result
        error = self._exception()
        self._result = error
        try:
            raise error
        finally:
            del error, self  # it holds this frame: no cycle may stay

    # Without awaiting: for actors that go on with other messages meanwhile.

    def notify(self, waiter: Waiter) -> None:
        """Have ``waiter._reply_ready(request)`` called once the answer, or the error, is there.

        At once if it is there already. On the loop's thread; instead of awaiting the request.
        """
        if self._state == PENDING:
            self._waiter = waiter
        else:
            waiter._reply_ready(self)

    # -- asyncio's protocol for futures ----------------------------------------------------------

    # A task that is handed a request calls these, as it does of its own futures; so do `gather`,
    # `wait_for` and `shield`. The request counts as a future of the loop that it is asked on.

    _asyncio_future_blocking = property(operator.truth, cast(Any, operator.is_))
    """Marks a future to asyncio, which sets it false when a task begins to wait. Nothing reads that,
    so it is always true here, and setting it does nothing; both by functions written in C."""

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the running loop, or that of the receiver's system where none runs."""
        return asyncio._get_running_loop() or self._home.loop

    def result(self) -> Any:
        """Return the answer, or raise the error; `asyncio.InvalidStateError` while it is pending."""
        if self._state == PENDING:
            raise InvalidStateError("The request has no answer yet.")
        try:
            return self._outcome()
        finally:
            del self  # the error holds this frame

    def exception(self) -> BaseException | None:
        """Return the error, or None for an answer; raise what `result` raises of a cancelled request."""
        if self._state == ANSWERED:
            return None
        if self._state == PENDING or self.cancelled():
            self.result()
        error = self._result = self._exception()
        return error

    def cancelled(self) -> bool:
        """Tell whether the request was abandoned, or its handling cancelled."""
        return self._state > ANSWERED and isinstance(self._result, asyncio.CancelledError)

    @property
    def _cancel_message(self) -> Any:
        return next(iter(self._result.args), None) if self.cancelled() else None

    def _make_cancelled_error(self) -> BaseException:
        """Return what `asyncio.gather` raises of a cancelled request."""
        error: BaseException = self._result if self.cancelled() else asyncio.CancelledError()
        return error

    def cancel(self, msg: Any | None = None) -> bool:
        """Abandon the request, and let what waits for it see a CancelledError."""
        if self._state != PENDING:
            return False
        waiter = self._waiter
        self.abandon()
        if msg is not None:
            self._result = asyncio.CancelledError(msg)
        if waiter is not None:
            waiter._reply_ready(self)
        return True

    def add_done_callback(
        self, fn: Callable[[Any], object], *, context: Context | None = None
    ) -> None:
        """Have ``fn(request)`` called by the loop that this is called on, once the request is done."""
        callback = Callback(
            self, self.get_loop(), fn, copy_context() if context is None else context
        )
        if self._state == PENDING:
            callback._before = self._waiter
            self._waiter = callback
            if callback.loop is not self._home.loop and HERE.job is not None:
                callback.job = HERE.job
                HERE.job.waits(1)
                if HERE.cell._awaits is not self:
                    enter_outside(self._home, callback.loop)
            if get_ident() == self._home.thread or self._state == PENDING:
                return
            # Answered by its own thread in this moment; it may have overlooked the callback.
        callback.call_soon()

    def remove_done_callback(self, fn: Callable[[Any], object]) -> int:
        """Forget *fn*, and return how often it was there."""
        removed = 0
        waiter: Any = self._waiter
        while type(waiter) is Callback:
            if waiter.fn == fn:
                waiter.fn = _ignore
                waiter.leave_job()
                removed += 1
            waiter = waiter._before
        return removed

    # A request may stand where a coroutine is wanted: `asyncio.create_task(ref.request(...))`.

    def send(self, value: Any) -> Any:
        """Run on, as a coroutine would."""
        try:
            steps = self._steps
        except AttributeError:
            steps = self._steps = self.__await__()
        return steps.send(value)

    def throw(self, *error: Any) -> Any:
        """Raise *error* where it waits, as a coroutine would."""
        try:
            steps = self._steps
        except AttributeError:
            steps = self._steps = self.__await__()
        return steps.throw(*error)

    def close(self) -> None:
        """End it, as a coroutine would: the request is abandoned."""
        self.abandon()

    def __await__(self) -> Generator[Any, None, Any]:
        if self._state == PENDING:
            task: Any = current_task()
            if type(task) is ActorTask:
                cell = task._cell
                before = cell._awaits
                cell._awaits = self
                target = self._target
                # One that waits for nothing will get on: nearly all who are asked. The asker itself
                # waits for this.
                if (target.latest or target)._awaits is not None:
                    refuse_circle(self, cell, before)
                if cell._sched is self._home and self._waiter is None:
                    self._waiter = cell
                    try:
                        yield self
                    except BaseException:
                        if cell._awaits is self:
                            cell._awaits = before
                        if self._waiter is cell:
                            self.abandon()
                        else:
                            self.cancel()  # others have come to wait for it too
                        raise
                else:
                    # Others wait for it already, or it is an actor of another system: a scheduler
                    # parks its actors on requests of its own only.
                    future: asyncio.Future[None] = self.get_loop().create_future()
                    self.add_done_callback(lambda _: set_unless_done(future))
                    try:
                        yield from future
                    except BaseException:
                        if cell._awaits is self:
                            cell._awaits = before
                        self.cancel()
                        raise
                if cell._awaits is self:
                    cell._awaits = before
            elif PARTS or get_ident() != self._home.thread:
                yield from _await_for(self, task)
            else:
                try:
                    yield self
                except BaseException:
                    self.cancel()
                    del self  # the error may be the answer, and holds this frame
                    raise
        if self._state == ANSWERED:
            return self._result
        try:
            return self._outcome()
        finally:
            del self  # the error holds this frame too


R = TypeVar("R", bound=Request)


@overload
def new_request(message: Any, target: Target, home: Home) -> Request: ...
@overload
def new_request(message: Any, target: Target, home: Home, kind: type[R]) -> R: ...
def new_request(message: Any, target: Target, home: Home, kind: type[Request] = Request) -> Request:
    """Return a request for *message* to *target*, homed in *home*."""
    request = kind()
    request.message = message
    request._target = target
    request._home = home
    request._state = PENDING
    request._waiter = None
    request._result = None
    return request


KINDS[Request] = ASKED
OWN_AWAITABLES.add(Request)
Coroutine.register(Request)  # type: ignore[type-abstract,unused-ignore]  # pyright: ignore


class Callback:
    """A function that a loop calls when a request is done; more than one hang together.

    In the loop of the receiver's system the scheduler calls it, once no actor is ready.
    """

    __slots__ = ("_before", "_request", "context", "fn", "job", "loop")

    def __init__(
        self,
        request: Request,
        loop: asyncio.AbstractEventLoop,
        fn: Callable[[Any], object],
        context: Context,
    ) -> None:
        self.loop = loop
        self.fn = fn
        self.context = context
        self._request: Request | None = request
        self.job: Any = None
        """The job of the thread whose loop it is, where that is a worker's."""
        self._before: Any = None
        """What waited for the request already."""

    def _reply_ready(self, request: Request, /) -> None:
        request._waiter = None  # it refers to the request
        before = self._before
        if before is not None:
            self._before = None
            before._reply_ready(request)
        self.call_soon()

    def call_soon(self) -> None:
        """Have the function called by its loop; from any thread."""
        request = self._request
        if request is None:
            return
        home = request._home
        if self.loop is not home.loop:
            call_on(self.loop, self.call)
        elif get_ident() == home.thread:
            home.call_back(self)
        elif not home.post(home.call_back, self):
            call_on(self.loop, self.call)

    @property
    def in_thread(self) -> bool:
        """Whether a handler in a worker's thread, or code in it, waits for it."""
        return self.job is not None

    def take(self) -> Request | None:
        """Return the request that the function is to be called with, once."""
        request, self._request = self._request, None
        self.leave_job()
        return request

    def leave_job(self) -> None:
        """The thread of its job does not wait for it any more; in that thread."""
        job, self.job = self.job, None
        if job is not None:
            job.waits(-1)

    def call(self) -> None:
        """Call the function now, in the context that it was given with."""
        request = self.take()
        if request is None:
            return  # two threads have found it done in the same moment
        try:
            self.context.run(self.fn, request)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.loop.call_exception_handler(
                {"message": f"A callback of {request!r} failed", "exception": error}
            )
        finally:
            del request  # its error may hold this frame


def _ignore(_request: Request, /) -> None:
    """Stand in the place of a callback that was removed."""


def call_on(loop: asyncio.AbstractEventLoop, fn: Callable[..., object], *args: Any) -> None:
    """Have ``fn(*args)`` called on another thread's loop, if that still runs."""
    try:
        loop.call_soon_threadsafe(fn, *args)
    except RuntimeError:
        pass  # closed: nothing waits there any more


def set_unless_done(future: asyncio.Future[Any], value: Any = None) -> None:
    """Set the result of *future*, unless it is done already."""
    if not future.done():
        future.set_result(value)


def refuse_circle(request: Request, cell: Any, before: Any = None) -> None:
    """Raise `CallingSelf` if *request*, which *cell* is about to wait for, closes a circle.

    The request is withdrawn then. *before* is what the cell awaits in its place.
    """
    way = find_circle(request, cell) if request._state == PENDING else None
    if way is not None:
        if cell._awaits is request:
            cell._awaits = before
        request.abandon()
        asked = request._target.latest or request._target
        if request.delivered and not asked.lasting:
            request._home.post_or_call(take_out, asked, request)
        raise calling_self(way, getattr(request, "advice", ""))


def _await_for(request: Request, task: Any) -> Generator[Any, None, None]:
    """Yield *request* from a task that is part of a handler, or that runs in the thread of one."""
    cell: Any = PARTS.get(task)
    before: Any = None
    if cell is not None:
        refuse_circle(request, cell)
        cell = None
    elif HERE.cell is not None and is_main(task):
        cell = HERE.cell
        before, cell._awaits = cell._awaits, request
        refuse_circle(request, cell, before)
    try:
        yield request
    except BaseException:
        request.cancel()
        raise
    finally:
        if cell is not None and cell._awaits is request:
            cell._awaits = before
        del request  # the error may be the answer, and holds this frame


class Promise(Request):
    """A request that is never delivered; its holder completes it."""

    __slots__ = ()

    delivered = False

    def held_up_by(self) -> Sequence[Any]:
        """Return the actors of which one has to become free before it is completed; () if unknown."""
        return ()


class HeldPromise(Promise):
    """A promise of which is known who must get on before it is completed: what *holders* returns."""

    __slots__ = ("advice", "holders")

    holders: Callable[[], Sequence[Any]]
    advice: str
    """What to do about a promise that can never be kept, for the message of `CallingSelf`."""

    def held_up_by(self) -> Sequence[Any]:
        return self.holders()

    def __await__(self) -> Generator[Any, None, Any]:
        if self._state == PENDING:
            task: Any = current_task()
            if type(task) is ActorTask:
                refuse_circle(self, task._cell, task._cell._awaits)
        return (yield from super().__await__())


class Send(Request):
    """A message that waits for room in a bounded mailbox; the answer is that it is in."""

    __slots__ = ()

    def admit(self) -> Any:
        self.reply(None)
        return self.message


class _Relay:
    """Tells a `Gathering` on one loop that a request to another loop's system is done."""

    __slots__ = ("_gathering", "_loop", "_request", "_told")

    in_thread = True

    def __init__(self, gathering: Gathering, request: Request) -> None:
        self._gathering = gathering
        self._request = request
        self._loop = asyncio.get_running_loop()
        self._told = False
        request._waiter = self
        if request._state != PENDING:
            self._loop.call_soon(self._tell)  # answered in the moment before

    def _reply_ready(self, _request: Request, /) -> None:
        call_on(self._loop, self._tell)

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            self._gathering._reply_ready(self._request)


class Gathering:
    """Several requests awaited together. See `gather`."""

    __slots__ = (
        "_enough", "_failed", "_missing", "_on_reply", "_raise", "_waiter", "race", "requests"
    )  # fmt: skip

    def __init__(
        self,
        requests: tuple[Request, ...],
        return_exceptions: bool,
        on_reply: Callable[[Request], object] | None = None,
        race: bool = False,
    ) -> None:
        self.race = race
        self.requests = requests
        self._raise = not return_exceptions
        self._on_reply = on_reply
        self._enough = False
        self._missing = 0
        self._failed: Request | None = None
        self._waiter: Any = None

    def _reply_ready(self, request: Request, /) -> None:
        self._missing -= 1
        if self._raise and request._state != ANSWERED and self._failed is None:
            self._failed = request
        if self._on_reply is not None and not self._enough and self._on_reply(request):
            self._enough = True
        if self._missing == 0 or self._failed is not None or self._enough:
            waiter = self._waiter
            if waiter is not None:
                self._waiter = None
                if isinstance(waiter, asyncio.Future):
                    future: asyncio.Future[None] = waiter  # pyright: ignore
                    set_unless_done(future)
                else:
                    waiter._reply_ready(self)

    @property
    def cell(self) -> Any:
        """The cell of the parked handler that waits for them; None if they are awaited elsewhere."""
        waiter = self._waiter
        return None if isinstance(waiter, asyncio.Future) else waiter

    def pending(self) -> Sequence[Request]:
        """Return those that have no answer yet."""
        return [request for request in self.requests if request._state == PENDING]

    def abandon(self) -> None:
        """Abandon every request that has no answer yet."""
        self._waiter = self._on_reply = None
        for request in self.requests:
            if type(request._waiter) is Callback:
                request.cancel()  # others wait for it too
            elif request._state == PENDING:
                request.abandon()

    def __await__(self) -> Generator[Any, None, list[Any]]:
        missing = 0
        here = None
        if self.requests and self.requests[0]._home.thread == get_ident():
            here = self.requests[0]._home
        for request in self.requests:
            if request._state == PENDING:
                if request._waiter is not None:
                    request.add_done_callback(self._reply_ready)  # others wait for it already
                elif request._home is here or request._home.thread == get_ident():
                    request._waiter = self
                else:
                    _Relay(self, request)
                missing += 1
            elif self._raise and request._state != ANSWERED:
                self._failed = request
            elif self._on_reply is not None and not self._enough and self._on_reply(request):
                self._enough = True
        self._missing = missing
        if missing and self._failed is None and not self._enough:
            yield from self._park()
        elif self._enough:
            self.abandon()
        if self._failed is not None:
            self.abandon()
            self._failed._outcome()
        return [
            request._result if request._state == ANSWERED else request._exception()
            for request in self.requests
        ]

    def _park(self) -> Generator[Any, None, None]:
        """Wait until there is enough; what has no answer then is abandoned."""
        task: Any = current_task()
        home = self.requests[0]._home
        cell: Any = None
        before: Any = None
        if type(task) is ActorTask:
            cell = task._cell
        elif HERE.cell is not None and is_main(task):
            cell = HERE.cell
        try:
            if cell is not None:
                before, cell._awaits = cell._awaits, self
                for request in self.requests:
                    target = request._target
                    if (target.latest or target)._awaits is not None:
                        refuse_circle(request, cell, before)
            elif HERE.job is not None:
                enter_outside(home, asyncio.get_running_loop())
            elif PARTS and (part_of := PARTS.get(task)) is not None:
                for request in self.requests:
                    refuse_circle(request, part_of)
            if cell is not None and type(task) is ActorTask and cell._sched is home:
                self._waiter = cell
                yield self
            else:
                future = self._waiter = asyncio.get_running_loop().create_future()
                job = HERE.job
                if job is not None:
                    job.waits(1)
                try:
                    yield from future
                finally:
                    if job is not None:
                        job.waits(-1)
        finally:
            if cell is not None and cell._awaits is self:
                cell._awaits = before
            if self._missing:
                self.abandon()


OWN_AWAITABLES.add(Gathering)


def gather(
    *requests: Request,
    return_exceptions: bool = False,
    on_reply: Callable[[Request], object] | None = None,
    race: bool | None = None,
) -> Awaitable[list[Any]]:
    """Return the answers to *requests*, in their order, all awaited at once.

    The first failure is raised and the requests without an answer are abandoned; with
    *return_exceptions* the errors stand in the places of the answers. Unlike `asyncio.gather` it
    makes no task and no future per request: inside an actor it costs about as much as the asks.

    *on_reply* is called with each request at the moment it is done, on the loop's thread; it must
    not raise. Once it returns something true, the waiting is over, and what has no answer yet is
    abandoned (with *return_exceptions* a CancelledError stands in its place): a race. ``race=False``
    says that it never returns anything true.
    """
    if race is None:
        race = on_reply is not None
    return Gathering(requests, return_exceptions, on_reply, race)
