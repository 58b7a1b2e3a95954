"""What only a server can do to a store: cut connections, deadlock, hold locks, count its own time."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from agenticaiframework.patterns.engine.store import (
    FencedOut,
    Lease,
    Record,
    RunExists,
    RunHeld,
    RunUpdate,
    Store,
    StoreUnavailable,
)

from .media import FINISHED, POSTGRES_VARIABLE, STARTED, Medium, new_run, opened


def cut_connections(medium: Medium) -> int:
    """End the server's side of all connections of stores in this test, and return how many there were.

    They are gone then: the server ends them in its own time.
    """
    cut = medium.run_sql(
        "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = %s AND pid <> pg_backend_pid()",
        medium.schema,
    )
    pids = [pid for pid, _ in cut]
    while medium.run_sql("SELECT 1 FROM pg_stat_activity WHERE pid = ANY(%s)", pids):
        time.sleep(0.005)
    return len(cut)


@contextmanager
def transaction(medium: Medium) -> Iterator[Any]:
    """Another process's connection; rolled back and closed, whatever happens."""
    import psycopg

    connection = psycopg.connect(os.environ[POSTGRES_VARIABLE])
    try:
        connection.execute(f"SET search_path TO {medium.schema}".encode())
        connection.commit()
        yield connection
    finally:
        # Closing alone would do, but nobody waits for the server to notice.
        connection.rollback()
        connection.close()


async def until_waiting_for_a_lock(medium: Medium) -> None:
    """Return when a connection of a store waits for another connection's lock."""
    async with asyncio.timeout(120):
        while not medium.run_sql(
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            "AND application_name = %s",
            medium.schema,
        ):
            await asyncio.sleep(0.01)


def test_a_connection_that_was_cut_while_idle_is_replaced_unnoticed(postgres: Medium) -> None:
    async def main() -> None:
        async with opened(postgres) as (store, owner):
            lease = await store.create_run(owner, new_run(), [STARTED])
            await store.load_run("run-1")
            assert cut_connections(postgres)
            assert await store.append(lease, [FINISHED], RunUpdate("on")) == 2
            assert (await store.load_run("run-1")).state == "on"
            assert cut_connections(postgres)
            assert await store.renew(owner)
            assert cut_connections(postgres)
            assert await store.put_signal("run-1", "go") == 1

    asyncio.run(main())


def test_appends_are_all_there_once_although_connections_are_cut_under_them(
    postgres: Medium,
) -> None:
    async def main() -> None:
        async with opened(postgres) as (store, owner):
            leases = [await store.create_run(owner, new_run(f"r{n}")) for n in range(10)]
            cuts = 0
            failures = 0
            for turn in range(30):
                writes: list[Awaitable[int]] = [
                    store.append(lease, [Record("n", data=turn)]) for lease in leases
                ]
                if turn % 3 == 0:
                    await asyncio.sleep(0)
                    cuts += await asyncio.to_thread(cut_connections, postgres)
                for outcome in await asyncio.gather(*writes, return_exceptions=True):
                    failures += isinstance(outcome, BaseException)
            assert cuts >= 5
            assert failures == 0
            for journal in (await store.read_journals([x.run_id for x in leases])).values():
                assert [entry.data for entry in journal] == list(range(30))

    asyncio.run(main())


def test_a_batch_that_is_repeated_after_a_lost_acknowledgement_is_known_again(
    postgres: Medium,
) -> None:
    """The commit arrived, its answer did not: the same rows come a second time."""

    async def main() -> None:
        async with opened(postgres) as (store, owner):
            lease = await store.create_run(owner, new_run(), [STARTED])
            number = await store.put_signal("run-1", "go")
            await store.append(lease, [FINISHED], RunUpdate("on"), [number])
            lease.next_seq = 2
            assert await store.append(lease, [FINISHED], RunUpdate("on"), [number]) == 2
            assert len(await store.read_journal("run-1")) == 2
            lease.next_seq = 2
            with pytest.raises(Exception, match="written already"):
                await store.append(lease, [Record("something else")])
            assert len(await store.read_journal("run-1")) == 2

    asyncio.run(main())


