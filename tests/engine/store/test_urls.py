"""Which store a URL means, and what is said of one that means none."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from agenticaiframework.actors import MissingExtra, install_command
from agenticaiframework.patterns.engine.store import (
    StoreUnavailable,
    StoreUrlError,
    open_store,
)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "known scheme"),
        ("state.db", "known scheme"),
        ("sqlite:state.db", "known scheme"),
        ("mysql://host/db", "known scheme"),
        ("sqlit:///state.db", "did you mean sqlite://?"),
        ("postgres://host/db", "did you mean postgresql://?"),
        ("memory://name", "takes nothing behind it"),
        ("sqlite://", "a file's path follows"),
        ("sqlite:///", "a file's path follows"),
        ("sqlite://state.db", "a file's path follows"),
        ("sqlite:///state.db?mode=ro", "takes no options"),
    ],
)
def test_a_url_that_names_no_store_is_refused_with_the_forms_that_work(url: str, said: str) -> None:
    with pytest.raises(StoreUrlError) as caught:
        open_store(url)
    message = str(caught.value)
    assert said in message
    assert "sqlite:///relative.db" in message
    assert "postgresql://user@host/database" in message


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://me:secret@host:port/db", "port"),
        ("postgresql://me:secret@host/db?schema=my-schema", "'my-schema' is not a name"),
        ("postgres://me:secret@host/db", "me:***@host"),
    ],
)
def test_an_error_never_shows_the_password(url: str, said: str) -> None:
    if url.startswith("postgresql"):
        pytest.importorskip("psycopg")
    with pytest.raises(StoreUrlError) as caught:
        open_store(url)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if "engine.store.postgres" in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=re.escape(install_command("postgres"))) as caught:
        open_store("postgresql://me:secret@host/db")
    assert caught.value.extra == "postgres"
    assert "secret" not in str(caught.value)


def test_a_server_that_is_not_there_is_an_error_within_seconds() -> None:
    pytest.importorskip("psycopg")

    async def main() -> None:
        store = open_store("postgresql://me:secret@127.0.0.1:1/db")
        with pytest.raises(StoreUnavailable, match="while connecting") as caught:
            await store.open()
        assert "secret" not in str(caught.value)
        assert store.url == "postgresql://me@127.0.0.1:1/db?schema=agenticai"

    asyncio.run(asyncio.wait_for(main(), 30))


def test_paths_are_relative_or_absolute_and_may_be_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    async def main() -> None:
        for url in ("sqlite:///a.db", f"sqlite:///{tmp_path}/b.db", "sqlite:///c%20d.db"):
            store = open_store(url)
            await store.open()
            await store.close()
        assert sorted(os.listdir(tmp_path)) == ["a.db", "b.db", "c d.db"]

    asyncio.run(main())
