"""What keeps an engine and its store together.

The keeper registers the engine with the store as an owner, renews the lease, listens for signals
and cancellations from other processes, and brings stored runs back. It is an actor beside the
engine's own, because it waits for the store, and the engine's actor never waits.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from agenticaiframework.actors import Actor, ActorDied

from ..state.cancellation import Cancellation
from ..store import Owner, StoreError, StoreUnavailable
from .going_on import RecoveryHost
from .lease import LEASE_RENEWED, RENEW, Lease, LeaseKeeper
from .messages import CancelRun, DropRun
from .queue_server import QueueServer
from .recovery import Recovery

if TYPE_CHECKING:
    from collections.abc import Callable

    from agenticaiframework.actors import ActorRef

    from ..state.live import LiveRun
    from ..store import Notice, Record, Store
    from .outage import Outage

POLL: Final = "poll"
PURGE: Final = "purge"
RECOVER: Final = "recover"
RECOVER_ON: Final = "recover on"
"""Told to the keeper by itself: there was more to recover than could be begun."""
TAKE: Final = "take"
"""Told to the keeper: take runs of the queues that the engine serves."""
RELOAD: Final = "reload"
"""Told to the keeper: let the runs go on that have to be read from the store first."""
PROBE: Final = "probe"
"""Told to the keeper: find out whether the store answers again."""

RECOVER_ON_S: Final = 0.02
"""After what time runs that only wait have given their turns back, mostly, and the next can be taken."""
PURGE_EVERY_S: Final = 60.0
PURGE_AT_ONCE: Final = 200
"""Runs forgotten before other upkeep gets its turn."""


class KeeperHost(RecoveryHost, Protocol):
    """The engine's actor, as its keeper knows it."""

    @property
    def clock(self) -> Callable[[], float]:
        """The clock of the loop."""
        ...

    @property
    def outage(self) -> Outage | None:
        """Set while the store does not answer."""
        ...

    def chance(self) -> float:
        """Return a random number from 0 to 1."""
        ...

    def room(self) -> int:
        """Return how many runs more the engine can begin."""
        ...

    def heard(self, run_id: str) -> None:
        """Take note that something has happened in the store to a run, in whichever process."""
        ...

    async def let_store_go(self) -> None:
        """Close the store, unless other actors of this engine use it too."""
        ...


class StoreFailed:
    """Told to the engine's actor: the store does not answer."""

    __slots__ = ("error",)

    def __init__(self, error: StoreUnavailable) -> None:
        self.error = error


STORE_ANSWERS: Final = "store answers"
"""Told to the engine's actor: the store answers again, and runs have been read from it."""


class KeeperReady:
    """Told to the engine's actor when the store has been opened, or could not be."""

    __slots__ = ("error", "keeper")

    def __init__(self, keeper: StoreKeeper, error: BaseException | None) -> None:
        self.keeper = keeper
        self.error = error


class Block:
    """Told to the keeper: note that a run that is here cannot go on, and give it back."""

    __slots__ = ("live", "reason", "reopening")

    def __init__(self, live: LiveRun, reason: str, reopening: Sequence[Record]) -> None:
        self.live = live
        self.reason = reason
        self.reopening = reopening


