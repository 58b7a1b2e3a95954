"""Handlers that wait for one another in a circle are told at once, over whatever leads round."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agenticaiframework.actors import (
    Actor,
    ActorSystem,
    Agent,
    AgentFailed,
    CallingSelf,
    Mailbox,
    gather,
)

Run = Callable[..., Any]


def circle_in(error: BaseException | None) -> CallingSelf:
    """Return the error that says who waits for whom, out of what *error* came of."""
    while error is not None and not isinstance(error, CallingSelf):
        error = error.__cause__
    assert error is not None, "nobody was told"
    return error


def ring(dispatchers: list[str], how: str = "ask") -> list[Agent]:
    """Agents each of which asks the next, and the last the first."""
    agents: list[Agent] = []

    def member(place: int, dispatcher: str) -> Agent:
        def following() -> Agent:
            return agents[(place + 1) % len(dispatchers)]

        async def handle(payload: Any) -> Any:
            if how == "gather":
                return await gather(following().request(payload))
            return await following().ask(payload, timeout=3600 if how == "timeout" else None)

        def block(payload: Any) -> Any:
            return asyncio.run(following().ask(payload))

        if dispatcher == "plain":
            return Agent(f"agent{place}", handler=block)
        return Agent(f"agent{place}", handler=handle, dispatcher=dispatcher)

    agents += [member(place, dispatcher) for place, dispatcher in enumerate(dispatchers)]
    return agents


@pytest.mark.parametrize("how", ["ask", "gather", "timeout"])
@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_agents_that_ask_in_a_circle_are_told_at_once(in_sim: Run, length: int, how: str) -> None:
    async def main(system: ActorSystem) -> None:
        agents = ring(["event_loop"] * length, how)
        began = system.clock()
        with pytest.raises(AgentFailed) as caught:
            await agents[0].ask("hello")
        assert system.clock() == began
        assert circle_in(caught.value).chain == tuple(agent.name for agent in agents)

    in_sim(main)


@pytest.mark.parametrize("length", [1, 2, 4])
@pytest.mark.parametrize(
    "dispatchers", [["thread"], ["plain"], ["pinned", "event_loop"], ["event_loop", "plain"]]
)
def test_so_are_those_in_threads(in_system: Run, dispatchers: list[str], length: int) -> None:
    async def main(system: ActorSystem) -> None:
        agents = ring((dispatchers * length)[:length])
        with pytest.raises(AgentFailed) as caught:
            await agents[0].ask("hello", timeout=30)
        # Two of them may close the circle in the same moment.
        assert set(circle_in(caught.value).chain) == {agent.name for agent in agents}

    in_system(main)


def test_the_error_says_the_circle_in_words(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agents = ring(["event_loop"] * 3)
        with pytest.raises(AgentFailed) as caught:
            await agents[0].ask("hello")
        said = "agent0 waits for agent1, which waits for agent2, which waits for agent0. "
        assert str(circle_in(caught.value)).startswith(said)

    in_sim(main)


class Blocking(Actor):
    """Waits in pykka's ways, for itself or along a ring."""

    dispatcher = "thread"
    crash_on_ask_error = False

    def x(self) -> int:
        return 1

    def own_proxy(self) -> Any:
        return self.actor_ref.proxy().x().get()

    def own_stop(self) -> Any:
        return self.actor_ref.stop()

    def along(self, refs: list[Any]) -> Any:
        return refs[0].proxy().along(refs[1:]).get() if refs else 0

    def along_asking(self, refs: list[Any]) -> Any:
        async def ask() -> Any:
            return await refs[0].proxy().along_asking(refs[1:])

        return asyncio.run(ask()) if refs else 0


@pytest.mark.parametrize("call", ["own_proxy", "own_stop"])
def test_a_blocking_call_of_oneself_is_told_and_not_made(in_system: Run, call: str) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Blocking)
        with pytest.raises(CallingSelf, match="asks itself"):
            await getattr(one.proxy(), call)()
        assert await one.proxy().x() == 1

    in_system(main)


@pytest.mark.parametrize("call", ["along", "along_asking"])
def test_blocking_calls_in_a_circle_are_told(in_system: Run, call: str) -> None:
    async def main(system: ActorSystem) -> None:
        first, second, third = (system.start(Blocking) for _ in range(3))
        with pytest.raises(CallingSelf, match="which waits for"):
            await getattr(first.proxy(), call)([second, third, first])
        assert await getattr(first.proxy(), call)([second, third]) == 0

    in_system(main)


class Sender(Actor):
    """Sends itself more than its mailbox holds."""

    mailbox = Mailbox(1, overflow="backpressure")
    crash_on_ask_error = False

    async def on_receive(self, message: Any) -> Any:
        if message == "go":
            self.actor_ref.tell("first")
            await self.actor_ref.send("second")
        return message


def test_waiting_for_room_in_ones_own_mailbox_is_told(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Sender)
        with pytest.raises(CallingSelf):
            await one.request("go")
        assert await one.request("hello") == "hello"

    in_sim(main)


def test_a_child_that_asks_its_parent_while_it_starts_is_told(in_sim: Run) -> None:
    class Child(Actor):
        async def on_start(self) -> None:  # type: ignore[override]
            assert self.parent is not None
            await self.parent.request("hello")

    class Parent(Actor):
        async def on_receive(self, message: Any) -> Any:
            return await self.start_link(Child, timeout=60)

    async def main(system: ActorSystem) -> None:
        began = system.clock()
        with pytest.raises(Exception, match="did not start") as caught:
            await system.start(Parent).request("go")
        assert isinstance(circle_in(caught.value), CallingSelf)
        assert system.clock() == began

    in_sim(main)


