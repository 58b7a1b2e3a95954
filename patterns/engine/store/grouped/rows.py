"""New runs and appends, checked and turned into the rows of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from pydantic_core import to_json

from ..contract import Lease
from ..errors import ValueNotStorable, ValueTooLarge
from ..records import LONGEST_NAME, Durability, NewRun, Record, RunUpdate
from .encoding import ValueLimits, encode_context, encode_input, encode_records
from .forms import Known
from .jobs import Op

__all__ = ["check_text", "may_be_kept", "rows_of_append", "rows_of_run"]

_LONGEST_LABEL: Final = 500
"""Bytes of the name of a label, which shares an entry with its value."""
_LONGEST_LABELLED: Final = LONGEST_NAME - _LONGEST_LABEL


def rows_of_run(
    run: NewRun, owner: int, key: int, at: int, records: Sequence[Record], limits: ValueLimits
) -> tuple[list[Any], int]:
    """Return the rows that create *run* with its first records, and their size in bytes.

    Raises ValueNotStorable and ValueTooLarge.
    """
    _check_run(run)
    run_id = run.run_id
    definition = _encode_text(run.definition)
    if len(definition) > limits.max_value_bytes:
        what = f"the definition of run {run_id!r}"
        raise ValueTooLarge(what, len(definition), limits.max_value_bytes)
    body, blob, blobs = encode_input(run, limits)
    labels = to_json(dict(run.labels)).decode() if run.labels else None
    context = encode_context(run_id, run.context, limits) if run.context else None
    queued = (run.queue, run.queue_key, run.priority) if run.queue is not None else ()
    extra = to_json(
        [
            *(run_id, run.name, run.definition_hash, run.state, _TEXT[run.durability], run.parent),
            *(labels, owner if run.queue is None else None, blob, context, run.root),
            *queued,
        ]
    ).decode()
    made = at if run.created_at is None else round(run.created_at * 1e6)
    rows: list[Any] = [
        *(Op.DEFINE, key, 1, made, 0, definition, run.definition_hash),
        *(Op.CREATE, key, 1, made, 0, body, extra),
    ]
    size = len(definition) + len(body or b"") + len(context or "")
    if records:
        body, more = encode_records(run_id, records, limits)
        blobs += more
        rows += (Op.APPEND, key, 1, at, len(records), body, None)
        size += len(body)
    for digest, data in blobs:
        rows += (Op.BLOB, key, 1, at, 0, data, digest)
        size += len(data)
    return rows, size


def rows_of_append(
    lease: Lease,
    records: Sequence[Record],
    update: RunUpdate | None,
    consumes: Iterable[int],
    at: int,
    limits: ValueLimits,
    known: Known | None = None,
) -> tuple[list[Any], int]:
    """Return the rows that write *records* and *update* for the lease's run, and their size.

    *known* is an output in them whose JSON is known, if there is one.

    Raises ValueNotStorable and ValueTooLarge.
    """
    key = lease.key
    fence = lease.fence
    last = lease.next_seq + len(records) - 1
    body: bytes | None = None
    blobs: Sequence[tuple[str, bytes]] = ()
    size = 0
    if records:
        body, blobs = encode_records(lease.run_id, records, limits, known)
        size = len(body)
    rows: list[Any]
    if update is not None:
        # Most updates recur word for word; those with a text or a time of their own do not.
        again = not update.error and not update.wake_at
        encoded = _encode_recurring(update) if again else _encode_update(update)
        rows = [Op.APPEND_UPDATE, key, fence, at, last, body, encoded]
    elif records:
        rows = [Op.APPEND, key, fence, at, last, body, None]
    else:
        rows = []
    for digest, data in blobs:
        rows += (Op.BLOB, key, fence, at, last, data, digest)
        size += len(data)
    for number in consumes:
        rows += (Op.CONSUME, key, fence, at, last, None, str(number))
    if not rows:
        raise ValueError(
            f"nothing to append to run {lease.run_id!r}: give records, an update or signals"
        )
    return rows, size


def _encode_update(update: RunUpdate) -> str:
    """Return *update* as the JSON that every backend reads."""
    state, finished, error, wake_at = update
    if state is not None:
        check_text("the run's state", state)
    if error is not None:
        # The text of an agent's error: better changed than refused.
        error = error.encode(errors="replace").decode().replace("\0", "?")
    return to_json(
        [
            state,
            None if finished is None else int(finished),
            error,
            None if wake_at is None else int(wake_at * 1e6),
        ]
    ).decode()


_encode_recurring = lru_cache(maxsize=64)(_encode_update)

_TEXT: Final = {durability: str(durability) for durability in Durability}
"""Plain texts: an enum's member takes pydantic's encoder 5 us."""

_encode_text = lru_cache(maxsize=128)(str.encode)
"""Many runs bring the same definition."""


def _check_run(run: NewRun) -> None:
    run_id, name, hash_, state = run.run_id, run.name, run.definition_hash, run.state
    if (
        run.parent is run.root is run.queue is None
        and not run.labels
        and run_id
        and hash_
        and state
    ):
        # All of them at once; the checks below name the one that is wrong.
        together = f"{run_id}{name}{hash_}{state}"
        exact = run_id.__class__ is name.__class__ is hash_.__class__ is state.__class__ is str
        if exact and len(together) <= LONGEST_NAME and together.isascii() and "\0" not in together:
            return
    check_text("the run's id", run.run_id)
    check_text("the run's name", run.name, allow_empty=True)
    check_text("the definition's hash", run.definition_hash)
    check_text("the run's state", run.state)
    check_text("the parent's id", run.parent or "", allow_empty=True)
    check_text("the root's id", run.root or "", allow_empty=True)
    check_text("the queue", run.queue or "", allow_empty=True)
    check_text("the run's key in its queue", run.queue_key or "", allow_empty=True)
    for key, value in (run.labels or {}).items():
        check_text("a label's name", key, longest=_LONGEST_LABEL)
        check_text(f"the label {key!r}", value, allow_empty=True, longest=_LONGEST_LABELLED)


def check_text(
    what: str, text: str, allow_empty: bool = False, longest: int | None = LONGEST_NAME
) -> None:
    """Refuse a text that some medium would change, or not keep: it has at most *longest* bytes."""
    sort: type = type(text)
    if longest is None or (sort is str and len(text) <= longest):
        if sort is str and text and text.isascii() and "\0" not in text:
            return
    elif issubclass(sort, str):
        raise _too_long(what, len(text), longest)
    if not issubclass(sort, str) or (not text and not allow_empty):
        raise ValueNotStorable(what, f"{text!r} is not a text with at least one character")
    if "\0" in text:
        raise ValueNotStorable(what, f"{text!r} holds a NUL character")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise ValueNotStorable(what, f"{text!r} is not valid Unicode") from error
    if longest is not None and size > longest:
        raise _too_long(what, size, longest)


def _too_long(what: str, size: int, longest: int) -> ValueNotStorable:
    advice = "Choose a shorter text, and keep the long one in the input"
    return ValueNotStorable(what, f"it has {size:,} bytes; at most {longest:,} are kept", advice)


def may_be_kept(text: Any) -> bool:
    """Tell whether *text* can be what a store has: what cannot is not looked for, but is not there.

    >>> may_be_kept("run-7"), may_be_kept(chr(0)), may_be_kept(chr(0xD800)), may_be_kept(7)
    (True, False, False, False)
    """
    if not isinstance(text, str) or "\0" in text or len(text) > LONGEST_NAME:
        return False
    try:
        return len(text.encode()) <= LONGEST_NAME
    except UnicodeEncodeError:
        return False
