"""What every store does: runs, journals, updates, listing, limits, retention."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from agenticaiframework.patterns.engine.store import (
    Durability,
    Lease,
    Record,
    Retention,
    RunExists,
    RunFilter,
    RunUpdate,
    Store,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    UnknownRun,
    ValueLimits,
    ValueNotStorable,
    ValueTooLarge,
)

from .media import FINISHED, STARTED, Medium, held, new_run, opened, small_limits, told


def test_a_run_is_read_back_as_it_was_created(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            before = medium.clock.now
            await store.create_run(
                owner,
                new_run(
                    "täglich-7",
                    input={"amount": 12, "lines": [1, 2.5, None, True, "ü"]},
                    state="pending",
                    durability=Durability.NORMAL,
                    parent="täglich",
                    labels={"tenant": "a", "größe": "xl"},
                    context={"user": "ü", "roles": ["a", {"b": 1}], "n'": None},
                ),
            )
            row = await store.load_run("täglich-7")
            assert row.run_id == "täglich-7"
            assert row.name == "invoice"
            assert row.definition_hash == "hash-of-invoice"
            assert row.input == {"amount": 12, "lines": [1, 2.5, None, True, "ü"]}
            assert row.state == "pending"
            assert row.durability is Durability.NORMAL
            assert row.parent == "täglich"
            assert row.labels == {"tenant": "a", "größe": "xl"}
            assert row.context == {"user": "ü", "roles": ["a", {"b": 1}], "n'": None}
            assert row.owner == "engine-1"
            assert before <= row.created_at == row.updated_at <= round(medium.clock.now, 6)
            assert not row.finished
            assert (row.finished_at, row.wake_at, row.error, row.cancel_reason) == (None,) * 4
            assert await store.load_definition("hash-of-invoice") == '{"name": "invoice"}'

    asyncio.run(main())


def test_records_come_back_in_order_and_numbered_without_gaps(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            lease = await store.create_run(owner, new_run(), [Record("started"), STARTED])
            assert await store.append(lease, [FINISHED]) == 3
            assert await store.append(lease, [Record("note", data=[1]), Record("end")]) == 5
            journal = await store.read_journal("run-1")
            assert told(journal) == [
                (1, "started", "", 0, None),
                (2, "step_started", "extract", 1, {"document": "d"}),
                (3, "step_finished", "extract", 1, {"text": "t"}),
                (4, "note", "", 0, [1]),
                (5, "end", "", 0, None),
            ]
            assert {entry.fence for entry in journal} == {1}
            times = [entry.at for entry in journal]
            assert times == sorted(times)
            assert times[0] == times[1] < times[2]

    asyncio.run(main())


def test_a_journal_can_be_read_from_any_record_on(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            lease = await store.create_run(owner, new_run())
            for size in (3, 1, 2):
                await store.append(lease, [Record("r")] * size)
            for after in range(8):
                entries = await store.read_journal("run-1", after=after)
                assert [entry.seq for entry in entries] == list(range(after + 1, 7))
                some = await store.read_journal("run-1", after=after, limit=2)
                assert some == entries[:2]

    asyncio.run(main())


def test_many_journals_are_read_in_one_go(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            for number in range(3):
                lease = await store.create_run(owner, new_run(f"run-{number}"))
                for _ in range(number):
                    await store.append(lease, [STARTED, FINISHED])
            journals = await store.read_journals(["run-2", "run-0", "nobody", "run-1"])
            assert {run: len(entries) for run, entries in journals.items()} == {
                "run-0": 0,
                "run-1": 2,
                "run-2": 4,
            }
            assert journals["run-2"] == await store.read_journal("run-2")
            rows = await store.load_runs(["run-2", "nobody", "run-1"])
            assert rows == {
                "run-1": await store.load_run("run-1"),
                "run-2": await store.load_run("run-2"),
            }

    asyncio.run(main())


def test_an_update_changes_what_it_names_together_with_the_records(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            lease = await store.create_run(owner, new_run())
            at = medium.clock.now + 100
            await store.append(lease, [STARTED], RunUpdate(state="sleeping", wake_at=at))
            row = await store.load_run("run-1")
            assert (row.state, row.wake_at, row.error) == ("sleeping", pytest.approx(at), None)
            # An update alone: no record, no number.
            assert await store.append(lease, [], RunUpdate(error="it broke\0badly")) == 1
            row = await store.load_run("run-1")
            assert (row.state, row.error) == ("sleeping", "it broke?badly")
            await store.append(lease, [FINISHED], RunUpdate("running", error="", wake_at=0.0))
            row = await store.load_run("run-1")
            assert (row.state, row.wake_at, row.error) == ("running", None, None)
            assert row.updated_at > row.created_at
            assert [entry.seq for entry in await store.read_journal("run-1")] == [1, 2]

    asyncio.run(main())


def test_updates_of_one_run_handed_over_together_are_applied_in_order(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            lease = await store.create_run(owner, new_run())
            await asyncio.gather(
                *(
                    store.append(lease, [Record("r", data=n)], RunUpdate(state=f"s{n}"))
                    for n in range(5)
                )
            )
            assert (await store.load_run("run-1")).state == "s4"
            assert [e.data for e in await store.read_journal("run-1")] == list(range(5))

    asyncio.run(main())


def test_a_finished_run_has_a_date_and_no_owner_until_it_is_claimed_and_reopened(
    medium: Medium,
) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            lease = await store.create_run(owner, new_run())
            await store.append(lease, [FINISHED], RunUpdate("failed", finished=True, error="no"))
            row = await store.load_run("run-1")
            assert row.finished
            assert row.finished_at == row.updated_at
            assert row.owner is None
            assert await held(store, owner) == set()
            assert await store.claim_abandoned(owner) == []
            lease = await store.claim(owner, "run-1")
            assert lease.next_seq == 2
            await store.append(lease, [STARTED], RunUpdate("running", finished=False))
            row = await store.load_run("run-1")
            assert (row.finished, row.owner, row.error) == (False, "engine-1", "no")
            assert await held(store, owner) == {"run-1"}

    asyncio.run(main())


def test_a_second_run_with_the_same_id_is_refused_and_harms_nobody_else(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            runs = [new_run(run_id) for run_id in ("a", "b", "a", "c")]
            outcomes = await asyncio.gather(
                *(store.create_run(owner, run, [STARTED]) for run in runs), return_exceptions=True
            )
            assert isinstance(outcomes[2], RunExists)
            assert outcomes[2].run_id == "a"
            assert [isinstance(each, StoreError) for each in outcomes] == [0, 0, 1, 0]
            for run_id in "abc":
                assert len(await store.read_journal(run_id)) == 1

    asyncio.run(main())


def test_a_definition_is_kept_once_for_all_its_runs(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            await store.create_run(owner, new_run("a", definition='{"first": 1}'))
            await store.create_run(owner, new_run("b", definition='{"second": 2}'))
            assert await store.load_definition("hash-of-invoice") == '{"first": 1}'
            with pytest.raises(StoreCorrupt, match="no definition 'other'"):
                await store.load_definition("other")
            found = await store.load_definitions(["hash-of-invoice", "other"])
            assert found == {"hash-of-invoice": '{"first": 1}'}

    asyncio.run(main())


def test_a_refused_run_does_not_take_its_definition_from_the_others_in_its_batch(
    medium: Medium,
) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            await store.create_run(owner, new_run("taken"))
            runs = [
                new_run(run_id, definition_hash="new", definition='{"name": "new"}')
                for run_id in ("taken", "a", "b")
            ]
            outcomes = await asyncio.gather(
                *(store.create_run(owner, run, [STARTED]) for run in runs), return_exceptions=True
            )
            assert [isinstance(each, RunExists) for each in outcomes] == [True, False, False]
            assert await store.load_definition("new") == '{"name": "new"}'

    asyncio.run(main())


def test_definitions_of_one_batch_are_all_kept(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            runs = [
                new_run(f"run-{n}", definition_hash=f"hash-{n % 3}", definition=f'{{"n": {n % 3}}}')
                for n in range(12)
            ]
            await asyncio.gather(*(store.create_run(owner, run) for run in runs))
            found = await store.load_definitions(f"hash-{n}" for n in range(3))
            assert found == {f"hash-{n}": f'{{"n": {n}}}' for n in range(3)}

    asyncio.run(main())


def test_an_unknown_run_is_an_error_that_names_it(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            for asked in (
                store.load_run("x"),
                store.read_journal("x"),
                store.pending_signals("x"),
                store.put_signal("x", "go"),
                store.request_cancel("x", "why"),
                store.claim(owner, "x"),
            ):
                with pytest.raises(UnknownRun, match="no run 'x' in ") as caught:
                    await asked
                assert caught.value.run_id == "x"

    asyncio.run(main())


ODD_NAMES = ("a\0b", "\ud800", "y" * 3_000, 7)


@pytest.mark.parametrize("name", ODD_NAMES, ids=("nul", "surrogate", "long", "number"))
def test_what_no_run_can_be_called_is_not_there_whatever_the_store(
    medium: Medium, name: Any
) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            await store.create_run(owner, new_run())
            for asked in (
                store.load_run(name),
                store.read_journal(name),
                store.pending_signals(name),
                store.put_signal(name, "go"),
                store.request_cancel(name, "why"),
                store.claim(owner, name),
            ):
                with pytest.raises(UnknownRun):
                    await asked
            assert set(await store.load_runs([name, "run-1"])) == {"run-1"}
            assert set(await store.read_journals([name, "run-1"])) == {"run-1"}
            assert set(await store.progress([name, "run-1"])) == {"run-1"}
            assert await store.pending_signals_of([name, "run-1"]) == {}
            assert await store.forget([name]) == 0
            for where in (
                RunFilter(name=name),
                RunFilter(parent=name),
                RunFilter(root=name),
                RunFilter(labels={"a": name}),
                RunFilter(labels={name: "a"}),
            ):
                assert (await store.list_runs(where)).rows == ()

    asyncio.run(main())


def test_more_than_there_can_be_is_all_that_there_is(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            await store.create_run(owner, new_run(), [Record("started")])
            assert len((await store.list_runs(limit=2**70)).rows) == 1
            assert await store.read_journal("run-1", after=2**70) == []

    asyncio.run(main())


# Values


def test_large_values_spill_and_come_back(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium, limits=small_limits()) as (store, owner):
            big = {"text": "x" * 5_000}
            bigger = ["y" * 900] * 10
            lease = await store.create_run(
                owner, new_run(input=big), [Record("started", data=big), STARTED]
            )
            await store.append(lease, [Record("out", "s", 2, bigger), Record("in", "t", 1, big)])
            await store.append(lease, [FINISHED])
            assert (await store.load_run("run-1")).input == big
            assert told(await store.read_journal("run-1")) == [
                (1, "started", "", 0, big),
                (2, "step_started", "extract", 1, {"document": "d"}),
                (3, "out", "s", 2, bigger),
                (4, "in", "t", 1, big),
                (5, "step_finished", "extract", 1, {"text": "t"}),
            ]
            assert (await store.read_journals(["run-1"]))["run-1"][3].data == big
            assert (await store.list_runs()).rows[0].input == big

    asyncio.run(main())


def test_a_value_above_the_limit_is_refused_before_anything_is_written(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium, limits=small_limits()) as (store, owner):
            huge = "x" * 20_000
            with pytest.raises(ValueTooLarge, match="the input of run 'a' takes 20,002 bytes"):
                await store.create_run(owner, new_run("a", input=huge))
            with pytest.raises(ValueTooLarge, match="the definition of run 'a'"):
                await store.create_run(owner, new_run("a", definition=huge))
            lease = await store.create_run(owner, new_run("a"))
            expected = (
                "the data of 'step_finished' in run 'a', step 'extract', takes 20,002 bytes as "
                "JSON; the limit is 10,000. Store it elsewhere and pass its address, or raise "
                "max_value_bytes."
            )
            with pytest.raises(ValueTooLarge) as caught:
                await store.append(lease, [STARTED, Record("step_finished", "extract", 1, huge)])
            assert str(caught.value) == expected
            with pytest.raises(ValueTooLarge, match="signal 'go' for run 'a'"):
                await store.put_signal("a", "go", huge)
            assert await store.append(lease, [STARTED]) == 1
            assert len(await store.read_journal("a")) == 1

    asyncio.run(main())


def test_a_value_without_a_json_form_is_refused_and_named(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            lease = await store.create_run(owner, new_run())
            for value in (object(), b"\xff", "\ud800", ValueError("x")):
                with pytest.raises(ValueNotStorable, match="'step_finished' in run 'run-1'"):
                    await store.append(lease, [STARTED, Record("step_finished", "s", 1, value)])
            circular: list[Any] = []
            circular.append(circular)
            with pytest.raises(ValueNotStorable, match="the input of run 'b'"):
                await store.create_run(owner, new_run("b", input=circular))
            assert await store.append(lease, [STARTED]) == 1

    asyncio.run(main())


def test_values_come_back_in_their_json_form_whatever_the_store(medium: Medium) -> None:
    @dataclass
    class Point:
        x: int

    deep: Any = None
    for _ in range(240):
        deep = [deep]

    async def main() -> None:
        async with opened(medium) as (store, owner):
            values = [
                10**30,
                float("inf"),
                "\0 and \n",
                {1: (2, 3)},
                Point(4),
                date(2024, 2, 29),
                deep,
            ]
            lease = await store.create_run(owner, new_run())
            for value in values:
                await store.append(lease, [Record("v", data=value)])
            found = [entry.data for entry in await store.read_journal("run-1")]
            assert found == [
                *(10**30, float("inf"), "\0 and \n", {"1": [2, 3]}, {"x": 4}, "2024-02-29", deep)
            ]

    asyncio.run(main())


def test_what_changes_after_it_was_handed_over_is_kept_as_it_was(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            lease = await store.create_run(owner, new_run())
            value = {"n": 1}
            writing = store.append(lease, [Record("v", data=value)])
            value["n"] = 2
            await writing
            assert (await store.read_journal("run-1"))[0].data == {"n": 1}

    asyncio.run(main())


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": ""},
        {"run_id": "a\0b"},
        {"name": "a\0b"},
        {"labels": {"a": "\ud800"}},
        {"run_id": "y" * 2_501},
        {"run_id": "\u20ac" * 1_000},
        {"name": "y" * 2_501},
        {"labels": {"y" * 501: "a"}},
        {"labels": {"a": "y" * 2_001}},
    ],
    ids=lambda change: ",".join(change),
)
def test_names_that_not_every_medium_keeps_are_refused(
    medium: Medium, change: dict[str, Any]
) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            with pytest.raises(ValueNotStorable):
                await store.create_run(owner, new_run()._replace(**change))

    asyncio.run(main())


def test_the_longest_names_are_kept(medium: Medium) -> None:
    async def main() -> None:
        # What does not repeat itself, so that no medium can make it shorter.
        text = "".join(chr(33 + (n * n * 31 + n * 7) % 89) for n in range(2_500))
        async with opened(medium) as (store, owner):
            run = new_run(text)._replace(name=text, labels={text[:500]: text[:2_000]}, parent=text)
            await store.create_run(owner, run)
            found = await store.list_runs(RunFilter(name=text, labels=run.labels, parent=text))
            assert [row.run_id for row in found.rows] == [text]

    asyncio.run(main())


def test_limits_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="0 < spill_bytes <= max_value_bytes"):
        ValueLimits(spill_bytes=10, max_value_bytes=5)


# Listing


def test_runs_are_listed_newest_first_page_by_page(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            other = await store.register("engine-2", 60)
            for number in range(7):
                who = other if number % 3 == 0 else owner
                await store.create_run(who, new_run(f"run-{number}"))
            listed: list[str] = []
            page: str | None = None
            sizes: list[int] = []
            while True:
                found = await store.list_runs(page=page, limit=3)
                listed += [row.run_id for row in found.rows]
                sizes.append(len(found.rows))
                page = found.next
                if page is None:
                    break
            assert listed == [f"run-{number}" for number in reversed(range(7))]
            assert sizes == [3, 3, 1]
            # A page that the last rows fill has none behind it.
            assert (await store.list_runs(limit=7)).next is None
            assert (await store.list_runs(limit=6)).next is not None
            with pytest.raises(ValueError, match="`next` of the RunPage before"):
                await store.list_runs(page="two")
            with pytest.raises(ValueError, match="1 or more"):
                await store.list_runs(limit=0)

    asyncio.run(main())


def test_listing_filters_by_every_condition_given(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            other = await store.register("engine-2", 60)
            await store.create_run(owner, new_run("a", name="x", labels={"t": "1", 'q"': "2"}))
            await store.create_run(owner, new_run("b", name="y", parent="a", labels={"t": "2"}))
            medium.clock.now += 1
            middle = medium.clock.now
            lease = await store.create_run(other, new_run("c", name="y", labels={"t": "1"}))
            await store.create_run(other, new_run("d", name="x", state="waiting", parent="a"))
            await store.append(lease, [], RunUpdate("done", finished=True))

            async def ids(**conditions: Any) -> str:
                found = await store.list_runs(RunFilter(**conditions))
                return "".join(sorted(row.run_id for row in found.rows))

            assert await ids() == "abcd"
            assert await ids(states=frozenset({"done", "waiting"})) == "cd"
            assert await ids(states=frozenset()) == ""
            assert await ids(name="x") == "ad"
            assert await ids(parent="a") == "bd"
            assert await ids(finished=True) == "c"
            assert await ids(finished=False) == "abd"
            assert await ids(owner="engine-2") == "d"
            assert await ids(created_after=middle) == "cd"
            assert await ids(created_before=middle) == "ab"
            made = (await store.load_run("c")).created_at
            assert await ids(created_after=made) == "d"
            assert await ids(created_before=made) == "ab"
            assert await ids(labels={"t": "1"}) == "ac"
            assert await ids(labels={"t": "1", 'q"': "2"}) == "a"
            assert await ids(name="y", labels={"t": "1"}, finished=True) == "c"

    asyncio.run(main())


# Retention


def test_purging_forgets_old_and_surplus_finished_runs_and_all_of_theirs(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium, limits=small_limits()) as (store, owner):
            leases = {
                run_id: await store.create_run(
                    owner,
                    new_run(run_id, definition_hash=f"hash-{run_id}", input="x" * 200),
                    [Record("big", data="y" * 300)],
                )
                for run_id in "abcde"
            }
            for run_id in "abcd":
                await store.put_signal(run_id, "go")
                state = "failed" if run_id == "c" else "done"
                await store.append(leases[run_id], [], RunUpdate(state, finished=True))
                medium.clock.now += 100

            async def left() -> str:
                return "".join(sorted(r.run_id for r in (await store.list_runs()).rows))

            assert await store.purge(Retention()) == 0
            assert await store.purge(Retention(max_age_s=350)) == 1
            assert await left() == "bcde"
            with pytest.raises(UnknownRun):
                await store.read_journal("a")
            with pytest.raises(StoreCorrupt):
                await store.load_definition("hash-a")
            assert await store.load_definition("hash-b")
            only_done = frozenset({"done"})
            assert await store.purge(Retention(max_finished=1, states=only_done)) == 1
            assert await left() == "cde"
            assert await store.purge(Retention(max_age_s=0, max_finished=5)) == 2
            assert await left() == "e"
            # Nothing of a run that is left goes with those that are forgotten.
            [big] = await store.read_journal("e")
            assert big.data == "y" * 300
            assert (await store.load_run("e")).input == "x" * 200
            assert await store.load_definition("hash-e")
            await store.put_signal("e", "go")
            await store.create_run(owner, new_run("gone"))
            await store.append(
                await store.claim(owner, "gone"), [], RunUpdate("done", finished=True)
            )
            assert await store.purge(Retention(max_finished=0)) == 1
            assert [signal.name for signal in await store.pending_signals("e")] == ["go"]
            # An id that was purged is free again.
            await store.create_run(owner, new_run("a"))

    asyncio.run(main())


def test_purging_hundreds_of_runs_goes_on_to_the_end(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            leases = await asyncio.gather(
                *(store.create_run(owner, new_run(f"r{n}"), [STARTED]) for n in range(450))
            )
            await asyncio.gather(
                *(store.append(lease, [], RunUpdate("done", finished=True)) for lease in leases)
            )
            assert await store.purge(Retention(max_finished=3)) == 447
            rows = (await store.list_runs()).rows
            assert len(rows) == 3
            assert len(await store.read_journals([row.run_id for row in rows])) == 3

    asyncio.run(main())


# Opening and closing


def test_a_closed_store_refuses_everything_and_says_what_to_do(medium: Medium) -> None:
    async def main() -> None:
        store = medium.store()
        with pytest.raises(StoreClosed, match=r"await store\.open\(\)"):
            await store.register("engine", 1)
        await store.close()
        await store.open()
        await store.open()
        owner = await store.register("engine", 1)
        lease = await store.create_run(owner, new_run())
        await asyncio.gather(store.close(), store.close())
        await store.close()
        with pytest.raises(StoreClosed):
            await store.append(lease, [STARTED])
        with pytest.raises(StoreClosed):
            store.submit(lease, [STARTED], lambda error: None)
        with pytest.raises(StoreClosed):
            await store.create_run(owner, new_run("b"))
        for reading in (store.load_run("run-1"), store.list_runs(), store.poll(owner)):
            with pytest.raises(StoreClosed):
                await reading

    asyncio.run(main())


def test_closing_writes_what_is_queued(shared_medium: Medium) -> None:
    async def main() -> None:
        async with opened(shared_medium) as (store, owner):
            lease = await store.create_run(owner, new_run())
            writes = [store.append(lease, [Record("r", data=n)]) for n in range(300)]
            await store.close()
            assert await asyncio.gather(*writes) == list(range(1, 301))
        again = shared_medium.store()
        await again.open()
        assert [e.data for e in await again.read_journal("run-1")] == list(range(300))
        await again.close()

    asyncio.run(main())


def test_a_store_opened_again_goes_on_where_it_was_left(shared_medium: Medium) -> None:
    async def main() -> None:
        store = shared_medium.store()
        for turn in range(3):
            await store.open()
            owner = await store.register("engine-1", 60)
            leases = await store.claim_abandoned(owner)
            if turn == 0:
                leases = [await store.create_run(owner, new_run())]
            (lease,) = leases
            await store.append(lease, [Record("turn", data=turn)])
            await store.retire(owner)
            await store.close()
        await store.open()
        journal = await store.read_journal("run-1")
        assert [(e.seq, e.data, e.fence) for e in journal] == [(1, 0, 1), (2, 1, 2), (3, 2, 3)]
        await store.close()

    asyncio.run(main())


def test_an_owner_from_before_the_store_was_opened_cannot_create_runs(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            with pytest.raises(ValueError, match="was not registered"):
                await store.create_run(owner._replace(number=owner.number + 1), new_run())
            with pytest.raises(ValueError, match="above 0"):
                await store.register("engine", 0)

    asyncio.run(main())


# Acknowledgements


def test_a_callback_is_called_once_and_one_that_raises_harms_no_other(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            heard: list[tuple[str, StoreError | None]] = []
            ended = asyncio.get_running_loop().create_future()

            def bad(error: StoreError | None) -> None:
                heard.append(("bad", error))
                raise RuntimeError("the caller's mistake")

            def last(error: StoreError | None) -> None:
                heard.append(("last", error))
                ended.set_result(None)

            lease = store.submit_run(owner, new_run(), bad, [STARTED])
            store.submit(lease, [FINISHED], bad)
            store.submit(lease, [Record("end")], last, RunUpdate("done", finished=True))
            assert heard == []
            await ended
            assert heard == [("bad", None), ("bad", None), ("last", None)]
            assert len(await store.read_journal("run-1")) == 3

    asyncio.run(main())


def test_a_callback_may_append_and_the_order_stays(medium: Medium) -> None:
    """Also when it is called before `submit` returns, as with durability `none`."""

    async def main() -> None:
        async with opened(medium) as (store, owner):
            for durability in Durability:
                run_id = f"run-{durability}"
                lease = await store.create_run(owner, new_run(run_id, durability=durability))
                ended = asyncio.get_running_loop().create_future()

                def next_one(
                    error: StoreError | None, lease: Lease = lease, ended: Any = ended
                ) -> None:
                    assert error is None
                    if lease.next_seq > 5:
                        ended.set_result(None)
                    else:
                        record = Record("r", data=lease.next_seq)
                        store.submit(lease, [record], next_one)

                store.submit(lease, [Record("r", data=1)], next_one)
                await ended
                await store.flush()
                journal = await store.read_journal(run_id)
                assert [(entry.seq, entry.data) for entry in journal] == [
                    (n, n) for n in range(1, 6)
                ]

    asyncio.run(main())


def test_a_caller_that_gave_up_waiting_changes_nothing_for_the_others(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            lease = await store.create_run(owner, new_run())
            gone = asyncio.ensure_future(store.append(lease, [STARTED]))
            stays = asyncio.ensure_future(store.append(lease, [FINISHED]))
            gone.cancel()
            assert await stays == 2
            assert len(await store.read_journal("run-1")) == 2

    asyncio.run(main())


def test_an_append_of_nothing_is_refused(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            lease = await store.create_run(owner, new_run())
            with pytest.raises(ValueError, match="nothing to append to run 'run-1'"):
                await store.append(lease, [])

    asyncio.run(main())


def test_with_durability_none_an_append_is_acknowledged_before_it_is_written(
    medium: Medium,
) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            heard: list[StoreError | None] = []
            run = new_run(durability=Durability.NONE)
            lease = store.submit_run(owner, run, heard.append)
            store.submit(lease, [STARTED], heard.append)
            assert heard == [None, None]
            assert store.append(lease, [FINISHED]).done()  # type: ignore[attr-defined]
            assert len(await _eventually(store, 2)) == 2

    async def _eventually(store: Store, count: int) -> list[Any]:
        async with asyncio.timeout(120):
            while True:
                try:
                    journal = await store.read_journal("run-1")
                    if len(journal) >= count:
                        return list(journal)
                except UnknownRun:
                    pass

    asyncio.run(main())


def test_appends_of_many_runs_share_commits(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            leases = await asyncio.gather(
                *(store.create_run(owner, new_run(f"r{n}"), [STARTED]) for n in range(100))
            )
            before = store.stats()
            await asyncio.gather(*(store.append(lease, [FINISHED]) for lease in leases))
            after = store.stats()
            assert after.appends - before.appends == 100
            assert after.commits - before.commits <= 10
            assert after.records == 200
            assert after.largest_batch >= 40
            assert after.failed_appends == 0
            # One that is larger would keep the first of its appends waiting.
            await asyncio.gather(*(store.append(leases[n % 100], [FINISHED]) for n in range(1_000)))
            assert store.stats().largest_batch <= 256

    asyncio.run(main())


def test_retention_takes_any_age_and_refuses_what_is_none(medium: Medium) -> None:
    async def main() -> None:
        async with opened(medium) as (store, owner):
            lease = await store.create_run(owner, new_run())
            await store.append(lease, [FINISHED], RunUpdate(state="completed", finished=True))
            assert await store.purge(Retention(max_age_s=1e300)) == 0
            assert await store.purge(Retention(max_age_s=float("inf"))) == 0

    asyncio.run(main())
    for wrong in (-1.0, float("nan"), "1 day"):
        with pytest.raises(ValueError, match="give seconds, 0 or more"):
            Retention(max_age_s=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="give the number of runs to keep"):
        Retention(max_finished=-1)
