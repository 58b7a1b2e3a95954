"""Lists of runs, their progress, and what is forgotten: the same on every store, and by an index."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from agenticaiframework.patterns.engine.store import (
    Progress,
    Record,
    Retention,
    RunFilter,
    RunUpdate,
    Store,
    open_store,
)
from agenticaiframework.patterns.engine.store.records import Owner

from .media import Medium, new_run, opened

ENDED = RunUpdate(state="completed", finished=True)
Holds = Callable[[dict[str, Any]], bool]
ODD = "'\"x"
STATES = ("completed", "failed", "waiting", "running")


async def add(store: Store, owner: Owner, run_id: str, ended: bool = True, **changes: Any) -> None:
    lease = await store.create_run(owner, new_run(run_id, **changes), [Record("started")])
    if ended:
        await store.append(lease, [Record("ended")], ENDED)


def test_progress_of_many_runs_is_one_answer(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            await add(store, owner, "a")
            lease = await store.create_run(owner, new_run("b"))
            assert await store.progress(["a", "none", "b", "a"]) == {
                "a": Progress(2, "completed", True, 1),
                "b": Progress(0, "running", False, 1),
            }
            await store.append(lease, [Record("x"), Record("y")], RunUpdate(state="waiting"))
            await store.claim(owner, "b")
            assert await store.progress(["b"]) == {"b": Progress(2, "waiting", False, 2)}
            assert await store.progress([]) == {}

    asyncio.run(main())


def test_every_filter_and_every_two_of_them_agree_with_what_was_written(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            rows: list[dict[str, Any]] = []
            for number in range(24):
                run: dict[str, Any] = {
                    "run_id": f"r{number}",
                    "name": f"flow{number % 3}",
                    "state": STATES[number % 4],
                    "parent": f"p{number % 2}" if number % 5 == 0 else None,
                    "root": "root" if number % 5 == 0 else None,
                    "labels": {"n": str(number % 2), "m": ODD} if number % 3 else None,
                }
                lease = await store.create_run(owner, new_run(**run))
                if number % 4 < 2:
                    update = RunUpdate(state=run["state"], finished=True)
                    await store.append(lease, [Record("end")], update)
                rows.append(run)
            listed = (await store.list_runs()).rows
            at = {row.run_id: row for row in listed}
            assert [row.run_id for row in listed] == [f"r{n}" for n in reversed(range(24))]
            middle = at["r11"]
            conditions: dict[str, tuple[dict[str, Any], Holds]] = {
                "state": ({"states": frozenset({"failed"})}, lambda r: r["state"] == "failed"),
                "states": (
                    {"states": frozenset({"failed", "waiting", "odd"})},
                    lambda r: r["state"] in ("failed", "waiting"),
                ),
                "no state": ({"states": frozenset()}, lambda _: False),
                "name": ({"name": "flow1"}, lambda r: r["name"] == "flow1"),
                "parent": ({"parent": "p1"}, lambda r: r["parent"] == "p1"),
                "root": ({"root": "root"}, lambda r: r["root"] == "root"),
                "label": ({"labels": {"n": "1"}}, lambda r: (r["labels"] or {}).get("n") == "1"),
                "labels": (
                    {"labels": {"n": "0", "m": ODD}},
                    lambda r: (r["labels"] or {}).get("n") == "0",
                ),
                "open": ({"finished": False}, lambda r: at[r["run_id"]].finished_at is None),
                "ended": ({"finished": True}, lambda r: at[r["run_id"]].finished_at is not None),
                "owner": (
                    {"owner": owner.engine_id, "finished": False},
                    lambda r: at[r["run_id"]].finished_at is None,
                ),
                "after": (
                    {"created_after": middle.created_at},
                    lambda r: at[r["run_id"]].created_at > middle.created_at,
                ),
                "before": (
                    {"created_before": middle.created_at},
                    lambda r: at[r["run_id"]].created_at < middle.created_at,
                ),
                "ended after": (
                    {"finished_after": middle.created_at},
                    lambda r: (at[r["run_id"]].finished_at or 0) > middle.created_at,
                ),
                "ended before": (
                    {"finished_before": middle.created_at},
                    lambda r: (at[r["run_id"]].finished_at or 9e9) < middle.created_at,
                ),
            }
            pairs = itertools.combinations_with_replacement(conditions.values(), 2)
            for (one, is_one), (other, is_other) in pairs:
                if one.keys() & other.keys() and one != other:
                    continue
                expected = [r["run_id"] for r in reversed(rows) if is_one(r) and is_other(r)]
                where = RunFilter(**{**one, **other})
                found: list[str] = []
                page: str | None = None
                while True:
                    some = await store.list_runs(where, page, 5)
                    found += [row.run_id for row in some.rows]
                    page = some.next
                    if page is None:
                        break
                assert found == expected, where

    asyncio.run(main())


def test_runs_created_within_one_microsecond_are_told_apart_by_time(medium: Medium) -> None:
    async def main() -> None:
        medium.clock.__class__.__call__ = lambda self: self.now
        try:
            async with opened(medium) as (store, owner):
                for number in range(4):
                    await add(store, owner, f"r{number}")
                rows = (await store.list_runs()).rows
                assert [row.run_id for row in rows] == ["r3", "r2", "r1", "r0"]
                assert len({row.created_at for row in rows}) == 4
                later = await store.list_runs(RunFilter(created_after=rows[2].created_at))
                assert [row.run_id for row in later.rows] == ["r3", "r2"]
        finally:
            medium.clock.__class__.__call__ = _tick

    _tick = medium.clock.__class__.__call__
    asyncio.run(main())


def test_parts_are_forgotten_with_their_root_and_never_before_it(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            await add(store, owner, "root", ended=False)
            await add(store, owner, "part", parent="root", root="root", labels={"k": "v"})
            await add(store, owner, "inner", parent="part", root="root")
            await add(store, owner, "done")
            await add(store, owner, "done-part", parent="done", root="done")
            await add(store, owner, "half")
            await add(store, owner, "half-part", ended=False, parent="half", root="half")
            await add(store, owner, "lost-part", parent="gone", root="gone")

            async def there() -> set[str]:
                return {row.run_id for row in (await store.list_runs()).rows}

            everything = await there()
            assert await store.forget(["part", "inner", "root", "half", "none"]) == 0
            assert await there() == everything
            assert await store.purge(Retention(max_finished=0)) == 3
            gone = {"done", "done-part", "lost-part"}
            assert await there() == everything - gone
            lease = await store.claim(owner, "root")
            await store.append(lease, [Record("end")], ENDED)
            assert await store.forget(["root", "part"]) == 3
            assert await there() == {"half", "half-part"}
            assert (await store.list_runs(RunFilter(labels={"k": "v"}))).rows == ()

    asyncio.run(main())


def test_a_purge_ends_early_when_told_to(medium: Medium, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agenticaiframework.patterns.engine.store.grouped.store.PURGE_CHUNK", 3)

    async def main() -> None:
        async with opened(medium) as (store, owner):
            for number in range(10):
                await add(store, owner, f"r{number}")
            assert await store.purge(Retention(max_finished=1), 3) == 3
            assert await store.purge(Retention(max_finished=1)) == 6
            [kept] = (await store.list_runs()).rows
            assert kept.run_id == "r9"

    asyncio.run(main())


# -- by an index -----------------------------------------------------------------------------------

FILTERS: dict[str, RunFilter] = {
    "all": RunFilter(),
    "state": RunFilter(states=frozenset({"waiting"})),
    "states": RunFilter(states=frozenset({"waiting", "failed", "completed"})),
    "name": RunFilter(name="flow3"),
    "name and state": RunFilter(name="flow3", states=frozenset({"failed"})),
    "parent": RunFilter(parent="r1"),
    "root": RunFilter(root="r1"),
    "label": RunFilter(labels={"tenant": "t1"}),
    "label and state": RunFilter(labels={"tenant": "t1"}, states=frozenset({"failed"})),
    "open": RunFilter(finished=False),
    "ended": RunFilter(finished=True),
    "owner": RunFilter(owner="engine-1", finished=False),
    "created": RunFilter(created_after=1.0, created_before=2e9),
    "ended after": RunFilter(finished_after=1.0),
    "ended long ago": RunFilter(finished_before=2.0),
}


@pytest.fixture
def explained(sqlite: Medium, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How SQLite carries out each statement that a store makes from now on."""
    plans: list[str] = []
    connect = sqlite3.connect

    class Explaining(sqlite3.Connection):
        def execute(self, statement: str, parameters: Any = (), /) -> sqlite3.Cursor:
            word = statement.split()[0]
            if word in ("SELECT", "WITH", "UPDATE", "DELETE") and "schema" not in statement:
                found = super().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
                plans.extend(f"{row[3]}  <-  {statement}" for row in found)
            return super().execute(statement, parameters)

    def explaining(*arguments: Any, **options: Any) -> sqlite3.Connection:
        return connect(*arguments, factory=Explaining, **options)

    monkeypatch.setattr(sqlite3, "connect", explaining)
    return plans


