"""Letting a claimed run go on in this engine: its targets, its signals, and its place in the roster."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import Context
from typing import TYPE_CHECKING, Any, Literal, Protocol

from agenticaiframework.actors import enter_traceparent

from ..code.plan import CodePlan
from ..definition.plan import WAIT
from ..errors import UnknownName
from ..runner.part import PartTarget
from ..state.cancellation import Cancellation
from ..state.step_run import ENDED
from .messages import StartRun
from .origin import TRACEPARENT
from .otel import current_context
from .stored_runs import as_found

if TYPE_CHECKING:
    from agenticaiframework.actors import ActorSystem

    from ...vocabulary.target import Resolver
    from ..definition.plan import StepPlan
    from ..runner.opening import Opening
    from ..state.live import LiveRun
    from ..state.run import Run
    from ..store import JournalEntry, Lease, RunRow, Signal, Store
    from .engine_names import EngineNames
    from .roster import Roster
    from .setup import Setup
    from .unread import Unread

Missing = Literal["nothing", "steps", "all"]
"""Which targets of a run that goes on may be missing: none that is needed; those of its steps, if it is
only undone; or all, if it is only to end."""


class RecoveryHost(Protocol):
    """The engine's actor, as what brings its runs back knows it."""

    @property
    def setup(self) -> Setup:
        """The configuration and the names."""
        ...

    @property
    def roster(self) -> Roster:
        """The runs that are here."""
        ...

    @property
    def home(self) -> ActorSystem:
        """The system that it lives in."""
        ...

    def now(self) -> float:
        """Return the seconds since the epoch."""
        ...

    def tell(self, message: Any) -> None:
        """Send the engine's actor a message; one that has ended needs none."""
        ...

    def blocked(self, live: LiveRun, reason: str) -> None:
        """Take note that a run that is here cannot go on as things are."""
        ...

    def tell_end(self, live: LiveRun) -> None:
        """Tell all that wait for a run how it ended: it was found ended in the store."""
        ...

    def written(self, live: LiveRun, lease: Lease | None, count: int) -> None:
        """Have a run go on writing under *lease*; the store has *count* records more than was known."""
        ...

    def taken(self, live: LiveRun) -> None:
        """Refuse a run whose id another one has."""
        ...

    @property
    def unread(self) -> Unread:
        """The runs that have to be read from the store before they go on."""
        ...


class GoingOn:
    """Makes runs that were read from the store ready, and has them taken in. Has no state."""

    def __init__(self, host: RecoveryHost, store: Store) -> None:
        self._host = host
        self._store = store

    async def ready(
        self,
        lease: Lease,
        row: RunRow,
        run: Run,
        opening: Opening,
        missing: Missing,
        again: LiveRun | None = None,
        entries: Sequence[JournalEntry] = (),
        around: Resolver | None = None,
        pending: Sequence[Signal] | None = None,
    ) -> LiveRun:
        """Return a claimed run that is known here from now on, and can go on with *opening*.

        *around* finds the names of a part: the run around it found them so when the part began.

        *again*: it is here, and keeps its followers; so does one that is here and was blocked. They are
        told of the *entries* of its journal that they have not heard of. *pending* are the signals that
        wait in it, if they have been read already.
        """
        host = self._host
        # A run that is here goes on with the agents that it has, whatever others have been made since.
        known = None if again is None else again.resolve
        names = host.setup.names_of(run.plan, around) if known is None else known
        bound = self.bind(run, names, opening, missing)
        signals = None
        parts = any(isinstance(target, PartTarget) for target in bound)
        if run.plan.grows or parts or any(step.kind == WAIT for step in run.plan.steps):
            if pending is None:
                pending = await self._store.pending_signals(run.id)
            signals = list(pending)
        there = host.roster.get(run.id)
        if again is None and there is not None and not there.over and there.blocked:
            again = there
        live = as_found(run)
        if again is not None:
            again.renew(live, entries)
            live = again
        elif run.context is not None and (traceparent := run.context.get(TRACEPARENT)) is not None:
            live.variables = Context()
            live.variables.run(enter_traceparent, traceparent)
            live.outside = live.variables.run(current_context)
        live.lease, live.signals = lease, signals
        if signals:
            live.last_signal = max(live.last_signal, signals[-1].number)
        live.bound, live.resolve, live.opening = bound, names, None
        if row.cancel_reason is not None and not row.finished:
            asked = Cancellation.of(row.cancel_reason, row.cancel_options)
            live.cancel = live.cancel or asked
        # Known from now on, not only when the message has arrived.
        host.roster.add(live)
        host.unread.hand_over(live)
        return live

    def start(self, live: LiveRun, opening: Opening) -> None:
        """Have the engine's actor take in a run that is ready."""
        if live.over and not opening:
            # Its end was written by a coordinator that died before it could tell.
            self._host.tell_end(live)
            return
        live.over = False
        # A part of another run has its turn with that, and must not wait behind it for one.
        live.turn = live.run.root
        live.resting = False
        live.coming = True
        self._host.tell(StartRun(live, opening=opening))

    def bind(
        self, run: Run, names: EngineNames, opening: Opening, missing: Missing
    ) -> tuple[Any, ...]:
        """Return the targets of a run's steps; those of steps that have finished may be missing."""
        again = {step for _, data in opening if data for step in data.get("steps", ())}

        def may_be(step: StepPlan, later: bool) -> bool:
            if missing != "nothing" and (missing == "all" or not later):
                return True
            found = run.steps[step.index]
            ended = found is not None and found.state in ENDED and step.id not in again
            return ended and (not later or step.definition.compensate is None)

        setup = self._host.setup
        if isinstance(run.plan, CodePlan) and run.plan.code is None and missing == "nothing":
            raise UnknownName("workflow", run.plan.name, setup.directory.workflows)
        return setup.bind_rest(run.plan, names, may_be)