class StoreKeeper(Actor):
    """Owns the engine's standing with its store. Linked to the engine's actor."""

    exit_is_crash = True

    def __init__(self, host: KeeperHost, store: Store, owner: Owner | None = None) -> None:
        super().__init__()
        self._host = host
        self.store = store
        self.owner: Owner = owner or Owner("", 0, 0.0)
        self._registered = owner is not None
        self.seen_at = 0.0
        """When the lease was renewed last."""
        self.recovered = False
        """Whether what dead engines left has been looked for."""
        self.recovery = Recovery(host, store)
        self.queues = QueueServer(host, store, self.recovery)
        self._taking = False
        """Whether it has been told to take runs of queues, and has not yet."""
        self._recovers_on: float | None = None
        """After what pause it goes on to recover, as it has told itself; None: it has not."""
        self._cursor = 0
        self.lease = Lease(host.clock, host.setup.config.lease_seconds)
        self._renewer: ActorRef[Any] | None = None
        self._complained = False
        """Whether an error of the store has been logged: once, until it works again."""
        self._closing = False
        self._looking = False
        """Whether it has been told to look, and has not yet."""

    async def on_start(self) -> None:  # type: ignore[override]
        config = self._host.setup.config
        try:
            await self.store.open()
            if not self._registered:
                engine_id = f"{self._host.setup.name}@{socket.gethostname()}:{os.getpid()}"
                self.owner = await self.store.register(engine_id, config.lease_seconds)
            await self.queues.register(self.owner)
            self.store.listen(self._host.heard)
            self.seen_at = self._host.now()
        except Exception as error:
            await self._host.let_store_go()
            self._host.tell(KeeperReady(self, error))
            self.exit("normal")
        self.recovery.owner = self.owner
        self._host.tell(KeeperReady(self, None))
        self._renewer = self.spawn(LeaseKeeper, self.renew, self._failed, config.lease_seconds)
        self.send_interval(config.poll_seconds, POLL)
        if self.queues.serves:
            self.take_soon()
        if config.retention is not None:
            self.actor_ref.tell(PURGE)
            self.send_interval(PURGE_EVERY_S, PURGE)
        if config.recover_every_seconds is not None:
            if not config.recover_on_start:
                self.actor_ref.tell(RECOVER)
            self.send_interval(config.recover_every_seconds, RECOVER)

    def look(self) -> None:
        """Look now for what was said to the runs that are here: once for all that is heard meanwhile."""
        if not self._looking:
            self._looking = True
            try:
                self.actor_ref.tell(POLL)
            except ActorDied:
                pass  # another one takes its place

    def take_soon(self) -> None:
        """Take runs of queues: once for all that happens meanwhile."""
        if self.queues.serves and not self._taking:
            self._taking = True
            try:
                self.actor_ref.tell(TAKE)
            except ActorDied:
                pass  # another one takes its place, and begins with that

    async def close(self) -> None:
        """Give the engine's runs up, so that others may go on with them."""
        self._closing = True
        await self.store.retire(self.owner)

    async def on_receive(self, message: Any) -> None:
        if self._closing:
            return
        if message == PROBE:
            await self._probe()
            return
        paused_s = 0.0
        if message == RECOVER_ON:
            paused_s, self._recovers_on = self._recovers_on or RECOVER_ON_S, None
        if self._host.outage is not None and not isinstance(message, Block):
            self._taking = self._taking and message != TAKE
            return  # what is due is done when the store answers again
        try:
            if message == POLL:
                await self.recovery.end_overdue()
                self._looking = False
                await self._poll()
                self.take_soon()
                await self.queues.look()
            elif message == TAKE:
                self._taking = False
                await self.queues.take()
            elif message == PURGE:
                await self._purge()
            elif message in (RECOVER, RECOVER_ON):
                if not self._host.setup.draining:
                    await self._recover(paused_s)
            elif message == RELOAD:
                await self.recovery.reload(self._host.unread)
            elif isinstance(message, Block):
                await self.recovery.block(message.live, message.reason, message.reopening)
            self._complained = False
        except StoreError as error:
            self._failed(message, error)

    def _failed(self, message: Any, error: StoreError) -> None:
        # What needs the store says so itself; this is only the upkeep, and is tried again.
        if self._closing:
            return
        if isinstance(error, StoreUnavailable):
            self._host.tell(StoreFailed(error))
        elif not self._complained:
            self._complained = True
            name = self._host.setup.name
            self.system.log.warning("engine {}: {}: {}", name, message, error)

    # -- outages ---------------------------------------------------------------------------------

    async def _probe(self) -> None:
        """Find out whether the store answers; let the runs go on, or try again later."""
        outage = self._host.outage
        if outage is None or self._closing:
            return
        try:
            await self.renew()
            await self.recovery.reload(self._host.unread)
            await self.recovery.take_back()
            await self._poll()
        except StoreError as error:
            outage.error = error
            pause_s = outage.pause_s(self._host.chance())
            outage.probes += 1
            self.send_after(pause_s, PROBE)
        else:
            self._host.tell(STORE_ANSWERS)

    # -- keeping house -----------------------------------------------------------------------------

    async def _recover(self, paused_s: float) -> None:
        """Take as many runs that no engine holds as can be begun; soon again, if there may be more.

        Those that only wait give their turns back at once. While there is no room, it looks ever more
        seldom, until the next regular time comes first.
        """
        rooms: list[int] = []

        def room() -> int:
            rooms.append(self._host.room())
            return rooms[-1]

        taken = len((await self.recovery.recover(room)).recovered)
        if rooms[-1]:
            pause_s = RECOVER_ON_S if taken >= rooms[-1] else 0.0
        else:
            pause_s = 2 * paused_s
        every_s = self._host.setup.config.recover_every_seconds
        if self._recovers_on is None and every_s is not None and 0.0 < pause_s < every_s:
            self._recovers_on = pause_s
            self.send_after(pause_s, RECOVER_ON)

    async def _purge(self) -> None:
        """Forget some of the runs that the policy gives up; what else there is to do comes in between."""
        retention = self._host.setup.config.retention
        if retention is None:
            return
        if await self.store.purge(retention, PURGE_AT_ONCE) >= PURGE_AT_ONCE:
            self.actor_ref.tell(PURGE)

    # -- the lease -------------------------------------------------------------------------------

    def look_at_lease(self) -> None:
        """Have the lease renewed now, and the engine's actor told."""
        if self._renewer is not None:
            try:
                self._renewer.tell(RENEW)
            except ActorDied:
                pass  # another one takes its place, and renews it first

    async def renew(self) -> None:
        """Renew the lease; let go of what another engine has taken meanwhile."""
        if self._closing:
            return  # to renew a lease that has been given up would keep the runs from every engine
        doubtful = self.lease.in_doubt
        await self.lease.renew(self._renew)
        if doubtful:
            self._host.tell(LEASE_RENEWED)

    async def _renew(self) -> None:
        alive = await self.store.renew(self.owner)
        self.seen_at = self._host.now()
        if alive:
            return
        await self.queues.register(self.owner)
        held = [live for live in self._host.roster if live.run.persist and live.lease is not None]
        await self._drop_lost(held)

    async def _drop_lost(self, held: list[LiveRun]) -> None:
        """Let go of those runs that another engine has taken.

        A larger token says that another has it; that a row is not there says only that its first write
        is still under way.
        """
        rows = await self.store.load_runs([live.id for live in held])
        for live in held:
            row, lease = rows.get(live.id), live.lease
            lost = row is not None and lease is not None and row.fence > lease.fence
            if lost and self._host.roster.get(live.id) is live:
                why = "another engine has taken it over"
                if not live.blocked:
                    why = f"the lease had ended, and {why}"
                self._host.tell(DropRun(live.id, why))

    # -- signals and cancellations from elsewhere --------------------------------------------------

    async def _poll(self) -> None:
        here = [live for live in self._host.roster if live.run.persist and not live.over]
        if not here:
            return
        blocked = [live for live in here if live.blocked]
        if blocked:
            await self._drop_lost(blocked)
        inbox = await self.store.poll(self.owner, self._cursor)
        for run_id in dict.fromkeys(n.run_id for n in inbox.notices if n.kind != "cancel"):
            await self.recovery.deliver_signals(run_id)
        await self._deliver_cancellations(inbox.notices)
        self._cursor = inbox.cursor

    async def _deliver_cancellations(self, notices: Iterable[Notice]) -> None:
        """Have the runs cancelled that the *notices* say so of, if that is still wanted."""
        told = list(dict.fromkeys(n.run_id for n in notices if n.kind == "cancel"))
        if not told:
            return
        # The row says what is wanted: a notice may be of a cancellation that was carried out before
        # the run went on.
        for run_id, row in (await self.store.load_runs(told)).items():
            if row.cancel_reason is not None and not row.finished:
                cancellation = Cancellation.of(row.cancel_reason, row.cancel_options)
                self._host.tell(CancelRun(run_id, cancellation))
