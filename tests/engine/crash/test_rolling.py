"""Two processes on one store are rolled under load: nothing is lost, repeated or left without an answer.

``AGENTICAI_ROLLS`` says how often one of them is replaced.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from .test_sigkill import journals_of

ROLLS = int(os.environ.get("AGENTICAI_ROLLS", "10"))
CLIENTS = 4

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="signals are another thing there"),
]


class Service:
    """Two processes, of which one at a time is replaced."""

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self.log = log
        self.number = 0
        self.ended: list[dict[str, Any]] = []

    def begin(self, clients: int = CLIENTS) -> subprocess.Popen[str]:
        self.number += 1
        options = {
            "url": self.url,
            "log": str(self.log),
            "name": f"process-{self.number}",
            "clients": clients,
        }
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("rolled.py")), json.dumps(options)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def end(self, process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=300)
        assert process.returncode == 0
        self.ended.append(json.loads(out.splitlines()[-1]))

    def roll(self, times: int) -> None:
        processes = [self.begin(), self.begin()]
        for number in range(times):
            time.sleep(0.3)
            processes.append(self.begin())
            self.end(processes.pop(0))
            assert len(processes) == 2, number
        # The last two end while one without clients of its own finishes what they leave.
        last = self.begin(clients=0)
        for process in processes:
            self.end(process)
        self._until_all_has_ended()
        self.end(last)

    def _until_all_has_ended(self) -> None:
        until = time.monotonic() + 300
        while time.monotonic() < until:
            rows = asyncio.run(journals_of(self.url))
            if all(row.finished for row, _ in rows.values()):
                return
            time.sleep(0.2)


def test_two_processes_rolled_under_load_lose_and_repeat_nothing(url: str, tmp_path: Path) -> None:
    service = Service(url, tmp_path / "log")
    service.roll(ROLLS)
    begun: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    taken_in: set[str] = set()
    for line in service.log.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        begun[entry.get("begun", "")] += 1
        ended[entry.get("ended", "")] += 1
        taken_in.add(entry.get("taken_in", ""))
    del begun[""], ended[""]
    taken_in.discard("")
    runs = asyncio.run(journals_of(url))
    unfinished = {
        run_id: row.state for run_id, (row, _) in runs.items() if row.state != "completed"
    }
    assert not unfinished
    assert taken_in <= set(runs), "what was acknowledged is stored"
    assert [key for key, count in ended.items() if count > 1] == [], "nothing finished is repeated"
    reports = [report for one in service.ended for report in one["report"]]
    cut_off = sum(len(report["cut_off"]) for report in reports)
    assert begun == ended, "and nothing was cut off"
    assert cut_off == 0
    assert sum(len(report["held_on"]) for report in reports) == 0
    answers: Counter[str] = Counter()
    for one in service.ended:
        answers.update(one["answers"])
        assert one["unanswered"] == 0
    parked = sum(len(report["parked"]) for report in reports)
    longest = max(report["duration_s"] for report in reports)
    assert parked, "there was something to give to the other process"
    print(
        f"{len(service.ended)} processes ended: {len(runs)} runs completed, {len(ended)} steps once each; "
        f"{parked} runs given to another process, longest drain {longest:.2f} s; clients: {dict(answers)}"
    )
