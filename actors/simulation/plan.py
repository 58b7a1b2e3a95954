"""A fault plan: everything that goes wrong in one run, as data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ConfigDict

from .errors import BadSimulation
from .fault_model import FaultModel
from .faults import Fault


class FaultPlan(BaseModel):
    """The faults of one run, in no particular order; empty: nothing goes wrong.

    `FaultPlan.of(Crash(actor="a", at_message=1), ...)` is the short form.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    faults: tuple[Fault, ...] = ()

    @classmethod
    def of(cls, *faults: Fault) -> FaultPlan:
        """Return the plan of these faults."""
        return cls(faults=faults)

    @classmethod
    def load(cls, path: str | Path) -> FaultPlan:
        """Return the plan that *path* holds as JSON."""
        return cls.model_validate_json(Path(path).read_text(encoding="utf-8"))

    def save(self, path: str | Path) -> None:
        """Write the plan to *path* as JSON."""
        Path(path).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    def without(self, index: int) -> FaultPlan:
        """Return the plan with one fault less."""
        return self.replace(self.faults[:index] + self.faults[index + 1 :])

    def replace(self, faults: tuple[Fault, ...]) -> FaultPlan:
        """Return a plan of *faults*, which are valid already."""
        return FaultPlan.model_construct(faults=faults)

    def code(self) -> str:
        """Return the Python expression that makes this plan."""
        if not self.faults:
            return "FaultPlan()"
        if len(self.faults) == 1:
            return f"FaultPlan.of({self.faults[0].code()})"
        return "FaultPlan.of(\n" + "".join(f"    {f.code()},\n" for f in self.faults) + ")"

    def __len__(self) -> int:
        return len(self.faults)

    def each(self) -> Iterator[Fault]:
        """Yield the faults."""
        yield from self.faults


class Landed(BaseModel):
    """A fault that did its harm: when, to which actor, at which of its messages."""

    model_config = ConfigDict(frozen=True)

    index: int
    fault: Fault
    time_s: float
    where: str

    def __str__(self) -> str:
        return f"{self.fault.code()} landed at t={self.time_s:g} s on {self.where}"


def as_plan(given: Any) -> FaultPlan:
    """Return a plan, a fault, or a list of faults as a plan. Raises `BadSimulation`."""
    if isinstance(given, FaultPlan):
        return given
    faults: tuple[Any, ...] = (given,)
    if isinstance(given, list | tuple):
        faults = tuple(cast("list[Any]", given))
    if not all(isinstance(fault, FaultModel) for fault in faults):
        raise BadSimulation(
            f"faults={given!r} does not say what may go wrong. Write faults=True for anything, "
            "faults=Faults(kinds=(Crash, Hang)), or faults=[Crash(actor='worker', at_message=2)]"
        )
    return FaultPlan(faults=faults)
