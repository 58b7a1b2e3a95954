"""A PostgreSQL store whose schema was made by its owner, for a role that may only read and write."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from agenticaiframework.patterns.engine.store import (
    NewRun,
    Record,
    RunUpdate,
    StoreInUse,
    StoreNotReady,
    StoreVersionTooNew,
    administer,
    open_store,
)

from .media import POSTGRES_VARIABLE, Medium, opened


def execute(statement: str) -> None:
    import psycopg

    with psycopg.connect(os.environ[POSTGRES_VARIABLE], autocommit=True) as connection:
        while True:
            try:
                connection.execute(statement.encode())
                return
            except psycopg.errors.InternalError_ as error:
                # Tests beside this one change the rights of the same database.
                if "concurrently updated" not in str(error):
                    raise


@pytest.fixture
def role(postgres: Medium) -> Iterator[str]:
    """A role that may connect, and nothing else."""
    name = f"worker_{uuid.uuid4().hex[:12]}"
    execute(f"CREATE ROLE {name} LOGIN PASSWORD 'worker'")
    execute(f'REVOKE TEMPORARY ON DATABASE "{database()}" FROM PUBLIC')
    execute(f'GRANT CONNECT ON DATABASE "{database()}" TO {name}')
    yield name
    execute(f"DROP OWNED BY {name}")
    execute(f"DROP ROLE {name}")


def database() -> str:
    return urlsplit(os.environ[POSTGRES_VARIABLE]).path.lstrip("/")


def url_of(medium: Medium, role: str) -> str:
    parts = urlsplit(medium.url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:worker@{place}"))


def test_a_role_that_may_only_read_and_write_does_all_that_an_engine_does(
    postgres: Medium, role: str
) -> None:
    url = url_of(postgres, role)
    assert administer(url).check() == [
        f"there is no schema {postgres.schema!r} that this role may use"
    ]
    owner = administer(postgres.url)
    assert owner.migrate() == (0, owner.info().newest)
    # The whole schema again, as SQL on paper, into one of its own.
    text = owner.sql(role)
    postgres.remove()
    execute(text)
    assert administer(url).check() == []

    async def main() -> None:
        store = open_store(url)
        await store.open()
        me = await store.register("worker", 60)
        new = NewRun("r", "invoice", "h", "{}", {"text": "x" * 100_000})
        lease = await store.create_run(me, new, [Record("started")])
        number = await store.put_signal("r", "go", 1)
        await store.append(lease, [Record("went")], consumes=[number])
        assert await store.request_cancel("r", "enough")
        assert await store.renew(me)
        await store.retire(me)
        other = await store.register("other", 60)
        (taken,) = await store.claim_abandoned(other)
        await store.append(taken, [Record("ended")], RunUpdate("completed", True))
        from agenticaiframework.patterns.engine.store import Retention

        assert await store.purge(Retention(max_finished=0)) == 1
        await store.close()

    asyncio.run(main())


def test_what_a_role_lacks_is_said_when_the_store_is_opened(postgres: Medium, role: str) -> None:
    url = url_of(postgres, role)

    async def refused() -> str:
        store = open_store(url)
        with pytest.raises(StoreNotReady) as caught:
            await store.open()
        await store.close()
        assert "worker@" not in str(caught.value)
        return str(caught.value)

    assert "it is not set up" in asyncio.run(refused())
    administer(postgres.url).migrate()
    assert f"may not use the schema {postgres.schema!r}" in asyncio.run(refused())
    execute(administer(postgres.url).sql(role).rpartition("COMMIT;")[2])
    execute(f"REVOKE DELETE ON {postgres.schema}.notices FROM {role}")
    assert "this role may not DELETE in notices" in asyncio.run(refused())
    execute(f"GRANT DELETE ON {postgres.schema}.notices TO {role}")
    execute(f"DELETE FROM {postgres.schema}.schema_versions WHERE version > 1")
    assert "it has version 1" in asyncio.run(refused())


def test_a_schema_is_not_changed_under_engines_that_know_only_the_older_one(
    postgres: Medium,
) -> None:
    newest = administer(postgres.url).info().newest

    async def main() -> None:
        async with opened(postgres):
            postgres.run_sql("DELETE FROM schema_versions WHERE version = %s", newest)
            postgres.run_sql("UPDATE owners SET version = 0")
            with pytest.raises(StoreInUse, match="engine-1"):
                await postgres.store().open()
            with pytest.raises(StoreInUse, match="Stop them"):
                administer(postgres.url).migrate()
            assert administer(postgres.url).info().version == newest - 1

    asyncio.run(main())


@pytest.mark.parametrize(("beside", "works"), [(None, False), (99, False), (1, True)])
def test_a_newer_schema_says_which_older_programs_may_work_with_it(
    postgres: Medium, beside: int | None, works: bool
) -> None:
    async def main() -> None:
        async with opened(postgres) as (store, owner):
            await store.create_run(owner, NewRun("r", "invoice", "h", "{}"))
        postgres.run_sql("INSERT INTO schema_versions (version, beside) VALUES (99, %s)", beside)
        if works:
            async with opened(postgres) as (store, _):
                assert (await store.load_run("r")).name == "invoice"
        else:
            with pytest.raises(StoreVersionTooNew, match="version 99"):
                await postgres.store().open()

    asyncio.run(main())


def test_looking_makes_nothing(postgres: Medium) -> None:
    there = administer(postgres.url)
    assert there.info().version == 0
    assert there.check() != []
    found: list[Any] = postgres.run_sql(
        "SELECT 1 FROM pg_namespace WHERE nspname = %s", postgres.schema
    )
    assert found == []


@pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="pgbouncer is not installed")
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_proxy_that_pools_transactions_is_refused_when_the_store_is_opened(
    postgres: Medium, tmp_path: Path, mode: str, port: int
) -> None:
    parts = urlsplit(os.environ[POSTGRES_VARIABLE])
    settings = tmp_path / "proxy.ini"
    password = f" password={parts.password}" if parts.password else ""
    settings.write_text(
        f"[databases]\n{database()} = host={parts.hostname} port={parts.port} "
        f"user={parts.username}{password}\n"
        f"[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\nauth_type=any\n"
        f"pool_mode={mode}\nunix_socket_dir=\n"
    )
    tmp_path.chmod(0o755)
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    proxy = subprocess.Popen(["pgbouncer", "-q", *user, str(settings)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(2_000):
            with socket.socket() as trying:
                if trying.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)

        async def main() -> None:
            url = f"postgresql://{parts.username}@127.0.0.1:{port}/{database()}?schema={postgres.schema}"
            store = open_store(url)
            if mode == "session":
                await store.open()
                await store.register("engine", 60)
            else:
                with pytest.raises(StoreNotReady, match="pools transactions"):
                    await store.open()
            await store.close()

        asyncio.run(main())
    finally:
        proxy.terminate()
        proxy.wait()
