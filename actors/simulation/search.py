"""Looks for a run of a scenario that fails, and makes what it finds small and repeatable."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from .choosers import Chooser, RandomChooser
from .explore import explore
from .failure import Failure
from .fault_model import FaultModel
from .options import check_choice, check_count, check_known, check_limit, check_seed
from .pct import PctChooser
from .plan import FaultPlan, as_plan
from .planner import Faults, Profile
from .report import Report
from .schedule import Schedule
from .shrink import Shrinker
from .simulation import Check, Scenario, Simulation, simulate_once

SAMPLES = 4
"""Runs without faults from which a search learns what a scenario does; one may be untypical."""

Mode = Literal["random", "pct", "mixed"]

_OWN = {"self", "seed", "plan", "chooser"}
"""What a search decides itself for each of its runs."""
OPTIONS = tuple(n for n in inspect.signature(Simulation.__init__).parameters if n not in _OWN)
"""The options of `Simulation` that a search passes on."""

_Source = Faults | FaultPlan | Callable[[int, Profile], FaultPlan] | None
FaultSource = _Source | FaultModel | Sequence[FaultModel] | bool


@dataclass(slots=True)
class SearchResult:
    """What a search did. `failure` is None if nothing failed."""

    runs: int = 0
    messages: int = 0
    failure: Failure | None = None
    #: Kind of fault -> how many landed, over all runs.
    landed: dict[str, int] = field(default_factory=dict[str, int])
    #: Kind of fault -> how many were planned and did not land.
    missed: dict[str, int] = field(default_factory=dict[str, int])

    def count(self, report: Report) -> None:
        """Add one run to the totals."""
        self.runs += 1
        self.messages += report.messages
        for landed in report.landed:
            self.landed[landed.fault.kind] = self.landed.get(landed.fault.kind, 0) + 1
        for fault in report.missed:
            self.missed[fault.kind] = self.missed.get(fault.kind, 0) + 1

    def add(self, other: SearchResult) -> None:
        """Add the totals of another search."""
        self.runs += other.runs
        self.messages += other.messages
        for mine, theirs in ((self.landed, other.landed), (self.missed, other.missed)):
            for kind, count in theirs.items():
                mine[kind] = mine.get(kind, 0) + count
        self.failure = self.failure or other.failure

    def summary(self) -> str:
        """Return the totals as a few lines."""
        lines = [f"{self.runs} schedules, {self.messages} messages"]
        lines += [
            f"  {kind}: {self.landed.get(kind, 0)} landed, {self.missed.get(kind, 0)} did not"
            for kind in sorted({*self.landed, *self.missed})
        ]
        lines.append(
            "violations: 0" if self.failure is None else f"violated: {self.failure.detail}"
        )
        return "\n".join(lines)


def fault_source(given: Any) -> _Source:
    """Return *given*, which may go wrong in a search, as the search wants it. Raises `BadSimulation`."""
    if given is None or given is False:
        return None
    if given is True:
        return Faults()
    if isinstance(given, Faults):
        return given
    if callable(given) and not isinstance(given, type):
        return cast("Callable[[int, Profile], FaultPlan]", given)
    return as_plan(given)


@dataclass(slots=True)
class Search:
    """A search over orders and faults of one scenario.

    faults: what may go wrong: `Faults()` or True for anything, a `FaultPlan`, a fault or a list of
        faults for the same in every run, a function of seed and profile, or None.
    mode: how orders are chosen: ``random``, ``pct`` (see `pct`), or ``mixed``: of four runs one of
        PCT. Unless it is ``pct``, one of four is batched (see `simulate_once`).
    depth: the depth of PCT.
    checks: invariants beside those that are always on.
    options: of `Simulation`, such as ``{"limit_s": 86400}``.
    """

    scenario: Scenario
    faults: FaultSource = None
    mode: Mode = "mixed"
    depth: int = 3
    checks: tuple[Check, ...] = ()
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    _source: _Source = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._source = fault_source(self.faults)
        check_choice("mode", self.mode, get_args(Mode))
        check_count("depth", self.depth, 3)
        check_known(self.options, OPTIONS)
        if "limit_s" in self.options:
            check_limit(self.options["limit_s"])

    def check(self, runs: int, seed: int) -> None:
        """Raise `BadSimulation` unless *runs* runs can be made from *seed* on."""
        check_count("runs", runs)
        check_seed(seed)

    def run_one(
        self,
        plan: FaultPlan,
        seed: int,
        *,
        schedule: Schedule | None = None,
        chooser: Chooser | None = None,
        **options: Any,
    ) -> Report:
        """Make one run of *seed*: in its random order, or in that of *schedule* or *chooser*."""
        return simulate_once(
            self.scenario,
            plan=plan,
            seed=seed,
            schedule=schedule,
            chooser=chooser,
            checks=self.checks,
            **{**self.options, **options},
        )

    def profile(self, seed: int = 0, *, samples: int = SAMPLES) -> tuple[Profile, list[Report]]:
        """Make *samples* runs from *seed* on, and return what they did together.

        Nothing goes wrong in them but what goes wrong in every run.
        """
        reports = [self.run_one(self.fixed, seed + number) for number in range(samples)]
        profile = Profile.of(reports[0])
        for report in reports[1:]:
            profile = profile.merged(Profile.of(report))
        return profile, reports

    def reports(self, runs: int, *, seed: int = 0) -> Iterator[tuple[str, Report]]:
        """Yield *runs* runs, each with how its order was chosen; seeds count up from *seed*."""
        yield "plain order", self.run_one(self.fixed, seed, schedule=Schedule())
        samples = min(SAMPLES, runs - 1)
        if samples < 1:
            return
        profile, first = self.profile(seed, samples=samples)
        for report in first:
            yield "random order", report
        for number in range(seed + samples, seed + runs - 1):
            plan = self.plan_for(number, profile)
            if self.mode != "pct" and number % 4 == 2:
                yield "random order, batched", self.run_one(plan, number, batched=True)
            elif self.mode == "pct" or (self.mode == "mixed" and number % 4 == 0):
                chooser = PctChooser(number, depth=self.depth, steps=max(profile.choices, 1))
                yield f"PCT of depth {self.depth}", self.run_one(plan, number, chooser=chooser)
            else:
                yield "random order", self.run_one(plan, number)

    @property
    def fixed(self) -> FaultPlan:
        """The faults that are in every run."""
        return self._source if isinstance(self._source, FaultPlan) else FaultPlan()

    def plan_for(self, seed: int, profile: Profile) -> FaultPlan:
        """Return what goes wrong in the run of *seed*."""
        source = self._source
        if source is None:
            return FaultPlan()
        if isinstance(source, FaultPlan):
            return source
        if isinstance(source, Faults):
            return source.plan(seed, profile)
        return source(seed, profile)

    def run(self, runs: int = 100, *, seed: int = 0, shrink: bool = True) -> SearchResult:
        """Make up to *runs* runs, stop at the first that fails, and shrink it."""
        self.check(runs, seed)
        result = SearchResult()
        for how, report in self.reports(runs, seed=seed):
            result.count(report)
            if report.failed:
                result.failure = self.failure(report, how, result.runs, shrink=shrink)
                break
        return result

    def failure(self, report: Report, how: str, runs: int, *, shrink: bool = True) -> Failure:
        """Return the failure of *report*, shrunk, with the story of its smallest run."""
        schedule = report.schedule
        seed = report.seed or 0
        own: dict[str, Any] = {"batched": True} if report.batched else {}
        if shrink:
            shrinker = Shrinker(
                lambda plan, order: self.run_one(
                    plan,
                    seed,
                    schedule=order if isinstance(order, Schedule) else None,
                    chooser=RandomChooser(order) if isinstance(order, int) else None,
                    **own,
                ),
                report,
            )
            report, schedule = shrinker.shrink(), shrinker.schedule
        told = self.run_one(report.plan, seed, schedule=schedule, detailed=True, **own)
        if told.failure != report.failure:  # pragma: no cover - describing must change nothing
            told = report
        return Failure.of(
            self.scenario,
            report,
            told,
            schedule,
            how,
            runs,
            checks=self.checks,
            options={**self.options, **own},
        )

    def explore(
        self,
        plans: Iterable[FaultPlan] = (FaultPlan(),),
        *,
        seed: int = 0,
        max_schedules: int = 10_000,
    ) -> tuple[SearchResult, bool]:
        """Try every essentially different order under each plan; tell whether that was all.

        For small scenarios: the number of orders grows with the factorial of what can overlap.
        """
        result = SearchResult()
        exhaustive = True
        for plan in plans:

            def run(chooser: Any, plan: FaultPlan = plan) -> Report:
                report = self.run_one(plan, seed, chooser=chooser)
                result.count(report)
                return report

            found = explore(run, failed=lambda report: report.failed, max_schedules=max_schedules)
            if found.failures:
                _, report = found.failures[0]
                result.failure = self.failure(report, "exploration", result.runs)
                return result, False
            exhaustive = exhaustive and found.exhaustive
        return result, exhaustive
