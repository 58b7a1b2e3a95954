"""From samples to medians, spreads and ratios: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.catalog import System
from benchmarks.protocol import Histogram
from benchmarks.runner import Sample
from benchmarks.workloads import Metric, Workload


@dataclass(frozen=True)
class Figure:
    """Median, lowest and highest of one metric over the rounds."""

    metric: Metric
    median: float
    low: float
    high: float
    rounds: int

    @property
    def spread(self) -> float:
        """Highest less lowest, as a share of the median; 0 for a median of 0."""
        return (self.high - self.low) / self.median if self.median else 0.0


@dataclass(frozen=True)
class Row:
    """One system in one workload.

    *cost* is how many times what the floor needs this system needs; *ours_better* how many times better this
    project is than this system. Both compare sample with sample of the same round, and take the median.
    """

    system: System
    figures: tuple[Figure, ...]
    cost: float | None = None
    ours_better: float | None = None
    histograms: dict[str, Histogram] | None = None
    failure: str = ""


@dataclass(frozen=True)
class Comparison:
    """All systems of one workload, best first, those that failed last."""

    workload: Workload
    rows: tuple[Row, ...]


def figure(metric: Metric, values: Sequence[float]) -> Figure:
    """Return the figure of at least one value."""
    return Figure(metric, median(values), min(values), max(values), len(values))


def times_better(metric: Metric, value: float, other: float) -> float | None:
    """Return how many times better *value* is than *other*; None where a zero makes that meaningless."""
    if value <= 0 or other <= 0:
        return None
    return value / other if metric.better == "higher" else other / value


def paired(metric: Metric, samples: Sequence[Sample], others: Sequence[Sample]) -> float | None:
    """Return how many times better *samples* are than *others*: the median over rounds that have both."""
    by_round = {other.round: other.figures[metric.name] for other in others}
    ratios = [
        ratio
        for sample in samples
        if sample.round in by_round
        and (ratio := times_better(metric, sample.figures[metric.name], by_round[sample.round]))
        is not None
    ]
    return median(ratios) if ratios else None


def added(histograms: Sequence[dict[str, Histogram]]) -> dict[str, Histogram]:
    """Return the sums of the histograms of the same name."""
    total: dict[str, Histogram] = {}
    for one in histograms:
        for name, counts in one.items():
            before = total.get(name, [0] * len(counts))
            total[name] = [a + b for a, b in zip(before, counts, strict=True)]
    return total


def compare(workload: Workload, systems: Sequence[System], samples: Sequence[Sample]) -> Comparison:
    """Return the comparison of *systems* in *workload*, of which *samples* may hold others too."""
    metric = workload.metrics[0]
    good: dict[str, list[Sample]] = {}
    failures: dict[str, str] = {}
    for sample in samples:
        if sample.workload != workload.name:
            continue
        if sample.failure:
            failures[sample.system] = sample.failure
        else:
            good.setdefault(sample.system, []).append(sample)
    floor = good.get(workload.floor, [])
    ours = [
        sample
        for system in systems
        if system.kind == "ours"
        for sample in good.get(system.name, [])
    ]
    rows: list[Row] = []
    for system in systems:
        taken = good.get(system.name, [])
        if not taken:
            if system.name in failures:
                rows.append(Row(system, (), failure=failures[system.name]))
            continue
        rows.append(
            Row(
                system,
                tuple(
                    figure(m, [sample.figures[m.name] for sample in taken])
                    for m in workload.metrics
                ),
                cost=paired(metric, floor, taken),
                ours_better=None if system.kind == "ours" else paired(metric, ours, taken),
                histograms=added([dict(sample.histograms) for sample in taken]) or None,
                failure=failures.get(system.name, ""),
            )
        )
    return Comparison(workload, tuple(sorted(rows, key=_order)))


def _order(row: Row) -> float:
    if not row.figures:
        return float("inf")
    first = row.figures[0]
    return -first.median if first.metric.better == "higher" else first.median
