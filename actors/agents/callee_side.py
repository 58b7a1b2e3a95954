"""The callee's side of a request to an agent from another node: what the handler finds here.

In its context are what passes on the parts of its answer, and a journal; around it is a meter. Each
says to the caller's side (`caller_side`) what happens, and waits for what that answers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Final, Protocol

from ..cluster.errors import CannotTravel
from ..kernel.future import ActorFuture
from ..kernel.home import Home
from ..kernel.request import set_unless_done
from ..looks import is_a
from .agent_context import given_context
from .call_words import (
    MakeStep,
    NotSent,
    PartSaid,
    PartsRead,
    RequestBegun,
    RequestEnded,
    Said,
    Spent,
    Terms,
    Told,
    ToolEnded,
)
from .callee_journal import CalleeJournal
from .errors import NotAwaited
from .meter import Meter
from .metering import METER
from .model_turn import MODEL_TURN
from .parts import CHUNKS, NoSink
from .remote_turn import state_said, turn_there
from .usage import Usage

WINDOW: Final = 256
"""How many parts may be under way to a reader on another node before a generator has to wait."""


class Call(Protocol):
    """A request of another node: a `CallOfAnother`."""

    _home: Home
    on_remark: Callable[[Any, BaseException | None], object] | None

    def note(self, word: Any, error: BaseException | None = None) -> None: ...
    def fail(self, error: BaseException, /) -> None: ...


class CalleeSide:
    """What one request of another node needs here. Its state belongs to the loop's thread."""

    def __init__(self, agent: str, call: Call, terms: Terms) -> None:
        self.agent = agent
        self.home: Home = call._home  # pyright: ignore[reportPrivateUsage] - one kernel package
        self._call: Call | None = call
        self._terms = terms
        self._ids = count(1)
        self._waiting: dict[int, ActorFuture] = {}
        self._sink = RemoteSink(self) if terms.streamed else None
        call.on_remark = self._remarked

    def open(self, fields: Mapping[str, Any] | None) -> Any:
        """Return the context of the work, of the *fields* that have come; and enter its meter here."""
        terms = self._terms
        given = dict(fields or {})
        if self._sink is not None:
            given[CHUNKS] = self._sink
        if terms.turn is not None:
            given[MODEL_TURN] = turn_there(terms.turn, self.say)
        meter = None
        if terms.metered:
            meter = Meter("request", self.agent)
            meter.ledger = CalleeLedger(self, limited=terms.limited)
        journal = None
        if terms.path is not None:
            if meter is None:
                meter = Meter("request", self.agent)
            journal = meter.journal = CalleeJournal(self, meter, terms.outcomes)
        if meter is not None:
            METER.set(meter)
        if journal is None:
            return given or None
        return journal.of_the_work(given_context(given, journal, terms.path or "", terms.made))

    def say(self, word: Any, error: BaseException | None = None) -> None:
        """Say *word* to the caller. Safe from any thread; on the loop's it raises `CannotTravel`."""
        if self.home.is_here():
            if self._call is not None:
                self._call.note(word, error)
        else:
            self.home.post_or_call(self._say_here, word, error)

    def _say_here(self, word: Any, error: BaseException | None) -> None:
        call = self._call
        if call is None:
            return
        try:
            call.note(word, error)
        except CannotTravel as cannot:
            call.fail(cannot)

    def ask(self, word_of: Callable[[int], Any], error_of: str) -> tuple[int, ActorFuture]:
        """Say ``word_of(id)`` to the caller, and return the id and the future of its next answer."""
        id = next(self._ids)
        future = self.expect(id, error_of)
        self.say(word_of(id))
        return id, future

    def expect(self, id: int, what: str) -> ActorFuture:
        """Return the future of the next answer to what was asked under *id*."""
        future = ActorFuture()
        future.home = self.home
        if self._call is None:
            future.fail(NotAwaited(self.agent, what))
        else:
            self._waiting[id] = future
        return future

    def forget(self, id: int) -> None:
        """Nothing waits for an answer to *id* any more."""
        self._waiting.pop(id, None)

    def _remarked(self, word: Any, error: BaseException | None) -> None:
        match word:
            case PartsRead(number):
                if self._sink is not None:
                    self._sink.read(number)
            case Said(id, value):
                future = self._waiting.pop(id, None)
                if future is not None and error is not None:
                    future.fail(error)
                elif future is not None:
                    future.reply(Said(id, value))
            case MakeStep(id):
                future = self._waiting.pop(id, None)
                if future is not None:
                    future.reply(word)
            case _:
                pass

    def end(self) -> None:
        """The handler has ended: tell the caller what the answer does not say."""
        if self._terms.turn is not None:
            state = state_said(self._terms.turn)
            if state is not None:
                self.say(state)

    def over(self) -> None:
        """The request is answered, or is not waited for any more: its caller is told nothing now."""
        self._call = None
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            future.fail(NotAwaited(self.agent, "What was asked of the caller"))
        if self._sink is not None:
            self._sink.over()


