"""Draining an engine: it takes no new work, and gives what it has to whatever goes on with it.

Stored runs stand still first: no step of theirs begins any more, and what a handler under way has asked
for goes on. One that stands still is given back at once, so that another engine goes on with it while
others finish their steps here. What still works at the deadline is cut off and given back as well. Runs
in memory alone can go on nowhere else, so they run on until the deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol

from agenticaiframework.actors import Actor, ActorDied

from ..errors import describe
from ..runner.messages import STAND_STILL
from ..state.status import DrainReport
from ..store import StoreError
from .engine_host import EngineHost

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorRef, Request

    from ..state.live import LiveRun
    from ..store import Lease
    from .parts import Parts

LOOK_S: Final = 0.02
"""How often runs are looked at that finish their steps."""

AT_ONCE: Final = 100
"""Leases that are given back at a time."""

GIVE_BACK_S: Final = 5.0
"""How long the store may take to note what is given back: what it never hears of is free once the lease
has ended."""

PARKED: Final = "its engine is drained; another engine goes on with it"
LOST: Final = "its engine is drained, and it is in memory alone"


class DrainHost(EngineHost, Protocol):
    """The engine's actor, as what drains it knows it."""

    @property
    def actor_ref(self) -> ActorRef[Any]:
        """Its address."""
        ...

    @property
    def parts(self) -> Parts:
        """Which runs are parts of what."""
        ...

    def let_go(self, live: LiveRun, why: str) -> list[Lease]:
        """Stop knowing about a run and its parts; return what they were held by."""
        ...