def test_a_claim_waits_for_the_append_that_is_being_committed(postgres: Medium) -> None:
    """Else the claimer could read the journal before the fenced-out engine's last record."""

    async def main() -> None:
        async with opened(postgres) as (store, owner):
            await store.create_run(owner, new_run(), [STARTED])
            await store.retire(owner)
            heir = await store.register("heir", 60)
            # What the batch's function holds while it commits.
            with transaction(postgres) as batch:
                batch.execute("SELECT 1 FROM runs WHERE run_id = 'run-1' FOR KEY SHARE")
                claiming = asyncio.create_task(store.claim(heir, "run-1"))
                await until_waiting_for_a_lock(postgres)
                late = b'[["late","",0,1]]'
                batch.execute("INSERT INTO journal SELECT run, 2, 1, 5, %s FROM runs", [late])
                batch.commit()
            assert (await claiming).next_seq == 3
            journal = await store.read_journal("run-1")
            assert [entry.kind for entry in journal] == ["step_started", "late"]

    asyncio.run(main())


def test_an_append_waits_for_the_claim_that_is_being_committed_and_is_refused(
    postgres: Medium,
) -> None:
    async def main() -> None:
        async with opened(postgres) as (store, owner):
            lease = await store.create_run(owner, new_run())
            with transaction(postgres) as claim:
                claim.execute("SELECT 1 FROM runs FOR UPDATE")
                claim.execute("UPDATE runs SET fence = fence + 1, owner = 999")
                writing = asyncio.ensure_future(store.append(lease, [STARTED]))
                await until_waiting_for_a_lock(postgres)
                claim.commit()
            with pytest.raises(FencedOut):
                await writing
            assert await store.read_journal("run-1") == []

    asyncio.run(main())


def test_a_recovery_skips_what_another_engine_is_claiming(postgres: Medium) -> None:
    async def main() -> None:
        async with opened(postgres) as (store, owner):
            for number in range(4):
                await store.create_run(owner, new_run(f"r{number}"))
            await store.retire(owner)
            heir = await store.register("heir", 60)
            with transaction(postgres) as other:
                other.execute("SELECT 1 FROM runs WHERE run_id IN ('r1', 'r2') FOR UPDATE")
                taken = await asyncio.wait_for(store.claim_abandoned(heir), 120)
                assert [lease.run_id for lease in taken] == ["r0", "r3"]
            taken = await store.claim_abandoned(heir)
            assert [lease.run_id for lease in taken] == ["r1", "r2"]

    asyncio.run(main())


@pytest.mark.parametrize("victim", ["call", "append"])
def test_a_deadlock_with_another_process_is_tried_again(postgres: Medium, victim: str) -> None:
    async def second(store: Store, lease: Lease) -> int:
        # Called in the same turn of the loop as the first, so that both are in one batch.
        if victim == "call":
            return await store.request_cancel(lease.run_id, "x")
        return await store.append(lease, [STARTED])

    async def waits_for(other: Any, run_id: str) -> bool:
        """Wait for a run; return whether it was the store's transaction that had to give way.

        A machine that stood still has let the moment pass in which the server would have chosen that.
        """
        from psycopg.errors import DeadlockDetected

        query = "SELECT 1 FROM runs WHERE run_id = %s FOR UPDATE"
        try:
            await asyncio.to_thread(other.execute, query, [run_id])
        except DeadlockDetected:
            return False
        return True

    async def main() -> None:
        async with opened(postgres) as (store, owner):
            for turn in range(20):
                a, b = f"a-{turn}", f"b-{turn}"
                await store.create_run(owner, new_run(a))
                lease = await store.create_run(owner, new_run(b))
                with transaction(postgres) as other:
                    other.execute("SET deadlock_timeout = '10s'")
                    other.execute("SELECT 1 FROM runs WHERE run_id = %s FOR UPDATE", [b])
                    # One batch: it locks a, then waits for b, while the other waits for a.
                    asked = asyncio.gather(store.request_cancel(a, "x"), second(store, lease))
                    await until_waiting_for_a_lock(postgres)
                    hit_the_store = await waits_for(other, a)
                assert await asked == [True, 1]
                assert (await store.load_run(a)).cancel_reason == "x"
                if victim == "call":
                    assert (await store.load_run(b)).cancel_reason == "x"
                else:
                    assert [entry.kind for entry in await store.read_journal(b)] == ["step_started"]
                if hit_the_store:
                    return
            raise AssertionError("the store was never the one that the server has chosen")

    asyncio.run(main())


