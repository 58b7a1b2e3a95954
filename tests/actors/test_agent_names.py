"""What a name means: the agent that was made in this context, else the only one that lives."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import importlib
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.actors import (
    ActorSystem,
    Agent,
    AmbiguousAgent,
    UnknownAgent,
    agent_names,
    agent_or_none,
    find_agent,
)
from agenticaiframework.actors.agents.line_of_making import LEAST, POINT, points_behind


def echo(payload: Any) -> Any:
    return payload


def make(name: str = "namesake") -> Agent:
    return Agent(name, handler=echo)


def elsewhere(name: str = "namesake") -> Agent:
    """Make an agent in a context of its own, as a task does."""
    return contextvars.copy_context().run(make, name)


def in_thread(fn: Callable[[], Any]) -> Any:
    """Return what *fn* does in a thread that has inherited no context."""
    result: list[Any] = []
    # On Python 3.14 with free threading, and by choice elsewhere, a thread inherits its starter's.
    thread = threading.Thread(target=contextvars.Context().run, args=(_keep, result, fn))
    thread.start()
    thread.join()
    if isinstance(result[0], Exception):
        raise result[0]
    return result[0]


def _keep(result: list[Any], fn: Callable[[], Any]) -> None:
    try:
        result.append(fn())
    except Exception as error:
        result.append(error)


def depth() -> int:
    return len(list(points_behind(POINT.get())))


# -- which one -----------------------------------------------------------------------------------


def test_the_latest_of_one_context_is_meant_and_its_end_hides_no_other() -> None:
    first, second = make(), make()
    assert find_agent("namesake") is agent_or_none("namesake") is second
    del second
    gc.collect()
    assert find_agent("namesake") is first
    other = elsewhere()
    assert find_agent("namesake") is first
    del other
    gc.collect()
    assert find_agent("namesake") is first


def test_a_context_sees_what_was_made_before_it_began_and_then_its_own() -> None:
    outer = make()

    def inside() -> None:
        assert find_agent("namesake") is outer
        own = make()
        assert find_agent("namesake") is own
        nested = contextvars.copy_context()
        assert nested.run(find_agent, "namesake") is own

    contextvars.copy_context().run(inside)
    assert find_agent("namesake") is outer
    begun = contextvars.copy_context()
    later = make()
    assert find_agent("namesake") is later
    assert begun.run(find_agent, "namesake") is outer


def test_the_only_one_is_found_from_anywhere_and_of_several_none() -> None:
    one = elsewhere()
    assert find_agent("namesake") is one
    assert in_thread(lambda: find_agent("namesake")) is one
    two = elsewhere()
    for look in (lambda: find_agent("namesake"), lambda: in_thread(lambda: find_agent("namesake"))):
        with pytest.raises(AmbiguousAgent) as caught:
            look()
        assert caught.value.name == "namesake"
        assert len(caught.value.made_at) == 2
        assert "none of them was made in this context" in str(caught.value)
        assert isinstance(caught.value, LookupError)
        del caught
    assert agent_or_none("namesake") is None
    del two
    gc.collect()
    assert find_agent("namesake") is one


def test_agents_that_only_their_own_handlers_refer_to_do_not_make_a_name_ambiguous() -> None:
    def in_a_circle() -> None:
        held: list[Agent] = []
        held.append(Agent("namesake", handler=lambda _: held))

    gc.collect()
    gc.disable()
    try:
        one = elsewhere()
        contextvars.copy_context().run(in_a_circle)
        contextvars.copy_context().run(in_a_circle)
        assert in_thread(lambda: find_agent("namesake")) is one
    finally:
        gc.enable()


def test_the_code_of_a_module_that_runs_again_means_its_latest_also_for_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "with_a_helper.py").write_text(
        "from agenticaiframework import Agent\n\nhelper = Agent('namesake', handler=repr)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("with_a_helper")
    first = module.helper
    importlib.reload(module)
    others = [elsewhere(), elsewhere()]
    assert module.helper is not first
    assert in_thread(lambda: find_agent("namesake")) is module.helper
    del sys.modules["with_a_helper"], module, others
    gc.collect()
    assert in_thread(lambda: find_agent("namesake")) is first


def test_tasks_and_threads_have_contexts_of_their_own() -> None:
    async def request(number: int) -> bool:
        own = Agent("namesake", handler=lambda _: number)
        await asyncio.sleep(0)
        seen = [
            find_agent("namesake"),
            await asyncio.to_thread(find_agent, "namesake"),
            await asyncio.create_task(asyncio.to_thread(find_agent, "namesake")),
        ]
        return all(agent is own for agent in seen)

    async def main() -> list[bool]:
        return await asyncio.gather(*(request(number) for number in range(20)))

    assert all(asyncio.run(main()))


# -- what is said of it --------------------------------------------------------------------------


class Special(Agent):
    def __init__(self, name: str) -> None:
        super().__init__(name, handler=echo)


class Service:
    def __init__(self) -> None:
        Special("dropped-special")


def line_of(text: str) -> str:
    lines = Path(__file__).read_text().splitlines()
    return f"{__file__}:{next(n for n, line in enumerate(lines, 1) if line.strip() == text)}"


def test_an_agent_that_nothing_kept_is_named_with_the_line_that_made_it() -> None:
    Agent("dropped", handler=echo)
    Service()
    Special("dropped-too")
    gc.collect()
    for name, text in {
        "dropped": 'Agent("dropped", handler=echo)',
        "dropped-special": 'Special("dropped-special")',
        "dropped-too": 'Special("dropped-too")',
    }.items():
        with pytest.raises(UnknownAgent, match="keep a reference to it") as caught:
            find_agent(name, where="step 1")
        assert caught.value.made_at == line_of(text)
        assert f"step 1: no agent is called {name!r}. One was made at {line_of(text)}" in str(
            caught.value
        )
    with pytest.raises(UnknownAgent) as unknown:
        find_agent("never made")
    assert unknown.value.made_at is None


# -- for ever --------------------------------------------------------------------------------------


def test_making_agents_for_ever_keeps_nothing() -> None:
    def objects() -> int:
        gc.collect()
        return len(gc.get_objects())

    def some() -> None:
        kept = [make(f"agent-{number}") for number in range(300)]
        kept += [make() for _ in range(300)]
        kept += [elsewhere() for _ in range(300)]
        for number in range(300):
            make(f"dropped-{number}")
        assert kept

    some()
    some()
    before = objects()
    for _ in range(5):
        some()
    assert objects() - before < 50
    assert not [name for name in agent_names() if name.startswith(("agent-", "dropped-"))]


def test_tasks_that_start_their_successors_for_ever_have_no_ever_longer_past() -> None:
    lag: list[Agent] = []

    def generation(left: int) -> None:
        successor = contextvars.copy_context()
        own = make()  # after its successor has begun: that one needs a line of its own
        lag.append(own)
        del lag[:-3]
        assert find_agent("namesake") is own
        if left:
            following.append((successor, left - 1))

    following: list[tuple[contextvars.Context, int]] = [(contextvars.copy_context(), 500)]
    longest = 0
    while following:
        context, left = following.pop()
        context.run(generation, left)
        longest = max(longest, context.run(depth))
    assert longest <= LEAST + 2


def test_what_is_kept_on_a_long_past_is_still_found() -> None:
    kept: dict[str, Agent] = {}
    context = contextvars.copy_context()
    for number in range(4 * LEAST):
        following = context.copy()
        kept[f"kept-{number}"] = context.run(make, f"kept-{number}")
        context.run(make, "namesake")
        context = context.copy()
        following.run(make, "namesake")
    others = [elsewhere(name) for name in kept]
    assert all(context.run(find_agent, name) is agent for name, agent in kept.items())
    assert others


def test_threads_may_make_drop_and_find_agents_at_the_same_time() -> None:
    errors: list[BaseException] = []
    kept = make("kept")

    def work(number: int) -> None:
        try:
            for turn in range(200):
                own = make()
                circle: list[Any] = [make(f"of-{number}")]
                circle.append(circle)
                assert find_agent("namesake") is own
                assert find_agent("kept") is kept
                if turn % 50 == 0:
                    gc.collect()
                agent_names()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert not errors
    assert not [name for name in agent_names() if name.startswith("of-") or name == "namesake"]


# -- work that was told ----------------------------------------------------------------------------


@pytest.mark.parametrize("dispatcher", ["event_loop", "thread", "pinned"])
def test_what_an_agent_was_told_is_done_when_nothing_keeps_it(dispatcher: str) -> None:
    done: list[Any] = []
    ends: list[Any] = []

    def handle(payload: Any) -> None:
        done.append(payload)
        if payload == "crash":
            raise ValueError("no")

    async def handle_on_loop(payload: Any) -> None:
        await asyncio.sleep(0)
        handle(payload)

    def agent_of() -> Agent:
        handler = handle_on_loop if dispatcher == "event_loop" else handle
        return Agent("mailer", handler=handler, dispatcher=dispatcher, on_stop=ends.append)

    def notify() -> weakref.ref[Agent]:
        mailer = agent_of()
        for message in (1, "crash", 2, "crash", 3):
            mailer.tell(message)
        return weakref.ref(mailer)

    async def ask() -> Any:
        mailer = agent_of()
        mailer.tell("first")
        request = mailer.request("asked")
        mailer.tell("last")
        del mailer
        gc.collect()
        await request
        return None

    async def main() -> None:
        async with ActorSystem() as system:
            gone = notify()
            gc.collect()
            assert gone() is None
            while system.actor_count:
                await asyncio.sleep(0.001)
            assert done == [1, "crash", 2, "crash", 3]
            assert [str(end) for end in ends] == ["no", "no", "normal"]
            done.clear()
            await ask()
            gc.collect()
            while system.actor_count:
                await asyncio.sleep(0.001)
            assert done == ["first", "asked", "last"]
            # In a thread, whose messages and whose last reference come from outside of the loop.
            done.clear()
            await asyncio.to_thread(notify)
            gc.collect()
            while len(done) < 5 or system.actor_count:
                await asyncio.sleep(0.001)
            assert done == [1, "crash", 2, "crash", 3]
            assert not system.keeping

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_dropped_agent_that_waits_between_two_incarnations_does_what_it_was_told() -> None:
    done: list[Any] = []

    async def slow_end() -> None:
        await asyncio.sleep(0.02)

    async def handle(payload: Any) -> None:
        done.append(payload)
        if payload == "crash":
            raise ValueError("no")

    async def main() -> None:
        async with ActorSystem() as system:
            mailer = Agent("mailer", handler=handle, on_stop=slow_end)
            with pytest.raises(Exception, match="no"):
                await mailer.ask("crash")
            mailer.tell("kept")
            assert mailer.address().waiting == 1
            del mailer
            gc.collect()
            while system.actor_count or system.keeping:
                await asyncio.sleep(0.001)
            assert done == ["crash", "kept"]

    asyncio.run(asyncio.wait_for(main(), 60))


def test_telling_and_dropping_agents_for_ever_keeps_nothing() -> None:
    def objects() -> int:
        gc.collect()
        return len(gc.get_objects())

    async def main() -> list[int]:
        counts: list[int] = []
        async with ActorSystem() as system:
            for _ in range(4):
                for number in range(200):
                    Agent(f"mailer-{number}", handler=echo_on_loop).tell(number)
                while system.actor_count:
                    await asyncio.sleep(0.001)
                counts.append(objects())
        return counts

    async def echo_on_loop(payload: Any) -> Any:
        return payload

    counts = asyncio.run(asyncio.wait_for(main(), 60))
    assert counts[-1] - counts[1] < 50, counts
