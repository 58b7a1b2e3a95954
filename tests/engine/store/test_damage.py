"""Runs whose rows, journals, definitions or signals cannot be read: put aside, and alone in that."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from typing import Any, Literal

import pytest

from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.patterns.engine.store import Retention, StoreCorrupt

from .media import Medium

STEPS = [
    {"id": "a", "agent": "work", "compensate": "work"},
    {"id": "wait", "wait_for": "go"},
    {"id": "z", "agent": "work", "input": "z"},
]
GOOD = ("good-1", "good-2", "good-3")
BAD = "(SELECT run FROM runs WHERE run_id = 'bad')"


def sql(medium: Medium, query: str, *parameters: Any) -> list[Any]:
    """Run a statement past the store."""
    if medium.kind == "postgres":
        return medium.run_sql(query, *parameters)
    connection = sqlite3.connect(medium.path)
    try:
        with connection:
            return connection.execute(query.replace("%s", "?"), parameters).fetchall()
    finally:
        connection.close()


def journal(change: Callable[[list[Any]], None]) -> Callable[[Medium], None]:
    """Return what changes the records of the last row of the bad run's journal."""

    def damage(medium: Medium) -> None:
        where = f"run = {BAD} AND seq = (SELECT max(seq) FROM journal WHERE run = {BAD})"
        [(body,)] = sql(medium, f"SELECT body FROM journal WHERE {where}")
        records = json.loads(bytes(body))
        change(records)
        text = json.dumps(records).encode()
        sql(medium, f"UPDATE journal SET body = %s WHERE {where}", text)

    return damage


def row(column: str, value: Any) -> Callable[[Medium], None]:
    return lambda medium: (
        sql(medium, f"UPDATE runs SET {column} = %s WHERE run_id = 'bad'", value) and None
    )


def kind(records: list[Any]) -> None:
    records[-1][0] = "from_the_future"


def step(records: list[Any]) -> None:
    records[-1][1] = "stranger"


def data(records: list[Any]) -> None:
    records[-1][3] = "nonsense"


def poison(medium: Medium) -> None:
    where = f"run = {BAD} AND seq = (SELECT max(seq) FROM journal WHERE run = {BAD})"
    text = f'[["step_waiting","wait",0,{"9" * 5000}]]'.encode()
    sql(medium, f"UPDATE journal SET body = %s WHERE {where}", text)


def cut(medium: Medium) -> None:
    sql(medium, f"UPDATE journal SET body = %s WHERE run = {BAD}", b'[["cut')


def deep(medium: Medium) -> None:
    sql(medium, f"UPDATE journal SET body = %s WHERE run = {BAD}", b"[" * 100_000)


def not_text(medium: Medium) -> None:
    sql(medium, f"UPDATE journal SET body = %s WHERE run = {BAD}", b"\xff\xfe")


def gap(medium: Medium) -> None:
    sql(
        medium,
        f"DELETE FROM journal WHERE run = {BAD} "
        f"AND seq = (SELECT min(seq) FROM journal WHERE run = {BAD})",
    )


def definition(medium: Medium) -> None:
    where = "hash = (SELECT definition_hash FROM runs WHERE run_id = 'bad')"
    sql(medium, f"UPDATE definitions SET body = %s WHERE {where}", b'{"name": "other", "st')


def no_definition(medium: Medium) -> None:
    sql(
        medium,
        "DELETE FROM definitions "
        "WHERE hash = (SELECT definition_hash FROM runs WHERE run_id = 'bad')",
    )


def expression(medium: Medium) -> None:
    where = "hash = (SELECT definition_hash FROM runs WHERE run_id = 'bad')"
    [(body,)] = sql(medium, f"SELECT body FROM definitions WHERE {where}")
    text = json.loads(bytes(body))
    text["steps"][2]["condition"] = "input.no ==== such"
    sql(medium, f"UPDATE definitions SET body = %s WHERE {where}", json.dumps(text).encode())


def tampered(change: Callable[[dict[str, Any]], object]) -> Callable[[Medium], None]:
    """Return what makes another definition, as good as any, of the bad run's."""

    def damage(medium: Medium) -> None:
        where = "hash = (SELECT definition_hash FROM runs WHERE run_id = 'bad')"
        [(body,)] = sql(medium, f"SELECT body FROM definitions WHERE {where}")
        text = json.loads(bytes(body))
        text = change(text) or text
        sql(medium, f"UPDATE definitions SET body = %s WHERE {where}", json.dumps(text).encode())

    return damage


