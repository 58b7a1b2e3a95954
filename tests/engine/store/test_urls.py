"""Which store a URL means, and what is said of one that means none."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from agenticaiframework.actors import ActorSystem, MissingExtra, install_command
from agenticaiframework.patterns import DefinitionError
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
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
        ("postgress://host/db", "did you mean postgres://?"),
        ("postgresql://host/db?sslmod=require", "Did you mean 'sslmode'"),
        ("postgresql://host/db?sslmode=a&sslmode=b", "'sslmode' is given twice"),
        ("$NO_SUCH_VARIABLE", "no variable NO_SUCH_VARIABLE"),
        ("memory://name", "takes nothing behind it"),
        ("sqlite://", "a file's path follows"),
        ("sqlite:///", "a file's path follows"),
        ("sqlite://state.db", "a file's path follows"),
        ("sqlite:///state.db?mode=ro", "takes no options"),
    ],
)
def test_a_url_that_names_no_store_is_refused_with_the_forms_that_work(url: str, said: str) -> None:
    if "sslmod" in url:
        pytest.importorskip("psycopg")
    with pytest.raises(StoreUrlError) as caught:
        open_store(url)
    message = str(caught.value)
    assert said in message
    assert "sqlite:///relative.db" in message
    assert "postgresql://user@host/database" in message


@pytest.mark.parametrize(
    ("url", "label", "holds"),
    [
        ("postgres://me:pw@host/db", "postgresql://me@host/db", {"user": "me", "password": "pw"}),
        ("postgresql+psycopg://host/db", "postgresql://host/db", {"host": "host", "dbname": "db"}),
        ("postgresql+asyncpg://host/db", "postgresql://host/db", {"host": "host"}),
        ("postgresql://me:p%40ss@host/db", "postgresql://me@host/db", {"password": "p@ss"}),
        (
            "postgresql://me:p@s:s/w?d#%@host:1/db",
            "postgresql://me@host:1/db",
            {"password": "p@s:s/w?d#%"},
        ),
        ("postgresql://me:a b'c@host/db", "postgresql://me@host/db", {"password": "a b'c"}),
        (
            "postgresql://a:1,b:2/db?target_session_attrs=read-write",
            "postgresql://a:1,b:2/db",
            {"host": "a,b", "port": "1,2", "target_session_attrs": "read-write"},
        ),
        (
            "postgresql://[::1]:5432/db",
            "postgresql://[::1]:5432/db",
            {"host": "::1", "port": "5432"},
        ),
        ("postgresql:///db?host=/run/pg", "postgresql:///db?host=/run/pg", {"host": "/run/pg"}),
        ("postgresql://?service=jobs", "postgresql://?service=jobs", {"service": "jobs"}),
        ("postgresql://host/db?options=a@b", "postgresql://host/db", {"options": "a@b"}),
        ("postgresql://", "postgresql://", {}),
    ],
)
def test_postgresql_is_named_as_platforms_and_libpq_name_it(
    url: str, label: str, holds: dict[str, str]
) -> None:
    pytest.importorskip("psycopg")
    from psycopg.conninfo import conninfo_to_dict

    from agenticaiframework.patterns.engine.store.postgres.address import PostgresAddress

    address = PostgresAddress.parse(url)
    mark = "&" if "?" in label else "?"
    assert address.label == f"{label}{mark}schema=agenticai"
    assert holds.items() <= conninfo_to_dict(address.dsn).items()
    assert holds.get("password", "geheim") not in repr(address)


def test_the_environment_names_a_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    monkeypatch.setenv("DATABASE_URL", url)
    assert open_store("$DATABASE_URL").url == url
    assert EngineConfig(state_store="${DATABASE_URL}").state_store == url
    monkeypatch.setenv("AGENTICAI_STORE", "memory://")
    assert EngineConfig().state_store == "memory://"
    monkeypatch.setenv("AGENTICAI_STORE", "mysql://me:secret@host")
    with pytest.raises(DefinitionError, match="known scheme") as caught:
        EngineConfig()
    assert "secret" not in str(caught.value)


def test_the_options_of_an_engine_show_no_password() -> None:
    config = EngineConfig(state_store="postgresql://me:secret@host/db")
    assert "secret" not in f"{config!r} {config}"
    assert "postgresql://me:***@host/db" in repr(config)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://me:secret@host:port/db", "host:port"),
        ("postgresql://me:secret@host/db?schema=my-schema", "'my-schema' is not a name"),
        ("mysql://me:secret@host/db", "me:***@host"),
        ("postgresql://me:se:cr/secret@host:port/db", "me:***@host:port/db"),
        ("postgresql://me:secret", "me:***"),
        ("postgresql://host/db?sslmod=x&password=secret", "password=***"),
        ("me:secret@host", "***@host"),
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

    asyncio.run(asyncio.wait_for(main(), 120))


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


@pytest.mark.skipif(os.name == "nt", reason="rights of files are POSIX's")
def test_the_files_of_a_store_are_for_their_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o022)
    try:

        async def main() -> None:
            engine = OrchestrationEngine()
            async with ActorSystem(), engine:
                workflow = {"name": "w", "steps": [{"id": "a", "agent": lambda x: x}]}
                await engine.execute(workflow, {"n": 1}, persist_state=True)
                files = list((tmp_path / ".workflows").iterdir())
                assert len(files) >= 3
                assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
            assert (tmp_path / ".workflows").stat().st_mode & 0o777 == 0o700

        asyncio.run(main())
    finally:
        os.umask(before)
