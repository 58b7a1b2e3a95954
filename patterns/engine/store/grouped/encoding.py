"""How records become bytes and come back: one JSON array for each append.

The records of one append share a row, `[[kind, step, attempt, data], ...]`, numbered by its last
record: half the rows of one row a record, and rows are what a group commit pays for. Data above
`ValueLimits.spill_bytes` moves into a blob named by its digest, so that a value passed from
step to step is kept once a run and listing a journal does not drag it along:
`[kind, step, attempt, null, digest]`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from pydantic_core import from_json, to_json

from ..errors import StoreCorrupt, ValueNotStorable, ValueTooLarge
from ..records import JournalEntry, NewRun, Record
from .backend import JournalRow, Json
from .forms import Known, form_of

__all__ = [
    "ValueLimits",
    "decode_entries",
    "decode_value",
    "encode_context",
    "encode_form",
    "encode_input",
    "encode_payload",
    "encode_records",
]

Blobs = list[tuple[str, bytes]]
FetchBlob = Callable[[str], Json]


@dataclass(frozen=True, slots=True)
class ValueLimits:
    """How large a value may be, in bytes of its JSON form."""

    spill_bytes: int = 65_536
    """Larger values go to the blob table: 16 pages, where SQLite's rows stop being compact."""
    max_value_bytes: int = 16_777_216
    """Larger values are refused: encoding one blocks the event loop for tens of milliseconds."""

    def __post_init__(self) -> None:
        if not 0 < self.spill_bytes <= self.max_value_bytes:
            raise ValueError(
                f"ValueLimits(spill_bytes={self.spill_bytes}, "
                f"max_value_bytes={self.max_value_bytes}): give 0 < spill_bytes <= max_value_bytes"
            )


def encode_records(
    run_id: str, records: Sequence[Record], limits: ValueLimits, known: Known | None = None
) -> tuple[bytes, Blobs]:
    """Return the row's body and the blobs that it names; *known* is an output with its JSON.

    Raises ValueNotStorable and ValueTooLarge, naming the run and the step.
    """
    if known is not None:
        return _encode_one_by_one(run_id, records, limits, known)
    try:
        # As plain tuples: pydantic's encoder takes 2 us to find out what a named tuple is.
        body = to_json([*map(tuple, records)], fallback=form_of)
    except Exception:
        # Once more one by one, to name the record that cannot be stored.
        return _encode_one_by_one(run_id, records, limits)
    if len(body) <= limits.spill_bytes:
        return body, []
    return _encode_one_by_one(run_id, records, limits)


def _encode_one_by_one(
    run_id: str, records: Sequence[Record], limits: ValueLimits, known: Known | None = None
) -> tuple[bytes, Blobs]:
    parts: list[bytes] = []
    blobs: Blobs = []
    for record in records:
        what = partial(_name_of, record, run_id)
        data = None if known is None else _spliced(record.data, known, what, limits)
        if data is None:
            data = _encode(record.data, what, limits)
        head = _encode(record[:3], what, limits)[:-1]
        if len(data) > limits.spill_bytes:
            name = _digest(data)
            blobs.append((name, data))
            parts.append(head + b',null,"' + name.encode() + b'"]')
        else:
            parts.append(head + b"," + data + b"]")
    return b"[" + b",".join(parts) + b"]", blobs


def _spliced(data: Any, known: Known, what: Callable[[], str], limits: ValueLimits) -> bytes | None:
    """Return the JSON of *data*, if the known output is in it."""
    form, encoded = known
    if data.__class__ is not dict or data.get("output") is not form:
        return None
    rest = {key: value for key, value in data.items() if key != "output"}
    end = b"," + _encode(rest, what, limits)[1:] if rest else b"}"
    return b'{"output":' + encoded + end


def _name_of(record: Record, run_id: str) -> str:
    at = f", step {record.step!r}," if record.step else ""
    return f"the data of {record.kind!r} in run {run_id!r}{at}"


def encode_input(run: NewRun, limits: ValueLimits) -> tuple[bytes | None, str | None, Blobs]:
    """Return the input's JSON, or None and the name of the blob that holds it."""
    data = _encode(run.input, lambda: f"the input of run {run.run_id!r}", limits)
    if len(data) <= limits.spill_bytes:
        return data, None, []
    name = _digest(data)
    return None, name, [(name, data)]


