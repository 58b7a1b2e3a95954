"""A medium that fails: loud, typed, nothing acknowledged, no gap in a journal."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.patterns.engine.store import (
    Durability,
    Record,
    RunUpdate,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreUnavailable,
    StoreVersionTooNew,
    open_store,
)
from agenticaiframework.patterns.engine.store.grouped.jobs import Job
from agenticaiframework.patterns.engine.store.grouped.store import GroupedStore
from agenticaiframework.patterns.engine.store.sqlite.backend import SQLiteBackend
from agenticaiframework.patterns.engine.store.sqlite.schema import MIGRATIONS, migrate

from .media import FINISHED, STARTED, Clock, Medium, new_run, opened


class Moody(SQLiteBackend):
    """A SQLite file whose commits do what the test says: before, instead, after."""

    def __init__(self, path: Path, **options: Any) -> None:
        super().__init__(str(path), clock=Clock(), **options)
        self.opening: Callable[[], None] = lambda: None
        self.before: Callable[[int], None] = lambda number: None
        self.after: Callable[[int], None] = lambda number: None
        self.commits = 0

    def open(self) -> None:
        self.opening()
        super().open()

    def commit(self, jobs: list[Job]) -> None:
        self.commits += 1
        self.before(self.commits)
        super().commit(jobs)
        self.after(self.commits)


def moody_store(path: Path, inline: bool, **options: Any) -> tuple[Moody, GroupedStore]:
    backend = Moody(path, **options)
    return backend, GroupedStore(backend, clock=Clock(), inline=inline)


def wait_for(gate: threading.Event) -> None:
    assert gate.wait(120)


def out_of_order(number: int) -> None:
    raise StoreUnavailable("sqlite", "committing", "the disk is on fire")


@pytest.mark.parametrize("inline", [True, False])
def test_nothing_is_acknowledged_while_the_medium_fails_and_then_it_goes_on(
    tmp_path: Path, inline: bool
) -> None:
    async def main() -> None:
        backend, store = moody_store(tmp_path / "s.db", inline)
        await store.open()
        owner = await store.register("engine", 60)
        leases = [await store.create_run(owner, new_run(f"r{n}"), [STARTED]) for n in range(5)]
        backend.before = out_of_order
        outcomes = await asyncio.gather(
            *(store.append(lease, [Record("lost")]) for lease in leases),
            *(store.append(lease, [Record("lost too")]) for lease in leases),
            store.create_run(owner, new_run("never"), [STARTED]),
            store.put_signal("r0", "lost"),
            return_exceptions=True,
        )
        for outcome in outcomes:
            assert isinstance(outcome, StoreUnavailable)
        # Each waiter has an error of its own to raise.
        assert len({id(outcome) for outcome in outcomes}) == len(outcomes)
        backend.before = lambda number: None
        assert [lease.next_seq for lease in leases] == [2] * 5
        assert (
            await asyncio.gather(
                *(store.append(lease, [FINISHED], RunUpdate("done")) for lease in leases)
            )
            == [2] * 5
        )
        for lease in leases:
            entries = await store.read_journal(lease.run_id)
            assert [entry.kind for entry in entries] == ["step_started", "step_finished"]
        assert [row.run_id for row in (await store.list_runs()).rows] == [
            *("r4", "r3", "r2", "r1", "r0"),
        ]
        assert await store.pending_signals("r0") == []
        await store.create_run(owner, new_run("never"))
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize("inline", [True, False])
def test_what_was_queued_behind_a_failed_append_of_the_run_fails_too(
    tmp_path: Path, inline: bool
) -> None:
    async def main() -> None:
        backend, store = moody_store(tmp_path / "s.db", inline)
        await store.open()
        owner = await store.register("engine", 60)
        lease = await store.create_run(owner, new_run())
        bystander = await store.create_run(owner, new_run("bystander"))
        failing = backend.commits + 1

        def once(number: int) -> None:
            if number == failing:
                raise StoreFull("sqlite", "committing", "no space")

        backend.before = once
        # More rows than a commit takes, so that they spread over several.
        doomed = [store.append(lease, [Record("r", data=n)]) for n in range(600)]
        fine = store.append(bystander, [Record("fine")])
        outcomes = await asyncio.gather(*doomed, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {StoreFull, StoreUnavailable}
        assert "the append before this one failed" in str(outcomes[-1])
        assert await fine == 1
        assert await store.read_journal("run-1") == []
        assert await store.append(lease, [Record("after")]) == 1
        assert await store.append(lease, [Record("after")]) == 2
        await store.close()

    asyncio.run(main())


def test_a_defect_in_a_backend_fails_its_batch_and_not_the_writer(tmp_path: Path) -> None:
    async def main() -> None:
        backend, store = moody_store(tmp_path / "s.db", False)
        await store.open()
        owner = await store.register("engine", 60)
        lease = await store.create_run(owner, new_run())

        def defect(number: int) -> None:
            raise ZeroDivisionError("a defect")

        backend.before = defect
        with pytest.raises(StoreUnavailable, match="a defect") as caught:
            await store.append(lease, [STARTED])
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        backend.before = lambda number: None
        assert await store.append(lease, [STARTED]) == 1
        await store.close()

    asyncio.run(main())


def test_a_write_that_outlived_its_failed_acknowledgement_is_found_on_recovery(
    tmp_path: Path,
) -> None:
    """The power goes between the commit and its report: the record is there, nobody was told."""

    async def main() -> None:
        backend, store = moody_store(tmp_path / "s.db", True)
        await store.open()
        owner = await store.register("engine", 60)
        lease = await store.create_run(owner, new_run(), [STARTED])
        backend.after = out_of_order
        with pytest.raises(StoreUnavailable):
            await store.append(lease, [FINISHED])
        backend.after = lambda number: None
        # Its number is taken: the engine has to read the journal before it goes on.
        with pytest.raises(StoreCorrupt, match="cannot be written"):
            await store.append(lease, [Record("another")])
        lease = await store.claim(owner, "run-1")
        assert lease.next_seq == 3
        assert [e.kind for e in await store.read_journal("run-1")] == [
            *("step_started", "step_finished"),
        ]
        await store.close()

    asyncio.run(main())


def test_an_append_of_durability_none_that_is_lost_is_told_by_the_next(tmp_path: Path) -> None:
    async def main() -> None:
        backend, store = moody_store(tmp_path / "s.db", False)
        await store.open()
        owner = await store.register("engine", 60)
        lease = await store.create_run(owner, new_run(durability=Durability.NONE), [STARTED])
        await store.put_signal("run-1", "behind it")
        backend.before = out_of_order
        assert await store.append(lease, [FINISHED]) == 2
        with pytest.raises(StoreUnavailable):
            await store.put_signal("run-1", "behind it")
        backend.before = lambda number: None
        with pytest.raises(StoreUnavailable, match="on fire"):
            await store.append(lease, [Record("told")])
        assert await store.append(lease, [Record("on")]) == 2
        await store.close()
        await store.open()
        kinds = [entry.kind for entry in await store.read_journal("run-1")]
        assert kinds == ["step_started", "on"]
        await store.close()

    asyncio.run(main())


def test_a_full_disk_is_a_typed_error_and_what_was_written_stays(sqlite: Medium) -> None:
    async def main() -> None:
        backend, store = moody_store(sqlite.path, False)
        await store.open()
        owner = await store.register("engine", 60)
        lease = await store.create_run(owner, new_run(), [STARTED])
        connection = backend._connection
        assert connection is not None
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StoreFull, match="free space or purge finished runs") as caught:
            await store.append(lease, [Record("big", data="x" * 50_000)])
        assert isinstance(caught.value.__cause__, sqlite3.Error)
        assert len(await store.read_journal("run-1")) == 1
        connection.execute(f"PRAGMA max_page_count = {pages + 100}")
        assert await store.append(lease, [Record("big", data="x" * 50_000)]) == 2
        await store.close()

    asyncio.run(main())


def opening(path: Path) -> sqlite3.Connection:
    """Somebody who is about to write into the new file, as its first opener is."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    return other


