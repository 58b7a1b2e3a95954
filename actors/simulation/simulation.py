"""One simulated run of a scenario: built up, run, torn down, and looked at from all sides."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from agenticaiframework.actors.system.system import ActorSystem

from .candidates import ActorLanes
from .choosers import Chooser, RandomChooser
from .errors import BadSimulation, MachineStopped, SimulationError, refuse_running_loop
from .explore import ExploringChooser
from .injector import Injector
from .invariants import after_stop
from .loop import SimLoop
from .observer import SimObserver
from .options import check_limit
from .plan import FaultPlan, as_plan
from .quiet import QuietLogs
from .report import Report
from .run import cancel_leftovers
from .schedule import RecordingChooser, ReplayChooser, Schedule
from .state import RunState
from .violations import Violation

Scenario = Callable[["Simulation"], Coroutine[Any, Any, Any]]
Check = Callable[["Simulation"], Iterable[Violation]]


_MOST_BOOTS = 100


@dataclass(frozen=True, slots=True)
class Attempt:
    """How an awaited call ended, when either way is fine under faults."""

    value: Any = None
    error: Exception | None = None

    @property
    def ok(self) -> bool:
        """Whether it returned."""
        return self.error is None


class Simulation(RunState):
    """What a scenario is given: its system, its clock, its randomness, and the faults of the run.

    Owned by the run's thread. `boot` counts the starts of the machine from 0: after a
    `StopMachine` the scenario is called again, with the same simulation and `boot` one higher.
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        plan: FaultPlan | None = None,
        chooser: Chooser | None = None,
        detailed: bool = False,
        limit_s: float = 3600.0,
        max_steps: int = 1_000_000,
        logs: bool = False,
        batched: bool = False,
        system_options: dict[str, Any] | None = None,
    ) -> None:
        check_limit(limit_s)
        if chooser is None and seed is not None:
            chooser = RandomChooser(seed)
        self._limit_s = limit_s
        self._max_steps = max_steps
        self._options = system_options or {}
        self._batched = batched
        self._logs = contextlib.nullcontext() if logs else QuietLogs()
        explores = isinstance(chooser, ExploringChooser)
        self._recorder = RecordingChooser(chooser) if chooser is not None and not explores else None
        self._chooser: Chooser | None = self._recorder or chooser
        super().__init__(
            seed=seed,
            plan=as_plan(plan) if plan is not None else FaultPlan(),
            chooser=chooser,
            loop=self._make_loop(0.0),
            detailed=detailed,
        )
        self.boot: int = 0
        self.injector = Injector(self, lambda: self.observer.live())
        self.observer: SimObserver = SimObserver(self, self.injector)
        self._system: ActorSystem | None = None
        self._entered: ActorSystem | None = None
        self._abandoned = 0
        self._random: random.Random | None = None
        #: Things that survive `StopMachine`, by name; stores put their disks here.
        self.disk: dict[str, Any] = {}
        #: Operations that the stores of this run have counted.
        self.store_operations: int = 0
        #: Requests to models by agent, and calls of their tools, that the testing kit has counted.
        self.model_requests: dict[str, int] = {}
        self.tool_calls: dict[tuple[str, str], int] = {}
        #: What the testing kit's parts keep for this run.
        self.data: dict[Any, Any] = {}

    def _make_loop(self, start_s: float) -> SimLoop:
        loop = SimLoop(
            chooser=self._chooser,
            start_s=start_s,
            max_steps=self._max_steps,
            limit_s=self._limit_s,
        )
        loop.simulation = self
        return loop

    # -- for the scenario ------------------------------------------------------------------------

    @property
    def system(self) -> ActorSystem:
        """The actor system of this boot."""
        if self._system is None:
            raise SimulationError("The system exists only while the scenario runs.")
        return self._system

    @property
    def random(self) -> random.Random:
        """Randomness for the workload, from the seed; apart from that of the schedule."""
        if self._random is None:
            self._random = random.Random(f"workload {self.seed}")
        return self._random

    @property
    def landed(self) -> bool:
        """Whether any fault has landed so far."""
        return bool(self.injector.landed)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self.loop.time()

    def note(self, text: str) -> None:
        """Put *text* into the trace."""
        current = self.system.scheduler.current
        actor = "scenario" if current is None else self.labels.of(current)
        self.trace.add("note", actor, "", text)

    def touch(self, resource: object) -> None:
        """Say that this step uses *resource*, a hashable name of something that actors share.

        Exploration needs it: it takes actors for independent unless they exchange messages.
        """
        if self.explorer is not None:
            self.explorer.touch(resource)

    def violation(self, rule: str, detail: str) -> None:
        """Report that *rule* does not hold; the run goes on, and counts as failed."""
        self.observer.violation(rule, detail)

    def expect(self, holds: bool, rule: str, detail: str = "") -> None:
        """Report a violation of *rule* unless *holds*."""
        if not holds:
            self.observer.violation(rule, detail)

    async def attempt(self, call: Awaitable[Any]) -> Attempt:
        """Await *call* and return how it ended, instead of raising: under faults it may fail."""
        try:
            return Attempt(value=await call)
        except Exception as error:
            return Attempt(error=error)

    # -- the run ---------------------------------------------------------------------------------

    def run(self, scenario: Scenario, *, checks: Iterable[Check] = ()) -> Report:
        """Run *scenario* once and return what happened. Never raises what the scenario raises.

        Raises `BadSimulation` if *scenario* is not a function, and in asynchronous code.
        """
        if not callable(scenario):
            raise _not_a_scenario(scenario)
        refuse_running_loop("A simulation")
        collecting = gc.isenabled()
        # A collection runs finalizers at a moment that depends on all that ran before in this
        # process; without one the same seed does the same thing.
        gc.disable()
        report = Report(self.seed, self.plan, batched=self._batched)
        try:
            with self._logs:
                self._run_boots(scenario, report)
        finally:
            if collecting:
                gc.enable()
        return self.complete(report, checks)

    def complete(self, report: Report, checks: Iterable[Check] = ()) -> Report:
        """Check what must hold now that the run is over, and fill in *report*."""
        self.observer.violations.extend(after_stop(self, self.observer))
        for check in checks:
            self.observer.violations.extend(check(self))
        report.violations = self.observer.violations
        report.landed = self.injector.landed
        report.missed = self.injector.missed()
        report.decisions = self._recorder.decisions if self._recorder is not None else ()
        if self.explorer is not None:
            report.decisions = self.explorer.decisions
        # Orders that differ only between tasks leave no other mark in the trace.
        turns = [step * index for step, index in enumerate(report.decisions) if index]
        self.trace.seal(f"order {len(turns)} {sum(turns)}")
        report.trace = self.trace
        report.trace_hash = self.trace.hash()
        report.time_s = self.loop.time()
        self.observer.count_all()
        report.messages = self.observer.messages
        report.steps = self.steps_before + self.loop.steps
        report.boots = self.boot + 1
        report.handled = self.observer.handled
        report.library = frozenset(self.observer.library)
        report.store_operations = self.store_operations
        report.model_requests = self.model_requests
        report.tool_calls = self.tool_calls
        return report

    def _run_boots(self, scenario: Scenario, report: Report) -> None:
        while True:
            try:
                report.value = self._run_boot(scenario)
                return
            except MachineStopped:
                self.injector.machine_stopped()
                self.steps_before += self.loop.steps
                self._bury()
                self.boot += 1
                if self.boot > _MOST_BOOTS:
                    self.violation("progress", f"not done after {_MOST_BOOTS} boots")
                    return
                self.loop = self._make_loop(self.loop.time())
                self.observer = self.observer.next_boot()
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt | SystemExit):
                    raise
                if isinstance(error, SimulationError) and not isinstance(error, BadSimulation):
                    self.violation("progress", str(error))
                else:
                    report.error = error
                self._bury()
                return

    def _run_boot(self, scenario: Scenario) -> Any:
        loop = self.loop
        main = loop.create_task(self._main(scenario), name="scenario")
        value = loop.run_until_complete(main)
        self.clear_up()
        return value

    def clear_up(self) -> None:
        """Cancel what is left on the loop, say what that is, and close the loop."""
        loop = self.loop
        loop.limit_s = float("inf")
        for task in cancel_leftovers(loop):
            if self._abandoned:
                # It may be the child of a handler that swallowed its cancellation; the stop report
                # has said so, and what such a handler has begun cannot be known.
                self.trace.add("note", "system", "", f"{task.get_name()} was left behind")
            else:
                self.violation("no orphan task", f"{task.get_name()} was left behind")
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    def make_system(self) -> tuple[ActorSystem, ActorLanes | None]:
        """Return the system of this boot, and what orders its actors, before it is entered.

        Without lanes the actors stand in the queue that they have in production.
        """
        ordered = self.loop.chooser is not None and not self._batched
        lanes = ActorLanes(self.loop) if ordered else None
        seed = 0 if self.seed is None else self.seed
        return ActorSystem("sim", seed=seed, ready_queue=lanes, **self._options), lanes

    def watch(self, system: ActorSystem, lanes: ActorLanes | None) -> None:
        """Watch *system*, which has just been entered, and begin with the faults."""
        if lanes is not None:
            lanes.attach(system.scheduler)
        self._system = self._entered = system
        self.observer.attach(system)
        self.injector.begin(self.loop)

    async def _main(self, scenario: Scenario) -> Any:
        system, lanes = self.make_system()
        async with system:
            self.watch(system, lanes)
            called: Any = scenario(self)
            if not inspect.isawaitable(called):
                raise _not_a_scenario(scenario)
            value = await called
            if self.explorer is not None:
                self.explorer.scenario_is_over()
        await self.stopped(system)
        return value

    async def stopped(self, system: ActorSystem) -> None:
        """Look at what stopping *system* has left."""
        report = await system.stop()
        self._abandoned = system.abandoned
        for name in report.abandoned:
            self.trace.add("note", "system", "", self.labels.scrub(f"abandoned {name}"))
        for ref in system.actors():
            self.violation("no orphan actor", f"{self.labels.of(ref)} lives after the stop")
        self._system = None

    def _bury(self) -> None:
        """Let what a failed or stopped run left behind come to its end, unseen."""
        loop = self.loop
        loop.limit_s = float("inf")
        loop.revive()
        loop.set_exception_handler(_say_nothing)
        self.trace.pause()
        self.injector.off = True
        try:
            cancel_leftovers(loop)
            self._kill_survivors()
            loop.run_until_complete(loop.shutdown_asyncgens())
        except Exception as error:
            # It has failed already and says why; what it swallows or raises now adds nothing.
            self.trace.resume()
            self.trace.add("note", "run", "", f"cleaning up failed: {type(error).__name__}")
            for task in asyncio.all_tasks(loop):
                task._log_destroy_pending = False  # type: ignore[attr-defined]
        finally:
            self.injector.off = False
            self.trace.resume()
            loop.close()
            self._system = None

    def _kill_survivors(self) -> None:
        """End the actors that a stop, itself cut short, has left in pykka's registry."""
        system = self._entered
        if system is None:
            return
        for _ in range(2):  # a second kill ends those whose last hook does not end
            for ref in [*system.scheduler.ending, *system.actors()]:
                ref.kill()
            self.loop.settle_ready()


