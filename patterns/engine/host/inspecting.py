"""What can be told of one run: by the engine that has it, and by the store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ..runner.waiting import ANSWER
from ..state.family import parts_within, status_with_parts
from ..state.part_names import MARK
from ..store import QueueDepth, QueueLimits, QueuePlace, RunFilter, StoreError

if TYPE_CHECKING:
    from ..state.live import LiveRun
    from ..state.status import WorkflowStatus
    from .core import EngineCore
    from .keeper import StoreKeeper

MAX_CHILDREN: Final = 200
"""Runs of a tree that are read from the store for a status, the newest."""


async def inspect(core: EngineCore, live: LiveRun, *, outputs: bool) -> WorkflowStatus:
    """Return the status of a run, with those of its parts, and which engine has it.

    A store that fails meanwhile fails nothing: what it would have told is left out.
    """
    keeper = core.gate.keeper
    owner: str | None = None
    seen_at: float | None = None
    place: int | None = None
    waits: str | None = None
    parts = parts_within(live)
    if live.run.persist and keeper is not None:
        try:
            if core.roster.get(live.id) is live and not live.over and live.lease is not None:
                owner, seen_at = keeper.owner.engine_id, keeper.seen_at
            else:
                row = (await keeper.store.load_runs([live.id])).get(live.id)
                if row is not None:
                    owner, seen_at = row.owner, row.owner_seen_at
                place, waits = await _place_of(keeper, live)
            if _has_parts(live):
                await _add_stored_parts(core, keeper, live, parts)
        except StoreError:
            pass
    status = status_with_parts(live, parts)
    if status.questions:
        status = await _with_answers(core, status)
    with live.run.looked_at():
        return replace(
            status,
            owner=owner,
            owner_seen_at=seen_at,
            queue_place=place,
            queue_reason=waits,
            outputs=live.run.outputs() if outputs else None,
            input=live.run.input if outputs else None,
        )


def _has_parts(live: LiveRun) -> bool:
    with live.run.looked_at():
        return any(found is not None and found.part for found in live.run.steps)


async def _place_of(keeper: StoreKeeper, live: LiveRun) -> tuple[int | None, str | None]:
    """Return how many runs come before one that waits in a queue, and why it waits."""
    queue = live.run.queue
    if queue is None:
        return None, None
    limits = keeper.queues.limits_of(queue)
    place = await keeper.store.queue_place(live.id, 0.0 if limits is None else limits.rate_s)
    if place is None:
        return None, None
    depth = await keeper.queues.depth_of(queue)
    return place.before, why_waiting(depth, place, live.run.queue_key, limits)


def why_waiting(
    queue: QueueDepth, place: QueuePlace, key: str | None = None, limits: QueueLimits | None = None
) -> str:
    """Return why a run of *queue* has not been taken yet. *limits* are known where the queue is served.

    >>> depth = QueueDepth("gpu", waiting=3, taken=2, engines=("a",))
    >>> why_waiting(depth, QueuePlace(1))
    '1 run comes before it, and 2 of the queue are under way'
    >>> why_waiting(depth, QueuePlace(0, key_taken=1), "ada")
    "it is the next, and 2 of the queue are under way, 1 of them of its key 'ada'"
    >>> why_waiting(depth, QueuePlace(0, key_taken=1), "ada", QueueLimits("gpu", key_concurrency=1))
    "its key 'ada' is full: 1 of 1 is under way"
    """
    if not queue.engines:
        return f"no living engine serves the queue {queue.queue!r}"
    if limits is not None and limits.key_concurrency is not None and key is not None:
        most = limits.key_concurrency
        if place.key_taken >= most:
            # What comes before it does not matter as long as this holds.
            are = "is" if most == 1 else "are"
            return f"its key {key!r} is full: {place.key_taken:,} of {most:,} {are} under way"
    ahead = "it is the next"
    if place.before:
        one = place.before == 1
        ahead = "1 run comes before it" if one else f"{place.before:,} runs come before it"
    if limits is not None and limits.rate is not None and place.begun >= limits.rate:
        begun = f"{place.begun:,} began in the last {limits.rate_s:g} s, and no more may"
        return f"{ahead}, and the rate of the queue is used up: {begun}"
    if not queue.taken:
        return ahead
    under_way = "1 of the queue is" if queue.taken == 1 else f"{queue.taken:,} of the queue are"
    known = limits is not None or not place.key_taken
    mine = "" if known else f", {place.key_taken:,} of them of its key {key!r}"
    return f"{ahead}, and {under_way} under way{mine}"


async def _with_answers(core: EngineCore, status: WorkflowStatus) -> WorkflowStatus:
    """Return *status* with the questions of it and its parts marked that have an answer already."""
    children = {path: await _with_own_answers(core, one) for path, one in status.children.items()}
    return replace(await _with_own_answers(core, status), children=children)


async def _with_own_answers(core: EngineCore, status: WorkflowStatus) -> WorkflowStatus:
    asking = {name: step for name, step in status.steps.items() if step.questions}
    if not asking:
        return status
    answers = {name.removeprefix(ANSWER) for name in await _signals_of(core, status.workflow_id)}
    if not answers:
        return status
    steps = dict(status.steps)
    for name, step in asking.items():
        marked = tuple(replace(one, answered=one.id in answers) for one in step.questions)
        steps[name] = replace(step, questions=marked)
    return replace(status, steps=steps)


async def _signals_of(core: EngineCore, run_id: str) -> set[str]:
    """Return the names of the signals that wait in a run: those that are here, and those in the store."""
    live = core.roster.get(run_id)
    found = {one.name for one in live.signals or ()} if live is not None else set[str]()
    keeper = core.gate.keeper
    if keeper is not None and (live is None or live.run.persist):
        try:
            found |= {one.name for one in await keeper.store.pending_signals(run_id)}
        except StoreError:
            pass
    return found


async def _add_stored_parts(
    core: EngineCore, keeper: StoreKeeper, live: LiveRun, parts: dict[str, LiveRun]
) -> None:
    """Add the parts of a run that only the store knows, or that another engine has."""
    where = RunFilter(root=live.run.root or live.id)
    for row in (await keeper.store.list_runs(where, limit=MAX_CHILDREN)).rows:
        if row.run_id.startswith(f"{live.id}{MARK}") and row.run_id not in parts:
            here = core.roster.get(row.run_id)
            there = here is None or here.interrupted
            part = await keeper.recovery.read(row.run_id) if there else here
            if part is not None:
                parts[row.run_id] = part
