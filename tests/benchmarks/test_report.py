"""The table and the JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.catalog import System
from benchmarks.measure import BUCKETS
from benchmarks.report import as_json, bar_chart, goal_line, quantity, table, times
from benchmarks.runner import Probe, Sample
from benchmarks.summary import Comparison, compare
from benchmarks.workloads import Goal, Metric, Size, Workload

OURS = System("ours", "ours", "ours_kernel", ("kernel",))
FLOOR = System("floor", "floor", "floor_call", ("kernel",), note="a call")
PEER = System("peer", "peer", "pykka_threads", ("kernel",), requirements=("pykka",))
MACHINE = {"processor": "abacus", "python": "CPython", "cores": "2", "time": "noon"}


def comparison(goal: Goal | None = None, **more: Any) -> Comparison:
    work = Workload(
        "counting",
        "kernel",
        "telling",
        (Metric("per_s", "/s", "higher"), Metric("stop_s", "s", "lower")),
        Size(10),
        Size(1),
        "floor",
        goal,
    )
    taken = [
        Sample("counting", "ours", 0, {"per_s": 2e6, "stop_s": 0.5}, **more),
        Sample("counting", "floor", 0, {"per_s": 5e6, "stop_s": 0.1}),
    ]
    return compare(work, [OURS, FLOOR], taken)


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (1_650_000.0, "/s", "1.65 M/s"),
        (438.0, "/s", "438 /s"),
        (917.8, "B", "918 B"),
        (22_444.0, "B", "22.4 kB"),
        (0.0612, "s", "0.0612 s"),
        (1_243.0, "us", "1,243 us"),
    ],
)
def test_a_quantity_has_three_digits_and_its_unit(value: float, unit: str, expected: str) -> None:
    assert quantity(value, unit) == expected


def test_a_ratio_that_is_not_known_is_left_out() -> None:
    assert times(None) == ""
    assert times(2.5) == "2.50x"
    assert times(1234.5) == "1,234x"


def test_the_table_shows_machine_median_cost_and_what_is_missing() -> None:
    probes = [
        Probe(OURS, frozenset({"counting"}), {"pykka": "4.5.0"}),
        Probe(PEER, missing="not installed; python -m benchmarks peers install peer"),
    ]
    text = table(MACHINE, probes, [comparison(Goal(3e6))], 1)
    assert "processor: abacus" in text
    assert "ours: pykka 4.5.0" in text
    assert "peer: not installed; python -m benchmarks peers install peer" in text
    (ours,) = [line for line in text.splitlines() if line.startswith("ours ")]
    assert ours.split()[:2] == ["ours", "2"]
    assert "2.50x" in ours
    assert "stop 0.5 s" in ours
    assert "goal: at least 3 M/s; here 2 M/s: not reached" in text


def test_a_smoke_run_compares_with_no_goal() -> None:
    assert "goal" not in table(MACHINE, [], [comparison(Goal(3e6))], 1, goals=False)


def test_a_goal_may_be_a_cost_in_times_of_the_floor() -> None:
    assert goal_line(comparison(Goal(3.0, times_floor=True))) == (
        "goal: at most 3 times the floor's cost; here 2.50x: reached"
    )


def test_a_failed_system_is_a_line_of_its_own() -> None:
    work = comparison().workload
    failed = compare(work, [PEER], [Sample("counting", "peer", 0, failure="segfault")])
    text = table(MACHINE, [], [failed], 1)
    assert "peer  failed: segfault" in text


def test_a_histogram_shows_even_one_latency_in_a_million() -> None:
    counts = [0] * BUCKETS
    counts[3], counts[9] = 1_000_000, 1
    assert bar_chart(counts) == "   █     ▁"


def test_the_json_holds_summary_and_every_sample() -> None:
    counts = [1] + [0] * (BUCKETS - 1)
    found = comparison(Goal(3e6), histograms={"tick": counts})
    sample = Sample("counting", "ours", 0, {"per_s": 2e6, "stop_s": 0.5})
    content = json.loads(json.dumps(as_json(MACHINE, [Probe(OURS)], [found], [sample], 1)))
    (workload,) = content["workloads"]
    assert workload["name"] == "counting"
    assert workload["goal"] == 3e6
    ours = next(system for system in workload["systems"] if system["name"] == "ours")
    assert ours["figures"]["per_s"]["median"] == 2e6
    assert ours["cost"] == pytest.approx(2.5)
    assert ours["histograms"]["tick"] == counts
    assert len(content["bucket_edges_us"]) == BUCKETS
    assert content["samples"] == [
        {
            "workload": "counting",
            "system": "ours",
            "round": 0,
            "figures": {"per_s": 2e6, "stop_s": 0.5},
            "failure": "",
        }
    ]
