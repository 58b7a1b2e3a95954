"""The store of the service, and how it is made to fail."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from benchmarks.service.ports import free_port


class ServiceStore(Protocol):
    """Where the service keeps its runs."""

    @property
    def url(self) -> str:
        """What the engine is given."""
        ...

    @property
    def outage(self) -> str:
        """What `fail` does, in a word or two."""
        ...

    async def fail(self, seconds: float) -> None:
        """Make the store unusable for about *seconds*."""
        ...

    def size(self) -> int:
        """Return the bytes that it takes."""
        ...


class SqliteStore:
    """A file, which another process's transaction locks."""

    outage = "locked by another process"

    def __init__(self, file: Path) -> None:
        self.file = file

    @property
    def url(self) -> str:
        """What the engine is given."""
        return f"sqlite:///{self.file}"

    async def fail(self, seconds: float) -> None:
        """Hold the file's write lock."""
        await asyncio.to_thread(self._lock, seconds)

    def _lock(self, seconds: float) -> None:
        with closing(sqlite3.connect(self.file, timeout=30, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            connection.rollback()

    def size(self) -> int:
        """Return the bytes of the file and of its log."""
        return sum(file.stat().st_size for file in self.file.parent.glob(self.file.name + "*"))


class PostgresServer:
    """A cluster of our own, which may be restarted."""

    outage = "restarted (immediate)"

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._port = free_port()

    @property
    def url(self) -> str:
        """What the engine is given."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() == 0:  # the server refuses to run as root
            command = ["runuser", "-u", "postgres", "--", *command]
        subprocess.run(
            command,
            check=True,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def begin(self) -> None:
        """Make the cluster and start it."""
        self._run("initdb", "-D", str(self._folder / "data"), "-U", "postgres", "-A", "trust", "-N")
        self._start()

    def _start(self) -> None:
        options = f"-p {self._port} -k {self._folder} -c listen_addresses=127.0.0.1"
        log = str(self._folder / "log")
        self._run(
            "pg_ctl", "-w", "-D", str(self._folder / "data"), "-l", log, "-o", options, "start"
        )

    def stop(self) -> None:
        """Stop the server as a crash would."""
        self._run("pg_ctl", "-w", "-D", str(self._folder / "data"), "-m", "immediate", "stop")

    async def fail(self, seconds: float) -> None:
        """Stop the server at once and start it again *seconds* later."""
        await asyncio.to_thread(self.stop)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self._start)

    def size(self) -> int:
        """Return the bytes of the cluster's data, without its write-ahead log."""
        base = self._folder / "data" / "base"
        return sum(file.stat().st_size for file in base.rglob("*") if file.is_file())


class NoPostgres(Exception):
    """No PostgreSQL is installed here."""

    def __init__(self) -> None:
        super().__init__(
            "There is no PostgreSQL here: neither `initdb` on the path nor a folder "
            "/usr/lib/postgresql/*/bin. Install it, or take --store sqlite."
        )


def postgres_programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, if there is one."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    found = shutil.which("initdb")
    return None if found is None else Path(found).resolve().parent


@contextmanager
def service_store(kind: str, folder: Path) -> Generator[ServiceStore]:
    """Give a store of *kind*, ``sqlite`` or ``postgres``, and leave nothing of it."""
    if kind == "sqlite":
        yield SqliteStore(folder / "service.sqlite")
        return
    programs = postgres_programs()
    if programs is None:
        raise NoPostgres
    place = Path(tempfile.mkdtemp(prefix="bench_pg_"))
    try:
        if os.geteuid() == 0:
            shutil.chown(place, "postgres")
        server = PostgresServer(programs, place)
        server.begin()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(place, ignore_errors=True)
