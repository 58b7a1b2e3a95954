"""What comes out of a backend, decoded. Runs where the store's reads run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from ..errors import StoreCorrupt, UnknownRun
from ..records import Durability, JournalEntry, Progress, RunFilter, RunPage, RunRow, Signal
from .backend import Backend, JournalRow, Json, RawRun, RawSignal
from .encoding import decode_entries, decode_value
from .rows import may_be_kept

__all__ = ["RunReader"]


class RunReader:
    """The reading half of a backend, in the words of the store."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._label = backend.label

    def row(self, run_id: str) -> RunRow:
        """Return the run's row. Raises UnknownRun."""
        row = self._row(self._find(run_id))
        if row.damage is not None:
            raise StoreCorrupt(self._label, row.damage, run_id)
        return row

    def rows(self, run_ids: Sequence[str]) -> list[RunRow]:
        """Return the rows of those runs that exist; what cannot be read of one is its damage."""
        return [self._row(raw) for raw in self._backend.runs(_possible(run_ids))]

    def progress(self, run_ids: Sequence[str]) -> dict[str, Progress]:
        """Return how far those of the runs that exist have got."""
        return {
            run_id: Progress(seq, state, bool(finished), fence)
            for run_id, seq, state, finished, fence in self._backend.progress(_possible(run_ids))
        }

    def page(self, where: RunFilter, before: int | None, limit: int) -> RunPage:
        """Return up to *limit* rows, the newest first, below key *before*."""
        texts = (where.name, where.parent, where.root, *where.labels, *where.labels.values())
        if not all(text is None or may_be_kept(text) for text in texts):
            return RunPage((), None)
        found = self._backend.list_runs(where, before, limit + 1)
        following = str(found[limit - 1][0]) if len(found) > limit else None
        return RunPage(tuple(self._row(raw) for raw in found[:limit]), following)

    def journal(self, run_id: str, after: int, limit: int | None) -> list[JournalEntry]:
        """Return the entries numbered above *after*. Raises UnknownRun."""
        key = self._find(run_id)[0]
        # At most *limit* rows, each of which holds at least one entry.
        try:
            rows = self._backend.journal(key, after, limit)
        except StoreCorrupt as error:
            raise StoreCorrupt(self._label, error.detail, run_id) from error
        entries = self._entries(run_id, key, rows, after)
        return entries if limit is None else entries[:limit]

    def journals(self, run_ids: Sequence[str]) -> dict[str, list[JournalEntry]]:
        """Return whole journals by run id; one that cannot be read is left out."""
        names = {raw[0]: raw[1] for raw in self._backend.runs(_possible(run_ids))}
        found: dict[str, list[JournalEntry]] = {}
        for key, rows in self._backend.journals(tuple(names)).items():
            try:
                found[names[key]] = self._entries(names[key], key, rows, 0)
            except StoreCorrupt:
                continue  # `journal` says what is wrong with it
        return found

    def signals(self, run_id: str, after: int) -> list[Signal]:
        """Return the run's pending signals above *after*. Raises UnknownRun."""
        found = self._backend.signals(self._find(run_id)[0], after)
        return [self._signal(run_id, signal) for signal in found]

    def signals_of(self, run_ids: Sequence[str]) -> dict[str, list[Signal]]:
        """Return the pending signals of several runs, by the id of those that have any."""
        signals: dict[str, list[Signal]] = {}
        for run_id, signal in self._backend.signals_of(_possible(run_ids)):
            signals.setdefault(run_id, []).append(self._signal(run_id, signal))
        return signals

    def _signal(self, run_id: str, signal: RawSignal) -> Signal:
        number, name, payload, at = signal
        what = f"signal {number} of run {run_id!r}"
        return Signal(number, run_id, name, decode_value(payload, self._label, what), at / 1e6)

    def _find(self, run_id: str) -> RawRun:
        found = self._backend.runs(_possible((run_id,)))
        if not found:
            raise UnknownRun(run_id, self._label)
        return found[0]

    def _row(self, raw: RawRun) -> RunRow:
        run_id, problems = raw[1], list[str]()

        def read(what: str, decode: Callable[[], Any], instead: Any = None) -> Any:
            try:
                return decode()
            except StoreCorrupt as error:
                problems.append(error.detail)
            except (ValueError, TypeError) as error:
                problems.append(f"the {what} of run {run_id!r} cannot be read ({error})")
            return instead

        def given() -> Any:
            data = raw[4]
            if data is None:
                data = self._blob(raw[0], raw[5] or "")
            return decode_value(data, self._label, f"the input of run {run_id!r}")

        def mapping(column: int) -> Any:
            text: Any = raw[column]
            return from_json(text) if text else None

        found = read("input", given)
        durability = read("durability", lambda: Durability(raw[7]), Durability.FULL)
        labels: Mapping[str, str] = read("labels", lambda: mapping(16)) or {}
        context = read("context", lambda: mapping(19))
        options = read("cancel options", lambda: mapping(21))
        return RunRow(
            run_id=run_id,
            name=raw[2],
            definition_hash=raw[3],
            input=found,
            state=raw[6],
            durability=durability,
            created_at=raw[8] / 1e6,
            updated_at=raw[9] / 1e6,
            finished_at=_seconds(raw[10]),
            wake_at=_seconds(raw[11]),
            error=raw[12],
            cancel_reason=raw[13],
            cancel_requested_at=_seconds(raw[14]),
            parent=raw[15],
            labels=labels,
            owner=raw[17],
            fence=raw[18],
            context=context,
            root=raw[20],
            cancel_options=options,
            owner_seen_at=_seconds(raw[22]),
            queue=raw[23],
            queue_key=raw[24],
            priority=raw[25] or 0,
            damage="; ".join(problems) or None,
        )

    def _blob(self, key: int, digest: str) -> Json:
        found = self._backend.blobs(key, (digest,))
        if digest not in found:
            raise StoreCorrupt(self._label, f"the spilled value {digest!r} is missing")
        return found[digest]

    def _entries(
        self, run_id: str, key: int, rows: Sequence[JournalRow], after: int
    ) -> list[JournalEntry]:
        try:
            return decode_entries(
                rows, after, self._label, run_id, lambda digest: self._blob(key, digest)
            )
        except StoreCorrupt as error:
            raise StoreCorrupt(self._label, error.detail, run_id) from error


def _possible(run_ids: Sequence[str]) -> Sequence[str]:
    return tuple(run_id for run_id in run_ids if may_be_kept(run_id))


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1e6
