"""Hostile inputs by the million: ``python -m tests.fuzz --inputs 1000000``."""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import resource
import sys
import time

from .entries import ENTRIES
from .running import Found, run

CHUNK = 2_000
DEAR_INPUTS = 100_000
SLOWEST_S = 0.1


def work(index: int, first: int, count: int) -> tuple[list[Found], int]:
    """Return the faults of one entry over some seeds, and the process's largest size in kB."""
    found = list(run(ENTRIES[index], range(first, first + count), SLOWEST_S))
    return found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> int:
    """Run the command; the exit code is 1 if a fault was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="inputs for each cheap entry")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("entries", nargs="*", help="all, if none is named")
    given = parser.parse_args()
    failed = False
    with concurrent.futures.ProcessPoolExecutor(given.processes) as pool:
        for index, entry in enumerate(ENTRIES):
            if given.entries and entry.name not in given.entries:
                continue
            inputs = given.inputs if entry.cheap else min(given.inputs, DEAR_INPUTS)
            began, faults, largest = time.monotonic(), 0, 0
            chunks = [
                pool.submit(work, index, given.seed + first, min(CHUNK, inputs - first))
                for first in range(0, inputs, CHUNK)
            ]
            for chunk in concurrent.futures.as_completed(chunks):
                found, size_kb = chunk.result()
                largest = max(largest, size_kb)
                for fault in found:
                    faults += 1
                    if faults <= 3:
                        print(f"{fault.entry}, seed {fault.seed}: {fault.what}", flush=True)
            failed = failed or faults > 0
            spent = time.monotonic() - began
            print(
                f"{entry.name}: {inputs:,} inputs in {spent:.0f} s, {faults} faults, {largest // 1024} MB"
            )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
