"""Stores: where workflows keep what must outlive a crash.

Knows runs as rows, numbered records and signals; nothing of definitions, steps or engines. The contract is
`Store`; each store owns its medium and hands out leases, which belong to the loop that opened it.
"""

from __future__ import annotations

from .contract import Acknowledge, Lease, Store
from .errors import (
    FencedOut,
    RunExists,
    RunHeld,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreUnavailable,
    StoreUrlError,
    StoreVersionTooNew,
    UnknownRun,
    ValueNotStorable,
    ValueTooLarge,
)
from .grouped.encoding import ValueLimits
from .records import (
    Durability,
    Inbox,
    JournalEntry,
    NewRun,
    Notice,
    Owner,
    Record,
    Retention,
    RunFilter,
    RunPage,
    RunRow,
    RunUpdate,
    Signal,
    StoreStats,
)
from .urls import open_store, sqlite_file

__all__ = [
    "Acknowledge",
    "Durability",
    "FencedOut",
    "Inbox",
    "JournalEntry",
    "Lease",
    "NewRun",
    "Notice",
    "Owner",
    "Record",
    "Retention",
    "RunExists",
    "RunFilter",
    "RunHeld",
    "RunPage",
    "RunRow",
    "RunUpdate",
    "Signal",
    "Store",
    "StoreClosed",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreStats",
    "StoreUnavailable",
    "StoreUrlError",
    "StoreVersionTooNew",
    "UnknownRun",
    "ValueLimits",
    "ValueNotStorable",
    "ValueTooLarge",
    "open_store",
    "sqlite_file",
]
