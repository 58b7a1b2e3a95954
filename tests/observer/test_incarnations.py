"""An agent that handles several messages at once, as its page shows it."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from observed_service import Service

from agenticaiframework import Agent
from agenticaiframework.supervision import AgentSupervisor


def test_a_pool_shows_what_each_incarnation_handles(in_service: Any) -> None:
    async def test(service: Service) -> None:
        gate = asyncio.Event()

        async def hold(payload: Any) -> Any:
            if payload == "fail":
                raise ValueError("a bad sheet")
            await gate.wait()
            return payload

        desk = AgentSupervisor("press")
        desk.add_child("printer", Agent("printer", handler=hold, concurrency=3))
        async with desk:
            ref = desk.child("printer").ref
            pid = ref.pid
            async with service.client() as client:

                async def look() -> Any:
                    return (await client.get(f"/api/actor/{pid}")).json()

                async def crashed() -> bool:
                    return bool((await look())["events"])

                async def both() -> bool:
                    rows = (await look())["incarnations"]["rows"]
                    return sum(one["message"] is not None for one in rows) == 2

                desk.child("printer").tell("fail")
                await service.until(crashed)
                desk.child("printer").tell("a")
                desk.child("printer").tell("b")
                await service.until(both)
                actor = await look()
                found = actor["incarnations"]
                assert [one["name"] for one in found["rows"]] == sorted(
                    one["name"] for one in found["rows"]
                )
                assert all(re.fullmatch(r"printer\[\d\]", one["name"]) for one in found["rows"])
                assert all(one["busy_s"] >= 0 for one in found["rows"] if one["message"])
                assert [one["mailbox"] for one in found["rows"]] == [0] * found["total"]
                assert max(one["incarnation"] for one in found["rows"]) == 2
                assert found["total"] + found["room"] == 3
                (event,) = actor["events"]
                assert event["subject"].startswith("press / printer[")
                html = (await client.get(f"/actors/{pid}")).text
                assert "Incarnations" in html
                assert html.count(">printer[") >= found["total"]
                waiting = (await client.get("/api/overview")).json()["actors"]["mailbox"]
                assert waiting == 0, "what an incarnation was handed does not wait"
                single = (
                    await client.get(f"/api/actor/{service.root.child('waiting').ref.pid}")
                ).json()
                assert single["incarnations"] is None
                gate.set()

    in_service(test)


def test_a_message_that_a_pool_hands_on_counts_once(in_service: Any) -> None:
    async def test(service: Service) -> None:
        desk = AgentSupervisor("press")
        desk.add_child("printer", Agent("printer", handler=len, concurrency=3))
        async with desk:
            printer = desk.child("printer")
            for text in ("a", "bc", "def") * 4:
                assert await printer.ask(text) == len(text)
            async with service.client() as client:

                async def rows() -> Any:
                    shown = (await client.get(f"/api/actor/{printer.ref.pid}")).json()
                    return shown["handled"], [
                        one["handled"] for one in shown["incarnations"]["rows"]
                    ]

                async def told() -> bool:
                    pool, incarnations = await rows()
                    return pool == sum(incarnations) == 12

                await service.until(told)

    in_service(test)


def test_no_two_landmarks_of_a_page_have_one_name(in_service: Any) -> None:
    async def test(service: Service) -> None:
        run_id = await service.engine.start_workflow("order", {"n": 1})
        await service.run_until(run_id, "waiting")
        clerk = service.root.child("desk/clerk").ref.pid
        async with service.client() as client:
            for path in ("", "tree", "actors", f"actors/{clerk}", "runs", f"runs/{run_id}",
                         "models", "events", "letters", "system"):  # fmt: skip
                html = (await client.get(f"/{path}")).text
                titles = dict(
                    re.findall(r'<h2[^>]* id="([^"]+)"[^>]*>([^<]+)', html),
                )
                names = [
                    titles[one].strip() for one in re.findall(r'aria-labelledby="([^"]+)"', html)
                ]
                names += re.findall(r'<(?:section|nav|div|form)[^>]* aria-label="([^"]+)"', html)
                assert len(names) == len(set(names)), (path, names)

    in_service(test)
