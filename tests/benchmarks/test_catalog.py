"""The data that the harness runs on: workloads, systems, and their plug-ins."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import benchmarks
from benchmarks.catalog import SYSTEMS, System, UnknownName, system_named
from benchmarks.workloads import SUITES, WORKLOADS, Workload

PLUGINS = Path(benchmarks.__file__).parent / "systems"
KNOWN = {workload.name: workload for workload in WORKLOADS}
# Not measured by itself: it is killed for the sake of `recovery`.
HELPERS = {"victim"}


def offered(system: System) -> set[str]:
    """Read the keys of a plug-in's WORKLOADS without importing it, as its package may be missing."""
    tree = ast.parse((PLUGINS / f"{system.module}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "WORKLOADS":
            assert isinstance(node.value, ast.Dict)
            return {ast.literal_eval(key) for key in node.value.keys if key is not None}
    raise AssertionError(f"{system.module} has no WORKLOADS")


def test_names_are_unique() -> None:
    assert len({system.name for system in SYSTEMS}) == len(SYSTEMS)
    assert len(KNOWN) == len(WORKLOADS)


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_a_plugin_offers_known_workloads_of_its_suites(system: System) -> None:
    names = offered(system) - HELPERS
    assert names <= set(KNOWN)
    assert {KNOWN[name].suite for name in names} >= set(system.suites)


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_a_workload_has_its_floor_and_this_project(workload: Workload) -> None:
    assert workload.suite in SUITES
    assert workload.name in offered(system_named(workload.floor))
    assert system_named(workload.floor).kind == "floor"
    ours = [system for system in SYSTEMS if system.kind == "ours"]
    assert any(workload.name in offered(system) for system in ours)


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_a_smoke_run_is_smaller(workload: Workload) -> None:
    assert workload.smoke.operations < workload.full.operations


def test_a_slow_system_does_fewer_operations_but_never_less_than_one_round() -> None:
    ring = KNOWN["fork-join"]
    assert ring.size(False).operations == 200_000
    assert ring.size(False, speed=0.1).operations == 20_000
    assert ring.size(True, speed=0.001).operations == ring.smoke.least == 1_000


def test_what_would_lie_when_scaled_is_not_scaled() -> None:
    assert KNOWN["million"].size(False, speed=0.01).operations == 1_000_000


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_only_peers_bring_packages_and_those_are_pinned(system: System) -> None:
    if system.kind != "peer":
        assert not system.requirements
        assert not system.debian
        return
    assert system.requirements or system.debian
    assert all(any(mark in text for mark in ("==", ">=")) for text in system.requirements)


def test_an_unknown_system_is_answered_with_near_names() -> None:
    with pytest.raises(UnknownName, match=r"no system 'pyka'\. Perhaps: .*pykka"):
        system_named("pyka")
