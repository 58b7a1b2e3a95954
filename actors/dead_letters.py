"""Dead letters: what no actor handled is kept, counted and shown, never dropped in silence."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from .kernel.carried import Carrier
from .kernel.self_sent import SelfSent
from .looks import is_a
from .messages import DeadLetter
from .reasons import describe_reason

if TYPE_CHECKING:
    from .log import Log

RECENT = 256


class DeadLetters:
    """The recent dead letters of a system, and how many there were in all.

    Owned by the loop's thread. At most `RECENT` are kept, so that a service which loses messages
    does not lose its memory too; `subscribe` sees each.
    """

    def __init__(self, log: Log) -> None:
        self._recent: deque[DeadLetter] = deque(maxlen=RECENT)
        self._subscribers: list[Callable[[DeadLetter], None]] = []
        self._log = log
        self.count = 0

    def __len__(self) -> int:
        return len(self._recent)

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(list(self._recent))

    def __getitem__(self, index: int) -> DeadLetter:
        return self._recent[index]

    def subscribe(self, fn: Callable[[DeadLetter], None]) -> Callable[[], None]:
        """Call *fn* with every dead letter from now on; returns a function that ends it."""
        self._subscribers.append(fn)

        def unsubscribe() -> None:
            if fn in self._subscribers:
                self._subscribers.remove(fn)

        return unsubscribe

    def add(self, message: Any, recipient: str, reason: Any) -> None:
        """Record that *message* to *recipient* was not handled, and why."""
        if is_a(message, SelfSent):
            message = message.message
        if is_a(message, Carrier):
            message = message.as_letter()  # letters are kept long, and shown to others
        letter = DeadLetter(message, recipient, reason)
        self.count += 1
        self._recent.append(letter)
        self._log.trace(
            "Dead letter for {}: {} ({})",
            recipient,
            type(message).__name__,
            describe_reason(reason),
        )
        for fn in list(self._subscribers):
            try:
                fn(letter)
            except Exception as error:
                self._log.error("A subscriber failed on a dead letter", error=error)
