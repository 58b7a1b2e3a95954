"""A process that has the tests' tools imported and forks for each job: ``-m tests.mutation.server``.

Starting pytest costs seconds; a fork does not. The library itself is not imported here, so that each
fork imports it with the bug that stands there at the time.

Jobs come as JSON, one a line. What happens is told on standard output, one event a line:
``pid N``, ``test ID``, ``failed ID``, ``said TEXT`` and, at last, ``done STATUS``.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import sys
from typing import Any

PRELOADED = (
    "asyncio", "concurrent.futures.thread", "coverage", "cyclopts", "hypothesis", "loguru",
    "multiprocessing.connection", "opentelemetry.sdk.trace", "psycopg", "pydantic", "pytest",
    "pykka", "rich.console", "rich.table", "sqlite3", "uvloop", "yaml",
)  # fmt: skip
MEMORY = 6 * 1024**3


class Progress:
    """A pytest plugin that keeps the order of the given tests and tells what happens."""

    def __init__(self, out: int, tests: list[str]) -> None:
        self._out = out
        self._order = {test: place for place, test in enumerate(tests)}

    def tell(self, kind: str, what: str) -> None:
        """Write an event."""
        os.write(self._out, f"{kind} {what}\n".encode())

    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        """Keep the chosen tests, in the order in which they were given."""
        chosen = [item for item in items if item.nodeid in self._order]
        items[:] = sorted(chosen, key=lambda item: self._order[item.nodeid])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Tell which test runs."""
        self.tell("test", nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Tell which test failed."""
        if report.failed:
            self.tell("failed", report.nodeid)


def run_tests(job: dict[str, Any], out: int) -> int:
    """Run the chosen tests until one fails."""
    import pytest

    tests: list[str] = job["tests"]
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    # The fork has imported modules that pytest would look at before their import.
    quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    arguments = [*job["arguments"], *quiet, "-x", *files]
    return int(pytest.main(arguments, plugins=[Progress(out, tests)]))


def simulate(job: dict[str, Any], out: int) -> int:
    """Run the simulated schedules until a property is violated."""
    sys.path.insert(0, os.getcwd())
    from tests.simulation.mutants import hunt

    found = hunt(job["schedules"], job["file"])
    os.write(out, f"said {json.dumps(found)}\n".encode())
    return 1 if found["by"] else 0


def work(job: dict[str, Any], out: int) -> int:
    """Do a job in the fork and return the exit status."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(job.get("environment", {}))
    return run_tests(job, out) if job["kind"] == "tests" else simulate(job, out)


def main() -> None:
    """Serve jobs until standard input ends."""
    out = os.dup(1)
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            status = 70
            try:
                status = work(job, out)
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                for stream in (sys.stdout, sys.stderr):
                    with contextlib.suppress(OSError, ValueError):
                        stream.flush()
                os._exit(status)
        os.write(out, f"pid {pid}\n".encode())
        _, waited = os.waitpid(pid, 0)
        # What the tests started and left is of the fork's session.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        os.write(out, f"done {os.waitstatus_to_exitcode(waited)}\n".encode())


if __name__ == "__main__":
    main()
