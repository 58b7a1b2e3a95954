"""Which runs something in another process waits for: only of those do commits tell."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from .connection import Connection
from .leases import NOW
from .session import Session

__all__ = ["Watches"]

WATCH_S: Final = 60.0
"""How long an interest lasts that is not renewed: its engine may have died."""


class Watches:
    """Notes the runs that this store's engine follows or waits for. Owned by the store's reader.

    The table is not logged: what a crash of the server empties is only missed until it is noted again,
    and found by asking meanwhile.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._noted: dict[str, float] = {}
        """When each was noted last, by this machine's clock."""

    def note(self, run_ids: Sequence[str]) -> None:
        """Have every commit that changes one of the runs tell of it, from now on for a minute.

        Cheap for those that were noted lately. What happened before is not told: look after this.
        """
        now = time.monotonic()
        fresh = [each for each in run_ids if now - self._noted.get(each, -WATCH_S) > WATCH_S / 2]
        if not fresh:
            return
        self._session.run("watching runs", lambda connection, again: _note(connection, fresh))
        if len(self._noted) > 10_000:
            self._noted = {each: at for each, at in self._noted.items() if now - at < WATCH_S}
        self._noted.update(dict.fromkeys(fresh, now))


def _note(connection: Connection, run_ids: Sequence[str]) -> None:
    connection.execute(f"DELETE FROM watches WHERE until <= {NOW}")
    # A payload holds 8,000 bytes, and an id may grow sixfold as JSON.
    connection.execute(
        "INSERT INTO watches SELECT run, run_id, until "
        f"FROM runs, (SELECT {NOW} + %s) AS u (until) "
        "WHERE run_id = ANY(%s) AND octet_length(run_id) <= 1300 AND finished_at IS NULL ORDER BY run "
        "ON CONFLICT (run) DO UPDATE SET until = greatest(excluded.until, watches.until)",
        (int(WATCH_S * 1e6), list(run_ids)),
    )
