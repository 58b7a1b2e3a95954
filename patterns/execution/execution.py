"""One run of a pattern: its input, its outcomes so far, and the means to ask agents.

A pattern's `coordinate` gets the `Execution` and says what is asked, in which order; everything that
all patterns share happens here: names, outcomes, events, the whole time limit.

Work without a policy, whose events nobody reads, is most of all work. It is asked directly, and what
is known of it is kept as a plain tuple until somebody looks at the outcomes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Any, Protocol, cast

from agenticaiframework.actors import SHUTDOWN, ActorSystem, Agent

from ..definition.definition import DefinitionError
from ..definition.policy import NO_POLICY, WorkPolicy
from ..vocabulary.chunks import CHUNKS, ChunkSink
from ..vocabulary.errors import (
    NO_OUTCOMES,
    CallingSelf,
    CoordinatorLost,
    NestedTooDeep,
    NotCompleted,
    PatternFailed,
    PatternTimedOut,
)
from ..vocabulary.events import Ended, Finished, HandedOff, PatternEvent
from ..vocabulary.outcome import (
    Cancelled,
    Completed,
    Failed,
    Outcome,
    Skipped,
    TimedOut,
    describe_error,
)
from ..vocabulary.report import Report
from ..vocabulary.target import Askable, Scope, Target, ask_in_scope, target_name
from . import attempts, fan_out
from .function import FunctionTarget
from .turn import one_turn

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorRef

    from ..definition.definition import Test

MAX_NESTING = 64
"""How long the path of executions in one another may be; a pattern that contains itself by name would
have no end."""

MAX_RECURRENCES = 1_000
"""How often patterns may be executed within themselves, in one outermost execution: one that contains
itself twice would double with every level, and fill the memory long before it is too deep."""

IDEMPOTENCY_KEY = "idempotency_key"


class Coordinated(Protocol):
    """What can be executed: it has a name, and says who is asked in which order."""

    @property
    def name(self) -> str:
        """The name that outcomes, events and errors carry."""
        ...

    @property
    def identity(self) -> Any:
        """What tells executions of the same thing, within one another, from those of others."""
        ...

    def targets(self) -> Iterable[Target]:
        """Return all who may be asked, so that wrong names are found before anything runs."""
        ...

    async def coordinate(self, run: Execution) -> Any:
        """Return the result, or raise `PatternFailed`."""
        ...


class Keeper(Protocol):
    """A coordinator, as its execution knows it."""

    def keep_children(self) -> None:
        """From now on there are actors that have to end with this one, in whatever way it ends."""
        ...


@dataclass(frozen=True, slots=True)
class Work:
    """One piece of work: who is asked what, under which policy; *name* is unique in its execution.

    *context* is added to what the handlers find in `agent_context`.
    """

    name: str
    target: Target
    payload: Any
    policy: WorkPolicy = NO_POLICY
    context: Mapping[str, Any] | None = None


class Execution:
    """One run of a pattern. Owned by its coordinator, on the loop of its system."""

    __slots__ = (
        "_busy",
        "_holds",
        "_indirect",
        "_limit",
        "_on_release",
        "_outcomes",
        "_path",
        "_plain",
        "_recurrences",
        "_resolved",
        "_children",
        "clock",
        "coordinator",
        "emit",
        "ended_at",
        "error",
        "input",
        "keeper",
        "over",
        "pattern",
        "scope",
        "started_at",
        "stopping",
        "system",
        "timeout_s",
        "value",
        "waiting",
    )

    def __init__(
        self,
        pattern: Coordinated,
        input_data: Any,
        scope: Scope,
        timeout_s: float | None,
        system: ActorSystem,
    ) -> None:
        self.pattern = pattern
        self.input = input_data
        self.scope = scope
        self.timeout_s = timeout_s if timeout_s is None else _seconds(timeout_s, pattern.name)
        self.system = system
        self.clock = system.loop.time
        self.emit: Callable[[PatternEvent], None] | None = scope.emit
        """Takes events while somebody reads them."""
        self.coordinator: ActorRef[Any] | None = None
        """The ref of the actor that runs this."""
        self.keeper: Keeper | None = None
        """That actor, while it runs this: it is told of the first actor that has to end with it."""
        self.stopping = "cancelled"
        """Why work that is cancelled from now on is cancelled."""
        self.over = False
        """Whether there is a result (``value``), or an ``error`` in its place."""
        self.value: Any = None
        self.error: PatternFailed | None = None
        self.started_at = self.ended_at = self.clock()
        self._outcomes: dict[str, Outcome] | None = None
        self._plain: list[tuple[str, Askable, float, float, int | None, Any]] = []
        self._limit: asyncio.Timeout | None = None
        self._children: dict[ActorRef[Any], None] | None = None
        self._holds = 0
        self._on_release: list[asyncio.Future[None]] | None = None
        self._path: tuple[str, ...] | None = None
        self._busy: tuple[Askable, ...] = ()
        self._recurrences = 0
        self.waiting: tuple[ActorRef[Any], ...] = ()
        """The actor whose handler waits for this execution, or for one around it."""
        if scope.path:
            self._nest(scope)
        elif system.scheduler.current is not None:
            self.waiting = (system.scheduler.current,)
        resolved: dict[str, Askable] = {}
        self._resolved = resolved
        resolver = scope.resolver
        for target in pattern.targets():
            if isinstance(target, str) and target not in resolved:
                resolved[target] = resolver(target)
        if self.waiting:
            self._busy = tuple(self._waiting_agents())
        self._indirect = scope.emit is not None or scope.context is not None or self._busy != ()
        """Whether asking an agent takes more than its payload (see `direct`)."""

    def _nest(self, scope: Scope) -> None:
        """Take over what the executions around this one know; raise `NestedTooDeep`."""
        pattern = self.pattern
        path = (*scope.path, pattern.name)
        if len(path) > MAX_NESTING:
            raise NestedTooDeep(path)
        outer = scope.owner
        if not isinstance(outer, Execution):
            return
        self.waiting = outer.waiting
        recurs = False
        while isinstance(outer.scope.owner, Execution):
            recurs = recurs or outer.pattern.identity == pattern.identity
            outer = outer.scope.owner
        if recurs or outer.pattern.identity == pattern.identity:
            outer._recurrences += 1
            if outer._recurrences > MAX_RECURRENCES:
                raise NestedTooDeep(path, MAX_RECURRENCES)

    def _waiting_agents(self) -> Iterator[Askable]:
        """Yield those agents of the pattern that wait for this execution themselves."""
        for target in self.pattern.targets():
            askable: Any = self._resolved.get(target) if isinstance(target, str) else target
            if isinstance(askable, Agent) and askable.address(self.system).ref in self.waiting:
                yield askable

    # -- for patterns --------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name of the pattern that runs."""
        return self.pattern.name

    @property
    def path(self) -> tuple[str, ...]:
        """The names of the executions around this one, and its own."""
        if self._path is None:
            self._path = (*self.scope.path, self.pattern.name)
        return self._path

    @property
    def direct_only(self) -> bool:
        """Whether nobody reads events, and no agent that is asked waits for this itself."""
        return self.emit is None and not self._busy

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """What became of each piece of work so far, by name, in the order in which they ended."""
        outcomes = self._outcomes
        if outcomes is None:
            outcomes = self._outcomes = {}
        if self._plain:
            for name, askable, started, ended, incarnation, value in self._plain:
                outcomes[name] = Completed(
                    askable.name, started, ended, 1, incarnation, None, value
                )
            self._plain.clear()
        return outcomes

    def resolve(self, target: Target) -> Askable:
        """Return who *target* stands for; raises the resolver's error for an unknown name."""
        if target.__class__ is Agent:
            return cast(Agent, target)
        if isinstance(target, str):
            found = self._resolved.get(target)
            if found is None:
                found = self._resolved[target] = self.scope.resolver(target)
            return found
        if hasattr(target, "ask"):
            return cast(Askable, target)
        return FunctionTarget(cast(Callable[..., Any], target))

    async def ask(self, name: str, target: Target, payload: Any) -> Any:
        """Return *target*'s answer, asked without a policy; raise `NotCompleted` with the outcome."""
        agent = self.direct(target)
        if agent is None and self.emit is not None:
            outcome = await self.perform(name, target, payload)
            if isinstance(outcome, Completed):
                return outcome.value
            raise NotCompleted(outcome)
        askable = self.resolve(target) if agent is None else agent
        started = self.clock()
        try:
            value = await self.call(askable, name, payload, None, None)
        except BaseException as error:
            raise self.unanswered(name, askable, started, error) from error
        self.keep(name, askable, started, self.clock(), value)
        return value

    def direct(self, target: Target) -> Agent | None:
        """Return *target* if it is an agent whose request needs nothing but the payload, or None.

        That is most work. Whoever asks it does what `ask` does, without a coroutine for each::

            value = await agent.request(payload, system=run.system)
            run.keep(name, agent, started, run.clock(), value)
        """
        if self._indirect:
            return None
        agent: Any = target if target.__class__ is Agent else self.resolve(target)
        return agent if agent.__class__ is Agent else None

    def unanswered(
        self, name: str, askable: Askable, started: float, error: BaseException
    ) -> NotCompleted:
        """Return what to raise when asking *askable* raised *error*; settle the work *name*.

        A cancellation is noted and goes on as it is.
        """
        if isinstance(error, asyncio.CancelledError):
            self.interrupted(name, askable, started, 1)
        if isinstance(error, NO_OUTCOMES):
            raise error
        return NotCompleted(self.settle(name, self.failure(askable, started, 1, error, None)))

    async def perform(
        self,
        name: str,
        target: Target,
        payload: Any,
        policy: WorkPolicy = NO_POLICY,
        context: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Ask *target*, under *policy*, and return the outcome, which is also kept under *name*.

        Raises nothing but the resolver's error and CancelledError.
        """
        return await attempts.perform(self, Work(name, target, payload, policy, context))

    async def perform_all(
        self,
        works: Sequence[Work],
        *,
        limit: int | None = None,
        enough: Callable[[Outcome], str | None] | None = None,
    ) -> list[Outcome]:
        """Do all *works* at the same time, at most *limit* at once, and return the outcomes in order.

        *enough* sees each outcome as it comes; once it returns a text, what still runs is cancelled
        and the rest is not started, for that reason.
        """
        return await fan_out.perform_all(self, works, limit, enough)

    def keep(self, name: str, askable: Askable, started: float, ended: float, value: Any) -> None:
        """Keep *value* as the result of plain work; its outcome is made when somebody looks."""
        self._plain.append((name, askable, started, ended, self.incarnation(askable), value))

    def settle(self, name: str, outcome: Outcome) -> Outcome:
        """Keep *outcome* as what became of the work *name*, and tell who streams."""
        self.outcomes[name] = outcome
        if self.emit is not None:
            self.emit(Ended(outcome.ended_at, self.path, name, outcome))
        return outcome

    def holds(self, work: str, test: Test, scope: Mapping[str, Any]) -> bool:
        """Return whether the condition *test* of *work* holds; raise `PatternFailed` if it cannot say."""
        try:
            return bool(test(scope))
        except Exception as error:
            problem = f"failed: the condition of {work!r} cannot be told: {describe_error(error)}"
            raise PatternFailed(
                self.name, problem, self.outcomes, work=work, cause=error
            ) from error

    def skip(self, name: str, target: Target, reason: str) -> Outcome:
        """Note that the work *name* is not needed, because of *reason*."""
        now = self.clock()
        return self.settle(name, Skipped(target_name(target), now, now, reason=reason))

    def handed_off(self, source: str, to: str, trigger: str) -> None:
        """Tell who streams that the turn goes from *source* to *to*."""
        if self.emit is not None:
            self.emit(HandedOff(self.clock(), self.path, to, source, to, trigger))

    # -- asking --------------------------------------------------------------------------------

    def call(
        self,
        askable: Askable,
        name: str,
        payload: Any,
        timeout_s: float | None,
        added: Mapping[str, Any] | None,
    ) -> Awaitable[Any]:
        """Return an awaitable of *askable*'s answer, asked within this execution's scope."""
        context = self.context_of(name, added)
        if isinstance(askable, Agent):
            if self._busy and askable in self._busy:
                return _refuse(CallingSelf(askable.name, self.name))
            return askable.request(payload, timeout_s, context=context, system=self.system)
        scope = Scope(self.scope.resolver, context, self.emit, (*self.path, name), self)
        return ask_in_scope(askable, payload, timeout_s, scope, self.system)

    def context_of(self, name: str, added: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Return what the handler of the work *name* finds in `agent_context`."""
        inherited = self.scope.context
        if inherited is None and self.emit is None:
            return added
        context = {**(inherited or {}), **(added or {})}
        key = context.get(IDEMPOTENCY_KEY)
        if key is not None:
            # Each piece of work has its own key, the same for all its attempts.
            context[IDEMPOTENCY_KEY] = f"{key}/{self.name}/{name}"
        if self.emit is not None:
            context[CHUNKS] = ChunkSink(self.emit, self.clock, self.path, name)
        return context

    def incarnation(self, askable: Askable) -> int | None:
        """Return which incarnation of an agent is in service, where that is known."""
        if askable.__class__ is Agent or isinstance(askable, Agent):
            agent: Any = askable
            incarnation: int = agent.address(self.system).incarnation
            return incarnation
        return None

    def failure(
        self,
        askable: Askable,
        started: float,
        attempt: int,
        error: BaseException,
        timeout_s: float | None,
        ended: float | None = None,
    ) -> Failed | TimedOut:
        """Return the outcome of work that ended with *error*, asked with the limit *timeout_s*."""
        at = self.clock() if ended is None else ended
        incarnation = self.incarnation(askable)
        if isinstance(error, TimeoutError):
            # A nested pattern may have a shorter limit of its own, and a function its own errors.
            passed = timeout_s is not None and at - started >= timeout_s
            limit_s = getattr(error, "timeout_s", timeout_s if passed else None)
            return TimedOut(askable.name, started, at, attempt, incarnation, error, limit_s)
        return Failed(askable.name, started, at, attempt, incarnation, error)

    def why_stopped(self) -> str:
        """Return in words why work that was stopped from outside was stopped."""
        if self._limit is not None and self._limit.expired():
            return f"{self.name!r} took longer than its {self.timeout_s:g} s"
        return f"{self.name!r} was {self.stopping}"

    def interrupted(self, name: str, askable: Askable, started: float, attempt: int) -> None:
        """Note that the work *name* was stopped from outside before it had ended."""
        now = self.clock()
        if self._limit is not None and self._limit.expired():
            limit = self.timeout_s
            outcome: Outcome = TimedOut(askable.name, started, now, attempt, timeout_s=limit)
        else:
            outcome = Cancelled(askable.name, started, now, attempt, reason=self.stopping)
        self.settle(name, outcome)

    # -- actors that work for it ----------------------------------------------------------------

    def adopt(self, ref: ActorRef[Any]) -> None:
        """Have *ref* end when the coordinator ends, in whatever way.

        A link would do that too, but also the other way round; and a coordinator that is killed
        cannot tell anybody anything any more.
        """
        if self._children is None:
            self._children = {}
            if self.keeper is not None:
                self.keeper.keep_children()
        self._children[ref] = None

    def disown(self, ref: ActorRef[Any]) -> None:
        """Forget *ref*, which has ended."""
        if self._children is not None:
            self._children.pop(ref, None)

    def end_children(self) -> None:
        """End those who still work for this execution."""
        if self._children:
            children, self._children = self._children, None
            for ref in children:
                ref.exit(SHUTDOWN)

    # -- for the coordinator -------------------------------------------------------------------

    def broken(self, error: BaseException) -> PatternFailed:
        """Return the failure of the whole when *error* came out of the pattern's own code."""
        problem = f"failed: {describe_error(error)}"
        return PatternFailed(self.name, problem, self.outcomes, cause=error)

    async def within_limit(self, timeout_s: float) -> Any:
        """Return the pattern's result; raise `PatternTimedOut` after *timeout_s* seconds."""
        if timeout_s <= 0:
            # What is left of a limit further up may be nothing: nobody is asked any more.
            raise PatternTimedOut(self.name, timeout_s, self.outcomes)
        try:
            async with asyncio.timeout(timeout_s) as self._limit:
                return await self.pattern.coordinate(self)
        except TimeoutError:
            if self._limit is None or not self._limit.expired():
                raise
            await self.released()
            await one_turn()
            raise PatternTimedOut(self.name, timeout_s, self.outcomes) from None

    def finish(self) -> None:
        """Note that there is a result, or an error in its place."""
        self.over = True
        self.ended_at = self.clock()
        if self.emit is not None:
            self.emit(Finished(self.ended_at, self.path, "", self.outcome))

    def lost(self, reason: Any) -> None:
        """Note that the coordinator is gone for *reason*, if that was before there was a result."""
        self.keeper = None
        if not self.over:
            self.error = CoordinatorLost(self.name, reason, self.outcomes)
            self.finish()

    @property
    def outcome(self) -> Outcome:
        """How the whole ended, once it has."""
        error = self.error
        if error is None:
            return Completed(self.name, self.started_at, self.ended_at, value=self.value)
        if isinstance(error, PatternTimedOut):
            return TimedOut(
                self.name, self.started_at, self.ended_at, cause=error, timeout_s=error.timeout_s
            )
        return Failed(self.name, self.started_at, self.ended_at, cause=error)

    def report(self) -> Report:
        """Return how the whole and each piece of work ended, once it has."""
        return Report(self.name, self.outcome, dict(self.outcomes))

    def hold(self) -> None:
        """Keep the execution from counting as ended until `release`: there is something to undo.

        It keeps those around it too: who waits for the outermost waits for all that is undone below.
        """
        self._holds += 1
        if isinstance(self.scope.owner, Execution):
            self.scope.owner.hold()

    def release(self) -> None:
        """Take back one `hold`."""
        if isinstance(self.scope.owner, Execution):
            self.scope.owner.release()
        self._holds -= 1
        if self._holds == 0 and self._on_release is not None:
            waiting, self._on_release = self._on_release, None
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    async def released(self) -> None:
        """Wait until nothing holds the end of this execution any more."""
        if self._holds:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._on_release = [*(self._on_release or ()), future]
            await future


def _seconds(timeout_s: Any, pattern: str) -> float:
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)) or isnan(timeout_s):
        raise DefinitionError(
            f"the timeout of {pattern!r}", [f"a number of seconds is needed, not {timeout_s!r}"]
        )
    return timeout_s


async def _refuse(error: Exception) -> Any:
    raise error
