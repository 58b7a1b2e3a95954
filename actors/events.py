"""The event stream of a system: what happens is published as values, for those who subscribe."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .errors import WrongUse

if TYPE_CHECKING:
    from .log import Log


def bad_subscriber(problem: str) -> WrongUse:
    """Return the error: something was to be told of what happens that cannot be."""
    return WrongUse(
        f"{problem}. It is called at once, so it is a plain function; let it tell an actor if it "
        "takes time. For example: system.subscribe(seen.append, ActorEnded)"
    )


def check_subscriber(fn: Any) -> None:
    """Raise `WrongUse` unless *fn* can be called at once."""
    if not callable(fn):
        raise bad_subscriber(f"The subscriber {fn!r} is not a function")
    if inspect.iscoroutinefunction(fn):
        raise bad_subscriber(f"The subscriber {fn!r} is async, and would not be awaited")


class EventStream:
    """Publishes events to subscribers, by type. Owned by the loop's thread.

    A subscriber is called at once, in the order of subscription, and must not block. One that raises
    is logged and does not keep the others from being called.
    """

    def __init__(self, log: Log) -> None:
        self._subscribers: list[tuple[type, Callable[[Any], object]]] = []
        self._log = log

    @property
    def active(self) -> bool:
        """Whether there are subscribers; publishers of costly events ask first."""
        return bool(self._subscribers)

    def subscribe(
        self, fn: Callable[[Any], object], event_type: type = object
    ) -> Callable[[], None]:
        """Call *fn* with every event of *event_type* from now on; returns a function to end it.

        Raises `WrongUse`.
        """
        check_subscriber(fn)
        try:
            isinstance(None, event_type)
        except TypeError:
            raise bad_subscriber(f"The type of events {event_type!r} is not a class") from None
        entry = (event_type, fn)
        self._subscribers.append(entry)

        def unsubscribe() -> None:
            if entry in self._subscribers:
                self._subscribers.remove(entry)

        return unsubscribe

    def publish(self, event: Any) -> None:
        """Hand *event* to the subscribers to its type."""
        for event_type, fn in list(self._subscribers):
            if isinstance(event, event_type):
                try:
                    fn(event)
                except Exception as error:
                    self._log.error("A subscriber failed on {}", type(event).__name__, error=error)
