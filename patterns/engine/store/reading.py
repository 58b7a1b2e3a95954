"""What a store tells of the runs that it keeps: the part of its contract that changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from .queues import QueueDepth, QueuePlace
from .records import JournalEntry, Progress, RunFilter, RunPage, RunRow

__all__ = ["RunReader"]


class RunReader(Protocol):
    """Reads runs. Needs no lease; raises what every method of a `Store` raises."""

    async def load_run(self, run_id: str) -> RunRow:
        """Return the run's row. Raises UnknownRun, and StoreCorrupt for one that is damaged."""
        ...

    async def load_runs(self, run_ids: Iterable[str]) -> dict[str, RunRow]:
        """Return the rows of those runs that exist, by id. One that is damaged says so (`RunRow.damage`)."""
        ...

    async def load_definition(self, definition_hash: str) -> str:
        """Return the definition's JSON. Raises StoreCorrupt when no run brought it."""
        ...

    async def load_definitions(self, definition_hashes: Iterable[str]) -> dict[str, str]:
        """Return the JSON of those definitions that exist, by hash (recovery reads thousands)."""
        ...

    async def read_journal(
        self, run_id: str, after: int = 0, limit: int | None = None
    ) -> list[JournalEntry]:
        """Return the entries numbered above *after*, in order. Raises UnknownRun."""
        ...

    async def read_journals(self, run_ids: Iterable[str]) -> dict[str, list[JournalEntry]]:
        """Return whole journals by run id, in one go (recovery reads thousands).

        One that cannot be read is left out; `read_journal` says why.
        """
        ...

    async def list_runs(
        self, where: RunFilter | None = None, page: str | None = None, limit: int = 100
    ) -> RunPage:
        """Return runs, newest first, damaged ones too (`RunRow.damage`)."""
        ...

    async def progress(self, run_ids: Iterable[str]) -> dict[str, Progress]:
        """Return how far those of the runs that exist have got, by id: one query for them all."""
        ...

    async def queue_depths(self) -> list[QueueDepth]:
        """Return how many runs stand in each queue that is served, or has any, by name."""
        ...

    async def queue_place(self, run_id: str, rate_s: float = 0.0) -> QueuePlace | None:
        """Return where a run stands in its queue, with those of the queue that have begun within the last
        *rate_s* seconds, which is noted for queues with a rate; None for one that waits in none."""
        ...

    def listen(self, heard: Callable[[str], None]) -> None:
        """Have *heard* called on the loop with the id of each run that something happened to, from
        whichever process, and with `word_of` of each queue that has a new one; a store that cannot does
        nothing.

        Until the store is closed. Nothing is promised: what is not heard is found by asking.
        """
        ...
