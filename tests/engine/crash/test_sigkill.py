"""Engines killed at random instants: no finished step runs again, and none is lost.

Real processes, a real store, SIGKILL. ``AGENTICAI_CRASH_KILLS`` raises the number of kills.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.patterns.engine.store import open_store

from .rules import check_effects, check_inner, check_journals, claims_of, ended_at

KILLS = int(os.environ.get("AGENTICAI_CRASH_KILLS", "12"))
POSTGRES = os.environ.get("AGENTICAI_TEST_POSTGRES", "")
NURSERY = Path(__file__).with_name("nursery.py")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="lives are forked")


def run_lives(
    tmp_path: Path, url: str, engines: int, nursery: str = str(NURSERY), **more: Any
) -> dict[str, Any]:
    """Let engines live and die; return what the nursery tells of them."""
    options = {
        "url": url,
        "log": str(tmp_path / "effects.log"),
        "kills": KILLS,
        "runs": 40,
        "more_runs": 40,
        "engines": engines,
        "longest_s": 0.25,
        "lease_seconds": 10.0,
        "seconds": 60 + KILLS * 3,
        "seed": 1,
        "epoch": time.time() - time.monotonic(),
        **more,
    }
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", nursery, json.dumps(options)],
        capture_output=True,
        text=True,
        timeout=options["seconds"] + 120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert told.get("last") == 0, (told, done.stderr[-3000:])
    assert told["killed"] >= min(3, KILLS), told
    return {**options, **told}


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


def check(tmp_path: Path, url: Callable[[int], str], engines: int, **more: Any) -> None:
    """Let engines die, until a kill has cut an attempt off: on a busy machine lives last longer."""
    longest_s = more.pop("longest_s", 0.25)
    for number in range(3):
        place = tmp_path / str(number)
        place.mkdir()
        again = die_and_check(place, url(number), engines, longest_s=longest_s, **more)
        if again or KILLS < 10:
            return
        longest_s *= 3
    raise AssertionError("no kill hit anything: the test has shown nothing")


def die_and_check(place: Path, url: str, engines: int, **more: Any) -> int:
    """Return how many attempts were cut off and repeated, having checked that all was as it must."""
    told = run_lives(place, url, engines, **more)
    runs = asyncio.run(journals_of(url))
    check_journals(runs, told["runs"])
    if told.get("flow") == "tools":
        again = check_inner(effects_of(place), runs, calls=5)
    else:
        again = check_effects(effects_of(place), ended_at(runs), claims_of(runs))
    print(
        f"{told['killed']} kills, {told['runs']} runs with {len(runs)} journals, "
        f"{again} attempts cut off and repeated; the last life took {told['last_s']:.1f} s"
    )
    return again


@pytest.mark.parametrize("engines", [1, 2])
def test_sigkill_at_random_instants_on_sqlite(tmp_path: Path, engines: int) -> None:
    check(tmp_path, lambda n: f"sqlite:///{tmp_path}/{n}/crash.sqlite", engines)


@pytest.mark.skipif(not POSTGRES, reason="AGENTICAI_TEST_POSTGRES names no server")
@pytest.mark.parametrize("engines", [1, 2])
def test_sigkill_at_random_instants_on_postgresql(tmp_path: Path, engines: int) -> None:
    joint = "&" if "?" in POSTGRES else "?"
    schema = f"crash_{os.getpid()}_{engines}"
    check(
        tmp_path,
        lambda n: f"{POSTGRES}{joint}schema={schema}_{n}",
        engines,
        longest_s=0.8,
        lease_seconds=3.0,
    )


@pytest.mark.parametrize("engines", [1, 2])
def test_no_inner_step_that_was_recorded_is_made_again_on_sqlite(
    tmp_path: Path, engines: int
) -> None:
    check(tmp_path, lambda n: f"sqlite:///{tmp_path}/{n}/crash.sqlite", engines, flow="tools")


@pytest.mark.skipif(not POSTGRES, reason="AGENTICAI_TEST_POSTGRES names no server")
def test_no_inner_step_that_was_recorded_is_made_again_on_postgresql(tmp_path: Path) -> None:
    joint = "&" if "?" in POSTGRES else "?"
    check(
        tmp_path,
        lambda n: f"{POSTGRES}{joint}schema=crash_inner_{os.getpid()}_{n}",
        engines=2,
        longest_s=0.8,
        lease_seconds=3.0,
        flow="tools",
    )
