"""A large input, mapped piece by piece with bounded concurrency, and reduced as it comes."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, ClassVar, cast

from pydantic import Field

from ..definition.drawing import Drawing
from ..definition.step import Ask, AskField
from ..execution.execution import Execution
from ..execution.pattern import OrchestrationPattern, PatternDefinition
from ..execution.promises import Demand
from ..execution.task_bag import TaskBag
from ..vocabulary.errors import MissingInput, UnexpectedAnswer, work_failed
from ..vocabulary.outcome import Completed, Outcome, Skipped
from ..vocabulary.report import PartialList
from ..vocabulary.target import Target


class MapReduceDefinition(PatternDefinition):
    """A map-reduce: the mapper, the reducer, and how much runs at once."""

    mapper: AskField
    reducer: AskField | None = None
    source: str | None = Field(default=None, min_length=1)
    max_concurrency: int = Field(default=10, ge=1)
    chunk_size: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=2)


class MapReduceOrchestration(OrchestrationPattern):
    """*mapper* gets each item of the input, *reducer* the list of what came out, in order.

    The input is a list, or any iterable, also an ``async`` one, of any length; in a mapping it stands
    under the key *source*. Items are taken only as fast as they are mapped, at most
    *max_concurrency* at once. With *chunk_size* the mapper gets lists of that many items. With
    *batch_size* the reducer runs as soon as that many neighbours are mapped, and again over its own
    results, so that memory stays bounded; it then has to be one for which grouping makes no
    difference (a sum, a merge). Without a reducer the list is the result. A failed item ends it all,
    unless the mapper's ``on_error`` says ``"skip"`` or gives a default.
    """

    kind: ClassVar[str] = "map_reduce"
    definition_type = MapReduceDefinition
    example = 'MapReduceOrchestration(name="digest", mapper="summarizer", reducer="editor")'

    def __init__(
        self,
        name: str,
        mapper: Target | Ask | Mapping[str, Any],
        reducer: Target | Ask | Mapping[str, Any] | None = None,
        *,
        source: str | None = None,
        max_concurrency: int = 10,
        chunk_size: int | None = None,
        batch_size: int | None = None,
        timeout: float | None = None,
        usage_limits: Any = None,
    ) -> None:
        super().__init__(
            self._define(
                {
                    "name": name,
                    "mapper": mapper,
                    "reducer": reducer,
                    "source": source,
                    "max_concurrency": max_concurrency,
                    "chunk_size": chunk_size,
                    "batch_size": batch_size,
                    "timeout": timeout,
                    "usage_limits": usage_limits,
                }
            )
        )

    def _prepare(self) -> None:
        if self._spec.batch_size is not None and self._spec.reducer is None:
            raise self._wrong("batch_size says when the reducer runs, and there is none")

    @property
    def _spec(self) -> MapReduceDefinition:
        return cast(MapReduceDefinition, self._definition)

    def targets(self) -> Iterable[Target]:
        yield from self._spec.mapper.targets()
        if self._spec.reducer is not None:
            yield from self._spec.reducer.targets()

    def demands(self) -> Iterable[Demand]:
        width = self._spec.max_concurrency
        yield Demand(self._spec.mapper.agent, width, f"max_concurrency={width}")

    async def coordinate(self, run: Execution) -> Any:
        spec = self._spec
        async with TaskBag(spec.max_concurrency) as bag:
            job = _Job(self.name, spec, run, bag)
            index = 0
            async with _closing(self._items(run)) as items:
                async for item in _pieces(items, spec.chunk_size):
                    await job.room()
                    if not await bag.room():
                        break
                    bag.start(job.map(index, item))
                    index += 1
            await bag.settled()
            job.raise_problem()
            return await job.result()

    def _items(self, run: Execution) -> Any:
        data = run.input
        key = self._spec.source
        if key is not None and isinstance(data, Mapping):
            if key not in data:
                raise MissingInput(self.name, self._spec.mapper.label, key, data, run.outcomes)
            data = cast(Mapping[str, Any], data)[key]
        if isinstance(data, (str, bytes, Mapping)) or not (
            isinstance(data, (Iterable, AsyncIterable))
        ):
            hint = "" if key else ' (give source="key" when it stands in a mapping)'
            raise UnexpectedAnswer(
                self.name, "input", f"a list or an iterable of items{hint}", data, run.outcomes
            )
        return cast(Any, data)

    def draw(self, drawing: Drawing) -> None:
        spec = self._spec
        start = drawing.node(spec.source or "items", "end")
        mapper = drawing.target(spec.mapper.agent, f"at most {spec.max_concurrency} at once")
        drawing.edge(start, mapper, f"{spec.chunk_size} at a time" if spec.chunk_size else "each")
        last = mapper
        if spec.reducer is not None:
            last = drawing.target(spec.reducer.agent)
            drawing.edge(mapper, last, f"every {spec.batch_size}" if spec.batch_size else "all")
            if spec.batch_size:
                drawing.edge(last, last, "again")
        drawing.edge(last, drawing.node("result", "end"))


@asynccontextmanager
async def _closing(items: Any) -> AsyncGenerator[Any, None]:
    """Close *items* at the end if they are a generator: what it holds must not outlive the execution."""
    try:
        yield items
    finally:
        if isinstance(items, AsyncGenerator):
            await cast("AsyncGenerator[Any, Any]", items).aclose()
        elif isinstance(items, Generator):
            cast("Generator[Any, Any, Any]", items).close()


async def _pieces(items: Any, size: int | None) -> AsyncIterator[Any]:
    """Yield the items, or lists of *size* of them."""
    if isinstance(items, AsyncIterable):
        piece: list[Any] = []
        async for item in cast("AsyncIterable[Any]", items):
            if size is None:
                yield item
                continue
            piece.append(item)
            if len(piece) == size:
                yield piece
                piece = []
        if piece:
            yield piece
        return
    iterator: Iterator[Any] = iter(items)
    if size is None:
        for item in iterator:
            yield item
        return
    while chunk := list(islice(iterator, size)):
        yield chunk


class _Job:
    """The results of one execution, kept no longer than needed. Owned by its coordinator.

    Results wait here until their neighbours are there. ``_levels[n]`` holds what has been reduced
    *n* times; a full level is reduced into one entry of the next.
    """

    def __init__(self, name: str, spec: MapReduceDefinition, run: Execution, bag: TaskBag) -> None:
        self._name = name
        self._spec = spec
        self._run = run
        self._bag = bag
        self._mapped: dict[int, Outcome] = {}
        self._outcomes: list[Outcome] = []
        """Those of the items in order, where nothing reduces them: the result has a place for each."""
        self._next = 0
        self._levels: list[list[Any]] = [[]]
        self._reductions = 0
        self._problem: Exception | None = None

    async def map(self, index: int, item: Any) -> None:
        """Map one item, and take over what is complete up to here."""
        mapper = self._spec.mapper
        work = f"{mapper.label}[{index}]"
        outcome = await self._run.perform(work, mapper.agent, item, mapper.policy)
        if not isinstance(outcome, (Completed, Skipped)):
            if self._problem is None:
                self._problem = work_failed(
                    self._name, work, outcome, self._failures(), f"item {index}"
                )
            self._run.stopping = f"{work!r} failed"
            self._bag.stop()
            return
        if self._spec.batch_size is not None:
            # A million items must not leave a million outcomes behind.
            self._run.outcomes.pop(work, None)
        self._mapped[index] = outcome
        while self._next in self._mapped:
            ready = self._mapped.pop(self._next)
            self._next += 1
            if self._spec.reducer is None:
                self._outcomes.append(ready)
            elif isinstance(ready, Completed):
                self._levels[0].append(ready.value)

    def _failures(self) -> dict[str, Outcome]:
        return {n: o for n, o in self._run.outcomes.items() if not isinstance(o, Completed)}

    def raise_problem(self) -> None:
        """Raise the error of the first item that failed, if one did."""
        if self._problem is not None:
            raise self._problem

    async def room(self) -> None:
        """Reduce full batches before more is mapped."""
        size = self._spec.batch_size
        if size is None:
            return
        level = 0
        while level < len(self._levels):
            while len(self._levels[level]) >= size:
                batch, self._levels[level] = (
                    self._levels[level][:size], self._levels[level][size:],
                )  # fmt: skip
                reduced = await self._reduce(batch)
                if level + 1 == len(self._levels):
                    self._levels.append([])
                self._levels[level + 1].append(reduced)
            level += 1

    async def result(self) -> Any:
        """Return the result, once everything is mapped."""
        if self._spec.reducer is None:
            found = PartialList(self._outcomes)
            return found if found.missing else list(found)
        await self.room()
        # Higher levels hold earlier items: their order is the items' order.
        rest = [entry for level in reversed(self._levels) for entry in level]
        if len(rest) == 1 and self._reductions:
            return rest[0]
        return await self._reduce(rest)

    async def _reduce(self, values: list[Any]) -> Any:
        reducer = cast(Ask, self._spec.reducer)
        self._reductions += 1
        work = (
            reducer.label
            if self._spec.batch_size is None
            else f"{reducer.label}[{self._reductions}]"
        )
        outcome = await self._run.perform(work, reducer.agent, values, reducer.policy)
        if isinstance(outcome, Completed):
            return outcome.value
        if isinstance(outcome, Skipped):
            return values
        raise work_failed(self._name, work, outcome, self._failures(), "the reducer")
