"""The same seed does the same thing: in this process, in another, with any hash seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agenticaiframework.actors.simulation import Report, Search, simulate_once

from .suite import SUITE, Entry

ROOT = Path(__file__).resolve().parents[2]


def hash_in_a_process(python: str, hash_seed: str) -> str:
    done = subprocess.run(
        [python, "-m", "tests.simulation.trace_hash"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return done.stdout.split()[-1]


def test_traces_do_not_depend_on_the_process_or_its_hash_seed() -> None:
    assert len({hash_in_a_process(sys.executable, seed) for seed in ("0", "1", "random")}) == 1


@pytest.mark.skipif(
    "AGENTICAI_PYTHONS" not in os.environ,
    reason="set AGENTICAI_PYTHONS to other interpreters with this library, separated by colons",
)
def test_traces_are_the_same_on_other_pythons() -> None:
    pythons = [sys.executable, *os.environ["AGENTICAI_PYTHONS"].split(os.pathsep)]
    hashes = {python: hash_in_a_process(python, "random") for python in pythons}
    assert len(set(hashes.values())) == 1, hashes


@pytest.mark.parametrize("entry", SUITE, ids=lambda entry: entry.name)
def test_a_run_repeats_itself_also_after_others(entry: Entry) -> None:
    search: Search = entry.search()
    first = [report for _, report in search.reports(25)]
    again = [report for _, report in entry.search().reports(25)]
    assert [r.trace_hash for r in first] == [r.trace_hash for r in again]

    def replay(report: Report) -> Report:
        return simulate_once(
            entry.scenario,
            seed=report.seed,
            plan=report.plan,
            schedule=report.schedule,
            checks=entry.checks,
            batched=report.batched,
            **entry.options,
        )

    # The first run has no seed's order; from the second on the recorded order gives the same trace.
    assert [replay(r).trace_hash for r in first[1:]] == [r.trace_hash for r in first[1:]]
