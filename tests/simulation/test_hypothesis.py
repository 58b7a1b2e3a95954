"""The Hypothesis strategies and the state machine, used as a user would use them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, consumes, invariant, rule, run_state_machine_as_test

from agenticaiframework.actors import Actor, ActorDied, ActorRef, Agent, Exit, install_command
from agenticaiframework.actors.simulation import Hang, InjectedCrash, SimulationError
from agenticaiframework.testing import (
    ACTOR_FAULTS,
    STORE_FAULTS,
    FaultPlan,
    Schedule,
    Simulation,
    simulate_once,
)
from agenticaiframework.testing.machine import SystemMachine
from agenticaiframework.testing.strategies import (
    Step,
    TreePlan,
    WorkerPlan,
    build_tree,
    fault_plans,
    faults,
    run_workload,
    schedules,
    supervision_trees,
    workflow_graphs,
    workloads,
)

from .scenarios import Counter, lost_update, three_askers

ENDING = tuple(kind for kind in ACTOR_FAULTS if kind is not Hang)


@given(fault_plans(kinds=(*ACTOR_FAULTS, *STORE_FAULTS)))
def test_plans_are_valid_and_read_back(plan: FaultPlan) -> None:
    assert FaultPlan.model_validate_json(plan.model_dump_json()) == plan
    import agenticaiframework.actors.simulation as kit

    assert eval(plan.code(), vars(kit)) == plan


@settings(max_examples=50)
@given(fault_plans(actors=("Counter#1", "Asker#*"), messages=4), st.integers(0, 1000))
def test_no_plan_breaks_what_expects_faults(plan: FaultPlan, seed: int) -> None:
    report = simulate_once(three_askers, plan=plan, seed=seed)
    assert not report.failed, report.narrative()


def test_a_search_ends_at_the_smallest_order_that_fails() -> None:
    @settings(max_examples=300, database=None, derandomize=True)
    @given(schedules(choices=15, width=3))
    def holds(schedule: Schedule) -> None:
        report = simulate_once(lost_update, schedule=schedule)
        smallest.append(schedule)
        assert not report.failed

    smallest: list[Schedule] = []
    with pytest.raises(AssertionError):
        holds()
    assert simulate_once(lost_update, schedule=smallest[-1]).failed
    assert len(smallest[-1]) <= 2


def test_a_search_ends_at_the_smallest_plan_that_fails() -> None:
    async def fragile(sim: Simulation) -> None:
        counter = sim.system.start(Counter, _name="counter")
        for _ in range(5):
            await counter.request("add", timeout=30)

    @settings(max_examples=200, database=None, derandomize=True)
    @given(fault_plans(actors=("counter",), messages=5))
    def holds(plan: FaultPlan) -> None:
        report = simulate_once(fragile, plan=plan)
        tried.append(plan)
        assert not report.failed

    tried: list[FaultPlan] = []
    with pytest.raises(AssertionError):
        holds()
    assert len(tried[-1]) == 1


def test_a_kind_that_cannot_be_made_is_refused_with_those_that_can() -> None:
    class Explode(Hang):
        pass

    with pytest.raises(SimulationError, match="Explode. It makes Crash, Kill"):
        faults(kinds=(Explode,))


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    tree=supervision_trees(),
    work=st.data(),
    plan=fault_plans(actors=("root-*",), kinds=ENDING, messages=4),
    seed=st.integers(0, 100),
)
def test_any_tree_under_any_work_and_faults_settles(
    tree: TreePlan, work: st.DataObject, plan: FaultPlan, seed: int
) -> None:
    names = [worker.name for worker in tree.workers()]
    steps = work.draw(workloads(names, st.sampled_from(["ok", "boom"])))

    async def handle(payload: Any) -> Any:
        await asyncio.sleep(0.01)
        if payload == "boom":
            raise RuntimeError("boom")
        return payload

    async def scenario(sim: Simulation) -> list[Any]:
        agents: dict[str, Agent] = {}

        def make(worker: WorkerPlan) -> Agent:
            agents[worker.name] = Agent(worker.name, handler=handle)
            return agents[worker.name]

        supervisor = build_tree(tree, make)
        try:
            await supervisor.start()
        except Exception as error:
            return [error]
        outcomes = await run_workload(
            steps,
            lambda name, payload: agents[name].ask(payload, timeout=5000),
            lambda name, payload: agents[name].tell(payload),
        )
        await supervisor.stop()
        return outcomes

    report = simulate_once(scenario, plan=plan, seed=seed, limit_s=1e6)
    assert not report.failed, report.narrative()
    if not report.landed:
        asks = [step for step in steps if step.ask]
        assert len(report.value) >= len(asks) or len(report.value) == 1


@given(workflow_graphs(["a", "b"]))
def test_workflows_are_graphs_whose_steps_need_earlier_ones(workflow: dict[str, Any]) -> None:
    seen: set[str] = set()
    for step in workflow["steps"]:
        assert set(step["depends_on"]) <= seen
        seen.add(step["id"])


def test_a_workload_gives_every_ask_its_outcome_in_order() -> None:
    async def ask(target: str, payload: Any) -> Any:
        await asyncio.sleep(payload)
        if payload == 2:
            raise ValueError(payload)
        return payload

    told: list[Any] = []
    steps = [
        Step("a", 3, wait=False),
        Step("a", 2),
        Step("a", "told", ask=False),
        Step("a", 1, pause_s=5),
    ]

    async def scenario(sim: Simulation) -> list[Any]:
        return await run_workload(steps, ask, lambda target, payload: told.append(payload))

    report = simulate_once(scenario)
    assert [repr(outcome) for outcome in report.value] == ["3", "ValueError(2)", "1"]
    assert told == ["told"]


class CountingMachine(SystemMachine):
    """A counter, and links among actors that come and go."""

    actors: Bundle[ActorRef[Any]] = Bundle("actors")

    def begin(self) -> None:
        self.counter = self.system.start(Counter)
        self.expected = 0
        self.watcher = self.system.start(Watcher)
        self.linked: list[ActorRef[Any]] = []

    @rule()
    def add(self) -> None:
        self.drive(lambda: self.ask(self.counter, "add"))
        self.expected += 1

    @rule(target=actors)
    def start_linked(self) -> ActorRef[Any]:
        ref = self.system.start(Counter)
        self.drive(lambda: self.ask(self.watcher, ref))
        self.linked.append(ref)
        return ref

    @rule(ref=consumes(actors))
    def kill(self, ref: ActorRef[Any]) -> None:
        ref.kill()
        self.settle()
        heard = self.drive(lambda: self.ask(self.watcher, "heard"))
        assert [exit_.ref for exit_ in heard].count(ref) == 1

    @rule(ref=actors)
    def ask_one(self, ref: ActorRef[Any]) -> None:
        try:
            self.drive(lambda: self.ask(ref, "add"))
        except (ActorDied, InjectedCrash):
            assert not ref.is_alive()

    @invariant()
    def counts_right(self) -> None:
        assert self.drive(lambda: self.ask(self.counter, "get")) == self.expected


class Watcher(Actor):
    """Links to what it gets, and keeps the exits that it hears of."""

    def __init__(self) -> None:
        super().__init__()
        self.trap_exit = True
        self.heard: list[Exit] = []

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, Exit):
            self.heard.append(message)
        elif message == "heard":
            return list(self.heard)
        else:
            self.link(message)
        return None


TestCountingMachine = CountingMachine.TestCase
TestCountingMachine.settings = settings(max_examples=20, stateful_step_count=20)


def test_a_machine_sees_what_is_violated_at_the_end() -> None:
    class Leaky(SystemMachine):
        @rule()
        def ask_and_leave(self) -> None:
            async def leave() -> None:
                self.task = asyncio.create_task(asyncio.sleep(1e9))

            self.drive(leave)

    with pytest.raises(AssertionError, match="no orphan task"):
        run_state_machine_as_test(
            Leaky, settings=settings(max_examples=5, database=None, print_blob=False)
        )


def test_without_hypothesis_the_error_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "import agenticaiframework.testing\n"
        "for name in ('strategies', 'machine'):\n"
        "    try:\n"
        "        __import__(f'agenticaiframework.testing.{name}')\n"
        "    except ImportError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.count(install_command("testing")) == 2, done.stdout
    assert hypothesis.__version__
