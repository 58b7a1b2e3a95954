"""A Hypothesis state machine over a live actor system, in simulated time.

Needs the extra ``testing``.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar

from agenticaiframework.actors import ActorRef, ActorSystem, MissingExtra
from agenticaiframework.actors.simulation import FaultPlan, SteppedSimulation

try:
    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
except ImportError as error:
    raise MissingExtra("SystemMachine", "testing") from error

T = TypeVar("T")


class SystemMachine(RuleBasedStateMachine):
    """Base class of state machines whose rules act on a live system.

    Write rules that call `drive` with a coroutine function, and `settle` to let time pass; the
    system lives from the first rule to the last, in virtual time, so rules are quick however long
    the timeouts are. At the end the system is stopped, and what must hold for every simulated run
    is checked. Override `plan` for faults and `begin` to set the scene.

    >>> class Counting(SystemMachine):
    ...     def begin(self):
    ...         self.counter = self.system.start(Counter)
    ...         self.expected = 0
    ...
    ...     @rule()
    ...     def add(self):
    ...         self.drive(lambda: self.ask(self.counter, "add"))
    ...         self.expected += 1
    ...
    ...     @invariant()
    ...     def counts_right(self):
    ...         assert self.drive(lambda: self.ask(self.counter, "get")) == self.expected
    ...
    >>> TestCounting = Counting.TestCase
    """

    #: What goes wrong in every run of this machine.
    plan: ClassVar[FaultPlan] = FaultPlan()
    #: The order of what happens at the same time: None for the plain one.
    seed: ClassVar[int | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.sim = SteppedSimulation(seed=self.seed, plan=self.plan, limit_s=float("inf"))
        self.sim.open()
        self.begin()

    def begin(self) -> None:
        """Set the scene; the system runs already."""

    @property
    def system(self) -> ActorSystem:
        """The live system."""
        return self.sim.system

    def drive(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run ``await call()`` inside the system, and return or raise what comes of it."""
        return self.sim.drive(call)

    def settle(self, for_s: float = 0.0) -> None:
        """Let *for_s* seconds pass, with everything that happens in them."""
        self.sim.settle(for_s)

    async def ask(self, ref: ActorRef[Any], message: Any, timeout: float | None = 60.0) -> Any:
        """Return the answer of *ref* to *message*."""
        return await ref.request(message, timeout)

    @rule(seconds=st.sampled_from([0.0, 0.01, 1.0, 60.0, 3600.0]))
    def time_passes(self, seconds: float) -> None:
        """Let time pass."""
        self.settle(seconds)

    @invariant()
    def nothing_is_violated(self) -> None:
        """What must always hold has held so far."""
        assert not self.sim.observer.violations, self.sim.trace.text()

    def teardown(self) -> None:
        """Stop the system and check what must hold at the end."""
        report = self.sim.close()
        assert not report.failed, report.narrative()
