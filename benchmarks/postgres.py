"""A PostgreSQL database for each sample, on the server that an environment variable names."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

from benchmarks.protocol import Job

SERVER = "AGENTICAI_BENCHMARKS_POSTGRES"
"""``postgresql://user@host:port/database``; the user may make databases."""


class NoServer(Exception):
    """No server was named."""

    def __init__(self) -> None:
        super().__init__(f"{SERVER} names no server, such as postgresql://postgres@127.0.0.1/test")


@contextmanager
def database(job: Job) -> Generator[str, None, None]:
    """Give the address of a database that is the sample's own, and drop it afterwards."""
    import psycopg  # of the environment of the system that is measured

    server = os.environ.get(SERVER)
    if not server:
        raise NoServer
    name = "bench_" + "".join(c if c.isalnum() else "_" for c in job.scratch.name).lower()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())
