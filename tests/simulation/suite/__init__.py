"""The properties that every layer is held to under simulation; see `SUITE`."""

from agenticaiframework.actors.simulation import (
    ACTOR_FAULTS,
    Faults,
    FillMailbox,
    Garbage,
    Hang,
    Partition,
)

from .entry import Entry
from .messages import bounded_mailboxes, messages, timers
from .signals import signals

_THAT_END = Faults(
    kinds=tuple(k for k in ACTOR_FAULTS if k not in (Hang, Partition, Garbage, FillMailbox))
)
"""Faults after which whatever was sent is handled sooner or later."""

SUITE: tuple[Entry, ...] = (
    Entry(signals, _THAT_END, {"limit_s": 100_000}, weight=3),
    Entry(messages, weight=3),
    Entry(bounded_mailboxes),
    Entry(timers),
)
"""Every property, in the order of the layers."""

__all__ = ["SUITE", "Entry"]