def test_leases_run_by_the_servers_clock(postgres: Medium) -> None:
    async def main() -> None:
        async with opened(postgres) as (store, _):
            long = await store.register("long", 600)
            await store.create_run(long, new_run())
            other = await store.register("other", 600)
            with pytest.raises(RunHeld):
                await store.claim(other, "run-1")
            # Whatever this machine believes the time to be.
            postgres.clock.now += 1_000_000
            with pytest.raises(RunHeld):
                await store.claim(other, "run-1")
            short = await store.register("short", 0.2)
            await store.create_run(short, new_run("run-2"))
            postgres.clock.now -= 2_000_000
            async with asyncio.timeout(120):
                while not (taken := await store.claim_abandoned(other)):
                    await asyncio.sleep(0.02)
            assert [lease.run_id for lease in taken] == ["run-2"]
            assert not await store.renew(short)

    asyncio.run(main())


def test_normal_commits_do_not_wait_for_the_disk_and_full_ones_always_do(
    postgres: Medium,
) -> None:
    """Even where the server's own default is not to wait."""
    from agenticaiframework.patterns.engine.store.grouped.jobs import Op
    from agenticaiframework.patterns.engine.store.postgres.backend import PostgresBackend
    from agenticaiframework.patterns.engine.store.postgres.batch import Batch

    batch = Batch.of([[Op.DEFINE, 0, 0, 0, 0, b"{}", "hash"]])
    assert batch is not None
    for default, relaxed, used in (
        ("on", False, "on"),
        ("on", True, "off"),
        ("off", False, "on"),
        ("remote_apply", False, "remote_apply"),
    ):
        url = f"{postgres.url}&options=-c%20synchronous_commit%3D{default}"
        backend = PostgresBackend(url, clock=postgres.clock)
        backend.open()
        connection = backend._session.connection()
        with connection.transaction():
            backend.lane.execute(connection, batch, relaxed=relaxed)
            found = connection.execute("SHOW synchronous_commit").fetchone()
        assert found == (used,)
        backend.close()


def test_stores_in_different_schemas_know_nothing_of_each_other(postgres: Medium) -> None:
    async def main() -> None:
        elsewhere = Medium("postgres", postgres.folder)
        try:
            async with opened(postgres) as (one, owner), opened(elsewhere) as (two, _):
                await one.create_run(owner, new_run())
                assert (await two.list_runs()).rows == ()
                with pytest.raises(RunExists):
                    await one.create_run(owner, new_run())
        finally:
            elsewhere.remove()

    asyncio.run(main())


def test_stores_that_open_an_empty_database_together_set_it_up_once(postgres: Medium) -> None:
    async def main() -> None:
        stores: list[Store] = [postgres.store() for _ in range(5)]
        await asyncio.gather(*(store.open() for store in stores))
        versions = postgres.run_sql("SELECT version FROM schema_versions ORDER BY version")
        assert versions == [(n,) for n in range(1, len(versions) + 1)]
        numbers = [(await store.register("engine", 60)).number for store in stores]
        assert len(set(numbers)) == 5
        await asyncio.gather(*(store.close() for store in stores))

    asyncio.run(main())


def test_a_server_that_goes_away_is_an_error_and_its_return_is_enough(postgres: Medium) -> None:
    async def main() -> None:
        async with opened(postgres) as (store, owner):
            lease = await store.create_run(owner, new_run())
            postgres.run_sql("ALTER TABLE journal RENAME TO gone")
            with pytest.raises(StoreUnavailable, match=r"gone|journal"):
                await store.append(lease, [STARTED])
            with pytest.raises(StoreUnavailable, match="while reading"):
                await store.read_journal("run-1")
            postgres.run_sql("ALTER TABLE gone RENAME TO journal")
            assert await store.append(lease, [STARTED]) == 1
            assert len(await store.read_journal("run-1")) == 1

    asyncio.run(main())


def test_a_run_that_another_engine_takes_while_a_claim_waits_for_it_is_not_taken_from_it(
    postgres: Medium,
) -> None:
    async def main() -> None:
        async with opened(postgres) as (store, dead):
            await store.create_run(dead, new_run())
            await store.retire(dead)
            heirs = [await store.register(f"heir-{number}", 60) for number in range(2)]
            with transaction(postgres) as other:
                other.execute("UPDATE runs SET owner = %s", (heirs[1].number,))
                claiming = asyncio.create_task(store.claim(heirs[0], "run-1"))
                await until_waiting_for_a_lock(postgres)
                other.commit()
                with pytest.raises(RunHeld, match="heir-1"):
                    await claiming

    asyncio.run(main())
