"""What the app knows of the observer on the other side: the last answers, and how they are got."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from .client import ObserverClient

Answer = dict[str, Any]
Target = tuple[str, Any]

JOURNAL: Final = 300
"""Events of a run that are kept, the newest."""


class Known:
    """The last answers. Owned by the app; each look replaces what it was for."""

    def __init__(self, client: ObserverClient) -> None:
        self._client = client
        self.overview: Answer = {}
        self.lists: dict[str, Answer] = {}
        """The answer for each view, by its name."""
        self.one: Answer | None = None
        """The one thing that is looked at; None if it is not there any more."""
        self.one_is: Target | None = None
        self.gone = ""
        self.journal: Answer | None = None
        self.actions: list[Answer] = []

    async def look(self, view: str, params: Mapping[str, Any], target: Target | None) -> None:
        """Ask for the numbers, for a view and for one thing, at the same time. Raises `NoObserver`."""
        jobs = [self._numbers(), self._list(view, params)]
        if target is not None:
            jobs.append(self._one(target))
        for found in await asyncio.gather(*jobs, return_exceptions=True):
            if isinstance(found, BaseException):
                raise found

    async def _numbers(self) -> None:
        self.overview = await self._client.get("overview")
        if any(self.overview.get("actions", {}).values()) and not self.actions:
            self.actions = (await self._client.get("actions"))["rows"]

    async def _list(self, view: str, params: Mapping[str, Any]) -> None:
        if view == "overview":
            self.lists[view] = await self._first()
            return
        try:
            if view == "queues":
                self.lists[view] = await self._queues()
                return
            self.lists[view] = await self._client.get(view, **params)
        except LookupError as error:
            self.lists[view] = {"rows": [], "problem": str(error)}

    async def _first(self) -> Answer:
        """Return the lists of the first view: what happened, what waits for people, what has most to do."""
        events, runs, actors = await asyncio.gather(
            self._client.get("events", limit=40),
            self._client.get("runs", state="waiting", details=1, limit=10),
            self._client.get("actors", order="load", limit=10),
        )
        waiting = [run for run in runs["rows"] if run.get("waits")]
        return {"events": events["rows"], "waiting": waiting, "actors": actors["rows"]}

    async def _queues(self) -> Answer:
        """Return the queues and the schedules, which stand below each other."""
        queues, schedules = await asyncio.gather(
            self._client.get("queues"), self._client.get("schedules")
        )
        return {"queues": queues, "schedules": schedules}

    async def _one(self, target: Target) -> None:
        of, number = target
        try:
            one = await self._client.get(f"{of}/{number}")
        except LookupError as error:
            self.one, self.gone, self.one_is = None, str(error), target
            return
        if self.one_is != target:
            self.journal = None
        self.one, self.one_is = one, target
        if of == "run":
            await self._events_of(one)

    async def _events_of(self, run: Answer) -> None:
        kept: list[Answer] = [] if self.journal is None else self.journal["rows"]
        if self.journal is not None and self.journal["whole"]:
            return
        # The last one again: an observer waits for the first event that it has not told, to be sure.
        after = max(0, kept[-1]["number"] - 1) if kept else 0
        try:
            found = await self._client.get(f"journal/{run['id']}", after=after, limit=JOURNAL)
        except LookupError:
            return
        rows = [*(one for one in kept if one["number"] <= after), *found["rows"]]
        whole = bool(run["finished"]) and not found["more"]
        self.journal = {"rows": rows[-JOURNAL:], "whole": whole}


__all__ = ["Known"]
