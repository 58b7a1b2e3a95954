# pyright: reportPrivateUsage=false
"""A watch over handlers in production: how long they take, and what goes on around them.

It stands where the simulation has its observer, so a system that is not watched has the same code on the
path of a message as before. One that is watched pays a call for each message. Beyond 250 messages a
second it picks some by chance, and each that it picks stands for those in between: the sum stays right, and
a clock is read for a few messages only.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from random import Random
from types import CoroutineType
from typing import Any, Final, cast

from ..messages import OwnMessage
from .cell import Cell, dispatcher_of
from .home import Home
from .in_hand import IN_HAND
from .pykka_seam import ActorStop

EACH: Final = 250
"""Messages between two calls of `HandlerWatch.refresh` of which each is looked at."""
STEPS: Final = ((2 * EACH, 16), (3 * EACH, 256), (None, 4_096))
"""How many are looked at until then, and how many each of them stands for."""

_NO_MESSAGES: Final = (*IN_HAND, OwnMessage, ActorStop)
"""What is delivered and is not a message to an actor, or one that was seen when its handling began."""

End = Callable[[BaseException | None], None]
"""Is called when a handler has ended, with its error if it has one."""
Begin = Callable[[], End | None]
"""Is called when a handler begins, in its context and thread."""
Watch = Callable[[Any, Any, int], Begin | None]
"""Is shown the ref of an actor, a message that it is about to handle, and how many messages that one stands
for. Called on the thread that the handler runs on; what it raises, the handler does."""


class HandlerWatch:
    """Shows handlers to those who watch them (`home.Observer`). Made by `watch_handlers`.

    Its counters are written by every thread that runs handlers: one that is lost shifts a choice by one.
    """

    __slots__ = ("_each", "_gap", "_home", "_left", "_looked", "_mean", "_random", "_some")

    def __init__(self, home: Home) -> None:
        self._home = home
        self._each: tuple[Watch, ...] = ()
        self._some: tuple[Watch, ...] = ()
        self._left = 1
        """How many messages are passed over until the next look, and one."""
        self._gap = 1
        """The same until one is chosen for those that are shown some."""
        self._looked = 0
        self._mean = 1
        self._random = Random(0)

    def refresh(self) -> None:
        """Look at each message again; to be called once a second."""
        self._looked = 0
        self._mean = self._left = self._gap = 1

    def add(self, watch: Watch, each: bool) -> None:
        """Show handlers to *watch* too; *each*: all messages, however many there are."""
        if each:
            self._each += (watch,)
        else:
            self._some += (watch,)
        self._home.observer = self
        self.refresh()

    def remove(self, watch: Watch) -> None:
        """Show *watch* nothing any more."""
        self._each = tuple(one for one in self._each if one != watch)
        self._some = tuple(one for one in self._some if one != watch)
        if not self._each and not self._some and self._home.observer is self:
            self._home.observer = None

    # -- called by the kernel ------------------------------------------------------------------

    def on_deliver(
        self, cell: Any, message: Any, request: Any, receive: Callable[[Any], Any]
    ) -> Callable[[Any], Any]:
        """Return what handles *message*: *receive*, or that with what watches it around."""
        left = self._left - 1
        if left > 0:
            self._left = left
            return receive
        begin = self._look(cell, message)
        if begin is None or dispatcher_of(cell) == "process":
            return receive  # what is called in a child process is seen by `on_call`
        return partial(_handle, begin, receive)

    def on_call(self, cell: Any, message: Any, context: Context, call: Callable[[], Any]) -> Any:
        """Return what *call* does, which has *message* handled in a child process."""
        begin = self._look(cell, message)
        end = None if begin is None else context.run(begin)
        if end is None:
            return call()
        try:
            result = call()
        except BaseException as error:
            context.run(end, error)
            raise
        context.run(end, None)
        return result

    def _look(self, cell: Cell, message: Any) -> Begin | None:
        if isinstance(message, _NO_MESSAGES):
            self._left = 1
            return None
        begins: list[Begin] = []
        if self._each:
            self._left = 1
            self._gap -= 1
            for watch in self._each:
                begin = watch(cell, message, 1)
                if begin is not None:
                    begins.append(begin)
        else:
            self._gap = 0
        if self._gap <= 0 and self._some:
            stands_for = self._choose()
            for watch in self._some:
                begin = watch(cell, message, stands_for)
                if begin is not None:
                    begins.append(begin)
        if len(begins) < 2:
            return begins[0] if begins else None
        return partial(_begin_all, begins)

    def _choose(self) -> int:
        """Return how many messages this one stands for, and choose the next."""
        stands_for = self._mean
        self._looked += 1
        if self._looked > EACH:
            looked = self._looked
            self._mean = next(mean for most, mean in STEPS if most is None or looked <= most)
            # By chance: every sixteenth of two actors that answer each other is always the same one.
            self._gap = self._random.randrange(1, 2 * self._mean)
        else:
            self._mean = self._gap = 1
        if not self._each:
            self._left = self._gap
        return stands_for

    def may_handle_now(self) -> bool:
        """Messages may be handled inside the turn of another actor, as without a watch."""
        return True

    def on_spawn(self, cell: Any, parent: Any) -> None:
        """An actor starts."""

    def on_signal(self, target: Any, sender: Any, reason: Any) -> None:
        """An exit signal is under way."""

    def on_end(self, cell: Any, reason: Any) -> None:
        """An actor has ended."""


def watch_handlers(
    home: Home, watch: Watch, *, each: bool = False
) -> tuple[HandlerWatch, Callable[[], None]] | None:
    """Have *watch* shown the handlers in *home* from now on; on the loop's thread.

    Return what shows them, and a function that ends it. None where the handlers are watched by
    something else: in a simulation.
    """
    observer = home.observer
    if observer is None:
        observer = HandlerWatch(home)
    elif not isinstance(observer, HandlerWatch):
        return None
    observer.add(watch, each)
    return observer, partial(observer.remove, watch)


def _begin_all(begins: list[Begin]) -> End:
    ends = [end for begin in begins if (end := begin()) is not None]

    def end_all(error: BaseException | None) -> None:
        for end in reversed(ends):
            end(error)

    return end_all


def _handle(begin: Begin, receive: Callable[[Any], Any], message: Any) -> Any:
    end = begin()
    if end is None:
        return receive(message)
    try:
        result = receive(message)
    except BaseException as error:
        end(error)
        raise
    if type(result) is CoroutineType:  # pyright: ignore[reportUnknownArgumentType]
        return _awaited(_Held(cast("Coroutine[Any, Any, Any]", result), end))
    end(None)
    return result


class _Held:
    """A coroutine that may never be begun: it is closed then and warns of nothing, and *end* is called."""

    __slots__ = ("end", "work")

    def __init__(self, work: Coroutine[Any, Any, Any], end: End) -> None:
        self.work = work
        self.end: End | None = end

    def take_end(self) -> End:
        """Return *end*, for its caller to call."""
        end, self.end = self.end, None
        assert end is not None, "it is begun once"
        return end

    def __del__(self) -> None:
        self.work.close()
        if self.end is not None:
            self.end(GeneratorExit())


async def _awaited(held: _Held) -> Any:
    end = held.take_end()
    try:
        result = await held.work
    except BaseException as error:
        end(error)
        raise
    end(None)
    return result


__all__ = ["Begin", "End", "HandlerWatch", "Watch", "watch_handlers"]
