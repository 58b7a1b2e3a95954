"""Plants one-line bugs and tells which of them no test notices.

    python -m tests.mutation map                       copy the checkout, find out which test runs which line
    python -m tests.mutation run FOLDER ... [-n 100]   plant bugs at random and run the tests on their lines
    python -m tests.mutation run FOLDER ... --simulation 3000     let simulated schedules alone decide
    python -m tests.mutation again [TEST FILE ...]     try the survivors again, with these new tests alone
    python -m tests.mutation report                    the table, and the survivors without a reason

A run that was broken off goes on where it was when it is started again. See README.md.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from .checkout import ROOT, Checkout
from .coverage_map import CoverageMap, exists, pytest_arguments
from .judge import Judge, Server
from .mutants import Mutant, files_in, mutants, sample
from .verdicts import Explained, Verdicts, report


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--work", type=Path, default=ROOT / ".mutation", help="folder of the copy")
    parser.add_argument("--python", default=sys.executable, help="the Python that runs the tests")
    commands = parser.add_subparsers(dest="command", required=True)
    of_map = commands.add_parser("map", help="copy the checkout and find out what runs which line")
    of_map.add_argument("paths", nargs="*", help="only these tests")
    of_run = commands.add_parser("run", help="plant bugs")
    of_run.add_argument("folders", nargs="+", help="folders or files of the library")
    of_run.add_argument("-n", "--sample", type=int, default=100, help="how many (default: 100)")
    of_run.add_argument("--seed", type=int, default=1, help="of the choice (default: 1)")
    of_run.add_argument("--simulation", type=int, default=0, metavar="SCHEDULES")
    of_run.add_argument("--seconds", type=float, default=float("inf"), help="stop after this long")
    of_again = commands.add_parser("again", help="try the survivors again")
    of_again.add_argument(
        "tests", nargs="*", help="new test files: only these run, and are copied anew"
    )
    of_again.add_argument("--only", default="", help="only survivors with this in file or function")
    of_report = commands.add_parser("report", help="print the table and the survivors")
    of_report.add_argument("--simulation", type=int, default=0, metavar="SCHEDULES")
    of_report.add_argument("--in", dest="folder", default="", help="only files that begin so")
    return parser.parse_args(arguments)


def verdicts_of(work: Path, schedules: int = 0) -> Verdicts:
    """Return the file for this kind of run."""
    return Verdicts(work / (f"simulation-{schedules}.jsonl" if schedules else "tests.jsonl"))


def run(given: argparse.Namespace, judge: Judge) -> None:
    """Plant a sample of bugs."""
    root = judge.checkout.root
    verdicts = verdicts_of(given.work, given.simulation)
    chosen = sample(root, files_in(root, given.folders), given.sample, given.seed)
    try_all(judge, verdicts, (m for m in chosen if m.key not in verdicts.found), given)


def again(given: argparse.Namespace, judge: Judge) -> None:
    """Try the survivors that have no reason, with the new tests alone if some are given."""
    checkout = judge.checkout
    for name in given.tests:
        checkout.take(str(Path(name).resolve().relative_to(ROOT)))
    judge.extra = collected(given, checkout) if given.tests else []
    verdicts = verdicts_of(given.work)
    explained = Explained.load()
    wanted = {
        verdict["key"]: verdict
        for verdict in verdicts.survivors()
        if explained.why(verdict) is None and given.only in verdict["file"] + verdict["function"]
    }
    files = sorted({verdict["file"] for verdict in wanted.values()})
    found = (m for file in files for m in mutants(checkout.root, file) if m.key in wanted)
    given.simulation, given.seconds = 0, float("inf")
    try_all(judge, verdicts, found, given)


def collected(given: argparse.Namespace, checkout: Checkout) -> list[str]:
    """Return the tests in the given files."""
    names = [str(Path(name).resolve().relative_to(ROOT)) for name in given.tests]
    done = subprocess.run(
        [given.python, "-m", "pytest", *pytest_arguments(), "--collect-only", *names],
        cwd=checkout.root,
        env=checkout.environment(),
        capture_output=True,
        text=True,
    )
    return [line for line in done.stdout.splitlines() if "::" in line]


def try_all(
    judge: Judge, verdicts: Verdicts, chosen: Iterable[Mutant], given: argparse.Namespace
) -> None:
    """Judge one after the other and print what comes of it."""
    began = time.monotonic()
    for count, mutant in enumerate(chosen, 1):
        verdict = judge.judge(mutant, given.simulation)
        verdicts.add(verdict)
        said = f"{verdict['how']} {verdict['by']}" if verdict["verdict"] == "seen" else "SURVIVED"
        print(
            f"{count:>4} {verdict['took_s']:>6.1f} s  {mutant.file}:{mutant.line} "
            f"{mutant.place.function} {mutant.operator}  {said}",
            flush=True,
        )
        if time.monotonic() - began > given.seconds:
            break


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    given = parse(arguments)
    checkout = Checkout(given.work)
    tests = CoverageMap(checkout)
    if given.command == "map":
        checkout.make()
        tests.make(given.python, given.paths)
        print(f"{len(tests.durations)} tests, of {checkout.commit()}")
        return 0
    if given.command == "report":
        found = verdicts_of(given.work, given.simulation).found.values()
        chosen = [v for v in found if v["file"].startswith(given.folder)]
        for line in report(chosen, Explained.load()):
            print(line)
        return 0
    if not exists(given.work):
        raise SystemExit("First: python -m tests.mutation map")
    for file in sorted(Path(__file__).parent.glob("*.py")):
        checkout.take(str(file.relative_to(ROOT)))
    judge = Judge(
        checkout,
        tests,
        Server("fresh", checkout, given.python),
        Server("loaded", checkout, given.python),
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        judge.check()
        (run if given.command == "run" else again)(given, judge)
    finally:
        judge.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
