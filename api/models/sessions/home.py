"""Where the sessions of a system's agents are kept: the stores that they use, and who has the turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final, TypeVar, cast
from weakref import WeakKeyDictionary

from agenticaiframework.actors import ActorSystem
from agenticaiframework.patterns.engine import engine_sessions
from agenticaiframework.patterns.engine.store import SessionStore, Store, open_store

from .history import History, keeps_conversations
from .queues import Queues

__all__ = ["SessionHome", "session_home"]

T = TypeVar("T")

PURGE_EVERY_S: Final = 60.0


class SessionHome:
    """The stores of sessions in one system. Owned by its loop's thread; they are closed with it."""

    def __init__(self, system: ActorSystem) -> None:
        self.system = system
        self._queues = Queues()
        self._opened: dict[str, SessionStore] = {}
        """By URL: those that agents of this system have named, and its memory."""
        self._opening = asyncio.Lock()
        self._adapted: WeakKeyDictionary[Any, SessionStore] = WeakKeyDictionary()
        self._engine: SessionStore | None = None
        """The engine's store, once agents have used it: an engine that has stopped is not forgotten."""
        # Dates follow the loop's own clock, so that sessions expire by it where time is simulated.
        self._epoch = time.time() - system.loop.time()
        self._purged_at: WeakKeyDictionary[SessionStore, float] = WeakKeyDictionary()
        self._stood: dict[str, Any] = {}
        """What stood last for the agents that forget when they start."""
        system.at_stop(self.close)

    def turn(self, key: Hashable) -> AbstractAsyncContextManager[None]:
        """Wait, at the block's beginning, for earlier turns of *key*. On another loop than the system's
        nothing is waited for: of two turns the second is refused where it is written.
        """
        if asyncio.get_running_loop() is self.system.loop:
            return self._queues.turn(key)
        return nullcontext()

    async def store(self, history: History) -> SessionStore:
        """Return where sessions with *history* are kept, open. Raises StoreErrors."""
        given: Any = history.store
        if isinstance(given, str):
            return await self._named(given)
        if given is not None:
            return await self._given(given)
        found = await engine_sessions(self.system)
        if found is not None:
            self._engine = found
        # A store that has been closed says so: it is not that there has never been anything.
        return self._engine or await self._named("memory://")

    async def _named(self, url: str) -> SessionStore:
        found = self._opened.get(url)
        if found is not None:
            return found
        async with self._opening:
            found = self._opened.get(url)
            if found is None:
                store = open_store(url, clock=self._now)
                await store.open()
                found = self._opened[url] = cast("SessionStore", store)
        return found

    def _now(self) -> float:
        return self._epoch + self.system.loop.time()

    async def _given(self, given: Any) -> SessionStore:
        if keeps_conversations(given):
            found = self._adapted.get(given)
            if found is None:
                from .conversations import ConversationSessions

                found = self._adapted[given] = ConversationSessions(given)
            return found
        await cast("Store", given).open()  # again: harmless
        return cast("SessionStore", given)

    async def forget_expired(self, store: SessionStore) -> None:
        """Forget what has expired in *store*, once a minute at most: reading leaves it where it is."""
        now = self.system.loop.time()
        if now - self._purged_at.get(store, -PURGE_EVERY_S) >= PURGE_EVERY_S:
            self._purged_at[store] = now
            await store.purge_sessions()

    async def begin(self, agent: str, history: History, standing: Any) -> None:
        """Forget the sessions of *agent* if what stands for it is another than before."""
        if standing is not None and self._stood.get(agent) is not standing:
            self._stood[agent] = standing
            await self.on_loop(lambda: self._forget(agent, history))

    async def _forget(self, agent: str, history: History) -> None:
        await (await self.store(history)).forget_sessions(agent)

    async def close(self) -> None:
        """Close the stores that were opened here."""
        opened, self._opened = self._opened, {}
        for store in opened.values():
            await cast("Store", store).close()

    async def on_loop(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what *call* returns, made on the system's loop, from whichever runs here."""
        loop = self.system.loop
        if asyncio.get_running_loop() is loop:
            return await call()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_awaited(call), loop))


async def _awaited(call: Callable[[], Awaitable[T]]) -> T:
    return await call()


def session_home(system: ActorSystem) -> SessionHome:
    """Return where the sessions of the agents in *system* are kept."""
    found: SessionHome | None = system.data.get(SessionHome)
    if found is not None:
        return found
    made: SessionHome = system.data.setdefault(SessionHome, SessionHome(system))
    return made
