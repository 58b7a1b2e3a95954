"""What happens in a run on its way into the store, and what follows once it is there.

Events are written in groups, one for each message that a coordinator handles. What can be seen
outside (an agent that is asked, an answer to who waits) waits until its group is acknowledged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..state.status import WorkflowState
from ..store import RunUpdate
from .failing import work_stopped
from .messages import Acknowledged
from .waiting import next_due

if TYPE_CHECKING:
    from .coordinator import Coordinator

_RUNNING: Final = WorkflowState.RUNNING
_WAITING: Final = WorkflowState.WAITING
_COMPLETED: Final = WorkflowState.COMPLETED

_UPDATE_OF_COMPLETED: Final = RunUpdate(_COMPLETED.value, finished=True, error="", wake_at=0.0)


def write(c: Coordinator) -> None:
    """Have what happened written, and what follows done, at once or when it is written."""
    run = c.run
    if not run.persist:
        if c._events:
            events, c._events = c._events, []
            c._core.publish(run, events)
        if c._outbox:
            units, c._outbox = c._outbox, []
            for unit in units:
                c._send(unit)
        return
    records = c._records
    if not records and c._active:
        return
    state = run.state
    if state is _RUNNING and not c._active:
        state = _WAITING
    if run.lease is None:
        # It is created with the state that it has now.
        c._stored_state = run.state
    changed = state is not c._stored_state
    if not records and not changed:
        return
    events = c._events
    if events:
        # They are the last of the records: who follows from here on has not seen those before.
        following = len(records) + (1 if run.lease is None else run.lease.next_seq)
        first = following - len(events)
        c._events = []
        events = [event._replace(seq=first + n) for n, event in enumerate(events)]
    group = Acknowledged(run, c._me, c._outbox, events)
    used = c._used_signals
    c._outbox, c._records = [], []
    if used:
        c._used_signals = ()
    update: RunUpdate | None = None
    if changed and run.lease is not None:
        c._stored_state = state
        update = _update(c, state)
    c._unwritten += 1
    try:
        c._core.store_events(run, records, update, used, group)
    except Exception as error:
        # What cannot be stored at all: the step that returned it must not pass for finished.
        group.error = error
        c._me.tell(group)


def _update(c: Coordinator, state: WorkflowState) -> RunUpdate:
    """Return what changes in the run's row when it comes into *state*."""
    run = c.run
    if state is _COMPLETED and run.last_error is None:
        return _UPDATE_OF_COMPLETED
    due = next_due(run) if state is _WAITING else None
    return RunUpdate(
        state=state.value,
        finished=True if run.state.finished else (False if c._opening else None),
        error=run.last_error or "",
        wake_at=due or 0.0,
    )


def acknowledged(c: Coordinator, group: Acknowledged) -> None:
    c._unwritten -= 1
    if group.error is not None:
        # The store failed: nothing of the group counts, and the run stops here, loudly.
        c._core.store_failed(c.run, group.error)
        c.exit("shutdown")
    if group.events:
        c._core.publish(c.run, group.events)
    for unit in group.units:
        if c._closing and not unit.undo:
            c._active -= 1
            if not c._ending:
                work_stopped(c, unit)
        else:
            c._send(unit)
