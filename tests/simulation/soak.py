"""Runs the suite over very many schedules: ``python -m tests.simulation.soak --schedules 1000000``.

Seeds are dealt out in chunks, to one process a core. The first violation of each property is
shrunk, printed and saved; the summary says how many schedules ran, which faults landed how often,
and how many violations there were. The exit code is 1 if there was one.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from agenticaiframework.actors.simulation import SearchResult

from .suite import SUITE

CHUNK = 500


def run_chunk(index: int, seed: int, runs: int) -> tuple[int, SearchResult]:
    """Make *runs* schedules of one property from *seed* on."""
    return index, SUITE[index].search().run(runs, seed=seed)


def chunks(schedules: int, seed: int, names: list[str]) -> Iterator[tuple[int, int, int]]:
    """Yield (property, first seed, runs), dealt out by weight until *schedules* are dealt."""
    chosen = [(n, entry) for n, entry in enumerate(SUITE) if not names or entry.name in names]
    left = schedules
    while left > 0:
        for index, entry in chosen:
            for _ in range(entry.weight):
                runs = min(CHUNK, left)
                if runs <= 0:
                    return
                yield index, seed, runs
                left -= runs
                seed += CHUNK


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--schedules", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seconds", type=float, default=None, help="stop after this long")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--directory", type=Path, default=Path(".simulation"))
    parser.add_argument("names", nargs="*", help="properties; all, if none is named")
    given = parser.parse_args(arguments)
    unknown = set(given.names) - {entry.name for entry in SUITE}
    if unknown:
        parser.error(
            f"no property {', '.join(sorted(unknown))}; there are "
            + ", ".join(entry.name for entry in SUITE)
        )
    began = time.monotonic()
    total = SearchResult()
    of_each = [SearchResult() for _ in SUITE]
    told = began
    failed: set[int] = set()
    work = chunks(given.schedules, given.seed, given.names)
    with concurrent.futures.ProcessPoolExecutor(given.processes) as pool:
        running: set[concurrent.futures.Future[tuple[int, SearchResult]]] = set()
        while True:
            late = given.seconds is not None and time.monotonic() - began > given.seconds
            while not late and len(running) < 2 * given.processes:
                try:
                    running.add(pool.submit(run_chunk, *next(work)))
                except StopIteration:
                    break
            if not running:
                break
            done, running = concurrent.futures.wait(
                running, return_when=concurrent.futures.FIRST_COMPLETED
            )
            for future in done:
                index, result = future.result()
                failure, result.failure = result.failure, None
                total.add(result)
                of_each[index].add(result)
                if failure is not None and index not in failed:
                    failed.add(index)
                    saved = failure.save(given.directory / f"{SUITE[index].name}.json")
                    print(f"\n{SUITE[index].name}: {failure}\nSaved as {saved}\n", flush=True)
            if time.monotonic() - told > 30:
                told = time.monotonic()
                print(f"{told - began:6.0f} s  {total.runs} schedules", file=sys.stderr, flush=True)
    _summarise(total, of_each, failed, time.monotonic() - began)
    return 1 if failed else 0


def _summarise(
    total: SearchResult, of_each: list[SearchResult], failed: set[int], took_s: float
) -> None:
    print(f"{'property':<24}{'schedules':>12}{'messages':>14}  violations")
    for index, (entry, result) in enumerate(zip(SUITE, of_each, strict=True)):
        if result.runs:
            said = "YES" if index in failed else "0"
            print(f"{entry.name:<24}{result.runs:>12}{result.messages:>14}  {said}")
    print(f"\n{'fault':<24}{'landed':>12}{'did not land':>14}")
    for kind in sorted({*total.landed, *total.missed}):
        print(f"{kind:<24}{total.landed.get(kind, 0):>12}{total.missed.get(kind, 0):>14}")
    print(
        f"\n{total.runs} schedules, {total.messages} messages in {took_s:.0f} s "
        f"({total.runs / took_s:.0f} schedules/s); "
        f"faults landed: {sum(total.landed.values())}; violations: {len(failed)}"
    )


if __name__ == "__main__":
    sys.exit(main())
