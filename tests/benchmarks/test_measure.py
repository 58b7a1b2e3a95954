"""Figures taken inside the measured process."""

from __future__ import annotations

import pytest

from benchmarks.measure import (
    BUCKETS,
    bucket_edges_us,
    each,
    histogram,
    latency_figures,
    percentile,
    rate,
    resident_bytes,
)
from benchmarks.protocol import WrongResult, check


def test_a_rate_and_its_inverse_say_the_same() -> None:
    assert rate(500, 2.0).figures == {"per_s": 250.0}
    assert each(500, 2.0).figures == {"us": 4000.0}


@pytest.mark.parametrize(
    ("fraction", "expected"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.001, 1.0)]
)
def test_a_percentile_is_a_value_that_was_measured(fraction: float, expected: float) -> None:
    assert percentile([float(i) for i in range(1, 101)], fraction) == expected


def test_every_latency_falls_into_the_bucket_whose_edge_it_does_not_exceed() -> None:
    edges = bucket_edges_us()
    latencies_us = [0.2, 1.0, 1.1, 90.0, 1_000.0, 5e9]
    counts = histogram([us / 1e6 for us in latencies_us])
    assert len(counts) == len(edges) == BUCKETS
    assert sum(counts) == len(latencies_us)
    assert counts[0] == 2
    assert counts[1] == 1
    ninety = next(i for i, edge in enumerate(edges) if edge >= 90.0)
    assert counts[ninety] == 1
    assert counts[-1] == 1, "what is above the last edge is not lost"


def test_latency_figures_are_in_milliseconds_and_need_no_order() -> None:
    assert latency_figures("tick", [0.003, 0.001, 0.002]) == {
        "tick_p50_ms": pytest.approx(2.0),
        "tick_p99_ms": pytest.approx(3.0),
        "tick_max_ms": pytest.approx(3.0),
    }


def test_resident_memory_grows_with_what_is_held() -> None:
    before = resident_bytes()
    held = bytearray(b"x") * 30_000_000
    assert resident_bytes() - before > 25_000_000
    assert len(held) == 30_000_000


def test_a_wrong_result_makes_no_figure() -> None:
    check("answers", 3, 3)
    with pytest.raises(WrongResult, match="answers: expected 3, got 2"):
        check("answers", 3, 2)
