"""A failure that was found: what broke, the smallest run that shows it, and how to repeat it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict

from .diagram import sequence_diagram
from .plan import FaultPlan
from .report import Report
from .schedule import Schedule

VERSION = 1


class Failure(BaseModel):
    """One failure as data; `save` writes it as a file that `--sim-replay` and `load` read."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    version: int = VERSION
    #: ``module:name`` of the scenario.
    scenario: str
    #: The kind of failure: the rule that was violated, or the class of the error.
    failure: str
    #: What exactly was found, in one line.
    detail: str
    seed: int = 0
    plan: FaultPlan = FaultPlan()
    schedule: Schedule = Schedule()
    #: ``module:name`` of the checks that the search added.
    checks: tuple[str, ...] = ()
    #: The options of `Simulation` that the search ran with, those that are plain values.
    options: dict[str, bool | float] = {}
    #: How its order was chosen when it was found, and after how many runs.
    found_by: str = ""
    runs: int = 0
    trace_hash: str = ""
    narrative: str = ""
    diagram: str = ""

    @classmethod
    def of(
        cls,
        scenario: Any,
        report: Report,
        told: Report,
        schedule: Schedule,
        how: str,
        runs: int,
        *,
        checks: Iterable[Any] = (),
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> Failure:
        """Return the failure of *report*; *told* is the same run, described in detail."""
        name = scenario_name(scenario)
        if report.violations:
            detail = str(report.violations[0])
        else:
            detail = f"{type(report.error).__name__}: {report.error}"
        return cls(
            scenario=name,
            failure=report.failure,
            detail=detail,
            seed=report.seed or 0,
            plan=report.plan,
            schedule=schedule,
            checks=tuple(scenario_name(check) for check in checks),
            options={
                name: value
                for name, value in options.items()
                if isinstance(value, int | float) and name != "detailed"
            },
            found_by=how,
            runs=runs,
            trace_hash=report.trace_hash,
            narrative=told.narrative(),
            diagram=sequence_diagram(told.events, title=f"{name}: {report.failure}"),
        )

    def code(self) -> str:
        """Return Python code that repeats the failure."""
        sources: dict[str, set[str]] = {}
        for what in (self.scenario, *self.checks):
            module, _, name = what.partition(":")
            sources.setdefault(module, set()).add(name.split(".")[0])
        used = {type(fault).__name__ for fault in self.plan.faults}
        kit = "agenticaiframework.testing"
        sources.setdefault(kit, set()).update({"FaultPlan", "Schedule", "simulate_once", *used})
        imports = [
            f"from {module} import {', '.join(sorted(sources[module]))}" for module in sources
        ]
        plan = self.plan.code().replace("\n", "\n    ")
        arguments = [
            self.scenario.partition(":")[2],
            f"seed={self.seed}",
            f"plan={plan}",
            f"schedule={self.schedule.code()}",
        ]
        if self.checks:
            names = ", ".join(check.partition(":")[2] for check in self.checks)
            arguments.append(f"checks=[{names}]")
        arguments += [f"{name}={_number(value)}" for name, value in self.options.items()]
        arguments.append("detailed=True")
        lines = "".join(f"    {argument},\n" for argument in arguments)
        return (
            "\n".join(imports) + "\n\n"
            f"report = simulate_once(\n{lines})\n"
            f"assert not report.failed, report.narrative()\n"
        )

    def __str__(self) -> str:
        return (
            f"{self.detail}\n"
            f"Found by {self.found_by} in run {self.runs}; the smallest run that shows it has "
            f"{len(self.plan)} faults and leaves the plain order {len(self.schedule)} times.\n\n"
            f"{self.narrative}\n\nTo repeat it:\n\n{self.code()}"
        )

    def save(self, path: str | Path) -> Path:
        """Write the failure to *path* as JSON, and its diagram beside it as ``.mmd``."""
        path = Path(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        path.with_suffix(".mmd").write_text(self.diagram, encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: str | Path) -> Failure:
        """Return the failure that *path* holds."""
        return cls.model_validate_json(Path(path).read_text(encoding="utf-8"))


def scenario_name(scenario: Any) -> str:
    """Return ``module:name`` of a scenario; of a simulated test, of the function inside it."""
    target = getattr(scenario, "__wrapped__", scenario)
    module = getattr(target, "__module__", "__main__")
    name = getattr(target, "__qualname__", type(target).__qualname__)
    return f"{module}:{name}" + (".scenario" if hasattr(target, "simulated") else "")


def _number(value: float) -> str:
    """Return Python code for a number or a truth value; `repr` has none for the infinite."""
    return repr(value) if math.isfinite(value) else f'float("{value}")'
