"""A model agent killed by SIGKILL at every instant of its tool loop: nothing that was paid for is paid again.

Real processes, a real store, a provider in a process of its own that counts. ``AGENTICAI_LOOP_KILLS=1``
kills at every instant; else at every third.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")
pytest.importorskip("openai")

sys.path.insert(0, str(Path(__file__).parent))
from provider import Script, calls, provider_process, turns

POSTGRES = os.environ.get("AGENTICAI_TEST_POSTGRES", "")
EVERY = int(os.environ.get("AGENTICAI_LOOP_KILLS", "3"))
LIVES = Path(__file__).with_name("tool_loop_lives.py")

LOOP = turns(
    calls(("act", {"n": 1})),
    calls(("act", {"n": 2}), ("block", {"n": 3}), ("act", {"n": 4})),
    calls(("gated", {"n": 5}), ("act", {"n": 6})),
    "all done",
)
REQUESTS = 4
TOOLS = 6

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="lives are forked")


def lives(
    folder: Path, url: str, script: Script, *, stream: bool, agent: str = "worker", **more: Any
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the runs, what the tools did, and what the provider was asked."""
    log = folder / "effects.log"
    with provider_process(script) as server:
        options = {
            "url": url,
            "log": str(log),
            "provider": server.url,
            "stream": stream,
            "agent": agent,
            "lease_seconds": 1.0,
            "every": EVERY,
            **more,
        }
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", str(LIVES), json.dumps(options)],
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-500:]
        runs = [json.loads(line) for line in done.stdout.splitlines()]
        effects = [json.loads(line) for line in log.read_text().splitlines()]
        return runs, effects, server.seen


def check(
    runs: list[dict[str, Any]], effects: list[dict[str, Any]], seen: list[dict[str, Any]]
) -> None:
    """Hold what was done against where each run was killed."""
    asked: dict[str, Counter[int]] = {}
    for body in seen:
        first = next(m for m in body["messages"] if m["role"] == "user")
        run = first["content"]
        asked.setdefault(run, Counter())[
            sum(m["role"] == "assistant" for m in body["messages"])
        ] += 1
    assert len(runs) > 5
    assert sum(run["killed"] for run in runs) == len(runs) - 1
    cut_off = spared = 0
    for run in runs:
        name = run["run"]
        assert json.loads(run["result"]) == "all done", run
        mine = [one for one in effects if one["run"] == name]
        at = next((one["at"] for one in mine if one["kind"] == "killed"), "")
        places = {place.rpartition("/")[2] for place in run["recorded"]}
        for number, times in asked[name].items():
            recorded = f"request-{number + 1}" in places
            assert times == 1 or (times == 2 and not recorded), (at, number, times, places)
        assert set(asked[name]) == set(range(REQUESTS)), (at, asked[name])
        done = Counter(one["key"] for one in mine if one["kind"] == "tool")
        assert len(done) == TOOLS, (at, done)  # one that is repeated has the same key
        for key, times in done.items():
            recorded = key.rpartition("/")[2] in places
            assert times == 1 or (times == 2 and not recorded), (at, key, times, places)
        # What is recorded counts once, and what the kill took from the record is asked for again.
        spent = next(one for one in mine if one["kind"] == "usage")
        assert (spent["requests"], spent["tool_calls"]) == (REQUESTS, TOOLS), (at, spent)
        if run["killed"]:
            cut_off += sum(times - 1 for times in [*done.values(), *asked[name].values()])
            spared += len(places)
    assert cut_off, "no kill hit anything: the test has shown nothing"
    assert spared


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_killed_at_every_instant_on_sqlite(tmp_path: Path, stream: bool) -> None:
    check(*lives(tmp_path, f"sqlite:///{tmp_path}/loop.sqlite", LOOP, stream=stream))


def test_killed_behind_another_agent_on_sqlite(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/loop.sqlite"
    check(*lives(tmp_path, url, LOOP, stream=True, agent="lead", every=max(EVERY, 2)))


@pytest.mark.skipif(not POSTGRES, reason="AGENTICAI_TEST_POSTGRES names no server")
def test_killed_at_every_instant_on_postgresql(tmp_path: Path) -> None:
    joint = "&" if "?" in POSTGRES else "?"
    url = f"{POSTGRES}{joint}schema=loop_{os.getpid()}"
    check(*lives(tmp_path, url, LOOP, stream=True, lease_seconds=0.5, every=max(EVERY, 2)))
