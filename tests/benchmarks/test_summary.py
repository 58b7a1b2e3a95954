"""Medians, spreads and ratios of samples."""

from __future__ import annotations

import pytest

from benchmarks.catalog import System
from benchmarks.runner import Sample
from benchmarks.summary import added, compare, figure, times_better
from benchmarks.workloads import Metric, Size, Workload

RATE = Metric("per_s", "/s", "higher")
BYTES = Metric("bytes", "B", "lower")
OURS = System("ours", "ours", "ours_kernel", ("kernel",))
FLOOR = System("floor", "floor", "floor_call", ("kernel",))
PEER = System("peer", "peer", "pykka_threads", ("kernel",))


def workload(metric: Metric) -> Workload:
    return Workload("work", "kernel", "some work", (metric,), Size(10), Size(1), "floor")


def samples(system: str, metric: Metric, *values: float) -> list[Sample]:
    return [Sample("work", system, i, {metric.name: value}) for i, value in enumerate(values)]


def test_a_figure_is_the_median_with_the_range_of_the_rounds() -> None:
    found = figure(RATE, [30.0, 10.0, 20.0])
    assert (found.median, found.low, found.high, found.rounds) == (20.0, 10.0, 30.0, 3)
    assert found.spread == pytest.approx(1.0)


def test_a_median_of_nothing_has_no_spread() -> None:
    assert figure(BYTES, [0.0, 0.0]).spread == 0.0


def test_better_is_higher_for_rates_and_lower_for_bytes() -> None:
    assert times_better(RATE, 200.0, 100.0) == 2.0
    assert times_better(BYTES, 200.0, 100.0) == 0.5
    assert times_better(BYTES, 0.0, 100.0) is None


def test_ratios_compare_the_samples_of_the_same_round() -> None:
    # The machine was three times as slow in the second round; the ratio does not see it.
    taken = [
        *samples("ours", RATE, 50.0, 17.0, 50.0),
        *samples("floor", RATE, 100.0, 34.0, 100.0),
        *samples("peer", RATE, 10.0, 3.4, 10.0),
    ]
    rows = {
        row.system.name: row for row in compare(workload(RATE), [OURS, FLOOR, PEER], taken).rows
    }
    assert rows["ours"].cost == pytest.approx(2.0)
    assert rows["floor"].cost == pytest.approx(1.0)
    assert rows["peer"].ours_better == pytest.approx(5.0)
    assert rows["ours"].ours_better is None


def test_a_cost_in_bytes_is_how_many_times_as_big() -> None:
    taken = [*samples("ours", BYTES, 400.0), *samples("floor", BYTES, 100.0)]
    rows = {row.system.name: row for row in compare(workload(BYTES), [OURS, FLOOR], taken).rows}
    assert rows["ours"].cost == pytest.approx(4.0)
    assert rows["floor"].ours_better == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("metric", "order"), [(RATE, ["floor", "ours", "peer"]), (BYTES, ["peer", "ours", "floor"])]
)
def test_the_best_comes_first(metric: Metric, order: list[str]) -> None:
    taken = [
        *samples("peer", metric, 1.0),
        *samples("ours", metric, 2.0),
        *samples("floor", metric, 3.0),
    ]
    found = compare(workload(metric), [PEER, OURS, FLOOR], taken)
    assert [row.system.name for row in found.rows] == order


def test_a_system_that_failed_comes_last_with_its_reason() -> None:
    taken = [
        Sample("work", "peer", 0, failure="no answer within 60 s"),
        *samples("floor", RATE, 5.0),
    ]
    found = compare(workload(RATE), [PEER, FLOOR], taken)
    assert [(row.system.name, row.failure) for row in found.rows] == [
        ("floor", ""),
        ("peer", "no answer within 60 s"),
    ]


def test_one_failed_round_does_not_hide_the_others() -> None:
    taken = [*samples("peer", RATE, 5.0), Sample("work", "peer", 1, failure="lost")]
    (row,) = compare(workload(RATE), [PEER], taken).rows
    assert row.figures[0].rounds == 1
    assert row.failure == "lost"


def test_samples_of_other_workloads_do_not_count() -> None:
    taken = [Sample("other", "peer", 0, {"per_s": 1.0})]
    assert compare(workload(RATE), [PEER], taken).rows == ()


def test_histograms_of_the_rounds_are_added_up() -> None:
    assert added([{"tick": [1, 0]}, {"tick": [2, 5], "http": [1, 1]}]) == {
        "tick": [3, 5],
        "http": [1, 1],
    }
