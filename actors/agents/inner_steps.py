"""What the inner steps of a handler need: what records their outcomes, and how their functions are called.

An engine that runs a handler as a part of something durable puts an `InnerJournal` behind the context
that the handler finds in `agent_context`. Everywhere else an inner step is a plain call.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar, Token
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..errors import WouldBlock
from ..function_actor import is_coroutine_function
from ..function_exits import call_for_future

if TYPE_CHECKING:
    from .meter import Meter

SEPARATORS: Final = frozenset("/#")
"""What stands between the names of steps, and before their numbers, in idempotency keys."""


class InnerJournal(Protocol):
    """Records the outcomes of the inner steps of one piece of work. Safe from any thread.

    *context* is what the calling handler found in `agent_context`.
    """

    @property
    def meter(self) -> Meter:
        """What that piece of work spends on models."""
        ...

    def step(
        self,
        context: Mapping[str, Any],
        name: str,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Coroutine[Any, Any, Any]:
        """Return a coroutine for what *fn* returns, or has returned in an attempt before."""
        ...

    def step_sync(
        self,
        context: Mapping[str, Any],
        name: str,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Do the same, and block this thread meanwhile."""
        ...

    async def named_step(
        self, context: Mapping[str, Any], name: str, fn: Callable[[], Coroutine[Any, Any, Any]]
    ) -> Any:
        """Return what *fn* returns, or what is recorded under just this *name*.

        For steps whose names are their own: they are neither numbered nor compared by their order.
        """
        ...

    def recorded(self, context: Mapping[str, Any], name: str) -> tuple[Any] | None:
        """Return what is recorded under just this *name*; None: nothing is."""
        ...

    def outcomes(self, context: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what is recorded of the handling with *context* and all beneath it, by the path to it."""
        ...

    def number(self, context: Mapping[str, Any], name: str) -> int:
        """Return how often this handling has asked for a number for *name*, this time counted."""
        ...

    def question(
        self, context: Mapping[str, Any], name: str, data: Any, group: str | None
    ) -> Coroutine[Any, Any, Any]:
        """Return a coroutine for the answer to a question, which may come in a later attempt."""
        ...

    def question_sync(
        self, context: Mapping[str, Any], name: str, data: Any, group: str | None
    ) -> Any:
        """Do the same, and block this thread until it is known that there is none yet: that raises."""
        ...


_STRAND: Final[ContextVar[Any]] = ContextVar("agenticaiframework_strand", default=None)


def strand_here() -> Any:
    """Return what runs here, whose calls have an order: a task, or a thread, if nothing else was said."""
    strand = _STRAND.get()
    if strand is not None:
        return strand
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs in this thread
        return get_ident()


class on_strand:
    """Let `strand_here` return *strand* inside of a ``with`` block: a call is made for what runs elsewhere."""

    __slots__ = ("_strand", "_token")

    def __init__(self, strand: Any) -> None:
        self._strand = strand

    def __enter__(self) -> None:
        self._token: Token[Any] = _STRAND.set(self._strand)

    def __exit__(self, *_exc: object) -> None:
        _STRAND.reset(self._token)


def check_question(name: Any) -> None:
    """Raise unless *name* can name a question."""
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"the name of a question is a non-empty text, not {name!r}")
    if not SEPARATORS.isdisjoint(name):
        raise ValueError(
            f"the name of a question has no '/' and no '#': {name!r}. "
            "They stand between the names, and before their numbers, in its id."
        )


def check_step(name: Any, fn: Any) -> None:
    """Raise unless *name* can name an inner step, and *fn* can be called."""
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"the name of an inner step is a non-empty text, not {name!r}")
    if not SEPARATORS.isdisjoint(name):
        raise ValueError(
            f"the name of an inner step has no '/' and no '#': {name!r}. "
            "They stand between the names, and before their numbers, in idempotency keys."
        )
    if not callable(fn):
        raise TypeError(f'step("{name}", fn, ...) calls fn, and {fn!r} cannot be called')


async def call_step(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """Return what *fn* returns: an ``async`` function runs here, a plain one in a thread.

    A plain one may block, and what awaits this is a loop's thread. An awaitable that it returns is
    awaited here.
    """
    if is_coroutine_function(fn):
        return await fn(*args, **kwargs)
    result = await asyncio.to_thread(call_for_future, fn, *args, **kwargs)
    return await result if inspect.isawaitable(result) else result


def call_step_blocking(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """Return what *fn* returns, called in this thread; an awaitable gets a loop of its own."""
    result = fn(*args, **kwargs)
    return asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result


def refuse_on_loop(called: str = "step") -> None:
    """Raise `WouldBlock` in a thread whose loop runs."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise WouldBlock(f"context.{called}_sync(...)", f"await context.{called}(...)")


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


__all__ = [
    "InnerJournal",
    "call_step",
    "call_step_blocking",
    "check_question",
    "check_step",
    "on_strand",
    "refuse_on_loop",
    "strand_here",
]
