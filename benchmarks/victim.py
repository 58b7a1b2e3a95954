"""Kill a process in the middle of its workflows, for the recovery workload.

A plug-in that takes part offers ``victim`` beside ``recovery``: it brings ``job.operations`` workflows into their
second step, calls `say_ready`, and never ends by itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.protocol import Job

READY = "victim-is-ready"
DEADLINE_S = 60.0


class VictimFailed(Exception):
    """The process to be killed did not get halfway."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"The process that should be killed halfway {why}; there is nothing to recover."
        )


def say_ready(job: Job) -> None:
    """Tell the waiting `kill_halfway` that every workflow is in its second step."""
    (job.scratch / READY).touch()


def kill_halfway(module: str, job: Job, environment: Mapping[str, str] | None = None) -> None:
    """Run the plug-in's ``victim`` on the same scratch directory and end it by SIGKILL once it is ready."""
    request = {
        "module": module.rpartition(".")[2],
        "workload": "victim",
        "operations": job.operations,
        "actors": job.actors,
        "scratch": str(job.scratch),
        "options": dict(job.options),
    }
    child = Path(__file__).with_name("child.py")
    process = subprocess.Popen(
        [sys.executable, "-P", str(child), json.dumps(request)],
        stdout=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )
    end = time.monotonic() + DEADLINE_S
    try:
        while not (job.scratch / READY).exists():
            if process.poll() is not None:
                raise VictimFailed(f"ended with exit code {process.returncode}")
            if time.monotonic() > end:
                raise VictimFailed(f"was not ready after {DEADLINE_S:g} s")
            time.sleep(0.005)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
