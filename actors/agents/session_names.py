"""What names a session: a conversation that requests to agents belong to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..errors import WrongUse
from .agent_context import SESSION

MAX_SESSION_BYTES: Final = 1_000
"""Of a session's name, which stands in the index of every store."""


def in_session(name: str, session: Any, context: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return *context* for work of agent *name* that belongs to *session*."""
    check_session(name, session)
    return {SESSION: session} if context is None else {**context, SESSION: session}


def check_session(name: str, session: Any) -> None:
    """Raise `WrongUse` for what cannot name a session of agent *name*."""
    if not isinstance(session, str) or not session.strip():
        wanted = "a non-empty text"
    elif not _is_unicode(session):
        wanted = "a text without NUL characters and halves of surrogate pairs"
    elif len(session.encode()) > MAX_SESSION_BYTES:
        wanted = f"a text of at most {MAX_SESSION_BYTES:,} bytes"
        session = f"{session[:20]}..."
    else:
        return
    raise WrongUse(
        f"session= of agent {name!r} is the name of a conversation, {wanted}, "
        f'not {session!r}. For example: session="user-17"'
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


__all__ = ["check_session", "in_session"]
