"""Bulkheads: at most so many calls of one kind at once, so that one flood does not sink the ship."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

from pydantic import Field

from agenticaiframework.actors import (
    ActorDied,
    ActorRef,
    AgenticError,
    Down,
    Request,
    refuse_if_circle,
)

from ..definition.step import Ask
from ..execution.execution import Execution
from ..execution.turn import one_turn
from ..vocabulary.target import Target
from .guard import GuardActor, GuardDefinition, GuardedPattern, Message, ask_guard, find_guard

_EXPIRED: Final = "expired"


class BulkheadFull(AgenticError):
    """No call more fits in: all places are taken, and as many wait as may wait."""

    def __init__(self, bulkhead: str, max_in_flight: int, why: str) -> None:
        super().__init__(
            f"The bulkhead {bulkhead!r} is full: {max_in_flight} calls are under way, and {why}. "
            "Raise max_in_flight, max_queue or max_wait_s, or call less."
        )
        self.bulkhead = bulkhead


@dataclass(frozen=True, slots=True)
class Width:
    """How many calls at once, and how many may wait (None: any number)."""

    max_in_flight: int
    max_queue: int | None

    def __str__(self) -> str:
        return f"{self.max_in_flight} in flight, {self.max_queue} waiting"


@dataclass(frozen=True, slots=True)
class Enter(Message[Width]):
    """Give *holder* a place, within *max_wait_s* seconds."""

    holder: ActorRef[Any]
    max_wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Leave(Message[Width]):
    """A place of *holder* is free again."""

    holder: ActorRef[Any]


@dataclass(slots=True, eq=False)
class _Waiting:
    request: Request
    holder: ActorRef[Any]
    timer: Any = None


class BulkheadActor(GuardActor[Width]):
    """Owns the places. A holder that dies with a place gives it back by dying."""

    kind = "bulkhead"

    def __init__(self, name: str, settings: Width) -> None:
        super().__init__(name, settings)
        self._held: dict[ActorRef[Any], list[Any]] = {}
        self._taken = 0
        self._waiting: deque[_Waiting] = deque()

    def idle(self) -> bool:
        return not self._taken and not self._waiting

    def decide(self, message: Any) -> Any:
        match message:
            case Enter(holder=holder, max_wait_s=max_wait_s):
                self._enter(holder, max_wait_s)
            case Leave(holder=holder):
                monitors = self._held.get(holder)
                if monitors:
                    self.demonitor(monitors.pop())
                    if not monitors:
                        del self._held[holder]
                    self._free()
            case Down(ref=ref):
                for _ in self._held.pop(ref, ()):
                    self._free()
            case _Waiting():
                if message in self._waiting:
                    self._waiting.remove(message)
                    message.request.fail(self._full("this one has waited as long as it may"))
            case _:
                pass
        return None

    def _enter(self, holder: ActorRef[Any], max_wait_s: float | None) -> None:
        if self._taken < self.settings.max_in_flight:
            self._take(holder)
            return
        # Those that gave up while they waited do not count.
        self._waiting = deque(w for w in self._waiting if w.request.asker_waiting)
        limit = self.settings.max_queue
        if max_wait_s == 0 or (limit is not None and len(self._waiting) >= limit):
            raise self._full(f"{len(self._waiting)} wait for a place")
        waiting = _Waiting(cast(Request, self.defer_reply()), holder)
        refuse_if_circle(waiting.request)
        if not waiting.request.asker_waiting:
            return  # all places are held by calls that wait for this one
        if max_wait_s is not None:
            waiting.timer = self.send_after(max_wait_s, waiting)
        self._waiting.append(waiting)

    def held_up_by(self, request: Any) -> Sequence[Any]:
        """Return who must leave before one that waits gets in: those that have the places."""
        return tuple(self._held)

    def _take(self, holder: ActorRef[Any]) -> None:
        self._taken += 1
        self._held.setdefault(holder, []).append(self.monitor(holder))

    def _free(self) -> None:
        self._taken -= 1
        while self._waiting:
            waiting = self._waiting.popleft()
            if waiting.timer is not None:
                waiting.timer.cancel()
            if waiting.request.asker_waiting and waiting.holder.is_alive():
                self._take(waiting.holder)
                waiting.request.reply()
                return

    def _full(self, why: str) -> BulkheadFull:
        return BulkheadFull(self.guard_name, self.settings.max_in_flight, why)


class BulkheadDefinition(GuardDefinition):
    """A bulkhead: how wide, for which agent, under which shared name."""

    max_in_flight: int = Field(ge=1)
    max_queue: int | None = Field(default=None, ge=0)
    max_wait_s: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    bulkhead: str | None = Field(default=None, min_length=1)


class Bulkhead(GuardedPattern):
    """At most *max_in_flight* calls of *agent* at once; *max_queue* more may wait, in line.

    A call that finds the queue full, or waits longer than *max_wait_s* seconds, fails with
    `BulkheadFull`. All bulkheads of one system with the same *bulkhead* name share their places
    (default: this pattern's name).

    Example: ``max_in_flight=2, max_queue=3``: of six calls at once two run, three wait, one fails.
    """

    kind: ClassVar[str] = "bulkhead"
    definition_type = BulkheadDefinition
    example = 'Bulkhead(name="few searches", agent="searcher", max_in_flight=4, max_queue=20)'

    def __init__(
        self,
        name: str,
        agent: Target | Ask | Mapping[str, Any],
        max_in_flight: int,
        *,
        max_queue: int | None = None,
        max_wait_s: float | None = None,
        bulkhead: str | None = None,
        timeout: float | None = None,
        usage_limits: Any = None,
    ) -> None:
        super().__init__(
            self._define(
                {
                    "name": name,
                    "agent": agent,
                    "max_in_flight": max_in_flight,
                    "max_queue": max_queue,
                    "max_wait_s": max_wait_s,
                    "bulkhead": bulkhead,
                    "timeout": timeout,
                    "usage_limits": usage_limits,
                }
            )
        )

    @property
    def _spec(self) -> BulkheadDefinition:
        return cast(BulkheadDefinition, self._definition)

    async def pass_through(self, run: Execution, call: Callable[[], Awaitable[Any]]) -> Any:
        spec = self._spec
        name = spec.bulkhead or spec.name
        width = Width(spec.max_in_flight, spec.max_queue)
        holder = cast("ActorRef[Any]", run.coordinator)
        try:
            await ask_guard(run.system, BulkheadActor, name, Enter(width, holder, spec.max_wait_s))
            return await call()
        except TimeoutError:
            # It has been told to stop: not before that does another one take its place.
            await one_turn()
            raise
        finally:
            # Also when it never got in: it may have been given a place just as it was cancelled.
            try:
                find_guard(run.system, BulkheadActor, name, width).tell(Leave(width, holder))
            except ActorDied:
                pass

    def note(self) -> str:
        return f"at most {self._spec.max_in_flight} at once"