def test_a_new_file_that_another_opens_too_is_waited_for(sqlite: Medium) -> None:
    async def main() -> None:
        other = opening(sqlite.path)
        timer = threading.Timer(0.1, other.close)
        timer.start()
        _, store = moody_store(sqlite.path, False, busy_timeout_s=60)
        await store.open()
        timer.join()
        assert (await store.register("engine", 60)).number == 1
        await store.close()

    asyncio.run(main())


def test_a_new_file_that_another_never_leaves_is_an_error_that_says_so(sqlite: Medium) -> None:
    async def main() -> None:
        other = opening(sqlite.path)
        _, store = moody_store(sqlite.path, False, busy_timeout_s=0.05)
        with pytest.raises(StoreUnavailable, match="opening.*another process kept the file locked"):
            await store.open()
        other.close()
        await store.open()
        await store.close()

    asyncio.run(main())


def test_a_file_locked_for_too_long_is_an_error_that_says_so(sqlite: Medium) -> None:
    async def main() -> None:
        _, store = moody_store(sqlite.path, False, busy_timeout_s=0.05)
        await store.open()
        owner = await store.register("engine", 60)
        lease = await store.create_run(owner, new_run())
        blocker = sqlite3.connect(sqlite.path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="another process kept the file locked"):
            await store.append(lease, [STARTED])
        blocker.execute("ROLLBACK")
        blocker.close()
        assert await store.append(lease, [STARTED]) == 1
        await store.close()

    asyncio.run(main())


