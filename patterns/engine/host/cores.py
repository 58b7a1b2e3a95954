"""The actors of one engine: one in each system in which it is used."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, cast

from agenticaiframework.actors import ActorDied, ActorSystem

from ..errors import EngineStopped
from .core import EngineCore, cores_of
from .messages import OpenStore
from .nested import NestedWorkflow
from .setup import Setup

if TYPE_CHECKING:
    from ...vocabulary.target import Askable
    from ..definition.config import EngineConfig
    from ..definition.plan import Plan
    from .keeper import StoreKeeper


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

    async def keeper(self, core: EngineCore) -> StoreKeeper:
        """Return what connects *core* with its store, which is opened when first needed."""
        keeper = core.gate.keeper
        if keeper is None:
            waiting = core.actor_ref.promise()
            try:
                core.actor_ref.tell(OpenStore(waiting))
            except ActorDied:
                raise EngineStopped(self.setup.name) from None
            keeper = await waiting
        opened: StoreKeeper = keeper
        return opened

    async def ready(self, core: EngineCore) -> StoreKeeper:
        """Return what `keeper` does; recovers first, once, if the configuration says so."""
        keeper = await self.keeper(core)
        if self.setup.config.recover_on_start and not keeper.recovered:
            keeper.recovered = True
            await keeper.recovery.recover()
        return keeper
