"""A store of each kind for the tests that hold for all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .media import KINDS, NO_POSTGRES, POSTGRES_VARIABLE, Medium


def _medium(kind: str, folder: Path) -> Iterator[Medium]:
    if kind == "postgres" and not os.environ.get(POSTGRES_VARIABLE):
        pytest.skip(NO_POSTGRES)
    if kind == "postgres":
        pytest.importorskip("psycopg")
    medium = Medium(kind, folder)
    yield medium
    medium.remove()


@pytest.fixture(params=KINDS)
def medium(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Medium]:
    """Every kind of store."""
    yield from _medium(request.param, tmp_path)


@pytest.fixture(params=[kind for kind in KINDS if kind != "sqlite-memory"])
def shared_medium(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Medium]:
    """Every kind that a second store can open while the first is at work."""
    yield from _medium(request.param, tmp_path)


@pytest.fixture(params=["sqlite", "postgres"])
def durable_medium(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Medium]:
    """Every kind that outlives a process."""
    yield from _medium(request.param, tmp_path)


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Medium]:
    """A SQLite file."""
    yield from _medium("sqlite", tmp_path)


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Medium]:
    """A schema of its own on the PostgreSQL server for tests."""
    yield from _medium("postgres", tmp_path)
