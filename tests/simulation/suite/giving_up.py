"""Supervisors whose limits are reached: who comes back, when, and who is left alone."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from agenticaiframework.actors import Agent, AgentStopped
from agenticaiframework.actors.simulation import Simulation
from agenticaiframework.supervision import (
    AgentSupervisor,
    ChildState,
    ReportKind,
    RestartPolicy,
    SupervisorReport,
    SupervisorStartFailed,
)

from .calm import until_calm

STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
FAILURES = (ReportKind.CHILD_TERMINATED, ReportKind.START_ERROR)


@dataclass(slots=True)
class Life:
    """What happened, in order: starts of agents by name, and reports, each with its time."""

    sim: Simulation
    starts: list[tuple[int, float, str]] = field(default_factory=list[Any])
    reports: list[tuple[int, float, SupervisorReport]] = field(default_factory=list[Any])
    clock: int = 0

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    def started(self, name: str) -> None:
        self.starts.append((self.tick(), self.sim.time(), name))

    def report(self, report: SupervisorReport) -> None:
        self.reports.append((self.tick(), self.sim.time(), report))

    def of(self, supervisor: str, *kinds: ReportKind) -> list[tuple[int, float, SupervisorReport]]:
        """Return the reports of these kinds, or of all."""
        return [
            entry
            for entry in self.reports
            if entry[2].supervisor.name == supervisor and (not kinds or entry[2].kind in kinds)
        ]


def group_of(strategy: str, names: list[str], name: str) -> list[str]:
    """Return who is restarted with *name*, as the strategy says."""
    if strategy == "one_for_one":
        return [name]
    return names if strategy == "one_for_all" else names[names.index(name) :]


class Plan:
    """A root supervisor over agents, and perhaps one more supervisor with its own agents."""

    def __init__(self, rng: random.Random, life: Life, handled: list[int]) -> None:
        self.strategy = rng.choice(STRATEGIES)
        self.limit = rng.randint(0, 3)
        self.period_s = rng.choice([2.0, 10.0, 100.0])
        policy = RestartPolicy(
            max_restarts=self.limit,
            within_seconds=self.period_s,
            initial_delay_ms=rng.choice([0, 0, 100]),
        )
        self.root = AgentSupervisor("root", self.strategy, policy)
        self.agents: list[Agent] = []
        self.below: AgentSupervisor | None = None
        place = rng.randrange(4)
        for number in range(3):
            if number == place:
                self.below = AgentSupervisor(
                    "below", rng.choice(STRATEGIES), RestartPolicy(max_restarts=1)
                )
                for name in ("agent-x", "agent-y"):
                    self.below.add_child(name, self._agent(name, life, handled))
                self.root.add_supervisor("below", self.below)
            name = f"agent-{number}"
            self.root.add_child(name, self._agent(name, life, handled))

    def _agent(self, name: str, life: Life, handled: list[int]) -> Agent:
        async def handle(payload: Any) -> Any:
            if payload == "boom":
                raise RuntimeError("boom")
            await asyncio.sleep(0.01)
            handled.append(payload)
            return payload

        agent = Agent(name, handler=handle, on_start=lambda: life.started(name))
        self.agents.append(agent)
        return agent


async def giving_up(sim: Simulation) -> None:
    """At the top what failed too often comes back after its period, and only then; below, OTP's way."""
    rng = sim.random
    life = Life(sim)
    handled: list[int] = []
    dead: list[Any] = []
    sim.system.dead_letters.subscribe(dead.append)
    sim.system.subscribe(life.report, SupervisorReport)
    plan = Plan(rng, life, handled)
    root = plan.root
    for _ in range(20):
        try:
            await root.start()
            break
        except SupervisorStartFailed:
            life.reports.clear()
            life.starts.clear()
    told: list[int] = []
    for number in range(40):
        agent = rng.choice(plan.agents[: rng.randint(1, len(plan.agents))])
        if rng.random() < 0.5:
            await _ask(sim, plan, agent, "boom")
        elif rng.random() < 0.5:
            await _ask(sim, plan, agent, number)
        else:
            agent.tell(number)
            told.append(number)
        await asyncio.sleep(rng.choice([0, 0, 0.1, 1, plan.period_s / 3]))
    await until_calm(sim, 1_000)
    # Longer than the longest period, with all that may go on after it.
    await asyncio.sleep(1_000)
    await until_calm(sim, 1_000)
    _check_end(sim, plan)
    _check_cool_downs(sim, plan, life)
    _check_reach(sim, plan, life)
    _check_below(sim, plan, life)
    lost = {getattr(letter.message, "payload", None) for letter in dead}
    for number in told:
        times = handled.count(number)
        sim.expect(
            times == 1 or (times == 0 and number in lost),
            "what is told while its agent cools down is kept", f"{number}: handled {times} times",
        )  # fmt: skip
    await root.stop()