def test_the_wait_for_a_file_that_another_has_to_itself_ends_when_it_should(
    sqlite: Medium,
) -> None:
    async def main() -> None:
        other = sqlite3.connect(sqlite.path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        _, store = moody_store(sqlite.path, False, busy_timeout_s=1)
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable, match="another process kept the file locked"):
            await asyncio.wait_for(store.open(), 120)
        assert time.monotonic() - begun >= 1
        other.close()

    asyncio.run(main())


def test_a_file_that_was_deleted_is_told_and_not_made_again(sqlite: Medium) -> None:
    async def main() -> None:
        store = sqlite.store()
        await store.open()
        owner = await store.register("engine", 60)
        lease = await store.create_run(owner, new_run(), [STARTED])
        for path in list(sqlite.folder.iterdir()):
            path.unlink()
        await asyncio.sleep(0.02)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="the file was deleted"):
                await store.append(lease, [FINISHED])
        with pytest.raises(StoreUnavailable, match="unable to open"):
            await store.load_run("run-1")
        assert os.listdir(sqlite.folder) == []
        await store.close()
        await store.open()
        assert (await store.list_runs()).rows == ()
        await store.close()

    asyncio.run(main())


def test_a_file_that_is_deleted_under_a_busy_writer_is_noticed(sqlite: Medium) -> None:
    async def main() -> None:
        store = sqlite.store()
        await store.open()
        owner = await store.register("engine", 60)
        lease = await store.create_run(owner, new_run(), [STARTED])
        for path in list(sqlite.folder.iterdir()):
            path.unlink()

        async def write_until_it_fails() -> None:
            while True:
                await store.append(lease, [FINISHED])

        with pytest.raises(StoreUnavailable, match="the file was deleted"):
            await asyncio.wait_for(write_until_it_fails(), 120)
        await store.close()

    asyncio.run(main())


def test_a_relative_path_stays_the_same_file_wherever_the_process_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path)
        store = open_store("sqlite:///a %3F%23%25.db")
        await store.open()
        monkeypatch.chdir(tmp_path / "elsewhere")
        owner = await store.register("engine", 60)
        await store.create_run(owner, new_run())
        assert len((await store.list_runs()).rows) == 1
        await store.close()
        await store.open()
        assert len((await store.list_runs()).rows) == 1
        await store.close()
        assert sorted(os.listdir(tmp_path)) == ["a ?#%.db", "elsewhere"]
        assert os.listdir(tmp_path / "elsewhere") == []

    asyncio.run(main())


class Hog:
    """Somebody who writes all the time, and lets go of the file for moments only."""

    def __init__(self, path: Path) -> None:
        self.turns = 0
        self.at_it = threading.Event()
        self._path = path
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def _write(self) -> None:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=60)
        while not self._ended.is_set():
            connection.execute("BEGIN IMMEDIATE")
            self.turns += 1
            self.at_it.set()
            self._ended.wait(0.35)
            self.at_it.clear()
            connection.execute("COMMIT")
            time.sleep(0.015)
        connection.close()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()


def test_an_engine_that_writes_all_the_time_does_not_keep_another_out(sqlite: Medium) -> None:
    async def main() -> None:
        _, store = moody_store(sqlite.path, False, busy_timeout_s=60)
        await store.open()
        owner = await store.register("engine", 60)
        lease = await store.create_run(owner, new_run())
        hog = Hog(sqlite.path)
        for number in range(1, 6):
            wait_for(hog.at_it)
            assert await store.append(lease, [STARTED]) == number
        wait_for(hog.at_it)
        await store.put_signal("run-1", "go")
        hog.end()
        # A few turns each at most; looking every 100 ms would take seven.
        assert hog.turns <= 25
        await store.close()

    asyncio.run(main())