def encode_context(run_id: str, context: Mapping[str, Any], limits: ValueLimits) -> str:
    """Return a run's context as JSON. Raises ValueNotStorable and ValueTooLarge."""
    what = f"the context of run {run_id!r}"
    return _encode(dict(context), lambda: what, limits).decode()


def encode_payload(run_id: str, name: str, payload: Any, limits: ValueLimits) -> bytes:
    """Return a signal's payload as JSON."""
    what = f"the payload of signal {name!r} for run {run_id!r}"
    return _encode(payload, lambda: what, limits)


def encode_form(value: Any, what: Callable[[], str], limits: ValueLimits) -> bytes:
    """Return the JSON of what a store keeps of *value*, which may be bytes, too, within lists.

    As deep in them as it is in a record, or it could be written alone and not there: three brackets
    stand before and behind it. Raises ValueNotStorable and ValueTooLarge.
    """
    try:
        data = to_json([[[value]]], bytes_mode="base64", fallback=form_of)
    except Exception as error:
        raise ValueNotStorable(what(), str(error)) from error
    limit = limits.max_value_bytes - min(_ROOM, limits.max_value_bytes // 2)
    if len(data) > limit:
        raise ValueTooLarge(what(), len(data), limit)
    return data


_ROOM: Final = 256
"""Bytes that a record has around a value."""


def _encode(value: Any, what: Callable[[], str], limits: ValueLimits) -> bytes:
    """Return *value* as JSON; *what* says what it is, and is asked only when that fails."""
    try:
        data = to_json(value, fallback=form_of)
    except Exception as error:  # also what a value's own code raises: a generator, a serializer
        raise ValueNotStorable(what(), str(error)) from error
    if len(data) > limits.max_value_bytes:
        raise ValueTooLarge(what(), len(data), limits.max_value_bytes)
    return data


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def decode_value(data: Json, store: str, what: str) -> Any:
    """Return the value behind *data*. Raises StoreCorrupt."""
    try:
        return from_json(data)
    except (ValueError, TypeError):  # TypeError: a text that is not Unicode
        try:
            # pydantic_core writes deeper nesting than it reads.
            return json.loads(data)
        except (ValueError, TypeError, RecursionError) as error:
            raise StoreCorrupt(store, f"{what} is not JSON ({error})") from error


def decode_entries(
    rows: Sequence[JournalRow],
    after: int,
    store: str,
    run_id: str,
    fetch_blob: FetchBlob,
) -> list[JournalEntry]:
    """Return the entries numbered above *after* from the journal's rows, in order.

    Raises StoreCorrupt for a gap, an overlap, or a fencing token that goes back.
    """
    entries: list[JournalEntry] = []
    expected: int | None = None if after else 1
    newest_fence = 0
    for last, fence, microseconds, body in rows:
        at = microseconds / 1e6
        what = f"record {last} of run {run_id!r}"
        items = decode_value(body, store, what)
        if not isinstance(items, list) or not items:
            raise StoreCorrupt(store, f"{what} holds no records")
        seq = last - len(items) + 1  # pyright: ignore[reportUnknownArgumentType]
        if expected is not None and seq != expected:
            raise StoreCorrupt(store, f"the journal of run {run_id!r} jumps to {seq}")
        if fence < newest_fence:
            raise StoreCorrupt(store, f"{what} was written by an owner that had been fenced out")
        newest_fence = fence
        for item in items:  # pyright: ignore[reportUnknownVariableType]
            if seq > after:
                entries.append(_entry(seq, item, at, fence, store, what, fetch_blob))
            seq += 1
        expected = seq
    return entries


def _entry(
    seq: int, item: Any, at: float, fence: int, store: str, what: str, fetch_blob: FetchBlob
) -> JournalEntry:
    try:
        if len(item) == 5:
            kind, step, attempt, _, blob = item
            data = decode_value(fetch_blob(blob), store, what)
        else:
            kind, step, attempt, data = item
    except (TypeError, ValueError) as error:
        raise StoreCorrupt(store, f"{what} is not a record") from error
    return JournalEntry(seq, kind, step, attempt, data, at, fence)
