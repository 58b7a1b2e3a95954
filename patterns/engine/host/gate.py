"""The way of an engine's actor to its store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import ActorDied

from ..errors import EngineStopped, describe
from ..state.events import EventKind
from ..state.status import WorkflowState
from ..store import Durability, NewRun, Record, StoreError, StoreUnavailable
from .keeper import PROBE, RELOAD, Block, KeeperHost, KeeperReady, StoreKeeper
from .outage import REFUSALS, Outage
from .run_log import RunLog
from .unread import Unread

RETIRE_S: Final = 2.0
"""How long an engine that is stopped waits for its store to take note of that: closing the store says so
too, and what never arrives is known when the lease has ended."""

MAX_REFUSALS: Final = 6
"""How often a run goes on whose writing fails, while the store answers all the time: then it is not the
store that is at fault."""

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorRef, ActorSystem, Request

    from ..runner.orders import Group
    from ..state.live import LiveRun
    from ..store import Acknowledge, Owner, Store
    from .setup import Setup


class StoreGate:
    """Opens the store when it is first needed, and keeps a keeper for it. Owned by the engine's actor.

    Runs whose coordinators crashed, or whose store did not answer, come back from the store through
    here.
    """

    def __init__(
        self,
        host: KeeperHost,
        setup: Setup,
        home: ActorSystem,
        spawn: Callable[..., ActorRef[Any]],
    ) -> None:
        self._host = host
        self._setup = setup
        self._home = home
        self._log = RunLog(setup.name, home.log)
        self._spawn = spawn
        self.durability = Durability(setup.config.durability)
        self.keeper: StoreKeeper | None = None
        """Connects the engine with its store, once that is open."""
        self._keeper_ref: ActorRef[Any] | None = None
        self._held: Store | None = None
        """The store that keepers are given, until it is let go."""
        self._form: Callable[[Any, Callable[[], str]], Any] | None = None
        self._opening: list[Request] = []
        """Requests that wait for the store to be opened."""
        self.unread = Unread()
        """Runs that come back from the store before they go on."""
        self.outage: Outage | None = None
        """Set while the store does not answer."""

    # -- opening and closing ---------------------------------------------------------------------

    def open(self, request: Request) -> None:
        """Open the store; *request* is answered with the keeper, or fails."""
        if self.keeper is not None:
            request.reply(self.keeper)
            return
        self._opening.append(request)
        if self._keeper_ref is None:
            self._start_keeper(None)

    def _start_keeper(self, owner: Owner | None) -> None:
        try:
            if self._held is None:
                self._held = self._setup.store.hold(self._home.loop)
                self._form = self._held.stored_form
            self._keeper_ref = self._spawn(StoreKeeper, self._host, self._held, owner)
        except Exception as error:
            self.refuse(error)

    def ready(self, message: KeeperReady) -> None:
        """The store has been opened, or could not be."""
        if message.error is not None:
            self.refuse(message.error)
            return
        self.keeper = message.keeper
        waiting, self._opening = self._opening, []
        for request in waiting:
            request.reply(message.keeper)
        if self.outage is not None:
            self._tell(PROBE)
        elif self.unread:
            self._tell(RELOAD)

    def ended(self, ref: ActorRef[Any], reason: Any) -> bool:
        """Tell whether *ref* was the keeper; have another take the place of one that crashed.

        What it did keeps its owner.
        """
        if ref is not self._keeper_ref:
            return False
        self._keeper_ref = None
        if self.keeper is not None:
            self._log.keeper_crashed(reason)
            self._start_keeper(self.keeper.owner)
        elif self._opening:
            self._start_keeper(None)
        return True

    def refuse(self, error: BaseException) -> None:
        """Fail the requests that wait for the store: it cannot be opened."""
        waiting, self._opening = self._opening, []
        for request in waiting:
            request.fail(error)

    async def close(self) -> None:
        """Give the runs up, so that others may go on with them, and let the store go."""
        self.refuse(EngineStopped(self._setup.name))
        keeper, self.keeper = self.keeper, None
        try:
            if keeper is not None and self.outage is None:
                async with asyncio.timeout(RETIRE_S):
                    await keeper.close()
        except (StoreError, TimeoutError) as error:
            self._home.log.warning("engine {}: {}", self._setup.name, describe(error))
        finally:
            await self.let_go()

    async def let_go(self) -> None:
        """Close the store, unless other actors of this engine use it too."""
        store, self._held = self._held, None
        if store is not None and self._setup.store.let_go(store):
            try:
                await store.close()
            except StoreError as error:
                self._home.log.warning("engine {}: {}", self._setup.name, error)

    # -- writing ---------------------------------------------------------------------------------

    def create(
        self,
        live: LiveRun,
        records: list[Record],
        done: Acknowledge,
        at: float | None = None,
    ) -> None:
        """Have the store take a run in, with its first events."""
        keeper, run = self._opened(), live.run
        new = NewRun(
            run.id,
            run.plan.name,
            run.plan.hash,
            run.plan.text,
            run.input,
            str(WorkflowState.RUNNING if run.state.finished else run.state),
            self.durability,
            run.parent,
            run.labels,
            run.context,
            run.root,
            created_at=run.created_at,
            at=at,
        )
        if self._setup.watchers:
            done = self._setup.watchers.timed(done, self._home.clock)
        live.lease = keeper.store.submit_run(keeper.owner, new, done, records)

    def write(self, live: LiveRun, group: Group, done: Acknowledge) -> None:
        """Have a group of events written; *done* is called when it is, or has failed.

        While the store does not answer, nothing is given to it: the coordinator writes it again.
        """
        if live.outage is not None:
            return
        if live.refused is not None:
            raise live.refused
        if live.lease is None:
            self.create(live, group.records, done, group.at)
        else:
            store = self._opened().store
            live.lease.at = group.at
            if self._setup.watchers:
                done = self._setup.watchers.timed(done, self._home.clock)
            store.submit(live.lease, group.records, done, group.update, group.used)

    @property
    def stored_form(self) -> Callable[[Any, Callable[[], str]], Any]:
        """What returns the form that the store keeps of a value, also while it cannot be reached."""
        if self._form is None:
            raise EngineStopped(self._setup.name)
        return self._form

    def _opened(self) -> StoreKeeper:
        if self.keeper is None:
            raise EngineStopped(self._setup.name)
        return self.keeper

    def look(self) -> None:
        """Have the keeper look at once for what was said to the runs that are here."""
        if self.keeper is not None:
            self.keeper.look()

    # -- bringing back ---------------------------------------------------------------------------

    def reload(self, live: LiveRun) -> None:
        """Bring a run back whose coordinator crashed."""
        self.unread.add(live)
        if self.outage is None:
            self._tell(RELOAD)

    # -- when the store does not answer ----------------------------------------------------------

    def block(self, live: LiveRun, reason: str, reopening: Sequence[Record]) -> None:
        """Have it noted that a run cannot go on, and give it back, so that any engine may take it."""
        self._tell(Block(live, reason, reopening))

    def note_interruption(self, live: LiveRun) -> None:
        """Note that a run survives until its engine is stopped in good order; if not: it counts on."""
        keeper, lease = self.keeper, live.lease
        if keeper is not None and lease is not None:
            record = Record(EventKind.WORKFLOW_INTERRUPTED.value)
            try:
                keeper.store.submit(lease, [record], lambda _error: None)
            except StoreError:
                pass

    def suspend(self, live: LiveRun, error: BaseException) -> bool:
        """Let a run wait until the store answers again, which did not take what happened in it.

        Return whether it does: not if the store is being let go, or is not what is at fault. A run that
        it has not taken in waits for nothing that a person has to mend: its caller is told.
        """
        refused = isinstance(error, REFUSALS)
        if not isinstance(error, StoreError) or not (
            refused or isinstance(error, StoreUnavailable)
        ):
            return False
        if refused and (live.lease is None or live.lease.next_seq <= 1):
            return False
        if live in self.unread:
            return True
        if self.keeper is None or live.refused_again() > MAX_REFUSALS:
            return False
        self.failed(error, live.refusals - 1)
        assert self.outage is not None, "the store has failed"
        self.outage.runs.append(live)
        self.unread.add(live)
        live.suspend(describe(error), self._host.now())
        if refused:
            live.fail_waiters(error)
        return True

    def failed(self, error: Exception, tries: int = 0) -> None:
        """Take note that the store does not answer, and have it asked until it does.

        *tries* is how often it had answered, and refused the same run again.
        """
        if self.outage is None and self.keeper is not None:
            self.outage = Outage(error, self._host.now(), tries)
            if tries:
                # It has been told, and the store answers at once, perhaps: not again and again.
                pause_s = self.outage.pause_s(self._host.chance())
                self._home.call_later(pause_s, self._tell, PROBE)
                return
            self._setup.watchers.outage_began()
            self._log.outage_began(self.keeper.store.url, error)
            self._tell(PROBE)

    def answers(self) -> None:
        """Take note that the store answers again, and that the runs have been read from it."""
        outage, self.outage = self.outage, None
        if outage is None:
            return
        if outage.probes:
            for live in outage.runs:
                live.refusals = 0
        if not outage.tries and self.keeper is not None:
            self._log.outage_over(self.keeper.store.url, outage, self._host.now())
        refused = [live for live in self.unread if live.ref is not None]
        if refused:
            # It has refused something again since it was asked.
            self.failed(outage.error, max(live.refusals for live in refused) or 1)
        elif self.unread:
            self._tell(RELOAD)

    def _tell(self, message: str | Block) -> None:
        if self._keeper_ref is not None:
            try:
                self._keeper_ref.tell(message)
            except ActorDied:
                pass  # its end is on its way here, and the next one is told again
