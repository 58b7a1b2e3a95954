"""What the code of a run has done and been told in this life: the part of its machine that replays it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agenticaiframework.actors import is_coroutine_function

from ...execution.function import FunctionTarget
from ...vocabulary.target import target_name
from ..code.errors import CallFailed, CallTimedOut, CodeChanged, PutAway
from ..code.forms import stored_form
from ..code.plan import name_of
from ..state.events import EventKind
from ..state.run import CANCEL
from ..state.status import StepState
from ..state.step_run import BUSY, PENDING
from .worker import Coroutine

if TYPE_CHECKING:
    from ...vocabulary.target import Askable
    from ..code.branches import Branch
    from ..code.call import Call
    from ..code.plan import CallPlan
    from ..definition.plan import StepPlan
    from ..state.run import Run
    from .notes import Notes
    from .steps import Steps


class Script:
    """Matches the calls that code makes with those that its run knows of, and says what it is told next.

    Outcomes are told one at a time, in the order in which they stand in the journal, each when the code
    has done all that followed from those before: so it takes the same way whenever it runs.
    """

    __slots__ = (
        "_changes",
        "_errors",
        "_held",
        "_notes",
        "_places",
        "_replaying",
        "_queue",
        "_run",
        "_shows",
        "_steps",
        "awake",
        "calls",
        "cancelled",
        "differs",
        "ended",
        "error",
        "parkable",
        "value",
    )

    def __init__(self, run: Run, notes: Notes, steps: Steps) -> None:
        self._run = run
        self._notes = notes
        self._steps = steps
        plan = run.code_plan
        self._places: dict[str, CallPlan] = {step.at: step for step in plan.steps}
        """The calls of earlier lives that the code has not made in this one, by their place."""
        self._queue = deque(
            index
            for index in run.outcomes or ()
            if index == CANCEL or not plan.steps[index].is_value
        )
        """What it has not been told yet."""
        self._replaying = bool(plan.steps)
        """Whether there may be calls of earlier lives that nothing was decided about in this one."""
        self._held = False
        """Whether it is to be cancelled only when what is under way has ended."""
        self._shows = 0
        self._changes: dict[str, bool] | None = None
        self._errors: dict[int, BaseException] | None = None
        """The errors themselves of calls that failed just now."""
        self.calls: dict[int, Call[Any]] = {}
        """The calls that it has begun in this life, by their step."""
        self.awake = True
        """Whether it has something to do, and has not said yet that it waits again."""
        self.parkable = False
        """Whether it waits for calls and for nothing else."""
        self.cancelled = False
        """Whether it has been cancelled, or is to be."""
        self.ended = False
        self.value: Any = None
        """The stored form of what it returned."""
        self.error: BaseException | None = None
        """What it raised."""
        self.differs: CodeChanged | None = None
        """Where it parts from the journal."""

    def let_go(self) -> None:
        """Forget the calls, each of which knows what made it."""
        self.calls.clear()
        self._places.clear()

    # -- what the code does ----------------------------------------------------------------------

    def called(self, call: Call[Any]) -> None:
        """The code has begun *call*."""
        run = self._run
        plan = self._recorded(call.at, call.id, call.call)
        if plan is None:
            plan = run.grow(call.id, call.call, call.policy)
            call.index = plan.index
            self.calls[plan.index] = call
            self._steps.begin(plan)
            return
        plan = run.code_plan.learn(plan, call.policy)
        call.index = plan.index
        self.calls[plan.index] = call
        found = run.step(plan.index)
        found.stale = False
        if found.state is PENDING or found.state in BUSY:
            self._steps.enter(plan.index)
        elif found.state is not StepState.CANCELLED and plan.index not in self._queue:
            self._queue.appendleft(plan.index)  # it is known: told before what came later

    def _recorded(self, at: str, call_id: str, call: Mapping[str, Any]) -> CallPlan | None:
        """Return the call that the run knows at a place; None if there is none that must be there."""
        plan = self._places.pop(at, None)
        if plan is None:
            return None
        assert plan.call is not None, "every step of code is a call"
        if plan.id == call_id and _same(plan.call, call):
            return plan
        found = self._run.steps[plan.index]
        if found is not None and found.stale:
            return None
        self._part(at, f"{name_of(plan.call)} as {plan.id!r}", f"{name_of(call)} as {call_id!r}")
        raise PutAway

    def value_of(self, branch: Branch, name: str, make: Callable[[], Any]) -> Any:
        """Return a value that is recorded when it is needed first."""
        at, call_id = branch.take_place(), branch.take_id(name)
        call = {"value": name, "at": at}
        run = self._run
        plan = self._recorded(at, call_id, call)
        if plan is None:
            plan = run.grow(call_id, call)
            value = make()
            self._notes.step(EventKind.STEP_COMPLETED, plan, 0, {"output": value})
            return value
        return run.scope.get(plan.id)

    def has_changed(self, branch: Branch, name: str) -> bool:
        """Tell whether the code was at this place first as it is now."""
        if self._changes is None:
            self._changes = {}
        known = self._changes.get(name)
        if known is None:
            value = f"changed-{name}"
            there = self._places.get(branch.next_place())
            found = None if there is None else self._run.steps[there.index]
            mine = there is not None and there.call is not None and there.call.get("value") == value
            known = there is None or mine or (found is not None and found.stale)
            if known:
                self.value_of(branch, value, _true)
            self._changes[name] = known
        return known

    def show(self, state: Mapping[str, Any]) -> None:
        """Let *state* be what the run shows, unless it did so in an earlier life."""
        self._shows += 1
        if self._shows > self._run.shows:
            shown = stored_form(dict(state))
            self._notes.happened(EventKind.STATE_SET, {"state": shown})

    def left(self, call: Call[Any]) -> None:
        """The code has cancelled *call*."""
        call.left = True
        index = call.index
        if index < 0:
            return
        steps, run = self._steps, self._run
        found = run.steps[index]
        if found is None or found.state not in BUSY:
            return
        under_way = [one for one in steps.under_way if one.plan.index == index]
        for attempt in under_way:
            if attempt in steps.launched:
                steps.launched.remove(attempt)
                steps.under_way.remove(attempt)
                steps.stopped(attempt)
            elif not attempt.stopping:
                attempt.stopping = True
                steps.stopping.append(attempt)
        if not under_way:
            self._notes.step(EventKind.STEP_CANCELLED, run.plan.steps[index], found.attempts)

    def over(self, value: Any, error: BaseException | None) -> None:
        """The code has ended."""
        self.ended = True
        self.awake = False
        self.value, self.error = value, error
        for at, plan in self._places.items():
            found = self._run.steps[plan.index]
            if found is not None and not found.stale:
                ends = "returns" if error is None else f"raises {type(error).__name__}"
                self._part(at, f"{plan.called} as {plan.id!r}", ends)
                return

    def abandon(self) -> None:
        """Nothing of the code is waited for any longer, and nothing is compared."""
        self.differs = None
        self._places.clear()
        self._queue.clear()
        self.over(None, None)

    def _part(self, at: str, recorded: str, found: str) -> None:
        if self.differs is None:
            self.differs = CodeChanged(self._run.plan.name, at, recorded, found)

    # -- what it is told ---------------------------------------------------------------------------

    def payload(self, plan: StepPlan) -> Any:
        """Return what a call was made with."""
        call = self.calls.get(plan.index)
        return None if call is None else call.payload

    def target(self, plan: StepPlan, via: str, resolve: Callable[[Any], Askable]) -> Askable:
        """Return what a call asks, or what it falls back on."""
        call = self.calls[plan.index]
        if via != "agent":
            return resolve(call.fallback)
        if plan.call is not None and "step" in plan.call:
            return step_function(call.target)
        return resolve(call.target)

    def settled(self, index: int, error: BaseException | None = None) -> None:
        """A call has come to its end: well, or with *error*."""
        self._queue.append(index)
        if error is not None:
            if self._errors is None:
                self._errors = {}
            self._errors[index] = error

    def cancel(self, noted: bool, hold: bool) -> None:
        """Have it cancelled after what it is told before; *noted* just now; *hold*: not at once."""
        self.cancelled = True
        self._held = hold
        if noted:
            self._queue.append(CANCEL)

    @property
    def waiting(self) -> bool:
        """Whether there is something that it has not been told yet."""
        return bool(self._queue)

    def next(self) -> int | None:
        """Return the step whose outcome it is told now, or `CANCEL`; None: nothing."""
        queue = self._queue
        while queue:
            index = queue[0]
            if index == CANCEL:
                if self._held and self._steps.under_way:
                    return None
                queue.popleft()
                return CANCEL
            call = self.calls.get(index)
            found = self._run.step(index)
            if call is None:
                if found.stale:
                    queue.popleft()
                    continue
                if self.parkable:
                    plan = self._run.code_plan.steps[index]
                    waits = [one.id for one in self.calls.values() if not one.told and not one.left]
                    does = f"waits for {', '.join(map(repr, waits))}"
                    self._part(plan.at, f"{plan.called} as {plan.id!r}", does)
                return None
            queue.popleft()
            if call.left:
                continue
            return index
        return None

    def caught_up(self) -> None:
        """The code has been told all that there is to tell, and waits.

        What it still waits for it had not cancelled when it was here before: it was cut off with the life
        that it was in, whose tasks are cancelled at its end, and goes on.
        """
        if not self._replaying or self.cancelled or self._queue:
            return
        self._replaying = False
        for index, call in list(self.calls.items()):
            found = self._run.step(index)
            if found.state is StepState.CANCELLED and not call.left and not call.told:
                self._steps.begin_again(self._run.plan.steps[index])

    def outcome(self, index: int) -> tuple[Any, BaseException | None]:
        """Return what a call returns, or raises, in the code."""
        run = self._run
        plan, found = run.plan.steps[index], run.step(index)
        if found.state is not StepState.FAILED:
            return stored_form(run.scope.get(plan.id)), None
        kind = CallTimedOut if found.timed_out else CallFailed
        error = kind(plan.id, found.error or "", found.error_kind)
        if self._errors is not None:
            error.__cause__ = self._errors.pop(index, None)
        return None, error


def step_function(function: Callable[..., Any]) -> Askable:
    """Return a function that is called with arguments of its own as what is asked with them."""

    def call(given: tuple[tuple[Any, ...], dict[str, Any]]) -> Any:
        return function(*given[0], **given[1])

    made = Coroutine(call) if is_coroutine_function(function) else FunctionTarget(call)
    made.name = target_name(function)
    return made


def undo_function(call: Call[Any]) -> Askable:
    """Return the function that undoes a call as what is asked with its output."""
    function = call.undo

    def undo(output: Any) -> Any:
        return function(call.made(output))

    made = Coroutine(undo) if is_coroutine_function(function) else FunctionTarget(undo)
    made.name = target_name(function)
    return made


def _same(recorded: Mapping[str, Any], call: Mapping[str, Any]) -> bool:
    """Tell whether two calls do the same: how long a sleep is, and what is asked with a wait, may differ."""
    for kind in ("ask", "step", "wait", "value"):
        if recorded.get(kind) != call.get(kind):
            return False
    return ("sleep" in recorded) == ("sleep" in call)


def _true() -> bool:
    return True
