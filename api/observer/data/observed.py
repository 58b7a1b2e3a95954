"""A system as it is looked at: everything that is shown, as plain data, for all that show it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from agenticaiframework.actors import ActorRef, ActorSystem
from agenticaiframework.patterns.engine import OrchestrationEngine, WorkflowFilter

from .census import Census, actor_details, find_actor, list_actors, take_census
from .feed import Feed
from .incarnations import entries_about, look_at_incarnations
from .nodes import list_nodes
from .queues import list_queues
from .runs import (
    UNFINISHED,
    count_runs,
    list_runs,
    look_at_run,
    look_at_runs,
    read_journal,
    targets_of,
)
from .schedules import list_schedules
from .series import Series
from .stores import list_sessions, look_at_store
from .texts import text
from .tree import TreeSummary, look_at_tree, summarise_tree

T = TypeVar("T")
Row = dict[str, Any]

SAMPLE_S: Final = 1.0
IDLE_S: Final = 60.0
"""So long after the last look samples are taken still."""

SHARE: Final = 20
"""What takes long is done so much more seldom than it takes: it never has more than 1/20 of the loop."""


class Observed:
    """One system, and the engine in it, for those who look. Nothing here changes either.

    The methods may be called on any loop; what they read is read on the system's. Owned by that loop's
    thread: the feed, the samples, and what was read a moment ago and is shown to several.
    """

    def __init__(
        self,
        system: ActorSystem,
        engine: OrchestrationEngine | None = None,
        *,
        payloads: bool = False,
    ) -> None:
        self.system = system
        self.engine = engine
        self.payloads = payloads
        self.feed = Feed(system, payloads=payloads)
        self.series = Series()
        self._kept: dict[Any, tuple[float, Any]] = {}
        self._under_way: dict[Any, asyncio.Task[Any]] = {}
        self._sampler: asyncio.Task[None] | None = None
        self._looked_at = 0.0
        self._began = time.time()
        self._closed = False
        if system.running:
            self.from_any_thread(self._listen)

    # -- life --------------------------------------------------------------------------------------

    def from_any_thread(self, fn: Callable[[], None]) -> None:
        """Call *fn* in the thread of the system's loop: now, if that is this one."""
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is self.system.loop:
            fn()
        else:
            self.system.loop.call_soon_threadsafe(fn)

    def _listen(self) -> None:
        if not self._closed and not self.feed.listening:
            self.feed.begin()
            self.system.at_stop(self.close)

    async def close(self) -> None:
        """Listen and sample no more. Called when the system has stopped. Again: harmless."""
        self._closed = True
        self.feed.close()
        tasks = [*self._under_way.values()]
        if self._sampler is not None:
            tasks.append(self._sampler)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def here(self, fn: Callable[[], Awaitable[T]]) -> T:
        """Return what *fn* returns on the loop of the system, with that as the current one."""

        async def call() -> T:
            self._listen()
            with self.system.use():
                return await fn()

        loop = self.system.loop
        if asyncio.get_running_loop() is loop:
            return await call()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), loop))

    async def _recent(self, key: Any, keep_s: float, fn: Callable[[], Awaitable[T]]) -> T:
        """Return what *fn* returned lately, or returns now; of several callers one calls it."""
        now = self.system.clock()
        kept = self._kept.get(key)
        if kept is not None and now < kept[0]:
            found: T = kept[1]
            return found
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self._refresh(key, keep_s, fn))
        result: T = await asyncio.shield(task)
        return result

    async def _refresh(self, key: Any, keep_s: float, fn: Callable[[], Awaitable[T]]) -> T:
        began = self.system.clock()
        try:
            with self.system.use():
                result = await fn()
        finally:
            self._under_way.pop(key, None)
        now = self.system.clock()
        if len(self._kept) > 200:
            self._kept = {key: one for key, one in self._kept.items() if one[0] > now}
        self._kept[key] = (now + max(keep_s, SHARE * (now - began)), result)
        return result

    # -- samples -----------------------------------------------------------------------------------

    def _watched(self) -> None:
        self._looked_at = self.system.clock()
        if self._sampler is None or self._sampler.done():
            self._sampler = asyncio.create_task(self._sample(), name="observer samples")

    async def _sample(self) -> None:
        """Take a sample a second until it is not looked at any more."""
        system, feed = self.system, self.feed
        before: tuple[float, int, int, int, int, int] | None = None
        while not self._closed and system.clock() - self._looked_at < IDLE_S:
            census = await self._census()
            now = system.clock()
            handled = feed.handled_before + census.handled
            sums = (
                now,
                handled,
                feed.counts["ended"],
                system.dead_letters.count,
                feed.spending.total.total_tokens,
                feed.counts["restarts"],
            )
            due = system.clock() + SAMPLE_S
            if before is not None:
                took = max(1e-3, now - before[0])
                rates = [
                    max(0.0, (a - b) / took) for a, b in zip(sums[1:], before[1:], strict=True)
                ]
                self.series.add(
                    time.time(),
                    actors=census.total,
                    mailbox=census.mailbox,
                    messages=rates[0],
                    ended=rates[1],
                    letters=rates[2],
                    tokens=rates[3],
                    restarts=rates[4],
                    lag_ms=self._lag_ms,
                )
            before = sums
            await asyncio.sleep(SAMPLE_S)
            self._lag_ms = max(0.0, (system.clock() - due) * 1e3)

    _lag_ms = 0.0

    async def _census(self) -> Census:
        return await self._recent("census", SAMPLE_S * 0.9, lambda: take_census(self.system))

    async def _summary(self) -> TreeSummary:
        return await self._recent("tree", SAMPLE_S * 0.9, lambda: summarise_tree(self.system))

    # -- what is shown -----------------------------------------------------------------------------

    async def overview(self) -> Row:
        """Return the system in numbers: actors, trees, runs, letters, spending, health."""

        async def look() -> Row:
            self._watched()
            census, summary = await self._census(), await self._summary()
            system, feed, series = self.system, self.feed, self.series
            return {
                "system": text(system.name),
                "at": time.time(),
                "observed_since": self._began,
                "running": system.running,
                "actors": census.to_dict(),
                "supervision": summary.to_dict(),
                "runs": await self._counts(),
                "letters": system.dead_letters.count,
                "abandoned": system.abandoned,
                "counts": dict(feed.counts),
                "usage": feed.spending.total.to_dict(),
                "rates": {name: series.last(name) for name in series.values},
                "spark": {name: series.tail(name) for name in series.values},
                "health": await self._health(),
            }

        return await self.here(look)

    async def _counts(self) -> dict[str, Row]:
        engine = self.engine
        if engine is None:
            return {}
        states = (*UNFINISHED, "failed", "completed", "cancelled", "interrupted")
        return await self._recent("runs", 2.0, lambda: count_runs(engine, states))

    async def _health(self) -> Row:
        async def ask() -> Row:
            found = await self.system.health()
            checks = [
                {
                    "name": text(check.name),
                    "state": str(check.state),
                    "reason": None if check.reason is None else text(check.reason, 500),
                    "since": check.since,
                }
                for check in found.checks.values()
            ]
            return {"status": str(found.state), "ready": found.ready, "checks": checks}

        return await self._recent("health", SAMPLE_S * 0.9, ask)

    async def health(self) -> Row:
        """Return how the system is: each check with its reason, and the children that are not well."""

        async def look() -> Row:
            return {**await self._health(), "trouble": (await self._summary()).trouble[:50]}

        return await self.here(look)

    async def samples(self) -> Row:
        """Return the numbers over time."""

        async def look() -> Row:
            self._watched()
            return self.series.to_dict()

        return await self.here(look)

    async def tree(self, *, root: int | None = None, start: int = 0) -> Row:
        """Return the supervision trees, or the one of the supervisor with the number *root*."""

        async def look() -> Row:
            ref = None if root is None else await find_actor(self.system, root)
            if root is not None and ref is None:
                return {"rows": [], "root": root, "gone": True, "summary": {}}
            limit = 40 if root is None else 100
            rows = await look_at_tree(
                self.system, root=ref, start=start, limit=limit, payloads=self.payloads
            )
            summary = (await self._summary()).to_dict()
            return {"rows": rows, "root": root, "gone": False, "summary": summary}

        return await self.here(look)

    async def actors(
        self,
        *,
        order: str = "load",
        state: str | None = None,
        query: str = "",
        start: int = 0,
        limit: int = 50,
    ) -> Row:
        """Return a page of the actors, the largest of *order* first."""

        async def look() -> Row:
            def find() -> Awaitable[Row]:
                return list_actors(
                    self.system,
                    order=order,
                    state=state,
                    query=query,
                    start=start,
                    limit=limit,
                    payloads=self.payloads,
                )

            key = ("actors", order, state, query, start, limit)
            found = await self._recent(key, SAMPLE_S * 0.9, find)
            return {**found, "census": (await self._census()).to_dict()}

        return await self.here(look)

    async def actor(self, pid: int) -> Row | None:
        """Return one actor with all that is known of it; None if there is none with that number."""

        async def look() -> Row | None:
            ref = await find_actor(self.system, pid)
            if ref is None:
                return None
            info = self.system.info(ref)
            row = actor_details(self.system, info, self.payloads)
            return {
                **row,
                "incarnations": look_at_incarnations(self.system, info, self.payloads),
                "events": entries_about(row, self.feed.entries)[:50],
            }

        return await self.here(look)

    async def find(self, pid: int) -> ActorRef[Any] | None:
        """Return the live actor with that number, or None."""
        return await self.here(lambda: find_actor(self.system, pid))

    async def runs(
        self,
        where: WorkflowFilter,
        *,
        page: str | None = None,
        limit: int = 50,
        details: bool = False,
    ) -> Row:
        """Return a page of the runs for which *where* holds, and how many are in each state.

        With *details* those that have not ended have their ``progress`` and what they wait for.
        """
        engine = self.engine
        if engine is None:
            return {"rows": [], "next": None, "counts": {}, "engine": None}

        async def look() -> Row:
            found = await list_runs(engine, where, page=page, limit=limit)
            if details:
                key = ("details", *(row["id"] for row in found["rows"]))
                rows = found["rows"]
                more = await self._recent(key, SAMPLE_S * 0.9, lambda: look_at_runs(engine, rows))
                found["rows"] = [{**row, **more.get(row["id"], {})} for row in rows]
            return {**found, "counts": await self._counts(), "engine": text(engine.name)}

        return await self.here(look)

    async def run(self, run_id: str) -> Row:
        """Return one run. Raises `UnknownWorkflow`."""
        engine = self.known_engine()

        async def look() -> Row:
            row = await look_at_run(engine, run_id, payloads=self.payloads)
            return {**row, "targets": targets_of(engine, row["name"])}

        return await self.here(look)

    async def journal(self, run_id: str, *, after: int = 0, limit: int = 200) -> Row:
        """Return events of a run behind number *after*. Raises `UnknownWorkflow`."""
        engine = self.known_engine()
        return await self.here(
            lambda: read_journal(engine, run_id, after=after, limit=limit, payloads=self.payloads)
        )

    def known_engine(self) -> OrchestrationEngine:
        """Return the engine. Raises LookupError where there is none."""
        if self.engine is None:
            raise LookupError("the observer was given no engine")
        return self.engine

    async def events(self, *, after: int = 0, limit: int = 100, kind: str | None = None) -> Row:
        """Return what happened, the newest first."""

        async def look() -> Row:
            rows = [
                dict(one)
                for one in reversed(self.feed.entries)
                if one["number"] > after and (kind is None or one["kind"] == kind)
            ]
            return {"rows": rows[:limit], "counts": dict(self.feed.counts)}

        return await self.here(look)

    async def letters(self, *, limit: int = 100) -> Row:
        """Return the dead letters, the newest first, and how many there are by reason."""

        async def look() -> Row:
            return {
                "rows": [dict(one) for one in reversed(self.feed.letters)][:limit],
                "total": self.system.dead_letters.count,
                "reasons": dict(self.feed.reasons.most_common(20)),
            }

        return await self.here(look)

    async def models(self) -> Row:
        """Return what models were asked since the observer listens, and the sessions that are kept."""

        async def look() -> Row:
            sessions: list[Row] = []
            problem = None
            if self.engine is not None:
                try:
                    sessions = await self._recent(
                        "sessions", 2.0, lambda: list_sessions(self.system, agent=None, limit=100)
                    )
                except Exception as error:
                    problem = text(error, 300)
            spent = self.feed.spending.to_dict()
            return {**spent, "sessions": sessions, "problem": problem, "since": self._began}

        return await self.here(look)

    async def nodes(self) -> list[Row]:
        """Return the nodes of the cluster as this system sees them; nothing where it is in none."""

        async def look() -> list[Row]:
            return list_nodes(self.system)

        return await self.here(look)

    async def schedules(self) -> Row:
        """Return the schedules in the engine's store: the last time of each and the next, and its counts."""
        return await self._stored("schedules", list_schedules)

    async def queues(self) -> Row:
        """Return the queues in the engine's store: what waits, what is taken, the limits, who serves them."""
        return await self._stored("queues", list_queues)

    def changed(self) -> None:
        """Forget what was read of the store lately, as something was done to it; on the system's loop."""
        for key in ("schedules", "queues", "runs"):
            self._kept.pop(key, None)

    async def _stored(
        self, what: str, read: Callable[[OrchestrationEngine], Awaitable[list[Row]]]
    ) -> Row:
        engine = self.engine
        if engine is None:
            return {"rows": [], "problem": None}

        async def look() -> Row:
            try:
                rows = await self._recent(what, 2.0, lambda: read(engine))
            except Exception as error:
                return {"rows": [], "problem": text(error, 300)}
            return {"rows": rows, "problem": None}

        return await self.here(look)

    async def stores(self) -> list[Row]:
        """Return the stores: where, how large, how many runs in each state, which engines."""
        engine = self.engine
        if engine is None:
            return []

        async def look() -> list[Row]:
            async def read() -> Row:
                return await asyncio.to_thread(look_at_store, engine)

            return [await self._recent("store", 10.0, read)]

        return await self.here(look)

    async def search(self, query: str) -> Row:
        """Return actors whose names contain *query*, and runs with that id, or of that workflow."""
        query = query.strip()
        if not query:
            return {"actors": [], "runs": [], "query": ""}
        found = await self.actors(query=query, limit=20)
        runs: list[Row] = []
        if self.engine is not None:
            try:
                one = await self.run(query)
                runs.append(
                    {key: one[key] for key in ("id", "name", "state", "created_at", "error")}
                )
            except Exception:
                runs = (await self.runs({"name": query}, limit=20))["rows"]
        return {
            "actors": found["rows"],
            "actors_total": found["total"],
            "runs": runs,
            "query": text(query),
        }


__all__ = ["Observed"]