def tampered_text(body: bytes) -> Callable[[Medium], None]:
    where = "hash = (SELECT definition_hash FROM runs WHERE run_id = 'bad')"
    return lambda medium: (
        sql(medium, f"UPDATE definitions SET body = %s WHERE {where}", body) and None
    )


def another_agent(text: dict[str, Any]) -> None:
    text["steps"][2]["agent"] = "admin"


def another_input(text: dict[str, Any]) -> None:
    text["steps"][2]["input"] = "all of it"


def one_step_less(text: dict[str, Any]) -> None:
    del text["steps"][2]


def code(text: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "code", "name": text["name"]}


def signal(medium: Medium) -> None:
    sql(
        medium,
        f"INSERT INTO notices (run, kind, name, payload, at) VALUES ({BAD}, 'signal', 'go', %s, 1)",
        b"7" * 5000,
    )


DAMAGES: dict[str, tuple[Callable[[Medium], None], str]] = {
    "a kind": (journal(kind), "from_the_future"),
    "a step": (journal(step), "stranger"),
    "data": (journal(data), "not as it should be"),
    "a number": (poison, "is not JSON"),
    "cut": (cut, "is not JSON"),
    "a deep journal": (deep, "bad"),
    "not text": (not_text, "damaged"),
    "a gap": (gap, "jumps to"),
    "definition": (definition, "bad"),
    "no definition": (no_definition, "no definition"),
    "an expression": (expression, "=="),
    "another agent": (tampered(another_agent), "was changed in the store"),
    "another input": (tampered(another_input), "was changed in the store"),
    "one step less": (tampered(one_step_less), "was changed in the store"),
    "no steps": (tampered(lambda text: text.update(steps=[])), "steps: there are 0"),
    "a list": (tampered(lambda text: [text]), "is a mapping"),
    "deep": (tampered_text(b"[" * 100_000), "its definition is not JSON"),
    "a number in it": (tampered_text(b'{"name": ' + b"9" * 5000 + b"}"), "bad"),
    "code without a name": (tampered_text(b'{"kind": "code", "x": 1}'), "bad"),
    "code with an odd timeout": (
        tampered_text(b'{"kind": "code", "name": "other", "timeout_seconds": "x"}'),
        "its timeout, not 'x'",
    ),
    "code with odd labels": (
        tampered_text(b'{"kind": "code", "name": "other", "labels": [1]}'),
        "its labels, not [1]",
    ),
    "code cut": (tampered_text(b'{"kind": "code", "x'), "bad"),
    "code": (tampered(code), "was changed in the store"),
    "input": (row("input", b'{"cut'), "the input of run 'bad'"),
    "a deep input": (row("input", b"[" * 100_000), "bad"),
    "input not text": (row("input", b"\xff\xff"), "damaged"),
    "state": (row("state", "odd"), "odd"),
    "durability": (row("durability", "odd"), "odd"),
    "context": (row("context", "{"), "the context of run 'bad'"),
    "signal": (signal, "signal"),
}


def engine(medium: Medium) -> OrchestrationEngine:
    async def work(payload: Any) -> Any:
        return payload

    e = OrchestrationEngine(
        EngineConfig(state_store=medium.url, persist_state=True, poll_seconds=0.02)
    )
    e.register_agent("work", work)
    e.register_workflow("flow", {"name": "flow", "steps": STEPS})
    return e


