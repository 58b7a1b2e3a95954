"""The journal of a handler that works for a step of a run on another node.

Which call it is, and whether it has an outcome, the caller's journal says; the function of one that has
none is called here, in the handler's own task or thread. What is recorded when the work is sent comes
with it, so that what has to know that at once need not wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..cluster.errors import CannotTravel
from ..looks import is_a
from .agent_context import IDEMPOTENCY_KEY, AgentContext, given_context, in_agent_context
from .call_words import MakeStep, StepCalled, StepDropped, StepMade
from .inner_steps import call_step, call_step_blocking, strand_here
from .portable import portable_context

if TYPE_CHECKING:
    from ..kernel.future import ActorFuture
    from .meter import Meter

OF_THE_WORK: Final = 0
"""The number of the handling that the caller has sent itself."""


class Side(Protocol):
    """The callee's side, as its journal uses it: a `CalleeSide`."""

    def say(self, word: Any, error: BaseException | None = None) -> None: ...
    def ask(self, word_of: Callable[[int], Any], error_of: str) -> tuple[int, ActorFuture]: ...
    def expect(self, id: int, what: str) -> ActorFuture: ...
    def forget(self, id: int) -> None: ...


class _Handling:
    """One handling here, as the caller's journal is told of it."""

    __slots__ = ("known", "number", "numbers", "strand")

    def __init__(self, number: int, *, known: bool = False) -> None:
        self.number = number
        self.strand: Any = None if known else strand_here()
        self.known = known
        """Whether the caller knows its context."""
        self.numbers: dict[str, count[int]] = {}


class CalleeJournal:
    """The `InnerJournal` of work for another node. Safe from any thread."""

    def __init__(self, side: Side, meter: Meter, outcomes: Mapping[str, Any]) -> None:
        self._side = side
        self._meter = meter
        self._outcomes = dict(outcomes)
        self._numbers = count(1)

    @property
    def meter(self) -> Meter:
        """What is spent on models here for the caller."""
        return self._meter

    def of_the_work(self, context: Any) -> Any:
        """Return *context* as that of the handling that the caller has sent."""
        context.places = _Handling(OF_THE_WORK, known=True)
        return context

    # -- the calls ---------------------------------------------------------------------------------

    def step(
        self,
        context: Mapping[str, Any],
        name: str,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Coroutine[Any, Any, Any]:
        """Return a coroutine for what *fn* returns, or has returned in an attempt before."""
        # Its number is that of this call, in whatever order the coroutines are awaited.
        id, answer = self._called(context, "step", name)
        return self._made(id, answer, context, name, fn, args, kwargs)

    async def named_step(
        self, context: Mapping[str, Any], name: str, fn: Callable[[], Coroutine[Any, Any, Any]]
    ) -> Any:
        """Return what *fn* returns, or what is recorded under just this *name*."""
        id, answer = self._called(context, "named", name)
        value = await self._made(id, answer, context, name, fn, (), {})
        self._outcomes[_place(context, name)] = value
        return value

    async def _made(
        self,
        id: int,
        answer: ActorFuture,
        context: Any,
        name: str,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        raised: Exception | None = None
        try:
            said = await answer
            if not is_a(said, MakeStep):
                return said.value
            answer = self._side.expect(id, f"The inner step {name!r}")
            try:
                with in_agent_context(self._within(context, said)):
                    value = await call_step(fn, args, kwargs)
            except Exception as error:
                raised = error
                self._side.say(StepMade(id, None), error)
            else:
                self._say_made(id, name, value)
            return (await answer).value
        except asyncio.CancelledError:
            self._side.forget(id)
            self._side.say(StepDropped(id))
            raise
        except Exception as error:
            if raised is not None and type(error) is type(raised):
                raise raised from raised.__cause__
            raise

    def step_sync(
        self,
        context: Mapping[str, Any],
        name: str,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Do the same, and block this thread meanwhile."""
        id, answer = self._called(context, "step", name)
        said = answer.get()
        if not is_a(said, MakeStep):
            return said.value
        answer = self._side.expect(id, f"The inner step {name!r}")
        raised: Exception | None = None
        try:
            with in_agent_context(self._within(context, said)):
                value = call_step_blocking(fn, args, kwargs)
        except Exception as error:
            raised = error
            self._side.say(StepMade(id, None), error)
        else:
            self._say_made(id, name, value)
        try:
            return answer.get().value
        except Exception as error:
            if raised is not None and type(error) is type(raised):
                raise raised from raised.__cause__
            raise

    def question(
        self, context: Mapping[str, Any], name: str, data: Any, group: str | None
    ) -> Coroutine[Any, Any, Any]:
        """Return a coroutine for the answer to a question; the attempt may end meanwhile."""
        id, answer = self._called(context, "question", name, data, group)
        return self._answered(id, answer)

    async def _answered(self, id: int, answer: ActorFuture) -> Any:
        try:
            return (await answer).value
        except asyncio.CancelledError:
            self._side.forget(id)
            self._side.say(StepDropped(id))
            raise

    def question_sync(
        self, context: Mapping[str, Any], name: str, data: Any, group: str | None
    ) -> Any:
        """Do the same, and block this thread until the attempt is to end: that raises."""
        _, answer = self._called(context, "question", name, data, group)
        return answer.get().value

    # -- what is recorded --------------------------------------------------------------------------

    def recorded(self, context: Mapping[str, Any], name: str) -> tuple[Any] | None:
        """Return what is recorded under just this *name*; None: nothing is."""
        place = _place(context, name)
        return (self._outcomes[place],) if place in self._outcomes else None

    def outcomes(self, context: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what is recorded of the handling with *context* and all beneath it, by the path to it."""
        beneath = f"{_path(context)}/"
        return {
            place: value for place, value in self._outcomes.items() if place.startswith(beneath)
        }

    def number(self, context: Mapping[str, Any], name: str) -> int:
        """Return how often this handling has asked for a number for *name*, this time counted."""
        return next(self._handling(context).numbers.setdefault(name, count(1)))

    # -- to the caller -----------------------------------------------------------------------------

    def _called(
        self,
        context: Mapping[str, Any],
        kind: str,
        name: str,
        data: Any = None,
        group: str | None = None,
    ) -> tuple[int, ActorFuture]:
        handling = self._handling(context)
        if handling.strand is None:
            handling.strand = strand_here()
        ordered = handling.strand == strand_here()
        known, handling.known = handling.known, True
        fields = None if known else portable_context(context)
        path = _path(context)

        def word(id: int) -> StepCalled:
            return StepCalled(
                id, kind, handling.number, path, fields, name, ordered, data, group
            )  # fmt: skip

        return self._side.ask(word, f"The inner step {name!r}")

    def _handling(self, context: Any) -> _Handling:
        handling: _Handling | None = getattr(context, "places", None)
        if handling is None:
            handling = context.places = _Handling(next(self._numbers))
        return handling

    def _within(self, context: Any, said: MakeStep) -> AgentContext:
        """Return what a step's function finds in `agent_context`."""
        return given_context({**context, IDEMPOTENCY_KEY: said.key}, self, said.path)

    def _say_made(self, id: int, name: str, value: Any) -> None:
        try:
            self._side.say(StepMade(id, value))
        except CannotTravel as error:
            self._side.say(
                StepMade(id, None),
                CannotTravel(f"What the inner step {name!r} returned", error.why),
            )


def _path(context: object) -> str:
    path: str = getattr(context, "path", "")
    return path


def _place(context: object, name: str) -> str:
    return f"{_path(context)}/{name}"


__all__ = ["CalleeJournal"]
