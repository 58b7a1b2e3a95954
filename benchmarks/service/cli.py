"""The command line of ``python -m benchmarks service``."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.environments import home, interpreter
from benchmarks.machine import describe

NEEDED = ("starlette", "uvicorn", "httpx")
VERSIONS = ("pykka", "pydantic", *NEEDED)
SMOKE_S = 60.0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks service",
        description="A real service under load and faults; fails unless nothing is lost, repeated, unanswered or leaked.",
    )
    parser.add_argument("--seconds", type=_positive, help="how long the load lasts (default 600)")
    parser.add_argument("--smoke", action="store_true", help=f"{SMOKE_S:g} s")
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--soak",
        type=_positive,
        metavar="HOURS",
        help="one process for hours: fails if what it holds grows",
    )
    form.add_argument(
        "--rolling",
        action="store_true",
        help="two processes on one store, of which one at a time is drained and replaced, ten times",
    )
    parser.add_argument(
        "--store", choices=["sqlite", "postgres"], help="postgres: a server made for the run"
    )
    parser.add_argument("--clients", type=int, default=48)
    parser.add_argument("--rate", type=_positive, default=50.0, help="runs a second (default 50)")
    parser.add_argument(
        "--faults", type=float, default=1.0, help="how often agents fail, in times of the usual"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep the logs and the store there"
    )
    return parser


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("more than 0")
    return number


def main(arguments: Sequence[str]) -> int:
    """Run, print the result; 0 if it is clean, 1 if not, 2 where it cannot run."""
    chosen = _parser().parse_args(arguments)
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"The service needs {', '.join(missing)}: pip install {' '.join(missing)}",
            file=sys.stderr,
        )
        return 2
    from benchmarks.service.report import table
    from benchmarks.service.run import RunOptions, ServiceRun, to_stderr
    from benchmarks.service.stores import NoPostgres, postgres_programs, service_store

    form = "soak" if chosen.soak else "rolling" if chosen.rolling else "day"
    seconds = chosen.seconds or (SMOKE_S if chosen.smoke else 60.0 if chosen.rolling else 600.0)
    store = chosen.store or "sqlite"
    if chosen.rolling and chosen.store is None and postgres_programs() is not None:
        store = "postgres"
    options = RunOptions(
        form=form,
        seconds=chosen.soak * 3600 if chosen.soak else seconds,
        store=store,
        clients=chosen.clients,
        per_second=chosen.rate,
        faults=chosen.faults,
        seed=chosen.seed,
        sample_s=10.0 if chosen.soak else 1.0,
    )
    if chosen.json is not None:
        # A run takes long; a directory that is not there should not be found out at its end.
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
    machine = describe(interpreter(sys.executable))
    machine |= {"versions": ", ".join(f"{name} {version(name)}" for name in VERSIONS)}
    home().mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="service-", dir=home()))
    try:
        with service_store(store, folder) as place:
            result = asyncio.run(ServiceRun(options, place, folder, to_stderr).carry_out())
    except NoPostgres as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        if chosen.keep is not None:
            shutil.copytree(folder, chosen.keep, dirs_exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
    print(table(machine, result), end="")
    if chosen.json is not None:
        content = {"machine": machine, **result.to_dict()}
        chosen.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0 if result.clean else 1
