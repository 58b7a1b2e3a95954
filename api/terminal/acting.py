"""Doing something to an actor, a run or a schedule: choosing what, confirming it, and telling what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual.app import App

from .asking import Known, Target
from .client import NoObserver, ObserverClient
from .dialogs import Choose, Confirm
from .offers import Offer, offers_for
from .palette import Palette


async def _thing(client: ObserverClient, target: Target) -> Mapping[str, Any]:
    of, number = target
    if of != "schedule":
        return await client.get(f"{of}/{number}")
    rows: list[Mapping[str, Any]] = (await client.get("schedules"))["rows"]
    for row in rows:
        if row["id"] == number:
            return row
    raise LookupError(f"There is no schedule {number} any more")


async def act_on(
    app: App[Any], client: ObserverClient, known: Known, target: Target, palette: Palette
) -> None:
    """Ask what is to be done to *target*, and have it done once that is confirmed. In a worker of *app*."""
    try:
        thing = await _thing(client, target)
    except (NoObserver, LookupError) as error:
        app.notify(str(error), severity="error", markup=False)
        return
    offers = offers_for(target[0], thing, known.actions)
    if not offers:
        app.notify("Nothing can be done to it here", markup=False)
        return
    offer: Offer | None = offers[0]
    if len(offers) > 1:
        offer = await app.push_screen_wait(Choose(offers, palette))
    if offer is None:
        return
    who = str(known.overview.get("who") or "its user")
    fields = await app.push_screen_wait(Confirm(offer, who, palette))
    if fields is None:
        return
    try:
        result = await client.act(offer.action, offer.target, **fields)
    except (NoObserver, ValueError) as error:
        app.notify(str(error), severity="error", markup=False, timeout=10)
    else:
        app.notify(result, markup=False)


__all__ = ["act_on"]
