"""In whose context a handler runs: the message's, and the actor's own for all that carries none."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from puppets import Crash

from agenticaiframework.actors import (
    CALL,
    Actor,
    ActorSystem,
    Agent,
    FunctionActor,
    agent_context,
    with_context,
)

Run = Callable[..., Any]

user: contextvars.ContextVar[Any] = contextvars.ContextVar("user", default="nobody")


class Value:
    """A value that tells whether something keeps it."""


# -- an actor's own context ------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["stop", "crash", "killed at work", "told to exit at work"])
def test_the_hooks_and_plain_messages_share_one_context_from_start_to_end(
    in_system: Run, dispatcher: str, end: str
) -> None:
    seen: list[tuple[str, Any]] = []

    @contextlib.contextmanager
    def opened() -> Iterator[None]:
        token = user.set("the actor")
        try:
            yield
        finally:
            user.reset(token)  # raises in another context
            seen.append(("closed", user.get()))

    class Owner(Actor):
        def on_start(self) -> None:
            self.block = opened()
            self.block.__enter__()

        async def on_receive(self, message: str) -> Any:
            seen.append((message, user.get()))
            await asyncio.sleep(0)
            if message == "crash":
                raise Crash("told")
            if message == "work":
                user.set("not the actor")
                begun.set()
                await asyncio.sleep(60)
            return user.get()

        def on_stop(self) -> None:
            self.block.__exit__(None, None, None)

        def on_failure(self, *error: Any) -> None:
            self.block.__exit__(None, None, None)

    Owner.dispatcher = dispatcher
    begun = asyncio.Event()

    async def main(system: ActorSystem) -> None:
        user.set("alice")
        one = system.start(Owner)
        assert await one.request("plain") == "the actor"
        assert await one.request(with_context("carried")) == "alice"
        assert await one.request("plain") == "the actor"
        user.set("bob")
        if end == "stop":
            one.exit("stop")
        elif end == "crash":
            one.tell(with_context("crash"))
        elif dispatcher == "event_loop":
            one.tell(with_context("work"))
            await begun.wait()
            one.exit("kill" if end == "killed at work" else "stop")
        else:
            one.exit("stop")
        await system.wait_ended(one)
        assert seen[-1] == ("closed", "nobody")

    in_system(main)


def test_the_own_context_of_an_actor_has_nothing_of_whoever_started_it(
    in_system: Run, dispatcher: str
) -> None:
    class Looks(Actor):
        def on_start(self) -> None:
            self.found = [user.get()]

        def on_receive(self, message: Any) -> Any:
            return [*self.found, user.get(), ActorSystem.current()]

    Looks.dispatcher = dispatcher

    async def main(system: ActorSystem) -> None:
        user.set("who starts it")
        one = system.start(Looks)
        assert await one.request("x") == ["nobody", "nobody", system]

    in_system(main)


def test_a_system_may_be_given_the_context_that_its_actors_begin_with(in_system: Run) -> None:
    given = contextvars.copy_context()
    given.run(user.set, "the service")

    class Looks(Actor):
        def on_receive(self, message: Any) -> Any:
            before = user.get()
            user.set(message)
            return before

    async def main(system: ActorSystem) -> None:
        one, other = system.start(Looks), system.start(Looks)
        assert await one.request("mine") == "the service"
        assert (await one.request("x"), await other.request("x")) == ("mine", "the service")
        assert given[user] == "the service"

    in_system(main, context=given)


# -- nothing is kept -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["async", "waiting", "plain", "failing", "cancelled", "told"])
def test_an_idle_agent_keeps_nothing_of_those_that_it_worked_for(
    in_system: Run, dispatcher: str, kind: str
) -> None:
    async def handle(payload: str) -> Any:
        if kind in ("waiting", "told"):
            await asyncio.sleep(0.001)
        if kind == "failing" and payload != "last":
            raise Crash("no")
        if kind == "cancelled" and payload != "last":
            await (
                asyncio.Event().wait()
            )  # a timer would stay with the loop, although it is cancelled

    def handle_plain(payload: str) -> Any:
        return None

    agent = Agent(
        "agent", handler=handle_plain if kind == "plain" else handle, dispatcher=dispatcher
    )
    held: list[weakref.ref[Value]] = []

    async def request() -> None:
        value = Value()
        held.append(weakref.ref(value))
        user.set(value)
        if kind == "told":
            agent.tell("x")
            return
        with contextlib.suppress(Exception):
            await agent.ask("x", timeout=0.01 if kind == "cancelled" else None)

    async def main(system: ActorSystem) -> None:
        for _ in range(3):
            await asyncio.create_task(request())
        # The error that an incarnation ended with is kept until the next: with its frames, as ever.
        await agent.ask("last")
        ref: Any = agent.address().ref
        while system.info(ref).state != "idle":
            await asyncio.sleep(0.001)
        # A thread may still be ending what was cancelled.
        async with asyncio.timeout(60):
            while any(ref() is not None for ref in held):
                await asyncio.sleep(0.01)
                gc.collect()

    in_system(main)


def test_a_dead_letter_keeps_no_context(in_system: Run) -> None:
    async def handle(payload: Any) -> None:
        raise Crash("told")

    async def main(system: ActorSystem) -> None:
        agent = Agent("agent", handler=handle)

        async def tell() -> weakref.ref[Value]:
            value = Value()
            user.set(value)
            agent.tell("x", context={"tenant": "t"})
            return weakref.ref(value)

        held = await asyncio.create_task(tell())
        while not system.dead_letters:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)  # the task that told it is forgotten, too
        [letter] = system.dead_letters
        assert repr(letter.message) == "Work('x')"
        assert letter.message.context == {"tenant": "t"}
        gc.collect()
        assert held() is None

    in_system(main)


def test_a_repeated_timer_keeps_no_context_of_the_handler_that_set_it(in_sim: Run) -> None:
    class Ticks(Actor):
        def on_receive(self, message: Any) -> Any:
            if message == "begin":
                self.send_interval(1.0, "tick")
                self.set_receive_timeout(100)
            return user.get()

    async def main(system: ActorSystem) -> None:
        one = system.start(Ticks)

        async def begin() -> weakref.ref[Value]:
            value = Value()
            user.set(value)
            assert await one.request(with_context("begin")) is value
            return weakref.ref(value)

        held = await asyncio.create_task(begin())
        await asyncio.sleep(3)
        gc.collect()
        assert held() is None

    in_sim(main)


# -- agents ----------------------------------------------------------------------------------------


def test_a_payload_in_with_context_reaches_the_handler_itself_in_that_context(
    in_system: Run, dispatcher: str
) -> None:
    agent = Agent("agent", handler=lambda payload: (payload, user.get()), dispatcher=dispatcher)
    told: list[Any] = []
    hears = Agent("hears", handler=lambda payload: told.append((payload, user.get())))

    async def main(system: ActorSystem) -> None:
        user.set("alice")
        assert await agent.ask(with_context("x")) == ("x", "alice")
        kept = contextvars.copy_context()
        user.set("bob")
        assert await agent.ask(with_context("x", kept)) == ("x", "alice")
        assert await agent.ask(with_context("x", contextvars.Context())) == ("x", "nobody")
        hears.tell(with_context("y", kept))
        while not told:
            await asyncio.sleep(0.001)
        assert told == [("y", "alice")]
        address = agent.address()
        assert await address.request(with_context("raw")) == ("raw", "bob")
        assert await address.request("raw") == ("raw", "nobody")
        assert kept[user] == "alice"

    in_system(main)


def test_one_context_may_go_with_many_messages_at_once(in_system: Run, dispatcher: str) -> None:
    async def handle(payload: Any) -> Any:
        before = user.get()
        user.set(f"{before}{payload}")
        await asyncio.sleep(0.001)
        return user.get()

    agents = [Agent(f"a{n}", handler=handle, dispatcher=dispatcher) for n in range(4)]

    async def main(system: ActorSystem) -> None:
        user.set("u")
        carried = with_context("x")
        assert await asyncio.gather(*(agent.ask(carried) for agent in agents)) == ["ux"] * 4
        assert user.get() == "u"

    in_system(main)


def test_a_message_that_waited_for_the_next_incarnation_brings_its_context(in_sim: Run) -> None:
    async def handle(payload: Any) -> Any:
        await asyncio.sleep(1)
        if payload == "crash":
            raise Crash("no")
        return user.get()

    async def main(system: ActorSystem) -> None:
        agent = Agent("agent", handler=handle)
        agent.tell("crash")
        user.set("alice")
        asked = agent.request("x")
        user.set("bob")
        assert await asked == "alice"

    in_sim(main)


def test_a_thread_outside_asks_in_its_own_context(in_system: Run) -> None:
    async def handle(payload: Any) -> Any:
        return user.get(), ActorSystem.current()

    async def main(system: ActorSystem) -> None:
        agent = Agent("agent", handler=handle)

        def ask() -> Any:
            user.set("of the thread")
            return asyncio.run(agent.ask("x"))

        user.set("of the loop")
        assert await asyncio.to_thread(ask) == ("of the thread", system)
        assert user.get() == "of the loop"

    in_system(main)


def test_an_agent_asked_across_systems_belongs_to_its_own(in_system: Run, dispatcher: str) -> None:
    agent = Agent(
        "agent", handler=lambda payload: (user.get(), ActorSystem.current()), dispatcher=dispatcher
    )

    async def main(system: ActorSystem) -> None:
        user.set("alice")
        async with ActorSystem("another") as other:
            assert await agent.request("x", system=system) == ("alice", system)
            assert await agent.ask("x") == ("alice", other)

    in_system(main)


def test_what_a_thread_pipes_to_its_actor_runs_in_the_context_of_the_message(
    in_system: Run, dispatcher: str
) -> None:
    class Pipes(Actor):
        def on_receive(self, message: Any) -> Any:
            if message == "begin":
                self.pipe_to(look())
                return None
            found.append(message)
            return None

    async def look() -> Any:
        await asyncio.sleep(0)
        return user.get()

    Pipes.dispatcher = dispatcher
    found: list[Any] = []

    async def main(system: ActorSystem) -> None:
        user.set("alice")
        await system.start(Pipes).request(with_context("begin"))
        while not found:
            await asyncio.sleep(0.001)
        assert found == ["alice"]

    in_system(main)


def test_a_function_actor_is_called_in_the_context_of_its_request(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        user.set("alice")
        assert await system.start(FunctionActor, user.get).request(with_context(CALL)) == "alice"
        assert await system.start(FunctionActor, user.get).request(CALL) == "nobody"

    in_system(main)


def test_the_tasks_context_is_that_of_the_message(in_sim: Run) -> None:
    async def handle(payload: Any) -> Any:
        task: Any = asyncio.current_task()
        assert task.get_context()[user] == user.get()
        await asyncio.sleep(0)
        return task.get_context()[user]

    async def main(system: ActorSystem) -> None:
        user.set("alice")
        assert await Agent("agent", handler=handle).ask("x") == "alice"

    in_sim(main)


def test_handled_inside_anothers_turn_it_is_still_in_the_context_that_it_carries(
    in_sim: Run,
) -> None:
    seen: list[Any] = []

    class Takes(Actor):
        def on_receive(self, message: Any) -> Any:
            seen.append(user.get())
            if message == "wait":
                return self.wait()
            user.set("set by the handler")
            return None

        async def wait(self) -> None:
            await asyncio.sleep(1)
            seen.append(user.get())

    async def main(system: ActorSystem) -> None:
        one = system.start(Takes)
        await one.request("first")
        user.set("alice")
        assert one.handle_now(with_context("now"))
        assert one.handle_now("plain")
        assert one.handle_now(with_context("wait"))
        await asyncio.sleep(2)
        assert seen == ["nobody", "alice", "set by the handler", "alice", "alice"]

    in_sim(main)


def test_what_is_stashed_comes_back_in_its_context(in_sim: Run) -> None:
    class Stashes(Actor):
        ready = False

        def on_receive(self, message: Any) -> Any:
            if message == "ready":
                self.ready = True
                self.unstash_all()
            elif not self.ready:
                user.set("set before it was stashed")
                self.stash()
            else:
                return user.get()
            return None

    async def main(system: ActorSystem) -> None:
        one = system.start(Stashes)
        user.set("alice")
        asked = one.request(with_context("x"))
        await asyncio.sleep(1)
        await one.request("ready")
        assert await asked == "alice"

    in_sim(main)


def test_agent_context_is_empty_for_what_brings_none(in_sim: Run) -> None:
    agent = Agent("agent", handler=lambda payload: dict(agent_context()), dispatcher="event_loop")

    async def main(system: ActorSystem) -> None:
        assert await agent.ask("x", context={"a": 1}) == {"a": 1}
        assert await agent.ask("x") == {}
        assert await agent.address().request("raw") == {}

    in_sim(main)


# -- a wake-up that comes too late -----------------------------------------------------------------


def test_what_a_cancelled_handler_waited_for_does_not_wake_the_next_one(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        slow = Agent(
            "slow", handler=lambda payload: asyncio.sleep(100, "slowly"), dispatcher="event_loop"
        )

        async def handle(payload: str) -> Any:
            if payload == "first":
                await future
            return await slow.ask("x")

        agent = Agent("agent", handler=handle)
        first = agent.request("first")
        second = agent.request("second")
        await asyncio.sleep(1)

        class Ends(Actor):
            def on_receive(self, message: Any) -> None:
                # Both before the loop has called back whoever waits for the future.
                future.set_result(None)
                first.cancel()

        system.start(Ends).tell("now")
        assert await second == "slowly"

    in_sim(main)
