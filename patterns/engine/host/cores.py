"""The actors of one engine: one in each system in which it is used."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, cast

from agenticaiframework.actors import ActorDied, ActorSystem

from ..errors import EngineStopped
from .core import EngineCore, cores_of
from .launching import CANCEL_GRACE_S
from .load import EngineLoad, load_of
from .messages import OpenStore, StopEngine
from .nested import NestedWorkflow
from .setup import Setup

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...vocabulary.target import Askable
    from ..definition.config import EngineConfig
    from ..definition.plan import Plan
    from .keeper import StoreKeeper
    from .watchers import EngineWatcher


async def open_keeper(core: EngineCore) -> StoreKeeper:
    """Return what connects *core* with its store, which is opened when first needed."""
    keeper = core.gate.keeper
    if keeper is None:
        waiting = core.actor_ref.promise()
        message = OpenStore(waiting)
        core.arriving[message] = None
        try:
            core.actor_ref.tell(message)
        except ActorDied:
            raise EngineStopped(core.setup.name) from None
        keeper = await waiting
    opened: StoreKeeper = keeper
    return opened


class Cores:
    """Starts and finds the actors of one engine. Owned by the engine."""

    def __init__(self, name: str, config: EngineConfig) -> None:
        self.setup = Setup(name, config, self.nest)
        self._cores: weakref.WeakSet[EngineCore] = weakref.WeakSet()
        self._last: EngineCore | None = None

    def nest(self, plan: Plan) -> Askable:
        """Return the workflow of *plan* as something that can be asked."""
        return cast("Askable", NestedWorkflow(plan, self.here, self.setup))

    def here(self) -> EngineCore:
        """Return the engine's actor in the current system, started when first needed."""
        if self.setup.stopped:
            raise EngineStopped(self.setup.name)
        system = ActorSystem.current()
        cores = cores_of(system)
        core = cores.get(id(self.setup))
        if core is None or not core.actor_ref.is_alive():
            system.start(EngineCore, self.setup, system, _name=f"engine {self.setup.name}")
            core = self._last = cores[id(self.setup)]
            self._cores.add(core)
        return core

    def here_or_none(self) -> EngineCore | None:
        """Return the engine's actor in the current system, if it has been started."""
        system = ActorSystem.current_or_none()
        return None if system is None else cores_of(system).get(id(self.setup))

    async def open_again(self) -> None:
        """Let an engine that was stopped start again, drained or not, once its actor here has ended.

        Only ``async with`` does this: a late request of a service that ends must not start what the
        service has just stopped. Raises `EngineStopped` where the actor still ends after the grace
        that a stop has, for two of them on one store would each take the other's runs.
        """
        if not self.setup.stopped:
            return
        if not await self._ended_here():
            raise EngineStopped(self.setup.name)
        self.setup.stopped = self.setup.draining = False

    async def stop(self) -> None:
        """End the engine's actor in the current system, and refuse work until it is opened again."""
        self.setup.stopped = True
        core = self.here_or_none()
        if core is not None and core.actor_ref.is_alive():
            core.tell(StopEngine())
            await self._ended_here()

    async def _ended_here(self) -> bool:
        core = self.here_or_none()
        if core is None or not core.actor_ref.is_alive():
            return True
        return await core.home.wait_ended(core.actor_ref, CANCEL_GRACE_S)

    def alive(self) -> list[EngineCore]:
        """Return the engine's actors that still live, in whatever system."""
        return [core for core in self._cores if core.actor_ref.is_alive()]

    @property
    def last(self) -> EngineCore | None:
        """The actor that was started last, also when it has ended: its spans stay readable."""
        return self._last

    def limits_changed(self) -> None:
        """Have the actors that run already know of a new limit."""
        for core in self.alive():
            core.attempts.set_limits(self.setup.limits)

    def watch(self, watcher: EngineWatcher) -> Callable[[], None]:
        """Tell *watcher* what the engine does, in whatever system; returns a function that ends it."""

        def end() -> None:
            self.setup.watchers.remove(watcher)
            for core in self.alive():
                core.attempts.look_again()

        self.setup.watchers.add(watcher)
        for core in self.alive():
            core.attempts.look_again()
        return end

    def load(self, system: ActorSystem) -> EngineLoad:
        """Return how loaded the engine is in *system*; on the loop of that. Nothing is started by it."""
        core = cores_of(system).get(id(self.setup))
        most = self.setup.config.max_concurrent_workflows
        return EngineLoad(most=most) if core is None else load_of(core, most)

    async def keeper(self, core: EngineCore) -> StoreKeeper:
        """Return what connects *core* with its store, which is opened when first needed."""
        return await open_keeper(core)

    async def ready(self, core: EngineCore) -> StoreKeeper:
        """Return what `keeper` does; recovers first, once, if the configuration says so."""
        keeper = await self.keeper(core)
        if self.setup.config.recover_on_start and not keeper.recovered:
            keeper.recovered = True
            await keeper.recovery.recover()
        return keeper
