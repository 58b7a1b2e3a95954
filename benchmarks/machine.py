"""On what the figures were taken."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.environments import Interpreter, home


def describe(python: Interpreter) -> dict[str, str]:
    """Return what the reader of a figure must know about the machine; all values are text."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="minutes"),
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "scratch": f"{home()} ({_filesystem(home())})",
        "python": _python(python),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _filesystem(place: Path) -> str:
    """Return the type of the file system that *place* is on: an fsync on tmpfs costs nothing."""
    wanted = place.absolute()
    best, kind = 0, "unknown"
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, mount, this_kind, *_ = line.split()
        if wanted.is_relative_to(mount) and len(mount) >= best:
            best, kind = len(mount), this_kind
    return kind


def _python(python: Interpreter) -> str:
    # A build without profile-guided optimisation is slower by a third, and unevenly so.
    program = (
        "import platform as p, sysconfig as s\n"
        "how = '--enable-optimizations' in (s.get_config_var('CONFIG_ARGS') or '')\n"
        "print(p.python_implementation(), p.python_version(), p.python_compiler(), "
        "'optimised build' if how else 'build without PGO')"
    )
    said = subprocess.run(
        [python.path, "-I", "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    return said.stdout.strip()
