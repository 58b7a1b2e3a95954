"""What a store on PostgreSQL does beside its commits: leases, upkeep, listening, and coming back."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from agenticaiframework.patterns.engine.store import (
    NewRun,
    Record,
    Retention,
    RunUpdate,
    StoreRefused,
    StoreUnavailable,
    ValueNotStorable,
    administer,
    open_store,
)

from .media import FINISHED, STARTED, Medium, new_run, opened
from .test_postgres import cut_connections, transaction, until_waiting_for_a_lock


@pytest.mark.parametrize("table", ["runs", "journal", "definitions"])
def test_a_lease_is_renewed_while_a_table_is_locked(postgres: Medium, table: str) -> None:
    async def main() -> None:
        async with opened(postgres) as (store, owner):
            lease = await store.create_run(owner, new_run())
            with transaction(postgres) as other:
                other.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
                writing = asyncio.gather(
                    store.append(lease, [STARTED]), store.create_run(owner, new_run("run-2"))
                )
                purging = asyncio.ensure_future(store.purge(Retention(max_finished=0)))
                await until_waiting_for_a_lock(postgres)
                assert await asyncio.wait_for(store.renew(owner), 120)
                assert not writing.done()
            await asyncio.gather(writing, purging)

    asyncio.run(main())


def test_appends_go_on_while_a_recovery_and_a_purge_wait(postgres: Medium) -> None:
    async def main() -> None:
        async with opened(postgres) as (store, owner):
            ended = await store.create_run(owner, new_run("ended"), [STARTED])
            await store.append(ended, [FINISHED], RunUpdate("done", finished=True))
            lease = await store.create_run(owner, new_run("run-1"), [STARTED])
            with transaction(postgres) as other:
                other.execute("SELECT 1 FROM runs WHERE run_id = 'ended' FOR UPDATE")
                purging = asyncio.ensure_future(store.purge(Retention(max_finished=0)))
                await until_waiting_for_a_lock(postgres)
                assert await asyncio.wait_for(store.append(lease, [FINISHED]), 120) == 2
                assert not purging.done()
            assert await purging == 1

    asyncio.run(main())


def test_a_claim_whose_acknowledgement_was_lost_is_known_again(postgres: Medium) -> None:
    """Nothing else would ever look for what an engine that lives has taken."""

    async def main() -> None:
        async with opened(postgres) as (store, owner):
            for number in range(3):
                await store.create_run(owner, new_run(f"r{number}"), [STARTED])
            await store.retire(owner)
            heir = await store.register("heir", 60)
            claims = []
            for _ in range(20):
                claiming = asyncio.ensure_future(store.claim_abandoned(heir, 1))
                await asyncio.sleep(0)
                await asyncio.to_thread(cut_connections, postgres)
                claims += await claiming
                if len(claims) == 3:
                    break
            assert sorted(lease.run_id for lease in claims) == ["r0", "r1", "r2"]
            for lease in claims:
                assert await store.append(lease, [FINISHED]) == 2

    asyncio.run(main())


def test_signals_are_there_once_although_connections_are_cut_under_them(postgres: Medium) -> None:
    async def main() -> None:
        async with opened(postgres) as (store, owner):
            await store.create_run(owner, new_run(), [STARTED])
            for turn in range(15):
                sent = asyncio.gather(
                    *(store.put_signal("run-1", "go", [turn, n]) for n in range(4))
                )
                await asyncio.sleep(0)
                await asyncio.to_thread(cut_connections, postgres)
                assert len(set(await sent)) == 4
            found = [signal.payload for signal in await store.pending_signals("run-1")]
            assert sorted(found) == [[turn, n] for turn in range(15) for n in range(4)]
            assert (await store.pending_signals_of(["run-1", "none"])).keys() == {"run-1"}

    asyncio.run(main())


def test_a_signal_from_another_process_is_heard(postgres: Medium) -> None:
    async def main() -> None:
        heard: asyncio.Queue[str] = asyncio.Queue()
        async with opened(postgres) as (store, owner), opened(postgres) as (other, _):
            await store.create_run(owner, new_run("run-1"))
            await store.create_run(owner, new_run("ü"))
            store.listen(heard.put_nowait)
            await until_listening(postgres)
            await other.put_signal("run-1", "go")
            assert await asyncio.wait_for(heard.get(), 120) == "run-1"
            assert await other.request_cancel("ü", "enough")
            assert await asyncio.wait_for(heard.get(), 120) == "ü"
            assert cut_connections(postgres)
            await until_listening(postgres)
            await other.put_signal("run-1", "go")
            assert await asyncio.wait_for(heard.get(), 120) == "run-1"

    asyncio.run(main())


def test_what_happens_to_a_run_is_told_if_something_waits_for_it(postgres: Medium) -> None:
    async def main() -> None:
        heard: asyncio.Queue[str] = asyncio.Queue()
        async with opened(postgres) as (store, owner), opened(postgres) as (other, _):
            leases = [await store.create_run(owner, new_run(f"r{n}"), [STARTED]) for n in range(4)]
            other.listen(heard.put_nowait)
            await until_listening(postgres)
            watches = postgres_of(other).watches
            watches.note(["r1", "r3", "none"])
            watches.note(["r1"])
            for lease in leases:
                await store.append(lease, [FINISHED])
            assert {await asyncio.wait_for(heard.get(), 120) for _ in range(2)} == {"r1", "r3"}
            ending = [store.append(each, [FINISHED], RunUpdate("on", True)) for each in leases[1:]]
            await asyncio.gather(*ending)
            assert {await asyncio.wait_for(heard.get(), 120) for _ in range(2)} == {"r1", "r3"}
            await other.put_signal("r0", "last")
            assert await asyncio.wait_for(heard.get(), 120) == "r0"

    asyncio.run(main())


def postgres_of(store: Any) -> Any:
    """Return the backend; its reader has nothing to do meanwhile."""
    return store._backend


def connections(medium: Medium) -> int:
    """Return how many connections the stores of this test have."""
    found = medium.run_sql(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", medium.schema
    )
    return int(found[0][0])


async def until_listening(medium: Medium) -> None:
    async with asyncio.timeout(120):
        while not medium.run_sql(
            "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND query LIKE 'LISTEN%%'",
            medium.schema,
        ):
            await asyncio.sleep(0.01)


def test_many_signals_are_told_of_in_payloads_that_the_server_takes(postgres: Medium) -> None:
    async def main() -> None:
        heard: list[str] = []
        async with opened(postgres) as (store, owner), opened(postgres) as (other, _):
            names = [f"run-{n:03d}-{'x' * 60}" for n in range(300)]
            await asyncio.gather(*(store.create_run(owner, new_run(name)) for name in names))
            store.listen(heard.append)
            await until_listening(postgres)
            await asyncio.gather(*(other.put_signal(name, "go") for name in names))
            async with asyncio.timeout(120):
                while len(heard) < len(names):
                    await asyncio.sleep(0.01)
            assert sorted(heard) == names

    asyncio.run(main())


def changed(medium: Medium, **changes: str) -> str:
    """Return the medium's URL with other parts."""
    parts = urlsplit(medium.url)
    login = f"{changes.get('user', parts.username)}:{changes.get('password', '')}"
    place = f"{login}@{parts.hostname}:{changes.get('port', parts.port)}"
    path = changes.get("path", parts.path)
    query = f"{parts.query}{changes.get('query', '')}"
    return urlunsplit((parts.scheme, place, path, query, ""))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"user": "nobody_of_that_name"}, "nobody_of_that_name"),
        ({"path": "/no_such_database"}, "no_such_database"),
        ({"query": "&options=-c%20no_such_setting%3D1"}, "no_such_setting"),
    ],
)
def test_what_only_people_can_change_is_told_as_such(
    postgres: Medium, changes: dict[str, str], says: str
) -> None:
    async def main() -> None:
        store = open_store(changed(postgres, **changes))
        with pytest.raises(StoreRefused, match=says) as refused:
            await store.open()
        assert "Waiting does not help" in str(refused.value)
        assert "can be continued" not in str(refused.value)

    asyncio.run(main())


