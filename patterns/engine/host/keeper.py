"""What keeps an engine and its store together.

The keeper registers the engine with the store as an owner, renews the lease, listens for signals
and cancellations from other processes, and brings stored runs back. It is an actor beside the
engine's own, because it waits for the store, and the engine's actor never waits.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any, Final, Protocol

from agenticaiframework.actors import Actor

from ..state.cancellation import Cancellation
from ..store import Owner, StoreError
from .messages import CancelRun, DropRun, SignalRun
from .recovery import Recovery, RecoveryHost

if TYPE_CHECKING:
    from ..state.live import LiveRun
    from ..store import Store

POLL: Final = "poll"
RENEW: Final = "renew"
PURGE: Final = "purge"
RECOVER: Final = "recover"

PURGE_EVERY_S: Final = 60.0


class KeeperHost(RecoveryHost, Protocol):
    """The engine's actor, as its keeper knows it."""

    async def let_store_go(self) -> None:
        """Close the store, unless other actors of this engine use it too."""
        ...


class KeeperReady:
    """Told to the engine's actor when the store has been opened, or could not be."""

    __slots__ = ("error", "keeper")

    def __init__(self, keeper: StoreKeeper, error: BaseException | None) -> None:
        self.keeper = keeper
        self.error = error


class Reload:
    """Told to the keeper: start the coordinator of a stored run again from what is stored."""

    __slots__ = ("live",)

    def __init__(self, live: LiveRun) -> None:
        self.live = live


class StoreKeeper(Actor):
    """Owns the engine's standing with its store. Linked to the engine's actor."""

    exit_is_crash = True

    def __init__(self, host: KeeperHost, store: Store, owner: Owner | None = None) -> None:
        super().__init__()
        self._host = host
        self.store = store
        self.owner: Owner = owner or Owner("", 0, 0.0)
        self._registered = owner is not None
        self.recovered = False
        """Whether what dead engines left has been looked for."""
        self.recovery = Recovery(host, store)
        self._cursor = 0
        self._complained = False
        """Whether the store's failure has been logged: once, until it works again."""
        self._closing = False

    async def on_start(self) -> None:  # type: ignore[override]
        config = self._host.setup.config
        try:
            await self.store.open()
            if not self._registered:
                engine_id = f"{self._host.setup.name}@{socket.gethostname()}:{os.getpid()}"
                self.owner = await self.store.register(engine_id, config.lease_seconds)
        except Exception as error:
            await self._host.let_store_go()
            self._host.tell(KeeperReady(self, error))
            self.exit("normal")
        self.recovery.owner = self.owner
        self._host.tell(KeeperReady(self, None))
        self.send_interval(config.lease_seconds / 3, RENEW)
        self.send_interval(config.poll_seconds, POLL)
        if config.retention is not None:
            self.actor_ref.tell(PURGE)
            self.send_interval(PURGE_EVERY_S, PURGE)
        if config.recover_every_seconds is not None:
            self.send_interval(config.recover_every_seconds, RECOVER)

    async def close(self) -> None:
        """Give the engine's runs up, so that others may go on with them."""
        self._closing = True
        await self.store.retire(self.owner)

    async def on_receive(self, message: Any) -> None:
        try:
            if message == POLL:
                await self._poll()
            elif message == RENEW:
                await self._renew()
            elif message == PURGE:
                retention = self._host.setup.config.retention
                if retention is not None:
                    await self.store.purge(retention)
            elif message == RECOVER:
                await self.recovery.recover()
            elif isinstance(message, Reload):
                await self.recovery.reload(message.live)
            self._complained = False
        except StoreError as error:
            # What needs the store says so itself; this is only the upkeep, and is tried again.
            if not self._complained and not self._closing:
                self._complained = True
                name = self._host.setup.name
                self.system.log.warning("engine {}: {}: {}", name, message, error)

    # -- the lease -------------------------------------------------------------------------------

    async def _renew(self) -> None:
        if await self.store.renew(self.owner):
            return
        # A larger token says that another has it; that a row is not there says only that its first
        # write is still under way.
        held = [live for live in self._host.roster if live.run.persist and live.lease is not None]
        rows = await self.store.load_runs([live.id for live in held])
        for live in held:
            row, lease = rows.get(live.id), live.lease
            lost = row is not None and lease is not None and row.fence > lease.fence
            if lost and self._host.roster.get(live.id) is live:
                why = "the lease had ended, and another engine has taken it over"
                self._host.tell(DropRun(live.id, why))

    # -- signals and cancellations from elsewhere --------------------------------------------------

    async def _poll(self) -> None:
        if not any(live.run.persist and not live.over for live in self._host.roster):
            return
        inbox = await self.store.poll(self.owner, self._cursor)
        signalled: dict[str, None] = {}
        for notice in inbox.notices:
            if notice.kind == "cancel":
                self._host.tell(CancelRun(notice.run_id, Cancellation(notice.name)))
            else:
                signalled[notice.run_id] = None
        for run_id in signalled:
            pending = await self.store.pending_signals(run_id)
            if pending:
                self._host.tell(SignalRun(run_id, pending))
        self._cursor = inbox.cursor
