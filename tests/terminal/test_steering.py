"""The observer in a terminal: what can be done with it, who is said to have done it, and servers that end."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from .watching import TOKEN, Server, watching


def runs(server: Server) -> Any:
    headers = {"authorization": f"Bearer {TOKEN}"}
    return httpx.get(f"{server.url}/api/runs", headers=headers, timeout=60).json()["rows"]


def states(server: Server) -> dict[str, str]:
    return {run["id"]: run["state"] for run in runs(server)}


def test_a_question_is_answered_once_the_key_that_confirms_it_is_pressed(steered: Server) -> None:
    async def main() -> None:
        async with watching(steered, token=TOKEN) as one:
            await one.press("4", "slash", *"order", "enter")
            await one.until(lambda seen: "order-1" in seen and "gate-1" not in seen)
            await one.press("a")
            await one.until("Answer: allow of order")
            await one.press("enter")
            seen = await one.until("pay/allow")
            assert "It is recorded, as done by ann (token)" in seen
            await one.press(*"yes", "enter")
            assert states(steered)["order-1"] == "waiting", "Enter is not what confirms"
            await one.press("ctrl+y")
            await one.until("pay/allow is answered")
            await one.until("completed")
            await one.press("5")
            await one.until("answer by ann (token)")
            assert states(steered)["order-1"] == "completed"

    asyncio.run(main())


def test_an_action_that_is_left_does_nothing(steered: Server) -> None:
    async def main() -> None:
        async with watching(steered, token=TOKEN) as one:
            await one.press("4", "slash", *"gate", "enter")
            await one.until(lambda seen: "gate-1" in seen and "order-1" not in seen)
            await one.press("a")
            await one.until("Cancel: gate")
            await one.press("down", "enter")
            await one.until("Its running steps are stopped")
            await one.press("escape")
            await one.until(lambda seen: "Its running steps" not in seen)
            assert states(steered)["gate-1"] == "waiting"

    asyncio.run(main())


def test_an_actor_is_restarted_by_one_key_that_confirms_it(steered: Server) -> None:
    async def main() -> None:
        async with watching(steered, token=TOKEN) as one:
            await one.press("2", "slash", *"holding", "enter")
            await one.until(lambda seen: "holding" in seen and "spare-" not in seen)
            await one.press("a")
            await one.until("Restart: holding")
            await one.press("enter")
            await one.until("What it handles fails")
            await one.press("y")
            await one.until("holding was restarted")
            await one.press("5")
            await one.until("restart by ann (token)")

    asyncio.run(main())


def test_it_outlives_the_server_and_says_how_old_is_what_is_shown(steered: Server) -> None:
    async def main() -> None:
        async with watching(steered, token=TOKEN) as one:
            await one.press("2")
            await one.until("Parcel")
            steered.kill()
            seen = await one.until("nothing listens there; tried again in")
            assert "what is shown is from" in seen
            assert "Parcel" in seen, "the last that was seen stays"
            await asyncio.to_thread(steered.begin)
            await one.until("it is another process")
            await one.until(lambda seen: "live" in seen.splitlines()[0])

    asyncio.run(main())