def test_a_file_that_is_no_database_is_refused(sqlite: Medium) -> None:
    sqlite.path.write_bytes(b"This is a letter to my aunt, not a database. " * 50)

    async def main() -> None:
        store = sqlite.store()
        with pytest.raises(StoreCorrupt, match="not a database"):
            await store.open()
        await store.close()
        with pytest.raises(StoreClosed):
            await store.load_run("x")

    asyncio.run(main())


def test_a_database_of_somebody_else_is_refused_and_left_alone(sqlite: Medium) -> None:
    with sqlite3.connect(sqlite.path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    before = sqlite.path.read_bytes()

    async def main() -> None:
        with pytest.raises(StoreUnavailable, match=r"holds other tables \(recipes\)"):
            await sqlite.store().open()

    asyncio.run(main())
    after = sqlite3.connect(sqlite.path)
    assert after.execute("SELECT name FROM sqlite_schema").fetchall() == [("recipes",)]
    after.close()
    assert before[100:] == sqlite.path.read_bytes()[100:]


def test_a_missing_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    async def main() -> None:
        store = open_store(f"sqlite:///{tmp_path}/missing/s.db")
        with pytest.raises(StoreUnavailable, match=r"there is no folder '.*missing'"):
            await store.open()

    asyncio.run(main())


def test_a_store_from_a_newer_version_is_refused(durable_medium: Medium) -> None:
    async def main() -> None:
        async with opened(durable_medium):
            pass
        if durable_medium.kind == "postgres":
            durable_medium.run_sql("INSERT INTO schema_versions VALUES (7)")
        else:
            with sqlite3.connect(durable_medium.path) as connection:
                connection.execute("INSERT INTO schema_versions VALUES (7, 0)")
            connection.close()
        with pytest.raises(
            StoreVersionTooNew, match=f"version 7, this program knows up to {len(MIGRATIONS)}"
        ):
            await durable_medium.store().open()

    asyncio.run(main())


def test_a_store_from_an_older_version_is_migrated_at_once_or_not_at_all(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    migrate(connection, "s", 1)
    good = (*MIGRATIONS, "ALTER TABLE runs ADD COLUMN weight INTEGER NOT NULL DEFAULT 3")
    bad = (*good, "CREATE TABLE extra (x INTEGER); CREATE TABLE runs (y INTEGER)")
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        migrate(connection, "s", 3, bad)

    def state() -> tuple[list[Any], list[Any]]:
        versions = connection.execute("SELECT * FROM schema_versions").fetchall()
        columns = connection.execute("SELECT name FROM pragma_table_info('runs')").fetchall()
        return versions, [name for (name,) in columns if name == "weight"]

    before = [(version, 1) for version in range(1, len(MIGRATIONS) + 1)]
    assert state() == (before, [])
    migrate(connection, "s", 4, good)
    migrate(connection, "s", 5, good)
    assert state() == ([*before, (len(good), 4)], ["weight"])
    connection.close()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("DELETE FROM journal WHERE seq = 2", "jumps to 3"),
        ("DELETE FROM journal WHERE seq = 1", "jumps to 2"),
        ("UPDATE journal SET body = '[[\"cut' WHERE seq = 2", "is not JSON"),
        ("UPDATE journal SET body = x'ff' WHERE seq = 2", "not UTF-8"),
        ("UPDATE journal SET body = '[]' WHERE seq = 2", "holds no records"),
        ("UPDATE journal SET body = '[7]' WHERE seq = 2", "is not a record"),
        ("UPDATE journal SET fence = 0 WHERE seq = 2", "had been fenced out"),
        ("DELETE FROM blobs", "spilled value '.*' is missing"),
    ],
)
def test_a_damaged_journal_is_not_read_as_if_it_were_sound(
    sqlite: Medium, damage: str, said: str
) -> None:
    async def main() -> None:
        async with opened(sqlite) as (store, owner):
            lease = await store.create_run(owner, new_run(), [STARTED])
            await store.append(lease, [FINISHED])
            await store.append(lease, [Record("big", data="x" * 70_000)])
            assert len(await store.read_journal("run-1")) == 3
            with sqlite3.connect(sqlite.path) as connection:
                connection.execute(damage)
            connection.close()
            with pytest.raises(StoreCorrupt, match=said):
                await store.read_journal("run-1")

    asyncio.run(main())