def test_no_list_purge_or_claim_reads_all_runs(sqlite: Medium, explained: list[str]) -> None:
    async def main() -> None:
        store = open_store(sqlite.url, inline=True)
        await store.open()
        owner = await store.register("engine-1", 60)
        for number in range(3_000):
            run = new_run(
                f"r{number}", name=f"flow{number % 7}", durability="none",
                labels={"tenant": f"t{number % 50}"}, parent="r1" if number % 100 == 99 else None,
            )  # fmt: skip
            lease = store.submit_run(owner, run, lambda _: None, [Record("started")])
            state = "failed" if number % 20 == 3 else "completed"
            if number % 5:
                store.submit(lease, [], lambda _: None, RunUpdate(state=state, finished=True))
        await store.flush()
        explained.clear()
        for where in FILTERS.values():
            found = await store.list_runs(where, limit=20)
            if found.next is not None:
                await store.list_runs(where, found.next, limit=20)
        await store.progress(["r1", "r2"])
        for retention in (
            Retention(max_age_s=1e9),
            Retention(max_finished=2_000),
            Retention(max_finished=1_900, states=frozenset({"failed"})),
        ):
            await store.purge(retention)
        await store.forget([f"r{number}" for number in range(0, 500, 2)])
        await store.claim(owner, "r5")
        await store.retire(owner)
        again = await store.register("engine-2", 60)
        assert len(await store.claim_abandoned(again, 10)) == 10
        await store.claim_abandoned(again)
        assert await store.claim_abandoned(again) == []
        await store.close()

    asyncio.run(main())
    assert len(explained) > 100
    tables = ("r", "runs", "c", "p", "m", "run_labels", "journal", "j", "notices", "n", "blobs")
    scans = [plan for plan in explained if plan.split()[0] == "SCAN" and plan.split()[1] in tables]
    # The index of the open runs holds nothing else: to walk through it is to look at those.
    assert [plan for plan in scans if "INDEX runs_open" not in plan] == []
