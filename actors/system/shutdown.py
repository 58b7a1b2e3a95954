"""The ordered, bounded end of a system."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ..kernel.cell import Cell, parent_of
from ..kernel.home import Home
from ..kernel.job import JobRunner
from ..kernel.lifecycle import abandon_after_grace, end_at_stop, wait_ended
from ..kernel.link_table import links_of
from ..log import Log
from ..reasons import SHUTDOWN
from .stopping import StopReport


class StoppingSystem(Protocol):
    """What is stopped; `ActorSystem` is one."""

    name: str
    log: Log
    abandoned: int
    keeping: dict[Any, None]
    last_steps: list[Callable[[], Any]]

    @property
    def pools(self) -> Iterable[JobRunner]: ...
    @property
    def scheduler(self) -> Home: ...


PATIENCE_S = 0.5
"""How long one actor may hold up those that were started before it."""

LAST_HOOK_S = 1.0
"""How long the `on_stop` of all that had to be killed may take together."""

SHOWN = 20
"""Names in the record of an end that was not clean; the report has them all."""

BREATH = 2_000
"""Actors stopped in a row before the loop gets control back."""


async def shut_down(system: StoppingSystem, timeout_s: float) -> StopReport:
    """Stop every actor of *system* within about *timeout_s*, and everything that served them."""
    home = system.scheduler
    clock = home.loop.time
    begin = clock()
    deadline = begin + timeout_s
    abandoned_before = system.abandoned
    await _end_in_order(home, deadline)
    killed = await _kill_rest(home)
    abandoned = _leave_zombies(system, home)
    abandoned += await _stop_pools(system, max(0.0, deadline - clock()))
    await _take_last_steps(system, deadline)
    system.log.flush()
    if killed or abandoned:
        system.log.bind(
            kind="unclean_stop",
            reason="did not end in time",
            killed=len(killed),
            abandoned=len(abandoned),
        ).warning(
            "{} stopped; killed: {}; abandoned: {}", system.name, _some(killed), _some(abandoned)
        )
    missing = system.abandoned - abandoned_before - len(abandoned)
    abandoned += ["a handler that ended after it had been abandoned"] * max(0, missing)
    return StopReport(clock() - begin, killed, abandoned)


async def _end_in_order(home: Home, deadline: float) -> None:
    """Tell those to end that only the system can stop, the youngest first, and wait for all."""
    clock = home.loop.time
    told: set[Any] = set()
    # Stopping one may start others or cut them loose, so look again until there is none to tell.
    while roots := [cell for cell in list(home.live) if cell not in told and _is_root(cell)]:
        told.update(roots)
        for number, cell in enumerate(reversed(roots), 1):
            if cell.ended:
                continue
            if end_at_stop(cell, SHUTDOWN):
                await wait_ended(cell, max(0.0, min(PATIENCE_S, deadline - clock())))
            elif number % BREATH == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(0)
    while clock() < deadline and (rest := unended(home)):
        await wait_ended(rest[-1], max(0.0, deadline - clock()))


async def _kill_rest(home: Home) -> list[str]:
    """Kill those that have not ended, and leave what does not end even so. Return their names."""
    clock = home.loop.time
    killed: list[str] = []
    for cell in reversed(unended(home)):
        killed.append(cell.label)
        cell.kill()
    last = clock() + LAST_HOOK_S
    for cell in unended(home):
        await wait_ended(cell, max(0.0, last - clock()))
    for cell in unended(home):
        cell.kill()
        abandon_after_grace(cell)  # its last hook does not end either
    await asyncio.sleep(0)
    return killed


def _leave_zombies(system: StoppingSystem, home: Home) -> list[str]:
    """Lose what waits for incarnations to come, and give up what swallows its cancellation."""
    for address in list(system.keeping):
        address.drop(SHUTDOWN)
    abandoned = [f"{z.ref.label}: swallows its cancellation" for z in home.zombies]
    for zombie in list(home.zombies):
        zombie.give_up()
    return abandoned


async def _take_last_steps(system: StoppingSystem, deadline: float) -> None:
    """Call what `at_stop` was given, the last first."""
    clock = system.scheduler.loop.time
    for fn in reversed(system.last_steps):
        try:
            result: Any = fn()
            if inspect.isawaitable(result):
                async with asyncio.timeout(max(1.0, deadline - clock())):
                    await result
        except Exception as error:
            system.log.error("Something failed at the end of {}", system.name, error=error)


def _some(names: list[str]) -> str:
    """Return the first of *names*, and how many more there are."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "") or "nobody"


def unended(home: Home) -> list[Any]:
    """Return the actors that have not ended: the live, and those whose last hook still runs."""
    return [*home.ending, *home.live]


def _is_root(cell: Cell) -> bool:
    """Tell whether no live parent is linked to the actor, so that only the system can stop it."""
    parent = parent_of(cell)
    return parent is None or parent.ended or parent not in links_of(cell)


async def _stop_pools(system: StoppingSystem, wait_s: float) -> list[str]:
    """End the threads and processes that ran handlers; idle ones end at once."""
    stuck: list[str] = []
    clock = system.scheduler.loop.time
    begin = clock()
    for pool in system.pools:
        left = pool.stop(0.0)
        until = begin + max(pool.settle_s, min(wait_s, 1.0))
        while left and clock() < until:
            await asyncio.sleep(0.005)
            left = pool.stop(0.0)
        stuck += [f"{name}: a thread that blocks" for name in left]
    return stuck
