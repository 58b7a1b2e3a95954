"""Engines killed at random instants while they run code: no recorded call runs again, and none is lost.

Real processes, a real store, SIGKILL. ``AGENTICAI_CRASH_KILLS`` raises the number of kills.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from .rules import CLOCK_S
from .test_sigkill import POSTGRES, effects_of, journals_of, run_lives

NURSERY = Path(__file__).with_name("code_nursery.py")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="lives are forked")

ENDS = {"step_completed", "step_failed", "step_retrying"}


def check_code(runs: dict[str, Any], effects: list[dict[str, Any]], expected: int) -> int:
    """Nothing that is recorded ran again, or is lost; return how much ran more than once."""
    assert len(runs) == expected
    ended: dict[tuple[str, str, int, bool], float] = {}
    for run_id, (row, entries) in runs.items():
        n = int(run_id[1:])
        assert row.state == ("failed" if n % 3 == 0 else "completed"), (run_id, row)
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1)), run_id
        ends = Counter(e.step for e in entries if e.kind in ("step_completed", "step_failed"))
        assert set(ends.values()) == {1}, (run_id, ends)
        undone = [e.step for e in entries if e.kind == "compensation_completed"]
        if n % 3 == 0:
            assert undone[-1] == "first"
            assert sorted(undone) == sorted([*(f"{b}.branch" for b in range(5)), "first"])
        else:
            assert not undone
        for e in entries:
            if e.kind in ENDS:
                ended[run_id, e.step, e.attempt, False] = e.at
            elif e.kind == "compensation_completed":
                ended[run_id, e.step, 0, True] = e.at
    ran: dict[tuple[str, str, int, bool], list[int]] = {}
    for effect in effects:
        if effect["kind"] == "end":
            continue
        undo = effect["kind"] == "undo"
        what = (effect["run"], effect["step"], 0 if undo else effect["attempt"], undo)
        assert what in ended, f"{what} ran, and the journal does not know how it ended"
        late_s = effect["at"] - ended[what]
        assert late_s <= CLOCK_S, f"{what} ran again {late_s:.4f} s after it had ended: {effect}"
        ran.setdefault(what, []).append(effect["life"])
    works = ("first", "branch", "asked", "blocking", "broken", "last", "flaky")
    for what in ended:
        if what[3] or what[1].rpartition(".")[2] in works:
            assert what in ran, f"{what} has ended in the journal, and never ran"
    return sum(len(lives) - 1 for lives in ran.values())


def die_and_check(tmp_path: Path, url: str, engines: int, **more: Any) -> None:
    told = run_lives(tmp_path, url, engines, nursery=str(NURSERY), **more)
    runs = asyncio.run(journals_of(url))
    again = check_code(runs, effects_of(tmp_path), told["runs"])
    print(
        f"{told['killed']} kills, {told['runs']} runs of code, {again} attempts cut off and "
        f"repeated; the last life took {told['last_s']:.1f} s"
    )


@pytest.mark.parametrize("engines", [1, 2])
def test_sigkill_of_code_on_sqlite(tmp_path: Path, engines: int) -> None:
    die_and_check(tmp_path, f"sqlite:///{tmp_path}/crash.sqlite", engines, longest_s=0.6)


@pytest.mark.skipif(not POSTGRES, reason="AGENTICAI_TEST_POSTGRES names no server")
@pytest.mark.parametrize("engines", [1, 2])
def test_sigkill_of_code_on_postgresql(tmp_path: Path, engines: int) -> None:
    joint = "&" if "?" in POSTGRES else "?"
    url = f"{POSTGRES}{joint}schema=crash_code_{os.getpid()}_{engines}"
    die_and_check(tmp_path, url, engines, longest_s=0.8, lease_seconds=3.0)
