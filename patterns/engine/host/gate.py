"""The way of an engine's actor to its store."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agenticaiframework.actors import ActorDied, describe_reason

from ..errors import EngineStopped
from ..store import Durability, NewRun, StoreError
from .keeper import KeeperHost, KeeperReady, Reload, StoreKeeper

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorRef, ActorSystem, Request

    from ..runner.orders import Group
    from ..state.live import LiveRun
    from ..store import Acknowledge, Owner, Record, Store
    from .setup import Setup


class StoreGate:
    """Opens the store when it is first needed, and keeps a keeper for it. Owned by the engine's actor.

    Runs whose coordinators crashed come back from the store through here.
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
        self._spawn = spawn
        self._durability = Durability(setup.config.durability)
        self.keeper: StoreKeeper | None = None
        """Connects the engine with its store, once that is open."""
        self._keeper_ref: ActorRef[Any] | None = None
        self._held: Store | None = None
        """The store that keepers are given, until it is let go."""
        self._opening: list[Request] = []
        """Requests that wait for the store to be opened."""
        self._reloading: dict[str, LiveRun] = {}
        """Runs on their way back from the store."""

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
        for live in list(self._reloading.values()):
            self._tell(Reload(live))

    def ended(self, ref: ActorRef[Any], reason: Any) -> bool:
        """Tell whether *ref* was the keeper; have another take the place of one that crashed.

        What it did keeps its owner.
        """
        if ref is not self._keeper_ref:
            return False
        self._keeper_ref = None
        if self.keeper is not None:
            self._home.log.error(
                "engine {}: the keeper of its store ended ({}); starting another",
                self._setup.name, describe_reason(reason),
            )  # fmt: skip
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
            if keeper is not None:
                await keeper.close()
        except StoreError as error:
            self._home.log.warning("engine {}: {}", self._setup.name, error)
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

    def create(self, live: LiveRun, records: list[Record], done: Acknowledge) -> None:
        """Have the store take a run in, with its first events."""
        keeper, run = self._opened(), live.run
        new = NewRun(
            run.id,
            run.plan.name,
            run.plan.hash,
            run.plan.text,
            run.input,
            str(run.state),
            self._durability,
            run.parent,
            run.labels,
            run.context,
        )
        live.lease = keeper.store.submit_run(keeper.owner, new, done, records)

    def write(self, live: LiveRun, group: Group, done: Acknowledge) -> None:
        """Have a group of events written; *done* is called when it is, or has failed."""
        if live.refused is not None:
            raise live.refused
        if live.lease is None:
            self.create(live, group.records, done)
        else:
            store = self._opened().store
            store.submit(live.lease, group.records, done, group.update, group.used)

    def _opened(self) -> StoreKeeper:
        if self.keeper is None:
            raise EngineStopped(self._setup.name)
        return self.keeper

    # -- bringing back ---------------------------------------------------------------------------

    def reload(self, live: LiveRun) -> None:
        """Bring a run back whose coordinator crashed."""
        self._reloading[live.id] = live
        self._tell(Reload(live))

    def reloaded(self, live: LiveRun) -> None:
        """Take note that a run is back, or over."""
        self._reloading.pop(live.id, None)

    def _tell(self, message: Reload) -> None:
        if self._keeper_ref is not None:
            try:
                self._keeper_ref.tell(message)
            except ActorDied:
                pass  # its end is on its way here, and the next one is told again