async def until(e: OrchestrationEngine, run_id: str, state: str) -> None:
    async with asyncio.timeout(120):
        while (await e.get_workflow_status(run_id)).state != state:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_run_is_put_aside_and_the_others_go_on(durable_medium: Medium, what: str) -> None:
    medium = durable_medium
    damage, said = DAMAGES[what]

    async def first() -> None:
        async with engine(medium) as e:
            for run_id in GOOD:
                await e.start_workflow("flow", "x", workflow_id=run_id)
            own = {"name": "other", "steps": STEPS}
            await e.start_workflow(own, "x", workflow_id="bad")
            for run_id in (*GOOD, "bad"):
                await until(e, run_id, "waiting")

    async def second() -> None:
        async with engine(medium) as e:
            report = await e.recover()
            assert set(report.recovered) == {*GOOD}
            assert set(report.failed) == set(report.blocked) == {"bad"}
            assert said in report.failed["bad"]
            again = await e.recover()
            assert (again.recovered, set(again.blocked)) == ((), {"bad"})
            status = await e.get_workflow_status("bad")
            assert status.state == "blocked"
            assert said in status.last_error
            listed = await e.list_workflows(persisted=True)
            assert len(listed) == 4
            [bad] = [one for one in listed if one.workflow_id == "bad"]
            assert (bad.state, said in bad.last_error) == ("blocked", True)
            for run_id in GOOD:
                await e.signal_workflow(run_id, "go")
                assert (await e.wait(run_id))["z"] == "z"
            store = (await e._cores.keeper(e._cores.here())).store
            assert await store.purge(Retention(max_finished=2)) == 1
            row = (await store.load_runs(["bad"]))["bad"]
            assert row.owner is None, "it was given back"
            try:
                reading = await store.read_journal("bad")
                assert [entry.kind for entry in reading].count("workflow_blocked") == 1
            except StoreCorrupt as error:
                assert error.run_id == "bad"

    async def third() -> None:
        async with engine(medium) as e:
            report = await e.cancel_workflow("bad", "put aside")
            assert (report.state, report.reason) == ("cancelled", "put aside")
            status = await e.get_workflow_status("bad")
            assert (status.state, status.finished) == ("cancelled", True)
            assert (await e.recover()).blocked == {}

    asyncio.run(first())
    damage(medium)
    asyncio.run(second())
    asyncio.run(third())


def test_a_poison_signal_to_a_parked_run_keeps_no_other_from_its_signals(
    durable_medium: Medium,
) -> None:
    medium = durable_medium

    async def main() -> None:
        async with engine(medium) as e:
            for run_id in ("good", "bad"):
                await e.start_workflow("flow", "x", workflow_id=run_id)
                await until(e, run_id, "waiting")
            await asyncio.to_thread(signal, medium)
            async with engine(medium) as other:
                await other.signal_workflow("good", "go")
                assert (await other.wait("good", timeout=120))["z"] == "z"
            await until(e, "bad", "blocked")

    asyncio.run(main())


def test_a_definition_with_its_keys_in_another_order_is_the_same(durable_medium: Medium) -> None:
    medium = durable_medium

    async def first() -> None:
        async with engine(medium) as e:
            await e.start_workflow("flow", "x", workflow_id="bad")
            await until(e, "bad", "waiting")

    async def second() -> None:
        async with engine(medium) as e:
            assert (await e.recover()).recovered == ("bad",)
            await e.signal_workflow("bad", "go")
            assert (await e.wait("bad"))["z"] == "z"

    asyncio.run(first())
    tampered(lambda text: dict(reversed(text.items())))(medium)
    asyncio.run(second())


def test_a_definition_that_a_run_was_changed_to_is_compared_with_its_hash(
    durable_medium: Medium,
) -> None:
    """It stands in the journal, and not among the definitions."""
    medium = durable_medium

    def deployed(last_input: str, changed: Literal["old", "new"]) -> OrchestrationEngine:
        e = OrchestrationEngine(
            EngineConfig(state_store=medium.url, persist_state=True, changed_definition=changed)
        )
        e.register_agent("work", lambda payload: payload)
        steps = [*STEPS[:2], {"id": "z", "agent": "work", "input": last_input}]
        e.register_workflow("flow", {"name": "flow", "steps": steps})
        return e

    async def deploy(
        last_input: str, state: str, changed: Literal["old", "new"] = "new"
    ) -> str | None:
        async with deployed(last_input, changed) as e:
            if last_input == "first":
                await e.start_workflow("flow", "x", workflow_id="bad")
            else:
                await e.recover()
            await until(e, "bad", state)
            return (await e.get_workflow_status("bad")).last_error

    asyncio.run(deploy("first", "waiting"))
    asyncio.run(deploy("second", "waiting"))
    [(seq, body)] = [
        (seq, body)
        for seq, body in sql(medium, f"SELECT seq, body FROM journal WHERE run = {BAD}")
        if b'"definition_changed"' in bytes(body)
    ]
    changed = bytes(body).replace(b'"second"', b'"forged"')
    assert changed != bytes(body)
    where = f"run = {BAD} AND seq = %s"
    sql(medium, f"UPDATE journal SET body = %s WHERE {where}", changed, seq)
    said = asyncio.run(deploy("second", "blocked", "old"))
    assert said is not None
    assert "was changed in the store" in said