class RemoteSink:
    """Takes the parts of an answer that is read on another node."""

    def __init__(self, side: CalleeSide) -> None:
        self._side = side
        self._sent = 0
        self._read = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._over = False

    def send(self, part: Any) -> None:
        """Send *part* on. Safe from any thread."""
        self._sent += 1
        self._side.say(PartSaid(part))

    async def room(self) -> None:
        """Wait while `WINDOW` parts are under way, or have not been read."""
        while self._sent - self._read >= WINDOW and not self._over:
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future

    def read(self, number: int) -> None:
        """So many parts have been read in all."""
        self._read = number
        self._wake()

    def over(self) -> None:
        """Nothing is read any more."""
        self._over = True
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for future in waiting:
            future.get_loop().call_soon_threadsafe(set_unless_done, future)

    def __reduce__(self) -> tuple[type[NoSink], tuple[()]]:
        # A handler in another process of this node cannot reach the stream.
        return NoSink, ()


class CalleeLedger:
    """Has the caller count what is spent here. Safe from any thread."""

    def __init__(self, side: CalleeSide, *, limited: bool) -> None:
        self._side = side
        self.limited = limited

    def begun(self, agent: str, /) -> None:
        """A request of *agent* is about to be sent."""
        self._side.say(RequestBegun(agent, False))

    async def admit(self, agent: str, /) -> None:
        """Count that, where the caller's limits allow it; raises `UsageLimitReached`."""
        await self._admit(agent, tool=False)

    def tool_begun(self, agent: str, /) -> None:
        """A tool of *agent* is about to be called."""
        self._side.say(RequestBegun(agent, True))

    async def admit_tool(self, agent: str, /) -> None:
        """Take note of that, where the caller's limits allow it; raises `UsageLimitReached`."""
        await self._admit(agent, tool=True)

    async def _admit(self, agent: str, *, tool: bool) -> None:
        if not self.limited:
            self._side.say(RequestBegun(agent, tool))
            return
        id, answer = self._side.ask(lambda id: RequestBegun(agent, tool, id), "Leave to spend")
        try:
            await answer
        except asyncio.CancelledError:
            self._side.forget(id)
            self._side.say(NotSent(agent, tool, id))
            raise

    def ended(self, agent: str, usage: Usage, /) -> None:
        """A request of *agent* has ended, and took *usage*."""
        self._side.say(RequestEnded(agent, usage))

    def tool_ended(self, agent: str, returned: bool, /) -> None:
        """A tool of *agent* has ended."""
        self._side.say(ToolEnded(agent, returned))

    def spent(self, agent: str, usage: Usage, /) -> None:
        """Something else of *agent* took *usage*."""
        self._side.say(Spent(agent, usage))

    def told(self, event: Any, /) -> None:
        """A request to a model has ended, as *event* tells."""
        self._side.say(Told(event))


def callee_side_of(agent: str, call: Any, terms: Any) -> CalleeSide | None:
    """Return the side of *call*, which has come with *terms*; None: nothing of it is with its caller."""
    return CalleeSide(agent, call, terms) if is_a(terms, Terms) else None


__all__ = ["CalleeSide", "callee_side_of"]
