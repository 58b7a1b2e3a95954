"""The picture."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from benchmarks.catalog import System
from benchmarks.measure import BUCKETS
from benchmarks.plot import COLOURS, MOST_HEIGHT, axis_for, svgs
from benchmarks.runner import Sample
from benchmarks.summary import Comparison, compare
from benchmarks.workloads import Goal, Metric, Size, Workload

OURS = System("ours", "ours", "ours_kernel", ("kernel",))
FLOOR = System("floor", "floor", "floor_call", ("kernel",))
MACHINE = {"processor": "abacus & sons", "python": "CPython", "cores": "2", "time": "noon"}
SVG = "{http://www.w3.org/2000/svg}"


def comparison(histograms: dict[str, list[int]] | None = None) -> Comparison:
    metric = Metric("per_s", "/s", "higher")
    work = Workload("counting", "kernel", "a < b", (metric,), Size(10), Size(1), "floor", Goal(3e6))
    taken = [
        Sample("counting", "ours", 0, {"per_s": 2e6}, histograms or {}),
        Sample("counting", "ours", 1, {"per_s": 4e6}),
        Sample("counting", "floor", 0, {"per_s": 5e6}),
    ]
    return compare(work, [OURS, FLOOR], taken)


def draw(*comparisons: Comparison, goals: bool = True) -> ElementTree.Element:
    (picture,) = svgs(MACHINE, comparisons, goals=goals)
    return ElementTree.fromstring(picture)


def words(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def test_every_system_has_a_dot_in_its_colour_and_its_value_in_words() -> None:
    root = draw(comparison())
    fills = [circle.get("fill") for circle in root.iter(f"{SVG}circle")]
    # Three in the legend, then the two systems, the better one first.
    assert fills[3:] == [COLOURS["floor"], COLOURS["ours"]]
    assert {"ours", "floor", "3 M/s", "5 M/s", "1.00x"} <= set(words(root))


def test_the_better_rate_stands_further_right() -> None:
    circles = list(draw(comparison()).iter(f"{SVG}circle"))[3:]
    floor, ours = (float(circle.get("cx", "0")) for circle in circles)
    assert floor > ours


def test_words_with_markup_in_them_stay_words() -> None:
    found = words(draw(comparison()))
    assert any("a < b" in text for text in found)
    assert any("abacus & sons" in text for text in found)


def test_the_goal_is_drawn_for_full_runs_only() -> None:
    assert "goal" in words(draw(comparison()))
    assert "goal" not in words(draw(comparison(), goals=False))


def test_a_histogram_has_a_bar_for_each_bucket_that_is_not_empty() -> None:
    counts = [0] * BUCKETS
    counts[5], counts[20] = 100, 1
    root = draw(comparison({"tick": counts}))
    bars = [bar for bar in root.iter(f"{SVG}rect") if bar.get("fill") == COLOURS["ours"]]
    assert len(bars) == 2
    assert float(bars[0].get("height", "0")) > float(bars[1].get("height", "0")) > 1


def test_nothing_is_drawn_outside_of_the_picture() -> None:
    root = draw(comparison({"tick": [1] * BUCKETS}))
    width, height = float(root.get("width", "0")), float(root.get("height", "0"))
    for element in root.iter():
        for name, limit in (
            ("x", width),
            ("x2", width),
            ("cx", width),
            ("y", height),
            ("y2", height),
        ):
            if element.get(name) is not None:
                assert 0 <= float(element.get(name, "0")) <= limit


def test_many_workloads_are_pictures_of_a_page_each() -> None:
    pictures = [
        ElementTree.fromstring(picture)
        for picture in svgs(MACHINE, [comparison({"tick": [1] * BUCKETS})] * 25)
    ]
    assert len(pictures) > 2
    assert all(float(root.get("height", "0")) <= MOST_HEIGHT for root in pictures)
    assert sum(words(root).count("counting") for root in pictures) == 25
    assert all("this project" in words(root) for root in pictures)


def test_a_workload_without_figures_is_left_out() -> None:
    work = comparison().workload
    assert "counting" not in words(draw(compare(work, [OURS], [])))


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [([2e6, 5e6], 6, 7), ([0.02, 300.0], -2, 3), ([10.0], 1, 2), ([0.0], 0, 1), ([], 0, 1)],
)
def test_an_axis_spans_whole_powers_of_ten(values: list[float], low: int, high: int) -> None:
    axis = axis_for(values)
    assert (axis.low, axis.high) == (low, high)
