"""Sessions: turns under an agent's and a session's name, each written once, on top of what was read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from agenticaiframework.actors.simulation import FailStore
from agenticaiframework.patterns.engine.store import (
    NewTurn,
    Revision,
    SessionChanged,
    SessionStore,
    Store,
    StoreUnavailable,
    Turn,
    ValueNotStorable,
    ValueTooLarge,
)
from agenticaiframework.patterns.engine.store.simulated import simulated_store
from agenticaiframework.testing import simulate

from .media import Medium, small_limits


@asynccontextmanager
async def open_sessions(medium: Medium, **options: Any) -> AsyncIterator[SessionStore]:
    store: Store = medium.store(**options)
    await store.open()
    try:
        yield cast("SessionStore", store)
    finally:
        await store.close()


def turn(text: str, **options: Any) -> NewTurn:
    return NewTurn(f'["{text}"]'.encode(), 2, **options)


async def said(store: SessionStore, agent: str, session: str) -> list[str]:
    """Return the bodies of the turns."""
    found = await store.load_session(agent, session)
    bodies = [] if found is None else [each.body for each in found.turns]
    return [body if isinstance(body, str) else body.decode() for body in bodies]


def test_turns_come_back_in_order_each_under_its_agent_and_session(medium: Medium) -> None:
    async def main() -> None:
        async with open_sessions(medium) as store:
            assert await store.load_session("writer", "user-1") is None
            after: dict[tuple[str, str], Revision | None] = {}
            for number in range(3):
                for agent in ("writer", "editor"):
                    for session in ("user-1", "user-2", "ü'; --\n\t🙂"):
                        key = agent, session
                        after[key] = await store.append_turn(
                            *key, turn(f"{agent} {number}"), after.get(key)
                        )
            for (agent, session), revision in after.items():
                found = await store.load_session(agent, session)
                assert found is not None
                assert found.revision == revision
                assert [each.number for each in found.turns] == [1, 2, 3]
                assert [each.messages for each in found.turns] == [2, 2, 2]
                assert await said(store, agent, session) == [f'["{agent} {n}"]' for n in range(3)]

    asyncio.run(main())


def test_a_turn_on_top_of_what_is_not_there_any_more_is_refused(medium: Medium) -> None:
    async def main() -> None:
        async with open_sessions(medium) as store:
            first = await store.append_turn("a", "s", turn("1"), None)
            with pytest.raises(SessionChanged, match="'s' of 'a' has changed"):
                await store.append_turn("a", "s", turn("other 1"), None)
            await store.append_turn("a", "s", turn("2"), first)
            with pytest.raises(SessionChanged):
                await store.append_turn("a", "s", turn("other 2"), first)
            assert await said(store, "a", "s") == ['["1"]', '["2"]']

    asyncio.run(main())


def test_a_session_that_was_forgotten_and_begun_again_is_another(medium: Medium) -> None:
    async def main() -> None:
        async with open_sessions(medium) as store:
            before = await store.append_turn("a", "s", turn("old"), None)
            assert await store.forget_sessions("a", ["s", "unknown"]) == 1
            with pytest.raises(SessionChanged):
                await store.append_turn("a", "s", turn("late"), before)
            await store.append_turn("a", "s", turn("new"), None)
            with pytest.raises(SessionChanged):
                await store.append_turn("a", "s", turn("later"), before)
            assert await said(store, "a", "s") == ['["new"]']

    asyncio.run(main())


def test_a_turn_with_a_key_is_written_once(medium: Medium) -> None:
    async def main() -> None:
        async with open_sessions(medium) as store:
            first = await store.append_turn("a", "s", turn("1", key="run/step"), None)
            again = await store.append_turn("a", "s", turn("1 again", key="run/step"), None)
            assert again == first
            second = await store.append_turn("a", "s", turn("2"), first)
            assert await store.append_turn("a", "s", turn("1", key="run/step"), first) == second
            assert await said(store, "a", "s") == ['["1"]', '["2"]']
            found = await store.load_session("a", "s", "run/step")
            assert found is not None
            assert found.keyed == 1
            other = await store.load_session("a", "s", "another")
            assert other is not None
            assert other.keyed is None
            # The same key in another session is another turn.
            await store.append_turn("a", "t", turn("1", key="run/step"), None)
            assert await said(store, "a", "t") == ['["1"]']

    asyncio.run(main())


def test_a_turn_may_drop_and_rewrite_those_before_it(medium: Medium) -> None:
    async def main() -> None:
        async with open_sessions(medium) as store:
            after = None
            for number in range(1, 6):
                after = await store.append_turn(
                    "a", "s", turn(f"{number}", key=f"k{number}"), after
                )
            after = await store.append_turn(
                "a",
                "s",
                turn("6", drop_below=4, rewrites=(Turn(3, b'["sum"]', 1), Turn(4, b'["4!"]', 1))),
                after,
            )
            found = await store.load_session("a", "s", "k4")
            assert found is not None
            assert [each.number for each in found.turns] == [3, 4, 5, 6]
            assert await said(store, "a", "s") == ['["sum"]', '["4!"]', '["5"]', '["6"]']
            assert found.keyed == 4
            # Refused as a whole.
            with pytest.raises(SessionChanged):
                await store.append_turn("a", "s", turn("7", drop_below=7), Revision(0, 6))
            assert len(await said(store, "a", "s")) == 4

    asyncio.run(main())


def test_a_session_expires_and_is_begun_anew(medium: Medium) -> None:
    async def main() -> None:
        async with open_sessions(medium) as store:
            kept = await store.append_turn("a", "kept", turn("1"), None)
            first = await store.append_turn("a", "s", turn("1", lives_s=50.0), None)
            await store.append_turn("a", "s", turn("2", lives_s=60.0), first)
            assert len(await said(store, "a", "s")) == 2
            medium.expire_sessions(60.0)
            assert await store.load_session("a", "s") is None
            rows = await store.list_sessions("a")
            assert [row.session for row in rows] == ["kept"]
            await store.append_turn("a", "s", turn("new"), None)
            assert await said(store, "a", "s") == ['["new"]']
            await store.append_turn("a", "t", turn("1", lives_s=60.0), None)
            medium.expire_sessions(60.0)
            assert await store.purge_sessions() == 1
            assert await store.append_turn("a", "kept", turn("2"), kept)

    asyncio.run(main())


def test_sessions_are_listed_those_used_last_first(medium: Medium) -> None:
    async def main() -> None:
        async with open_sessions(medium) as store:
            after: dict[str, Revision] = {}
            for session in ("one", "two", "three"):
                after[session] = await store.append_turn("a", session, turn(session), None)
            await store.append_turn("b", "one", turn("ü"), None)
            await store.append_turn("a", "one", turn("again"), after["one"])
            rows = await store.list_sessions()
            assert [(row.agent, row.session) for row in rows] == [
                *(("a", "one"), ("b", "one"), ("a", "three"), ("a", "two")),
            ]
            newest = rows[0]
            assert (newest.turns, newest.messages) == (2, 4)
            assert newest.bytes == len('["one"]["again"]')
            assert newest.created_at < newest.updated_at
            assert newest.expires_at is None
            page = await store.list_sessions("a", limit=2)
            assert [row.session for row in page] == ["one", "three"]
            rest = await store.list_sessions("a", before=page[-1].updated_at)
            assert [row.session for row in rest] == ["two"]
            assert [row.agent for row in await store.list_sessions(session="one")] == ["a", "b"]
            assert await store.purge_sessions(unused_since=rows[1].updated_at, agent="b") == 0
            assert await store.purge_sessions(unused_since=rows[1].updated_at) == 2
            assert await store.forget_sessions("a") == 1
            assert [row.agent for row in await store.list_sessions()] == ["b"]

    asyncio.run(main())


def test_names_are_bounded_and_texts(medium: Medium) -> None:
    async def main() -> None:
        async with open_sessions(medium, limits=small_limits()) as store:
            longest = "ü" * 500
            await store.append_turn(longest, longest, turn("1"), None)
            assert await said(store, longest, longest) == ['["1"]']
            for wrong in ("", "x" * 1001, "a\0b", "\ud800"):
                with pytest.raises(ValueNotStorable, match="the session's name"):
                    await store.append_turn("a", wrong, turn("1"), None)
            with pytest.raises(ValueTooLarge, match="a turn of session 's'"):
                await store.append_turn("a", "s", turn("x" * 10_001), None)

    asyncio.run(main())


def test_of_turns_begun_together_one_is_written(shared_medium: Medium) -> None:
    async def main() -> None:
        async with open_sessions(shared_medium) as one, open_sessions(shared_medium) as two:
            after = await one.append_turn("a", "s", turn("0"), None)
            for number in range(1, 20):
                attempts = [
                    store.append_turn("a", "s", turn(f"{number} {name}"), after)
                    for store, name in ((one, "one"), (two, "two"))
                ]
                ends = await asyncio.gather(*attempts, return_exceptions=True)
                written = [end for end in ends if isinstance(end, Revision)]
                assert [type(end) for end in ends if not isinstance(end, Revision)] == [
                    SessionChanged
                ]
                after = written[0]
            assert len(await said(two, "a", "s")) == 20
            # Also the first one of all.
            begun = [store.append_turn("a", "new", turn("1"), None) for store in (one, two)]
            ends = await asyncio.gather(*begun, return_exceptions=True)
            assert sorted(type(end).__name__ for end in ends) == ["Revision", "SessionChanged"]

    asyncio.run(main())


def test_sessions_outlive_their_process(durable_medium: Medium) -> None:
    async def main() -> None:
        async with open_sessions(durable_medium) as store:
            after = await store.append_turn("a", "s", turn("1"), None)
        async with open_sessions(durable_medium) as store:
            await store.append_turn("a", "s", turn("2"), after)
            assert await said(store, "a", "s") == ['["1"]', '["2"]']

    asyncio.run(main())


def test_a_turn_writes_itself_and_not_the_history(sqlite: Medium) -> None:
    """What a turn costs does not grow with the turns before it."""

    async def main() -> None:
        async with open_sessions(sqlite) as store:
            after = None
            sizes: list[int] = []
            for number in range(1, 401):
                after = await store.append_turn("a", "s", turn("x" * 1000), after)
                if number in (100, 200, 300, 400):
                    await store.load_session("a", "s")
                    (row,) = await store.list_sessions("a")
                    sizes.append(row.bytes)
            assert sizes == [100_400, 200_800, 301_200, 401_600]

    asyncio.run(main())


def test_a_simulated_store_keeps_sessions_and_fails_as_the_plan_says() -> None:
    told: list[str] = []

    @simulate(faults=[FailStore(operation="append_turn", at_operation=2)])
    async def scenario(sim: Any) -> None:
        store = simulated_store(sim)
        await store.open()
        first = await store.append_turn("a", "s", turn("1"), None)
        with pytest.raises(StoreUnavailable):
            await store.append_turn("a", "s", turn("2"), first)
        await store.append_turn("a", "s", turn("2 again"), first)
        told[:] = await said(store, "a", "s")
        await store.close()

    scenario()
    assert told == ['["1"]', '["2 again"]']


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "y" * 3_000], ids=("nul", "surrogate", "long"))
def test_no_session_has_a_name_that_cannot_be_kept(medium: Medium, name: str) -> None:
    async def main() -> None:
        async with open_sessions(medium) as store:
            await store.append_turn("writer", "user-1", turn("hello"), None)
            for agent, session in ((name, "user-1"), ("writer", name)):
                with pytest.raises(ValueNotStorable):
                    await store.append_turn(agent, session, turn("hello"), None)
                assert await store.list_sessions(agent, session=session) == []
                assert await store.forget_sessions(agent, [session]) == 0
            assert await store.purge_sessions(2e9, name) == 0
            assert len(await store.list_sessions("writer", limit=2**70, before=1e300)) == 1
            with pytest.raises(ValueError, match="nan is not a number of seconds"):
                await store.purge_sessions(float("nan"))
            assert await store.purge_sessions(1e300) == 1

    asyncio.run(main())
