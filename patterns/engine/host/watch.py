"""How far stored runs have got that live elsewhere, for all that wait for or follow one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ..errors import EngineStopped

if TYPE_CHECKING:
    from asyncio import Future, Task, TimerHandle

    from agenticaiframework.actors import ActorSystem

    from ..store import Progress
    from .gate import StoreGate
    from .setup import Setup

PAUSE_S: Final = 0.005
"""Between two looks at what was heard of: what happens meanwhile is looked at together."""


class _Waiter:
    """One that waits until a run has got further than it knows."""

    __slots__ = ("future", "known")

    def __init__(self, known: Progress | None, future: Future[Progress | None]) -> None:
        self.known = known
        self.future = future


class RunWatch:
    """Asks the store for all runs at once that something here waits for. Owned by the engine's actor.

    It does so every ``poll_seconds``, at once for a run that is new to it, and when the store has heard
    that something happened. While nothing waits it does nothing. A store that fails is asked again:
    its outage ends no wait.
    """

    def __init__(self, setup: Setup, gate: StoreGate, home: ActorSystem) -> None:
        self._setup = setup
        self._gate = gate
        self._home = home
        self._poll_s = setup.config.poll_seconds
        self._waiting: dict[str, list[_Waiter]] = {}
        self._due: dict[str, None] = {}
        """The runs to look at next, before the others."""
        self._timer: TimerHandle | None = None
        self._timer_is_soon = False
        self._looking: Task[None] | None = None
        self._looked_at = float("-inf")
        self._failing = False
        """Whether the store's failure has been logged: once, until it works again."""
        self._closed: type[EngineStopped] | None = None
        """What waits fail with, once they cannot be served."""

    async def other_than(self, run_id: str, known: Progress | None) -> Progress | None:
        """Return how far a run has got, once that is something else than *known*.

        None if the store has no such run (any more). Raises `EngineStopped`.
        """
        if self._closed is not None:
            raise self._closed(self._setup.name)
        waiter = _Waiter(known, self._home.loop.create_future())
        self._waiting.setdefault(run_id, []).append(waiter)
        if known is None:
            self._look_soon(run_id)
        else:
            self._arm()
        try:
            return await waiter.future
        finally:
            self._forget(run_id, waiter)

    def heard(self, run_id: str) -> None:
        """Take note that something has happened to a run: look at it, if it is waited for."""
        if run_id in self._waiting and not self._closed:
            self._look_soon(run_id)

    async def pause(self) -> None:
        """Return when it is time to ask a store again that has failed. Raises `EngineStopped`."""
        if self._closed is not None:
            raise self._closed(self._setup.name)
        await asyncio.sleep(self._poll_s)

    def close(self, error: type[EngineStopped] = EngineStopped) -> None:
        """Fail what waits with *error*: the engine has ended, or is drained."""
        self._closed = error
        self._disarm()
        if self._looking is not None:
            self._looking.cancel()
        for waiters in self._waiting.values():
            for waiter in waiters:
                if not waiter.future.done():
                    waiter.future.set_exception(error(self._setup.name))

    # -- when to look ------------------------------------------------------------------------------

    def _forget(self, run_id: str, waiter: _Waiter) -> None:
        waiters = self._waiting[run_id]
        waiters.remove(waiter)
        if not waiters:
            del self._waiting[run_id]
            self._due.pop(run_id, None)
            if not self._waiting:
                self._disarm()

    def _look_soon(self, run_id: str) -> None:
        self._due[run_id] = None
        if self._looking is not None or (self._timer is not None and self._timer_is_soon):
            return  # it is looked at next
        self._disarm()
        pause_s = self._looked_at + PAUSE_S - self._home.clock()
        if pause_s > 0:
            self._timer = self._home.call_later(pause_s, self._begin)
            self._timer_is_soon = True
        else:
            self._begin()

    def _arm(self) -> None:
        if self._timer is None and self._looking is None:
            self._timer = self._home.call_later(self._poll_s, self._begin)
            self._timer_is_soon = False

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self) -> None:
        """Look at what is due, or at everything, if nothing is."""
        self._timer = None
        if self._waiting and not self._closed:
            self._looking = self._home.loop.create_task(self._look(), name="watch of stored runs")

    # -- looking -----------------------------------------------------------------------------------

    async def _look(self) -> None:
        due, self._due = self._due, {}
        # Those that come while the store is asked wait for the next look.
        asked = {
            run_id: list(self._waiting[run_id])
            for run_id in (due or self._waiting)
            if run_id in self._waiting
        }
        found = await self._ask(asked)
        self._looking = None
        self._looked_at = self._home.clock()
        if found is not None:
            for run_id, waiters in asked.items():
                progress = found.get(run_id)
                for waiter in waiters:
                    if progress != waiter.known and not waiter.future.done():
                        waiter.future.set_result(progress)
                    elif progress is None and not waiter.future.done():
                        waiter.future.set_result(None)  # it asked for the first time
        if self._due:
            self._look_soon(next(iter(self._due)))
        elif self._waiting:
            self._arm()

    async def _ask(self, run_ids: Iterable[str]) -> dict[str, Progress] | None:
        """Return how far the runs have got; None if the store cannot say so now."""
        keeper = self._gate.keeper
        if keeper is None:
            return None
        try:
            found = await keeper.store.progress(run_ids)
        except Exception as error:  # a defect must not end all waits either
            if not self._failing and not self._closed:
                self._failing = True
                self._home.log.warning(
                    "engine {}: what runs elsewhere cannot be seen: {}", self._setup.name, error
                )
            return None
        if self._failing:
            self._failing = False
            self._home.log.info("engine {}: what runs elsewhere is seen again", self._setup.name)
        return found
