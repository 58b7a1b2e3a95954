"""The ordered, bounded end of a system."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from ..kernel import lifecycle, links
from ..kernel.phase import IDLE
from ..reasons import SHUTDOWN
from .system import StopReport

if TYPE_CHECKING:
    from .system import ActorSystem

PATIENCE_S = 0.5
"""How long one actor may hold up those that were started before it."""

LAST_HOOK_S = 1.0
"""How long the `on_stop` of all that had to be killed may take together."""

SHOWN = 20
"""Names in the record of an end that was not clean; the report has them all."""

BREATH = 2_000
"""Actors stopped in a row before the loop gets control back."""


async def shut_down(system: ActorSystem, timeout_s: float) -> StopReport:
    """Stop every actor of *system* within about *timeout_s*, and everything that served them."""
    clock = system.loop.time
    begin = clock()
    deadline = begin + timeout_s
    abandoned_before = system.abandoned
    scheduler = system.scheduler

    told: set[Any] = set()
    # Stopping one may start others or cut them loose, so look again until there is none to tell.
    while roots := [r for r in system.actors() if r not in told and _is_root(r)]:
        told.update(roots)
        for number, ref in enumerate(reversed(roots), 1):
            actor = ref._actor
            if actor is None:
                continue
            if ref._state == IDLE and not ref._phase:
                lifecycle.begin_stop(scheduler, actor, SHUTDOWN)
            else:
                lifecycle.end(ref, SHUTDOWN)
            if actor._has_on_stop or actor._coro is not None or actor._links is not None:
                await system.wait_ended(ref, max(0.0, min(PATIENCE_S, deadline - clock())))
            elif number % BREATH == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(0)
    while system._live and clock() < deadline:
        rest = unended(system)
        if not rest:
            break
        await system.wait_ended(rest[-1], max(0.0, deadline - clock()))
    killed: list[str] = []
    for ref in reversed(unended(system)):
        killed.append(ref.label)
        ref.kill()
    last = clock() + LAST_HOOK_S
    for ref in unended(system):
        await system.wait_ended(ref, max(0.0, last - clock()))
    for ref in unended(system):
        ref.kill()
        if ref._actor is not None:
            lifecycle.abandon_after_grace(ref._actor)  # its last hook does not end either
    await asyncio.sleep(0)

    for address in list(system._keeping):
        address.drop(SHUTDOWN)
    abandoned = [f"{z.actor_ref.label}: swallows its cancellation" for z in system._zombies]
    for zombie in list(system._zombies):
        zombie._timer.cancel()
        zombie._discard()
    abandoned += await _stop_pools(system, max(0.0, deadline - clock()))
    for fn in reversed(system._at_stop):
        try:
            result: Any = fn()
            if inspect.isawaitable(result):
                async with asyncio.timeout(max(1.0, deadline - clock())):
                    await result
        except Exception as error:
            system.log.opt(exception=error).error("Something failed at the end of {}", system.name)
    if killed or abandoned:
        system.log.warning(
            "{} stopped; killed: {}; abandoned: {}", system.name, _some(killed), _some(abandoned)
        )
    missing = system.abandoned - abandoned_before - len(abandoned)
    abandoned += ["a handler that ended after it had been abandoned"] * max(0, missing)
    return StopReport(clock() - begin, killed, abandoned)


def _some(names: list[str]) -> str:
    """Return the first of *names*, and how many more there are."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "") or "nobody"


def unended(system: ActorSystem) -> list[Any]:
    """Return who has not ended: the live, and those whose last hook still runs."""
    return [*system._ending, *system.actors()]


def _is_root(ref: Any) -> bool:
    """Tell whether no live parent is linked to the actor, so that only the system can stop it."""
    actor = ref._actor
    if actor is None:
        return False
    parent = actor._parent
    return parent is None or parent._actor is None or parent not in links.links_of(actor)


async def _stop_pools(system: ActorSystem, wait_s: float) -> list[str]:
    """End the threads and processes that ran handlers; idle ones end at once."""
    stuck: list[str] = []
    clock = system.loop.time
    begin = clock()
    for pool in system._pools:
        left = pool.stop(0.0)
        until = begin + max(pool.settle_s, min(wait_s, 1.0))
        while left and clock() < until:
            await asyncio.sleep(0.005)
            left = pool.stop(0.0)
        stuck += [f"{name}: a thread that blocks" for name in left]
    return stuck
