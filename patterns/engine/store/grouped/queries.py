"""The half of a store that reads runs, over any backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, TypeVar

from ..errors import StoreCorrupt
from ..queues import QueueDepth, QueuePlace
from ..records import JournalEntry, Progress, RunFilter, RunPage, RunRow
from .backend import Backend
from .reading import RunReader

__all__ = ["RunQueries", "chunks"]

T = TypeVar("T")

READ_CHUNK: Final = 500
MOST_ROWS: Final = 1 << 31
"""Of one page, and the number of one event: more than there are, and what every medium can count to."""


class RunQueries:
    """What a store tells of the runs that it keeps. Has no state of its own."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._runs = RunReader(backend)

    @property
    def url(self) -> str:
        """Where it is, without secrets."""
        return self._backend.label

    async def _read(self, function: Callable[[], T]) -> T:
        """Run *function* where reads are run."""
        raise NotImplementedError

    async def load_run(self, run_id: str) -> RunRow:
        """Return the run's row."""
        return await self._read(lambda: self._runs.row(run_id))

    async def load_runs(self, run_ids: Iterable[str]) -> dict[str, RunRow]:
        """Return the rows of those runs that exist, by id."""
        found: dict[str, RunRow] = {}
        for some in chunks(tuple(run_ids)):
            rows = await self._read(partial(self._runs.rows, some))
            found.update((row.run_id, row) for row in rows)
        return found

    async def load_definition(self, definition_hash: str) -> str:
        """Return the definition's JSON."""
        data = await self._read(lambda: self._backend.definition(definition_hash))
        if data is None:
            raise StoreCorrupt(self.url, f"there is no definition {definition_hash!r}")
        return data if isinstance(data, str) else data.decode()

    async def load_definitions(self, definition_hashes: Iterable[str]) -> dict[str, str]:
        """Return the JSON of those definitions that exist, by hash."""
        found: dict[str, str] = {}
        for some in chunks(tuple(definition_hashes)):
            found.update(await self._read(partial(self._definitions, some)))
        return found

    def _definitions(self, hashes: Iterable[str]) -> list[tuple[str, str]]:
        stored = ((each, self._backend.definition(each)) for each in hashes)
        return [
            (each, data if isinstance(data, str) else data.decode())
            for each, data in stored
            if data is not None
        ]

    async def read_journal(
        self, run_id: str, after: int = 0, limit: int | None = None
    ) -> list[JournalEntry]:
        """Return the entries numbered above *after*, in order."""
        above = min(after, MOST_ROWS)
        return await self._read(lambda: self._runs.journal(run_id, above, limit))

    async def read_journals(self, run_ids: Iterable[str]) -> dict[str, list[JournalEntry]]:
        """Return whole journals by run id."""
        found: dict[str, list[JournalEntry]] = {}
        for some in chunks(tuple(run_ids)):
            found |= await self._read(partial(self._runs.journals, some))
        return found

    async def list_runs(
        self, where: RunFilter | None = None, page: str | None = None, limit: int = 100
    ) -> RunPage:
        """Return runs, newest first."""
        before = _key_of(page)
        if limit < 1:
            raise ValueError(f"limit={limit}: give the number of rows wanted, 1 or more")
        most = min(limit, MOST_ROWS)
        return await self._read(lambda: self._runs.page(where or RunFilter(), before, most))

    async def progress(self, run_ids: Iterable[str]) -> dict[str, Progress]:
        """Return how far those of the runs that exist have got, by id."""
        ids = tuple(dict.fromkeys(run_ids))
        return await self._read(lambda: self._runs.progress(ids))

    async def queue_depths(self) -> list[QueueDepth]:
        """Return how many runs stand in each queue that is served, or has any."""
        return await self._read(self._backend.queue_depths)

    async def queue_place(self, run_id: str, rate_s: float = 0.0) -> QueuePlace | None:
        """Return where a run stands that waits in a queue."""
        return await self._read(lambda: self._backend.queue_place(run_id, rate_s))


def _key_of(page: str | None) -> int | None:
    if page is None:
        return None
    try:
        if page.isascii() and page.isdigit() and (key := int(page[:20])) < 1 << 63:
            return key
        raise ValueError(page)
    except ValueError:
        raise ValueError(f"page={page!r}: give the `next` of the RunPage before, or None") from None


def chunks(run_ids: Sequence[str]) -> Iterable[Sequence[str]]:
    """Return the ids once each, as many at a time as are read together."""
    unique = tuple(dict.fromkeys(run_ids))
    return (unique[at : at + READ_CHUNK] for at in range(0, len(unique), READ_CHUNK))
