"""Nothing that a user's object does in being shown, compared or looked at reaches the machine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from loguru import logger

from agenticaiframework import Agent
from agenticaiframework.actors import Actor, ActorSystem
from agenticaiframework.orchestration import (
    AgentSupervisor,
    OrchestrationEngine,
    ParallelOrchestration,
    PatternFailed,
    SequentialOrchestration,
    WorkflowFailed,
)


def fail(self: Any, *_: Any) -> Any:
    raise LookupError("this object does not want to be looked at")


class Bare(Exception):
    """Fails in each way in which an object is shown, compared or asked for an attribute."""

    __str__ = __repr__ = __eq__ = __ne__ = __bool__ = __len__ = fail
    __reduce__ = __reduce_ex__ = __copy__ = __deepcopy__ = fail
    __hash__ = fail  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        raise LookupError(name)


class Veiling(Exception):
    """Cannot be asked what it is."""

    @property
    def __class__(self) -> Any:
        raise RuntimeError("there is no request here")

    @__class__.setter
    def __class__(self, value: Any) -> None:
        raise RuntimeError("there is no request here")


class Unshown(Exception):
    def __str__(self) -> str:
        return self.args[0]["message"]  # type: ignore[no-any-return]


class Mute(Exception):
    """Has no attribute that can be read, not even those that every exception has."""

    def __getattribute__(self, name: str) -> Any:
        raise LookupError(name)


class NotText(Exception):
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]

    __repr__ = __str__


class Veiled:
    """A proxy that cannot be read here, as those of web frameworks outside of a request."""

    __str__ = __repr__ = __eq__ = __ne__ = __bool__ = __len__ = __iter__ = fail
    __hash__ = fail  # type: ignore[assignment]
    __reduce__ = __reduce_ex__ = fail

    @property
    def __class__(self) -> Any:
        raise RuntimeError("there is no request here")

    @__class__.setter
    def __class__(self, value: Any) -> None:
        raise RuntimeError("there is no request here")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("there is no request here")


ERRORS = [Bare, Unshown, NotText]
OBJECTS = [*ERRORS, Veiled]
DISPATCHERS = ("event_loop", "thread", "pinned")


def answer(payload: Any) -> Any:
    if type(payload) is not str:
        raise payload({"detail": "overloaded"})
    return payload


async def answer_async(payload: Any) -> Any:
    return answer(payload)


@pytest.mark.parametrize("asked", [True, False], ids=["asked", "told"])
@pytest.mark.parametrize("dispatcher", DISPATCHERS)
@pytest.mark.parametrize("error", [*ERRORS, Veiling, Mute])
def test_an_error_that_cannot_be_shown_is_a_crash_like_any_other(
    error: type[Exception], dispatcher: str, asked: bool
) -> None:
    async def main() -> None:
        handler = answer_async if dispatcher == "event_loop" else answer
        agents = [Agent(n, handler=handler, dispatcher=dispatcher) for n in ("caller", "sibling")]
        async with asyncio.timeout(120), ActorSystem(), AgentSupervisor("pool") as pool:
            for agent in agents:
                pool.add_child(agent.name, agent)
            await pool.wait_until("sibling", "running")
            if asked:
                [outcome] = await asyncio.gather(agents[0].ask(error), return_exceptions=True)
                assert type(outcome.__cause__) is error
                assert str(outcome).startswith("Agent 'caller' failed")
            else:
                agents[0].tell(error)
            assert [await agent.ask("ping") for agent in agents] == ["ping", "ping"]
            assert [child.restarts for child in pool] == [1, 0]

    asyncio.run(main())


@pytest.mark.parametrize("kind", OBJECTS)
def test_an_exit_reason_may_be_any_object(kind: Any) -> None:
    class Worker(Actor):
        def on_receive(self, message: Any) -> Any:
            return message

    async def main() -> None:
        async with asyncio.timeout(120), ActorSystem(), AgentSupervisor("pool") as pool:
            pool.add_child("worker", Worker)
            pool.add_child("agent", Agent("agent", handler=answer_async))
            await pool.wait_until("agent", "running")
            for name in ("worker", "agent"):
                first = pool.child(name).ref
                assert first is not None
                first.exit(kind())
                assert await pool.ask(name, "ping") == "ping"
                assert pool.child(name).restarts == 1
                assert "pool" in str(pool.tree())

    asyncio.run(main())


@pytest.mark.parametrize("dispatcher", DISPATCHERS)
@pytest.mark.parametrize("kind", OBJECTS)
def test_a_message_and_an_answer_may_be_any_object(kind: Any, dispatcher: str) -> None:
    class Keeper(Actor):
        def on_receive(self, message: Any) -> Any:
            return message

    Keeper.dispatcher = dispatcher  # type: ignore[misc]

    async def main() -> None:
        async with asyncio.timeout(120), ActorSystem() as system:
            thing = kind()
            ref = system.start(Keeper)
            assert await ref.request(thing) is thing
            ref.tell(thing)
            system.suspend(ref)
            ref.tell(thing)
            late = ref.request(thing)
            assert type(system.info(ref).mailbox_length) is int
            ref.exit("gone")
            await system.wait_ended(ref)
            assert [type(letter.message) for letter in system.dead_letters][-1] is kind
            assert "ended" in repr(late.exception())

    asyncio.run(main())


@pytest.mark.parametrize("error", ERRORS)
def test_patterns_and_workflows_name_what_failed(error: type[Exception]) -> None:
    async def main() -> None:
        agent = Agent("caller", handler=answer_async)
        async with asyncio.timeout(120), ActorSystem():
            for pattern in (
                SequentialOrchestration(name="line", steps=[agent]),
                ParallelOrchestration(name="fan", branches=[agent, answer]),
            ):
                with pytest.raises(PatternFailed, match="caller") as failed:
                    await pattern.execute(error)
                assert error.__name__ in str(failed.value)
            async with OrchestrationEngine() as engine:
                flow = {"name": "flow", "steps": [{"id": "one", "agent": agent}]}
                with pytest.raises(WorkflowFailed, match="one"):
                    await engine.execute(flow, error)

    asyncio.run(main())


def test_records_have_plain_fields_and_reach_each_sink(tmp_path: Any) -> None:
    plain: list[str] = []
    written = tmp_path / "log.jsonl"

    async def main() -> None:
        async with asyncio.timeout(120), ActorSystem(), AgentSupervisor("desk") as desk:
            desk.add_child("worker", Agent("worker", handler=answer_async))
            await asyncio.gather(desk.ask("worker", Unshown), return_exceptions=True)
            assert await desk.ask("worker", "ping") == "ping"

    logger.enable("agenticaiframework")
    sinks = [
        logger.add(plain.append, level="INFO"),
        logger.add(written, level="INFO", enqueue=True, serialize=True),
    ]
    try:
        asyncio.run(main())
    finally:
        for sink in sinks:
            logger.remove(sink)
    assert len(plain) == 1
    assert "Unshown that cannot be shown: KeyError" in plain[0]
    assert len(written.read_text("utf-8").splitlines()) == 1


def test_a_sink_that_raises_ends_no_supervisor(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_message: Any) -> None:
        raise OSError("the disk is full")

    async def main() -> None:
        async with asyncio.timeout(120), ActorSystem(), AgentSupervisor("desk") as desk:
            desk.add_child("worker", Agent("worker", handler=answer_async))
            await asyncio.gather(desk.ask("worker", Unshown), return_exceptions=True)
            assert await desk.ask("worker", "ping") == "ping"
            assert desk.is_running

    logger.enable("agenticaiframework")
    sink = logger.add(broken, level="INFO", catch=False)
    try:
        asyncio.run(main())
    finally:
        logger.remove(sink)
    assert "A log sink failed" in caplog.text
