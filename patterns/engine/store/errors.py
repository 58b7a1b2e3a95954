"""The errors of stores: each is typed, and says what to do."""

from __future__ import annotations

from agenticaiframework.actors import AgenticError

__all__ = [
    "FencedOut",
    "RunExists",
    "RunHeld",
    "StoreClosed",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "StoreUrlError",
    "StoreVersionTooNew",
    "UnknownRun",
    "ValueNotStorable",
    "ValueTooLarge",
    "without_password",
]


def without_password(url: str) -> str:
    """Return *url* fit to be shown."""
    scheme, mark, rest = url.partition("://")
    login, at, address = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    return f"{scheme}{mark}{user}{':***' if colon else ''}{at}{address}"


class StoreError(AgenticError):
    """The store could not do what was asked; nothing of it was acknowledged."""


class StoreClosed(StoreError):
    """The store is not open: never opened, closed, or broken by an earlier error."""

    def __init__(self, store: str, why: str = "is closed") -> None:
        super().__init__(
            f"{store} {why}. Call `await store.open()` first, and stop its users before `close()`."
        )
        self.store = store


class StoreUnavailable(StoreError):
    """The store did not answer: locked for too long, connection lost, or an I/O error."""

    def __init__(self, store: str, doing: str, detail: str) -> None:
        super().__init__(
            f"{store} failed while {doing}: {detail}. Nothing was acknowledged; "
            "the run can be continued once the store works again."
        )
        self.store = store
        self.doing = doing
        self.detail = detail


class StoreFull(StoreUnavailable):
    """No space is left where the store lives."""

    def __init__(self, store: str, doing: str, detail: str) -> None:
        super().__init__(store, doing, f"{detail}; free space or purge finished runs")


class StoreCorrupt(StoreError):
    """The stored data differ from anything that was written."""

    def __init__(self, store: str, detail: str) -> None:
        super().__init__(f"{store} is damaged: {detail}. Stop writing to it and restore a backup.")
        self.store = store
        self.detail = detail


class StoreVersionTooNew(StoreError):
    """The store was written by a newer version; reading it could misread it."""

    def __init__(self, store: str, found: int, supported: int) -> None:
        super().__init__(
            f"{store} has schema version {found}, this program knows up to {supported}. "
            "Upgrade the program, or use another store."
        )
        self.store = store
        self.found = found
        self.supported = supported


class StoreUrlError(StoreError, ValueError):
    """A store URL that names no store."""

    def __init__(self, url: str, detail: str) -> None:
        url = without_password(url)
        super().__init__(
            f"cannot open the store {url!r}: {detail}. Use sqlite:///relative.db, "
            "sqlite:////absolute.db, sqlite:///:memory:, postgresql://user@host/database or "
            "memory://."
        )
        self.url = url


class UnknownRun(StoreError, LookupError):
    """No run with this id is stored."""

    def __init__(self, run_id: str, store: str) -> None:
        super().__init__(f"no run {run_id!r} in {store}; list_runs() shows what is there.")
        self.run_id = run_id


class RunExists(StoreError):
    """A run with this id is already stored; it was left as it is."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"a run {run_id!r} exists already. Give the new run another id, or claim that one."
        )
        self.run_id = run_id


class RunHeld(StoreError):
    """The run belongs to another engine that is alive."""

    def __init__(self, run_id: str, engine_id: str) -> None:
        super().__init__(
            f"run {run_id!r} belongs to engine {engine_id!r}, whose lease has not ended. "
            "Wait for the lease to end, or stop that engine."
        )
        self.run_id = run_id
        self.engine_id = engine_id


class FencedOut(StoreError):
    """Another engine has claimed the run since: this one must not write to it any more."""

    def __init__(self, run_id: str, fence: int) -> None:
        super().__init__(
            f"run {run_id!r} was claimed by another engine (this one held fencing token {fence}). "
            "Stop working on it: its new owner continues from the journal."
        )
        self.run_id = run_id
        self.fence = fence


class ValueNotStorable(StoreError, TypeError):
    """A value that has no JSON form, so it could not be read back."""

    def __init__(self, what: str, detail: str) -> None:
        super().__init__(
            f"{what} cannot be stored: {detail}. Return mappings, lists, text, numbers, booleans, "
            "None, dates, dataclasses or pydantic models."
        )
        self.what = what


class ValueTooLarge(StoreError, ValueError):
    """A value above the store's hard limit."""

    def __init__(self, what: str, size: int, limit: int) -> None:
        super().__init__(
            f"{what} takes {size:,} bytes as JSON; the limit is {limit:,}. Store it elsewhere and "
            "pass its address, or raise max_value_bytes."
        )
        self.what = what
        self.size = size
        self.limit = limit
