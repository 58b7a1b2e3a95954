"""What a system's plug-in and the process that runs it agree on.

A plug-in is a module in ``benchmarks/systems`` with two names: ``WORKLOADS``, a mapping of workload name
to a function of a `Job`, and ``DISTRIBUTIONS``, the installed distributions whose versions belong in the
report. The function sets up, times what the workload defines, checks that the work was really done, and
returns figures by metric name. It runs in a fresh process under the interpreter of the system's own
environment, so this module and `benchmarks.measure` use nothing but the standard library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Figures = dict[str, float]
"""Metric name to value; the units are the workload's."""

Histogram = list[int]
"""Counts for each of the buckets of `benchmarks.measure.bucket_edges_us`."""


@dataclass(frozen=True)
class Job:
    """One sample to take: which workload, how much of it, and where files may go."""

    workload: str
    operations: int
    actors: int
    scratch: Path
    options: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Outcome:
    """What one sample gave: figures, and where the workload has them latency histograms by name."""

    figures: Figures
    histograms: Mapping[str, Histogram] = field(default_factory=dict[str, Histogram])


Run = Callable[[Job], Outcome]


class WrongResult(Exception):
    """A system finished a workload with something else than the right answer."""

    def __init__(self, what: str, expected: object, got: object) -> None:
        super().__init__(
            f"{what}: expected {expected!r}, got {got!r}. The figure would mean nothing."
        )
        self.expected = expected
        self.got = got


def check(what: str, expected: object, got: object) -> None:
    """Raise `WrongResult` unless *got* equals *expected*."""
    if expected != got:
        raise WrongResult(what, expected, got)