def test_a_torn_end_of_the_log_costs_the_torn_transaction_and_no_other(sqlite: Medium) -> None:
    """A power cut in the middle of writing a transaction: what was acknowledged before stays."""

    async def main() -> None:
        async with opened(sqlite) as (store, owner):
            lease = await store.create_run(owner, new_run(), [STARTED])
            log = sqlite.path.with_name("state.db-wal")
            before = log.read_bytes()
            await store.append(lease, [FINISHED])
            after = log.read_bytes()
            database = sqlite.path.read_bytes()
        changed = [at for at in range(len(after)) if after[at : at + 1] != before[at : at + 1]]
        middle = changed[len(changed) // 2]
        sqlite.path.write_bytes(database)
        log.write_bytes(after[:middle] + before[middle:])
        async with opened(sqlite) as (store, owner):
            assert [e.kind for e in await store.read_journal("run-1")] == ["step_started"]
            sqlite.clock.now += 100
            (lease,) = await store.claim_abandoned(owner)
            assert await store.append(lease, [FINISHED]) == 2
        sqlite.path.write_bytes(database)
        log.write_bytes(after)
        async with opened(sqlite) as (store, _):
            assert len(await store.read_journal("run-1")) == 2

    asyncio.run(main())


# Nothing is left behind


def handles() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts handles in /proc")
def test_closing_lets_go_of_files_threads_and_locks(shared_medium: Medium) -> None:
    async def main() -> None:
        gc.collect()  # what earlier tests have left open is closed now, and not between two counts
        for turn in range(3):
            async with opened(shared_medium) as (store, owner):
                await store.create_run(owner, new_run(f"r{turn}"))
                await store.list_runs()
            if turn == 0:
                before = handles(), threading.active_count()
        assert (handles(), threading.active_count()) == before
        left = [each.name for each in shared_medium.folder.iterdir()]
        assert left == (["state.db"] if "sqlite" in shared_medium.kind else [])

    asyncio.run(main())


def test_inline_stores_start_no_thread(tmp_path: Path) -> None:
    async def main() -> None:
        for kind in ("sqlite-inline", "memory"):
            async with opened(Medium(kind, tmp_path)) as (store, owner):
                await store.create_run(owner, new_run())
                await store.list_runs()
                assert not [t for t in threading.enumerate() if t.name.startswith("store-")]

    asyncio.run(main())


def test_the_writers_thread_is_a_daemon_with_the_stores_name(sqlite: Medium) -> None:
    async def main() -> None:
        async with opened(sqlite) as (store, _):
            await store.list_runs()
            threads = {thread.name: thread for thread in threading.enumerate()}
            for name in (f"store-{store.url}", f"store-reader-{store.url}"):
                assert threads[name].daemon

    asyncio.run(main())


def test_a_store_that_nobody_closed_ends_its_threads_when_it_is_forgotten(sqlite: Medium) -> None:
    async def main() -> None:
        store = sqlite.store()
        await store.open()
        await store.list_runs()

    asyncio.run(main())
    gc.collect()
    for thread in threading.enumerate():
        if thread.name.startswith("store-"):
            thread.join(120)
    assert not [t for t in threading.enumerate() if t.name.startswith("store-")]


def test_what_waits_for_a_forgotten_store_is_still_answered(sqlite: Medium) -> None:
    async def main() -> None:
        backend, store = moody_store(sqlite.path, False)
        await store.open()
        owner = await store.register("engine", 60)
        lease = await store.create_run(owner, new_run())
        gate = threading.Event()
        backend.before = lambda number: wait_for(gate)
        writing = store.append(lease, [STARTED])
        del store
        gc.collect()
        gate.set()
        assert await asyncio.wait_for(writing, 120) == 1

    asyncio.run(main())
    gc.collect()
    for thread in threading.enumerate():
        if thread.name.startswith("store-"):
            thread.join(120)


def test_a_reader_that_fails_tells_only_who_asked(sqlite: Medium) -> None:
    async def main() -> None:
        async with opened(sqlite) as (store, owner):
            await store.create_run(owner, new_run())
            with sqlite3.connect(sqlite.path) as connection:
                connection.execute("UPDATE runs SET input = 'oops'")
            connection.close()
            outcomes = await asyncio.gather(
                store.load_run("run-1"), store.read_journal("run-1"), return_exceptions=True
            )
            assert isinstance(outcomes[0], StoreError)
            assert outcomes[1] == []

    asyncio.run(main())


def test_a_store_can_be_opened_again_on_another_loop_even_when_it_was_not_closed(
    shared_medium: Medium,
) -> None:
    store = shared_medium.store()

    async def first() -> None:
        await store.open()
        owner = await store.register("engine", 60)
        await store.create_run(owner, new_run())
        await store.list_runs()

    async def second() -> None:
        await store.open()
        assert [row.run_id for row in (await store.list_runs()).rows] == ["run-1"]
        with pytest.raises(StoreUnavailable, match="open on another event loop"):
            await asyncio.to_thread(asyncio.run, store.open())
        await store.close()

    asyncio.run(first())
    asyncio.run(second())


def test_closing_goes_on_when_its_caller_is_cancelled(sqlite: Medium) -> None:
    async def main() -> None:
        backend, store = moody_store(sqlite.path, False)
        await store.open()
        owner = await store.register("engine", 60)
        lease = await store.create_run(owner, new_run())
        gate = threading.Event()
        backend.before = lambda number: wait_for(gate)
        writing = store.append(lease, [STARTED])
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        # Nothing is accepted any more that nobody would write.
        with pytest.raises(StoreClosed):
            await store.append(lease, [FINISHED])
        closing.cancel()
        gate.set()
        await store.close()
        assert await writing == 1
        with pytest.raises(asyncio.CancelledError):
            await closing

    asyncio.run(main())


class Gate:
    """Where a thread waits until the test lets it go on."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        wait_for(self.open)


async def is_in_order(store: GroupedStore) -> None:
    """Check that the store works, and goes on to do so."""
    for turn in range(3):
        owner = await store.register("engine", 60)
        await store.create_run(owner, new_run(f"r{turn}"))
        assert len((await store.list_runs()).rows) == turn + 1
        gc.collect()
        # Whoever is to end has had the time for it.
        for thread in store_threads():
            await asyncio.to_thread(thread.join, 0.1)
    await store.close()
    for thread in store_threads():
        thread.join(120)
    assert store_threads() == []


async def open_behind(gate: Gate, store: GroupedStore) -> None:
    """Open the store while *gate* still holds up what was there before, then let that go on."""
    opening = asyncio.create_task(store.open())
    await asyncio.sleep(0)
    gate.open.set()
    await opening
    await is_in_order(store)


async def end_abruptly() -> None:
    """Cancel all that still runs, as the end of a loop does."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.wait(others, timeout=120)


def store_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith("store-")]


