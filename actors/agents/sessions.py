"""The sessions of agents with a model: what keeps them is installed by the layer above."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from ..errors import AgenticError
from ..system.system import ActorSystem
from .model_spec import ModelSpec
from .usage import Usage


class AgentSession(Protocol):
    """One conversation of one agent, from `Agent.session`."""

    name: str

    async def messages(self) -> Sequence[Any]:
        """Return what is kept of it, oldest first, as messages of the model library."""
        ...

    async def usage(self) -> Usage:
        """Return what the answers took that are kept of it."""
        ...

    async def extend(self, messages: Sequence[Any]) -> None:
        """Add *messages* as one turn: a conversation that was had elsewhere."""
        ...

    async def clear(self) -> bool:
        """Forget it; return whether there was anything. A turn under way begins another."""
        ...

    async def info(self) -> Any:
        """Return its numbers of turns, messages and bytes, and its dates; None where there is none."""
        ...


class KeptSessions(Protocol):
    """All conversations of one agent in one system."""

    def session(self, session: str, /) -> AgentSession:
        """Return the session of that name; it need not exist."""
        ...

    async def list(self, limit: int, before: float | None, /) -> list[Any]:
        """Return sessions, those used last first."""
        ...

    async def forget(self, sessions: Sequence[str], unused_since: float | None, /) -> int:
        """Forget those sessions, those not used since then, or all; return how many there were."""
        ...


SessionsFactory: TypeAlias = Callable[[ModelSpec, ActorSystem], KeptSessions]

_factory: SessionsFactory | None = None


def set_sessions_factory(factory: SessionsFactory | None) -> SessionsFactory | None:
    """Let *factory* give the sessions of agents with a model; return the one that it replaces."""
    global _factory
    previous, _factory = _factory, factory
    return previous


class NoSessions(AgenticError):
    """An agent that keeps no sessions was asked for one."""

    def __init__(self, agent: str) -> None:
        super().__init__(
            f"agent {agent!r} keeps no sessions: it has a handler. Agents with a model keep what they "
            'are asked with session="..."; a handler finds the name in agent_context()["session"].'
        )
        self.agent = agent


def sessions_of(agent: str, spec: ModelSpec | None, system: ActorSystem) -> KeptSessions:
    """Return the sessions of *agent* in *system*. Raises `NoSessions`."""
    if spec is None or _factory is None:
        raise NoSessions(agent)
    return _factory(spec, system)


__all__ = [
    "AgentSession",
    "KeptSessions",
    "NoSessions",
    "SessionsFactory",
    "sessions_of",
    "set_sessions_factory",
]
