"""The events of a stored run, whichever engine runs it: its journal, and what is told before that is read."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

from ..errors import EngineDraining, EngineStopped, UnknownWorkflow
from ..state.events import LAST, EventKind, WorkflowEvent
from ..state.listener import Listener
from ..state.views import last_event
from ..store import StoreClosed, StoreUnavailable, UnknownRun

if TYPE_CHECKING:
    from ..state.live import LiveRun
    from ..store import JournalEntry, Progress, Store
    from .core import EngineCore
    from .roster import Roster
    from .watch import RunWatch

AT_A_TIME: Final = 1_000
"""Entries that are read of a journal at once."""


class StoredEvents:
    """The events of one stored run, from a number on, each once. Owned by the task that reads them.

    The journal is what happened. While the run is here, what it tells is taken as it comes, as long as
    it follows in number on the last; a number that is missing was written before this listened, by
    another engine, or by a coordinator that died before it could tell, and is read from the journal. So
    is everything of a run that is elsewhere, when the watch says that there is more.
    """

    dropped = 0

    def __init__(self, core: EngineCore, store: Store, run_id: str, after: int) -> None:
        self._roster: Roster = core.roster
        self._watch: RunWatch = core.watch
        self._store = store
        self._run_id = run_id
        self._last = after
        """The number of the last event that was told."""
        self._read: deque[WorkflowEvent] = deque()
        """What has been read of the journal, and not been told."""
        self._more = True
        """Whether the journal may hold more than has been read."""
        self._found = False
        """Whether there is, or was, such a run."""
        self._flush = False
        """Whether what is on its way into the journal has to be waited for first."""
        self._ended = False
        """Whether the last event that was told is an end."""
        self._said: WorkflowEvent | None = None
        """An end that the run told, and that may not be in the journal."""
        self._known: Progress | None = None
        self._over = False
        self._listener = Listener()

    def follow(self, live: LiveRun) -> None:
        """Follow a run that is here: what happens in it is told before it is read."""
        self._listener.follow(live)
        # What is on its way into the journal was not told to this stream.
        self._more = self._flush = True

    def follow_new(self, live: LiveRun) -> None:
        """Follow a run that has not begun: everything that happens in it will be told."""
        self._listener.follow(live)
        self._more = False

    def close(self) -> None:
        """Stop following."""
        self._listener.leave()

    async def next(self) -> WorkflowEvent | None:
        """Return the next event, when there is one; None at the end."""
        while True:
            if self._read:
                return self._told(self._read.popleft())
            if self._over:
                return None
            try:
                if self._more:
                    await self._read_on()
                    continue
                event = self._listener.look()
                if event is None:
                    await self._until_more()
                    continue
            except (EngineStopped, StoreClosed) as stopped:
                return self._cut_short(str(stopped), reconnect=isinstance(stopped, EngineDraining))
            except UnknownRun:
                if self._ended:
                    return None
                if self._found:
                    return self._cut_short("the store has forgotten it")
                raise UnknownWorkflow(self._run_id, self._roster.ids()) from None
            if event.seq is None:
                self._listener.take()
                if event.kind not in _ENDS or self._goes_on(event):
                    return event
                self._said, self._more = event, True
            elif event.seq <= self._last + 1:
                self._listener.take()
                if event.seq > self._last:
                    return self._told(event)
            else:
                self._more = True  # the ones before it are in the journal

    def _goes_on(self, event: WorkflowEvent) -> bool:
        """Tell whether an interruption is one after which the run goes on here: an outage of the store."""
        live = self._roster.get(self._run_id)
        return event.kind is EventKind.WORKFLOW_INTERRUPTED and live is not None and not live.over

    def _told(self, event: WorkflowEvent) -> WorkflowEvent:
        self._last = event.seq or self._last
        self._ended = event.kind in LAST
        return event

    # -- the journal -------------------------------------------------------------------------------

    async def _read_on(self) -> None:
        try:
            if self._flush:
                await self._store.flush()
                self._flush = False
            entries = await self._store.read_journal(self._run_id, self._last, AT_A_TIME)
        except StoreUnavailable:
            await self._watch.pause()  # an outage ends no stream
            return
        self._found = True
        self._more = len(entries) == AT_A_TIME
        self._read += [_event(self._run_id, entry) for entry in entries]

    # -- what comes next ---------------------------------------------------------------------------

    async def _until_more(self) -> None:
        """Return when something may have happened: everything that was told or written is told on."""
        live = self._roster.get(self._run_id)
        if live is not None and not live.over:
            self._said = None  # it goes on all the same
            if self._listener.follows(live):
                await self._listener.until_some()
            else:
                self.follow(live)
            return
        ended_here = live is not None and not live.interrupted
        if ended_here and (self._ended or self._said is not None):
            if not self._ended and self._said is not None:
                self._read.append(self._said)  # an end that the store could not be told of
            self._over = True
            return
        await self._until_it_gets_further(live)

    async def _until_it_gets_further(self, live: LiveRun | None) -> None:
        """Wait for what another engine does with a run that is not here, or has ended here as *live*."""
        known = self._known
        if known is not None and known.finished and known.seq == self._last:
            self._over = True
            return
        progress = self._known = await self._watch.other_than(self._run_id, known)
        if progress is None:
            raise UnknownRun(self._run_id, self._store.url)
        if progress.seq > self._last:
            self._more = True
        elif progress.finished:
            self._over = True
        elif live is not None and live.over and not live.interrupted:
            lease = live.lease
            if live.run.state.finished and lease is not None and lease.fence == progress.fence:
                # It has ended here, the store could not be told, and nothing has taken it since.
                self._read.append(last_event(live.run, live.run.finished_at or 0.0))
                self._over = True

    def _cut_short(self, why: str, *, reconnect: bool = False) -> WorkflowEvent:
        """Return the event that says why nothing more can be told."""
        self._over = True
        self.close()
        said = self._said
        if said is not None and said.kind is EventKind.WORKFLOW_INTERRUPTED:
            return said
        data: dict[str, Any] = {"error": why}
        if reconnect:
            data["reconnect"] = True
        return WorkflowEvent(EventKind.WORKFLOW_INTERRUPTED, self._run_id, data=data)


_ENDS: Final = LAST | {EventKind.WORKFLOW_INTERRUPTED}


def _event(run_id: str, entry: JournalEntry) -> WorkflowEvent:
    kind = EventKind(entry.kind) if entry.kind in _KINDS else cast("EventKind", entry.kind)
    return WorkflowEvent(kind, run_id, entry.step, entry.attempt, entry.data, entry.at, entry.seq)


_KINDS: Final = frozenset(kind.value for kind in EventKind)
