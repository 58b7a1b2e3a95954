"""A2A agents with their cards, asked by the protocol's own client."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("a2a.client")

import httpx
from a2a.client import ClientConfig, create_client
from a2a.helpers import get_artifact_text, get_data_parts, new_data_message, new_text_message
from a2a.types import (
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.utils.errors import (
    A2AError,
    InvalidParamsError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)

DONE = TaskState.TASK_STATE_COMPLETED
CARD = "/.well-known/agent-card.json"


@asynccontextmanager
async def connected(
    service: Any, target: str, *, streaming: bool = True, key: str | None = None
) -> AsyncGenerator[Any, None]:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(headers=headers, timeout=60) as http:
        config = ClientConfig(streaming=streaming, httpx_client=http)
        yield await create_client(f"{service.url}/a2a/{target}/", config)


def text(said: str, **more: Any) -> Any:
    return new_text_message(said, role=Role.ROLE_USER, **more)


def data(value: Any) -> Any:
    return new_data_message(value, role=Role.ROLE_USER)


async def events(client: Any, message: Any, **configuration: Any) -> list[Any]:
    request = SendMessageRequest(
        message=message, configuration=SendMessageConfiguration(**configuration)
    )
    return [event async for event in client.send_message(request)]


async def task(client: Any, message: Any, **configuration: Any) -> Any:
    """Return the task of a message that is answered as a whole."""
    (event,) = await events(client, message, **configuration)
    return event.task


def why(found: Any) -> str:
    return str(found.status.message.parts[0].text)


def test_the_card_says_what_the_agent_is_and_where(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with httpx.AsyncClient(base_url=service.url, timeout=60) as http:
            card = (await http.get(f"/a2a/price{CARD}")).json()
            assert (card["name"], card["description"], card["version"]) == (
                "price",
                "Prices.",
                "2.1",
            )
            assert card["supportedInterfaces"][0]["url"] == f"{service.url}/a2a/price/"
            assert card["capabilities"]["streaming"] is True
            assert [skill["id"] for skill in card["skills"]] == ["price"]
            assert (await http.post(f"/a2a/price{CARD}")).status_code == 405
            assert (await http.get("/a2a/price/nothing")).status_code == 404

    in_service(test)


def test_a_message_is_answered_as_a_task(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with connected(service, "price", streaming=False) as client:
            done = await task(client, data({"item": "tea", "count": 2}))
            assert done.status.state == DONE
            assert get_data_parts(done.artifacts[0].parts) == [{"total": 6}]
            again = await client.get_task(GetTaskRequest(id=done.id))
            assert again.artifacts == done.artifacts
            assert (await task(client, text("tea"))).status.state == DONE
        async with connected(service, "odd", streaming=False) as client:
            odd = await task(client, text("x"))
            assert get_data_parts(odd.artifacts[0].parts)[0]["number"] == "nan"
        async with connected(service, "desk", streaming=False) as client:
            done = await task(client, text("tea"))
            assert get_data_parts(done.artifacts[0].parts) == [{"crier": "TEA"}]

    in_service(test)


def test_a_stream_tells_the_parts_and_then_the_whole(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with connected(service, "poet") as client:
            told = await events(client, text("rivers"))
            assert told[0].task.status.state == TaskState.TASK_STATE_WORKING
            parts = [e.artifact_update for e in told if e.HasField("artifact_update")]
            assert "".join(get_artifact_text(p.artifact) for p in parts[:-1]).strip() == (
                "poet heard: rivers"
            )
            assert len(parts) > 3
            assert parts[-1].last_chunk
            assert not parts[-1].append
            assert get_artifact_text(parts[-1].artifact) == "poet heard: rivers"
            assert told[-1].status_update.status.state == DONE
        service.go()
        async with connected(service, "order") as client:
            told = await events(client, data({"word": "tea"}))
            updates = [e.status_update for e in told if e.HasField("status_update")]
            said = [u.status.message.parts[0].text for u in updates if u.status.message.parts]
            assert "one: done" in said
            assert updates[-1].status.state == DONE

    in_service(test)


def test_a_context_is_the_conversation_that_an_agent_keeps(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with connected(service, "counter", streaming=False) as client:
            one = await task(client, text("hello"))
            assert get_artifact_text(one.artifacts[0]) == "1"
            two = await task(client, text("again", context_id=one.context_id))
            assert get_artifact_text(two.artifacts[0]) == "3"
            assert two.context_id == one.context_id
            listed = await client.list_tasks(ListTasksRequest(context_id=one.context_id))
            assert [each.id for each in listed.tasks] == [two.id, one.id]
            other = await task(client, text("hello"))
            assert get_artifact_text(other.artifacts[0]) == "1"

    in_service(test)


def test_a_failure_is_the_tasks_with_its_reason(in_service: Any) -> None:
    async def test(service: Any) -> None:
        for streaming in (False, True):
            for target, state, reason in (
                ("lookup-face", TaskState.TASK_STATE_FAILED, "no such city"),
                ("picky", TaskState.TASK_STATE_REJECTED, "only tea is sold here"),
            ):
                async with connected(service, target, streaming=streaming) as client:
                    last = (await events(client, text("x")))[-1]
                    found = last.status_update if streaming else last.task
                    assert found.status.state == state
                    assert reason in why(found)
                    if not streaming:
                        assert not found.artifacts
            async with connected(service, "price", streaming=streaming) as client:
                with pytest.raises(InvalidParamsError, match="'item'"):
                    await events(client, data({"count": 1}))
                with pytest.raises(UnsupportedOperationError, match="in its context"):
                    await events(client, text("x", task_id="one"))
                with pytest.raises(TaskNotFoundError):
                    await client.get_task(GetTaskRequest(id="nothing"))

    in_service(test)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_client_that_leaves_cancels_what_is_not_durable(in_service: Any, streaming: bool) -> None:
    async def test(service: Any) -> None:
        for number, target in enumerate(("sleeper", "brief"), 1):
            async with connected(service, target, streaming=streaming) as client:
                asking = asyncio.create_task(events(client, text("x")))
                await service.until("slow-started", number)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
                await service.until("slow-cancelled", number)

    in_service(test)


def test_a_task_goes_on_beside_its_client_and_is_followed_and_cancelled(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with (
            connected(service, "sleeper", streaming=False) as client,
            connected(service, "sleeper") as other,
        ):
            begun = await task(client, text("x"), return_immediately=True)
            assert begun.status.state == TaskState.TASK_STATE_WORKING
            await service.until("slow-started")
            following = other.subscribe(SubscribeToTaskRequest(id=begun.id))
            assert (await anext(following)).task.id == begun.id
            cancelled = await client.cancel_task(CancelTaskRequest(id=begun.id))
            assert cancelled.status.state == TaskState.TASK_STATE_CANCELED
            last = [event async for event in following][-1]
            assert last.status_update.status.state == TaskState.TASK_STATE_CANCELED
            await service.until("slow-cancelled")
            with pytest.raises(TaskNotCancelableError):
                await client.cancel_task(CancelTaskRequest(id=begun.id))
            with pytest.raises(UnsupportedOperationError):
                await anext(other.subscribe(SubscribeToTaskRequest(id=begun.id)))

    in_service(test)


def test_after_sigkill_a_new_server_has_the_task_of_a_workflow(in_service: Any) -> None:
    async def test(service: Any) -> None:
        message = data({"word": "tea"})
        async with connected(service, "order", streaming=False) as client:
            asking = asyncio.create_task(task(client, message))
            await service.until("slow-started")
            (there,) = (await client.list_tasks(ListTasksRequest())).tasks
            await asyncio.to_thread(service.end, signal.SIGKILL)
            (lost,) = await asyncio.gather(asking, return_exceptions=True)
            assert isinstance(lost, Exception)
        await service.begin()
        async with (
            connected(service, "order", streaming=False) as client,
            connected(service, "order") as other,
        ):
            found = await client.get_task(GetTaskRequest(id=there.id))
            assert found.status.state in (
                TaskState.TASK_STATE_WORKING,
                TaskState.TASK_STATE_SUBMITTED,
            )
            following = other.subscribe(SubscribeToTaskRequest(id=there.id))
            assert (await anext(following)).task.id == there.id
            service.go()
            last = [event async for event in following][-1]
            assert last.status_update.status.state == DONE
            found = await client.get_task(GetTaskRequest(id=there.id))
            assert get_artifact_text(found.artifacts[0]) == "slow: tea!"
            assert found.context_id == there.context_id
            again = await task(client, message)
            assert again.id == there.id, "the same message means the same run"
            assert get_artifact_text(again.artifacts[0]) == "slow: tea!"
        assert service.times("first") == 1

    in_service(test)


ASKED = TaskState.TASK_STATE_INPUT_REQUIRED


@pytest.mark.parametrize("streaming", [False, True])
def test_a_task_that_waits_for_a_person_says_so_and_goes_on_with_the_answer(
    in_service: Any, streaming: bool
) -> None:
    async def test(service: Any) -> None:
        async with connected(service, "letter", streaming=streaming) as client:

            async def last(message: Any) -> Any:
                found = (await events(client, message))[-1]
                return found.status_update.status if streaming else found.task.status

            assert (await last(text("tea"))).state == ASKED
            (there,) = (await client.list_tasks(ListTasksRequest(status=ASKED))).tasks
            assert why(there) == "approval waits for 'approved'."
            other = text("no", task_id=there.id, context_id="another")
            with pytest.raises(InvalidParamsError, match="context"):
                await events(client, other)
            answer = new_data_message({"note": "for Ann"}, role=Role.ROLE_USER, task_id=there.id)
            assert (await last(answer)).state == DONE
            found = await client.get_task(GetTaskRequest(id=there.id))
            assert get_artifact_text(found.artifacts[0]) == "for Ann!"
            assert found.context_id == there.context_id
            with pytest.raises(UnsupportedOperationError, match="has ended"):
                await events(client, answer)

    in_service(test)


def test_a_task_whose_answer_is_not_its_callers_is_only_seen_to_wait(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with connected(service, "guarded", streaming=False) as client:
            there = await task(client, text("tea"))
            assert there.status.state == ASKED
            with pytest.raises(UnsupportedOperationError, match="answered elsewhere"):
                await task(client, text("yes", task_id=there.id))
            found = await client.get_task(GetTaskRequest(id=there.id))
            assert found.status.state == ASKED

    in_service(test)


def test_a_durable_task_is_cancelled_when_asked(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with connected(service, "order", streaming=False) as client:
            begun = await task(client, data({"word": "tea"}), return_immediately=True)
            await service.until("slow-started")
            await client.cancel_task(CancelTaskRequest(id=begun.id))
            await service.until("slow-cancelled")
            async with asyncio.timeout(60):
                found = begun
                while found.status.state != TaskState.TASK_STATE_CANCELED:
                    found = await client.get_task(GetTaskRequest(id=begun.id))

    in_service(test)


def test_who_is_not_known_gets_401_and_sees_no_tasks_of_others(in_service: Any) -> None:
    async def test(service: Any) -> None:
        service.go()
        async with httpx.AsyncClient(base_url=service.url, timeout=60) as http:
            assert (await http.get(f"/a2a/order{CARD}")).status_code == 401
            assert (await http.post("/a2a/order/", json={})).status_code == 401
        async with (
            connected(service, "order", streaming=False, key="ann-key") as ann,
            connected(service, "order", streaming=False, key="bob-key") as bob,
        ):
            his, hers = await asyncio.gather(
                task(bob, data({"word": "tea"})), task(ann, data({"word": "tea"}))
            )
            assert his.id != hers.id
            for call in (
                bob.get_task(GetTaskRequest(id=hers.id)),
                bob.cancel_task(CancelTaskRequest(id=hers.id)),
            ):
                with pytest.raises(TaskNotFoundError):
                    await call
            assert [t.id for t in (await bob.list_tasks(ListTasksRequest())).tasks] == [his.id]

    in_service(test, USERS="yes")


def test_the_card_names_the_token(in_service: Any) -> None:
    async def test(service: Any) -> None:
        token = "a long enough token"
        right = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=service.url, timeout=60) as http:
            assert (await http.get(f"/a2a/poet{CARD}")).status_code == 401
            card = (await http.get(f"/a2a/poet{CARD}", headers=right)).json()
            scheme = card["securitySchemes"]["bearer"]["httpAuthSecurityScheme"]
            assert scheme == {"scheme": "bearer"}
        async with connected(service, "poet", streaming=False, key=token) as client:
            assert (await task(client, text("x"))).status.state == DONE

    in_service(test, TOKEN="a long enough token")


def test_what_takes_too_long_is_told(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with connected(service, "sleeper", streaming=False) as client:
            while not service.times("slow-started"):  # the second may be over before it begins
                late = await task(client, text("x"))
                assert late.status.state == TaskState.TASK_STATE_FAILED
                assert "within 1 s" in why(late)
            await service.until("slow-cancelled")

    in_service(test, "1")


def test_more_tasks_than_are_taken_are_refused(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with connected(service, "sleeper", streaming=False) as client:
            for _ in range(8):
                await task(client, text("x"), return_immediately=True)
            with pytest.raises(A2AError, match="as many as are taken"):
                await task(client, text("x"), return_immediately=True)

    in_service(test)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_server_that_is_told_to_end_leaves_nothing(in_service: Any, streaming: bool) -> None:
    async def test(service: Any) -> None:
        async with connected(service, "sleeper", streaming=streaming) as client:
            asking = asyncio.create_task(events(client, text("x")))
            await service.until("slow-started")
            await asyncio.to_thread(service.end, signal.SIGTERM)
            await asyncio.gather(asking, return_exceptions=True)
        assert service.times("slow-cancelled") == 1
        assert (service.folder / "left").read_text() == ""
        assert "Traceback" not in (service.folder / "log").read_text()

    in_service(test)


def test_a_request_that_could_not_be_answered_in_unicode_is_refused(in_service: Any) -> None:
    async def test(service: Any) -> None:
        async with httpx.AsyncClient(base_url=service.url, timeout=60) as http:
            json = {"content-type": "application/json"}

            def body(given: str) -> str:
                call = '"jsonrpc": "2.0", "method": "GetTask", "params": {"id": "x"}'
                return f'{{{call}, "id": "{given}"}}'

            for half in ("\\ud83d", "\\uDE00", "a\\ud83d\\u0041"):
                refused = await http.post("/a2a/price/", content=body(half), headers=json)
                assert refused.status_code == 400
                assert "half of a surrogate pair" in refused.json()["error"]["message"]
            for whole in ("\\ud83d\\ude00", "\\\\ud83d", "seven"):
                answered = await http.post("/a2a/price/", content=body(whole), headers=json)
                assert answered.status_code == 200

    in_service(test)
