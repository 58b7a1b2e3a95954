"""Putting runs into queues: they are stored, and wait until an engine that serves the queue takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from agenticaiframework.actors import CallingSelf, agent_context

from ..definition.queues import check_place, unknown_queue
from ..errors import WorkflowExists
from ..runner.notes import Notes
from ..runner.opening import begin_with
from ..state.events import EventKind
from ..store import NewRun, RunExists

if TYPE_CHECKING:
    from ..runner.opening import Opening
    from ..state.live import LiveRun
    from .keeper import StoreKeeper
    from .launching import LaunchHost


class QueuePlace(NamedTuple):
    """Where a run waits until it is taken."""

    queue: str
    key: str | None = None
    priority: int = 0


def read_place(
    call: str, queue: str | None, key: str | None, priority: int, persist_state: bool | None
) -> QueuePlace | None:
    """Return the place that a *call* names; None if its run is not for a queue. Raises ValueError."""
    if queue is None and key is None and not priority:
        return None
    check_place(queue, key, priority, call)
    assert queue is not None, "or it was refused"
    if persist_state is False:
        raise ValueError(
            f"queue={queue!r} is for a stored run, whichever engine takes it: leave "
            "persist_state=False out"
        )
    return QueuePlace(queue, key, priority)


def refuse_own_place(
    core: LaunchHost, keeper: StoreKeeper, live: LiveRun, place: QueuePlace
) -> None:
    """Raise `CallingSelf` if *live* could not begin before the run has ended whose handler waits for it."""
    around = core.roster.get(str(agent_context().get("workflow_id")))
    if around is not None and around.turn is not None:
        around = core.roster.get(around.turn)
    if around is None or around.over or around.run.queue != place.queue:
        return
    limits = keeper.queues.limits_of(place.queue)
    if limits is None:
        return
    if limits.concurrency == 1:
        limit = "concurrency=1"
    elif (
        limits.key_concurrency == 1 and place.key is not None and place.key == around.run.queue_key
    ):
        limit = f"key_concurrency=1, and both have the key {place.key!r}"
    else:
        return
    raise CallingSelf(
        live,
        (around.circle_name, live.circle_name),
        "Start it and end, `await engine.start_workflow(...)`, or name the workflow in a step.",
        f"The queue {place.queue!r} has {limit}, and a run keeps its place until it has ended.",
    )


async def enqueue(
    core: LaunchHost, keeper: StoreKeeper, live: LiveRun, place: QueuePlace, opening: Opening = ()
) -> None:
    """Store a run that waits in a queue. It belongs to no engine until one takes it.

    Raises `WorkflowExists`.
    """
    run = live.run
    run.queue, run.queue_key, run.priority = place
    data: dict[str, Any] = {"queue": place.queue, "priority": place.priority}
    if place.key is not None:
        data["key"] = place.key
    if run.usage_limits is not None:
        data["usage_limits"] = run.usage_limits.to_dict()
    notes = Notes(run)
    notes.now = core.now()
    notes.happened(EventKind.WORKFLOW_QUEUED, data)
    begin_with(notes, opening)
    new = NewRun(
        run.id,
        run.plan.name,
        run.plan.hash,
        run.plan.text,
        run.input,
        str(run.state),
        core.gate.durability,
        labels=run.labels,
        context=run.context,
        created_at=run.created_at,
        at=notes.now,
        queue=place.queue,
        queue_key=place.key,
        priority=place.priority,
    )
    try:
        await keeper.store.create_run(keeper.owner, new, notes.records)
    except RunExists:
        raise WorkflowExists(run.id) from None
    served = core.setup.served
    if place.queue in served:
        core.setup.keep_queued(run.plan)
        keeper.take_soon()
    elif served and place.queue not in core.setup.told_queues:
        # Another service may serve it, so it is told, once, and not refused.
        core.setup.told_queues.add(place.queue)
        core.home.log.warning("engine {}: {}", core.setup.name, unknown_queue(place.queue, served))
