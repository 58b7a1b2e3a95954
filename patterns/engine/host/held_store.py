"""The store of one engine, shared by the actors that it has in several systems."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, cast

from ..definition.config import DEFAULT_STORE
from ..store import open_store, sqlite_file

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from ..definition.config import EngineConfig
    from ..store import Store


class HeldStore:
    """Opens the store that the configuration names, and counts its users. Guarded by its lock."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._store: Store | None = None
        self._users = 0
        self._loop: AbstractEventLoop | None = None
        self._lock = Lock()

    def hold(self, loop: AbstractEventLoop) -> Store:
        """Return the store for one more actor of the engine.

        A store belongs to one loop at a time. An actor on another loop meanwhile, in another thread,
        gets one of its own on the same medium.
        """
        given = self._config.state_store
        with self._lock:
            store = self._store
            if not isinstance(given, str):
                store = cast("Store", given)
            elif store is None or self._elsewhere(loop):
                if given == DEFAULT_STORE:
                    # Its folder is ours. Another one that is named and not there is a mistake.
                    Path(DEFAULT_STORE.removeprefix("sqlite:///")).parent.mkdir(
                        mode=0o700, exist_ok=True
                    )
                store = open_store(given, clock=self._config.wall_clock)
                if self._store is not None:
                    return store
            self._store = store
            self._loop = loop
            self._users += 1
            return store

    def is_there(self) -> bool:
        """Tell whether to look into the store makes nothing: it is there, or wanted anyway."""
        config, given = self._config, self._config.state_store
        if not isinstance(given, str) or config.persist_state or config.keeps_house:
            return True
        if self._in_memory:
            return self._store is not None
        file = sqlite_file(given) if given.startswith("sqlite:") else None
        return file.exists() if file is not None else not given.startswith("sqlite:")

    def let_go(self, store: Store) -> bool:
        """Take one user off *store*; return whether that was the last, which has to close it.

        The actor that takes the place of one that was killed may use it already.
        """
        with self._lock:
            if store is not self._store:
                return True
            self._users -= 1
            if self._users:
                return False
            if isinstance(self._config.state_store, str) and not self._in_memory:
                # What needs one while this one is being closed, in another thread, makes one.
                self._store = None
            return True

    def _elsewhere(self, loop: AbstractEventLoop) -> bool:
        if self._loop is not None and self._loop.is_closed():
            self._users = 0  # those that could not let it go
        in_use = bool(self._users) and self._loop is not loop
        return in_use and not self._in_memory

    @property
    def _in_memory(self) -> bool:
        return str(self._config.state_store).startswith("memory:")
