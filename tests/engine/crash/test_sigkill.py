"""Engines killed at random instants: no finished step runs again, and none is lost.

Real processes, a real store, SIGKILL. ``AGENTICAI_CRASH_KILLS`` raises the number of kills.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.patterns.engine import EventKind
from agenticaiframework.patterns.engine.store.urls import open_store

KILLS = int(os.environ.get("AGENTICAI_CRASH_KILLS", "25"))
POSTGRES = os.environ.get("AGENTICAI_TEST_POSTGRES", "")
NURSERY = Path(__file__).with_name("nursery.py")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="lives are forked")


def run_lives(tmp_path: Path, url: str, engines: int, **more: Any) -> dict[str, Any]:
    """Let engines live and die; return what the nursery tells of them."""
    options = {
        "url": url,
        "log": str(tmp_path / "effects.log"),
        "kills": KILLS,
        "runs": max(10, 3 * KILLS),
        "engines": engines,
        "longest_s": 0.25,
        "lease_seconds": 1.0,
        "seconds": 60 + KILLS * 3,
        "seed": 1,
        **more,
    }
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(NURSERY), json.dumps(options)],
        capture_output=True,
        text=True,
        timeout=options["seconds"] + 120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert told.get("last") == 0, (told, done.stderr[-3000:])
    assert told["killed"] >= min(3, KILLS), told
    return {**told, **options}


def effects_of(tmp_path: Path) -> list[dict[str, Any]]:
    lines = (tmp_path / "effects.log").read_text().splitlines()
    return [json.loads(line) for line in lines]


async def journals_of(url: str) -> dict[str, Any]:
    store = open_store(url)
    await store.open()
    try:
        ids: list[str] = []
        page = None
        while True:
            got = await store.list_runs(page=page, limit=500)
            ids += [row.run_id for row in got.rows]
            page = got.next
            if page is None:
                break
        rows = await store.load_runs(ids)
        entries = await store.read_journals(ids)
        return {run_id: (rows[run_id], entries[run_id]) for run_id in ids}
    finally:
        await store.close()


def check_journals(runs: dict[str, Any], expected: int) -> None:
    """Every run is there and has ended, and its journal is one line of events without a gap."""
    outer = [run_id for run_id in runs if ":" not in run_id]
    assert len(outer) == expected
    for run_id, (row, entries) in runs.items():
        if row.parent is not None and row.parent not in runs:
            continue
        assert row.state == "completed", (run_id, row)
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1)), run_id
        fences = [entry.fence for entry in entries]
        assert fences == sorted(fences), run_id
        ends = Counter(e.step for e in entries if e.kind == EventKind.STEP_COMPLETED)
        assert set(ends.values()) == {1}, (run_id, ends)
        kinds = Counter(entry.kind for entry in entries)
        assert kinds[EventKind.WORKFLOW_COMPLETED] == 1
        assert entries[-1].kind == EventKind.WORKFLOW_COMPLETED
        items = Counter(e.data["item"] for e in entries if e.kind == EventKind.ITEM_COMPLETED)
        assert set(items.values()) <= {1}, (run_id, items)


def ended_at(runs: dict[str, Any]) -> dict[str, float]:
    """When the journal says that the work with each idempotency key had ended."""
    found: dict[str, float] = {}
    for run_id, (_, entries) in runs.items():
        iteration: dict[str, int] = defaultdict(lambda: 1)
        for entry in entries:
            data = entry.data or {}
            step = entry.step
            if entry.kind == EventKind.ITEM_COMPLETED:
                step += f"[{data['item']}]"
            elif entry.kind not in (
                EventKind.STEP_COMPLETED,
                EventKind.STEP_ITERATED,
                EventKind.STEP_RETRYING,
            ):
                continue
            elif iteration[entry.step] > 1:
                step += f"#{iteration[entry.step]}"
            found[f"{run_id}:{step}:{entry.attempt}"] = entry.at
            if entry.kind == EventKind.STEP_ITERATED:
                iteration[entry.step] += 1
    return found


def check_effects(effects: list[dict[str, Any]], ends: dict[str, float]) -> int:
    """Nothing that had ended was begun again; return how much of it ran more than once."""
    begun = [effect for effect in effects if effect["kind"] == "begin"]
    for effect in begun:
        key = effect["key"]
        assert key in ends, f"{key} ran, and the journal does not know how it ended"
        assert effect["at"] <= ends[key] + 0.002, f"{key} ran again after it had ended: {effect}"
    done = {effect["key"] for effect in begun}
    for key in ends:
        step = key.split(":")[-2]
        if step not in ("each", "pause", "nested"):
            assert key in done, f"{key} has ended in the journal, and never ran"
    once = Counter((effect["life"], effect["key"]) for effect in begun)
    assert set(once.values()) == {1}, once.most_common(3)
    # A life that goes on with a run repeats at most what was under way in it: one step, or the items.
    first: dict[str, int] = {}
    repeated: Counter[tuple[int, str]] = Counter()
    for effect in begun:
        key = effect["key"]
        if first.setdefault(key, effect["life"]) != effect["life"]:
            repeated[effect["life"], effect["run"]] += 1
            limit = 3 if effect["step"] == "each" else 1
            assert repeated[effect["life"], effect["run"]] <= max(limit, 3), effect
    return sum(repeated.values())


def check(tmp_path: Path, url: str, engines: int, **more: Any) -> None:
    told = run_lives(tmp_path, url, engines, **more)
    runs = asyncio.run(journals_of(url))
    check_journals(runs, told["runs"])
    again = check_effects(effects_of(tmp_path), ended_at(runs))
    print(
        f"{told['killed']} kills, {told['runs']} runs with {len(runs)} journals, "
        f"{again} attempts cut off and repeated; the last life took {told['last_s']:.1f} s"
    )
    if KILLS >= 20:
        assert again > 0, "no kill hit anything: the test has shown nothing"


@pytest.mark.parametrize("engines", [1, 2])
def test_sigkill_at_random_instants_on_sqlite(tmp_path: Path, engines: int) -> None:
    check(tmp_path, f"sqlite:///{tmp_path}/crash.sqlite", engines)


@pytest.mark.skipif(not POSTGRES, reason="AGENTICAI_TEST_POSTGRES names no server")
@pytest.mark.parametrize("engines", [1, 2])
def test_sigkill_at_random_instants_on_postgresql(tmp_path: Path, engines: int) -> None:
    joint = "&" if "?" in POSTGRES else "?"
    url = f"{POSTGRES}{joint}schema=crash_{os.getpid()}_{engines}"
    check(tmp_path, url, engines, runs=KILLS, longest_s=1.2, lease_seconds=0.5)
