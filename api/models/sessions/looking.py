"""The sessions of one agent, for its program and for operators: read, cleared, listed, forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelResponse

from agenticaiframework.actors import (
    NO_USAGE,
    ActorSystem,
    AgentDefinitionError,
    ModelSpec,
    Usage,
)
from agenticaiframework.patterns.engine.store import (
    NewTurn,
    SessionChanged,
    SessionRow,
    SessionStore,
)

from ..metering.spending import usage_of_response
from .encoding import decoded, encoded, without_instructions
from .history import History, as_history
from .home import SessionHome, session_home

__all__ = ["AgentSessions", "OneSession"]


class AgentSessions:
    """The sessions of one agent in one system. Has no state of its own; usable from any loop."""

    def __init__(self, spec: ModelSpec, system: ActorSystem) -> None:
        history = as_history(spec.agent, spec.history)
        if history is None:
            raise AgentDefinitionError(
                f"agent {spec.agent!r} has history=False, and keeps no sessions"
            )
        self._agent = spec.agent
        self._history = history
        self._home = session_home(system)

    def session(self, session: str) -> OneSession:
        """Return the session of that name; it need not exist."""
        return OneSession(self._home, self._history, self._agent, session)

    async def list(self, limit: int, before: float | None) -> list[SessionRow]:
        """Return sessions, those used last first."""

        async def call() -> Any:
            store = await self._home.store(self._history)
            return await store.list_sessions(self._agent, limit=limit, before=before)

        rows: list[SessionRow] = await self._home.on_loop(call)
        return rows

    async def forget(self, sessions: Sequence[str], unused_since: float | None) -> int:
        """Forget those sessions, those not used since then, or all; return how many there were."""

        async def call() -> int:
            store = await self._home.store(self._history)
            if unused_since is not None:
                return await store.purge_sessions(unused_since, self._agent)
            return await store.forget_sessions(self._agent, sessions or None)

        return await self._home.on_loop(call)


class OneSession:
    """One session of one agent."""

    def __init__(self, home: SessionHome, history: History, agent: str, name: str) -> None:
        self._home = home
        self._history = history
        self._agent = agent
        self.name = name

    def __repr__(self) -> str:
        return f"<session {self.name!r} of {self._agent!r}>"

    async def messages(self) -> list[ModelMessage]:
        """Return what is kept of it, oldest first, as messages of pydantic-ai."""

        async def call() -> list[ModelMessage]:
            found = await (await self._store()).load_session(self._agent, self.name)
            turns = () if found is None else found.turns
            return [message for turn in turns for message in decoded(turn.body)]

        return await self._home.on_loop(call)

    async def usage(self) -> Usage:
        """Return what the answers took that are kept of it; what its bounds have dropped is not in it."""
        answers = [one for one in await self.messages() if isinstance(one, ModelResponse)]
        return sum(map(usage_of_response, answers), NO_USAGE)

    async def extend(self, messages: Sequence[ModelMessage]) -> None:
        """Add *messages* as one turn: a conversation that was had elsewhere."""
        given = without_instructions(messages)

        async def call() -> None:
            store = await self._store()
            turn = NewTurn(encoded(given), len(given), lives_s=self._history.lives_s)
            while True:
                found = await store.load_session(self._agent, self.name)
                after = None if found is None else found.revision
                try:
                    await store.append_turn(self._agent, self.name, turn, after)
                except SessionChanged:
                    continue
                return

        await self._home.on_loop(call)

    async def clear(self) -> bool:
        """Forget it; return whether there was anything. A turn under way begins another."""

        async def call() -> int:
            return await (await self._store()).forget_sessions(self._agent, [self.name])

        return bool(await self._home.on_loop(call))

    async def info(self) -> SessionRow | None:
        """Return how many turns, messages and bytes it has, and its dates; None where there is none."""

        async def call() -> list[SessionRow]:
            return await (await self._store()).list_sessions(
                self._agent, session=self.name, limit=1
            )

        rows = await self._home.on_loop(call)
        return rows[0] if rows else None

    async def _store(self) -> SessionStore:
        return await self._home.store(self._history)
