"""The errors of stores: each is typed, and says what to do."""

from __future__ import annotations

from collections.abc import Sequence

from agenticaiframework.actors import AgenticError

from .url_parts import without_password

__all__ = [
    "FencedOut",
    "RunExists",
    "RunHeld",
    "RunOver",
    "ScheduleChanged",
    "SessionChanged",
    "StoreClosed",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreInUse",
    "StoreNotReady",
    "StoreRefused",
    "StoreUnavailable",
    "StoreUrlError",
    "StoreVersionTooNew",
    "TooManyPending",
    "UnknownRun",
    "ValueNotStorable",
    "ValueTooLarge",
]


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


class StoreRefused(StoreError):
    """The server refuses what only people can change: a password, a privilege, an option."""

    def __init__(self, store: str, doing: str, detail: str) -> None:
        super().__init__(
            f"{store} refused while {doing}: {detail}. Waiting does not help: correct the URL, the "
            "role, its privileges or the server's settings."
        )
        self.store = store
        self.doing = doing
        self.detail = detail


class StoreCorrupt(StoreError):
    """The stored data differ from anything that was written; ``run_id`` is the run's, if it is one's."""

    def __init__(self, store: str, detail: str, run_id: str | None = None) -> None:
        do = "Stop writing to it and restore a backup"
        if run_id is not None:
            do = "The other runs are not concerned"
        super().__init__(f"{store} is damaged: {detail}. {do}.")
        self.store = store
        self.detail = detail
        self.run_id = run_id


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


class StoreNotReady(StoreError):
    """The store is not set up for this program and its role, and they may not do that themselves."""

    def __init__(self, store: str, problems: Sequence[str], advice: str = "") -> None:
        advice = advice or (
            "Let its owner run `agenticaiframework store migrate`, or what `agenticaiframework store "
            "sql` prints, with the grants"
        )
        super().__init__(f"{store} is not ready: {'; '.join(problems)}. {advice}.")
        self.store = store
        self.problems = tuple(problems)


class StoreInUse(StoreError):
    """The store cannot be migrated while engines of an older version work on it."""

    def __init__(self, store: str, engines: Sequence[str], found: int, wanted: int) -> None:
        super().__init__(
            f"{store} has schema version {found}, version {wanted} is needed, and engines that know "
            f"only the older one work on it: {', '.join(engines)}. Stop them, or wait until their "
            "leases have ended, and open it again."
        )
        self.store = store
        self.engines = tuple(engines)


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


class RunOver(StoreError):
    """The run has ended: nothing takes what is sent to it any more."""

    def __init__(self, run_id: str, state: str) -> None:
        super().__init__(f"run {run_id!r} has ended ({state}); nothing takes a signal any more.")
        self.run_id = run_id
        self.state = state


class TooManyPending(StoreError):
    """As many signals wait in the run as it may hold; this one was not kept."""

    def __init__(self, run_id: str, limit: int) -> None:
        super().__init__(
            f"{limit:,} signals wait in run {run_id!r} already; this one was not kept."
        )
        self.run_id = run_id
        self.limit = limit


class FencedOut(StoreError):
    """Another engine has claimed the run since: this one must not write to it any more."""

    def __init__(self, run_id: str, fence: int) -> None:
        super().__init__(
            f"run {run_id!r} was claimed by another engine (this one held fencing token {fence}). "
            "Stop working on it: its new owner continues from the journal."
        )
        self.run_id = run_id
        self.fence = fence


class SessionChanged(StoreError):
    """Another turn of the session was written, or it was forgotten, since it was read."""

    def __init__(self, agent: str, session: str) -> None:
        super().__init__(
            f"the session {session!r} of {agent!r} has changed since it was read: another turn was "
            "written, or it was cleared. This turn was not written; ask again."
        )
        self.agent = agent
        self.session = session


class ScheduleChanged(StoreError):
    """A schedule was changed, or deleted, since it was read."""

    def __init__(self, schedule: str) -> None:
        super().__init__(
            f"the schedule {schedule!r} has changed since it was read; nothing was written. "
            "Read it again, and decide anew."
        )
        self.schedule = schedule


class ValueNotStorable(StoreError, TypeError):
    """A value that has no JSON form, so it could not be read back."""

    def __init__(
        self,
        what: str,
        detail: str,
        advice: str = "Return mappings, lists, text, numbers, booleans, None, dates, dataclasses or "
        "pydantic models",
    ) -> None:
        super().__init__(f"{what} cannot be stored: {detail}. {advice}.")
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
