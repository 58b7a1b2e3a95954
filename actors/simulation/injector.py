"""Makes the faults of a plan happen to actors, and remembers which did."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from agenticaiframework.actors.agents.step_request import StepRequest
from agenticaiframework.actors.kernel import lifecycle

from . import faults as f
from .armed import Armed, matches
from .errors import InjectedCrash
from .loop import SimLoop
from .plan import Landed
from .spoil import Receive, spoiled
from .state import RunState
from .watched import Watched


class Injector:
    """Applies the actor faults of a run's plan. Owned by the run's thread.

    *live* gives the actors that live, in the order of their start.
    """

    def __init__(self, run: RunState, live: Callable[[], Iterable[Watched]]) -> None:
        self._run = run
        self._live = live
        plan = run.plan
        self.landed: list[Landed] = []
        self._partitions: list[tuple[int, f.Partition]] = []
        by_message: list[Armed] = []
        at_start: list[Armed] = []
        self._by_time: list[tuple[float, int, Any]] = []
        for index, fault in enumerate(plan.faults):
            if isinstance(fault, f.ActorFault) and fault.at_message is not None:
                by_message.append(Armed(index, fault, fault.at_message, fault.times))
            elif isinstance(fault, f.FailStart):
                at_start.append(Armed(index, fault, fault.at_start, fault.times))
            elif isinstance(fault, f.ActorFault | f.LoseNode | f.Partition | f.ClockSkew):
                assert fault.at_time_s is not None, "checked by the model"
                self._by_time.append((fault.at_time_s, index, fault))
        self._stops = [
            (index, fault)
            for index, fault in enumerate(plan.faults)
            if isinstance(fault, f.StopMachine)
        ]
        self._stopping: tuple[int, Any] | None = None
        self._by_message = by_message
        self._at_start = at_start
        #: Whether some partition is on: looked at for every message.
        self.partitioned = False
        #: Set while a run is buried: what is over cannot go wrong any more.
        self.off = False

    def begin(self, loop: SimLoop) -> None:
        """Set the timers of the faults that come at a time; at each boot, those still to come."""
        for when, index, fault in self._by_time:
            if when >= loop.time():
                loop.call_at(when, self._at_time, index, fault)
        before = self._run.steps_before
        for index, fault in self._stops:
            if fault.at_time_s is not None:
                if fault.at_time_s >= loop.time():
                    loop.call_at(fault.at_time_s, self.stop_machine, index, fault)
            elif fault.at_step is not None and fault.at_step > before:
                step = fault.at_step - before
                if loop.halt_at_step is None or step < loop.halt_at_step:
                    loop.halt_at_step = step
                    self._stopping = (index, fault)

    def stop_machine(self, index: int, fault: Any) -> None:
        """Let the machine lose its power as soon as the step that runs now has ended."""
        if self.off:
            return
        self._stopping = (index, fault)
        self._run.loop.halt()

    def machine_stopped(self) -> None:
        """Note the fault that stopped the machine."""
        if self._stopping is not None:
            index, fault = self._stopping
            self._stopping = None
            self._stops = [entry for entry in self._stops if entry[0] != index]
            self.land(index, fault, "machine")

    def land(self, index: int, fault: Any, where: str) -> None:
        """Note that a fault did its harm."""
        if self.off:
            return
        run = self._run
        self.landed.append(Landed(index=index, fault=fault, time_s=run.loop.time(), where=where))
        run.trace.add("fault", where, "", fault.code())

    def missed(self) -> list[Any]:
        """Return the faults of the plan that never landed."""
        hit = {landed.index for landed in self.landed}
        return [fault for index, fault in enumerate(self._run.plan.faults) if index not in hit]

    # -- at the start of an actor ----------------------------------------------------------------

    def armed_for(self, *labels: str) -> list[Armed] | None:
        """Return the faults that count the messages of one of *labels*; None if there are none."""
        if not self._by_message:
            return None
        armed = [a for a in self._by_message if any(matches(a.fault.actor, it) for it in labels)]
        return armed or None

    def at_start(self, cell: Any, label: str) -> None:
        """Let the actor fail in `on_start`, if it is its turn."""
        for armed in self._at_start:
            if matches(armed.fault.actor, label) and armed.due():
                fault = armed.fault

                def fail(index: int = armed.index, fault: f.FailStart = fault) -> None:
                    self.land(index, fault, label)
                    raise InjectedCrash(fault.error)

                lifecycle.fail_start(cell, fail)
                return

    # -- at a message --------------------------------------------------------------------------

    def at_message(
        self, watched: Watched, armed: list[Armed], cell: Any, request: Any, receive: Receive
    ) -> Receive:
        """Return what handles the message that *cell* takes up now: *receive*, or worse."""
        for one in armed:
            if not self.off and one.due():
                self.land(one.index, one.fault, watched.label)
                if isinstance(request, StepRequest) and request.asker_waiting:
                    # What hangs or is slow is the agent's handler, and counts as its time.
                    request.taken_up()
                receive = spoiled(self._run, one.fault, cell, receive)
        return receive

    # -- at a time -----------------------------------------------------------------------------

    def _at_time(self, index: int, fault: Any) -> None:
        if self.off:
            return
        run = self._run
        if isinstance(fault, f.ClockSkew):
            self.land(index, fault, "clock")
            run.loop.block(fault.by_s)
            return
        if isinstance(fault, f.Partition):
            self.land(index, fault, fault.between)
            self._partitions.append((index, fault))
            self.partitioned = True
            run.loop.call_later(fault.heal_after_s, self._heal, index)
            return
        targets = [w for w in self._live() if matches(fault.actor, w.label)]
        if not isinstance(fault, f.LoseNode):
            targets = targets[:1]
        for watched in targets:
            self.land(index, fault, watched.label)
        for watched in targets:
            self._strike(fault, watched.ref)

    def _strike(self, fault: Any, ref: Any) -> None:
        if ref.ended:
            return
        if isinstance(fault, f.FillMailbox):
            for _ in range(fault.count):
                try:
                    ref.tell(f.Noise())
                except Exception:
                    return  # full, as intended
        elif isinstance(fault, f.Kill):
            ref.kill()
        elif isinstance(fault, f.LoseNode):
            lifecycle.doom(ref, "noconnection", kill=True)
        else:
            lifecycle.doom(ref, InjectedCrash(fault.error))

    def _heal(self, index: int) -> None:
        self._partitions = [entry for entry in self._partitions if entry[0] != index]
        self.partitioned = bool(self._partitions)

    def separated(self, receiver: str, sender: str, *, library: bool) -> bool:
        """Whether a partition keeps a message of *sender* from *receiver*.

        From one of the *library*'s own actors it does so only if it names that: what the end of an agent's
        work has the engine do is not a message that a network could lose.
        """
        for _, p in self._partitions:
            if matches(p.between, receiver):
                if not matches(p.between, sender) and matches(p.other, sender):
                    return True
            elif library and p.other == "*":
                continue
            elif matches(p.between, sender) and matches(p.other, receiver):
                return True
        return False
