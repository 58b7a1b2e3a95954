"""Makes the faults of a plan happen to actors, and remembers which did."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from agenticaiframework.actors.kernel import lifecycle
from agenticaiframework.actors.kernel.cell import dispatcher_of

from . import faults as f
from .plan import FaultPlan, Landed

if TYPE_CHECKING:
    from .loop import SimLoop
    from .observer import Watched
    from .simulation import Simulation

Receive = Callable[[Any], Any]


class InjectedCrash(Exception):
    """The error of a `Crash`, or of a `FailStart`: not a bug of the code under test."""


class Noise:
    """A message of `FillMailbox`: takes room, means nothing, is thrown away in its turn."""

    __slots__ = ()


class Armed:
    """One fault of the plan that waits for its moment."""

    __slots__ = ("count", "fault", "first", "index", "last")

    def __init__(self, index: int, fault: Any, first: int, times: int) -> None:
        self.index = index
        self.fault = fault
        self.first = first
        self.last = first + times - 1
        self.count = 0

    def due(self) -> bool:
        """Count one occasion, and tell whether it is one of those to use."""
        self.count += 1
        return self.first <= self.count <= self.last


def matches(pattern: str, label: str) -> bool:
    """Whether a fault's *actor* means this label."""
    return pattern == label or (("*" in pattern or "?" in pattern) and fnmatchcase(label, pattern))


class Injector:
    """Applies the actor faults of one plan to one run. Owned by the run's thread."""

    def __init__(self, sim: Simulation, plan: FaultPlan) -> None:
        self._sim = sim
        self.plan = plan
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
        before = self._sim.steps_before
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
        self._sim.loop.halt()

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
        sim = self._sim
        self.landed.append(Landed(index=index, fault=fault, time_s=sim.loop.time(), where=where))
        sim.trace.add("fault", where, "", fault.code())

    def missed(self) -> list[Any]:
        """Return the faults of the plan that never landed."""
        hit = {landed.index for landed in self.landed}
        return [fault for index, fault in enumerate(self.plan.faults) if index not in hit]

    # -- at the start of an actor ----------------------------------------------------------------

    def armed_for(self, label: str) -> list[Armed] | None:
        """Return the faults that count the messages of *label*; None if there are none."""
        if not self._by_message:
            return None
        armed = [a for a in self._by_message if matches(a.fault.actor, label)]
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
                fault = one.fault
                self.land(one.index, fault, watched.label)
                kind: Any = fault.__class__
                blocks = dispatcher_of(cell) != "event_loop" and kind in _SPOIL_BLOCKING
                spoil = (_SPOIL_BLOCKING if blocks else _SPOIL)[kind]
                receive = spoil(self._sim, fault, cell, receive)
        return receive

    # -- at a time -----------------------------------------------------------------------------

    def _at_time(self, index: int, fault: Any) -> None:
        if self.off:
            return
        sim = self._sim
        if isinstance(fault, f.ClockSkew):
            self.land(index, fault, "clock")
            sim.loop.block(fault.by_s)
            return
        if isinstance(fault, f.Partition):
            self.land(index, fault, fault.between)
            self._partitions.append((index, fault))
            self.partitioned = True
            sim.loop.call_later(fault.heal_after_s, self._heal, index)
            return
        targets = [w for w in sim.observer.live() if matches(fault.actor, w.label)]
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
                    ref.tell(Noise())
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

    def separated(self, one: str, other: str) -> bool:
        """Whether a partition keeps messages between the two from arriving."""
        return any(
            (matches(p.between, one) and not matches(p.between, other) and matches(p.other, other))
            or (matches(p.between, other) and not matches(p.between, one) and matches(p.other, one))
            for _, p in self._partitions
        )


# -- what a fault makes of a handler ---------------------------------------------------------------


def _crash(sim: Simulation, fault: f.Crash, cell: Any, receive: Receive) -> Receive:
    def crash(message: Any) -> Any:
        if not fault.after:
            raise InjectedCrash(fault.error)
        result = receive(message)
        if asyncio.iscoroutine(result):
            return _then_crash(result, fault.error)
        raise InjectedCrash(fault.error)

    return crash


