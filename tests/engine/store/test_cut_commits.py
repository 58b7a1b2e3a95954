"""A server that ends the connection in the middle of a transaction, or while it commits."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from agenticaiframework.patterns.engine.store import StoreUnavailable

psycopg = pytest.importorskip("psycopg")

from .media import FINISHED, STARTED, Medium, new_run, opened

ENDS_ITS_CONNECTION = """
    CREATE SEQUENCE cuts;
    CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('cuts') <= {times} THEN
            PERFORM pg_terminate_backend(pg_backend_pid());
        END IF;
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON {table} {when}
        FOR EACH ROW EXECUTE FUNCTION cut();
"""
AT_COMMIT = "DEFERRABLE INITIALLY DEFERRED"


def cuts(medium: Medium) -> int:
    return int(medium.run_sql("SELECT nextval('cuts')")[0][0]) - 1


@pytest.mark.parametrize("when", ["", AT_COMMIT])
def test_a_call_that_was_cut_off_while_it_committed_is_known_again(
    postgres: Medium, when: str
) -> None:
    async def main() -> None:
        async with opened(postgres) as (store, owner):
            await store.create_run(owner, new_run(), [STARTED])
            postgres.run_sql(ENDS_ITS_CONNECTION.format(times=1, table="notices", when=when))
            number = await store.put_signal("run-1", "go")
            assert cuts(postgres) == 2
            # The same once more is another signal.
            assert await store.put_signal("run-1", "go") > number
            assert [signal.name for signal in await store.pending_signals("run-1")] == ["go"] * 2

    asyncio.run(main())


def test_a_call_that_was_committed_without_its_answer_is_not_repeated(postgres: Medium) -> None:
    async def main() -> None:
        async with opened(postgres) as (store, owner):
            await store.create_run(owner, new_run(), [STARTED])
            with swallowing_commits(store, 1):
                number = await store.put_signal("run-1", "go")
            assert [signal.number for signal in await store.pending_signals("run-1")] == [number]
            with swallowing_commits(store, 1):
                assert await store.request_cancel("run-1", "enough")
            assert (await store.load_run("run-1")).cancel_reason == "enough"

    asyncio.run(main())


@contextmanager
def swallowing_commits(store: Any, times: int) -> Generator[None]:
    """Cut the connection right after it has committed, before the store hears of it."""
    session = store._backend._session
    connection = session.connection()
    execute = connection.execute
    left = [times]

    def cut(query: Any, *args: Any, **options: Any) -> Any:
        cursor = execute(query, *args, **options)
        if query == "COMMIT" and left[0]:
            left[0] -= 1
            connection.pgconn.finish()
            raise psycopg.OperationalError("the connection was cut")
        return cursor

    connection.execute = cut
    yield
    assert left == [0]


def test_an_append_that_was_cut_off_while_it_committed_is_repeated(postgres: Medium) -> None:
    async def main() -> None:
        async with opened(postgres) as (store, owner):
            lease = await store.create_run(owner, new_run(), [STARTED])
            postgres.run_sql(ENDS_ITS_CONNECTION.format(times=1, table="journal", when=AT_COMMIT))
            assert await store.append(lease, [FINISHED]) == 2
            assert cuts(postgres) == 2
            assert [entry.seq for entry in await store.read_journal("run-1")] == [1, 2]

    asyncio.run(main())


@pytest.mark.parametrize("when", ["", AT_COMMIT])
def test_a_server_that_ends_every_connection_is_out_of_reach(postgres: Medium, when: str) -> None:
    async def main() -> None:
        async with opened(postgres) as (store, owner):
            lease = await store.create_run(owner, new_run(), [STARTED])
            postgres.run_sql(ENDS_ITS_CONNECTION.format(times=1000, table="journal", when=when))
            with pytest.raises(StoreUnavailable):
                await store.append(lease, [FINISHED])
            assert cuts(postgres) >= 2
            assert [entry.seq for entry in await store.read_journal("run-1")] == [1]

    asyncio.run(main())
