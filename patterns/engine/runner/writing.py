"""Which of a run's events are on their way into the store, and what changes in its row.

Events are written in groups, one for each thing that happened. What can be seen outside (an agent
that is asked, a request that is answered) waits until its group is acknowledged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..state.status import WorkflowState
from ..store import RunUpdate
from .orders import Group
from .waiting import next_due

if TYPE_CHECKING:
    from ..state.run import Run
    from .attempt import StepAttempt
    from .notes import Notes

_UPDATE_OF_COMPLETED: Final = RunUpdate(
    WorkflowState.COMPLETED.value, finished=True, error="", wake_at=0.0
)


class Writing:
    """What the store has been given of one run. Part of its machine."""

    __slots__ = ("_created", "_notes", "_reopens", "_row_state", "_run", "_under_way", "used")

    def __init__(self, run: Run, notes: Notes, *, created: bool, reopens: bool) -> None:
        self._run = run
        self._notes = notes
        self._created = created
        """Whether the store has a row of the run; the first group makes it."""
        self._reopens = reopens
        self._row_state = run.state if run.blocked is None else WorkflowState.BLOCKED
        """The state that the row has, or will have."""
        self._under_way: list[Group] = []
        self.used: tuple[int, ...] = ()
        """The numbers of the signals that have been taken and not been written."""

    @property
    def done(self) -> bool:
        """Whether everything that was given to the store is acknowledged."""
        return not self._under_way

    @property
    def unwritten(self) -> tuple[Group, ...]:
        """What was given to the store and is not acknowledged, in its order."""
        return tuple(self._under_way)

    def group(self, start: list[StepAttempt], busy: bool) -> Group | None:
        """Return what has happened since the last group, if anything has; *start* follows it.

        A run that runs, and is not *busy*, waits.
        """
        run, notes = self._run, self._notes
        records = notes.records
        state = run.state
        if state is WorkflowState.RUNNING and not busy:
            state = WorkflowState.WAITING
        if not self._created:
            # It is created with the state that it has now; an end that it has come to already is
            # written after that, because only a row that is there can be finished.
            self._row_state = WorkflowState.RUNNING if run.state.finished else run.state
        if not records and (busy or state is self._row_state):
            return None
        update: RunUpdate | None = None
        if self._created and state is not self._row_state:
            self._row_state = state
            update = self._update(state)
        group = Group(records, update, self.used, start, notes.events, notes.now)
        notes.records, notes.events, self.used = [], [], ()
        self._created = True
        self._under_way.append(group)
        return group

    def acknowledged(self, group: Group) -> None:
        """Take note that *group* is stored."""
        self._under_way.remove(group)

    def _update(self, state: WorkflowState) -> RunUpdate:
        """Return what changes in the run's row when it comes into *state*."""
        run = self._run
        if state is WorkflowState.COMPLETED and run.last_error is None:
            return _UPDATE_OF_COMPLETED
        due = next_due(run) if state is WorkflowState.WAITING else None
        return RunUpdate(
            state=state.value,
            finished=True if run.state.finished else (False if self._reopens else None),
            error=run.last_error or "",
            wake_at=due or 0.0,
        )
