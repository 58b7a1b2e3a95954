"""Runs CPython's asyncio tests, and anyio's, inside handlers, and compares with a plain task.

    python -m tests.foreign                         # CPython's, in actors, on asyncio's loop
    python -m tests.foreign --in actor agent step --loop asyncio eager uvloop
    python -m tests.foreign anyio --sources DIR     # anyio's, from its unpacked source distribution
    python -m tests.foreign --modules test.test_asyncio.test_locks

A test counts that passes in a task of the same loop.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from . import children
from .differences import reason_of
from .modules import ANYIO, ASYNCIO

PLACES = ("actor", "agent", "step")
LOOPS = ("asyncio", "eager", "uvloop")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("tests.foreign", description=__doc__)
    parser.add_argument("suite", nargs="?", choices=("asyncio", "anyio"), default="asyncio")
    parser.add_argument("--in", nargs="+", dest="places", choices=PLACES, default=["actor"])
    parser.add_argument("--loop", nargs="+", choices=LOOPS, default=["asyncio"])
    parser.add_argument("--modules", nargs="+", help="only these")
    parser.add_argument("--sources", type=Path, help="anyio's unpacked source distribution")
    parser.add_argument("--jobs", type=int, default=1, help="modules at the same time")
    parser.add_argument("--test-seconds", type=float, default=30.0, help="longer is a hang")
    parser.add_argument("--details", action="store_true", help="show what failed tests said")
    options = parser.parse_args(argv)
    if options.suite == "anyio" and options.sources is None:
        parser.error("anyio's tests are in its source distribution: --sources DIR")
    unknown = 0
    for loop in options.loop:
        if loop == "eager" and sys.version_info < (3, 12):
            print("eager tasks: Python 3.12 or newer has them")
            continue
        unknown += compare(options, loop)
    return 1 if unknown else 0


def compare(options: argparse.Namespace, loop: str) -> int:
    """Run everything on one loop, print how it went, and return how many differences are not known."""
    wanted = options.modules or (ASYNCIO if options.suite == "asyncio" else ANYIO)
    shipped = [name for name in wanted if options.suite == "anyio" or _is_shipped(name)]
    for name in wanted:
        if name not in shipped:
            print(f"{name}: not shipped with this Python")
    unknown = 0
    passed_in_task: dict[str, set[str]] = {}
    for place in ("task", *options.places):
        with ThreadPoolExecutor(options.jobs) as pool:
            outcomes = dict(
                zip(shipped, pool.map(partial(_run, options, place, loop), shipped), strict=True)
            )
        if place == "task":
            for name, outcome in outcomes.items():
                passed_in_task[name] = {t for t, how in outcome.how.items() if how == "ok"}
            count = sum(map(len, passed_in_task.values()))
            print(f"{options.suite} on {loop}: {count} tests pass in a task", flush=True)
            continue
        passes = known = 0
        for name, outcome in outcomes.items():
            for test in sorted(passed_in_task[name]):
                if outcome.how.get(test) == "ok":
                    passes += 1
                elif (reason := reason_of(test)) is not None:
                    known += 1
                    print(f"  {test}: differs, because {reason}")
                else:
                    unknown += 1
                    print(f"  {test}: {outcome.how.get(test, 'was not run')}")
                    if options.details:
                        print(outcome.detail.get(test, ""))
        print(
            f"{options.suite} on {loop}: {passes} of them pass in a handler of an {place}"
            if place != "step"
            else f"{options.suite} on {loop}: {passes} of them pass in a step",
            f"({known} differ for a known reason)" if known else "",
            flush=True,
        )
    return unknown


def _is_shipped(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _run(options: argparse.Namespace, place: str, loop: str, module: str) -> children.Outcomes:
    if options.suite == "asyncio":
        command = ["-m", "inside.asyncio_tests", module]
        return children.run(command, place, loop, test_s=options.test_seconds)
    command = ["-m", "pytest", "-q", "-p", "inside.anyio_tests", "-m", "not network", module]
    # What a test that fails leaves open is no failure of the test in which it is collected.
    command += ["-p", "no:cacheprovider", "-W", "ignore::pytest.PytestUnraisableExceptionWarning"]
    return children.run(
        command, place, loop, test_s=options.test_seconds, cwd=options.sources.resolve()
    )


if __name__ == "__main__":
    sys.exit(main())
