"""The records of crashes and failed starts, and of what becomes of messages, without supervisors."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from loguru import logger

from agenticaiframework.actors import Actor, ActorSystem, Agent, Mailbox, RequestRejected

from .conftest import Records, first_line


def explode(payload: Any) -> None:
    raise ValueError(f"no good: {type(payload).__name__}")


class Bomb(Actor):
    def on_receive(self, message: Any) -> None:
        explode(message)


def in_system(main: Any, **options: Any) -> None:
    async def body() -> None:
        async with asyncio.timeout(120), ActorSystem("svc", **options) as system:
            await main(system)

    asyncio.run(body())


async def crash(agent: Any, payload: Any = "ping") -> None:
    [error] = await asyncio.gather(agent.ask(payload), return_exceptions=True)
    assert isinstance(error, Exception)


def test_a_system_in_which_nothing_goes_wrong_logs_nothing(records: Records) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("echo", handler=lambda payload: payload)
        assert await agent.ask("ping") == "ping"
        agent.tell("pong")
        await agent.ask("ping")

    in_system(main)
    assert records.lines == []


def test_a_crash_says_who_why_and_what_follows_with_the_users_frames(records: Records) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("clerk", handler=explode)
        await crash(agent)

    in_system(main)
    record = records.only("crash")
    assert first_line(record) == (
        "clerk crashed: ValueError: no good: str; the asker has the error; "
        "the next message starts another incarnation"
    )
    assert record["level"].name == "WARNING"
    fields = record["extra"]
    assert (fields["system"], fields["actor"], fields["incarnation"]) == ("svc", "clerk", 1)
    assert fields["reason"] == "ValueError: no good: str"
    assert fields["next"] == "the next message starts another incarnation"
    lines = record["message"].splitlines()
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[2].endswith("in explode")
    assert "agenticaiframework" not in "".join(lines[2:])
    assert lines[-1] == "ValueError: no good: str"


def test_incarnations_are_told_apart(records: Records) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("clerk", handler=explode)
        await crash(agent)
        await crash(agent)

    in_system(main)
    assert [record["extra"]["incarnation"] for record in records.of("crash")] == [1, 2]


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("dispatcher", ["event_loop", "thread"])
def test_a_told_crash_is_one_record(records: Records, concurrency: int, dispatcher: Any) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("clerk", handler=explode, concurrency=concurrency, dispatcher=dispatcher)
        agent.tell("ping")
        while not records:
            await asyncio.sleep(0.001)

    in_system(main)
    record = records.only("crash")
    assert record["extra"]["actor"].startswith("clerk")
    assert "asker" not in record["message"]
    assert len(records) == 1


def test_an_actor_that_nothing_starts_again_is_an_error(
    records: Records, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(system: ActorSystem) -> None:
        ref = system.start(Bomb)
        ref.tell("ping")
        await system.wait_ended(ref)

    in_system(main)
    record = records.only("crash")
    assert record["level"].name == "ERROR"
    assert "it has ended, and nothing starts it again" in record["message"]
    assert "Unhandled exception in Bomb" in caplog.text, (
        "pykka's own record, where pykka documents it"
    )


def test_a_program_without_logging_set_up_sees_a_crash_once(
    records: Records, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("pykka"), "hasHandlers", lambda: False)

    async def main(system: ActorSystem) -> None:
        ref = system.start(Bomb)
        ref.tell("ping")
        await system.wait_ended(ref)

    in_system(main)
    assert len(records) == 1
    assert caplog.text == ""


def test_a_child_of_the_users_own_actor_has_a_record(records: Records) -> None:
    class Parent(Actor):
        async def on_start(self) -> None:  # type: ignore[override]
            self.trap_exit = True
            self.spawn(Bomb).tell("ping")

        def on_receive(self, message: Any) -> None:
            self.stop()

    async def main(system: ActorSystem) -> None:
        await system.wait_ended(system.start(Parent))

    in_system(main)
    record = records.only("crash")
    assert "which is linked to it, is told" in record["message"]
    assert len(records) == 1


@pytest.mark.parametrize("how", ["actor", "agent"])
def test_a_failed_start_is_one_record(records: Records, how: str) -> None:
    def fail() -> None:
        raise OSError("no socket")

    class Unborn(Actor):
        def on_start(self) -> None:
            fail()

    async def main(system: ActorSystem) -> None:
        if how == "actor":
            await system.wait_ended(system.start(Unborn))
        else:
            agent = Agent("clerk", handler=explode, on_start=fail)
            await crash(agent)

    in_system(main)
    record = records.only("failed_start")
    assert "did not start: OSError: no socket" in first_line(record)
    assert "in fail" in record["message"]
    assert len(records) == 1


def test_a_rejected_request_is_no_crash(records: Records) -> None:
    def refuse(payload: Any) -> None:
        raise RequestRejected("not this one")

    async def main(system: ActorSystem) -> None:
        agent = Agent("clerk", handler=refuse)
        await crash(agent)

    in_system(main)
    assert records.lines == []


def test_an_abandoned_handler_is_one_record(records: Records) -> None:
    async def deaf(payload: Any) -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass

    async def main(system: ActorSystem) -> None:
        agent = Agent("clerk", handler=deaf)
        [error] = await asyncio.gather(agent.ask("ping", timeout=0.01), return_exceptions=True)
        assert isinstance(error, Exception)
        while not records:
            await asyncio.sleep(0.001)

    in_system(main, cancel_grace_s=0.01)
    record = records.of("abandoned_handler")[0]
    assert record["extra"]["actor"] == "clerk"
    assert record["extra"]["abandoned"] == 1
    assert "fenced off and left behind" in record["message"]


def test_messages_that_found_no_room_are_told_and_those_given_up_are_not(records: Records) -> None:
    async def slow(payload: Any) -> None:
        await asyncio.sleep(0.01)

    async def main(system: ActorSystem) -> None:
        agent = Agent("clerk", handler=slow, mailbox=Mailbox(capacity=1, overflow="drop_newest"))
        for number in range(6):
            agent.tell({"password": f"secret-{number}"})
        await asyncio.gather(agent.ask("x", timeout=0.001), return_exceptions=True)

    in_system(main)
    letters = records.of("dead_letter")
    assert letters
    assert {record["extra"]["reason"] for record in letters} == {"mailbox_full"}
    assert letters[0]["extra"]["actor"] == "clerk"
    assert "secret" not in "".join(record["message"] for record in records)
    assert len(letters) <= 4, "three whole, and a sum"


def test_payloads_are_shown_only_if_asked_for_and_secrets_never(records: Records) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("clerk", handler=explode)
        await crash(agent, {"order": 471147, "api_key": "abcdef123456"})

    in_system(main)
    in_system(main, log_payloads=True)
    plain, showing = records
    assert "471147" not in plain["message"] + str(plain["extra"])
    assert "'order': 471147" in showing["message"]
    assert "'order': 471147" in showing["extra"]["payload"]
    assert "abcdef123456" not in showing["message"] + str(showing["extra"])


def test_logins_in_errors_are_masked_everywhere(records: Records) -> None:
    def leak(payload: Any) -> None:
        try:
            raise OSError("postgresql://me:hunter22@db/x did not answer")
        except OSError as cause:
            raise ValueError("401 for Bearer abcdef123456") from cause

    async def main(system: ActorSystem) -> None:
        await crash(Agent("clerk", handler=leak))

    in_system(main)
    [record] = records
    said = record["message"] + str(record["extra"])
    assert "abcdef123456" not in said.replace('"401 for Bearer abcdef123456"', "")
    assert "hunter22" not in said
    assert "The above exception was the direct cause" in record["message"]


def test_a_sink_that_diagnoses_shows_no_values_of_variables(records: Records) -> None:
    def handle(payload: Any) -> None:
        raise ValueError(len(payload))

    said: list[str] = []
    sink = logger.add(said.append, diagnose=True, backtrace=True, level="INFO")

    async def main(system: ActorSystem) -> None:
        await crash(Agent("clerk", handler=handle), "a-private-text")

    try:
        in_system(main)
    finally:
        logger.remove(sink)
    assert len(said) == 1
    assert "a-private-text" not in said[0]


def test_the_library_can_be_disabled_as_any_other(records: Records) -> None:
    async def main(system: ActorSystem) -> None:
        await crash(Agent("clerk", handler=explode))

    logger.disable("agenticaiframework")
    try:
        in_system(main)
    finally:
        logger.enable("agenticaiframework")
    assert records.lines == []
    in_system(main)
    assert len(records) == 1


def test_a_crash_says_which_trace_it_was_part_of(records: Records) -> None:
    trace = pytest.importorskip("opentelemetry.trace")
    context = trace.SpanContext(0xABC, 0xDEF, is_remote=False)

    async def main(system: ActorSystem) -> None:
        with trace.use_span(trace.NonRecordingSpan(context)):
            await crash(Agent("clerk", handler=explode))

    in_system(main)
    assert records.only("crash")["extra"]["trace_id"] == f"{0xABC:032x}"
