"""Runs of code that only wait: what they keep."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_a_run_that_only_waits_keeps_less_than_a_kilobyte() -> None:
    service = Path(__file__).with_name("parked_service.py")
    done = subprocess.run(
        [sys.executable, str(service)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["bytes"] < 1_024
    assert "CodeWorker" not in found["busy"]
    assert "RunCoordinator" not in found["busy"]
    assert found["result"] == [{"n": 7}, True]
