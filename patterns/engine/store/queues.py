"""What a store knows of queues: runs that wait until an engine takes them, and how many it may take.

A run that is created with a queue has no owner at first. It is taken under the limits of its queue, and
keeps its place in them until it has ended or is given up: also while its engine is dead, until another
one has taken it over. So what begins anew never makes up, together with what is to be taken over, more
than the limits allow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = ["MAX_PRIORITY", "QueueDepth", "QueueLimits", "QueuePlace", "queue_of", "word_of"]

MAX_PRIORITY: Final = 1_000_000
"""Priorities go from minus this to this."""

_WORD: Final = "queue:"


class QueueLimits(NamedTuple):
    """How many runs of a queue may be held at once, and begin within a time; None: any number."""

    queue: str
    concurrency: int | None = None
    """Held by all engines together."""
    worker_concurrency: int | None = None
    """Held by the one that asks."""
    key_concurrency: int | None = None
    """Held of one key, by all engines together."""
    rate: int | None = None
    """Runs that may begin within `rate_s`. One that is taken over does not begin again."""
    rate_s: float = 0.0

    @property
    def shared(self) -> bool:
        """Whether what one engine may take hangs on what others have taken."""
        return not (self.concurrency is self.key_concurrency is self.rate is None)


class QueuePlace(NamedTuple):
    """Where a run stands that waits in a queue, and what counts with the limits of the queue."""

    before: int
    """Runs that come before it."""
    key_taken: int = 0
    """Runs of its key that hold a place; 0 for a run without a key."""
    begun: int = 0
    """Runs of the queue that have begun within the time that was asked for."""


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """How many runs stand in a queue."""

    queue: str
    waiting: int = 0
    """Runs that no engine has taken yet."""
    taken: int = 0
    """Runs that hold a place: engines have them, or had them when they died."""
    oldest_at: float | None = None
    """When the one was created that has waited longest, in seconds since the epoch."""
    engines: tuple[str, ...] = ()
    """The living engines that serve it."""


def word_of(queue: str) -> str:
    """Return what listeners are told, in the place of a run's id, when *queue* has a new run.

    >>> queue_of(word_of("gpu"))
    'gpu'
    """
    return _WORD + queue


def queue_of(word: str) -> str | None:
    """Return the queue that a listener was told of; None: it was told of a run."""
    return word[len(_WORD) :] if word.startswith(_WORD) else None
