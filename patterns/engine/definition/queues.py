"""Queues of runs: what an engine serves, and how many runs of it may be under way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from agenticaiframework.actors import near_names, shown

from ..store import MAX_PRIORITY, QueueLimits

__all__ = ["MAX_QUEUE_NAME", "Queue", "RateLimit", "check_place", "unknown_queue"]

MAX_QUEUE_NAME: Final = 200
"""Characters in the name of a queue, and in a key: both stand in indexes and in notifications."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many runs of a queue may begin within a time, over all engines.

    ``RateLimit(100, per_s=60)``: in no minute do more than a hundred begin.
    """

    limit: int
    per_s: float

    def __post_init__(self) -> None:
        _check_count("RateLimit", "limit", self.limit)
        per_s: Any = self.per_s
        number = isinstance(per_s, (int, float)) and not isinstance(per_s, bool)
        if not number or not 0 < per_s <= 1e8:
            raise ValueError(
                f"RateLimit({self.limit!r}, per_s={shown(per_s, 40)}): per_s is a number of seconds "
                "above 0, as in RateLimit(100, per_s=60)"
            )


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue that an engine serves: it takes runs of it when it has room.

    ::

        EngineConfig(queues=[Queue("gpu", concurrency=4, worker_concurrency=2)])

    Engines that serve the same queue are given the same limits; each takes by its own. A run counts from
    when it is taken until it has ended, also while it waits for a signal or a time. One whose engine
    has died counts until another engine has taken it over.
    """

    name: str
    concurrency: int | None = None
    """Runs under way at the same time, over all engines. None: any number."""
    worker_concurrency: int | None = None
    """Those of one engine. None: as many as it has room for (`max_concurrent_workflows`)."""
    key_concurrency: int | None = None
    """Those of one key, over all engines. Runs that were started without a key do not count."""
    rate: RateLimit | None = None
    """How many may begin within a time, over all engines."""

    def __post_init__(self) -> None:
        _check_text("Queue", "name", self.name)
        for option in ("concurrency", "worker_concurrency", "key_concurrency"):
            value = getattr(self, option)
            if value is not None:
                _check_count(f"Queue({self.name!r}, ...)", option, value)
        rate: Any = self.rate
        if rate is not None and not isinstance(rate, RateLimit):
            raise ValueError(
                f"Queue({self.name!r}, rate={shown(rate, 60)}): give rate=RateLimit(100, per_s=60)"
            )

    @property
    def limits(self) -> QueueLimits:
        """The same as the store takes it."""
        rate = self.rate
        return QueueLimits(
            self.name,
            self.concurrency,
            self.worker_concurrency,
            self.key_concurrency,
            None if rate is None else rate.limit,
            0.0 if rate is None else rate.per_s,
        )


def _check_count(what: str, option: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        none = "" if option == "limit" else ", or None for no limit"
        raise ValueError(f"{what}: {option}={shown(value, 40)} is not a number from 1 on{none}")


def _check_text(what: str, option: str, value: Any) -> None:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_QUEUE_NAME:
        raise ValueError(
            f"{what}: {option} is a non-empty text of at most {MAX_QUEUE_NAME} characters, "
            f"not {shown(value, 60)}"
        )


def check_place(queue: Any, key: Any, priority: Any, call: str = "start_workflow") -> None:
    """Raise ValueError for what is not a place in a queue. *call* is what it was given to."""
    if queue is None:
        given = "key" if key is not None else "priority"
        raise ValueError(f"{given}= is for a run of a queue: {call}(..., queue='gpu', {given}=...)")
    if isinstance(queue, Queue):
        raise ValueError(f"queue= takes the name of a queue: queue={queue.name!r}")
    _check_text(call, "queue=", queue)
    if key is not None:
        _check_text(call, "key=", key)
    whole = isinstance(priority, int) and not isinstance(priority, bool)
    if not whole or abs(priority) > MAX_PRIORITY:
        raise ValueError(
            f"priority={shown(priority, 40)} is not a whole number from {-MAX_PRIORITY:,} to "
            f"{MAX_PRIORITY:,}: the larger, the sooner; without it 0"
        )


def unknown_queue(name: str, known: Iterable[str]) -> str:
    """Return what is said of a run that is put into a queue which its engine does not serve."""
    return f"its run waits in the queue {name!r}, which this engine does not serve. {near_names(name, known)}"