async def _then_crash(work: Awaitable[Any], error: str) -> None:
    await work
    raise InjectedCrash(error)


def _kill(sim: Simulation, fault: f.Kill, cell: Any, receive: Receive) -> Receive:
    async def be_killed(message: Any) -> None:
        cell.kill()
        await sim.loop.create_future()

    return be_killed


def _hang(sim: Simulation, fault: f.Hang, cell: Any, receive: Receive) -> Receive:
    async def hang(message: Any) -> None:
        await sim.loop.create_future()

    return hang


def _slow(sim: Simulation, fault: f.Slow, cell: Any, receive: Receive) -> Receive:
    async def slow(message: Any) -> Any:
        await asyncio.sleep(fault.delay_s)
        result = receive(message)
        return await result if asyncio.iscoroutine(result) else result

    return slow


def _late(sim: Simulation, fault: f.LateAnswer, cell: Any, receive: Receive) -> Receive:
    async def late(message: Any) -> Any:
        result = receive(message)
        if asyncio.iscoroutine(result):
            result = await result
        await asyncio.sleep(fault.delay_s)
        return result

    return late


def _garbage(sim: Simulation, fault: f.Garbage, cell: Any, receive: Receive) -> Receive:
    def garbage(message: Any) -> Any:
        result = receive(message)
        return _then_return(result, fault.value) if asyncio.iscoroutine(result) else fault.value

    return garbage


async def _then_return(work: Awaitable[Any], value: Any) -> Any:
    await work
    return value


def _swallow(sim: Simulation, fault: f.SwallowCancel, cell: Any, receive: Receive) -> Receive:
    async def stubborn(message: Any) -> Any:
        until = sim.loop.time() + fault.delay_s
        while (left := until - sim.loop.time()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                sim.trace.add("note", sim.labels.of(cell), "", "swallows its cancellation")
        result = receive(message)
        return await result if asyncio.iscoroutine(result) else result

    return stubborn


def _block(sim: Simulation, fault: f.BlockLoop, cell: Any, receive: Receive) -> Receive:
    def block(message: Any) -> Any:
        sim.loop.block(fault.delay_s)
        return receive(message)

    return block


def _fill(sim: Simulation, fault: f.FillMailbox, cell: Any, receive: Receive) -> Receive:
    def fill(message: Any) -> Any:
        for _ in range(fault.count):
            try:
                cell.tell(Noise())
            except Exception:
                break  # full, as intended
        return receive(message)

    return fill


_SPOIL: dict[type, Callable[[Simulation, Any, Any, Receive], Receive]] = {
    f.Crash: _crash,
    f.Kill: _kill,
    f.Hang: _hang,
    f.Slow: _slow,
    f.LateAnswer: _late,
    f.Garbage: _garbage,
    f.SwallowCancel: _swallow,
    f.BlockLoop: _block,
    f.FillMailbox: _fill,
}


# In a thread or a process nothing can be awaited, and nothing be cancelled: there a handler blocks.


def _block_for_ever(sim: Simulation, fault: Any, cell: Any, receive: Receive) -> Receive:
    def block(message: Any) -> None:
        if isinstance(fault, f.Kill):
            cell.kill()
        time.sleep(float("inf"))

    return block


def _block_before(sim: Simulation, fault: Any, cell: Any, receive: Receive) -> Receive:
    def block(message: Any) -> Any:
        time.sleep(fault.delay_s)
        return receive(message)

    return block


def _block_after(sim: Simulation, fault: Any, cell: Any, receive: Receive) -> Receive:
    def block(message: Any) -> Any:
        result = receive(message)
        time.sleep(fault.delay_s)
        return result

    return block


_SPOIL_BLOCKING: dict[type, Callable[[Simulation, Any, Any, Receive], Receive]] = {
    f.Kill: _block_for_ever,
    f.Hang: _block_for_ever,
    f.Slow: _block_before,
    f.SwallowCancel: _block_before,
    f.LateAnswer: _block_after,
    f.BlockLoop: _block_before,
}
