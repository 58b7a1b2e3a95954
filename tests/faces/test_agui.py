"""AG-UI for front ends, read with the protocol's own types."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncGenerator
from typing import Any

import pytest

pytest.importorskip("ag_ui.core")

import httpx
from ag_ui.core import Event, EventType, ResumeEntry, RunAgentInput, UserMessage
from pydantic import TypeAdapter

EVENT: TypeAdapter[Any] = TypeAdapter(Event)

ENDS = {
    EventType.TEXT_MESSAGE_START: EventType.TEXT_MESSAGE_END,
    EventType.REASONING_START: EventType.REASONING_END,
    EventType.REASONING_MESSAGE_START: EventType.REASONING_MESSAGE_END,
    EventType.TOOL_CALL_START: EventType.TOOL_CALL_END,
    EventType.STEP_STARTED: EventType.STEP_FINISHED,
}


def asks(text: str, run: str = "run-1", thread: str = "thread-1", **more: Any) -> dict[str, Any]:
    message = UserMessage(id="m-1", role="user", content=text)
    asked = RunAgentInput(thread_id=thread, run_id=run, messages=[message], **more)
    return asked.model_dump(mode="json", by_alias=True, exclude_none=True)


async def read(http: Any, target: str, body: Any, **headers: str) -> AsyncGenerator[Any, None]:
    """Yield the events of a run, each of which the protocol knows."""
    async with http.stream("POST", f"/ag-ui/{target}/", json=body, headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                yield EVENT.validate_json(line.removeprefix("data: "))


async def told(http: Any, target: str, body: Any, **headers: str) -> list[Any]:
    events = [event async for event in read(http, target, body, **headers)]
    assert events[0].type == EventType.RUN_STARTED
    assert (events[0].thread_id, events[0].run_id) == (body["threadId"], body["runId"])
    for start, end in ENDS.items():
        kinds = [event.type for event in events]
        assert kinds.count(start) == kinds.count(end), (start, kinds)
    return events


def text_of(events: list[Any]) -> str:
    return "".join(e.delta for e in events if e.type == EventType.TEXT_MESSAGE_CONTENT)


def of(events: list[Any], kind: EventType) -> list[Any]:
    return [event for event in events if event.type == kind]


def client(service: Any) -> Any:
    return httpx.AsyncClient(base_url=service.url, timeout=60)


def test_an_answer_is_told_in_parts(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with client(service) as http:
            events = await told(http, "poet", asks("rivers"))
            assert text_of(events).strip() == "poet heard: rivers"
            assert len(of(events, EventType.TEXT_MESSAGE_CONTENT)) > 2
            assert events[-1].type == EventType.RUN_FINISHED
            assert events[-1].result == "poet heard: rivers"
            events = await told(http, "odd", asks("x"))
            assert events[-1].result["text"] == "half ?"
            events = await told(http, "price", asks('{"item": "tea", "count": 2}'))
            assert events[-1].result == {"total": 6}
            assert json.loads(text_of(events)) == {"total": 6}

    in_service(test)


def test_thoughts_and_tools_are_events_of_their_own(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with client(service) as http:
            events = await told(http, "looks", asks("Basel"))
            kinds = [event.type for event in events]
            (thought,) = of(events, EventType.REASONING_MESSAGE_CONTENT)
            assert thought.delta == "I should look"
            (call,) = of(events, EventType.TOOL_CALL_START)
            assert call.tool_call_name == "look"
            (arguments,) = of(events, EventType.TOOL_CALL_ARGS)
            assert json.loads(arguments.delta) == {"city": "Basel"}
            (result,) = of(events, EventType.TOOL_CALL_RESULT)
            assert json.loads(result.content) == {"river": "Rhine"}
            assert result.tool_call_id == call.tool_call_id
            assert text_of(events) == "Let me look. The Rhine."
            # A message is closed before a tool is called, and another begins after it.
            assert kinds.index(EventType.TEXT_MESSAGE_END) < kinds.index(EventType.TOOL_CALL_START)
            assert len({e.message_id for e in of(events, EventType.TEXT_MESSAGE_START)}) == 2

    in_service(test)


def test_the_steps_of_workflows_and_patterns_are_told(in_service: Any) -> None:
    async def test(service: Any) -> None:
        service.go()
        async with client(service) as http:
            events = await told(http, "order", asks('{"word": "tea"}'))
            assert [e.step_name for e in of(events, EventType.STEP_FINISHED)] == ["one", "two"]
            custom = of(events, EventType.CUSTOM)
            assert custom[0].name == "run"
            assert custom[-1].value["done"] == custom[-1].value["total"] == 2
            assert events[-1].result == "slow: tea!"
            events = await told(http, "desk", asks("tea"))
            assert of(events, EventType.STEP_STARTED)
            assert events[-1].result == {"crier": "TEA"}

    in_service(test)


def test_the_front_ends_conversation_is_shown_to_the_model(in_service: Any) -> None:
    async def test(service: Any) -> None:
        body = asks("Who am I?")
        body["messages"] = [
            {"id": "1", "role": "user", "content": "I am Ann."},
            {"id": "2", "role": "assistant", "content": "Hello!"},
            *body["messages"],
        ]
        async with client(service) as http:
            events = await told(http, "recaller", body)
            assert json.loads(text_of(events)) == [
                {"role": "user", "content": "I am Ann."},
                {"role": "assistant", "content": "Hello!"},
            ]

    in_service(test)


def test_a_failure_is_the_runs_error_with_its_reason(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with client(service) as http:
            for target, code, reason in (
                ("lookup-face", "failed", "no such city"),
                ("picky", "bad_input", "only tea is sold here"),
                ("breaks", "failed", "the line is cut"),
            ):
                events = await told(http, target, asks("x"))
                assert events[-1].type == EventType.RUN_ERROR
                assert events[-1].code == code
                assert reason in events[-1].message
                assert not of(events, EventType.RUN_FINISHED)
            for body, said in (
                ({}, "threadId"),
                (asks("x") | {"messages": []}, "the last is the user's"),
                (
                    asks("x") | {"tools": [{"name": "t", "description": "d", "parameters": {}}]},
                    "tools",
                ),
                (asks("tea and a pot"), "'item'"),
            ):
                target = "price"
                if said == "'item'":
                    body = asks('{"count": 1}')
                answer = await http.post(f"/ag-ui/{target}/", json=body)
                assert answer.status_code == 400, answer.text
                assert said in answer.json()["message"], answer.text
            assert (await http.get("/ag-ui/price/")).status_code == 405
            assert (await http.post("/ag-ui/price/x", json={})).status_code == 404

    in_service(test)


def test_a_client_that_leaves_cancels_its_work(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with client(service) as http:
            for number, target in enumerate(("sleeper", "brief"), 1):
                asking = asyncio.create_task(told(http, target, asks("x")))
                await service.until("slow-started", number)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
                await service.until("slow-cancelled", number)

    in_service(test)


def test_a_run_that_is_asked_for_again_is_the_same_also_after_sigkill(in_service: Any) -> None:
    async def test(service: Any) -> None:
        body = asks('{"word": "tea"}')
        async with client(service) as http:
            asking = asyncio.create_task(told(http, "order", body))
            await service.until("slow-started")
            await asyncio.to_thread(service.end, signal.SIGKILL)
            (lost,) = await asyncio.gather(asking, return_exceptions=True)
            assert isinstance(lost, httpx.TransportError)
        service.go()
        await service.begin()
        async with client(service) as http:
            events = await told(http, "order", body)
            assert events[-1].result == "slow: tea!"
            assert of(events, EventType.CUSTOM)[0].value["joined"] is True
        assert service.times("first") == 1

    in_service(test)


def test_who_is_not_known_gets_401_and_two_are_told_apart(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with client(service) as http:
            assert (await http.post("/ag-ui/poet/", json=asks("x"))).status_code == 401

            async def caller(key: str) -> str:
                right = {"authorization": f"Bearer {key}"}
                events = await told(http, "whoami", asks("x"), **right)
                return str(events[-1].result["caller"])

            assert await asyncio.gather(caller("ann-key"), caller("bob-key")) == ["ann", "bob"]

    in_service(test, USERS="yes")


def test_what_takes_too_long_is_told(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with client(service) as http:
            while not service.times("slow-started"):  # the second may be over before it begins
                events = await told(http, "sleeper", asks("x"))
                assert (events[-1].type, events[-1].code) == (EventType.RUN_ERROR, "timed_out")
            await service.until("slow-cancelled")

    in_service(test, "1")


def test_a_server_that_is_told_to_end_leaves_nothing(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with client(service) as http:
            asking = asyncio.create_task(told(http, "sleeper", asks("x")))
            await service.until("slow-started")
            await asyncio.to_thread(service.end, signal.SIGTERM)
            (ended,) = await asyncio.gather(asking, return_exceptions=True)
            assert ended[-1].code == "unavailable"
        assert (service.folder / "left").read_text() == ""
        assert "Traceback" not in (service.folder / "log").read_text()

    in_service(test)


def resumes(interrupt: str, payload: Any = None, status: Any = "resolved", **more: Any) -> Any:
    entry = ResumeEntry(interrupt_id=interrupt, status=status, payload=payload)
    return asks("letter", resume=[entry], **{"run": "run-2", **more})


def test_a_run_that_waits_is_interrupted_and_resumed_with_the_answer(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with client(service) as http:
            events = await told(http, "letter", asks("Dear Ann"))
            outcome = events[-1].outcome
            assert (events[-1].type, outcome.type) == (EventType.RUN_FINISHED, "interrupt")
            (interrupt,) = outcome.interrupts
            assert (interrupt.reason, interrupt.metadata["name"]) == ("signal", "approved")
            assert interrupt.message == "approval waits for 'approved'."
            again = await told(http, "letter", asks("Dear Ann"))
            assert again[-1].outcome == outcome, "who was lost is told again"
            events = await told(http, "letter", resumes(interrupt.id, {"note": "go"}))
            assert (events[-1].type, events[-1].outcome) == (EventType.RUN_FINISHED, None)
            assert events[-1].result == "go!"
            late = await http.post("/ag-ui/letter/", json=resumes(interrupt.id, {"note": "no"}))
            assert (late.status_code, late.json()["error"]) == (404, "not_found")

    in_service(test)


def test_each_interrupt_of_a_run_is_answered_once(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with client(service) as http:
            events = await told(http, "twice-asked", asks("x"))
            (early,) = events[-1].outcome.interrupts
            events = await told(http, "twice-asked", resumes(early.id, "yes"))
            (late,) = events[-1].outcome.interrupts
            assert (early.metadata["name"], late.metadata["name"]) == ("approved", "signed")
            again = await http.post("/ag-ui/twice-asked/", json=resumes(early.id, "no"))
            assert (again.status_code, again.json()["error"]) == (404, "not_found")
            events = await told(http, "twice-asked", resumes(late.id, "done", run="run-3"))
            assert events[-1].result == {"early": "yes", "late": "done"}

    in_service(test)


def test_an_interrupt_that_is_given_up_cancels_the_run(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with client(service) as http:
            events = await told(http, "letter", asks("Dear Bob"))
            (interrupt,) = events[-1].outcome.interrupts
            events = await told(http, "letter", resumes(interrupt.id, status="cancelled"))
            assert (events[-1].type, events[-1].code) == (EventType.RUN_ERROR, "cancelled")

    in_service(test)


def test_an_interrupt_is_answered_by_who_may_alone(in_service: Any) -> None:
    async def test(service: Any) -> None:
        ann, bob = ({"authorization": f"Bearer {name}-key"} for name in ("ann", "bob"))
        async with client(service) as http:
            events = await told(http, "letter", asks("Dear Ann"), **ann)
            (interrupt,) = events[-1].outcome.interrupts
            body = resumes(interrupt.id, {"note": "go"})
            for target, who, status, said in (
                ("letter", bob, 404, "no interrupt"),
                ("guarded", ann, 400, "not answered here"),
                ("poet", ann, 400, "not answered here"),
            ):
                got = await http.post(f"/ag-ui/{target}/", json=body, headers=who)
                assert (got.status_code, said in got.json()["message"]) == (status, True), got.text
            body["resume"] *= 2
            got = await http.post("/ag-ui/letter/", json=body, headers=ann)
            assert "one entry" in got.json()["message"]
            # Answered elsewhere: it is told what the run waits for, and goes on being told.
            async for event in read(http, "guarded", asks("Dear Cy"), **ann):
                if event.type == EventType.CUSTOM and event.name == "waits":
                    assert event.value["name"] == "approved"
                    break
                assert event.type != EventType.RUN_FINISHED

    in_service(test, USERS="yes")
