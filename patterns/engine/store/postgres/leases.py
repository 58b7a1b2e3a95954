"""The lease of an engine: renewed on a connection of its own, whatever else the store does.

A lease that waited behind a purge, a recovery or a locked table would run out, and
another engine would start the same steps.
"""

from __future__ import annotations

from typing import LiteralString

from .address import PostgresAddress
from .connection import Connection
from .session import Session
from .setup import NEWEST

__all__ = ["ALIVE", "NOW", "PostgresLeases"]

NOW: LiteralString = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
ALIVE: LiteralString = (
    "EXISTS (SELECT FROM owners AS o WHERE o.number = r.owner AND NOT o.retired "
    f"AND o.expires_at > {NOW})"
)
"""Whether a living engine holds the run *r*. Looked up again for a row that another has changed."""


class PostgresLeases:
    """Renews leases. Owned by the thread that renews."""

    def __init__(self, address: PostgresAddress) -> None:
        self._lease_session = Session(address)

    def renew(self, owner: int, engine_id: str, lease_s: float) -> bool:
        """Extend the lease; False when it had ended."""
        lease = int(lease_s * 1e6)
        ended = False

        def attempt(connection: Connection, again: bool) -> bool:
            nonlocal ended
            held = connection.execute(
                f"UPDATE owners SET expires_at = {NOW} + %s, seen_at = {NOW} "
                f"WHERE number = %s AND expires_at > {NOW} AND NOT retired RETURNING number",
                (lease, owner),
            ).fetchall()
            if not held:
                ended = True
                connection.execute(
                    "INSERT INTO owners (number, engine_id, version, expires_at, seen_at) "
                    f"OVERRIDING SYSTEM VALUE VALUES (%s, %s, %s, {NOW} + %s, {NOW}) "
                    "ON CONFLICT (number) DO UPDATE SET expires_at = excluded.expires_at, "
                    "version = excluded.version, seen_at = excluded.seen_at, retired = false",
                    (owner, engine_id, NEWEST, lease),
                )
            # Also if that was done by an attempt which was cut off.
            return not ended

        return self._lease_session.run("renewing a lease", attempt)

    def close_lease(self) -> None:
        """Close the connection."""
        self._lease_session.close()
