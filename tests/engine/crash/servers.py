"""A PostgreSQL server of a test's own, which it may restart."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BIN_VARIABLE = "AGENTICAI_TEST_POSTGRES_BIN"
NO_SERVER = f"set {BIN_VARIABLE} to the folder of PostgreSQL's programs (initdb, pg_ctl)"


class Server:
    """One cluster in a temporary folder."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder

    @property
    def url(self) -> str:
        # A socket in the folder: a port would be anybody's while the server is stopped.
        return f"postgresql://postgres@/postgres?host={self._folder}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() == 0:  # the server refuses to run as root
            command = ["runuser", "-u", "postgres", "--", *command]
        done = subprocess.run(
            command,
            check=False,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert done.returncode == 0, command

    def create(self) -> None:
        self._run("initdb", "-D", str(self._folder / "data"), "-U", "postgres", "-A", "trust", "-N")

    def start(self) -> None:
        options = f"-k {self._folder} -c listen_addresses='' -c fsync=off"
        log = str(self._folder / "log")
        self._run(
            "pg_ctl", "-w", "-D", str(self._folder / "data"), "-l", log, "-o", options, "start"
        )

    def stop(self, how: str = "fast") -> None:
        self._run("pg_ctl", "-w", "-D", str(self._folder / "data"), "-m", how, "stop")


@contextmanager
def server() -> Iterator[Server]:
    """Give a server that runs, and leave nothing of it."""
    folder = Path(tempfile.mkdtemp(prefix="agenticai_pg_"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    one = Server(Path(os.environ[BIN_VARIABLE]), folder)
    try:
        one.create()
        one.start()
        try:
            yield one
        finally:
            one.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