class Drainage:
    """How far an engine is drained. Owned by the engine's actor, and written in its turn, its
    coordinators' and its `Drainer`'s, which are turns of one loop."""

    def __init__(self, host: DrainHost, limit_s: float) -> None:
        self._host = host
        self._began_at = host.home.clock()
        self._until = self._began_at + limit_s
        self._waiting: list[Request] = []
        self._finished = 0
        self._still: set[str] = set()
        """The runs whose coordinators have said that they stand still, since they were asked last."""
        self._leases: list[Lease] = []
        """What is to be given back."""
        self._parked: list[str] = []
        self._cut_off: list[str] = []
        self._lost: list[str] = []
        self._held_on: list[str] = []
        self.report: DrainReport | None = None
        """What came of it, once it is over."""

    def add(self, request: Request, limit_s: float) -> None:
        """Let *request* wait for the report; the nearest deadline counts."""
        if self.report is not None:
            request.reply(self.report)
            return
        self._until = min(self._until, self._host.home.clock() + limit_s)
        self._waiting.append(request)

    def withholds(self, live: LiveRun) -> bool:
        """Tell whether no step of a stored run may begin: none waits for it that a handler has asked."""
        return not self._host.parts.asked_for(live)

    def ended(self, live: LiveRun) -> None:
        """Take note that a run has come to its end here."""
        if live.run.parent is None:
            self._finished += 1

    def stands_still(self, live: LiveRun) -> None:
        """Take note that a coordinator has nothing under way; park its run if that is all of it."""
        self._still.add(live.id)
        if live.around is None and not live.over and self._at_rest(live):
            self._park(live)

    async def run(self) -> None:
        """Drain, and answer what waits for the report."""
        clock, log, name = self._host.home.clock, self._host.home.log, self._host.setup.name
        log.info("engine {} is drained: it takes no new work", name)
        while True:
            self._look()
            await self._give_back()
            if not any(self._here()):
                break
            left_s = self._until - clock()
            if left_s <= 0:
                self._cut_the_rest()
                await self._give_back()
                break
            await asyncio.sleep(min(LOOK_S, left_s))
        await self._retire()
        self.conclude()
        log.info(
            "engine {} has been drained in {:.1f} s: {} runs ended here, {} go on elsewhere, of which "
            "{} were cut off; {} in memory alone were lost",
            name, clock() - self._began_at, self._finished, len(self._parked), len(self._cut_off),
            len(self._lost),
        )  # fmt: skip

    def conclude(self) -> None:
        """Make the report, and answer what waits for it; again: harmless."""
        if self.report is None:
            self.report = DrainReport(
                engine=self._host.setup.name,
                finished=self._finished,
                parked=tuple(self._parked),
                cut_off=tuple(self._cut_off),
                lost=tuple(self._lost),
                held_on=tuple(self._held_on),
                duration_s=self._host.home.clock() - self._began_at,
            )
        waiting, self._waiting = self._waiting, []
        for request in waiting:
            request.reply(self.report)

    # -- looking -----------------------------------------------------------------------------------

    def _here(self) -> Iterable[LiveRun]:
        """Return the runs that have not ended here and stand in no other."""
        return (live for live in self._host.roster if not live.over and live.around is None)

    def _look(self) -> None:
        """Park what has nothing under way, and ask the coordinators of the others."""
        asked: list[LiveRun] = []
        for live in self._here():
            if not live.run.persist:
                continue
            if self._at_rest(live):
                self._park(live)
            else:
                asked += _family(live)
        self._still.clear()
        for live in asked:
            if live.ref is not None:
                try:
                    live.ref.tell(STAND_STILL)
                except ActorDied:
                    pass  # its end is on its way to the engine's actor

    def _at_rest(self, live: LiveRun) -> bool:
        """Tell whether neither a run nor a part of it has anything under way."""
        return all(
            one.over
            or (
                not one.coming
                and one.accepted is None
                and one not in self._host.gate.unread
                and (one.ref is None or one.id in self._still)
            )
            for one in _family(live)
        )

    def _park(self, live: LiveRun) -> None:
        if not live.blocked:
            self._parked.append(live.id)
        self._leases += self._host.let_go(live, PARKED)

    def _cut_the_rest(self) -> None:
        for live in self._here():
            if live.run.persist:
                if not live.blocked:
                    self._cut_off.append(live.id)
                self._park(live)
            else:
                self._lost.append(live.id)
                self._host.let_go(live, LOST)

    # -- giving back -------------------------------------------------------------------------------

    async def _give_back(self) -> None:
        """Have the store take note of what is parked, so that any engine may go on with it now."""
        leases, self._leases = self._leases, []
        keeper = self._host.gate.keeper
        if not leases or keeper is None:
            return
        try:
            async with asyncio.timeout(GIVE_BACK_S):
                await keeper.store.flush()
                while leases:
                    some = leases[:AT_ONCE]
                    await asyncio.gather(*(keeper.store.release(lease) for lease in some))
                    del leases[:AT_ONCE]
        except (StoreError, TimeoutError) as error:
            self._held_on += [lease.run_id for lease in leases]
            self._host.home.log.warning(
                "engine {}: {} runs could not be given back, and are free once the lease has ended: {}",
                self._host.setup.name, len(leases), describe(error),
            )  # fmt: skip

    async def _retire(self) -> None:
        """End the engine's lease: it holds nothing more, or what the store could not be told of."""
        keeper = self._host.gate.keeper
        if keeper is not None:
            try:
                async with asyncio.timeout(GIVE_BACK_S):
                    await keeper.close()
            except (StoreError, TimeoutError):
                pass  # it is not renewed any more, and ends by itself


class Drainer(Actor):
    """Drains an engine; then it ends. Linked to the engine's actor."""

    exit_is_crash = True

    def __init__(self, drainage: Drainage) -> None:
        super().__init__()
        self._drainage = drainage

    async def on_start(self) -> None:  # type: ignore[override]
        await self._drainage.run()
        self.exit("normal")


def _family(live: LiveRun) -> list[LiveRun]:
    """Return a run and all its parts that have not ended."""
    found = [live]
    for part in (live.parts or {}).values():
        if not part.over:
            found += _family(part)
    return found
