"""What PostgreSQL's errors mean: what passes by itself, what is worth another try at once, and what is not.

An error while connecting has no SQLSTATE, only the texts of libpq and of the server (one for each host
that was tried), so those are looked into. A text in another language counts as something that passes.
"""

from __future__ import annotations

import re
from typing import Final

import psycopg
from psycopg import errors

from ..errors import StoreCorrupt, StoreError, StoreFull, StoreRefused, StoreUnavailable

__all__ = ["is_refusal", "is_undone", "store_error", "will_pass"]

_LASTING_STATES: Final = frozenset(
    {
        "28000",  # no such role, or not from this host
        "28P01",  # wrong password
        "3D000",  # no such database
        "3F000",  # no such schema
        "42501",  # a privilege is missing
        "0A000",  # the server cannot do that at all
    }
)
_LASTING_TEXTS: Final = re.compile(
    r"password authentication failed|no password supplied|authentication failed for user"
    r"|role .* does not exist|database .* does not exist|no pg_hba\.conf entry"
    r"|pg_hba\.conf rejects|permission denied|is not permitted to log in|unrecognized configuration"
    r"|invalid value for parameter|does not support SSL|certificate verify failed"
    r"|server certificate for|unsupported frontend protocol"
)
_PASSING_TEXTS: Final = re.compile(
    r"refused|timed? ?out|timeout|starting up|shutting down|in recovery|too many (clients|connections)"
    r"|connection slots are reserved|closed the connection|reset by peer|unreachable|read-only"
    r"|hot standby mode|No such file"
)
_AGAIN_STATES: Final = frozenset(
    {
        "25006",  # read-only: this is a standby now, and another is the primary
        "40001",  # serialization failure
        "40P01",  # a deadlock's victim
        "53300",  # too many connections
        "57014",  # cancelled: statement_timeout
        "57P01",  # the server, or this connection, is shut down
        "57P02",
        "57P03",  # the server is starting up
        "57P05",
    }
)


def is_refusal(error: psycopg.Error) -> bool:
    """Tell whether the data were refused, and not the server at fault."""
    # 22, 23 and 54: bad data (and the batch's own division by zero), broken constraint, too large for
    # what the server can keep (a label that no index takes).
    return (error.sqlstate or "")[:2] in ("22", "23", "54")


def is_undone(error: psycopg.Error) -> bool:
    """Tell whether the server has said that the transaction did not happen."""
    return error.sqlstate is not None and error.sqlstate[:2] not in ("57", "08")


def will_pass(error: psycopg.Error, *, connected: bool) -> bool:
    """Tell whether trying again in a moment may help."""
    if error.sqlstate is not None:
        return error.sqlstate in _AGAIN_STATES
    if not connected:
        return isinstance(error, psycopg.OperationalError) and not _lasts(str(error))
    # Cut off in the middle: there is no answer of the server.
    return isinstance(error, psycopg.OperationalError)


def _lasts(text: str) -> bool:
    return bool(_LASTING_TEXTS.search(text)) and not _PASSING_TEXTS.search(text)


def store_error(error: psycopg.Error, label: str, doing: str) -> StoreError:
    """Return *error* in the store's words."""
    detail = str(error).strip() or type(error).__name__
    if isinstance(error, errors.DiskFull | errors.OutOfMemory):
        return StoreFull(label, doing, detail)
    if isinstance(error, errors.DataCorrupted | errors.IndexCorrupted):
        return StoreCorrupt(label, detail)
    if error.sqlstate is None:
        connecting = doing == "connecting"
        lasts = connecting and (isinstance(error, psycopg.ProgrammingError) or _lasts(detail))
    else:
        lasts = error.sqlstate in _LASTING_STATES
    return StoreRefused(label, doing, detail) if lasts else StoreUnavailable(label, doing, detail)
