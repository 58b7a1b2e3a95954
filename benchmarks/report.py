"""The result as a table for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.measure import bucket_edges_us
from benchmarks.protocol import Histogram
from benchmarks.runner import Probe, Sample
from benchmarks.summary import Comparison, Figure, Row

BARS = " ▁▂▃▄▅▆▇█"


def quantity(value: float, unit: str) -> str:
    """Return *value* with three digits and its unit; rates and bytes with k, M, G."""
    if unit in ("/s", "B") and abs(value) >= 1_000:
        for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if abs(value) >= factor:
                return f"{value / factor:.3g} {letter}{unit}"
    return f"{value:.3g} {unit}" if abs(value) < 1_000 else f"{value:,.0f} {unit}"


def times(ratio: float | None) -> str:
    """Return a ratio as a person says it."""
    return "" if ratio is None else f"{ratio:.2f}x" if ratio < 10 else f"{ratio:,.0f}x"


def bar_chart(counts: Histogram) -> str:
    """Return one character a bucket, high where many latencies fell; the square root keeps the tail visible."""
    last = max((i for i, count in enumerate(counts) if count), default=0)
    most = max(counts) or 1
    return "".join(
        BARS[max(round((count / most) ** 0.5 * (len(BARS) - 1)), 1) if count else 0]
        for count in counts[: last + 1]
    )


def _cells(row: Row) -> list[str]:
    if not row.figures:
        return [row.system.name, f"failed: {row.failure}"]
    first, *others = row.figures
    cells = [
        row.system.name,
        quantity(first.median, first.metric.unit),
        f"±{first.spread / 2:.0%}",
        times(row.cost),
        times(row.ours_better),
        "  ".join(_named(figure) for figure in others),
    ]
    if row.failure:
        cells[-1] += f"  (a round failed: {row.failure})"
    return cells


def _named(figure: Figure) -> str:
    return f"{figure.metric.name.removesuffix('_' + figure.metric.unit)} {quantity(figure.median, figure.metric.unit)}"


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    whole = [line for line in lines if len(line) == len(lines[0])]
    widths = [max(len(line[i]) for line in whole) for i in range(len(lines[0]))]
    first = max(len(line[0]) for line in lines)
    return [
        "  ".join(
            cell.ljust(first if i == 0 else widths[i])
            if i in (0, len(widths) - 1)
            else cell.rjust(widths[i])
            for i, cell in enumerate(line)
        ).rstrip()
        if len(line) == len(widths)
        else f"{line[0].ljust(first)}  {line[1]}"
        for line in lines
    ]


def goal_line(comparison: Comparison) -> str:
    """Return the goal and what this project reached here; an empty text where there is no goal."""
    workload = comparison.workload
    goal = workload.goal
    if goal is None:
        return ""
    metric = workload.metrics[0]
    higher = metric.better == "higher" and not goal.times_floor
    aim = (
        f"{goal.value:g} times the floor's cost"
        if goal.times_floor
        else quantity(goal.value, metric.unit)
    )
    line = f"goal: at {'least' if higher else 'most'} {aim}"
    for row in comparison.rows:
        if row.system.kind == "ours" and row.figures:
            reached = row.cost if goal.times_floor else row.figures[0].median
            if reached is not None:
                met = reached >= goal.value if higher else reached <= goal.value
                shown = times(reached) if goal.times_floor else quantity(reached, metric.unit)
                line += f"; here {shown}: {'reached' if met else 'not reached'}"
    return line


def _section(comparison: Comparison, goals: bool) -> list[str]:
    workload = comparison.workload
    metric = workload.metrics[0]
    lines = ["", f"{workload.suite} / {workload.name}: {workload.title}"]
    header = [
        "",
        metric.name if metric.name != "per_s" else "per second",
        "spread",
        "cost, floor = 1",
        "ours is better by",
        "",
    ]
    lines += _aligned([header, *(_cells(row) for row in comparison.rows)])
    for row in comparison.rows:
        for name, counts in (row.histograms or {}).items():
            lines.append(
                f"  {row.system.name:<14} {name:<6} 1 us |{bar_chart(counts)}| two buckets an octave"
            )
    goal = goal_line(comparison) if goals else ""
    if goal:
        lines.append(goal)
    return lines


def table(
    machine: Mapping[str, str],
    probes: Sequence[Probe],
    comparisons: Sequence[Comparison],
    rounds: int,
    *,
    goals: bool = True,
) -> str:
    """Return the whole report as text; *goals* are for runs of the full size."""
    lines = [f"{name}: {value}" for name, value in machine.items()]
    lines.append(
        f"rounds: {rounds}, every sample in a fresh process, systems in turn; median, half the range"
    )
    lines.append("")
    for probe in probes:
        what = ", ".join(f"{name} {version}" for name, version in sorted(probe.versions.items()))
        lines.append(f"{probe.system.name}: {probe.missing or what or probe.system.note}")
    for comparison in comparisons:
        if comparison.rows:
            lines += _section(comparison, goals)
    return "\n".join(lines) + "\n"


def as_json(
    machine: Mapping[str, str],
    probes: Sequence[Probe],
    comparisons: Sequence[Comparison],
    samples: Sequence[Sample],
    rounds: int,
) -> dict[str, Any]:
    """Return the report as plain data: the summary, and every sample behind it."""
    return {
        "machine": dict(machine),
        "rounds": rounds,
        "bucket_edges_us": bucket_edges_us(),
        "systems": [
            {
                "name": probe.system.name,
                "kind": probe.system.kind,
                "note": probe.system.note,
                "versions": dict(probe.versions),
                "missing": probe.missing,
            }
            for probe in probes
        ],
        "workloads": [_workload_json(comparison) for comparison in comparisons],
        "samples": [
            {
                "workload": sample.workload,
                "system": sample.system,
                "round": sample.round,
                "figures": sample.figures,
                "failure": sample.failure,
            }
            for sample in samples
        ],
    }


def _workload_json(comparison: Comparison) -> dict[str, Any]:
    workload = comparison.workload
    return {
        "name": workload.name,
        "suite": workload.suite,
        "title": workload.title,
        "floor": workload.floor,
        "goal": workload.goal.value if workload.goal else None,
        "systems": [
            {
                "name": row.system.name,
                "kind": row.system.kind,
                "cost": row.cost,
                "ours_better": row.ours_better,
                "failure": row.failure,
                "histograms": row.histograms or {},
                "figures": {
                    figure.metric.name: {
                        "unit": figure.metric.unit,
                        "better": figure.metric.better,
                        "median": figure.median,
                        "low": figure.low,
                        "high": figure.high,
                        "rounds": figure.rounds,
                    }
                    for figure in row.figures
                },
            }
            for row in comparison.rows
        ],
    }
