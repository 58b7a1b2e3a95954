"""A store as its owner sees it: set up, checked, counted; without an engine."""

from __future__ import annotations

import time
from typing import Protocol

from agenticaiframework.actors import MissingExtra

from .errors import StoreUrlError
from .info import StoreInfo
from .sqlite.administration import SQLiteAdministration
from .url_parts import without_password
from .urls import kind_of_store, resolve_url, sqlite_file

__all__ = ["StoreAdministration", "administer"]


class StoreAdministration(Protocol):
    """One store, for its owner. The methods block; each opens and closes what it needs.

    They raise StoreErrors.
    """

    @property
    def label(self) -> str:
        """Its URL, without a password."""
        ...

    def absence(self) -> str | None:
        """Return why there is nothing to look into, or None. Makes and changes nothing."""
        ...

    def sql(self, role: str | None = None) -> str:
        """Return the SQL that sets the store up from nothing, with the grants for *role*."""
        ...

    def migrate(self) -> tuple[int, int]:
        """Make the schema, or bring it up to date; return the version before and after."""
        ...

    def check(self) -> list[str]:
        """Return what keeps engines with these rights from working with it, a sentence each.

        Makes and changes nothing.
        """
        ...

    def info(self) -> StoreInfo:
        """Count what is in it. Makes and changes nothing."""
        ...


def administer(url: str) -> StoreAdministration:
    """Return the administration of the store that *url* names.

    Raises StoreUrlError, and MissingExtra when PostgreSQL's driver is not installed.
    """
    url = resolve_url(url)
    kind = kind_of_store(url)
    if kind == "sqlite":
        file = sqlite_file(url)
        if file is not None:
            return SQLiteAdministration(file, without_password(url), time.time)
    if kind != "postgresql":
        raise StoreUrlError(url, "a store in memory ends with its process")
    try:
        from .postgres.administration import PostgresAdministration
    except ImportError as error:
        raise MissingExtra(f"The store {without_password(url)!r}", "postgres") from error
    return PostgresAdministration(url)
