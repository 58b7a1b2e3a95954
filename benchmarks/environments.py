"""Where each peer lives: a virtual environment of its own, made on demand, kept between runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.catalog import System

HOME_VARIABLE = "AGENTICAI_BENCHMARKS_HOME"


def home() -> Path:
    """Return the directory of environments and scratch files; on a disk, so that an fsync is one."""
    chosen = os.environ.get(HOME_VARIABLE)
    if chosen:
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "agenticaiframework" / "benchmarks"


@dataclass(frozen=True)
class Interpreter:
    """A Python that samples run under: its path, and a tag such as ``cpython-3.13``."""

    path: str
    tag: str


class NoInterpreter(Exception):
    """The Python that was asked for does not run."""

    def __init__(self, path: str, cause: str) -> None:
        super().__init__(
            f"{path!r} is not a Python that runs ({cause}). Give --python a path to one."
        )
        self.path = path


def interpreter(path: str) -> Interpreter:
    """Ask the Python at *path* who it is; raise `NoInterpreter` if it does not answer."""
    program = "import sys; print(f'{sys.implementation.name}-{sys.version_info[0]}.{sys.version_info[1]}')"
    try:
        said = subprocess.run(
            [path, "-I", "-c", program], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NoInterpreter(path, str(error)) from error
    return Interpreter(path, said.stdout.strip())


def environment(system: System, python: Interpreter) -> Path:
    """Return the directory of the system's own environment for this Python, existing or not."""
    return home() / "peers" / f"{system.name}-{python.tag}"


def executable(system: System, python: Interpreter) -> str:
    """Return the Python that runs *system*: of its own environment if it needs one."""
    if system.requirements:
        return str(environment(system, python) / "bin" / "python")
    return python.path


def install_command(system: System) -> str:
    """Return what a person types to prepare this system."""
    return f"python -m benchmarks peers install {system.name}"


def install(system: System, python: Interpreter) -> str:
    """Prepare *system* and say what was done; `subprocess.CalledProcessError` if a step fails.

    A virtual environment is made anew. Debian packages are installed only for root; anyone else
    is told what to run.
    """
    if system.debian:
        return _install_debian(system)
    if not system.requirements:
        return f"{system.name} needs nothing of its own."
    place = environment(system, python)
    place.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([python.path, "-m", "venv", "--clear", str(place)], check=True)
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    try:
        subprocess.run([*pip, "--disable-pip-version-check", *system.requirements], check=True)
    except subprocess.CalledProcessError:
        # Half an environment would be taken for a whole one.
        shutil.rmtree(place)
        raise
    return f"{system.name}: {', '.join(system.requirements)} in {place}"


def _install_debian(system: System) -> str:
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *system.debian]
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return f"{system.name}: run as root: {' '.join(command)}"
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return f"{system.name}: {', '.join(system.debian)}"


def remove(system: System, python: Interpreter) -> str:
    """Delete the system's own environment, if there is one, and say so."""
    place = environment(system, python)
    if system.requirements and place.exists():
        shutil.rmtree(place)
        return f"{system.name}: removed {place}"
    return f"{system.name}: nothing to remove"
