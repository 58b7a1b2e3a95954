"""What of a context can go to another node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..cluster.codec import PLAIN
from ..dispatch.process_child import is_picklable
from ..ref import ActorRef
from .model_turn import MODEL_TURN
from .parts import CHUNKS

_STAYS: Final = frozenset({CHUNKS, MODEL_TURN})
"""What the caller's side of a request serves, so that it need not travel."""


def portable_context(context: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return of *context* what can go to another node: some of it comes from handlers around the asker,
    which could not know that it would have to."""
    if context is None:
        return None
    return {
        key: value
        for key, value in context.items()
        if key not in _STAYS
        and (type(value) in PLAIN or type(value) is ActorRef or is_picklable(value))
    }


__all__ = ["portable_context"]