def current_simulation() -> Simulation | None:
    """Return the simulation whose scenario runs here; None outside of one."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    simulation: Simulation | None = loop.simulation if isinstance(loop, SimLoop) else None
    return simulation


def _not_a_scenario(given: Any) -> BadSimulation:
    name = getattr(given, "__name__", repr(given))
    return BadSimulation(
        f"A scenario is an async function of the simulation, and {name} is not one. "
        "Write: async def scenario(sim): ..."
    )


def _say_nothing(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What breaks while a dead run is buried is of no interest."""


def simulate_once(
    scenario: Scenario,
    *,
    seed: int | None = None,
    plan: FaultPlan | None = None,
    schedule: Schedule | None = None,
    chooser: Chooser | None = None,
    checks: Iterable[Check] = (),
    **options: Any,
) -> Report:
    """Run *scenario* once in virtual time and return its `Report`.

    *seed* is that of `Simulation.random`, of the system's randomness, and of the order, unless a
    *schedule* of an earlier run or a *chooser* gives that; None of them: the plain order of
    asyncio. *plan* says what goes wrong. *checks* add invariants to those that are always on.
    *options* are those of `Simulation`: detailed, limit_s, max_steps, logs (let the library log as
    usual), system_options, and batched: actors take turns as in production, first come, first
    served, up to 16 messages a turn, while the order of tasks, timers and blocking work is chosen.
    """
    if schedule is not None:
        chooser = ReplayChooser(schedule)
    return Simulation(seed=seed, plan=plan, chooser=chooser, **options).run(scenario, checks=checks)
