"""Failures of one request: the asker gets the error, and the agent is well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from child_work import BadInput, Overloaded, Response, Stubborn, die, refuse

from agenticaiframework import RequestRejected
from agenticaiframework.actors import (
    Actor,
    ActorDied,
    ActorExit,
    ActorSystem,
    Agent,
    AgentDefinitionError,
    AgentFailed,
    AgentTimeout,
    DeadLetter,
    HandlerCancelled,
    InboxMessage,
    ProcessDied,
    RemoteError,
    http_status_of,
    is_expected,
    retry_after_of,
)

Run = Callable[..., Any]
EVERYWHERE = ("event_loop", "thread", "pinned", "process")


async def refuse_later(payload: str) -> str:
    await asyncio.sleep(0)
    return refuse(payload)


def desk(where: str, **options: Any) -> Agent:
    """Return an agent whose handler runs *where*, awaiting or not, and expects connection errors."""
    handler = refuse_later if where == "awaiting" else refuse
    dispatcher = "event_loop" if where == "awaiting" else where
    options.setdefault("expected_errors", (ConnectionError, Stubborn))
    return Agent("desk", handler=handler, dispatcher=dispatcher, **options)


async def failure(agent: Agent, payload: Any) -> AgentFailed:
    with pytest.raises(AgentFailed) as caught:
        await agent.ask(payload)
    return caught.value


@pytest.fixture(params=["awaiting", *EVERYWHERE])
def where(request: pytest.FixtureRequest) -> str:
    """Each way in which a handler can run."""
    return str(request.param)


# -- asked ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Frozen(RequestRejected):
    """None of its attributes can be set, not even those that belong to every exception."""

    why: str


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize("dispatcher", ["event_loop", "thread", "pinned"])
def test_an_error_whose_attributes_cannot_be_set_is_one_like_any(
    in_system: Run, dispatcher: str, concurrency: int
) -> None:
    def refuse_frozen(payload: str) -> str:
        raise Frozen(payload)

    async def main(system: ActorSystem) -> None:
        agent = Agent("desk", handler=refuse_frozen, dispatcher=dispatcher, concurrency=concurrency)
        for _ in range(2):
            error = await failure(agent, "no")
            assert error.expected
            assert error.__cause__ == Frozen("no")

    in_system(main)


@pytest.mark.parametrize(
    ("payload", "cause"),
    [
        ("rejected", BadInput),
        ("declared", ConnectionResetError),
        ("group", ExceptionGroup),
    ],
)
def test_the_asker_gets_the_error_and_the_agent_lives(
    in_system: Run, where: str, payload: str, cause: type[Exception]
) -> None:
    async def main(system: ActorSystem) -> None:
        agent = desk(where)
        assert await agent.ask("hello") == "hello"
        first = agent.address().ref
        error = await failure(agent, payload)
        assert isinstance(error.__cause__, cause)
        assert error.expected
        assert await agent.ask("hello") == "hello"
        assert agent.address().ref is first
        assert agent.address().incarnation == 1
        assert not system.dead_letters

    in_system(main)


def test_anything_else_crashes_the_agent_as_ever(in_system: Run, where: str) -> None:
    async def main(system: ActorSystem) -> None:
        agent = desk(where)
        for number, payload in enumerate(["bug", "mixed"], 1):
            error = await failure(agent, payload)
            assert not error.expected
            assert await agent.ask("hello") == "hello"
            assert agent.address().incarnation == number + 1

    in_system(main)


def test_what_cannot_come_back_from_a_child_process_is_known_by_its_class(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = desk("process")
        for payload in ("locked", "stubborn"):
            error = await failure(agent, payload)
            assert isinstance(error.__cause__, RemoteError)
            assert error.expected
        assert agent.address().incarnation == 1
        assert (await failure(agent, "overloaded")).expected is False
        assert await agent.ask("hello") == "hello"
        assert agent.address().incarnation == 2

    in_system(main)


def test_an_exit_in_a_child_process_is_a_crash_whatever_is_expected(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = desk("process", expected_errors=Exception)
        assert (await failure(agent, "bug")).expected
        assert not (await failure(agent, "exit")).expected
        assert await agent.ask("hello") == "hello"
        assert agent.address().incarnation == 2

    in_system(main)


def test_what_a_cause_in_a_child_process_says_of_a_refusal_comes_back(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        error = await failure(desk("process"), "overloaded")
        assert isinstance(error.__cause__, RuntimeError)
        cause = error.__cause__.__cause__
        assert isinstance(cause, RemoteError)
        assert http_status_of(cause) == 429
        assert retry_after_of(error) == 3.0

    in_system(main)


def test_a_child_process_that_dies_is_a_crash_whatever_is_expected(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("fragile", handler=die, dispatcher="process", expected_errors=Exception)
        with pytest.raises(AgentFailed) as caught:
            await agent.ask("exit")
        assert isinstance(caught.value.__cause__, ProcessDied)
        assert agent.address().live is None

    in_system(main)


# -- told -------------------------------------------------------------------------------------------


def test_of_what_was_told_a_dead_letter_stays_and_nothing_that_waits_is_lost(
    in_system: Run, where: str
) -> None:
    async def main(system: ActorSystem) -> None:
        letters: list[DeadLetter] = []
        system.dead_letters.subscribe(letters.append)
        agent = desk(where)
        agent.tell("rejected")
        answers = [agent.request(number) for number in range(20)]
        agent.tell("declared")
        answers += [agent.request(number) for number in range(20, 40)]
        assert [await answer for answer in answers] == list(range(40))
        assert [type(letter.reason) for letter in letters] == [BadInput, ConnectionResetError]
        assert agent.address().incarnation == 1

    in_system(main)


@pytest.mark.parametrize("where", ["awaiting", "event_loop", "thread", "pinned"])
def test_in_the_inbox_too(in_system: Run, where: str) -> None:
    async def main(system: ActorSystem) -> None:
        letters: list[DeadLetter] = []
        system.dead_letters.subscribe(letters.append)
        agent = desk(where)

        @agent.on_message
        def read(message: InboxMessage) -> Any:
            return refuse(message.content)

        address = agent.address()
        address.tell(InboxMessage("note", "declared"))
        assert await address.request(InboxMessage("note", "hello")) == "hello"
        assert [type(letter.reason) for letter in letters] == [ConnectionResetError]
        with pytest.raises(BadInput):
            await address.request(InboxMessage("note", "rejected"))
        assert address.incarnation == 1

    in_system(main)


# -- what is expected -------------------------------------------------------------------------------


class Closed(ConnectionError):
    """A subclass of what is declared."""


@pytest.mark.parametrize(
    ("expected", "error", "lives"),
    [
        (ConnectionError, Closed(), True),
        ([ConnectionError], Closed(), True),
        ((), Closed(), False),
        (None, Closed(), False),
        (None, RequestRejected("no"), True),
        ((), RequestRejected("no"), True),
        (Exception, TypeError(), True),
        (ValueError, Closed(), False),
        (ValueError, ExceptionGroup("g", [ValueError(), RequestRejected()]), True),
        (ValueError, ExceptionGroup("g", [ValueError(), ExceptionGroup("h", [KeyError()])]), False),
        (ExceptionGroup, ExceptionGroup("g", [KeyError()]), True),
        (ValueError, BaseExceptionGroup("g", [ValueError(), KeyError()]), False),
    ],
)
def test_classes_and_their_subclasses_and_groups_of_nothing_else(
    in_sim: Run, expected: Any, error: Exception, lives: bool
) -> None:
    async def main(system: ActorSystem) -> None:
        async def raises(payload: Any) -> Any:
            if payload:
                raise error
            return "well"

        agent = Agent("a", handler=raises, expected_errors=expected)
        assert (await failure(agent, True)).expected is lives
        assert await agent.ask(False) == "well"
        assert agent.address().incarnation == (1 if lives else 2)

    in_sim(main)


def test_it_is_the_error_that_counts_and_not_its_cause(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async def wraps(payload: Any) -> None:
            raise KeyError("x") from ConnectionError()

        agent = Agent("a", handler=wraps, expected_errors=ConnectionError)
        assert not (await failure(agent, 1)).expected
        assert agent.address().live is None

    in_sim(main)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("ConnectionError", "'ConnectionError'"),
        (("ConnectionError",), "'ConnectionError'"),
        (ConnectionError(), "ConnectionError()"),
        (5, "5"),
        ((int,), "<class 'int'>"),
        (asyncio.CancelledError, "CancelledError"),
        ((ValueError, KeyboardInterrupt), "KeyboardInterrupt"),
        (SystemExit, "SystemExit"),
        (BaseException, "BaseException"),
        (BaseExceptionGroup, "BaseExceptionGroup"),
        (ActorExit, "ActorExit"),
    ],
)
def test_what_cannot_be_declared_is_said_with_the_form_that_works(wrong: Any, said: str) -> None:
    with pytest.raises(AgentDefinitionError) as caught:
        Agent("a", handler=refuse, expected_errors=wrong)
    assert said in str(caught.value)
    assert "expected_errors=(ConnectionError, ValueError)" in str(caught.value)


def test_the_end_and_the_lateness_of_others_can_be_declared_but_not_its_own(in_sim: Run) -> None:
    class Silent(Actor):
        def on_receive(self, message: Any) -> None:
            self.defer_reply()

    async def main(system: ActorSystem) -> None:
        silent, dead = system.start(Silent), system.start(Silent)
        dead.kill()
        await asyncio.sleep(1)

        async def asks(payload: str) -> Any:
            if payload == "hang":
                await asyncio.sleep(100)
            return await (dead if payload == "dead" else silent).request(1, timeout=1)

        agent = Agent("a", handler=asks, expected_errors=Exception)
        for payload, cause in (("dead", ActorDied), ("late", TimeoutError)):
            error = await failure(agent, payload)
            assert error.expected
            assert isinstance(error.__cause__, cause)
        assert agent.address().incarnation == 1
        with pytest.raises(AgentTimeout):
            await agent.ask("hang", timeout=1)
        hanging = agent.request("hang")
        await asyncio.sleep(1)
        ref = agent.address().ref
        assert ref is not None
        ref.kill()
        with pytest.raises(AgentFailed) as caught:
            await hanging
        assert not caught.value.expected

    in_sim(main)


def test_a_start_that_fails_is_never_expected(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        starts: list[int] = []

        def on_start() -> None:
            starts.append(1)
            raise ConnectionError("no database")

        agent = Agent("a", handler=refuse_later, on_start=on_start, expected_errors=ConnectionError)
        assert not (await failure(agent, "hello")).expected
        assert not (await failure(agent, "hello")).expected
        assert len(starts) == 2

    in_sim(main)


def test_a_cancellation_from_elsewhere_is_a_crash_whatever_is_expected(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async def waits(payload: Any) -> None:
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future

        agent = Agent("a", handler=waits, expected_errors=Exception)
        with pytest.raises(AgentFailed) as caught:
            await agent.ask(1)
        assert isinstance(caught.value.__cause__, HandlerCancelled | asyncio.CancelledError)
        assert agent.address().live is None

    in_sim(main)


def test_a_class_that_cannot_be_asked_is_not_expected(in_sim: Run) -> None:
    class Odd(type):
        def __instancecheck__(cls, instance: Any) -> bool:
            raise RuntimeError("do not ask")

    class Strange(Exception, metaclass=Odd):
        pass

    async def main(system: ActorSystem) -> None:
        agent = Agent("a", handler=refuse_later, expected_errors=Strange)
        error = await failure(agent, "bug")
        assert not error.expected
        assert isinstance(error.__cause__, TypeError)
        assert await agent.ask("hello") == "hello"

    in_sim(main)


# -- handlers that let it pass ----------------------------------------------------------------------


def test_who_lets_the_expected_failure_of_another_agent_pass_is_well_too(
    in_system: Run, dispatcher: str
) -> None:
    async def main(system: ActorSystem) -> None:
        inner = desk("event_loop")

        async def passes(payload: str) -> str:
            return str(await inner.ask(payload))

        outer = Agent("outer", handler=passes, dispatcher=dispatcher)
        outermost = Agent("outermost", handler=outer.ask)
        error = await failure(outermost, "declared")
        assert error.expected
        assert isinstance(error.__cause__, AgentFailed)
        assert isinstance(error.__cause__.__cause__, AgentFailed)
        assert await outermost.ask("hello") == "hello"
        assert [a.address().incarnation for a in (inner, outer, outermost)] == [1, 1, 1]

    in_system(main)


def test_who_lets_several_pass_together_is_well_too(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        inner = desk("awaiting")

        async def passes(payload: str) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(inner.ask("declared"))
                group.create_task(inner.ask(payload))

        outer = Agent("outer", handler=passes)
        assert (await failure(outer, "rejected")).expected
        assert outer.address().incarnation == 1
        assert not (await failure(outer, "bug")).expected

    in_sim(main)


def test_the_crash_and_the_lateness_of_another_agent_are_no_excuse(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        inner = desk("awaiting")

        async def hangs(payload: Any) -> None:
            await asyncio.sleep(100)

        slow = Agent("slow", handler=hangs)

        async def passes(payload: str) -> Any:
            if payload == "slow":
                return await slow.ask(1, timeout=1)
            return await inner.ask(payload)

        outer = Agent("outer", handler=passes)
        assert not (await failure(outer, "bug")).expected
        late = await failure(outer, "slow")
        assert isinstance(late.__cause__, AgentTimeout)
        assert not late.expected
        assert await outer.ask("hello") == "hello"
        assert outer.address().incarnation == 3

    in_sim(main)


# -- actors -----------------------------------------------------------------------------------------


class Clerk(Actor):
    """Crashes on what it is asked, as what a supervisor starts does."""

    crash_on_ask_error = True

    def on_receive(self, message: Any) -> Any:
        if message == "bad":
            raise RequestRejected("no such thing")
        if message == "bug":
            raise TypeError("a bug")
        return message


def test_an_actor_says_so_as_well(in_system: Run, dispatcher: str) -> None:
    async def main(system: ActorSystem) -> None:
        kind = type("Clerk", (Clerk,), {"dispatcher": dispatcher})
        ref = system.start(kind)
        ref.tell("bad")
        with pytest.raises(RequestRejected):
            await ref.request("bad")
        assert await ref.request("good") == "good"
        assert [letter.message for letter in system.dead_letters] == ["bad"]
        with pytest.raises(TypeError):
            await ref.request("bug")
        with pytest.raises(ActorDied):
            await ref.request("good")

    in_system(main)


def test_the_mark_survives_a_pickle() -> None:
    import pickle

    failed = AgentFailed("a", "x", expected=True)
    assert is_expected(pickle.loads(pickle.dumps(failed)))
    assert is_expected(pickle.loads(pickle.dumps(RequestRejected("no"))))
    assert not is_expected(pickle.loads(pickle.dumps(AgentFailed("a", "x"))))
    stands_in = RemoteError.of(Overloaded("busy", response=Response()))
    assert http_status_of(pickle.loads(pickle.dumps(stands_in))) == 429
