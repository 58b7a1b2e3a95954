"""A turn of the event loop, for work that has been told to stop."""

from __future__ import annotations

import asyncio


async def one_turn() -> None:
    """Go on after everything that is ready now has had its turn.

    Work that was stopped at its time limit has ended by then, unless it ignores its cancellation: so
    the code that waited for it, or what replaces it, does not find it running. ``sleep(0)`` is one step of
    the loop; this is two, which a cancelled task may need.
    """
    loop = asyncio.get_running_loop()
    turn: asyncio.Future[None] = loop.create_future()
    loop.call_soon(_over, turn)
    await turn


def _over(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
