"""A turn of the event loop, for work that has been told to stop."""

from __future__ import annotations

import asyncio


async def one_turn() -> None:
    """Go on after everything that is ready now has had its turn.

    What was stopped at its time limit has noticed by then, unless it does not listen: so that whoever
    waited for it, or takes its place, does not find it running. ``sleep(0)`` is less in an actor.
    """
    loop = asyncio.get_running_loop()
    turn: asyncio.Future[None] = loop.create_future()
    loop.call_soon(_over, turn)
    await turn


def _over(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
