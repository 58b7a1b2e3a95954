"""What an engine tells of its health: whether it takes work, what is blocked, and its store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from agenticaiframework.actors import Degraded, Unhealthy

from ..errors import describe
from ..state.status import WorkflowState
from ..store import RunFilter, StoreError

if TYPE_CHECKING:
    from .engine_host import EngineHost

SHOWN: Final = 3
"""Blocked runs that are told in words."""

MOST: Final = 100
"""Blocked runs that are counted; beyond that it says "or more"."""

STORE_S: Final = 1.5
"""How long the store may take to answer: less than a check may take, so that it is told which it was."""

_BLOCKED: Final = frozenset({WorkflowState.BLOCKED.value})


def add_checks(host: EngineHost) -> list[Callable[[], None]]:
    """Have an engine and its store checked with its system; return what ends that."""
    name = host.setup.name

    async def engine() -> Degraded | Unhealthy | None:
        return await _engine(host)

    async def store() -> Unhealthy | None:
        return await _store(host)

    add = host.home.add_health_check
    return [add(f"engine {name}", engine), add(f"store of {name}", store)]


async def _engine(host: EngineHost) -> Degraded | Unhealthy | None:
    if host.setup.draining:
        return Unhealthy("it is being drained, and takes no new work")
    reasons = {live.id: live.run.blocked or "" for live in host.roster if live.blocked}
    keeper = host.gate.keeper
    if keeper is not None and host.gate.outage is None:
        try:
            async with asyncio.timeout(STORE_S):
                where = RunFilter(states=_BLOCKED, finished=False)
                page = await keeper.store.list_runs(where, None, MOST)
        except (StoreError, TimeoutError):
            pass  # its own check says so
        else:
            reasons.update((row.run_id, row.error or "") for row in page.rows)
    if not reasons:
        return await _queues(host)
    told = "; ".join(f"{run_id}: {reasons[run_id]}" for run_id in sorted(reasons)[:SHOWN])
    count = f"{len(reasons)}{' or more' if len(reasons) >= MOST else ''}"
    what = "run is" if len(reasons) == 1 else "runs are"
    return Degraded(f"{count} {what} blocked: {told}{'; ...' if len(reasons) > SHOWN else ''}")


async def _queues(host: EngineHost) -> Degraded | None:
    """Tell of queues in which runs wait, and which no engine serves."""
    keeper = host.gate.keeper
    if keeper is None or host.gate.outage is not None:
        return None
    try:
        async with asyncio.timeout(STORE_S):
            depths = await keeper.store.queue_depths()
    except (StoreError, TimeoutError):
        return None  # its own check says so
    left = [f"{one.queue!r} ({one.waiting})" for one in depths if one.waiting and not one.engines]
    if not left:
        return None
    more = "; ..." if len(left) > SHOWN else ""
    return Degraded(
        f"runs wait in queues that no living engine serves: {', '.join(left[:SHOWN])}{more}"
    )


async def _store(host: EngineHost) -> Unhealthy | None:
    outage = host.gate.outage
    if outage is not None:
        return Unhealthy(f"it does not answer: {describe(outage.error)}", outage.began_at)
    keeper = host.gate.keeper
    if keeper is None:
        return None  # it is opened when it is first needed
    try:
        async with asyncio.timeout(STORE_S):
            await keeper.store.progress(["health"])
    except TimeoutError:
        return Unhealthy(f"it has not answered within {STORE_S:g} s")
    except StoreError as error:
        return Unhealthy(describe(error))
    return None
