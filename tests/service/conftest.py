"""What the tests of a service share: a user in a context variable, and handlers that note whom they see."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from agenticaiframework.actors import agent_context

NOBODY = "nobody"

user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default=NOBODY)


class Witness:
    """Handlers that note whom they work for, as the context says it, and whom they see in the variable.

    What they set in the variable must reach nobody: they see it again after a wait, and no one else
    ever does.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def note(self) -> str:
        who = user.get()
        self.seen.append((agent_context().get("user", NOBODY), who))
        user.set(f"what a handler for {who} has set")
        return who

    async def handle(self, payload: Any) -> str:
        """Answer with the user who is seen."""
        who = self.note()
        await asyncio.sleep(0)
        assert user.get() == f"what a handler for {who} has set"
        return who

    def handle_plain(self, payload: Any) -> str:
        """Answer with the user who is seen; plain code."""
        return self.note()

    async def handle_in_parts(self, payload: Any) -> str:
        """Answer with the user whom a task, a thread and a nested call of the handler see."""
        who = self.note()
        user.set(who)

        async def look() -> str:
            await asyncio.sleep(0)
            return user.get()

        found = await asyncio.gather(look(), asyncio.create_task(look()))
        found.append(await asyncio.to_thread(user.get))
        assert found == [who] * 3
        return who

    def handle_by_run(self, payload: Any) -> str:
        """Answer with the user whom a loop of the handler's own sees."""
        who = self.note()
        user.set(who)

        async def look() -> str:
            await asyncio.sleep(0)
            return user.get()

        assert asyncio.run(look()) == who
        return who

    @property
    def users(self) -> set[str]:
        """Everyone whom a handler has seen."""
        return {who for _, who in self.seen}

    def wrong(self) -> list[tuple[str, str]]:
        """Return the looks that found another user than the one worked for."""
        return [look for look in self.seen if look[0] != look[1]]


@pytest.fixture
def witness() -> Witness:
    return Witness()
