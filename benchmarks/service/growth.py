"""Whether a process holds more and more: pure functions of its samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Sample = Mapping[str, float]
"""Figures by name, with the time of the sample in seconds under ``at``."""


@dataclass(frozen=True)
class Allowance:
    """How much more of something a process may hold at rest than it did at rest in the beginning."""

    units: float
    share: float = 0.0

    def of(self, start: float) -> float:
        """Return the units that are allowed beyond *start*."""
        return self.units + self.share * start


AT_REST: dict[str, Allowance] = {
    # Pools of threads and of coordinators are filled once, as the load comes.
    "threads": Allowance(40),
    "tasks": Allowance(5),
    "handles": Allowance(12),
    "actors": Allowance(80),
    "memory": Allowance(120e6, 0.5),
}
"""What was empty before the first request and is warm after thousands of them."""

AN_HOUR: dict[str, Allowance] = {
    "threads": Allowance(4),
    "tasks": Allowance(20),
    "handles": Allowance(10),
    "actors": Allowance(20),
    "memory": Allowance(8e6, 0.05),
    "store": Allowance(4e6, 0.10),
}
"""What a service that is warm may grow by in an hour of steady load: next to nothing."""


def grown(start: Sample, end: Sample) -> list[str]:
    """Return what the end has too much of, both at rest."""
    return [
        f"{name}: {start[name]:,.0f} at rest in the beginning, {end[name]:,.0f} at rest in the end"
        for name, allowance in AT_REST.items()
        if end[name] > start[name] + allowance.of(start[name])
    ]


def slope(samples: Sequence[Sample], name: str) -> float:
    """Return the growth of *name* a second, by least squares."""
    times = [sample["at"] for sample in samples]
    values = [sample[name] for sample in samples]
    middle, mean = sum(times) / len(times), sum(values) / len(values)
    below = sum((at - middle) ** 2 for at in times)
    if not below:
        return 0.0
    return sum((at - middle) * (v - mean) for at, v in zip(times, values, strict=True)) / below


def slopes(samples: Sequence[Sample]) -> dict[str, float]:
    """Return the growth an hour of all that is watched, without the first fifth, which is the warming up."""
    kept = samples[len(samples) // 5 :]
    return {name: slope(kept, name) * 3600 for name in AN_HOUR} if len(kept) > 2 else {}


def sloping(samples: Sequence[Sample]) -> list[str]:
    """Return what grows by more than is allowed."""
    found: list[str] = []
    kept = samples[len(samples) // 5 :]
    for name, an_hour in slopes(samples).items():
        allowed = AN_HOUR[name].of(kept[0][name])
        # In less than an hour it must at least have grown by what an hour is allowed: noise has slopes, too.
        hours = (kept[-1]["at"] - kept[0]["at"]) / 3600
        if an_hour > allowed and an_hour * min(hours, 1.0) > allowed:
            found.append(f"{name}: {an_hour:,.0f} more an hour, {allowed:,.0f} are allowed")
    return found
