"""The means of one execution to ask: names, the context and scope handed down, its limits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from math import isnan
from typing import TYPE_CHECKING, Any, Protocol, cast

from agenticaiframework.actors import (
    CHUNKS,
    IDEMPOTENCY_KEY,
    SHUTDOWN,
    Agent,
    handed_context,
    stand_in_context,
)

from ..definition.errors import DefinitionError
from ..definition.policy import NO_POLICY, WorkPolicy
from ..vocabulary.chunks import ChunkSink
from ..vocabulary.errors import NestedTooDeep
from ..vocabulary.outcome import Cancelled, Failed, Outcome, TimedOut
from ..vocabulary.target import Askable, Scope, Target, ask_in_scope
from .function import FunctionTarget
from .record import Record

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorRef, ActorSystem

MAX_NESTING = 64
"""How long the path of executions in one another may be; a pattern that contains itself by name would
have no end."""

MAX_RECURRENCES = 1_000
"""How often patterns may be executed within themselves, in one outermost execution: one that contains
itself twice would double with every level, and fill the memory long before it is too deep."""


class Asker(Protocol):
    """What asks: its name, and all targets that it may ask."""

    @property
    def name(self) -> str:
        """The name that outcomes, events and errors carry."""
        ...

    @property
    def identity(self) -> Any:
        """What tells executions of the same thing, within one another, from those of others."""
        ...

    def targets(self) -> Iterable[Target]:
        """Return all targets that may be asked, so that wrong names are found before anything runs."""
        ...


class Keeper(Protocol):
    """A coordinator, as its execution knows it."""

    def keep_children(self) -> None:
        """From now on there are actors that have to end with this one, in whatever way it ends."""
        ...


class Asking(Record):
    """Asks the targets of *asker* within one execution. Owned by the execution's coordinator.

    It is the `Owner` of the actors that work for it. Names are resolved when it is made; raises the resolver's error for an unknown one, and
    `NestedTooDeep` for an asker that contains itself.
    """

    __slots__ = (
        "_children",
        "_hands_down",
        "_identity",
        "_recurrences",
        "_resolved",
        "keeper",
        "limit",
        "stopping",
        "timeout_s",
    )

    def __init__(
        self, asker: Asker, scope: Scope, timeout_s: float | None, system: ActorSystem
    ) -> None:
        super().__init__(asker.name, scope, system)
        self.timeout_s = timeout_s if timeout_s is None else _seconds(timeout_s, asker.name)
        self.limit: asyncio.Timeout | None = None
        """The time limit of the whole, while it runs."""
        self.keeper: Keeper | None = None
        """The coordinator, while it runs this: it is told of the first actor that has to end with it."""
        self.stopping = "cancelled"
        """Why work that is cancelled from now on is cancelled."""
        self._hands_down = scope.context is not None or scope.emit is not None
        """Whether handlers find more in their context than the work adds."""
        self._identity = asker.identity
        self._children: dict[ActorRef[Any], None] | None = None
        self._recurrences = 0
        if scope.path:
            self._nest(scope)
        resolved: dict[str, Askable] = {}
        self._resolved = resolved
        resolver = scope.resolver
        for target in asker.targets():
            if isinstance(target, str) and target not in resolved:
                resolved[target] = resolver(target)

    def _nest(self, scope: Scope) -> None:
        """Take over what the executions around this one know; raise `NestedTooDeep`."""
        path = self.path
        if len(path) > MAX_NESTING:
            raise NestedTooDeep(path)
        outer = scope.owner
        if not isinstance(outer, Asking):
            return
        recurs = outer._identity == self._identity
        while isinstance(outer.scope.owner, Asking):
            outer = outer.scope.owner
            recurs = recurs or outer._identity == self._identity
        if recurs:
            outer._recurrences += 1
            if outer._recurrences > MAX_RECURRENCES:
                raise NestedTooDeep(path, MAX_RECURRENCES)

    @property
    def plain(self) -> bool:
        """Whether it is not streamed."""
        return self.emit is None

    def resolve(self, target: Target) -> Askable:
        """Return *target* as something that can be asked; raises the resolver's error for an unknown name."""
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

    def call(
        self,
        askable: Askable,
        name: str,
        payload: Any,
        policy: WorkPolicy = NO_POLICY,
        added: Mapping[str, Any] | None = None,
        *,
        stands_in: bool = False,
    ) -> Awaitable[Any]:
        """Return an awaitable of *askable*'s answer, asked within this execution's scope and time.

        *stands_in* says that it is asked for another, which has failed.
        """
        context = self.context_of(name, added) if self._hands_down else added
        if stands_in:
            context = stand_in_context(context)
        if isinstance(askable, Agent):
            timeout_s, queue_timeout_s = policy.timeout, policy.queue_timeout_seconds
            if timeout_s is None and queue_timeout_s is None:
                return askable.request(payload, context=context, system=self.system)
            return askable.request_step(
                payload, timeout_s, queue_timeout_s, context=context, system=self.system
            )
        scope = Scope(self.scope.resolver, context, self.emit, (*self.path, name), self)
        return ask_in_scope(askable, payload, policy.timeout, scope, self.system)

    def context_of(
        self, name: str, added: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any] | None:
        """Return what the handler of the work *name* finds in `agent_context`."""
        if not self._hands_down:
            return added
        context = {**(self.scope.context or {}), **(added or {})}
        key = context.get(IDEMPOTENCY_KEY)
        if key is not None:
            # Each piece of work has its own key, the same for all its attempts.
            context[IDEMPOTENCY_KEY] = f"{key}/{self.name}/{name}"
        if self.emit is not None:
            context[CHUNKS] = ChunkSink(self.emit, self.clock, self.path, name)
        return handed_context(context, self.scope.context, f"{self.name}/{name}")

    # -- actors that work for it ----------------------------------------------------------------

    def adopt(self, ref: ActorRef[Any]) -> None:
        """Have *ref* end when the coordinator ends, in whatever way.

        A link would do that too, but also the other way round; and a coordinator that is killed
        cannot send anything any more.
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
        """End the actors that still work for this execution."""
        if self._children:
            children, self._children = self._children, None
            for ref in children:
                ref.exit(SHUTDOWN)

    # -- work without an answer ----------------------------------------------------------------

    def failure(
        self,
        askable: Askable,
        started: float,
        attempt: int,
        error: BaseException,
        timeout_s: float | None = None,
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

    @property
    def ends_at(self) -> float | None:
        """When its own time limit, or one of those around it, is over, on the system's clock."""
        owner, limit = self.scope.owner, self.limit
        outer = None if owner is None else owner.ends_at
        # One that has expired stops nothing any more: what is done now undoes.
        own = None if limit is None or limit.expired() else limit.when()
        return min((at for at in (outer, own) if at is not None), default=None)

    def time_left_s(self) -> float | None:
        """Return how long this may go on, if there is a time limit."""
        ends_at = self.ends_at
        return None if ends_at is None else ends_at - self.clock()

    def why_stopped(self) -> str:
        """Return in words why work that was stopped from outside was stopped."""
        if self.limit is not None and self.limit.expired():
            return f"{self.name!r} took longer than its {self.timeout_s:g} s"
        return f"{self.name!r} was {self.stopping}"

    def interrupted(self, name: str, askable: Askable, started: float, attempt: int) -> None:
        """Note that the work *name* was stopped from outside before it had ended."""
        now = self.clock()
        if self.limit is not None and self.limit.expired():
            limit_s = self.timeout_s
            outcome: Outcome = TimedOut(askable.name, started, now, attempt, timeout_s=limit_s)
        else:
            outcome = Cancelled(askable.name, started, now, attempt, reason=self.stopping)
        self.settle(name, outcome)


def _seconds(timeout_s: Any, name: str) -> float:
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)) or isnan(timeout_s):
        raise DefinitionError(
            f"the timeout of {name!r}", [f"a number of seconds is needed, not {timeout_s!r}"]
        )
    return timeout_s
