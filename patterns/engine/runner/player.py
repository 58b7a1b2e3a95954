"""What runs the code of a run: the handle's other side, and the actor in which the code runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import Actor, ActorDied, HandlerExited

from ..code.branches import Branch, follow_tasks, here, waits_outside
from ..code.call import Call, Gathering
from ..code.errors import PutAway
from ..code.plan import CodePlan
from ..code.run import WorkflowRun
from .messages import TURNED

if TYPE_CHECKING:
    from collections.abc import Callable

    from agenticaiframework.actors import ActorRef, ActorSystem, Request

    from .code_machine import CodeMachine

MAX_LOOKS: Final = 16
"""Turns of the loop after which code that neither waits for a call nor goes on waits for something else."""


class CodeWorker(Actor):
    """Runs the code of one run after another. Belongs to a coordinator, and is linked to it."""

    exit_is_crash = True
    idle = True
    """Whether it has no code to run."""

    def circle_name(self, ref: Any) -> None:
        """Return nothing: it is a part of its run."""

    async def on_receive(self, message: Player) -> None:
        self.idle = False
        try:
            await message.play()
        finally:
            self.idle = True


class Player:
    """Runs the code of one run, and takes its calls to the machine. Owned by the run's coordinator.

    It is the `CodeHost` of the code: what the code does reaches the machine at once, in the code's own turn,
    and what follows from it is carried out when that is over.
    """

    def __init__(
        self,
        machine: CodeMachine,
        coordinator: ActorRef[Any],
        system: ActorSystem,
        now: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._machine = machine
        self._coordinator = coordinator
        self._system = system
        self.clock = now
        self.chance = chance
        run = machine.run
        self.id = run.id
        self.workflow = run.plan.name
        self.labels: Mapping[str, str] = run.labels
        self.annotations = run.code_plan.annotations
        self.branches: dict[Branch, None] = {}
        """The tasks in which the code runs, in the order in which they began."""
        self.idle: dict[Call[Any], None] = {}
        """The calls that were made, and that nothing has awaited yet."""
        self.closed = False
        """Whether nothing that the code does counts any more."""
        self.ended: tuple[Any, BaseException | None] | None = None
        """What the code has returned, in its stored form, or raised."""
        self._main = Branch(self)
        self.parked = False
        """Whether it is put away because the run only waits."""
        self._cancelled = False
        self._dirty = False
        self._looks = 0

    # -- for the code ----------------------------------------------------------------------------

    def answer(self) -> Request:
        """Return what waits until it is told."""
        return self._coordinator.promise()

    def begin(self, call: Call[Any]) -> None:
        """Have *call* carried out, or find out what came of it before."""
        self.idle.pop(call, None)
        self._machine.called(call, self.clock())
        self.dirty()

    def leave(self, call: Call[Any]) -> None:
        """Take note that nothing waits for *call* any more."""
        if not self.closed and _is_torn_down(self._system.loop):
            self.closed = True  # what goes on with the run runs its code anew
        if not self.closed:
            self._machine.left(call, self.clock())
            self.dirty()

    def value(self, branch: Branch, name: str, make: Callable[[], Any]) -> Any:
        """Return what *make* returned when the code was here first."""
        if self.closed:
            raise PutAway
        return self._machine.value_of(branch, name, make, self.clock())

    def changed(self, branch: Branch, name: str) -> bool:
        """Tell whether the code was here first as it is now."""
        if self.closed:
            raise PutAway
        return self._machine.has_changed(branch, name, self.clock())

    def show(self, state: Mapping[str, Any]) -> None:
        """Let *state* be what the run shows."""
        self._machine.show(state, self.clock())
        self.dirty()

    def bits(self, count: int) -> int:
        """Return a random number of *count* bits."""
        return self._system.random.getrandbits(count)

    def dirty(self) -> None:
        """Take note that the code has done something, and have it looked at when its turn is over."""
        self._looks = 0
        self._look_soon()

    def _look_soon(self) -> None:
        if not self._dirty:
            self._dirty = True
            try:
                self._coordinator.tell(TURNED)
            except ActorDied:
                self.closed = True  # what goes on with the run runs the code anew

    # -- the code itself ---------------------------------------------------------------------------

    async def play(self) -> None:
        """Run the code, and tell the coordinator how it ended."""
        plan = self._machine.run.plan
        assert isinstance(plan, CodePlan), "only code is played"
        code = plan.code
        assert code is not None, "a run without its code does not begin"
        main = self._main
        main.begin(asyncio.current_task())
        here.set(main)
        value: Any = None
        failure: BaseException | None = None
        try:
            if self.closed:
                raise PutAway
            follow_tasks(self._system.loop)
            value = await code.call(WorkflowRun(self), self._machine.run.input)
            self._check_awaited()
            value = code.store_result(value)
        except SystemExit as error:
            failure = HandlerExited.of(self.workflow, error)
        except BaseException as error:
            if not self.closed and self._cut_off(error, main.task):
                # Not the code is cancelled, but what runs it: what goes on with the run runs it anew.
                self.closed = True
                raise
            failure = error
        here.set(None)
        await self._end_others()
        self.ended = (value, failure)
        self.branches.clear()
        self.idle.clear()
        main.task = None
        del failure
        self.dirty()

    def _check_awaited(self) -> None:
        """Raise RuntimeError if a call was made and never awaited: it was meant to be done, and was not."""
        if self.idle and not self.closed:
            call = next(iter(self.idle))
            raise RuntimeError(
                f"The call {call.id!r} was made, and never awaited, so it was not done. "
                f"Write `await run.{call.verb}(...)`, or await it with others by run.gather(...)"
            )

    def _cut_off(self, error: BaseException, task: Any) -> bool:
        """Tell whether the code ends because what runs it does."""
        if not isinstance(error, asyncio.CancelledError):
            return False
        stopped = not self._cancelled and task.cancelling() > 0
        return stopped or _is_torn_down(self._system.loop)

    async def _end_others(self) -> None:
        """Cancel the tasks that the code has left behind, and wait until they have ended."""
        others = [branch.task for branch in self.branches if branch is not self._main]
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others)

    # -- for the coordinator -----------------------------------------------------------------------

    @property
    def at_rest(self) -> bool:
        """Whether all of the code waits for calls."""
        return bool(self.branches) and all(branch.waiting is not None for branch in self.branches)

    def look(self) -> tuple[bool, bool]:
        """Return whether the code waits, and whether it waits for calls and for nothing else.

        While tasks of it are on their way to their next call it is looked at again, once a turn of the
        loop.
        """
        self._dirty = False
        quiet = parkable = True
        joins = False
        for branch in self.branches:
            if branch.waiting is not None:
                continue
            outside = waits_outside(branch)
            if outside is None:
                quiet = parkable = False
                break
            joins = True
            if outside:
                parkable = False
        if not self.branches:
            quiet = parkable = False  # it has not begun
        self._looks += 1
        # What one task waits for may be over already, and the task not have heard of it.
        settled = quiet and (not joins or self._looks > 2)
        if not settled:
            if self._looks < MAX_LOOKS:
                self._system.loop.call_soon(self._look_soon)
                return False, False
            return True, False
        return True, parkable

    def tell(self, index: int) -> bool:
        """Let the code know what came of a call; return whether it goes on by that."""
        script = self._machine.script
        call = script.calls[index]
        woken = call.take(*script.outcome(index))
        self.dirty()
        return woken

    def cancel(self) -> None:
        """Raise CancelledError in the code, at its await."""
        main = self._main
        self._cancelled = True
        main.waiting = None
        main.task.cancel()
        self.dirty()

    def put_away(self) -> None:
        """End the code without a trace: it is run again when the run goes on."""
        self.closed = True
        for branch in list(self.branches):
            waiting, branch.waiting = branch.waiting, None
            if isinstance(waiting, Gathering):
                waiting.put_away()
            elif isinstance(waiting, Call) and waiting.waiter is not None:
                waiting.waiter.fail(PutAway())  # type: ignore[union-attr]


def _is_torn_down(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell whether the loop is about to end, which cancels all tasks on it."""
    return all(task.cancelling() for task in asyncio.all_tasks(loop))
