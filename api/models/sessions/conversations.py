"""A ``ConversationStore`` of pydantic-ai in the place of a store of ours."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Final

from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationConflict, ConversationStore
from pydantic_ai.messages import ModelMessage

from agenticaiframework.patterns.engine.store import (
    NewTurn,
    Revision,
    SessionChanged,
    SessionRow,
    StoredSession,
    Turn,
)

from .encoding import decoded, encoded

__all__ = ["ConversationSessions"]

SEPARATOR: Final = "/"


class ConversationSessions:
    """A SessionStore over a ConversationStore: the conversation ``agent/session`` in the scope *agent*.

    It only ever grows there: what a history drops is not sent, and stays stored. Sessions are read and
    written by who has their turn, so what was read last is what the next turn is added to.
    """

    def __init__(self, store: ConversationStore) -> None:
        self._store = store
        self._read: dict[tuple[str, str], Conversation] = {}

    async def load_session(
        self, agent: str, session: str, key: str | None = None
    ) -> StoredSession | None:
        """Return the session with its turns; None where there is none."""
        conversation = await self._store.load(_id(agent, session), scope=agent)
        if conversation is None:
            self._read.pop((agent, session), None)
            return None
        self._read[agent, session] = conversation
        turns = tuple(
            Turn(number, encoded(messages), len(messages))
            for number, messages in enumerate(_turns(conversation.messages), 1)
        )
        return StoredSession(Revision(1, len(turns)), turns)

    async def append_turn(
        self, agent: str, session: str, turn: NewTurn, after: Revision | None
    ) -> Revision:
        """Add *turn* to what was read last."""
        conversation = self._read.pop((agent, session), None)
        if after is None or conversation is None:
            conversation = Conversation(conversation_id=_id(agent, session))
        conversation.messages.extend(decoded(turn.body))
        try:
            await self._store.save(conversation, scope=agent)
        except ConversationConflict as error:
            raise SessionChanged(agent, session) from error
        return Revision(1, 1 if after is None else after.last + 1)

    async def list_sessions(
        self,
        agent: str | None = None,
        *,
        session: str | None = None,
        limit: int = 100,
        before: float | None = None,
    ) -> list[SessionRow]:
        """Return sessions, those used last first."""
        found: list[SessionRow] = []
        for record in await self._store.list_conversations(scope=agent):
            used_at = record.updated_at.timestamp()
            scope = record.scope or ""
            name = record.conversation_id.removeprefix(scope + SEPARATOR)
            if (session is not None and name != session) or (
                before is not None and used_at >= before
            ):
                continue
            if len(found) == limit:
                break
            messages = [each.message for each in await self._store.read_history(record.head_id)]
            turns = sum(1 for _ in _turns(messages))
            size = len(encoded(messages))
            found.append(
                SessionRow(scope, name, turns, len(messages), size, used_at, used_at, None)
            )
        return found

    async def forget_sessions(self, agent: str, sessions: Iterable[str] | None = None) -> int:
        """Forget those sessions of *agent*, or all of its; return how many there were."""
        there = {
            record.conversation_id for record in await self._store.list_conversations(scope=agent)
        }
        wanted = there if sessions is None else {_id(agent, each) for each in sessions} & there
        for each in wanted:
            await self._store.delete(each, scope=agent)
        return len(wanted)

    async def purge_sessions(
        self, unused_since: float | None = None, agent: str | None = None
    ) -> int:
        """Forget the sessions not used since then; return how many. None expires by itself."""
        purged = 0
        for record in await self._store.list_conversations(scope=agent):
            if unused_since is not None and record.updated_at.timestamp() < unused_since:
                await self._store.delete(record.conversation_id, scope=record.scope)
                purged += 1
        return purged


def _id(agent: str, session: str) -> str:
    return f"{agent}{SEPARATOR}{session}"


def _turns(messages: list[ModelMessage]) -> Iterable[list[ModelMessage]]:
    """Return *messages* by the runs that they are of."""
    return (list(some) for _, some in groupby(messages, key=lambda message: message.run_id))