def test_a_circle_over_a_message_that_waits_is_told(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        gate = asyncio.Event()

        async def left(payload: str) -> Any:
            return await right_agent.ask("queued")

        async def right(payload: str) -> Any:
            await gate.wait()
            return await left_agent.ask("back")

        left_agent, right_agent = Agent("left", handler=left), Agent("right", handler=right)
        first = asyncio.create_task(right_agent.ask("first"))
        second = asyncio.create_task(left_agent.ask("second"))
        await asyncio.sleep(1)
        gate.set()
        results = await asyncio.gather(first, second, return_exceptions=True)
        assert circle_in(results[0]).chain == ("left", "right")  # type: ignore[arg-type]

    in_sim(main)


class Deferring(Actor):
    """Answers later, and meanwhile asks whom it was asked by."""

    def __init__(self) -> None:
        super().__init__()
        self.crash_on_ask_error = False

    async def on_receive(self, message: Any) -> Any:
        request = self.defer_reply()
        answer = await message.request("now")
        request.reply(answer)


class Busy(Actor):
    """Goes on with other messages while it waits for an answer."""

    def on_receive(self, message: Any) -> Any:
        if message == "now":
            return "now"
        self.pipe_to(message.request(self.actor_ref))
        return None


def test_one_that_answers_meanwhile_is_in_no_circle(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        busy, deferring = system.start(Busy), system.start(Deferring)
        await busy.request(deferring)
        await asyncio.sleep(1)
        assert await busy.request("now") == "now"

    in_sim(main)


def test_an_ask_that_was_refused_is_not_handled_later(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        handled: list[str] = []

        async def handle(payload: str) -> Any:
            handled.append(payload)
            if payload == "first":
                try:
                    await agent.ask("again")
                except CallingSelf:
                    return "told"
            return payload

        agent = Agent("one", handler=handle)
        assert await agent.ask("first") == "told"
        assert await agent.ask("last") == "last"
        assert handled == ["first", "last"]

    in_sim(main)


def test_a_race_that_another_may_win_is_no_circle_for_who_works_for_others(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        gate = asyncio.Event()

        async def racing(payload: str) -> Any:
            if payload == "later":
                return "later"
            winner = gather(
                slow_agent.request("race"),
                quick_agent.request("race"),
                return_exceptions=True,
                on_reply=lambda request: True,
            )
            return len(await winner)

        async def slow(payload: str) -> Any:
            await gate.wait()
            return await racing_agent.ask("later")

        async def quick(payload: str) -> Any:
            await asyncio.sleep(1)
            return payload

        racing_agent = Agent("racing", handler=racing)
        slow_agent, quick_agent = Agent("slow", handler=slow), Agent("quick", handler=quick)
        other = asyncio.create_task(slow_agent.ask("for another"))
        race = asyncio.create_task(racing_agent.ask("race"))
        await asyncio.sleep(0.5)
        gate.set()
        assert await race == 2
        assert await other == "later"

    in_sim(main)


def crossing(kinds: dict[str, int], dispatcher: str) -> list[Agent]:
    """Agents, each with so many incarnations, that ask the next, and the last the first."""
    agents: list[Agent] = []

    def member(place: int, name: str, concurrency: int) -> Agent:
        async def handle(payload: Any) -> Any:
            return await agents[(place + 1) % len(kinds)].ask(payload)

        return Agent(name, handler=handle, dispatcher=dispatcher, concurrency=concurrency)

    agents += [member(place, name, kinds[name]) for place, name in enumerate(kinds)]
    return agents


def goes_round(chain: tuple[str, ...], waits: dict[str, set[str]]) -> bool:
    """Tell whether each of *chain* waits for the next one, and the last for the first."""
    following = (*chain[1:], *chain[:1])
    return bool(chain) and all(
        other in waits[one] for one, other in zip(chain, following, strict=True)
    )


@pytest.mark.parametrize("dispatcher", ["event_loop", "thread", "pinned"])
def test_a_pool_whose_incarnations_all_wait_is_told(in_system: Run, dispatcher: str) -> None:
    waits = {"a[1]": {"b[1]"}, "b[1]": {"a[2]"}, "a[2]": {"b[2]"}, "b[2]": {"a[1]", "a[2]"}}

    async def main(system: ActorSystem) -> None:
        for kinds, chain, waiting in (
            ({"a": 2}, ("a[2]",), {"a[1]": {"a[2]"}, "a[2]": {"a[1]", "a[2]"}}),
            ({"a": 2, "b": 2}, ("a[1]", "b[1]", "a[2]", "b[2]"), waits),
        ):
            agents = crossing(kinds, dispatcher)
            with pytest.raises(AgentFailed) as caught:
                await agents[0].ask("hello")
            found = circle_in(caught.value).chain
            # Which of several threads closes the circle, and so where it is entered, is not known.
            assert found == chain if dispatcher == "event_loop" else goes_round(found, waiting)

    in_system(main)


@pytest.mark.parametrize("dispatcher", ["event_loop", "thread", "pinned"])
def test_free_incarnations_do_not_help_what_another_has_in_hand(
    in_system: Run, dispatcher: str
) -> None:
    async def main(system: ActorSystem) -> None:
        agents = crossing({"a": 5, "b": 1}, dispatcher)
        with pytest.raises(AgentFailed) as caught:
            await agents[0].ask("hello")
        found = circle_in(caught.value).chain
        waiting = {"b": {"a[2]"}, "a[2]": {"b"}}
        in_order = dispatcher == "event_loop"
        assert found == ("b", "a[2]") if in_order else goes_round(found, waiting)

    in_system(main)
