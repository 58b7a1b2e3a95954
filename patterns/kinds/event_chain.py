"""What follows from an event: the turns that it makes due, and the events that those cause."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from agenticaiframework.actors import ModelFields

from ..definition.errors import DefinitionError
from ..definition.fields import Test
from ..definition.policy import WorkPolicy
from ..definition.step import input_scope
from ..execution.execution import Execution
from ..execution.task_bag import TaskBag
from ..vocabulary.errors import LimitReached
from ..vocabulary.outcome import Completed, Failed, Outcome, Skipped, describe_error
from ..vocabulary.target import Target, target_name
from ..vocabulary.values import Emit, read_emits
from .event_matching import EventJoin, EventKey
from .reaction import Happening


@dataclass(frozen=True, slots=True)
class ChainLimits:
    """How far one reaction may go, and where what goes wrong in it is reported."""

    hops: int
    reactions: int
    dead_letter: str | None


@dataclass(frozen=True, slots=True)
class EventHandler:
    """An agent that reacts to events, with its condition and policy."""

    key: EventKey
    name: str
    target: Target
    policy: WorkPolicy
    condition: Test | None


@dataclass(frozen=True, slots=True)
class Turn:
    """A handler that is due."""

    handler: EventHandler
    event: str
    payload: Any
    trail: tuple[str, ...]


class EventChain:
    """What follows from the first events of one reaction. Owned by the coordinator.

    *check* sees every event before an agent gets it, and raises `DefinitionError`.
    """

    def __init__(
        self,
        run: Execution,
        bag: TaskBag,
        correlation_id: str,
        handlers: Sequence[EventHandler],
        limits: ChainLimits,
        check: Callable[[Emit], Emit],
    ) -> None:
        self._run = run
        self._bag = bag
        self._id = correlation_id
        self._handlers = handlers
        self._limits = limits
        self._check = check
        self._joins: dict[tuple[str, str], EventJoin] = {}
        self._names: dict[str, int] = {}
        self._turns = 0
        self.happenings: list[Happening] = []
        self.unhandled: list[Emit] = []
        self.problem: Exception | None = None
        """Why it was ended before everything had settled."""

    def happen(self, emit: Emit, trail: tuple[str, ...]) -> list[Turn]:
        """Return the turns that *emit*, after the events of *trail*, makes due."""
        trail = (*trail, emit.event)
        if len(trail) > self._limits.hops:
            raise self._limit("events in one chain", self._limits.hops, trail, "max_hops")
        turns: list[Turn] = []
        handled = False
        for handler in self._handlers:
            if not handler.key.match(emit.event):
                continue
            handled = True
            payload = emit.data
            if handler.key.joins:
                join = self._joins.setdefault(
                    (handler.key.text, handler.name), EventJoin(handler.key)
                )
                payload = join.add(emit.event, emit.data)
                if payload is None:
                    continue
            if handler.condition is not None:
                try:
                    holds = handler.condition(input_scope(payload, event=emit.event))
                except Exception as error:
                    self._not_told(handler, emit.event, trail, error)
                    continue
                if not holds:
                    continue
            turns.append(Turn(handler, emit.event, payload, trail))
        if not handled:
            self.unhandled.append(emit)
            letter = {
                "event": emit.event,
                "data": emit.data,
                "error": "no agent handles this event",
            }
            turns.extend(self._dead_letter(letter, trail))
        self._turns += len(turns)
        if self._turns > self._limits.reactions:
            raise self._limit("turns", self._limits.reactions, trail, "max_reactions")
        return turns

    def _not_told(
        self, handler: EventHandler, event: str, trail: tuple[str, ...], error: Exception
    ) -> None:
        """Note that *handler*'s condition cannot be told for *event*: its turn alone has failed."""
        now = self._run.clock()
        work = self._work(handler)
        failed = Failed(target_name(handler.target), now, now, 0, cause=error)
        self.happenings.append(
            Happening(event, work, self._run.settle(work, failed), (), len(trail))
        )

    def _work(self, handler: EventHandler) -> str:
        count = self._names[handler.name] = self._names.get(handler.name, 0) + 1
        return handler.name if count == 1 else f"{handler.name}#{count}"

    async def follow(self, turns: list[Turn]) -> None:
        """Take *turns* and all that they cause: the first one here, the others beside it."""
        while turns:
            for turn in turns[1:]:
                self._bag.start(self.follow([turn]))
            turns = await self._take(turns[0])

    async def _take(self, turn: Turn) -> list[Turn]:
        handler = turn.handler
        work = self._work(handler)
        context = {"event": turn.event, "correlation_id": self._id}
        outcome = await self._run.perform(
            work, handler.target, turn.payload, handler.policy, context
        )
        emits: tuple[Emit, ...] = ()
        due: list[Turn] = []
        try:
            if isinstance(outcome, Completed):
                try:
                    emits = tuple(map(self._check, _caused(outcome.value)))
                except DefinitionError as error:
                    outcome = self._run.settle(work, _spoiled(outcome, error))
            for emit in emits:
                self._run.handed_off(work, emit.event, "emit")
                due.extend(self.happen(emit, turn.trail))
            if not isinstance(outcome, (Completed, Skipped)):
                letter = {
                    "event": turn.event,
                    "data": turn.payload,
                    "agent": outcome.agent,
                    "error": describe_error(outcome.cause),
                }
                due.extend(self._dead_letter(letter, turn.trail))
        except LimitReached as error:
            self.problem = self.problem or error
            self._bag.stop()
            due = []
        self.happenings.append(
            Happening(turn.event, work, outcome, tuple(e.event for e in emits), len(turn.trail))
        )
        return due

    def _dead_letter(self, letter: dict[str, Any], trail: tuple[str, ...]) -> list[Turn]:
        event = self._limits.dead_letter
        # What goes wrong with a dead letter causes no other one.
        if event is None or event in trail:
            return []
        return self.happen(Emit(event, letter), trail)

    @property
    def waiting(self) -> dict[str, tuple[str, ...]]:
        """The joins of which some events came, and which of their events did not."""
        return {key: join.missing for (key, _), join in self._joins.items() if join.missing}

    def _limit(self, what: str, limit: int, trail: tuple[str, ...], option: str) -> LimitReached:
        shown = " -> ".join(trail[-6:])
        if len(trail) > 6:
            shown = f"... -> {shown}"
        return LimitReached(self._run.name, what, limit, shown, option, self._run.outcomes)


def _caused(answer: Any) -> tuple[Emit, ...]:
    """Return the events that *answer* causes; a model can only say so in a mapping."""
    if isinstance(answer, ModelFields):
        event = answer.get("emit")
        if isinstance(event, str) and event:
            return (Emit(event, answer.get("data")),)
        several = cast("list[Any]", event if isinstance(event, (list, tuple)) else [event])
        return tuple(_emitted(item, answer.get("data")) for item in several if item)
    return read_emits(answer)


def _emitted(said: Any, data: Any) -> Emit:
    """Return the event that a model says in a list or a mapping: its name, or name and data."""
    if isinstance(said, Mapping):
        fields = cast(Mapping[str, Any], said)
        return Emit(fields.get("event", fields.get("emit")), fields.get("data"))
    return Emit(said, data)


def _spoiled(outcome: Completed, error: Exception) -> Outcome:
    return Failed(
        outcome.agent, outcome.started_at, outcome.ended_at, outcome.attempts,
        outcome.incarnation, error,
    )  # fmt: skip
