"""The result of a run as a table for people."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.report import quantity
from benchmarks.service.run import Result

SHOWN = 5
"""How many of each kind of finding are printed; the JSON has them all."""

UNITS = {"memory": "B", "store": "B"}


def _figure(name: str, value: float) -> str:
    return quantity(value, UNITS[name]) if name in UNITS else f"{value:,.0f}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"


def table(machine: Mapping[str, str], result: Result) -> str:
    """Return the whole report as text."""
    options = result.options
    minutes = max(result.seconds, 1) / 60
    lines = [f"{name}: {value}" for name, value in machine.items()]
    lines += [
        "",
        f"service / {options.form}: {options.clients} clients, {options.store}, {result.seconds:.0f} s",
        f"runs: {result.runs:,} accepted, {result.runs / minutes:,.0f} a minute; {_counted(result.outcomes)}",
        f"steps: {result.steps:,}, of which {result.repeated:,} were cut off or failed, and done again",
        f"watched: {result.watched:,} runs by their events, {result.reconnected:,} times gone on with "
        "after a connection had ended",
        f"answers by code: {_counted(result.codes)}",
        f"done to the process and its store: {_counted(result.happened)}; longest end by SIGTERM "
        f"{result.longest_drain_s:.1f} s",
        f"done to the agents: {_counted(result.landed)}",
        "",
    ]
    lines.append(f"{'':<22}{'count':>10}{'p50':>12}{'p99':>12}{'max':>12}")
    for what, row in result.latencies.items():
        times = "".join(f"{row[name]:>9,.1f} ms" for name in ("p50_ms", "p99_ms", "max_ms"))
        lines.append(f"{what:<22}{row['count']:>10,.0f}{times}")
    if result.figures:
        lines += ["", f"{'':<22}" + "".join(f"{when:>12}" for when in result.figures)]
        for name in ("memory", "threads", "tasks", "handles", "actors", "store"):
            cells = (_figure(name, sample[name]) for sample in result.figures.values())
            lines.append(f"{name:<22}" + "".join(f"{cell:>12}" for cell in cells))
        lines.append("start and end are at rest, the middle is under load")
    if result.slopes:
        grows = (f"{name} {_figure(name, value)}" for name, value in result.slopes.items())
        lines += ["", f"growth an hour: {', '.join(grows)}"]
    lines.append("")
    for name, found in result.counts.by_name().items():
        lines.append(f"{name}: {len(found)}")
        lines += [f"    {one}" for one in found[:SHOWN]]
        if len(found) > SHOWN:
            lines.append(f"    and {len(found) - SHOWN} more")
    lines.append("clean" if result.clean else "NOT CLEAN")
    return "\n".join(lines) + "\n"
