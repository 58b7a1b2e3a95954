"""Erlang/OTP: the workloads of ``erlang/bench.erl``, compiled into the scratch directory and run by ``erl``."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from benchmarks.protocol import Job, Outcome

DISTRIBUTIONS: tuple[str, ...] = ()

SOURCE = Path(__file__).with_name("erlang") / "bench.erl"
MOST_PROCESSES = 4_000_000


def versions(options: Mapping[str, str]) -> dict[str, str]:
    """Return OTP's release and the number of schedulers; `FileNotFoundError` where there is no ``erl``."""
    said = subprocess.run(
        ["erl", "-noinput", "-eval", "io:format(erlang:system_info(otp_release)), halt()."],
        capture_output=True,
        text=True,
        check=True,
    )
    return {"OTP": said.stdout.strip(), "schedulers": schedulers(options)}


def schedulers(options: Mapping[str, str]) -> str:
    """Return how many schedulers to run: those asked for, else one a core that may be used."""
    return options.get("schedulers") or str(len(os.sched_getaffinity(0)))


def run(name: str, job: Job) -> Outcome:
    """Compile, run one workload in a fresh emulator, and read its figures."""
    subprocess.run(["erlc", "-o", str(job.scratch), str(SOURCE)], check=True)
    count = schedulers(job.options)
    emulator = [
        "erl",
        "+S",
        f"{count}:{count}",
        "+P",
        str(MOST_PROCESSES),
        "+t",
        str(MOST_PROCESSES),
    ]
    quiet = ["-noinput", "-kernel", "logger_level", "none", "-pa", str(job.scratch)]
    work = ["-run", "bench", "main", name, str(job.operations), str(job.actors)]
    said = subprocess.run([*emulator, *quiet, *work], stdout=subprocess.PIPE, text=True, check=True)
    pairs = (pair.split("=") for pair in said.stdout.split())
    return Outcome({metric: float(value) for metric, value in pairs})


WORKLOADS = {
    "big": partial(run, "big"),
    "big-async": partial(run, "big"),
    "counting": partial(run, "counting"),
    "counting-async": partial(run, "counting"),
    "crash-restart": partial(run, "crash_restart"),
    "fork-join": partial(run, "fork_join"),
    "fork-join-async": partial(run, "fork_join"),
    "idle": partial(run, "idle"),
    "idle-linked": partial(run, "idle_linked"),
    "idle-used": partial(run, "idle_used"),
    "million": partial(run, "million"),
    "ping-pong": partial(run, "ping_pong"),
    "restart-among": partial(run, "restart_among"),
    "ring": partial(run, "ring"),
    "ring-async": partial(run, "ring"),
    "spawn": partial(run, "spawn"),
    "spawn-stop": partial(run, "spawn_stop"),
    "tree": partial(run, "tree"),
}