async def _ask(sim: Simulation, plan: Plan, agent: Agent, payload: Any) -> None:
    child = plan.root.children.get(agent.name)
    resting = child is not None and child.state is ChildState.COOLING_DOWN
    begin = sim.time()
    outcome = await sim.attempt(agent.ask(payload, timeout=20_000))
    if not resting or sim.injector.landed:
        return
    error = outcome.error
    sim.expect(
        isinstance(error, AgentStopped)
        and error.back_in_s is not None
        and 0 <= error.back_in_s < plan.period_s + 0.001
        and sim.time() - begin < 0.001,
        "an ask of one that cools down fails at once", f"{agent.name}: {outcome!r}",
    )  # fmt: skip


def _check_end(sim: Simulation, plan: Plan) -> None:
    sim.expect(
        plan.root.is_running and sim.system.gave_up is None,
        "a root that lets its children cool down lives", f"{plan.root!r}",
    )  # fmt: skip
    for supervisor in (plan.root, plan.below):
        for child in supervisor or ():
            sim.expect(
                child.is_alive, "what cooled down comes back", f"{child!r}, {child.last_exit!r}"
            )


def _check_cool_downs(sim: Simulation, plan: Plan, life: Life) -> None:
    names = list(plan.root.children)
    counted: list[tuple[float, str]] = []
    for at, time, report in life.of("root"):
        name = str(report.child)
        if report.kind in FAILURES:
            counted.append((time, name))
        if report.kind is not ReportKind.COOLING_DOWN:
            continue
        # The failure that was one too many is counted here, and not in the window.
        recent = [one for one in counted if time - one[0] <= plan.period_s]
        sim.expect(
            len(recent) > plan.limit, "a budget is spent before a child cools down",
            f"{name} after {len(recent)} of {plan.limit}",
        )  # fmt: skip
        group = group_of(plan.strategy, names, name)
        counted = [one for one in counted if one[1] not in group]
        for member in group:
            early = [
                start - time
                for after, start, who in life.starts
                if who == member and after > at and start - time < plan.period_s * 0.999
            ]
            sim.expect(
                not early, "nothing comes back before it has cooled down",
                f"{member} came back {early[:1]} s after {name}, and not {plan.period_s}",
            )  # fmt: skip


def _check_reach(sim: Simulation, plan: Plan, life: Life) -> None:
    """Every start but the first has a failure, or the end of a cool-down, of one in its group."""
    names = list(plan.root.children)
    for name in names:
        starts = [at for at, _, who in life.starts if who == name]
        for before, at in pairwise(starts):
            reasons = [
                report
                for when, _, report in life.of("root", *FAILURES, ReportKind.STARTED_AFRESH)
                if before < when < at and name in group_of(plan.strategy, names, str(report.child))
            ]
            sim.expect(bool(reasons), "siblings are left alone", f"{name} was started again")


def _check_below(sim: Simulation, plan: Plan, life: Life) -> None:
    """Under another supervisor a limit escalates: nothing cools down there."""
    if plan.below is None:
        return
    resting = life.of("below", ReportKind.COOLING_DOWN)
    sim.expect(not resting, "under another supervisor a limit escalates", f"{resting[:1]}")
    if plan.strategy != "one_for_one":
        return  # the restart of a group may begin before its end is seen
    ends = life.of("below", ReportKind.SHUTDOWN)
    seen = [r for _, _, r in life.of("root", ReportKind.CHILD_TERMINATED) if r.child == "below"]
    sim.expect(
        len(seen) >= len(ends), "a supervisor above sees each escalation",
        f"{len(ends)} ends, {len(seen)} seen",
    )  # fmt: skip
