"""Our supervisors do, step by step, what OTP's did: every recorded scenario is replayed."""

from __future__ import annotations

import copy
import gzip
import importlib.util
import json
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent


def load(name: str) -> ModuleType:
    """Import a module of this folder, which is no package."""
    full = f"otp_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, HERE / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[full] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[full]


adapter, comparison = load("adapter"), load("comparison")


def recorded(corpus: str) -> dict[str, list[Any]]:
    """Return the scenarios of *corpus* with their traces, by theme."""
    by_theme: dict[str, list[Any]] = defaultdict(list)
    with gzip.open(HERE / "data" / f"{corpus}.jsonl.gz", "rt") as lines:
        for line in lines:
            record = json.loads(line)
            by_theme[record["scenario"]["tags"][0]].append(record)
    return by_theme


RANDOM, SUITE, EXTRA = recorded("random"), recorded("suite"), recorded("extra")


def replay_all(records: list[Any]) -> None:
    for record in records:
        scenario = record["scenario"]
        ours = adapter.run(copy.deepcopy(scenario))
        found = comparison.difference(scenario, record["trace"], ours)
        assert found is None, f"{scenario['id']}: {found}"


@pytest.mark.parametrize("theme", sorted(RANDOM))
def test_random_trees_behave_as_in_otp(theme: str) -> None:
    replay_all(RANDOM[theme])


@pytest.mark.parametrize("case", sorted(SUITE))
def test_the_cases_of_otps_own_suite_behave_as_in_otp(case: str) -> None:
    replay_all(SUITE[case])


@pytest.mark.parametrize("theme", sorted(EXTRA))
def test_corners_that_the_others_leave_open_behave_as_in_otp(theme: str) -> None:
    replay_all(EXTRA[theme])


def test_all_recorded_scenarios_are_there() -> None:
    assert sum(len(records) for records in RANDOM.values()) == 600
    assert sum(len(records) for records in SUITE.values()) == 142
    assert sum(len(records) for records in EXTRA.values()) == 304


def test_the_comparison_sees_each_kind_of_difference() -> None:
    record = RANDOM["rest_for_one"][0]
    scenario, trace = record["scenario"], record["trace"]
    assert comparison.difference(scenario, trace, trace) is None
    for field, wrong in (
        ("ret", "something else"),
        ("events", [["exit", "root", 1, "oops"]]),
        ("signals", [["down", "root/x#1", "root/y#1", "oops"]]),
        ("reports", [["shutdown", "root", "x", "oops"]]),
    ):
        changed = copy.deepcopy(trace)
        changed["steps"][1][field] = wrong
        found = comparison.difference(scenario, trace, changed)
        assert found is not None
        assert field in found
    changed = copy.deepcopy(trace)
    changed["final"]["alive"] = ["root/nobody#1"]
    assert comparison.difference(scenario, trace, changed) is not None