def test_a_label_that_no_index_takes_refuses_its_run_alone(postgres: Medium) -> None:
    value = "".join(chr(33 + n * n % 89) + str(n * 7919) for n in range(4_000))

    async def main() -> None:
        async with opened(postgres) as (store, owner):
            created = [store.create_run(owner, new_run(f"r{n}")) for n in range(2)]
            large = NewRun("large", "invoice", "h", "{}", labels={"a": value})
            with pytest.raises(ValueNotStorable, match="the label 'a' cannot be stored"):
                await store.create_run(owner, large)
            created.append(store.create_run(owner, new_run("r2")))
            assert len(await asyncio.gather(*created)) == 3

    asyncio.run(main())


def test_a_server_that_is_not_there_is_told_as_something_that_passes(postgres: Medium) -> None:
    async def main() -> None:
        with pytest.raises(StoreUnavailable, match=r"(?s)while connecting.*can be continued"):
            await open_store(changed(postgres, port="1")).open()

    asyncio.run(main())


def test_a_missing_privilege_is_told_as_such(postgres: Medium) -> None:
    role = f"role_{postgres.schema}"

    async def main() -> None:
        async with opened(postgres) as (store, owner):
            await store.create_run(owner, new_run())
            postgres.run_sql(f"CREATE ROLE {role} LOGIN")
            grants = administer(postgres.url).sql(role).rpartition("COMMIT;")[2]
            for grant in filter(None, map(str.strip, grants.split(";"))):
                postgres.run_sql(grant)
            other = open_store(changed(postgres, user=role))
            await other.open()
            for table in ("notices", "owners"):
                postgres.run_sql(f"REVOKE INSERT ON {postgres.schema}.{table} FROM {role}")
            assert (await other.load_run("run-1")).name == "invoice"
            with pytest.raises(StoreRefused, match="permission denied"):
                await other.put_signal("run-1", "go")
            with pytest.raises(StoreRefused, match="permission denied"):
                await other.register("engine", 60)
            await other.close()

    try:
        asyncio.run(main())
    finally:
        postgres.run_sql(f"DROP OWNED BY {role}")
        postgres.run_sql(f"DROP ROLE {role}")


