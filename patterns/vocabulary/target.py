"""Targets: the agents, patterns, teams and functions that can be asked, and names for them.

`Askable` is all that a pattern needs of a target. Names are looked up when an execution starts, by its
`Resolver`: an engine's looks first into what was registered with the engine; the default one looks into
the directory that ``Agent(name=...)`` enters.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast, runtime_checkable

from agenticaiframework.actors import ActorRef, Agent

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorSystem

    from .events import PatternEvent


@runtime_checkable
class Askable(Protocol):
    """Anything that answers: an `Agent`, a pattern, a team, an engine's workflow.

    ``ask`` returns an awaitable of the answer. It raises what went wrong, never returns it. After
    *timeout* seconds, and when the awaiting code is cancelled, the work itself is stopped.
    *context* is handed to the handlers below (see `agent_context`).
    """

    @property
    def name(self) -> str:
        """The name under which it appears in outcomes, events and messages."""
        ...

    def ask(
        self,
        payload: Any,
        timeout: float | None = None,
        *,
        context: Mapping[str, Any] | None = None,
    ) -> Awaitable[Any]:
        """Return an awaitable of the answer to *payload*."""
        ...


Resolver: TypeAlias = Callable[[str], Askable]
"""Finds the target of a name; raises an error with the near names for an unknown one."""

Target: TypeAlias = str | Askable | Callable[..., Any]
"""What may stand where an agent can: a name, anything that can be asked, or a function."""


class Owner(Protocol):
    """Owns actors that end when it ends, in whatever way: mostly an execution."""

    @property
    def ends_at(self) -> float | None:
        """When its time limit, or one around it, is over, on the system's clock."""
        ...

    def adopt(self, ref: ActorRef[Any]) -> None:
        """Take *ref* for one of its own: it ends when the owner does, in whatever way."""
        ...

    def disown(self, ref: ActorRef[Any]) -> None:
        """Forget *ref*, which has ended."""
        ...


@dataclass(frozen=True, slots=True)
class Scope:
    """What an execution hands down to the ones that it starts.

    *resolver* finds names; *context* reaches the agents' handlers; *emit* takes events while
    the execution is streamed (else None); *path* names the executions around this one; *owner*
    is told of the actors that work for it.
    """

    resolver: Resolver
    context: Mapping[str, Any] | None = None
    emit: Callable[[PatternEvent], None] | None = None
    path: tuple[str, ...] = ()
    owner: Owner | None = None


@runtime_checkable
class Nestable(Askable, Protocol):
    """An `Askable` that runs others: it takes over the scope of the execution around it."""

    def ask_within(self, payload: Any, timeout: float | None, scope: Scope) -> Awaitable[Any]:
        """Return an awaitable of the answer, looking names up and reporting events through *scope*."""
        ...


def ask_in_scope(
    askable: Askable, payload: Any, timeout_s: float | None, scope: Scope, system: ActorSystem
) -> Awaitable[Any]:
    """Return an awaitable of *askable*'s answer, asked as a part of an execution with that *scope*."""
    if isinstance(askable, Agent):
        return askable.request(payload, timeout_s, context=scope.context, system=system)
    if hasattr(askable, "ask_within"):
        return cast(Nestable, askable).ask_within(payload, timeout_s, scope)
    return askable.ask(payload, timeout_s, context=scope.context)


def target_name(target: Target) -> str:
    """Return the name under which *target* appears in outcomes: its own, or its function's.

    >>> target_name("writer"), target_name(len)
    ('writer', 'len')
    """
    if isinstance(target, str):
        return target
    name = getattr(target, "name", None)
    if isinstance(name, str) and name:
        return name
    if isinstance(target, ActorRef):
        return cast("ActorRef[Any]", target).label
    return getattr(target, "__name__", None) or type(target).__name__
