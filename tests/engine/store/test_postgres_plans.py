"""Which plans PostgreSQL makes for what the store asks, with 20,000 runs in it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from agenticaiframework.patterns.engine.store import (
    NewRun,
    Owner,
    Retention,
    RunFilter,
    RunUpdate,
    Store,
    open_store,
)

from .big import fill_script
from .media import FINISHED, POSTGRES_VARIABLE, STARTED, Medium, opened

RUNS = 20_000
LARGE = {"runs", "journal", "blobs", "notices", "labels"}
"""Tables that grow with the runs."""

EXPLAIN = "".join(
    f"%20-c%20{setting}"
    for setting in (
        "session_preload_libraries%3Dauto_explain",
        "auto_explain.log_min_duration%3D0",
        "auto_explain.log_format%3Djson",
        "auto_explain.log_level%3Dnotice",
        "client_min_messages%3Dnotice",
    )
)


class Plans:
    """The plans of all statements that have been carried out, as the server tells them."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def take(self, diagnostic: Any) -> None:
        text = diagnostic.message_primary or ""
        if "plan:" in text:
            self.seen.append(json.loads(text.partition("plan:")[2]))

    def whole_tables(self) -> list[str]:
        """Return the large tables that were read as a whole, and by what."""
        return [
            f"{node['Relation Name']}: {plan['Query Text']}"
            for plan in self.seen
            for node in nodes(plan["Plan"])
            if node["Node Type"] == "Seq Scan" and node["Relation Name"] in LARGE
        ]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Plans:
    """What every connection of a store is told of its plans."""
    from agenticaiframework.patterns.engine.store.postgres import session

    plans = Plans()
    connect = session.connect

    def listening(address: Any) -> Any:
        connection = connect(address)
        connection.add_notice_handler(plans.take)
        return connection

    monkeypatch.setattr(session, "connect", listening)
    return plans


def fill(medium: Medium, runs: int) -> None:
    import psycopg

    with psycopg.connect(os.environ[POSTGRES_VARIABLE], autocommit=True) as connection:
        connection.execute(f"SET search_path TO {medium.schema}".encode())
        connection.execute(fill_script(runs).encode())


FILTERS = [
    RunFilter(),
    RunFilter(states=frozenset(["failed"])),
    RunFilter(states=frozenset(["failed", "waiting", "none"])),
    RunFilter(name="name-3"),
    RunFilter(name="none"),
    RunFilter(name="name-1", states=frozenset(["failed"])),
    RunFilter(parent="run-100"),
    RunFilter(root="run-100"),
    RunFilter(finished=True),
    RunFilter(finished=False),
    RunFilter(owner="alive-1"),
    RunFilter(owner="none"),
    RunFilter(created_after=1_600_000_019.0),
    RunFilter(created_before=1_600_000_001.0),
    RunFilter(finished_after=1_600_000_019.0),
    RunFilter(finished_before=1_600_000_001.0),
    RunFilter(labels={"env": "prod"}),
    RunFilter(labels={"customer": "7"}),
    RunFilter(labels={"customer": "none"}),
    RunFilter(labels={"env": "prod", "customer": "7"}, states=frozenset(["failed", "completed"])),
]


async def look(store: Store, owner: Owner) -> None:
    """Read in every way there is."""
    for where in FILTERS:
        page = await store.list_runs(where)
        if page.next is not None:
            await store.list_runs(where, page.next)
    await store.load_runs(["run-1", "run-2", "none"])
    await store.read_journal("run-1")
    await store.read_journals(["run-1", "run-2", "run-3"])
    await store.load_definition("hash-1")
    await store.progress(["run-1", "run-100", "none"])
    await store.pending_signals("run-100")
    await store.pending_signals_of(["run-100", "run-200"])
    inbox = await store.poll(owner)
    await store.poll(owner, inbox.cursor - 1)


async def change(store: Store, owner: Owner) -> None:
    """Write in every way there is."""
    run = NewRun("new", "name-1", "hash-1", "{}", labels={"env": "prod"}, parent="run-100")
    lease = await store.create_run(owner, run, [STARTED])
    number = await store.put_signal("new", "go")
    await store.append(lease, [FINISHED], RunUpdate("waiting"), [number])
    await store.append(lease, [FINISHED])
    await asyncio.gather(
        *(store.create_run(owner, NewRun(f"new-{n}", "name-1", "hash-1", "{}")) for n in range(50))
    )
    await store.request_cancel("new", "enough")
    await store.release(lease)
    lease = await store.claim(owner, "new")
    await store.append(lease, [FINISHED], RunUpdate("completed", finished=True))
    await store.renew(owner)
    claimed = await store.claim_abandoned(owner, 10)
    assert len(claimed) == 10
    assert await store.forget(["run-1", "run-2", "none"]) == 2
    other = await store.register("another", 60)
    await store.retire(other)


@pytest.mark.parametrize(
    "retention",
    [
        Retention(max_age_s=1e9),
        Retention(max_age_s=1e9, states=frozenset(["failed"])),
        Retention(max_finished=19_300),
        Retention(max_finished=19_000, states=frozenset(["completed"])),
        Retention(max_finished=19_000, states=frozenset(["completed", "failed"])),
    ],
)
def test_a_purge_finds_its_runs_by_an_index(
    postgres: Medium, plans: Plans, retention: Retention
) -> None:
    async def main() -> None:
        async with opened(postgres):
            pass
        fill(postgres, RUNS)
        postgres.clock.now = 1_600_000_000.0 + 1e9 + 0.1
        store = open_store(f"{postgres.url}&options=-c%20jit%3Doff{EXPLAIN}", clock=postgres.clock)
        await store.open()
        plans.seen.clear()
        assert await store.purge(retention) > 0 or retention.states == frozenset(["failed"])
        await store.purge(retention)
        await store.close()
        assert plans.seen
        assert plans.whole_tables() == []

    asyncio.run(main())


def test_everything_that_is_asked_is_found_by_an_index(postgres: Medium, plans: Plans) -> None:
    async def main() -> None:
        async with opened(postgres):
            pass
        fill(postgres, RUNS)
        store = open_store(f"{postgres.url}&options=-c%20jit%3Doff{EXPLAIN}")
        await store.open()
        plans.seen.clear()
        owner = await store.register("engine", 60)
        await look(store, owner)
        await change(store, owner)
        await store.close()
        assert len(plans.seen) > 60
        assert plans.whole_tables() == []

    asyncio.run(main())


def test_a_store_that_was_empty_when_its_plans_were_made_uses_the_indexes(
    postgres: Medium, plans: Plans
) -> None:
    async def main() -> None:
        store = open_store(f"{postgres.url}&options=-c%20jit%3Doff{EXPLAIN}")
        await store.open()
        plans.seen.clear()
        owner = await store.register("engine", 60)
        lease = await store.create_run(owner, NewRun("first", "name-1", "hash-1", "{}"), [STARTED])
        for _ in range(10):
            await store.append(lease, [FINISHED])
        assert plans.whole_tables() == []
        await store.close()

    asyncio.run(main())