def waiting_since(medium: Medium) -> list[Any]:
    """Return when the statements have begun that wait for a lock."""
    return medium.run_sql(
        "SELECT query_start FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
        "AND application_name = %s",
        medium.schema,
    )


def test_a_batch_that_the_statement_timeout_cancels_is_tried_again(postgres: Medium) -> None:
    async def main() -> None:
        async with opened(postgres):
            pass  # it is set up without a limit
        store = open_store(f"{postgres.url}&options=-c%20statement_timeout%3D1s")
        await store.open()
        owner = await store.register("engine", 60)
        lease = await store.create_run(owner, new_run())
        with transaction(postgres) as other:
            other.execute("LOCK TABLE journal IN ACCESS EXCLUSIVE MODE")
            writing = asyncio.ensure_future(store.append(lease, [STARTED]))
            await until_waiting_for_a_lock(postgres)
            first = waiting_since(postgres)
            while waiting_since(postgres) == first:
                await asyncio.sleep(0.01)  # until it was cancelled for the first time
        assert await writing == 1
        assert len(await store.read_journal("run-1")) == 1
        await store.close()

    asyncio.run(main())


def test_a_batch_that_no_statement_can_say_is_written_all_the_same(postgres: Medium) -> None:
    """A run that is created, changed and ended in one batch; a run that changes twice."""

    async def main() -> None:
        async with opened(postgres) as (store, owner):
            creating = store.create_run(owner, new_run("a"), [STARTED])
            lease = await creating
            writes = [
                store.append(lease, [Record("n", data=n)], RunUpdate(f"state-{n}"))
                for n in range(5)
            ]
            assert await asyncio.gather(*writes) == [2, 3, 4, 5, 6]
            assert (await store.load_run("a")).state == "state-4"

    asyncio.run(main())


def test_a_store_uses_four_connections(postgres: Medium) -> None:
    """Four for each store: writing, reading, the lease, listening."""

    async def main() -> None:
        async with opened(postgres) as (store, owner):
            store.listen(lambda run_id: None)
            await until_listening(postgres)
            await store.renew(owner)
            await store.load_runs(["none"])
            async with asyncio.timeout(120):  # until the server has ended what made the schema
                while connections(postgres) > 4:
                    await asyncio.sleep(0.01)
            assert connections(postgres) == 4

    asyncio.run(main())


def test_on_a_loop_that_watches_no_sockets_a_thread_does_everything(
    postgres: Medium, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        def refuse(*args: Any) -> None:
            raise NotImplementedError

        async with opened(postgres) as (store, owner):
            monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", refuse)
            store.listen(lambda run_id: None)
            leases = [await store.create_run(owner, new_run(f"r{n}"), [STARTED]) for n in range(5)]
            for turn in range(3):
                writes = [store.append(lease, [FINISHED]) for lease in leases]
                assert await asyncio.gather(*writes) == [turn + 2] * 5
            monkeypatch.undo()

    asyncio.run(main())


def test_a_schema_that_is_away_is_told_at_once_and_its_return_is_enough(postgres: Medium) -> None:
    async def main() -> None:
        async with opened(postgres) as (store, _):
            await store.load_runs(["none"])
            postgres.run_sql(f"ALTER SCHEMA {postgres.schema} RENAME TO {postgres.schema}_away")
            try:
                # No table: that is told at once, and once it is back all is well.
                with pytest.raises(StoreUnavailable, match="does not exist"):
                    await store.load_run("none")
            finally:
                postgres.run_sql(f"ALTER SCHEMA {postgres.schema}_away RENAME TO {postgres.schema}")
            assert await store.load_runs(["none"]) == {}

    asyncio.run(main())
