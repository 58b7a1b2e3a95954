"""Clocks, memory and latency figures, taken inside the measured process."""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Sequence

from benchmarks.protocol import Histogram, Outcome

now = time.perf_counter
"""Seconds of a clock that never goes back; `use_clock` may have put another in its place."""

BUCKETS_PER_OCTAVE = 2
BUCKETS = 48


def use_clock(name: str) -> None:
    """Let `now` be the wall clock (``wall``) or this process's processor time (``cpu``).

    Before a plug-in is imported, because plug-ins import `now` by name.
    """
    global now
    now = {"wall": time.perf_counter, "cpu": time.process_time}[name]


def settle() -> None:
    """Collect garbage, so that setting up is not paid for while the clock runs."""
    gc.collect()


def rate(operations: int, seconds: float) -> Outcome:
    """Return ``per_s``: operations in a second."""
    return Outcome({"per_s": operations / seconds})


def each(operations: int, seconds: float) -> Outcome:
    """Return ``us``: microseconds of one operation."""
    return Outcome({"us": seconds / operations * 1e6})


def resident_bytes() -> int:
    """Return this process's resident memory; Linux only, because peers come with no psutil."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def percentile(sorted_values: Sequence[float], fraction: float) -> float:
    """Return the value that *fraction* of the sorted values do not exceed (nearest rank)."""
    rank = math.ceil(fraction * len(sorted_values))
    return sorted_values[max(rank, 1) - 1]


def bucket_edges_us() -> list[float]:
    """Return the upper edges of the latency buckets, in microseconds: 1 us to 12 s, two an octave."""
    return [2 ** (i / BUCKETS_PER_OCTAVE) for i in range(BUCKETS)]


def histogram(latencies_s: Sequence[float]) -> Histogram:
    """Return how many latencies fall into each bucket; the last one takes all that is above."""
    counts = [0] * BUCKETS
    for latency_s in latencies_s:
        us = latency_s * 1e6
        index = math.ceil(math.log2(us) * BUCKETS_PER_OCTAVE) if us > 1 else 0
        counts[min(index, BUCKETS - 1)] += 1
    return counts


def latency_figures(name: str, latencies_s: Sequence[float]) -> dict[str, float]:
    """Return median, 99th percentile and maximum in milliseconds under ``<name>_p50_ms`` and so on."""
    ordered = sorted(latencies_s)
    return {
        f"{name}_p50_ms": percentile(ordered, 0.5) * 1e3,
        f"{name}_p99_ms": percentile(ordered, 0.99) * 1e3,
        f"{name}_max_ms": ordered[-1] * 1e3,
    }
