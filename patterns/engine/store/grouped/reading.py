"""What comes out of a backend, decoded. Runs where the store's reads run."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_core import from_json

from ..errors import StoreCorrupt, UnknownRun
from ..records import Durability, JournalEntry, RunFilter, RunPage, RunRow, Signal
from .backend import Backend, JournalRow, Json, RawRun
from .encoding import decode_entries, decode_value

__all__ = ["RunReader"]


class RunReader:
    """The reading half of a backend, in the words of the store."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._label = backend.label

    def row(self, run_id: str) -> RunRow:
        """Return the run's row. Raises UnknownRun."""
        return self._row(self._find(run_id))

    def rows(self, run_ids: Sequence[str]) -> list[RunRow]:
        """Return the rows of those runs that exist."""
        return [self._row(raw) for raw in self._backend.runs(run_ids)]

    def page(self, where: RunFilter, before: int | None, limit: int) -> RunPage:
        """Return up to *limit* rows, the newest first, below key *before*."""
        found = self._backend.list_runs(where, before, limit + 1)
        following = str(found[limit - 1][0]) if len(found) > limit else None
        return RunPage(tuple(self._row(raw) for raw in found[:limit]), following)

    def journal(self, run_id: str, after: int, limit: int | None) -> list[JournalEntry]:
        """Return the entries numbered above *after*. Raises UnknownRun."""
        key = self._find(run_id)[0]
        # At most *limit* rows, each of which holds at least one entry.
        entries = self._entries(run_id, key, self._backend.journal(key, after, limit), after)
        return entries if limit is None else entries[:limit]

    def journals(self, run_ids: Sequence[str]) -> dict[str, list[JournalEntry]]:
        """Return whole journals by run id."""
        names = {raw[0]: raw[1] for raw in self._backend.runs(run_ids)}
        return {
            names[key]: self._entries(names[key], key, rows, 0)
            for key, rows in self._backend.journals(tuple(names)).items()
        }

    def signals(self, run_id: str) -> list[Signal]:
        """Return the run's pending signals. Raises UnknownRun."""
        return [
            Signal(
                number,
                run_id,
                name,
                decode_value(payload, self._label, f"signal {number} of run {run_id!r}"),
                at / 1e6,
            )
            for number, name, payload, at in self._backend.signals(self._find(run_id)[0])
        ]

    def _find(self, run_id: str) -> RawRun:
        found = self._backend.runs((run_id,))
        if not found:
            raise UnknownRun(run_id, self._label)
        return found[0]

    def _row(self, raw: RawRun) -> RunRow:
        data = raw[4]
        if data is None:
            data = self._blob(raw[0], raw[5] or "")
        return RunRow(
            run_id=raw[1],
            name=raw[2],
            definition_hash=raw[3],
            input=decode_value(data, self._label, f"the input of run {raw[1]!r}"),
            state=raw[6],
            durability=Durability(raw[7]),
            created_at=raw[8] / 1e6,
            updated_at=raw[9] / 1e6,
            finished_at=_seconds(raw[10]),
            wake_at=_seconds(raw[11]),
            error=raw[12],
            cancel_reason=raw[13],
            cancel_requested_at=_seconds(raw[14]),
            parent=raw[15],
            labels=from_json(raw[16]) if raw[16] else {},
            owner=raw[17],
            fence=raw[18],
            context=from_json(raw[19]) if raw[19] else None,
        )

    def _blob(self, key: int, digest: str) -> Json:
        found = self._backend.blobs(key, (digest,))
        if digest not in found:
            raise StoreCorrupt(self._label, f"the spilled value {digest!r} is missing")
        return found[digest]

    def _entries(
        self, run_id: str, key: int, rows: Sequence[JournalRow], after: int
    ) -> list[JournalEntry]:
        return decode_entries(
            rows, after, self._label, run_id, lambda digest: self._blob(key, digest)
        )


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1e6