def test_an_opening_that_was_given_up_does_no_harm_to_the_next(sqlite: Medium) -> None:
    async def main() -> None:
        backend, store = moody_store(sqlite.path, False)
        gate = backend.opening = Gate()
        first = asyncio.create_task(store.open())
        await asyncio.to_thread(wait_for, gate.reached)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await open_behind(gate, store)

    asyncio.run(main())


def test_an_opening_that_ended_with_its_loop_does_no_harm_to_the_next(sqlite: Medium) -> None:
    backend, store = moody_store(sqlite.path, False)
    gate = backend.opening = Gate()

    async def first() -> None:
        opening = asyncio.create_task(store.open())
        await asyncio.to_thread(wait_for, gate.reached)
        assert not opening.done()
        await end_abruptly()

    async def second() -> None:
        await open_behind(gate, store)

    asyncio.run(first())
    asyncio.run(second())


def test_a_closing_that_ended_with_its_loop_does_no_harm_to_the_next_opening(
    sqlite: Medium,
) -> None:
    backend, store = moody_store(sqlite.path, False)
    gate = Gate()

    async def first() -> None:
        await store.open()
        await store.list_runs()
        owner = await store.register("engine", 60)
        backend.before = lambda number: gate()
        renewing = asyncio.create_task(store.renew(owner))
        await asyncio.sleep(0)
        closing = asyncio.create_task(store.close())
        await asyncio.to_thread(wait_for, gate.reached)
        await end_abruptly()
        assert renewing.cancelled()
        assert closing.cancelled()

    async def second() -> None:
        backend.before = lambda number: None
        await open_behind(gate, store)

    asyncio.run(first())
    asyncio.run(second())
